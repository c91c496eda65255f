"""The root of every error that communique raises on purpose.

A message names the thing, the place (file, line, row, key) and the repair. Library code raises; only the
`cli` modules print and exit, with the class's `exit_code`.

    CommuniqueError                 exit 1   something failed that the input did not cause
    |-- InputError                  exit 2   usage or input: the user can mend it
    |   |-- CodebookError                    a codebook that does not validate
    |   |-- DataError                        a file of documents, examples or annotations
    |   |-- ExperimentError                  (trainer.errors) an experiment file or --set value
    |   |-- ArtefactError                    (trainer.errors) a saved model that cannot be trusted or read
    |   `-- EncoderError                     (trainer.errors) an encoder that cannot be found
    |-- StoreError                  exit 1   the label store
    |-- DecidedMeanwhileError       exit 1   somebody else was faster
    |-- TrackingError               exit 1   (trainer.errors) the MLflow store or registry
    `-- DivergedError               exit 1   (trainer.errors) a training whose loss is no number
"""

from __future__ import annotations

from pathlib import Path


class CommuniqueError(Exception):
    """Base class: catch it to catch everything that communique raises on purpose."""

    exit_code = 1


class InputError(CommuniqueError):
    """The input or the usage is wrong, and the message says how to mend it."""

    exit_code = 2


class CodebookError(InputError):
    """A codebook file is missing, unreadable or does not follow the schema."""


class DataError(InputError):
    """A file of documents, examples or annotations cannot be used as it is.

    `place` builds the "file:row" prefix that every such message starts with.
    """

    @staticmethod
    def place(path: Path | str, row: int | None = None) -> str:
        """`path`, or `path:row` when the row (1-based, header not counted) is known."""
        return str(path) if row is None else f"{path}:{row}"


class StoreError(CommuniqueError):
    """The label store cannot be opened, is of another schema version, or refused a write."""


class DecidedMeanwhileError(CommuniqueError):
    """Somebody else has decided since the sentence was shown; deciding again overrules them knowingly."""
