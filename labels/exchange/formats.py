"""The formats by name; each is a module of this package that is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from labels.codebook.schema import Codebook
from labels.errors import InputError, did_you_mean
from labels.exchange.lines import Batch, Exported
from labels.store import Store

FORMATS = {
    "jsonl": "labels.exchange.jsonl",
    "csv": "labels.exchange.csv_table",
    "standoff": "labels.exchange.standoff",
    "prodigy": "labels.exchange.prodigy",
    "label-studio": "labels.exchange.label_studio",
    "label-studio-min": "labels.exchange.label_studio_min",
    "doccano": "labels.exchange.doccano",
    "argilla": "labels.exchange.argilla",
    "activetigger": "labels.exchange.activetigger",
    "huggingface": "labels.exchange.huggingface",
}
"""Name -> module."""


class ExchangeModule(Protocol):
    """What every format's module has.

    `UNIT` is what one of its records is called in the plural, `LOST` says in plain words what it does not carry.
    """

    UNIT: str
    LOST: tuple[str, ...]

    def read_file(self, path: Path, codebook: Codebook, annotator: str = "") -> Batch:
        """What is in a file; `annotator` decided where the records do not say who did. DataError names file and row."""
        ...

    def write_file(self, store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
        """Write the store's decisions, or those of `annotator`, to a file or folder, whole or not at all."""
        ...


def exchange_module(format: str) -> ExchangeModule:
    """The module of a format.

    Raises:
        InputError: there is no such format.
    """
    if format not in FORMATS:
        raise InputError(f"--format: '{format}' is not known{did_you_mean(format, FORMATS)}; use {', '.join(FORMATS)}.")
    return cast(ExchangeModule, import_module(FORMATS[format]))
