"""Define the interface of classifiers, list their kinds, and share code for targets, outputs and probabilities.

**Plug-ins.** A package adds a kind of model through an entry point in the group `communique.classifiers`:

    # pyproject.toml
    [project.entry-points."communique.classifiers"]
    shout = "communique_shout:PLUGIN"

    # communique_shout.py
    import json
    from typing import Literal

    import numpy as np

    from trainer.classifiers.base import Classifier, label_matrix
    from trainer.config.models import ClassifierPlugin, Positive, Section

    class ShoutSection(Section):
        kind: Literal["shout"]
        prior: Positive = 1.0

    class ShoutClassifier(Classifier):
        def __init__(self, codebook, section, seed):
            self.labels, self.prior = codebook.label_names, section.prior
            self.rates = [[0.0, 0.0] for _ in self.labels]

        def fit(self, examples, validation):
            gold = label_matrix(examples, self.labels)
            shouts = self.shouts([example.text for example in examples])
            for value in (0, 1):
                rows = gold[shouts == value]
                for column, rate in enumerate(self.rates):
                    rate[value] = float((rows[:, column].sum() + self.prior) / (len(rows) + 2 * self.prior))
            return self

        def predict_proba(self, texts):
            rates = np.array(self.rates, dtype=np.float32)
            return rates[:, self.shouts(texts)].T

        @staticmethod
        def shouts(texts):
            return np.array(["!" in text for text in texts], dtype=int)

        def save(self, folder):
            (folder / "rates.json").write_text(json.dumps(self.rates), encoding="utf-8")

        @classmethod
        def load(cls, folder, codebook):
            classifier = cls(codebook, ShoutSection(kind="shout"), seed=0)
            classifier.rates = json.loads((folder / "rates.json").read_text(encoding="utf-8"))
            return classifier

        def describe(self):
            return {"prior": self.prior}

    PLUGIN = ClassifierPlugin(api=1, section=ShoutSection, classifier="communique_shout:ShoutClassifier")

Then `[model] kind = "shout"` works in experiments, including as any model of a cascade. The section class checks the
other keys of `[model]`. `api` is the version of this interface for which the plug-in was written. The current version
is 1; plug-ins for newer versions are refused. The interface consists of `Classifier`, the public functions of this
module, `ClassifierPlugin` and `Section`. A plug-in cannot replace a built-in kind. A plug-in that cannot be loaded is
reported in one line that names its package, and does not affect other kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError, ExperimentError, InputError
from labels.records import Example
from trainer.calibration.calibration import Bools, Calibration, Probabilities
from trainer.config.models import PLUGINS, ModelSection, find_plugin, kind_names

Part = TypeVar("Part")


class Classifier(Protocol):
    """A model that can be fitted, saved and loaded, and that predicts raw probabilities, which are calibrated later.

    The constructor takes the codebook, the model's section of the experiment, and the seed.

    Attributes:
        labels: label names in codebook order.
        needs_calibration: false if the probabilities are already frequencies, which thresholds would distort.
        distributed: whether several processes can train the classifier together.
        stops_early: whether `fit` uses the validation examples.
        notes: remarks on the training run for the report.
    """

    labels: tuple[str, ...]
    needs_calibration: bool = True
    distributed: bool = False
    stops_early: bool = False
    notes: tuple[str, ...] = ()

    def __init__(self, codebook: Codebook, section: Any, seed: int) -> None: ...

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Fit to `examples`; `validation` may only be used for early stopping."""

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return raw probabilities in [0, 1], of shape (n, labels).

        For an exclusive codebook each row sums to at most 1, or to exactly 1 if the codebook does not allow "none".
        """

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs to an existing, empty folder; pickles are not allowed."""

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Load a classifier written by `save`."""

    def describe(self) -> dict[str, Any]:
        """Return plain values for the manifest, for example encoder, pooling and sizes."""


_METHODS = ("__init__", "fit", "predict_proba", "save", "load", "describe")
"""The methods that a subclass must define: methods inherited from the protocol have empty bodies."""


@runtime_checkable
class EncodingClassifier(Classifier, Protocol):
    """A classifier with an encoder: `predict_proba(texts)` equals `predict_embedded(embed(texts))`.

    `communique score` also needs the vectors: it calls the two steps separately and encodes each text only once.
    """

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors of shape (n, dimensions) from the classifier's own encoder."""

    def predict_embedded(self, vectors: NDArray[np.float32]) -> Probabilities:
        """Return raw probabilities of shape (n, labels) for vectors from `embed`."""


