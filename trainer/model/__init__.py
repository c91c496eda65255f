"""Save and open models: files, prediction, export to ONNX, and the MLflow wrapper."""

# Models that were logged to MLflow contain a copy of `pyfunc.py`, which imports this name.
from trainer.model.model import Model

__all__ = ["Model"]
