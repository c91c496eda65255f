"""Answers to prediction requests: splits documents, asks the model, and builds the response."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labels.errors import DataError, did_you_mean
from labels.records import Document, Sentence
from labels.text.sentences import split_sentences
from trainer.calibration.calibration import Bools, Probabilities
from trainer.model.model import Model
from trainer.serving.scheduling import MAX_EXPLAINED, MAX_LABELS
from trainer.serving.schemas import (
    MAX_SENTENCES,
    DocumentInput,
    DocumentPrediction,
    LabelExplanation,
    Prediction,
    PredictRequest,
    PredictResponse,
    SentencePrediction,
    SetAside,
    WordWeight,
)
from trainer.serving.served import Serving


class ContentError(Exception):
    """A valid request that the served model cannot answer; `location` is the path of the problem in the request."""

    def __init__(self, location: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.location = ("body", *location)


@dataclass(frozen=True)
class _Split:
    text: str
    sentences: Sequence[Sentence]
    set_aside: Sequence[Sentence]


async def answer(request: PredictRequest, serving: Serving, *, seconds: float) -> PredictResponse:
    """Answer a request with one model.

    Args:
        seconds: maximum processing time, including the time in the queue.

    Raises:
        ContentError: a threshold is for an unknown label, or the documents have no or too many sentences.
        QueueFullError, DeadlineError: see `trainer.serving.scheduling.Batcher.predict_proba`.
    """
    model = serving.model
    check_thresholds(request.thresholds, model)
    if request.texts is not None:
        split, texts = None, request.texts
    else:
        assert request.documents is not None
        # Splitting a long document takes a while; the event loop must stay free for other requests.
        split = await asyncio.to_thread(_split_all, request.documents)
        texts = [sentence.text for document in split for sentence in document.sentences]
    if request.explain:
        check_explained(texts, model)
    probabilities = await serving.batcher.predict_proba(texts, seconds=seconds) if texts else _no_rows(model)
    documents = [texts] if split is None else [[s.text for s in document.sentences] for document in split]
    serving.observe(documents, probabilities)
    predictions = _predictions(model, probabilities, request)
    if request.explain:
        await _explain(predictions, texts, probabilities, serving, seconds=seconds)
    response = PredictResponse(model_id=serving.model_id, codebook_hash=serving.codebook_hash)
    if split is None:
        return response.model_copy(update={"predictions": predictions})
    return response.model_copy(update={"documents": _documents(split, predictions)})


def _predictions(model: Model, probabilities: Probabilities, request: PredictRequest) -> list[Prediction]:
    abstained, screened = model.abstained(probabilities), model.screened(probabilities)
    if abstained is not None:
        # A threshold in the request replaces the model's rule for that label.
        abstained[:, [model.labels.index(name) for name in request.thresholds]] = False

    def names(found: Bools | None, row: int) -> list[str] | None:
        return None if found is None else [model.labels[i] for i in np.flatnonzero(found[row])]

    sets = label_sets(model, probabilities, request.thresholds)
    return [
        Prediction(
            labels=list(own),
            probabilities=_named(model.labels, probabilities[row], request.top_k),
            abstained=names(abstained, row),
            screened=names(screened, row),
        )
        for row, own in enumerate(sets)
    ]


def check_thresholds(thresholds: Mapping[str, float], model: Model) -> None:
    """Raise ContentError if the model has no such label, or no thresholds because its codebook is exclusive."""
    if thresholds and model.codebook.exclusive:
        message = "the labels of this model exclude each other, so the most probable one is assigned. Omit `thresholds`"
        raise ContentError(["thresholds"], message)
    for name in thresholds:
        if name not in model.labels:
            near = did_you_mean(name, model.labels)
            known = ", ".join(model.labels)
            raise ContentError(["thresholds", name], f"thresholds: '{name}' is not a label{near}. Labels: {known}")


def check_explained(texts: Sequence[str], model: Model) -> None:
    """Raise ContentError if there are too many texts to explain, or the model cannot be explained."""
    if len(texts) > MAX_EXPLAINED:
        message = f"explain: at most {MAX_EXPLAINED} sentences are explained per request, but there are {len(texts):,}"
        raise ContentError(["explain"], f"{message}. Send fewer sentences")
    if reason := model.why_not_explained():
        raise ContentError(["explain"], f"explain: {reason}")


async def _explain(
    predictions: Sequence[Prediction],
    texts: Sequence[str],
    probabilities: Probabilities,
    serving: Serving,
    *,
    seconds: float,
) -> None:
    """Add explanations of the most probable assigned labels, or of the most probable label if none is assigned."""
    labels = [
        [name for name in _named(serving.model.labels, row, len(row)) if name in prediction.labels]
        or [serving.model.labels[int(row.argmax())]]
        for prediction, row in zip(predictions, probabilities, strict=True)
    ]
    found = await serving.explainer.explain(texts, [own[:MAX_LABELS] for own in labels], seconds=seconds)
    for prediction, explanations in zip(predictions, found, strict=True):
        prediction.explanations = [
            LabelExplanation(
                label=one.label,
                method=one.method,
                logit=one.logit,
                bias=one.bias,
                words=[WordWeight(**vars(span)) for span in one.spans],
                delta=one.delta,
            )
            for one in explanations
        ]


def label_sets(model: Model, probabilities: Probabilities, thresholds: Mapping[str, float]) -> list[tuple[str, ...]]:
    """The labels assigned to each row, with the given thresholds in place of the model's thresholds."""
    decided = model.decide(probabilities)
    for name, threshold in thresholds.items():
        column = model.labels.index(name)
        decided[:, column] = probabilities[:, column] >= threshold
    return [tuple(model.labels[i] for i in np.flatnonzero(row)) for row in decided]


