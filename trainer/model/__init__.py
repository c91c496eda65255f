"""The saved model: its files, the object that is asked, its export, and its form for MLflow."""

from trainer.model.model import Model

__all__ = ["Model"]
