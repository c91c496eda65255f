"""What a statement is, and who said so: codebooks, documents, sentences, annotations and the store that keeps them.

This package never imports `trainer`.
"""

from labels.codebook import Codebook, Label, load_codebook
from labels.errors import CodebookError, CommuniqueError, DataError, InputError, StoreError
from labels.records import Annotation, Document, Example, Sentence

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
    "StoreError",
    "load_codebook",
]
