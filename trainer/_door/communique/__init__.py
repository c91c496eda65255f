"""Code diplomatic statements from Python: one flat namespace for the packages `labels` and `trainer`.

    from communique import Classifier

    model = Classifier("tfidf").fit(texts, labels, groups=document_ids)
    print(model.evaluate(test_texts, test_labels))

Names are imported on first use, so `import communique` takes only a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook, load_codebook
    from labels.errors import CommuniqueError, InputError
    from labels.exchange.driver import export_file, import_file
    from labels.store import Store
    from labels.store.ingestion import ingest
    from trainer.data.corpus import load_gold, load_starter_corpus, measure_agreement, read_sentences, train_test_split
    from trainer.environment import shipped
    from trainer.estimate.adjusting.calibrating import calibrate
    from trainer.estimate.given.opening import Sources
    from trainer.estimate.results import Estimate
    from trainer.estimate.sources import estimate, regress
    from trainer.evaluation.report import Report
    from trainer.model.distill import distill
    from trainer.predict.bulk import predict_files
    from trainer.runs.estimator import Classifier
    from trainer.runs.kinds import (
        CascadeClassifier,
        ContrastiveClassifier,
        EmbeddingClassifier,
        FinetuneClassifier,
        KeywordsClassifier,
        MajorityClassifier,
        StaticClassifier,
        TfidfClassifier,
    )

    __version__: str

__all__ = [
    "CascadeClassifier",
    "Classifier",
    "Codebook",
    "CommuniqueError",
    "ContrastiveClassifier",
    "EmbeddingClassifier",
    "Estimate",
    "FinetuneClassifier",
    "InputError",
    "KeywordsClassifier",
    "MajorityClassifier",
    "Report",
    "Sources",
    "StaticClassifier",
    "Store",
    "TfidfClassifier",
    "__version__",
    "calibrate",
    "distill",
    "estimate",
    "export_file",
    "import_file",
    "ingest",
    "load_codebook",
    "load_gold",
    "load_starter_corpus",
    "measure_agreement",
    "predict_files",
    "read_sentences",
    "regress",
    "shipped",
    "train_test_split",
]
_PLACES = {
    "labels.codebook.schema": ("Codebook", "load_codebook"),
    "labels.errors": ("CommuniqueError", "InputError"),
    "labels.exchange.driver": ("export_file", "import_file"),
    "labels.store": ("Store",),
    "labels.store.ingestion": ("ingest",),
    "trainer.data.corpus": (
        "load_gold",
        "load_starter_corpus",
        "measure_agreement",
        "read_sentences",
        "train_test_split",
    ),
    "trainer.environment": ("shipped",),
    "trainer.estimate.adjusting.calibrating": ("calibrate",),
    "trainer.estimate.results": ("Estimate",),
    "trainer.estimate.given.opening": ("Sources",),
    "trainer.estimate.sources": ("estimate", "regress"),
    "trainer.evaluation.report": ("Report",),
    "trainer.model.distill": ("distill",),
    "trainer.predict.bulk": ("predict_files",),
    "trainer.runs.estimator": ("Classifier",),
    "trainer.runs.kinds": tuple(name for name in __all__ if name.endswith("Classifier") and name != "Classifier"),
}
_HOMES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # takes as long as the rest of this module

        return version("communique")
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    # Public names only, without the imports and constants of this module.
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
