"""Kind of model -> its class, imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from labels.codebook import Codebook
from labels.progress import Progress
from trainer.classifiers.base import Classifier
from trainer.errors import ArtefactError

if TYPE_CHECKING:
    from trainer.config.models import ModelSection

CLASSES = {
    "majority": "trainer.classifiers.majority:MajorityClassifier",
    "keywords": "trainer.classifiers.keywords:KeywordsClassifier",
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


def build_classifier(section: ModelSection, codebook: Codebook, seed: int, progress: Progress | None) -> Classifier:
    """A classifier to be fitted, as the experiment's model section describes it."""
    build = classifier_class(section.kind)
    built: Classifier = build(codebook, section, seed, progress)  # type: ignore[call-arg]
    return built
