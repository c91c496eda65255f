"""Where the kit's own folders lie: the shipped seeds and experiments, and the cache."""

from __future__ import annotations

import os
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The shipped folder `seeds` or `experiments`: in an installed wheel under `trainer/_data`, else in the checkout.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for root in (_HERE / "_data", _HERE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"communique's own folder '{name}' is missing: install the package again")


def shipped_experiments() -> list[str]:
    """Names of the shipped experiments, without `.toml`."""
    return sorted(path.stem for path in shipped("experiments").glob("*.toml"))


def cache_folder() -> Path:
    """The folder of vectors and locks that commands share: COMMUNIQUE_CACHE, else `~/.cache/communique`."""
    named = os.environ.get("COMMUNIQUE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "communique"
