"""The label store on SQLite or PostgreSQL; its migrations run when it is opened."""

from labels.store.rows import Draw
from labels.store.store import Counts, Store, now

__all__ = ["Counts", "Draw", "Store", "now"]
