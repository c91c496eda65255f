"""What a statement is, and who said so: codebooks, documents, sentences, annotations and the store that keeps them.

This package never imports `trainer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labels.lazy import lazy_names

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook, Label, load_codebook
    from labels.errors import CodebookError, CommuniqueError, DataError, InputError, StoreError
    from labels.records import Annotation, Document, Example, Sentence
    from labels.store import Store

_HOMES = {
    "Annotation": "labels.records",
    "Codebook": "labels.codebook.schema",
    "CodebookError": "labels.errors",
    "CommuniqueError": "labels.errors",
    "DataError": "labels.errors",
    "Document": "labels.records",
    "Example": "labels.records",
    "InputError": "labels.errors",
    "Label": "labels.codebook.schema",
    "Sentence": "labels.records",
    "Store": "labels.store",
    "StoreError": "labels.errors",
    "load_codebook": "labels.codebook.schema",
}
__all__ = [
    "Annotation",
    "Codebook",
    "CodebookError",
    "CommuniqueError",
    "DataError",
    "Document",
    "Example",
    "InputError",
    "Label",
    "Sentence",
    "Store",
    "StoreError",
    "load_codebook",
]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