def _named(labels: Sequence[str], row: Probabilities, top_k: int | None) -> dict[str, float]:
    columns = np.argsort(-row, kind="stable")[:top_k] if top_k else np.arange(len(labels))
    return {labels[i]: float(row[i]) for i in columns}


def _no_rows(model: Model) -> Probabilities:
    return np.empty((0, len(model.labels)), dtype=np.float32)


def _split_all(documents: Sequence[DocumentInput]) -> list[_Split]:
    found, total = [], 0
    for number, document in enumerate(documents):
        split = _split(document, number)
        total += len(split.sentences)
        if total > MAX_SENTENCES:
            message = f"the documents have more than {MAX_SENTENCES:,} sentences. Send fewer documents per request"
            raise ContentError(["documents", number], message)
        found.append(split)
    return found


def _split(document: DocumentInput, number: int) -> _Split:
    text = text_of(document, f"documents[{number}]")
    sentences = split_sentences(Document(source="request", text=text))
    labellable = [sentence for sentence in sentences if not sentence.boilerplate]
    return _Split(text, labellable, [sentence for sentence in sentences if sentence.boilerplate])


def text_of(document: DocumentInput, place: str) -> str:
    """The text of a document to which offsets refer; for a web page, the text of its article.

    Raises:
        ContentError: a page contains no article; the message begins with `place`.
    """
    if document.html is None:
        text = document.text or ""
        return f"{document.title}\n\n{text}" if document.title else text
    text = _html_text(document.html)
    if not text.strip():
        raise ContentError([place, "html"], f"{place}.html contains no article text. Send the article as `text`")
    return text


def _html_text(html: str) -> str:
    """The article of a page, or all words of a part of a page; empty if there is no article."""
    from labels.text.parsing.markup import html_fragment_text, read_page
    from labels.text.parsing.recognition import is_page

    if not is_page(html):
        return html_fragment_text(html)
    try:
        return read_page(html, Path("page"))[1]
    except DataError:
        return ""


def _documents(split: Sequence[_Split], predictions: Sequence[Prediction]) -> list[DocumentPrediction]:
    following = iter(predictions)
    return [
        DocumentPrediction(
            text=document.text,
            sentences=[
                SentencePrediction(start=s.start, end=s.end, text=s.text, **vars(next(following)))
                for s in document.sentences
            ],
            set_aside=[SetAside(start=s.start, end=s.end, reason=s.boilerplate) for s in document.set_aside],
        )
        for document in split
    ]


def assigned(response: PredictResponse) -> list[list[str]]:
    """The labels of all sentences in a response."""
    found: list[Any] = [*(response.predictions or ())]
    found += [sentence for document in response.documents or () for sentence in document.sentences]
    return [prediction.labels for prediction in found]
