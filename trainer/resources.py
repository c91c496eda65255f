"""Finds the shipped data, seeds and experiments: in an installed wheel under `trainer/_data`, else in the checkout."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The shipped folder `seeds` or `experiments`.

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
