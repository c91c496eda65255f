"""The root of every error that communique raises on purpose.

A message names the thing, the place (file, line, row, key) and the repair. Library code raises; only the
`cli` modules print and exit, with the class's `exit_code`.

    CommuniqueError                 exit 1   something failed that the input did not cause
    |-- InputError                  exit 2   usage or input: the user can fix it
    |   |-- CodebookError                    a codebook that does not validate
    |   |-- DataError                        a file of documents, examples or annotations
    |   |-- ExperimentError                  (labels.errors) an experiment file or --set value
    |   |-- ArtefactError                    (labels.errors) a saved model that cannot be trusted or read
    |   `-- EncoderError                     (labels.errors) an encoder that cannot be found
    |-- StoreError                  exit 1   the label store
    |-- DecidedMeanwhileError       exit 1   somebody else was faster
    |-- TrackingError               exit 1   (labels.errors) the MLflow store or registry
    `-- DivergedError               exit 1   (labels.errors) a training whose loss is no number

The errors of this package; the tree they hang in is drawn in `labels.errors`.
The nearest known word to a misspelt one, for error messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class CommuniqueError(Exception):
    """Base class: catch it to catch everything that communique raises on purpose."""

    exit_code = 1


class InputError(CommuniqueError):
    """The input or the usage is wrong, and the message says how to fix it."""

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


class ExperimentError(InputError):
    """An experiment file or a `--set` value is wrong, or its data do not allow it."""


class ArtefactError(InputError):
    """A saved model is missing, altered, of another format, or not a communique artefact."""


class EncoderError(InputError):
    """An encoder is neither bundled, nor a folder, nor in the local cache, nor reachable."""


class DivergedError(CommuniqueError):
    """The loss of a training became infinite or not a number."""

    def __init__(self, step: int, steps: int, checkpoint: Path | None = None) -> None:
        super().__init__(
            f"step {step} of {steps}: the loss is no finite number, so training stopped. "
            + (f"The last good checkpoint is kept in {checkpoint}. " if checkpoint else "")
            + "Lower model.learning_rate (of finetune also model.head_learning_rate), or raise model.warmup."
        )
        self.step, self.steps = step, steps


class TrackingError(CommuniqueError):
    """The MLflow store or registry refused."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` with the nearest of `known`, or an empty string when none is near."""
    lowered = {candidate.lower(): candidate for candidate in known}
    near = get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return f" (did you mean '{lowered[near[0]]}'?)" if near else ""


def refuse_lone_string(values: object, name: str) -> None:
    """Raise where a single string takes the place of a list: its characters would pass for the items.

    Raises:
        DataError: `values` is a string; `name` says which argument that is.
    """
    if isinstance(values, str | bytes):
        raise DataError(f"{name} is a single string, but a list is needed. Put it in a list: [{values[:40]!r}].")
