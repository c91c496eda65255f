"""The label store on SQLite or PostgreSQL; its migrations run when it is opened."""

from labels.records import CodebookMigration, Draw, DrawItem, ScoringModel
from labels.store.counts import AnnotatorProgress, StrategyProgress
from labels.store.database import now
from labels.store.documents import Context, Counts
from labels.store.draws import SHARED, Frame
from labels.store.events import Draft
from labels.store.relabelling import Relabelling
from labels.store.scores import Scorable, Uncertainty
from labels.store.store import Store

__all__ = [
    "SHARED",
    "AnnotatorProgress",
    "CodebookMigration",
    "Context",
    "Counts",
    "Draft",
    "Draw",
    "DrawItem",
    "Frame",
    "Relabelling",
    "Scorable",
    "ScoringModel",
    "Store",
    "StrategyProgress",
    "Uncertainty",
    "now",
]
