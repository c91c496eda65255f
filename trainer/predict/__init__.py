"""Bulk prediction: corpora of any size, on one machine or on a Ray cluster, continued after any interruption."""

from trainer.predict.bulk import predict_files
from trainer.predict.flow import Interrupted, Progress
from trainer.predict.outcome import SAID, PredictReport, predict_rows

__all__ = ["SAID", "Interrupted", "PredictReport", "Progress", "predict_files", "predict_rows"]
