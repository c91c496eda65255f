"""Texts without labels: the sentences of a file, a folder or the label store, from which some kinds also learn."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labels.environment.settings import load_settings
from labels.errors import ExperimentError
from labels.text.documents import find_files, read_file
from labels.text.sentences import split_sentences

STORE, NONE = "store", ("", "none")
"""The values of `model.unlabelled` for the label store, and for no texts."""


def read_corpus(place: str | Path, key: str = "") -> tuple[list[str], NDArray[np.int64]]:
    """Read a file or folder, and return its n sentences without boilerplate and the (n,) numbers of their documents.

    Args:
        key: the setting that names the place, for messages.

    Raises:
        DataError: the path does not exist, or has an unsupported extension.
        ExperimentError: there are no sentences.
    """
    texts: list[str] = []
    documents: list[str] = []
    problems: list[str] = []
    for path in find_files([place]).files:
        for document in read_file(path, problems.append, columns=("document_id",)):
            # The rows of a table may be sentences of one document.
            name = str(document.kept.get("document_id") or document.id)
            own = [sentence.text for sentence in split_sentences(document) if not sentence.boilerplate]
            texts += own
            documents += [name] * len(own)
    if not texts:
        why = f" ({problems[0]})" if problems else ""
        raise ExperimentError(f"{key}{place}: this corpus has no sentences{why}. Name a file or folder with texts.")
    _, groups = np.unique(documents, return_inverse=True)
    return texts, np.asarray(groups)


def read_unlabelled(
    place: str, known: Collection[str] = (), *, store: str = "", key: str = "model.unlabelled"
) -> tuple[str, ...]:
    """Return the distinct texts without labels at a place, in order; none if the place is "none".

    Args:
        place: a file or folder, or "store" for all sentences of the label store except boilerplate.
        known: texts to leave out, such as those of train and the texts on which the model will be tested.
        store: path or URL of the label store; empty for the store from the settings.
        key: the setting that names the place, for messages.

    Raises:
        DataError: the path or the store does not exist, or has an unsupported extension.
        ExperimentError: there are no texts.
    """
    if place in NONE:
        return ()
    if place == STORE:
        # Imported here, because training on files does not need the label store.
        from labels.store import Store

        with Store(store or load_settings().store, create=False) as opened:
            texts = [sentence.text for sentence in opened.documents.sentences() if not sentence.boilerplate]
    else:
        texts, _ = read_corpus(place, f"{key}: ")
    left_out = set(known)
    found = tuple(text for text in dict.fromkeys(texts) if text not in left_out)
    if not found:
        raise ExperimentError(
            f"{key}: {place} has no texts other than those of the labelled rows. Ingest more texts, or name a file or "
            "folder with other texts."
        )
    return found