@runtime_checkable
class CalibratedClassifier(Classifier, Protocol):
    """A classifier whose probabilities are already calibrated; `calibration_` only contains the thresholds.

    Before `fit` the thresholds are placeholders.
    """

    calibration_: Calibration


@runtime_checkable
class UnlabelledClassifier(Classifier, Protocol):
    """A classifier that also learns from texts without labels, which the caller sets before `fit`."""

    unlabelled: Sequence[str]


@runtime_checkable
class Student(Classifier, Protocol):
    """A classifier that can learn from the probabilities of another classifier, its teacher, instead of labels."""

    def learn(self, texts: Sequence[str], probabilities: Probabilities, teacher: Classifier) -> Self:
        """Fit to the (n, labels) probabilities that a teacher has for n texts.

        Args:
            teacher: the fitted classifier behind the probabilities, whose encoder a student may start from.
        """


@runtime_checkable
class ResumableClassifier(Classifier, Protocol):
    """A classifier whose training can be interrupted and resumed from a folder of checkpoints.

    Set `checkpoints` before `fit`. The caller deletes the folder after saving the model.
    """

    checkpoints: Path | None


@runtime_checkable
class Exportable(Protocol):
    """The additional methods of a classifier that can be exported to onnxruntime.

    The protocol has methods only, because `issubclass` does not accept protocols with other attributes.
    """

    def is_exported(self) -> bool:
        """Return whether the classifier already runs on onnxruntime."""

    def why_not_exported(self, *, int8: bool) -> str:
        """Return why this classifier cannot be exported in this precision, and an alternative; empty if it can."""

    def read_by_exported(self, texts: Sequence[str]) -> Bools:
        """Return an array (n,) that is true for texts that reach the exported part; only these can check the export."""

    def save_exported(self, folder: Path, *, int8: bool) -> None:
        """Like `save`, but `load` opens the result on onnxruntime.

        Args:
            int8: use 8-bit weights.

        Raises:
            ArtefactError: the classifier cannot be exported in this precision.
        """


def refuse_one_class(examples: Sequence[Example], labels: Sequence[str], *, exclusive: bool) -> None:
    """Refuse examples from which a classifier could learn only one answer.

    Raises:
        ExperimentError: all examples have every label, or all belong to one class of an exclusive codebook.
    """
    sets = {frozenset(example.labels) for example in examples}
    if len(sets) == 1 and (exclusive or sets == {frozenset(labels)}):
        shared = ", ".join(sorted(*sets)) or "no label"
        raise ExperimentError(
            f"all {len(examples)} train examples have {shared}, so there is nothing to distinguish. "
            "Add examples with another label or without a label."
        )


def label_matrix(examples: Sequence[Example], labels: Sequence[str]) -> Bools:
    """Return the gold as booleans of shape (n, labels), with columns in the order of `labels`."""
    column = {name: position for position, name in enumerate(labels)}
    # A label outside `labels` raises KeyError below: dropping the label would silently change the gold.
    matrix = np.zeros((len(examples), len(labels)), dtype=bool)
    for row, example in enumerate(examples):
        matrix[row, [column[label] for label in example.labels]] = True
    return matrix


Weights = NDArray[np.float32] | None
"""The (n,) training weights of examples; None if all are 1."""


def example_weights(examples: Sequence[Example]) -> Weights:
    """Return the (n,) training weights of the examples; None if all are 1."""
    weights = np.array([example.weight for example in examples], dtype=np.float32)
    return weights if (weights != 1).any() else None


