"""What a model is, and how good: experiments, classifiers, calibration, evaluation, artefacts, prediction, serving.

Names are imported when they are first asked for, so that importing the package stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labels.lazy import lazy_names

if TYPE_CHECKING:
    from labels.errors import ArtefactError, EncoderError, ExperimentError, TrackingError
    from trainer.config.experiment import Experiment
    from trainer.config.load import load_experiment
    from trainer.model.model import Model
    from trainer.runs.run import RunResult, run_experiment

__all__ = [
    "ArtefactError",
    "EncoderError",
    "Experiment",
    "ExperimentError",
    "Model",
    "RunResult",
    "TrackingError",
    "load_experiment",
    "run_experiment",
]

_HOMES = {
    "ArtefactError": "labels.errors",
    "EncoderError": "labels.errors",
    "Experiment": "trainer.config.experiment",
    "ExperimentError": "labels.errors",
    "Model": "trainer.model.model",
    "RunResult": "trainer.runs.run",
    "TrackingError": "labels.errors",
    "load_experiment": "trainer.config.load",
    "run_experiment": "trainer.runs.run",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
