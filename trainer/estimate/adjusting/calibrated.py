"""The results of a new calibration: figures before and after, and the artefact with the new manifest."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.calibration.abstention import Abstention, Screening
from trainer.calibration.calibration import Bools, Calibration, Floats
from trainer.calibration.recalibration import LabelledSample
from trainer.estimate.given.gold_rows import LabelledSentences
from trainer.model.model import MANIFEST, Manifest, Model
from trainer.model.profile import read_profile
from trainer.model.seen import training_ids


@dataclass(frozen=True)
class LabelFigures:
    """How well the probabilities of a label fit, on sentences to which the calibration was not fitted.

    - `mean`: mean probability, which should be the share of the label
    - `brier`, `log_loss`: of the probabilities; lower is better
    - `precision`, `recall`, `f1`: at the threshold; None where undefined
    """

    mean: float
    brier: float
    log_loss: float
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class CalibrationReport:
    """What `calibrate` found.

    - `folder`: of the new artefact; `model_id`: its id
    - `sentences`, `documents`, `positives`: of the labelled sample; 0 and empty without one
    - `shares`: share of each label, known or estimated
    - `before`, `after`: by label; empty without a labelled sample. `after` is cross-fitted by document
    - `abstention`, `screening`: the rules of the new artefact, if it has them
    """

    folder: Path
    model_id: str
    labels: tuple[str, ...]
    sentences: int
    documents: int
    positives: dict[str, int]
    shares: dict[str, float]
    thresholds: dict[str, float]
    before: dict[str, LabelFigures]
    after: dict[str, LabelFigures]
    abstention: Abstention | None
    screening: Screening | None
    notes: tuple[str, ...]


def sample_figures(sample: LabelledSample, probabilities: Floats, assigned: Bools) -> dict[str, LabelFigures]:
    """Weighted figures of each label, from arrays of shape (n, labels)."""
    found = {}
    for i, label in enumerate(sample.names):
        weights, gold, p = sample.weights_for(i), sample.gold[:, i], np.clip(probabilities[:, i], 1e-6, 1 - 1e-6)
        total, said = weights.sum(), assigned[:, i]
        true = float(weights[gold & said].sum())
        given, held = float(weights[said].sum()), float(weights[gold].sum())
        found[label] = LabelFigures(
            mean=float(weights @ p / total),
            brier=float(weights @ (p - gold) ** 2 / total),
            log_loss=float(-(weights @ np.where(gold, np.log(p), np.log(1 - p))) / total),
            precision=true / given if given else None,
            recall=true / held if held else None,
            f1=2 * true / (given + held) if given + held else None,
        )
    return found


def make_report(
    model: Model,
    manifest: Manifest,
    sample: LabelledSentences | None,
    found: LabelledSample | None,
    figures: tuple[dict[str, LabelFigures], dict[str, LabelFigures]],
    notes: Sequence[str],
) -> CalibrationReport:
    """Return the report; its folder is not known yet."""
    shares = manifest.details["calibrate"]["prevalence"]
    positives: dict[str, int] = {}
    if found is not None:
        shares = dict(zip(model.labels, found.shares.tolist(), strict=True))
        positives = dict(zip(model.labels, found.gold.sum(axis=0).tolist(), strict=True))
    return CalibrationReport(
        Path(),
        manifest.digest,
        model.labels,
        len(sample.examples) if sample else 0,
        len({one.document_id for one in sample.examples}) if sample else 0,
        positives,
        shares,
        dict(manifest.thresholds),
        *figures,
        manifest.abstention,
        manifest.screening,
        tuple(notes),
    )


def new_manifest(
    model: Model,
    calibration: Calibration,
    sample: LabelledSentences | None,
    found: LabelledSample | None,
    facts: dict[str, Any],
    shares: dict[str, float],
    *,
    abstention: Abstention | None = None,
    screening: Screening | None = None,
) -> Manifest:
    """Return the manifest of the new artefact. Old rules are dropped: they hold for the old probabilities.

    Args:
        facts: for the record of the calibration in `details`.
        shares: the stated or estimated prevalence, by label.
    """
    assert model.manifest is not None
    old = model.manifest
    facts |= {"calibrated_from": old.digest, "sample": sample.source if sample else "", "prevalence": shares}
    learned: tuple[str, ...] = ()
    if sample is not None:
        learned = training_ids(sample.examples)
        facts |= {"sentences": len(sample.examples)}
    thresholds = {} if calibration.exclusive else dict(zip(model.labels, calibration.thresholds.tolist(), strict=True))
    made = old.model_copy(
        update={
            "calibration": calibration,
            "thresholds": thresholds,
            "details": old.details | {"calibrate": facts},
            "abstention": abstention or (old.abstention if calibration is model.calibration else None),
            "screening": screening or (old.screening if calibration is model.calibration else None),
            "training_ids": tuple(sorted({*old.training_ids, *learned})) if old.training_ids else (),
            "profile": None,
        }
    )
    if old.profile is not None and sample is not None and found is not None:
        profile = read_profile(old.profile, old.digest)
        again = replace(model, calibration=calibration, manifest=made)
        probabilities = again.predict_proba([one.text for one in sample.examples])
        measured = profile.after_calibration(
            [one.text for one in sample.examples],
            [one.document_id for one in sample.examples],
            probabilities,
            again.decide(probabilities),
            sample.weights,
        )
        made = made.model_copy(update={"profile": measured.model_dump(mode="json")})
    return made


def copy_artefact(source: Path, draft: Path, manifest: Manifest) -> None:
    """Write an artefact with the files of another one, and another manifest, to an existing, empty folder."""
    for name in manifest.files:
        target = draft / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)
    (draft / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
