"""Estimate shares from files, or from a label store: `communique estimate` and `from communique import estimate`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labels.codebook.schema import Codebook
from labels.errors import InputError, did_you_mean
from labels.sampling.combination import NoSampleError
from trainer.estimate.arrays import sentence_items
from trainer.estimate.checking import Choices, Missing, check_paths, check_words, matched
from trainer.estimate.combined.imputation import imputed_estimate
from trainer.estimate.estimating import estimate_from
from trainer.estimate.given.covariates import Question, RowUnit
from trainer.estimate.given.domains import columns_for, groups_of
from trainer.estimate.given.opening import Given, Sources
from trainer.estimate.plans import AuditPlan, Pilot, confidence_sequence, plan_sample, strata_of
from trainer.estimate.regressions.regressing import Regressed, regress_from
from trainer.estimate.regressions.regression import Family
from trainer.estimate.results import Estimate, Figure, Unit
from trainer.estimate.shares import Estimand

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
    impute_coders: int = 0,
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
        impute_coders: number of estimates, each with the decision of a random coder for every sentence that several
            coders decided on; combined by Rubin's rules, so that intervals carry their disagreement. 0 for gold.

    Raises:
        InputError: predictions and sample do not fit; the message says what to do.
        DataError: a file cannot be read.
    """
    check_words(unit=(unit, Unit), estimand=(estimand, Estimand), missing=(missing, Missing))
    sources = Sources(predictions, store, sample, artefact, model, codebook, draws, columns_for(by), crossfit=crossfit)
    choices = Choices(
        by, unit, estimand, missing, confidence, seed, allow_unaudited, sources.training_ids(),
        crossfitted=crossfit, imputations=impute_coders,
    )  # fmt: skip
    with sources.opened() as given:
        for label in labels:
            _position(given.predictions.labels, label)
        make = imputed_estimate if impute_coders else estimate_from
        return make(given.predictions, given.audit(), choices, given.texts).only(labels)


def regress(
    formula: str,
    sources: Sources,
    *,
    data: str | Path | None = None,
    family: Family = "linear",
    row: RowUnit = "sentence",
    by: str = "",
    missing: Missing = "refuse",
    confidence: float = 0.95,
    seed: int = 13,
) -> Regressed:
    """Estimate a regression whose outcome is a label, with intervals that are valid for any model.

    Args:
        formula: a label, ~, and covariates, e.g. "aid_pledge ~ after_summit + source".
        sources: predictions for a whole corpus, and a labelled probability sample of it.
        data: a table of covariates with the column `sentence_id`, `document_id` or, for periods, `period`; None if the
            predictions have them as columns.
        family: "linear" or "logit".
        row: "sentence", "document" or "period"; the outcome of a document or period is the share of its sentences.
        by: the length of periods: "year", "quarter", "month" or "week".
        missing: as for `estimate`; "worst" is refused.
        confidence: of the intervals, in (0, 1).
        seed: seed of the folds for cross-fitting.

    Raises:
        InputError: the formula, the covariates, predictions and sample do not fit; the message says what to do.
        DataError: a file cannot be read.
    """
    check_words(family=(family, Family), row=(row, RowUnit), missing=(missing, Missing))
    check_paths(data=data)
    question = Question(formula, Path(data) if data is not None else None, family, row, by)
    own = [*columns_for(by), *question.from_predictions()]
    sources = replace(sources, columns=tuple(dict.fromkeys(own)))
    choices = Choices(
        by,
        "sentences",
        "process",
        missing,
        confidence,
        seed,
        False,
        sources.training_ids(),
        crossfitted=sources.crossfit,
    )
    with sources.opened() as given:
        return regress_from(given.predictions, given.audit(), question, choices, given.texts)


# -- plans and progress


def watched_shares(sources: Sources, *, confidence: float = 0.95) -> dict[str, Figure]:
    """Return the share of each label in a simple random sample, with bounds that hold however often one looks.

    Raises:
        InputError: the sample is not a simple random sample of single sentences, or see `estimate`.
    """
    with sources.opened() as given:
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
    sources: Sources,
    *,
    width: float,
    labels: Sequence[str] = (),
    by: str = "",
    assurance: float = 0.9,
    confidence: float = 0.95,
    seed: int = 13,
) -> AuditPlan:
    """Plan how many sentences to label for intervals at most `width` wide, and draw them.

    Args:
        sources: with a labelled probability sample, it serves as a pilot.
        width: target full width of the intervals, such as 0.02.
        labels: the labels that the plan is for; empty for all.
        by: plan for each period or group as well; see `estimate`.
        assurance: probability with which the width is reached.
        confidence: of the intervals, in (0, 1).
        seed: of the simulations and of the draw.

    Raises:
        InputError: see `trainer.estimate.plans.plan_sample`; or the labels or groups do not exist.
    """
    sources = replace(sources, columns=columns_for(by))
    if sources.store is None and sources.sample is None:
        if sources.predictions is None:
            raise InputError(
                "a plan needs predictions: name a file written by `communique predict`, or a store with scores."
            )
        source: AbstractContextManager[Given] = nullcontext(sources.of_files())
    else:
        source = sources.opened()
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


def _position(labels: Sequence[str], label: str) -> int:
    if label not in labels:
        raise InputError(
            f"the predictions have no label '{label}'{did_you_mean(label, labels)}. Labels: {', '.join(labels)}."
        )
    return labels.index(label)


def _pilot(given: Given) -> Pilot | None:
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
