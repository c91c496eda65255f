"""Whether a model was trained on the sentences that it is evaluated on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from labels.errors import CommuniqueError, counted
from labels.records import Example, plain_text
from trainer.data.splits import Split
from trainer.model.model import Manifest

DOCUMENT = "document:"
"""Prefix of the ids of documents in `Manifest.training_ids`."""


def text_id(text: str) -> str:
    """Return 12 hex digits that identify a text, whatever its case and white space."""
    plain = " ".join(plain_text(text).casefold().split())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def training_ids(examples: Iterable[Example]) -> tuple[str, ...]:
    """Return the ids of the texts from which a model has learned, for its manifest: sorted, each once.

    Ids of texts and not of examples, because a file without ids numbers its rows by its role. The ids of the documents
    follow, each with `DOCUMENT` before it.
    """
    examples = list(examples)
    documents = {f"{DOCUMENT}{example.document_id}" for example in examples if example.document_id}
    return (*sorted({text_id(example.text) for example in examples}), *sorted(documents))


def seen_examples(manifest: Manifest, artefact: Path, examples: Sequence[Example]) -> list[Example]:
    """Return the examples from which a model has learned, in train or validation.

    Models of older versions do not record their texts; for these, the ids in the split of their run are compared.
    """
    if manifest.training_ids:
        known = set(manifest.training_ids)
        return [example for example in examples if text_id(example.text) in known]
    try:
        split = Split.load(artefact.parent / "split.json")
    except CommuniqueError:
        return []
    learned = {*split.train, *split.validation}
    return [example for example in examples if example.id in learned]


def seen_note(manifest: Manifest, artefact: Path, examples: Sequence[Example], model: str = "") -> list[str]:
    """Return a caveat for the report if the model has learned from some of the examples; else an empty list.

    Args:
        model: the name of the model, if the figures are those of several models.
    """
    seen = seen_examples(manifest, artefact, examples)
    if not seen:
        return []
    of = f"{len(seen)} of {counted(len(examples), 'sentence')} {'was' if len(seen) == 1 else 'were'}"
    whose, figures = (f"the training data of {model}", "its") if model else ("this model's training data", "the")
    return [
        f"{of} in {whose} (train or validation), e.g. '{seen[0].text[:60]}': {figures} figures are better "
        "than on new sentences. Remove these rows, or evaluate on sentences that the model has never seen; the figures "
        "on its own test part are in the report.json of its run"
    ]
