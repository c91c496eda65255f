"""Estimate shares from files, or from a label store: `communique estimate` and `from communique import estimate`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import DataError, InputError
from labels.gold import resolve
from labels.text.rows import read_rows
from trainer.estimate.checking import Choices, Missing, Texts
from trainer.estimate.estimating import estimate_from
from trainer.estimate.given.audit_files import read_audit
from trainer.estimate.given.audits import stored_audit
from trainer.estimate.given.domains import columns_for
from trainer.estimate.given.predictions import Predictions, as_texts, read_predictions, stored_predictions
from trainer.estimate.results import Estimate, Unit
from trainer.estimate.shares import Estimand
from trainer.model.model import Manifest, read_manifest
from trainer.model.seen import text_id

if TYPE_CHECKING:
    from labels.store import Store

FOLDS = 5
"""Number of parts of the documents for cross-fitting."""


def estimate(
    predictions: str | Path | None = None,
    *,
    store: Store | str | Path | None = None,
    sample: str | Path | None = None,
    artefact: str | Path | None = None,
    model: str = "",
    codebook: Codebook | str | Path | None = None,
    draws: Collection[str] = (),
    by: str = "",
    unit: Unit = "sentences",
    estimand: Estimand = "corpus",
    missing: Missing = "refuse",
    confidence: float = 0.95,
    seed: int = 13,
    allow_unaudited: bool = False,
    crossfit: bool = False,
) -> Estimate:
    """Estimate the share and count of each label in a corpus, with intervals that do not trust the model.

    Args:
        predictions: a file of `communique predict` for the whole corpus; None for the scores in the store.
        store: a label store with a labelled probability sample (`communique label --strategy audit`).
        sample: instead of a store, a file with the labelled sample; see `trainer.estimate.given.audit_files`.
        artefact: the folder of the model, to check that it did not learn from the sample.
        model: id of the model whose scores in the store are used; empty for the latest.
        codebook: of the labels in the store; None for the codebook of the predictions, which the store knows.
        draws: ids of the draws in the store to use; empty for all probability samples.
        by: "year", "month", "week", or a column, to estimate each group as well.
        unit: what is counted: sentences, statements (near-duplicates together), or documents.
        estimand: "corpus" for this corpus, "process" for the process behind it.
        missing: what to do if more than 5% of the sample have no gold: "refuse", "at-random" or "worst".
        confidence: of the intervals, in (0, 1).
        seed: seed of the folds for cross-fitting.
        allow_unaudited: leave groups without a labelled sentence without an estimate.
        crossfit: fit the model of `artefact` again for each of five parts of the documents, so that no sentence is
            predicted by a model that learned from its document. Needs a store.

    Raises:
        InputError: predictions and sample do not fit; the message says what to do.
        DataError: a file cannot be read.
    """
    if (store is None) == (sample is None):
        raise InputError(
            "an estimate needs one labelled probability sample: name a label store (--store), or a file with inclusion "
            "probabilities (--sample)."
        )
    manifest = read_manifest(Path(artefact)) if artefact is not None else None
    choices = Choices(
        by, unit, estimand, missing, confidence, seed, allow_unaudited, _training(manifest), crossfitted=crossfit
    )
    if store is None:
        if predictions is None or crossfit:
            raise InputError("a sample in a file needs a file of predictions, and --crossfit needs a store.")
        assert sample is not None
        found = read_predictions(Path(predictions), columns_for(by))
        return estimate_from(found, read_audit(Path(sample), found.labels), choices, _file_texts(Path(predictions)))
    from labels.store import Store as OpenStore

    opened = store if isinstance(store, OpenStore) else OpenStore(store, create=False)
    try:
        return _from_store(opened, predictions, manifest, model, codebook, draws, choices)
    finally:
        if opened is not store:
            opened.close()


def _training(manifest: Manifest | None) -> Collection[str] | None:
    return None if manifest is None else manifest.training_ids


def _from_store(
    store: Store,
    predictions: str | Path | None,
    manifest: Manifest | None,
    model: str,
    codebook: Codebook | str | Path | None,
    draws: Collection[str],
    choices: Choices,
) -> Estimate:
    def texts(ids: Sequence[str]) -> list[str]:
        known = {one.id: one.text for one in store.documents.sentences(ids)}
        return [known.get(one, "") for one in ids]

    if choices.crossfitted:
        found = _crossfitted(store, manifest, _codebook(store, codebook, manifest.codebook_hash if manifest else ""))
    elif predictions is not None:
        columns = columns_for(choices.by)
        found = read_predictions(Path(predictions), [one for one in columns if one not in _FACTS])
        found = replace(found, columns={**_facts(store, found), **found.columns})
    else:
        found = stored_predictions(store, model)
    own = _codebook(store, codebook, found.codebook_hash)
    audit = stored_audit(store, own, found.labels, draws)
    return estimate_from(found, audit, choices, texts)


def _codebook(store: Store, given: Codebook | str | Path | None, hash_: str) -> Codebook:
    if isinstance(given, Codebook):
        return given
    if given is not None:
        return load_codebook(given)
    known = store.codebooks.all()
    if hash_ in known:
        return known[hash_]
    raise InputError(
        f"{store.name} does not have the codebook of the predictions ({hash_ or 'unknown'}). Name it with --codebook."
    )


_FACTS = ("date", "source", "language", "title", "url")


def _facts(store: Store, predictions: Predictions) -> dict[str, np.ndarray]:
    """What the store knows of the documents of predictions, by column."""
    facts = store.designs.document_facts()
    return {name: as_texts([facts.get(one, {}).get(name, "") for one in predictions.documents]) for name in _FACTS}


def _file_texts(path: Path) -> Texts:
    def texts(ids: Sequence[str]) -> list[str]:
        wanted = set(ids)
        found = {str(row["sentence_id"]): str(row.get("text") or "") for _, row in read_rows(path)
                 if str(row.get("sentence_id")) in wanted}  # fmt: skip
        if not any(found.values()):
            raise DataError(f"{path}: there is no column `text`, so near-duplicates cannot be found. Predict again.")
        return [found.get(one, "") for one in ids]

    return texts


# -- cross-fitting


def _crossfitted(store: Store, manifest: Manifest | None, codebook: Codebook) -> Predictions:
    """Predictions in which each document is predicted by a model that was fitted without it.

    The documents of the corpus are divided at random into parts. For each part, a model of the artefact's kind and
    settings is fitted to the artefact's training sentences in the other parts.

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
        model.fit(
            [texts[one.id] for one in kept], [gold[one.id] for one in kept], groups=[one.document_id for one in kept]
        )
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
    )
    return replace(found, columns=_facts(store, found))
