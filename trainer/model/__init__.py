"""The saved model: its files, the object that predicts, its export to ONNX, and its form for MLflow."""

from trainer.model.model import Model

__all__ = ["Model"]
