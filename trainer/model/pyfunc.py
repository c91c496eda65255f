"""The artefact as an MLflow pyfunc, by MLflow's models-from-code: this file is copied into each logged model.

`mlflow models serve` and Spark thus give the same probabilities and label sets as `communique predict`, and nothing is
pickled.
"""

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from trainer.model import Model


class CommuniqueModel(PythonModel):  # type: ignore[misc]
    """A column `text` in; per row the labels assigned, and the probability of each label, out."""

    def load_context(self, context: Any) -> None:
        """Open the artefact that was logged with this code."""
        self.model = Model.load(context.artifacts["artefact"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row for each text: `labels` (list of names), `probabilities` (name -> number in [0, 1]).

        Raises:
            TypeError: a row is not text, for example null.
        """
        texts = list(model_input["text"])
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"row {row}: `text` is {text!r}, not text. Leave such rows out, or fill them.")
        probabilities = self.model.predict_proba(texts)
        return pd.DataFrame(
            {
                "labels": [list(labels) for labels in self.model.label_sets(probabilities)],
                "probabilities": [dict(zip(self.model.labels, map(float, row), strict=True)) for row in probabilities],
            }
        )


mlflow.models.set_model(CommuniqueModel())
