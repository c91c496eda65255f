"""The errors of this package; the tree they hang in is drawn in `labels.errors`."""

from __future__ import annotations

from labels.errors import CommuniqueError, InputError


class ExperimentError(InputError):
    """An experiment file or a `--set` value is wrong, or its data do not allow it."""


class ArtefactError(InputError):
    """A saved model is missing, altered, of another format, or not a communique artefact."""


class EncoderError(InputError):
    """An encoder is neither bundled, nor a folder, nor in the local cache, nor reachable."""


class TrackingError(CommuniqueError):
    """The MLflow store or registry refused."""
