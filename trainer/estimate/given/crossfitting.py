"""Predictions of a corpus by models that did not learn from the documents that they predict."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from labels.codebook.schema import Codebook
from labels.errors import ExperimentError, InputError, counted
from labels.gold import resolve
from trainer.estimate.given.predictions import Predictions, as_texts, facts_of
from trainer.model.model import Manifest
from trainer.model.seen import DOCUMENT, text_id

if TYPE_CHECKING:
    from labels.store import Store

FOLDS = 5
"""Number of parts of the documents for cross-fitting."""


def crossfitted_predictions(store: Store, manifest: Manifest | None, codebook: Codebook) -> Predictions:
    """Return predictions in which each document is predicted by a model that was fitted without it.

    The documents of the corpus are divided at random into parts. For each part, a model of the artefact's kind and
    settings is fitted to the artefact's training sentences in the other parts.

    Raises:
        InputError: there is no artefact with the ids of its training sentences, the store has no gold for them, or they
            are too few.

    Source: Zrnic and Candès (2024), "Cross-prediction-powered inference", with one model per part of the corpus.
    """
    if manifest is None or not manifest.training_ids:
        raise InputError(
            "--crossfit needs the model's artefact with the ids of its training sentences. Name it with --artefact; an "
            "artefact of an earlier release must be trained again."
        )
    from trainer.runs.estimator import Classifier

    corpus = store.designs.corpus()
    texts = {one.id: one.text for one in store.documents.sentences([one.id for one in corpus])}
    gold = resolve(store.events.all(), codebook, store.codebooks.history()).gold
    learned = set(manifest.training_ids)
    training = [one for one in corpus if one.id in gold and text_id(texts[one.id]) in learned]
    if not training:
        raise InputError(
            f"{store.name} has no gold for the sentences that the model learned from, so it cannot be fitted again. "
            "Use the store that it was trained from."
        )
    documents = sorted({one.document_id for one in corpus})
    order = np.random.default_rng(manifest.seed).permutation(len(documents))
    part = {documents[place]: number % FOLDS for number, place in enumerate(order)}
    settings = {name: value for name, value in manifest.details["model"].items() if value is not None}
    probabilities = np.zeros((len(corpus), len(codebook.label_names)), dtype=np.float32)
    assigned = np.zeros(probabilities.shape, dtype=bool)
    for fold in range(FOLDS):
        kept = [one for one in training if part[one.document_id] != fold]
        places = [place for place, one in enumerate(corpus) if part[one.document_id] == fold]
        model = Classifier(**settings, codebook=codebook, seed=manifest.seed)
        rows = [(texts[one.id], gold[one.id], one.document_id) for one in kept]
        try:
            model.fit([row[0] for row in rows], [row[1] for row in rows], groups=[row[2] for row in rows])
        except ExperimentError as error:
            raise InputError(
                f"--crossfit: the model cannot be fitted without one of the {FOLDS} parts of the documents: {error} "
                "Label more sentences for training, or use a model that was trained on other documents."
            ) from error
        probabilities[places] = model.model_.predict_proba([texts[corpus[place].id] for place in places])
        assigned[places] = model.model_.decide(probabilities[places])
    found = Predictions(
        codebook.label_names,
        as_texts([one.id for one in corpus]),
        as_texts([one.document_id for one in corpus]),
        probabilities,
        assigned,
        {},
        f"{manifest.digest}, cross-fitted",
        codebook.hash,
        store.name,
        (_refit_note(store, len({text_id(texts[one.id]) for one in training}), learned),),
    )
    return replace(found, columns=facts_of(store, found))


def _refit_note(store: Store, n: int, learned: Collection[str]) -> str:
    """How much of the model's training data the refit used; fewer texts make weaker predictions."""
    known = sum(not one.startswith(DOCUMENT) for one in learned)
    note = (
        f"the model was fitted again to {counted(n, 'text')} with gold labels in {store.name}, less a fifth of the "
        f"documents each time; the model itself learned from {counted(known, 'text')}"
    )
    if 2 * n >= known:
        return note
    return (
        f"{note}. Most of them are not in this store, so these predictions are much weaker than the model's own and "
        "the intervals wider: train a model from this store, or use one whose training documents are not in it, "
        "without --crossfit"
    )
