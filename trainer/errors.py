"""The errors of this package; the tree they hang in is drawn in `labels.errors`."""

from __future__ import annotations

from pathlib import Path

from labels.errors import CommuniqueError, InputError


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
