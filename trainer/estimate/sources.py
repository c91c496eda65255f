"""Estimate shares from files, or from a label store: `communique estimate` and `from communique import estimate`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import InputError, did_you_mean
from labels.sampling.combination import NoSampleError
from trainer.estimate.arrays import sentence_items
from trainer.estimate.checking import Choices, Missing, Texts, check_paths, check_words, matched
from trainer.estimate.estimating import estimate_from
from trainer.estimate.given.audit_files import read_audit
from trainer.estimate.given.audits import Audit, known_codebook, stored_audit
from trainer.estimate.given.crossfitting import crossfitted_predictions
from trainer.estimate.given.domains import columns_for, groups_of
from trainer.estimate.given.predictions import (
    FACTS,
    Predictions,
    facts_of,
    file_details,
    file_texts,
    read_predictions,
    stored_predictions,
)
from trainer.estimate.plans import AuditPlan, Pilot, confidence_sequence, plan_sample, strata_of
from trainer.estimate.results import Estimate, Figure, Unit
from trainer.estimate.shares import Estimand
from trainer.model.model import CODEBOOK, Manifest, read_manifest

if TYPE_CHECKING:
    from labels.store import Store


def estimate(
    predictions: str | Path | None = None,
    *,
    store: Store | str | Path | None = None,
    sample: str | Path | None = None,
    artefact: str | Path | None = None,
    model: str = "",
    codebook: Codebook | str | Path | None = None,
    draws: Collection[str] = (),
    labels: Sequence[str] = (),
    by: str = "",
    unit: Unit = "sentences",
    estimand: Estimand = "corpus",
    missing: Missing = "refuse",
    confidence: float = 0.95,
    seed: int = 13,
    allow_unaudited: bool = False,
    crossfit: bool = False,
) -> Estimate:
    """Estimate the share and count of each label in a corpus, with intervals that are valid for any model.

    Messages name options of the command, such as `--allow-unaudited`; the arguments here have the same names.

    Args:
        predictions: a file written by `communique predict` for the whole corpus; None for the scores in the store.
        store: a label store with a labelled probability sample (`communique label --strategy audit`).
        sample: instead of a store, a file with the labelled sample; see `trainer.estimate.given.audit_files`.
        artefact: the folder of the model, to check that it did not learn from the sample.
        model: id of the model whose scores in the store are used; empty for the latest.
        codebook: of the labels in the store; None for the codebook of the predictions, which the store knows.
        draws: ids of the draws in the store to use; empty for all probability samples.
        labels: the labels of the result; empty for all.
        by: "year", "quarter", "month", "week", or a column, to estimate each group as well.
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
    check_words(unit=(unit, Unit), estimand=(estimand, Estimand), missing=(missing, Missing))
    check_paths(predictions=predictions, sample=sample)
    folder = Path(artefact) if artefact is not None else None
    manifest = read_manifest(folder) if folder else None
    choices = Choices(
        by, unit, estimand, missing, confidence, seed, allow_unaudited, _training(manifest), crossfitted=crossfit
    )
    with _given(predictions, store, sample, folder, model, codebook, draws, by, crossfit=crossfit) as given:
        for label in labels:
            _position(given.predictions.labels, label)
        return estimate_from(given.predictions, given.audit(), choices, given.texts).only(labels)


Details = Callable[[Sequence[str]], Sequence[Mapping[str, str]]]
"""Returns the texts of sentences and what is known of their documents (`DETAILS`), by their ids."""


@dataclass(frozen=True)
class _Given:
    """Predictions, the sample (read when it is needed), and the texts and facts of sentences."""

    predictions: Predictions
    audit: Callable[[], Audit]
    texts: Texts
    details: Details


