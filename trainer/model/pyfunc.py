"""Wrap an artefact as an MLflow pyfunc (models-from-code): MLflow copies this file into each logged model.

`mlflow models serve` and Spark return the same probabilities and label sets as `communique predict`, and nothing is
pickled.
"""

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from trainer.model import Model


class CommuniqueModel(PythonModel):  # type: ignore[misc]
    """Predicts the assigned labels and the probability of each label for the texts in column `text`."""

    def load_context(self, context: Any) -> None:
        """Open the artefact that was logged with the model."""
        self.model = Model.load(context.artifacts["artefact"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return one row per text, with `labels` (a list of names) and `probabilities` (name -> number in [0, 1]).

        Raises:
            TypeError: a value in `text` is not a string, for example null.
        """
        texts = list(model_input["text"])
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"row {row}: `text` is {text!r}, not text. Remove such rows, or fill in the text.")
        probabilities = self.model.predict_proba(texts)
        return pd.DataFrame(
            {
                "labels": [list(labels) for labels in self.model.label_sets(probabilities)],
                "probabilities": [dict(zip(self.model.labels, map(float, row), strict=True)) for row in probabilities],
            }
        )


mlflow.models.set_model(CommuniqueModel())
