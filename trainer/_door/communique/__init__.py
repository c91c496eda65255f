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
    from labels.errors import CommuniqueError
    from labels.store import Store

    __version__: str

__all__ = [
    "Codebook",
    "CommuniqueError",
    "Store",
    "__version__",
    "load_codebook",
]
_HOMES = {
    "Codebook": "labels.codebook.schema",
    "CommuniqueError": "labels.errors",
    "Store": "labels.store",
    "load_codebook": "labels.codebook.schema",
}
_find, __dir__ = lazy_names(__name__, {**_HOMES, "__version__": ""})


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # costs as much as all the rest

        return version("communique")
    return _find(name)
