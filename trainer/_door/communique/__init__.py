"""Code diplomatic statements from Python: one flat set of names over the packages `labels` and `trainer`.

    from communique import Classifier

    model = Classifier("tfidf").fit(texts, labels, groups=document_ids)
    print(model.evaluate(test_texts, test_labels))

Names are imported when they are first used, so that `import communique` takes a few milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labels.lazy import lazy_names

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook, load_codebook
    from labels.errors import CommuniqueError, InputError
    from labels.exchange.driver import export_file, import_file
    from labels.store import Store
    from labels.store.ingest import ingest
    from trainer.data.frames import load_gold, load_starter_corpus, measure_agreement, read_sentences, train_test_split
    from trainer.environment import shipped
    from trainer.evaluation.report import Report
    from trainer.runs.estimator import Classifier
    from trainer.runs.kinds import (
        CascadeClassifier,
        ContrastiveClassifier,
        EmbeddingClassifier,
        FinetuneClassifier,
        KeywordsClassifier,
        MajorityClassifier,
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
    "FinetuneClassifier",
    "InputError",
    "KeywordsClassifier",
    "MajorityClassifier",
    "Report",
    "Store",
    "TfidfClassifier",
    "__version__",
    "export_file",
    "import_file",
    "ingest",
    "load_codebook",
    "load_gold",
    "load_starter_corpus",
    "measure_agreement",
    "read_sentences",
    "shipped",
    "train_test_split",
]
_HOMES = {
    "CascadeClassifier": "trainer.runs.kinds",
    "Classifier": "trainer.runs.estimator",
    "Codebook": "labels.codebook.schema",
    "CommuniqueError": "labels.errors",
    "ContrastiveClassifier": "trainer.runs.kinds",
    "EmbeddingClassifier": "trainer.runs.kinds",
    "FinetuneClassifier": "trainer.runs.kinds",
    "InputError": "labels.errors",
    "KeywordsClassifier": "trainer.runs.kinds",
    "MajorityClassifier": "trainer.runs.kinds",
    "Report": "trainer.evaluation.report",
    "Store": "labels.store",
    "TfidfClassifier": "trainer.runs.kinds",
    "export_file": "labels.exchange.driver",
    "import_file": "labels.exchange.driver",
    "ingest": "labels.store.ingest",
    "load_codebook": "labels.codebook.schema",
    "load_gold": "trainer.data.frames",
    "load_starter_corpus": "trainer.data.frames",
    "measure_agreement": "trainer.data.frames",
    "read_sentences": "trainer.data.frames",
    "shipped": "trainer.environment",
    "train_test_split": "trainer.data.frames",
}
_find, __dir__ = lazy_names(__name__, {**_HOMES, "__version__": ""})


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # costs as much as all the rest

        return version("communique")
    return _find(name)