def class_indices(matrix: Bools) -> NDArray[np.int64]:
    """Return the (n,) class indices of the rows, for an exclusive codebook; "none" comes after the last label."""
    return np.asarray(np.where(matrix.any(axis=1), matrix.argmax(axis=1), matrix.shape[1]), dtype=np.int64)


def count_outputs(codebook: Codebook) -> int:
    """Return the number of outputs of a head: one per label, and one for "none" if an exclusive codebook allows it."""
    return len(codebook.labels) + (codebook.exclusive and codebook.allow_none)


def output_probabilities(logits: NDArray[np.floating[Any]], n_labels: int, *, exclusive: bool) -> Probabilities:
    """Convert (n, outputs) logits to (n, labels) probabilities: the sigmoid, or the softmax without column "none"."""
    from scipy.special import expit, softmax

    if not exclusive:
        return np.asarray(expit(logits), dtype=np.float32)
    return np.ascontiguousarray(softmax(logits, axis=1)[:, :n_labels], dtype=np.float32)


def not_fitted() -> ExperimentError:
    """Make the error for a classifier that is used before it is fitted."""
    return ExperimentError("this classifier is not fitted. Call `fit`, or load a saved classifier.")


def fitted(part: Part | None) -> Part:
    """Return a part of a classifier that is set by `fit` or `load`.

    Raises:
        ExperimentError: the part is None, because the classifier is not fitted.
    """
    if part is None:
        raise not_fitted()
    return part


CLASSES = {
    "majority": "trainer.classifiers.baselines:MajorityClassifier",
    "keywords": "trainer.classifiers.baselines:KeywordsClassifier",
    "tfidf": "trainer.classifiers.tfidf:TfidfClassifier",
    "static": "trainer.classifiers.students.static:StaticClassifier",
    "embedding": "trainer.classifiers.linear:EmbeddingClassifier",
    "contrastive": "trainer.classifiers.contrastive:ContrastiveClassifier",
    "finetune": "trainer.classifiers.finetune:FinetuneClassifier",
    "cascade": "trainer.classifiers.cascades.cascade:CascadeClassifier",
}
"""Maps each built-in kind to `module:Class`, which is imported only when needed."""


def classifier_class(kind: str) -> type[Classifier]:
    """Return the class of a kind, which may be built in or come from a plug-in.

    Raises:
        ArtefactError: there is no such kind.
        InputError: the plug-in cannot be used; the message is one line that names the package.
    """
    if kind in CLASSES:
        module, name = CLASSES[kind].split(":")
        found: type[Classifier] = getattr(import_module(module), name)
        return found
    plugin = find_plugin(kind)
    if plugin is None:
        raise ArtefactError(
            f"kind '{kind}' is unknown to this version of communique. Known kinds: {', '.join(kind_names())}. "
            "Upgrade communique, or install the package that adds it."
        )
    return _plugin_class(kind, plugin.classifier)


def _plugin_class(kind: str, place: str) -> type[Classifier]:
    try:
        module, name = place.split(":")
        found = getattr(import_module(module), name)
    except Exception as error:  # the plug-in's code may raise anything on import
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise _unusable(kind, f"'{place}' cannot be loaded ({reason})") from error
    if not isinstance(found, type) or Classifier not in found.__mro__:
        raise _unusable(kind, f"'{place}' is not a subclass of trainer.classifiers.base.Classifier")
    # A method that is only inherited from the protocol has an empty body and would return None.
    owners = {name: next(owner for owner in found.__mro__ if name in vars(owner)) for name in _METHODS}
    missing = [name for name, owner in owners.items() if owner is Classifier]
    if missing:
        raise _unusable(kind, f"'{place}' does not define {', '.join(missing)}")
    return found


def _unusable(kind: str, problem: str) -> InputError:
    return InputError(f"{PLUGINS.describe(kind)}: {problem}. Update or uninstall that package.")


def build_classifier(section: ModelSection, codebook: Codebook, seed: int) -> Classifier:
    """Build an unfitted classifier from the experiment's model section."""
    build = classifier_class(section.kind)
    return build(codebook, section, seed)
