"""What every classifier is: the protocol, and the target matrices that they are fitted to.

Kind of model -> its class, imported only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError, ExperimentError
from labels.records import Example
from trainer.arrays import Probabilities

if TYPE_CHECKING:
    from trainer.calibration.calibration import Calibration
    from trainer.config.models import ModelSection


class Classifier(Protocol):
    """A model that can be fitted, asked, saved and loaded. Probabilities are raw: calibration comes after.

    `labels` are in codebook order. `needs_calibration` is false where the probabilities are frequencies already and
    thresholds would only undo what the model means to say. `distributed`: several processes can train it together.
    `stops_early`: fitting looks at validation. `notes` are what the report should say of the training.
    """

    labels: tuple[str, ...]
    needs_calibration: bool
    distributed: bool
    stops_early: bool
    notes: tuple[str, ...]

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Fit to `examples`; `validation` may be used to stop early, never to fit."""
        ...

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) raw probabilities in [0, 1]; exclusive rows sum to at most 1, without none to 1."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs into an existing, empty folder; never a pickle."""
        ...

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """The classifier that `save` wrote."""
        ...

    def describe(self) -> dict[str, Any]:
        """Plain values for the manifest: what it was built from (encoder, pooling, sizes...)."""
        ...


@runtime_checkable
class EncodingClassifier(Classifier, Protocol):
    """A classifier that reads texts through an encoder: `predict_proba` is `predict_embedded` of `embed`.

    Who wants the vectors too (`communique score`) asks for the two steps, and encodes each text once.
    """

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) vectors of the classifier's own encoder."""
        ...

    def predict_embedded(self, vectors: NDArray[np.float32]) -> Probabilities:
        """(n, labels) raw probabilities from the vectors that `embed` gave."""
        ...


@runtime_checkable
class CalibratedClassifier(Classifier, Protocol):
    """A classifier whose probabilities are calibrated already; `calibration_` leaves them alone and has the thresholds.

    Before `fit` the thresholds are placeholders.
    """

    calibration_: Calibration


@runtime_checkable
class ResumableClassifier(Classifier, Protocol):
    """A classifier whose training, where it was interrupted, goes on in a folder of checkpoints.

    `checkpoints` is set before `fit`; whoever sets it deletes the folder when all is saved.
    """

    checkpoints: Path | None


@runtime_checkable
class Exportable(Protocol):
    """What a classifier has besides that can be written as one that runs on onnxruntime.

    Methods alone, so that a class can be asked too whether it is one (`issubclass`).
    """

    def is_exported(self) -> bool:
        """Whether it runs on onnxruntime already."""
        ...

    def why_not_exported(self, *, int8: bool) -> str:
        """Why this one cannot be exported so, and what to do instead; empty where it can."""
        ...

    def read_by_exported(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(n,): which texts are read by what is exported; no other text can check it."""
        ...

    def save_exported(self, folder: Path, *, int8: bool) -> None:
        """Write what `save` does into an existing, empty folder, but so that `load` opens it on onnxruntime.

        Args:
            int8: with weights of 8 bits.

        Raises:
            ArtefactError: it cannot be exported so.
        """
        ...


def refuse_one_class(examples: Sequence[Example], labels: Sequence[str], *, exclusive: bool) -> None:
    """Raise where a classifier of `labels` could only be fitted to say the same of every text.

    Raises:
        ExperimentError: all examples bear every label there is, or are of one class of an exclusive codebook.
    """
    sets = {frozenset(example.labels) for example in examples}
    if len(sets) == 1 and (exclusive or sets == {frozenset(labels)}):
        borne = ", ".join(sorted(*sets)) or "no label"
        raise ExperimentError(
            f"all {len(examples)} train examples bear {borne}, so that there is nothing to tell apart. "
            "Add examples that bear another label, or none."
        )


def label_matrix(examples: Sequence[Example], labels: Sequence[str]) -> NDArray[np.bool_]:
    """(n, labels) gold, columns in the order of `labels`."""
    column = {name: position for position, name in enumerate(labels)}
    matrix = np.zeros((len(examples), len(labels)), dtype=bool)
    for row, example in enumerate(examples):
        matrix[row, [column[label] for label in example.labels]] = True
    return matrix


def class_indices(matrix: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n,) class of each row of an exclusive codebook; rows without a label get the index after the last label."""
    return np.asarray(np.where(matrix.any(axis=1), matrix.argmax(axis=1), matrix.shape[1]), dtype=np.int64)


def count_outputs(codebook: Codebook) -> int:
    """How many outputs a head needs: one a label, and one for "none" where that is a class of its own."""
    return len(codebook.labels) + (codebook.exclusive and codebook.allow_none)


def output_probabilities(logits: NDArray[np.floating[Any]], n_labels: int, *, exclusive: bool) -> Probabilities:
    """(n, labels) from the (n, outputs) logits of a head: sigmoid of each, or softmax without the column of "none"."""
    from scipy.special import expit, softmax

    if not exclusive:
        return np.asarray(expit(logits), dtype=np.float32)
    return np.ascontiguousarray(softmax(logits, axis=1)[:, :n_labels], dtype=np.float32)


def not_fitted() -> ExperimentError:
    """The error of a classifier that is asked before it was fitted."""
    return ExperimentError("this classifier was not fitted: call `fit`, or load a saved one.")


CLASSES = {
    "majority": "trainer.classifiers.baselines:MajorityClassifier",
    "keywords": "trainer.classifiers.baselines:KeywordsClassifier",
    "tfidf": "trainer.classifiers.tfidf:TfidfClassifier",
    "embedding": "trainer.classifiers.embedding:EmbeddingClassifier",
    "contrastive": "trainer.classifiers.contrastive:ContrastiveClassifier",
    "finetune": "trainer.classifiers.finetune:FinetuneClassifier",
    "cascade": "trainer.classifiers.cascade:CascadeClassifier",
}


def classifier_class(kind: str) -> type[Classifier]:
    """The class of a kind.

    Raises:
        ArtefactError: this version knows no such kind.
    """
    if kind not in CLASSES:
        raise ArtefactError(
            f"kind '{kind}' is not known to this version; it knows {', '.join(CLASSES)}. Upgrade communique."
        )
    module, name = CLASSES[kind].split(":")
    found: type[Classifier] = getattr(import_module(module), name)
    return found


def build_classifier(section: ModelSection, codebook: Codebook, seed: int) -> Classifier:
    """A classifier to be fitted, as the experiment's model section describes it."""
    build = classifier_class(section.kind)
    built: Classifier = build(codebook, section, seed)  # type: ignore[call-arg]
    return built
