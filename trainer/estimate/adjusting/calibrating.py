"""Recalibrate a saved model, or let it abstain: `communique calibrate` and `from communique import calibrate`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labels.codebook.schema import Codebook
from labels.errors import InputError, did_you_mean
from labels.output.folders import output_folder, refuse_occupied
from labels.store import Store
from labels.text.examples import ReadingOptions
from trainer.calibration.abstention import ErrorKind, Evidence, certify_abstention, certify_screening
from trainer.calibration.calibration import Bools, Calibration, Floats, with_none
from trainer.calibration.objective import Objective
from trainer.calibration.recalibration import (
    LabelledSample,
    crossfitted,
    recalibrate,
    refuse_small,
    shift_to_prevalence,
)
from trainer.calibration.risk import Risk
from trainer.classifiers.base import label_matrix
from trainer.data.splits import group_examples
from trainer.estimate.adjusting.arguments import CONFIDENCE, check_rules, check_sources, check_unused
from trainer.estimate.adjusting.calibrated import (
    CalibrationReport,
    copy_artefact,
    make_report,
    new_manifest,
    sample_figures,
)
from trainer.estimate.checking import check_words
from trainer.estimate.given.gold_rows import LabelledSentences, file_sample, store_sample, without_learned
from trainer.evaluation.label_shift.prevalence import estimate_prevalence, label_prevalence
from trainer.model.model import Manifest, Model
from trainer.runs.corpus_prevalence import check_settings, parse_prevalence, predicted_corpus
from trainer.runs.tracking.registry import fetch_artefact

if TYPE_CHECKING:
    from labels.text.labelled.label_reading import Blank


@dataclass(frozen=True)
class Wanted:
    """What to do with a model; see `calibrate`."""

    objective: Objective
    labels: tuple[str, ...]
    max_error: float | None
    error: ErrorKind
    recall: float | None
    joint: bool
    confidence: float
    seed: int

    @property
    def is_rule(self) -> bool:
        """Whether a rule is wanted, instead of a calibration."""
        return self.max_error is not None or self.recall is not None


def calibrate(
    artefact: str | Path,
    data: str | Path | None = None,
    *,
    out: str | Path,
    store: Store | str | Path | None = None,
    prior: float | dict[str, float] | str = "",
    objective: str = "f1",
    labels: Sequence[str] = (),
    max_error: float | None = None,
    error: ErrorKind | None = None,
    recall: float | None = None,
    joint: bool = False,
    confidence: float = CONFIDENCE,
    codebook: Codebook | str | Path | None = None,
    draws: Collection[str] = (),
    text_column: str = "",
    label_column: str = "",
    blank: Blank = "",
    seed: int = 13,
    overwrite: bool = False,
) -> CalibrationReport:
    """Write a new artefact whose probabilities and thresholds fit a labelled sample, or a known prevalence.

    With `max_error` or `recall`, probabilities and thresholds stay as they are, and the new artefact has a rule
    instead: when it abstains, or which sentences to read.

    Args:
        artefact: folder of a run or an artefact, or an MLflow URI.
        data: a labelled file. A column `inclusion_probability` gives the weights of its rows.
        out: folder of the new artefact.
        store: instead of a file, a label store with a labelled probability sample.
        prior: share of all labels, shares by label, or a path of unlabelled texts from which they are estimated. With a
            labelled sample, its rows are weighted to have these shares.
        objective: "f1", "precision=0.8", "recall=0.9" or "cost=5" (a miss costs five times as much as a false alarm).
        labels: the labels to change; empty for all.
        max_error: limit for the error of the model's answers, in (0, 1); the model abstains from uncertain ones.
        error: "false-alarms", "misses" or "answered" (see `trainer.calibration.abstention`); None for "false-alarms",
            or "answered" if the labels exclude each other.
        recall: wanted recall of the sentences to read for each label, in (0, 1).
        joint: make all bounds hold simultaneously, not only each on its own.
        confidence: of the bounds, in (0, 1).
        codebook: of the labels in the store; None for that of the model.
        draws: ids of the draws in the store to use; empty for all probability samples.
        text_column, label_column, blank: how to read the file; see `ReadingOptions`.
        seed: seed of the folds for cross-fitting, and of the choice of the sentence that represents each document.

    Raises:
        InputError: the sample is too small, or the arguments contradict each other; the message says what to do.
        DataError, ArtefactError: a file or the artefact cannot be read.
    """
    target = Path(out)
    refuse_occupied(target, overwrite=overwrite, reads=[str(artefact)])
    share = parse_prevalence(prior, "--prior") if isinstance(prior, str) and prior else prior
    check_sources(data, store, share, codebook=codebook is not None, draws=bool(draws))
    check_rules(data is not None or store is not None, share, max_error, recall, confidence)
    check_unused(max_error, recall, error=error, joint=joint, confidence=confidence, objective=objective)
    folder = fetch_artefact(str(artefact))
    model = Model.load(folder)
    chosen = tuple(labels) or model.labels
    for label in chosen:
        if label not in model.labels:
            raise InputError(
                f"the model has no label '{label}'{did_you_mean(label, model.labels)}. Labels: "
                f"{', '.join(model.labels)}."
            )
    kind: ErrorKind = error or ("answered" if model.codebook.exclusive else "false-alarms")
    check_words(error=(kind, ErrorKind))
    wanted = Wanted(Objective.parse(objective), chosen, max_error, kind, recall, joint, confidence, seed)
    _check_exclusive(model, wanted, labels)
    sample = _read(model, data, store, codebook, draws, ReadingOptions(text_column, label_column, blank))
    made, report = _made(model, sample, share, wanted)
    with output_folder(target, overwrite=overwrite) as draft:
        copy_artefact(folder, draft, made)
    return replace(report, folder=target)


def _check_exclusive(model: Model, wanted: Wanted, labels: Sequence[str]) -> None:
    if not model.codebook.exclusive:
        return
    for given, option in (
        (wanted.objective.aim != "f1", f"--objective {wanted.objective}"),
        (bool(labels), "--labels"),
        (wanted.recall is not None, "--recall"),
    ):
        if given:
            raise InputError(
                f"{option}: the labels of this model exclude each other, so it assigns the most probable one and has "
                "no thresholds. Leave this option out."
            )


# -- the sample


def _read(
    model: Model,
    data: str | Path | None,
    store: Store | str | Path | None,
    codebook: Codebook | str | Path | None,
    draws: Collection[str],
    options: ReadingOptions,
) -> LabelledSentences | None:
    if data is not None:
        found = file_sample(model, Path(data), options)
    elif store is not None:
        opened = store if isinstance(store, Store) else Store(store, create=False)
        try:
            found = store_sample(model, opened, codebook, draws)
        finally:
            if opened is not store:
                opened.close()
    else:
        return None
    return without_learned(model, found)


# -- the new model


def _made(
    model: Model, sample: LabelledSentences | None, share: float | dict[str, float] | str, wanted: Wanted
) -> tuple[Manifest, CalibrationReport]:
    shares, corpus = _prevalence(model, share, wanted.labels)
    if sample is None:
        objective = wanted.objective
        after = shift_to_prevalence(model.calibration, shares, model.labels, objective, corpus)
        return _without_labels(model, after, shares, wanted, corpus is not None)
    evidence = _evidence(model, sample, shares)
    if wanted.is_rule:
        return _with_rules(model, sample, evidence, wanted)
    chosen = np.array([label in wanted.labels for label in model.labels])
    refuse_small(evidence, chosen, exclusive=model.codebook.exclusive)
    after = recalibrate(model.calibration, evidence, wanted.objective, chosen)
    probabilities, assigned = crossfitted(model.calibration, evidence, wanted.objective, chosen, seed=wanted.seed)
    before = sample_figures(evidence, evidence.probabilities, model.calibration.decide(evidence.probabilities))
    later = sample_figures(evidence, probabilities, assigned)
    worse = [label for label in wanted.labels if later[label].log_loss > before[label].log_loss]
    notes = list(sample.notes)
    if worse:
        notes.append(
            f"on sentences outside the fit, the new probabilities are not better (log loss) for {', '.join(worse)}: "
            "the sample is too small to improve them, or they were already well calibrated"
        )
    notes += _change_notes(model)
    manifest = new_manifest(model, after, sample, evidence, {"objective": str(wanted.objective)}, shares)
    return manifest, make_report(model, manifest, sample, evidence, (before, later), notes)


def _prevalence(
    model: Model, share: float | dict[str, float] | str, labels: Sequence[str]
) -> tuple[dict[str, float], Floats | None]:
    """The known or estimated shares of the chosen labels, and the probabilities of a corpus, if there is one."""
    if share == "":
        return {}, None
    check_settings(share, model.codebook, "--prior")
    if isinstance(share, dict):
        return dict(share), None
    if isinstance(share, float | int):
        return dict.fromkeys(labels, float(share)), None
    corpus = predicted_corpus(model, share)
    calibration = model.calibration
    if calibration.exclusive:
        found = estimate_prevalence(
            with_none(corpus.probabilities, calibration.none is not None), _class_starts(calibration, share)
        )
        return dict(zip(model.labels, found[: len(model.labels)].tolist(), strict=True)), corpus.probabilities
    shares = {}
    for label in labels:
        own, i = calibration.labels[model.labels.index(label)], model.labels.index(label)
        if not 0 < own.positives < own.n:
            raise InputError(
                f"--prior {share}: the calibration of '{label}' has seen {own.positives} positives, so its prevalence "
                "cannot be estimated. Give the share (--prior LABEL=SHARE), or a labelled sample."
            )
        value = label_prevalence(corpus.probabilities[:, i], own.positives / own.n)
        shares[label] = float(np.clip(value, 1e-6, 1 - 1e-6))
    return shares, corpus.probabilities


def _class_starts(calibration: Calibration, share: str) -> Floats:
    """The shares of the classes in the calibration data, of shape (classes,)."""
    classes = [*calibration.labels, *([calibration.none] if calibration.none else [])]
    counts = np.array([own.positives for own in classes], dtype=float)
    if not (counts > 0).all():
        raise InputError(
            f"--prior {share}: the model was not calibrated on all of its labels, so the prevalence cannot be "
            "estimated. Give the shares (--prior LABEL=SHARE,...), or a labelled sample."
        )
    return np.asarray(counts / counts.sum())


def _evidence(model: Model, sample: LabelledSentences, shares: dict[str, float]) -> LabelledSample:
    probabilities = model.predict_proba([one.text for one in sample.examples]).astype(np.float64)
    gold = label_matrix(sample.examples, model.labels)
    groups = np.array(group_examples(sample.examples, allow_large=True), dtype=int)
    return LabelledSample(probabilities, gold, sample.weights, groups, model.labels, shares)


def _with_rules(
    model: Model, sample: LabelledSentences, found: LabelledSample, wanted: Wanted
) -> tuple[Manifest, CalibrationReport]:
    kept = _equal_chances(sample.weights, wanted.seed)
    notes = list(sample.notes)
    if not kept.all():
        notes.append(
            f"the sentences were drawn with unequal probabilities, so only {int(kept.sum())} of {len(kept)} were used, "
            "chosen at random to make the probabilities equal; of a simple random sample of documents, all can be used"
        )
    parts = (found.probabilities[kept], found.gold[kept], found.groups[kept], np.ones(int(kept.sum())))
    evidence = Evidence(*parts, model.labels)
    abstention, screening = None, None
    if wanted.max_error is not None:
        risk = Risk(wanted.max_error, wanted.confidence, wanted.seed)
        abstention = certify_abstention(
            evidence, model.calibration, wanted.error, risk, wanted.labels, joint=wanted.joint
        )
    if wanted.recall is not None:
        risk = Risk(1 - wanted.recall, wanted.confidence, wanted.seed)
        screening = certify_screening(evidence, risk, wanted.labels, joint=wanted.joint)
    manifest = new_manifest(model, model.calibration, sample, found, {}, {}, abstention=abstention, screening=screening)
    return manifest, make_report(model, manifest, sample, found, ({}, {}), notes)


def _equal_chances(weights: Floats, seed: int) -> Bools:
    """Keep each sentence with a probability proportional to its weight, so that all had the same chance to be here."""
    if np.ptp(weights) <= 1e-6 * weights.max():
        return np.ones(len(weights), dtype=bool)
    return np.asarray(np.random.default_rng([seed, 1]).random(len(weights)) * weights.max() < weights)


def _change_notes(model: Model) -> list[str]:
    """What a change of the probabilities makes invalid."""
    assert model.manifest is not None
    notes = []
    if model.manifest.kind == "cascade":
        notes.append("the certificate of the cascade compares label sets at its old thresholds, not at the new ones")
    if model.manifest.abstention or model.manifest.screening:
        notes.append(
            "the model's rule for abstention or screening was removed, because it holds for the old probabilities; "
            "make a new one from another sample (--max-error, --recall)"
        )
    return notes


def _without_labels(
    model: Model, after: Calibration, shares: dict[str, float], wanted: Wanted, has_corpus: bool
) -> tuple[Manifest, CalibrationReport]:
    notes = [
        "only the prevalence was used: it is assumed that the sentences with each label, and those without it, are of "
        "the same kinds as in the model's calibration data (label shift)"
    ]
    if wanted.objective.aim == "f1" and not has_corpus and not model.codebook.exclusive:
        notes.append("the thresholds are unchanged; to choose new ones, provide a labelled sample or a corpus")
    if model.manifest is not None and model.manifest.profile is not None:
        notes.append("the model's profile was removed, because its probabilities have changed: drift is not monitored")
    manifest = new_manifest(model, after, None, None, {"objective": str(wanted.objective)}, shares)
    return manifest, make_report(model, manifest, None, None, ({}, {}), [*notes, *_change_notes(model)])
