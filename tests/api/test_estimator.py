"""The estimators: their parameters, fitting as the command line does it, and what scikit-learn asks of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic_core import PydanticUndefined

import communique
from labels.codebook.schema import dump_codebook
from labels.errors import ArtefactError, ColumnError, DataError, ExperimentError
from tests.lazy import Lazy
from trainer.config.experiment import Experiment, parse_experiment
from trainer.config.models import SECTIONS
from trainer.config.sections import CalibrationSection, SplitSection
from trainer.runs.run import run_experiment

clone = Lazy("sklearn.base:clone")
GridSearchCV = Lazy("sklearn.model_selection:GridSearchCV")
GroupKFold = Lazy("sklearn.model_selection:GroupKFold")
cross_val_score = Lazy("sklearn.model_selection:cross_val_score")

SHARED = {"codebook", "seed", "calibration", "holdout", "min_positives", "crossfit", "folds", "allow_large_groups"}


def indicator(table: pd.DataFrame) -> np.ndarray:
    return np.array([[name in labels for name in ("aid", "truce")] for labels in table.labels]).astype(int)


# -- parameters


@pytest.mark.parametrize("kind", SECTIONS)
def test_parameters_and_defaults_are_those_of_the_experiment_file(kind: str) -> None:
    parameters = communique.Classifier(kind).get_params()
    own = {name: value for name, value in parameters.items() if name not in SHARED}
    section = SECTIONS[kind](kind=kind)
    shown = {name: getattr(value, "kind", value) for name, value in section}
    assert own == shown
    assert {type(own[name]) for name in own} <= {str, int, float, bool, tuple}


def test_the_shared_parameters_have_the_defaults_of_their_sections() -> None:
    parameters = communique.TfidfClassifier().get_params()
    calibration = CalibrationSection()
    assert parameters["calibration"] == calibration.method
    assert {
        parameters[name] == getattr(calibration, name) for name in ("holdout", "min_positives", "crossfit", "folds")
    }
    assert parameters["allow_large_groups"] == SplitSection().allow_large_groups
    assert parameters["seed"] == Experiment.model_fields["seed"].default
    assert parameters["codebook"] is None
    assert PydanticUndefined not in parameters.values()


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_kind_is_a_class_of_the_package(kind: str) -> None:
    made = communique.Classifier(kind)
    assert type(made) is getattr(communique, type(made).__name__)
    assert isinstance(made, communique.Classifier)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: communique.Classifier("tfdif"),
            r"'tfdif' is not a kind of classifier \(did you mean 'tfidf'\?\). The kinds are: majority,",
        ),
        (lambda: communique.Classifier(), "'None' is not a kind of classifier. The kinds are: majority,"),
        (
            lambda: communique.Classifier("tfidf", word_ngram=3),
            r"TfidfClassifier has no parameter 'word_ngram' \(did you mean 'word_ngrams'\?\)",
        ),
        (lambda: communique.TfidfClassifier(c=3), r"no parameter 'c' \(did you mean 'C'\?\)"),
        (
            lambda: communique.TfidfClassifier().set_params(ngrams=3),
            r"no parameter 'ngrams'.* Its parameters are: C, allow_large_groups",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        make()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"C": -1}, r"TfidfClassifier: a parameter is not valid.\n  C: must be greater than 0 \(given: -1\)"),
        ({"word_ngrams": 9}, "word_ngrams: must be less than or equal to 3"),
        ({"calibration": "plat"}, "calibration.method: must be 'platt', 'isotonic' or 'none'"),
        ({"kind": "finetune"}, r"TfidfClassifier is of kind 'tfidf'. Use Classifier\('finetune'\)"),
    ],
)
def test_a_value_is_checked_when_fitting(parameters: dict[str, Any], message: str, table: pd.DataFrame) -> None:
    classifier = communique.TfidfClassifier(**parameters)
    with pytest.raises(ExperimentError, match=message):
        classifier.fit(table.text, table.labels)


def test_a_clone_has_the_parameters_and_is_not_fitted(table: pd.DataFrame) -> None:
    fitted = communique.TfidfClassifier(C=3.0, seed=5).fit(table.text, table.labels)
    copy = clone(fitted.set_params(word_ngrams=1))
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "classes_")
    assert repr(copy) == "TfidfClassifier(C=3.0, seed=5, word_ngrams=1)"


def test_the_models_of_a_cascade_are_given_as_kinds_or_with_parameters() -> None:
    cascade = communique.Classifier("cascade", cheap={"kind": "tfidf", "C": 2.0}, expensive="embedding")
    model = cascade._experiment().model
    assert (model.cheap.C, model.expensive.kind) == (2.0, "embedding")


# -- the same as the commands


@pytest.fixture
def files(table: pd.DataFrame, isolated: Path) -> dict[str, str]:
    """The first documents as train.jsonl, the others as test.jsonl."""
    found = {}
    for name, part in (("train", table[:120]), ("test", table[120:])):
        found[name] = f"{name}.jsonl"
        part[["text", "labels", "document_id"]].to_json(found[name], orient="records", lines=True)
    return found


def trained(files: dict[str, str], codebook: Path, out: Path, *, tracked: bool = False) -> Any:
    content = {
        "data": {**files, "codebook": str(codebook)},
        "model": {"kind": "tfidf", "C": 3.0},
        "tracking": {"enabled": tracked},
    }
    return run_experiment(parse_experiment(content, "test"), out)


@pytest.fixture
def codebook_file(codebook: communique.Codebook, isolated: Path) -> Path:
    path = isolated / "small.toml"
    path.write_text(dump_codebook(codebook))
    return path


def test_fit_and_evaluate_do_what_train_does(table: pd.DataFrame, files: dict[str, str], codebook_file: Path) -> None:
    run = trained(files, codebook_file, Path("run"))
    train, test = table[:120], table[120:]
    fitted = communique.Classifier("tfidf", C=3.0, codebook=str(codebook_file)).fit(
        train.text, train.labels, train.document_id
    )
    np.testing.assert_array_equal(fitted.predict_proba(test.text), run.model.predict_proba(list(test.text)))
    np.testing.assert_array_equal(fitted.model_.calibration.thresholds, run.model.calibration.thresholds)
    saved = json.loads(Path("run/report.json").read_text())
    report = fitted.evaluate(test.text, test.labels, test.document_id, min_groups=20).to_dict()
    figures = ("macro_f1", "micro_f1", "subset_accuracy", "per_label", "calibration", "intervals", "n_test", "n_groups")
    assert {name: report[name] for name in figures} == {name: saved[name] for name in figures}


def test_a_run_its_artefact_and_its_mlflow_model_can_be_loaded(
    table: pd.DataFrame, files: dict[str, str], codebook_file: Path, mlflow_store: str
) -> None:
    run = trained(files, codebook_file, Path("run"), tracked=True)
    expected = run.model.label_sets(run.model.predict_proba(list(table.text[:8])))
    for source in ("run", Path("run"), "run/artefact", run.model_uri):
        loaded = communique.Classifier.load(source)
        assert isinstance(loaded, communique.TfidfClassifier)
        assert (loaded.C, loaded.seed, loaded.classes_.tolist()) == (3.0, 13, ["aid", "truce"])
        assert loaded.predict(table.text[:8]) == expected


@pytest.mark.parametrize("column", ["labels", "label"])
def test_a_saved_model_answers_as_before(column: str, table: pd.DataFrame, isolated: Path) -> None:
    fitted = communique.TfidfClassifier(C=3.0, seed=4).fit(table.text, table[column], table.document_id)
    fitted.save("mine")
    loaded = communique.Classifier.load("mine")
    assert loaded.get_params() == fitted.get_params() | {"codebook": fitted.codebook_}
    np.testing.assert_array_equal(loaded.predict_proba(table.text), fitted.predict_proba(table.text))
    assert list(loaded.predict(table.text)) == list(fitted.predict(table.text))
    assert fitted.model_.id == loaded.model_.id != ""


def test_saving_never_replaces_by_accident(table: pd.DataFrame, isolated: Path) -> None:
    fitted = communique.MajorityClassifier().fit(table.text, table.labels)
    fitted.save("mine")
    with pytest.raises(DataError, match=r"mine.* Choose another folder, or pass overwrite=True"):
        fitted.save("mine")
    fitted.save("mine", overwrite=True)
    assert isinstance(communique.Classifier.load("mine"), communique.MajorityClassifier)


def test_a_class_loads_only_models_of_its_kind(table: pd.DataFrame, isolated: Path) -> None:
    communique.MajorityClassifier().fit(table.text, table.labels).save("mine")
    with pytest.raises(
        ArtefactError, match=r"mine: the model is of kind majority\. Open the model with Classifier.load"
    ):
        communique.TfidfClassifier.load("mine")


def test_keywords_need_a_codebook_with_cues(table: pd.DataFrame, codebook: communique.Codebook) -> None:
    fitted = communique.KeywordsClassifier(codebook=codebook).fit(table.text, table.labels)
    assert fitted.predict(["Oslo pledged aid.", "Rain fell."]) == [("aid",), ()]


def test_what_a_reader_must_know_is_noted(table: pd.DataFrame) -> None:
    doubled = pd.concat([table, table[:1].assign(labels=[("truce",)])])
    fitted = communique.TfidfClassifier().fit(doubled.text, doubled.labels)
    assert any("with different labels" in note for note in fitted.notes_)
    report = fitted.evaluate(table.text, table.labels)
    assert set(fitted.notes_) <= set(report.notes)


# -- in scikit-learn's hands


def test_cross_validation_and_search_of_one_label_a_text(exclusive_table: pd.DataFrame) -> None:
    table = exclusive_table
    scores = cross_val_score(
        communique.TfidfClassifier(), table.text, table.label, groups=table.document_id, cv=GroupKFold(3)
    )
    assert scores.mean() > 0.9
    search = GridSearchCV(communique.TfidfClassifier(), {"C": [0.001, 10.0]}, scoring="f1_macro", cv=2, n_jobs=2)
    search.fit(table.text, table.label)
    assert search.best_score_ > 0.9
    assert search.predict(["The general threatened to burn the town."]).tolist() == ["threat"]


def test_cross_validation_and_search_of_several_labels_a_text(table: pd.DataFrame) -> None:
    y = indicator(table)
    for scoring in (None, "f1_macro"):
        assert cross_val_score(communique.TfidfClassifier(), table.text, y, scoring=scoring, cv=3).mean() > 0.8
    search = GridSearchCV(communique.TfidfClassifier(), {"word_ngrams": [1, 2]}, scoring="f1_micro", cv=2, n_jobs=2)
    search.fit(table.text, y)
    assert set(search.cv_results_["param_word_ngrams"]) == {1, 2}
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()


def test_probabilities_of_several_labels_are_scored(exclusive_table: pd.DataFrame) -> None:
    # Three labels: of two, scikit-learn takes the probabilities for those of two exclusive classes.
    y = pd.get_dummies(exclusive_table.label)
    scores = cross_val_score(communique.TfidfClassifier(), exclusive_table.text, y, scoring="roc_auc", cv=2)
    assert scores.mean() > 0.9


def test_sets_of_labels_can_be_cross_validated_with_given_folds(table: pd.DataFrame) -> None:
    scores = cross_val_score(
        communique.TfidfClassifier(), table.text, table.labels, groups=table.document_id, cv=GroupKFold(3)
    )
    assert scores.mean() > 0.8


@pytest.mark.parametrize("method", ["fit", "predict", "predict_proba", "score", "evaluate"])
def test_a_single_text_is_not_a_column(method: str, table: pd.DataFrame) -> None:
    classifier = communique.MajorityClassifier().fit(table.text, table.labels)
    arguments = ("Oslo pledged aid.",) if method.startswith("predict") else ("Oslo pledged aid.", [["aid"]])
    with pytest.raises(DataError, match=r"X is a single string, but a list is needed. Pass a list: \['Oslo"):
        getattr(classifier, method)(*arguments)


def test_a_method_that_needs_a_fitted_model_says_so() -> None:
    for method, arguments in (("predict", [["a"]]), ("save", ["mine"]), ("evaluate", [["a"], ["b"]])):
        with pytest.raises(ValueError, match="TfidfClassifier instance is not fitted yet"):
            getattr(communique.TfidfClassifier(), method)(*arguments)


def test_settings_of_an_evaluation_are_checked(table: pd.DataFrame) -> None:
    classifier = communique.MajorityClassifier().fit(table.text, table.labels)
    with pytest.raises(ExperimentError, match=r"evaluate: a parameter is not valid\.\n  evaluation.confidence: "):
        classifier.evaluate(table.text, table.labels, confidence=95)
    with pytest.raises(
        ColumnError, match=r"y\[0\]: label 'Aidd' is not in codebook 'labels' 1 \(did you mean 'aid'\?\)"
    ):
        classifier.evaluate(["a"], [["Aidd"]])