@contextmanager
def _given(
    predictions: str | Path | None,
    store: Store | str | Path | None,
    sample: str | Path | None,
    artefact: Path | None,
    model: str,
    codebook: Codebook | str | Path | None,
    draws: Collection[str],
    by: str,
    *,
    crossfit: bool = False,
) -> Iterator[_Given]:
    """Open what an estimate is made from."""
    if (store is None) == (sample is None):
        raise InputError(
            "an estimate needs one labelled probability sample: name a label store (--store), or a file with inclusion "
            "probabilities (--sample)."
        )
    if store is None:
        if predictions is None or crossfit:
            raise InputError("a sample in a file needs a file of predictions, and --crossfit needs a store.")
        assert sample is not None
        path, found = Path(sample), read_predictions(Path(predictions), columns_for(by))
        yield _from_files(found, Path(predictions), lambda: read_audit(path, found.labels))
        return
    from labels.store import Store as OpenStore

    try:
        opened = store if isinstance(store, OpenStore) else OpenStore(store, create=False)
    except InputError as error:
        raise InputError(f"{error} {_ELSEWHERE}") from None
    try:
        yield _from_store(opened, predictions, artefact, model, codebook, draws, by, crossfit=crossfit)
    finally:
        if opened is not store:
            opened.close()


_ELSEWHERE = "If there is a labelled sample elsewhere, name its store (--store) or its table (--sample)."


def _from_files(found: Predictions, path: Path, audit: Callable[[], Audit]) -> _Given:
    return _Given(found, audit, partial(file_texts, path), partial(file_details, path))


def _training(manifest: Manifest | None) -> Collection[str] | None:
    return None if manifest is None else manifest.training_ids


def _from_store(
    store: Store,
    predictions: str | Path | None,
    artefact: Path | None,
    model: str,
    codebook: Codebook | str | Path | None,
    draws: Collection[str],
    by: str,
    *,
    crossfit: bool,
) -> _Given:
    import pandas as pd

    def texts(ids: Sequence[str]) -> list[str]:
        known = {one.id: one.text for one in store.documents.sentences(ids)}
        return [known.get(one, "") for one in ids]

    if crossfit:
        manifest = read_manifest(artefact) if artefact else None
        own = _codebook(store, codebook, manifest.codebook_hash if manifest else "", artefact)
        found = crossfitted_predictions(store, manifest, own)
    elif predictions is not None:
        found = read_predictions(Path(predictions), [one for one in columns_for(by) if one not in FACTS])
        found = replace(found, columns={**facts_of(store, found), **found.columns})
    else:
        found = stored_predictions(store, model)

    def audit() -> Audit:
        own = partial(_codebook, store, codebook, found.codebook_hash, artefact)
        try:
            return stored_audit(store, own, found.labels, draws)
        except NoSampleError as error:
            raise NoSampleError(
                f"{error} For a sample elsewhere, name its store (--store) or table (--sample)."
            ) from None

    def details(ids: Sequence[str]) -> list[dict[str, str]]:
        places = pd.Index(found.ids).get_indexer(list(ids))
        facts = [{name: str(found.columns[name][one] or "") for name in FACTS} for one in places.tolist()]
        return [{"text": text, **own} for text, own in zip(texts(ids), facts, strict=True)]

    return _Given(found, audit, texts, details)


def _codebook(store: Store, given: Codebook | str | Path | None, hash_: str, artefact: Path | None) -> Codebook:
    if given is None:
        return known_codebook(store, hash_, load_codebook(artefact / CODEBOOK) if artefact else None)
    return given if isinstance(given, Codebook) else load_codebook(given)


# -- plans and progress


def watched_shares(
    predictions: str | Path | None = None,
    *,
    store: Store | str | Path | None = None,
    sample: str | Path | None = None,
    model: str = "",
    codebook: Codebook | str | Path | None = None,
    confidence: float = 0.95,
) -> dict[str, Figure]:
    """Return the share of each label in a simple random sample, with bounds that hold however often one looks.

    The arguments are those of `estimate`.

    Raises:
        InputError: the sample is not a simple random sample of single sentences, or see `estimate`.
    """
    with _given(predictions, store, sample, None, model, codebook, (), "") as given:
        audit = given.audit()
        found, _ = matched(given.predictions, audit)
    answered = audit.answered()
    if len(answered.drawn) != 1 or len(answered.weights) != len(answered.ids):
        raise InputError(
            "--anytime needs a simple random sample of single sentences, but this sample has strata or clusters. "
            "Decide on the size of the sample before labelling, or stop when the width is reached."
        )
    seen, size = np.array([len(answered.ids)]), len(found.ids)
    figures = {}
    for i, label in enumerate(answered.labels):
        positives = int(answered.gold[:, i].sum())
        low, high = confidence_sequence(np.array([positives]), seen, size, confidence)
        figures[label] = Figure.of(positives / float(seen[0]), float(low[0]), float(high[0]))
    return figures


