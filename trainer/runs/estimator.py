"""Classifiers as scikit-learn estimators: `communique train`, `evaluate` and `predict` for columns in memory.

Each kind of model has a class. Its parameters are the keys of the section `[model]` in an experiment; the parameters
that all kinds share come from `seed`, `[split]` and `[calibration]`. Estimators and commands call the same functions to
fit, calibrate, evaluate and save.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from labels.output.folders import output_folder, refuse_occupied
from trainer.calibration.calibration import Probabilities
from trainer.classifiers.base import label_matrix
from trainer.classifiers.explanations import Explanation
from trainer.config.experiment import Experiment, describe_problems
from trainer.data.columns import Labelling, build_examples, read_texts
from trainer.data.dataset import dataset_of
from trainer.environment import silence_libraries
from trainer.evaluation.metrics import exact_match
from trainer.evaluation.report import Report
from trainer.model.model import Manifest, Model, save_artefact
from trainer.runs.evaluate import calibration_shortfalls, codebook_reference, evaluate_model, predict_examples
from trainer.runs.fitting import fit_model
from trainer.runs.run import fitted_manifest
from trainer.runs.tracking.registry import fetch_artefact

_LABELLING = "labelling"
"""Key of a manifest's details with the form of the labels that the model was fitted to."""


@dataclass(eq=False, repr=False)
class _Parameters(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The parameters that all kinds share: the codebook, and the experiment keys outside [model]."""

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
        """Return the parameters as the content of an experiment file."""
        # Every parameter that is not shared by all kinds is a key of [model].
        common = {field.name for field in fields(_Parameters)} - {"kind"}
        given = {name: getattr(self, name) for name in self._get_param_names() if name not in common}
        own = {name: value for name, value in given.items() if value is not None}  # None: left out, as in a file
        # A cascade accepts the name of a kind in place of a whole section.
        nested: dict[str, Any] = {name: _section(own[name]) for name in ("cheap", "expensive") if name in own}
        if "middle" in own:
            nested["middle"] = [_section(member) for member in own["middle"]]
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


def _section(member: str | Mapping[str, Any]) -> Mapping[str, Any]:
    return {"kind": member} if isinstance(member, str) else member


class Classifier(_Parameters):
    """A text classifier: `Classifier("tfidf", C=3.0)` is `TfidfClassifier(C=3.0)`.

    Texts and labels are columns: lists, pandas Series, numpy arrays or columns of a `datasets.Dataset`. Labels are one
    name per text ("" for no label), one set of names per text, or a table of 0 and 1 with one column per label.
    Predictions have the same form. Parameter names are checked at construction, parameter values in `fit`.

    Attributes:
        classes_: (labels,) the labels as written in `y`, in codebook order: the columns of `predict_proba`.
        codebook_: the codebook passed as a parameter, or the codebook inferred from `y`.
        model_: the calibrated model.
        notes_: caveats for readers of the model's figures, such as texts with contradictory labels.
    """

    def __new__(cls, kind: str | None = None, **parameters: Any) -> Self:
        """Create an estimator of a kind.

        Raises:
            ExperimentError: the kind does not exist, or it lacks one of the parameters.
        """
        # Python then calls `__init__` of the subclass with the same arguments, so that `Classifier("tfidf", C=3.0)` has
        # the parameters of its kind, as scikit-learn's `clone` and `get_params` need.
        target = _class_of(kind) if cls is Classifier else cls
        target._refuse_unknown(parameters)
        created: Self = super().__new__(target)
        return created

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit to labelled texts, as `communique train` does.

        A share of the groups is held out for calibration and for choosing a threshold per label.

        Args:
            X: n texts.
            y: n labels, n sets of labels, or an (n, labels) table of 0 and 1.
            groups: the document, or another group, of each of the n texts. Texts of one group are never divided between
                training and validation. If None, each text is a group. Near-duplicates are always kept together.

        Raises:
            ExperimentError: a parameter value is not valid, or the texts cannot be divided or learned from.
            ColumnError: the columns cannot be read, or do not match the codebook.
        """
        silence_libraries()
        experiment = self._experiment()
        texts = read_texts(X)
        labelling = Labelling.of(y, self._given_codebook())
        examples = build_examples(texts, labelling.label_sets(y), groups)
        dataset = dataset_of(examples, labelling.codebook, experiment, "y")
        fitted = fit_model(experiment, dataset)
        validation = predict_examples(fitted.model, dataset.parts["validation"])
        manifest = fitted_manifest(experiment, dataset, fitted, validation)
        # Stored with the model, so that a loaded estimator predicts in the form in which `y` was written.
        written = {_LABELLING: {"form": labelling.form, "classes": list(labelling.classes)}}
        self._adopt(fitted.model, manifest.model_copy(update={"details": manifest.details | written}), labelling)
        self.notes_ = (*dataset.notes, *fitted.model.classifier.notes)
        return self

    def predict_proba(self, X: Any) -> Probabilities:
        """Return calibrated probabilities in [0, 1], of shape (n, labels), with columns as in `classes_`.

        With an exclusive codebook, each row sums to 1, or to at most 1 if a text may have no label.
        """
        check_is_fitted(self, "model_")
        return self.model_.predict_proba(read_texts(X))

    def predict(self, X: Any) -> Any:
        """Return the labels of n texts in the form of `y`: an array of names, a list of tuples, or an (n, labels) array
        of 0 and 1.
        """
        check_is_fitted(self, "model_")
        return self._labelling.written(self.model_.decide(self.predict_proba(X)))

    def explain(self, X: Any, labels: Sequence[str] | None = None, top_k: int | None = None) -> list[list[Explanation]]:
        """Return what each word of n texts adds to the logits of labels, a list of explanations for each text.

        Args:
            labels: labels as in `classes_`; None for the predicted labels of each text, or for its most probable label.
            top_k: number of words with the largest weights; None for all words.

        Raises:
            InputError: the model cannot be explained, or it has no such label.
        """
        check_is_fitted(self, "model_")
        names = dict(zip(self.classes_, self.model_.labels, strict=True))
        written = dict(zip(self.model_.labels, self.classes_, strict=True))
        chosen = None if labels is None else [names.get(label, label) for label in labels]
        found = self.model_.explain(read_texts(X), labels=chosen, top_k=top_k)
        return [[replace(one, label=str(written[one.label])) for one in own] for own in found]

    def score(self, X: Any, y: Any) -> float:
        """Return the share of texts whose labels are all correct: accuracy, or subset accuracy for several labels."""
        check_is_fitted(self, "model_")
        decided = self.model_.decide(self.predict_proba(X))
        # Converted to names of the codebook first: labels may be written in another order or form than in `fit`.
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
            X, y, groups: as for `fit`. Intervals treat the groups as independent.
            bootstrap: number of resamples, where intervals come from a bootstrap.
            confidence: confidence level of the intervals, in (0, 1).
            min_groups: minimum number of groups for intervals.

        Raises:
            ColumnError: the columns cannot be read, or contain a label that the model does not have.
            ExperimentError: a setting is not valid.
        """
        check_is_fitted(self, "model_")
        content = {"bootstrap": bootstrap, "confidence": confidence, "min_groups": min_groups}
        # Validated as the section [evaluation] of an experiment, so that limits and messages are the same.
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
        """Save the model as an artefact, which `load` and all commands can open.

        Raises:
            DataError: the folder is not empty. `overwrite=True` replaces a model that was saved there before.
        """
        check_is_fitted(self, "model_")
        out = Path(folder)
        refuse_occupied(out, overwrite=overwrite, repair="Choose another folder, or pass overwrite=True.")
        with output_folder(out, overwrite=overwrite) as draft:
            manifest = save_artefact(draft, self._manifest, self.codebook_, self.model_.classifier)
        # The model's id is a digest of its files, which are known only now.
        self._adopt(replace(self.model_, manifest=manifest), manifest, self._labelling)

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Open a saved model: the folder of an artefact or a run, or an MLflow URI (`models:/NAME@champion`).

        Raises:
            ArtefactError: the model does not exist, was altered, or is of another kind than this class.
        """
        silence_libraries()
        model = Model.load(fetch_artefact(str(source)))
        manifest = model.manifest
        assert manifest is not None
        target = _class_of(manifest.kind)
        if not issubclass(target, cls):
            raise ArtefactError(f"{source}: the model is of kind {manifest.kind}. Open the model with Classifier.load.")
        # A model of another version may have parameters that no longer exist.
        known = set(target._get_param_names())
        saved = {name: value for name, value in manifest.details.get("model", {}).items() if name in known}
        estimator = target(**saved, seed=manifest.seed, codebook=model.codebook)
        estimator._adopt(model, manifest, _saved_labelling(model.codebook, manifest))
        estimator.notes_ = model.classifier.notes
        return estimator

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name.

        Raises:
            ExperimentError: a parameter does not exist.
        """
        self._refuse_unknown(parameters)
        changed: Self = super().set_params(**parameters)
        return changed

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: the input is a column of texts, and a text can have several labels."""
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
                raise ExperimentError(
                    f"{cls.__name__} has no parameter '{name}'{hint}. Its parameters are: {', '.join(known)}."
                )

    def _experiment(self) -> Experiment:
        # scikit-learn allows `set_params(kind=...)`, but an object cannot change its class.
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
    # Imported here: `trainer.runs.kinds` defines the subclasses and imports this module.
    found: type[Classifier] = import_module("trainer.runs.kinds").estimator_class(str(kind))
    return found


def _validated(content: dict[str, Any], place: str) -> Experiment:
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        problems = (f"  {line.removeprefix('model.')}" for line in describe_problems(error, content))
        raise ExperimentError("\n".join([f"{place}: a parameter is not valid.", *problems])) from None


def _saved_labelling(codebook: Codebook, manifest: Manifest) -> Labelling:
    """Return the labelling of the fitted columns; for a model trained by a command, sets of the codebook's labels."""
    written = manifest.details.get(_LABELLING, {"form": "set", "classes": codebook.label_names})
    return Labelling(codebook, written["form"], tuple(written["classes"]))
