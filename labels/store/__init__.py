"""The label store on SQLite or PostgreSQL; its migrations run when it is opened."""

from labels.store.store import Counts, Draw, Store, now

__all__ = ["Counts", "Draw", "Store", "now"]
