"""The saved model: files, prediction, export to ONNX, and the MLflow wrapper."""

from trainer.model.model import Model

__all__ = ["Model"]
