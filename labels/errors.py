"""Define the errors that communique raises on purpose.

A message names the problem, its place (file, line, row, key) and the fix. Library code raises errors; only the `cli`
modules print messages and exit, with the class's `exit_code`: 2 if the user can fix the input, 1 for other failures.

    CommuniqueError                 exit 1
    |-- InputError                  exit 2   usage or input
    |   |-- CodebookError                    a codebook is missing or not valid
    |   |-- DataError                        a file of documents, examples or annotations is not usable
    |   |   `-- ColumnError                  a column of texts, labels or groups in memory; also a ValueError
    |   |-- ExperimentError                  an experiment file or a --set value is wrong
    |   |-- ArtefactError                    a saved model cannot be trusted or read
    |   `-- EncoderError                     an encoder cannot be found
    |-- StoreError                           the label store
    |-- DecidedMeanwhileError                another annotator decided first
    |-- TrackingError                        the MLflow store or registry
    |-- EndpointError                        a language model's endpoint fails or refuses
    `-- DivergedError                        the training loss is not finite
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from os import PathLike
from pathlib import Path


class CommuniqueError(Exception):
    """The base class: catch it to catch every error that communique raises on purpose."""

    exit_code = 1


class InputError(CommuniqueError):
    """The input or the usage is wrong; the message says how to fix it."""

    exit_code = 2


class CodebookError(InputError):
    """A codebook file is missing, unreadable or does not follow the schema."""


class DataError(InputError):
    """A file of documents, examples or annotations is not usable.

    `place` builds the "file:row" prefix of the message.
    """

    @staticmethod
    def place(path: Path | str, row: int | None = None) -> str:
        """Return `path`, or `path:row` if the row is known: its line, as an editor counts, if it has one."""
        return str(path) if row is None else f"{path}:{getattr(row, 'line', row)}"


class ColumnError(DataError, ValueError):
    """A column of texts, labels or groups in memory is not usable. It is a ValueError too, as scikit-learn expects."""


class StoreError(CommuniqueError):
    """The label store cannot be opened, has another schema version, or refuses a write."""


class DecidedMeanwhileError(CommuniqueError):
    """Another annotator decided after the sentence was shown. Whoever decides again overrules that decision."""


class ExperimentError(InputError):
    """An experiment file or a `--set` value is wrong, or the data do not suit the experiment."""


class ArtefactError(InputError):
    """A saved model is missing, altered, in an unknown format, or not a communique artefact."""


class EncoderError(InputError):
    """An encoder is neither bundled, nor a folder, nor in the local cache, nor reachable."""


class DivergedError(CommuniqueError):
    """The training loss became infinite or not a number."""

    def __init__(self, step: int, steps: int, checkpoint: Path | None = None) -> None:
        super().__init__(
            f"step {step} of {steps}: the loss is not finite, so training stopped. "
            + (f"The last good checkpoint is kept in {checkpoint}. " if checkpoint else "")
            + "Lower model.learning_rate (for finetune also model.head_learning_rate), or raise model.warmup."
        )
        self.step, self.steps = step, steps


class EndpointError(CommuniqueError):
    """The endpoint of a language model cannot be reached, fails repeatedly, or refuses the requests."""


class TrackingError(CommuniqueError):
    """The MLflow tracking store or model registry refused a request."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return the count with its noun in the singular or plural; the plural is `plural` or the noun with an s.

    >>> counted(1, "sentence was", "sentences were"), counted(2, "row")
    ('1 sentence was', '2 rows')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` with the closest match in `known`, or an empty string if there is none."""
    lowered = {candidate.lower(): candidate for candidate in known}
    near = get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return f" (did you mean '{lowered[near[0]]}'?)" if near else ""


def refuse_lone_string(values: object, name: str) -> None:
    """Refuse a single string or path where a list is needed: a string would be read as a list of its characters.

    Raises:
        DataError: `values` is a string or path. The message calls it `name`.
    """
    if isinstance(values, str | bytes):
        raise DataError(f"{name} is a single string, but a list is needed. Pass a list: [{values[:40]!r}].")
    if isinstance(values, PathLike):
        raise DataError(f"{name} is a single path, but a list is needed. Pass a list: [{str(values)!r}].")
