"""Corrections from the page: decisions on sentences of an article, recorded in the label store.

A correction is an annotation with the strategy `page` and the labels that the page showed as its suggestion. The
sentence was chosen by a reader who saw the answers of the model, so a correction has no inclusion probability and
counts neither for agreement nor in test parts; it can be used for training.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from labels.codebook.schema import Codebook
from labels.environment.keys import Key
from labels.errors import CodebookError
from labels.records import PAGE, Annotation, Document, Origin, Sentence, same_text
from labels.store import Store, now
from labels.text.sentences import split_sentences
from trainer.serving.answers import ContentError, text_of
from trainer.serving.schemas import DocumentInput

MAX_CORRECTIONS = 500


class Correction(BaseModel):
    """The right labels of the sentence from `start` to `end`, and the labels that the page showed as `suggestion`."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]
    labels: list[str]
    suggestion: list[str] | None = None
    note: Annotated[str, Field(max_length=2000)] = ""


class CorrectionsRequest(BaseModel):
    """Corrections of sentences of one document.

    - `document`: the document as it was sent to `POST /predict`
    - `store_document`: add the document to the label store if the store does not have it
    """

    model_config = ConfigDict(extra="forbid")

    document: DocumentInput
    corrections: Annotated[list[Correction], Field(min_length=1, max_length=MAX_CORRECTIONS)]
    store_document: bool = False


class CorrectionsResponse(BaseModel):
    """The number of recorded corrections, and their annotator."""

    recorded: int
    annotator: str


class Corrections:
    """Records corrections in a label store, which must exist.

    Raises:
        InputError, StoreError: the store does not exist or cannot be opened.
    """

    def __init__(self, store: str | Path) -> None:
        self._store = store
        Store(store, create=False).close()

    def record(self, request: CorrectionsRequest, codebook: Codebook, key: Key) -> CorrectionsResponse:
        """Record all corrections, or none.

        Raises:
            ContentError: a correction does not refer to a sentence of the document or has labels that the codebook does
                not allow, or the document is not in the store and must not be stored.
            StoreError: the store cannot be written.
        """
        document = Document(source="page", text=text_of(request.document, "document"), origin=Origin())
        with Store(self._store, create=False) as store:
            is_new = bool(store.documents.unknown([document]))
            if is_new and not request.store_document:
                message = "the label store does not have this document. Set `store_document` to store the document too"
                raise ContentError(["store_document"], message)
            found = split_sentences(document)
            sentences = [_sentence(found, one, number) for number, one in enumerate(request.corrections)]
            if not is_new:
                sentences = _stored(store, document, found, sentences)
            events = [
                _event(sentence, one, number, codebook, key)
                for number, (sentence, one) in enumerate(zip(sentences, request.corrections, strict=True))
            ]
            added = (found, [document]) if is_new else (sentences, [])
            store.add_annotated(added[0], events, documents=added[1], codebooks=[codebook])
        return CorrectionsResponse(recorded=len(events), annotator=key.annotator)


def _sentence(sentences: Sequence[Sentence], correction: Correction, number: int) -> Sentence:
    span = (correction.start, correction.end)
    for sentence in sentences:
        if (sentence.start, sentence.end) == span and not sentence.boilerplate:
            return sentence
    message = (
        f"corrections[{number}]: the document has no sentence from {span[0]} to {span[1]}. Label the article again"
    )
    raise ContentError(["corrections", number], message)


def _stored(store: Store, document: Document, found: Sequence[Sentence], chosen: Sequence[Sentence]) -> list[Sentence]:
    """The chosen sentences of a document as the store has them; line ends may differ, and so may offsets.

    Raises:
        ContentError: an earlier version of the splitter made other sentences, or a newer version of the document is
            in the store.
    """
    [known] = {one.document_id for one in store.documents.stored([(document, one) for one in chosen[:1]])}
    stored = [one for one in store.documents.sentences(document_id=known) if not one.boilerplate]
    sentences = []
    for number, sentence in enumerate(chosen):
        position = [one for one in found if same_text(one.text, sentence.text)].index(sentence)
        equal = [one for one in stored if same_text(one.text, sentence.text)]
        if position >= len(equal):
            message = (
                f"corrections[{number}]: in the label store, this document is split into sentences differently. "
                "Label the sentence with `communique label`"
            )
            raise ContentError(["corrections", number], message)
        sentences.append(equal[position])
    return sentences


def _event(sentence: Sentence, correction: Correction, number: int, codebook: Codebook, key: Key) -> Annotation:
    place = f"corrections[{number}]"
    try:
        labels = codebook.check_labels(correction.labels, place)
        shown = None if correction.suggestion is None else codebook.check_labels(correction.suggestion, place)
    except CodebookError as error:
        raise ContentError(["corrections", number, "labels"], str(error)) from error
    return Annotation(
        event_id=uuid.uuid4().hex,
        sentence_id=sentence.id,
        annotator=key.annotator,
        event="annotate",
        state="reviewed",
        labels=labels,
        codebook_hash=codebook.hash,
        created_at=now(),
        note=correction.note,
        suggestion=shown,
        strategy=PAGE,
    )
