"""Classifiers as scikit-learn estimators: what `communique train`, `evaluate` and `predict` do, on columns in memory.

There is a class for each kind of model; its parameters are the keys of an experiment's section `[model]`, and those
that all kinds share come from `seed`, `[split]` and `[calibration]`. Fitting, calibration, evaluation and saving are
the functions that the commands call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import ArtefactError, ExperimentError, did_you_mean
from labels.files import output_folder, refuse_occupied
from trainer.calibration.calibration import Probabilities
from trainer.classifiers.base import label_matrix
from trainer.config.experiment import Experiment, describe_problems
from trainer.data.columns import Labelling, build_examples, read_texts
from trainer.data.dataset import dataset_of
from trainer.environment import silence_libraries
from trainer.evaluation.metrics import exact_match
from trainer.evaluation.report import Report
from trainer.model.model import Manifest, Model, save_artefact
from trainer.runs.evaluate import calibration_shortfalls, codebook_reference, evaluate_model
from trainer.runs.registry import fetch_artefact
from trainer.runs.run import fit_model, fitted_manifest

_LABELLING = "labelling"
"""The key of a manifest's details that says how labels were written where the model was fitted."""


@dataclass(eq=False, repr=False)
class _Parameters(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What all kinds are given: the codebook, and the keys of an experiment that do not belong to one kind."""

    kind: str
    _: KW_ONLY
    codebook: Codebook | str | Path | None = None
    seed: int = 13
    calibration: Literal["platt", "isotonic", "none"] = "platt"
    holdout: float = 0.15
    min_positives: int = 20
    crossfit: bool = False
    folds: int = 5
    allow_large_groups: bool = False

    def _content(self) -> dict[str, Any]:
        """The parameters where an experiment has them."""
        common = {field.name for field in fields(_Parameters)} - {"kind"}
        given = {name: getattr(self, name) for name in self._get_param_names() if name not in common}
        own = {name: value for name, value in given.items() if value is not None}  # None: left out, as in a file
        nested = {name: {"kind": own[name]} for name in ("cheap", "expensive") if isinstance(own.get(name), str)}
        calibration = {name: getattr(self, name) for name in ("holdout", "min_positives", "crossfit", "folds")}
        return {
            "name": type(self).__name__,
            "seed": self.seed,
            "model": own | nested,
            "calibration": {"method": self.calibration, **calibration},
            "split": {"allow_large_groups": self.allow_large_groups},
        }

    def _given_codebook(self) -> Codebook | None:
        return load_codebook(self.codebook) if isinstance(self.codebook, str | Path) else self.codebook


class Classifier(_Parameters):
    """A text classifier: `Classifier("tfidf", C=3.0)` is `TfidfClassifier(C=3.0)`.

    Texts and labels are columns: lists, pandas Series, numpy arrays or columns of a `datasets.Dataset`. Labels are a
    name for each text ("" for no label), a set of names for each text, or a table of 0 and 1 with a column for each
    label; predictions come in the same form. Parameters are checked in `fit`, their names at once.

    Attributes:
        classes_: (labels,) the labels as `y` had them, in codebook order: the columns of probabilities.
        codebook_: the codebook given, or the one inferred from `y`.
        model_: the calibrated model.
        notes_: what a reader of the model's figures must know, such as texts with contradictory labels.
    """

    def __new__(cls, kind: str | None = None, **parameters: Any) -> Self:
        """An estimator of a kind.

        Raises:
            ExperimentError: there is no such kind, or it has no such parameter.
        """
        target = _class_of(kind) if cls is Classifier else cls
        target._refuse_unknown(parameters)
        created: Self = super().__new__(target)
        return created

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit to labelled texts as `communique train` does: hold out a share of the groups, calibrate on it, and tune a
        threshold for each label.

        Args:
            X: n texts.
            y: n labels, n sets of labels, or an (n, labels) table of 0 and 1.
            groups: n documents, or other groups; texts of one group are never divided between training and validation.
                None: each text is a group. Near-duplicates are kept together in any case.

        Raises:
            ExperimentError: a parameter's value is not valid, or the texts cannot be divided or learned from.
            ColumnError: the columns cannot be read, or do not fit the codebook.
        """
        silence_libraries()
        experiment = self._experiment()
        texts = read_texts(X)
        labelling = Labelling.of(y, self._given_codebook())
        examples = build_examples(texts, labelling.label_sets(y), groups)
        dataset = dataset_of(examples, labelling.codebook, experiment, "y")
        fitted = fit_model(experiment, dataset)
        manifest = fitted_manifest(experiment, dataset, fitted)
        written = {_LABELLING: {"form": labelling.form, "classes": list(labelling.classes)}}
        self._adopt(fitted.model, manifest.model_copy(update={"details": manifest.details | written}), labelling)
        self.notes_ = (*dataset.notes, *fitted.model.classifier.notes)
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """(n, labels) calibrated probabilities in [0, 1], columns as in `classes_`.

        Labels that exclude each other sum to 1 in each row, or to less where a text may have no label.
        """
        check_is_fitted(self, "model_")
        return self.model_.predict_proba(read_texts(X))

    def predict(self, X: Any) -> Any:
        """The labels of n texts, in the form that `y` had: an array of names, a list of label sets, or a table of 0 and
        1 as an array.
        """
        check_is_fitted(self, "model_")
        return self._labelling.written(self.model_.decide(self.predict_proba(X)))

    def score(self, X: Any, y: Any) -> float:
        """The share of texts whose labels are all right: accuracy, or for several labels subset accuracy."""
        check_is_fitted(self, "model_")
        decided = self.model_.decide(self.predict_proba(X))
        examples = build_examples(read_texts(X), self._labelling.label_sets(y))
        return float(exact_match(label_matrix(examples, self.model_.labels), decided).mean())

    def evaluate(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        *,
        bootstrap: int = 1000,
        confidence: float = 0.95,
        min_groups: int = 20,
    ) -> Report:
        """Evaluate on labelled texts that the model was not fitted to.

        Args:
            X, y, groups: as for `fit`; intervals resample whole groups.
            bootstrap: resamples.
            confidence: of the intervals, in (0, 1).
            min_groups: with fewer groups there are no intervals.

        Raises:
            ColumnError: the columns cannot be read, or there is a label that the model does not know.
            ExperimentError: a setting is not valid.
        """
        check_is_fitted(self, "model_")
        content = {"bootstrap": bootstrap, "confidence": confidence, "min_groups": min_groups}
        settings = _validated({**self._content(), "evaluation": content}, "evaluate").evaluation
        examples = build_examples(read_texts(X), self._labelling.label_sets(y), groups, "test")
        _, report = evaluate_model(self.model_, examples, settings, self.seed)
        uncalibrated, notes = calibration_shortfalls(self.model_)
        return report.extended(
            kind=self.kind,
            seed=self.seed,
            codebook=codebook_reference(self._manifest),
            model_id=self.model_.id,
            uncalibrated=uncalibrated,
            notes=[*self.notes_, *notes],
        )

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Save as an artefact, which `load` and every command open.

        Raises:
            DataError: the folder is occupied; `overwrite` replaces a model that was saved there before.
        """
        check_is_fitted(self, "model_")
        out = Path(folder)
        refuse_occupied(out, overwrite=overwrite, repair="Choose another folder, or pass overwrite=True.")
        with output_folder(out, overwrite=overwrite) as draft:
            manifest = save_artefact(draft, self._manifest, self.codebook_, self.model_.classifier)
        self._adopt(replace(self.model_, manifest=manifest), manifest, self._labelling)

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Open a saved model: an artefact's folder, a run's folder, or an MLflow URI (`models:/NAME@champion`).

        Raises:
            ArtefactError: there is no such model, it was altered, or it is of another kind than this class.
        """
        silence_libraries()
        model = Model.load(fetch_artefact(str(source)))
        manifest = model.manifest
        assert manifest is not None
        target = _class_of(manifest.kind)
        if not issubclass(target, cls):
            raise ArtefactError(f"{source}: a model of kind {manifest.kind}. Open it with Classifier.load.")
        known = set(target._get_param_names())
        saved = {name: value for name, value in manifest.details.get("model", {}).items() if name in known}
        estimator = target(**saved, seed=manifest.seed, codebook=model.codebook)
        estimator._adopt(model, manifest, _saved_labelling(model.codebook, manifest))
        estimator.notes_ = model.classifier.notes
        return estimator

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name.

        Raises:
            ExperimentError: there is no such parameter.
        """
        self._refuse_unknown(parameters)
        changed: Self = super().set_params(**parameters)
        return changed

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn may assume: texts come in, and a text can have several labels."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.multi_output = tags.classifier_tags.multi_label = True
        return tags

    @classmethod
    def _refuse_unknown(cls, parameters: Mapping[str, Any]) -> None:
        known = cls._get_param_names()
        for name in parameters:
            if name not in known:
                hint = did_you_mean(name, known)
                raise ExperimentError(f"{cls.__name__} has no parameter '{name}'{hint}. It has: {', '.join(known)}.")

    def _experiment(self) -> Experiment:
        if self.kind != (own := _kind_of(type(self))):
            raise ExperimentError(f"{type(self).__name__} is of kind '{own}'. Use Classifier({self.kind!r}).")
        return _validated(self._content(), type(self).__name__)

    def _adopt(self, model: Model, manifest: Manifest, labelling: Labelling) -> None:
        self.model_, self._manifest, self._labelling = model, manifest, labelling
        self.codebook_ = labelling.codebook
        self.classes_ = np.asarray(labelling.classes)


def _kind_of(estimator: type[_Parameters]) -> str:
    return str(estimator.__dataclass_fields__["kind"].default)


def _class_of(kind: str | None) -> type[Classifier]:
    # The kinds are subclasses, in a module that imports this one.
    found: type[Classifier] = import_module("trainer.runs.kinds").estimator_class(str(kind))
    return found


def _validated(content: dict[str, Any], place: str) -> Experiment:
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        problems = (f"  {line.removeprefix('model.')}" for line in describe_problems(error, content))
        raise ExperimentError("\n".join([f"{place}: a parameter is not valid.", *problems])) from None


def _saved_labelling(codebook: Codebook, manifest: Manifest) -> Labelling:
    """As the model was fitted; one that a command trained takes and returns sets of the codebook's labels."""
    written = manifest.details.get(_LABELLING, {"form": "set", "classes": codebook.label_names})
    return Labelling(codebook, written["form"], tuple(written["classes"]))
