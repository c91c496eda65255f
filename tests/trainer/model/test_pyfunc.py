from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.lazy import Lazy
from tests.trainer.conftest import REGISTERED, TrackedRun
from trainer.model.model import Model

mlflow = Lazy("mlflow")
PythonModelContext = Lazy("mlflow.pyfunc:PythonModelContext")
CommuniqueModel = Lazy("trainer.model.pyfunc:CommuniqueModel")

TEXTS = [
    "Norway pledged 40 trucks.",
    "Rain fell.",
    "Japan pledged a loan and called for a truce.",
    "Ça va?",
]


def check(answers: pd.DataFrame, model: Model) -> None:
    """Labels and probabilities are those of `model`."""
    probabilities = model.predict_proba(TEXTS)
    assert list(answers.columns) == ["labels", "probabilities"]
    assert [tuple(labels) for labels in answers["labels"]] == model.label_sets(probabilities)
    for said, row in zip(answers["probabilities"], probabilities, strict=True):
        assert said == pytest.approx(dict(zip(model.labels, row.tolist(), strict=True)), abs=1e-6)


def test_logged_model_answers_as_the_artefact(tracked_store: str, tracked_run: TrackedRun, tfidf_model: Model) -> None:
    logged = mlflow.pyfunc.load_model(tracked_run.result.model_uri)
    answers = logged.predict(pd.DataFrame({"text": TEXTS}))
    check(answers, tfidf_model)
    assert {len(labels) for labels in answers["labels"]} >= {0, 1}


def test_registered_version_answers_as_the_artefact(
    tracked_store: str, tracked_run: TrackedRun, tfidf_model: Model
) -> None:
    logged = mlflow.pyfunc.load_model(f"models:/{REGISTERED}/{tracked_run.result.registered_version}")
    check(logged.predict(pd.DataFrame({"text": TEXTS})), tfidf_model)


def test_signature_asks_for_a_column_of_text(tracked_store: str, tracked_run: TrackedRun) -> None:
    logged = mlflow.pyfunc.load_model(tracked_run.result.model_uri)
    assert logged.metadata.get_input_schema().input_names() == ["text"]
    assert logged.metadata.get_output_schema().input_names() == ["labels", "probabilities"]
    with pytest.raises(mlflow.exceptions.MlflowException, match="text"):
        logged.predict(pd.DataFrame({"sentence": TEXTS}))


@pytest.mark.parametrize("missing", [None, float("nan"), 7])
def test_row_that_is_no_text_is_named_and_nothing_is_made_up_for_it(
    tracked_store: str, tracked_run: TrackedRun, missing: Any
) -> None:
    context = PythonModelContext(artifacts={"artefact": str(tracked_run.result.artefact)}, model_config={})
    model = CommuniqueModel()
    model.load_context(context)
    with pytest.raises(TypeError, match=r"row 1: `text` is .*, not text"):
        model.predict(context, pd.DataFrame({"text": ["Rain fell.", missing]}))


def test_logged_model_holds_code_and_artefact_but_no_pickle(tracked_store: str, tracked_run: TrackedRun) -> None:
    held = Path(mlflow.artifacts.download_artifacts(artifact_uri=tracked_run.result.model_uri))
    files = {path.relative_to(held).as_posix() for path in held.rglob("*") if path.is_file()}
    assert {"MLmodel", "pyfunc.py", "artifacts/artefact/manifest.json"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib", ".pt", ".bin"))]


def test_logged_model_says_what_to_install(tracked_store: str, tracked_run: TrackedRun) -> None:
    requirements = mlflow.pyfunc.get_model_dependencies(tracked_run.result.model_uri)
    assert Path(requirements).read_text().splitlines() == [f"mlflow=={mlflow.__version__}", "communique"]
    conda = mlflow.pyfunc.get_model_dependencies(tracked_run.result.model_uri, format="conda")
    assert yaml.safe_load(Path(conda).read_text())["dependencies"][-1] == {
        "pip": [f"mlflow=={mlflow.__version__}", "communique"]
    }


def test_class_opens_the_artefact_beside_it(tracked_run: TrackedRun, tfidf_model: Model) -> None:
    context: Any = PythonModelContext({"artefact": str(tracked_run.result.artefact)}, model_config=None)
    model = CommuniqueModel()
    model.load_context(context)
    check(model.predict(context, pd.DataFrame({"text": TEXTS})), tfidf_model)
    assert len(model.predict(context, pd.DataFrame({"text": []}))) == 0