def plan_audit(
    predictions: str | Path | None = None,
    *,
    width: float,
    store: Store | str | Path | None = None,
    sample: str | Path | None = None,
    model: str = "",
    codebook: Codebook | str | Path | None = None,
    labels: Sequence[str] = (),
    by: str = "",
    assurance: float = 0.9,
    confidence: float = 0.95,
    seed: int = 13,
) -> AuditPlan:
    """Plan how many sentences to label for intervals at most `width` wide, and draw them.

    Args:
        width: target full width of the intervals, such as 0.02.
        labels: the labels that the plan is for; empty for all.
        by: plan for each period or group as well; see `estimate`.
        assurance: probability with which the width is reached.
        store, sample: with a labelled probability sample, it serves as a pilot.

    The other arguments are those of `estimate`.

    Raises:
        InputError: see `trainer.estimate.plans.plan_sample`; or the labels or groups do not exist.
    """
    check_paths(predictions=predictions, sample=sample)
    if store is None and sample is None:
        if predictions is None:
            raise InputError(
                "a plan needs predictions: name a file written by `communique predict`, or a store with scores."
            )
        source: AbstractContextManager[_Given] = nullcontext(
            _from_files(read_predictions(Path(predictions), columns_for(by)), Path(predictions), _no_sample)
        )
    else:
        source = _given(predictions, store, sample, None, model, codebook, (), by)
    with source as given:
        found, pilot = given.predictions, _pilot(given)
        numbers = [_position(found.labels, label) for label in labels] or list(range(len(found.labels)))
        groups = groups_of(found, by)
        domains = groups.domains if groups.names else np.ones((1, 1), dtype=bool)
        items = sentence_items(found, groups)
        wanted = list(range(len(groups.names))) or [0]
        plan = plan_sample(
            items, domains, width, labels=numbers, wanted=wanted, pilot=pilot, assurance=assurance,
            confidence=confidence, seed=seed,
        )  # fmt: skip
        stratum, names = strata_of(found.probabilities)
        generator = np.random.default_rng(seed)
        chosen = [
            generator.choice(np.flatnonzero(stratum == number), n, replace=False)
            for number, n in enumerate(plan.drawn.tolist())
        ]
        # In random order, so that the first sentences are a sample, too.
        order = generator.permutation(np.concatenate(chosen))
        drawn = [(str(found.ids[i]), str(found.documents[i]), names[stratum[i]]) for i in order.tolist()]
        details = given.details([one for one, _, _ in drawn])
        return AuditPlan(plan, found.labels, groups.names, drawn, details, found.codebook_hash)


def _no_sample() -> Audit:
    raise NoSampleError("there is no sample.")


def _position(labels: Sequence[str], label: str) -> int:
    if label not in labels:
        raise InputError(
            f"the predictions have no label '{label}'{did_you_mean(label, labels)}. Labels: {', '.join(labels)}."
        )
    return labels.index(label)


def _pilot(given: _Given) -> Pilot | None:
    """The labelled sample as a pilot; None if there is none yet."""
    try:
        audit = given.audit()
    except NoSampleError:
        return None
    predictions, places = matched(given.predictions, audit)
    answered = audit.answered()
    kept = ~np.isnan(audit.gold).any(axis=1)
    order = {identifier: place for place, identifier in enumerate(given.predictions.ids)}
    own = np.array([order[identifier] for identifier in predictions.ids[places[kept]]], dtype=int)
    return Pilot(own, answered.gold, answered.weights[answered.unit])
