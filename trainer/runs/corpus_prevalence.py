"""The prevalence that `evaluation.prevalence` gives or names a corpus for, and the figures of a report at it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from labels.codebook.schema import Codebook
from labels.errors import ExperimentError
from labels.text.documents import find_files
from trainer.config.sections import EvaluationSection
from trainer.data.unlabelled import read_corpus
from trainer.evaluation.figures import PrevalenceFigures
from trainer.evaluation.label_shift.class_reweighting import class_figures_at_estimated, class_figures_at_given
from trainer.evaluation.label_shift.prevalence import Unlabelled, check_prevalence, check_shares
from trainer.evaluation.label_shift.reweighting import (
    IntervalSettings,
    LabelledTest,
    figures_at_estimated,
    figures_at_given,
)
from trainer.evaluation.report import Outcome
from trainer.model.model import Model

Prevalence = float | dict[str, float] | str
"""A share for all labels, shares by label, or the path of a corpus; empty for none."""


def parse_prevalence(text: str, option: str = "--prevalence") -> Prevalence:
    """Read a prevalence from a command line: `0.02`, `aid_pledge=0.02,dismissal=0.01`, or the path of a corpus.

    Raises:
        ExperimentError: a share is not a number, or a label has two; the message names the option.
    """
    if "=" in text and not Path(text).exists():
        found: dict[str, float] = {}
        for pair in text.split(","):
            label, _, share = (part.strip() for part in pair.partition("="))
            if label in found:
                raise ExperimentError(f"{option} {text}: '{label}' is there twice. Give one share for each label.")
            found[label] = _number(share, f"{option} {text}")
        return found
    try:
        return float(text)
    except ValueError:
        return text


def _number(share: str, place: str) -> float:
    try:
        return float(share)
    except ValueError:
        raise ExperimentError(
            f"{place}: '{share}' is not a number. Write a share for each label, e.g. aid_pledge=0.02."
        ) from None


def check_settings(prevalence: Prevalence, codebook: Codebook, place: str = "evaluation.prevalence") -> None:
    """Check a prevalence that is given at `place`, before anything is trained or predicted.

    Raises:
        ExperimentError: a label is unknown, a share is not between 0 and 1, or the shares of labels that exclude each
            other sum to more than 1.
        DataError: the corpus does not exist.
    """
    if isinstance(prevalence, str):
        if prevalence:
            find_files([prevalence])
        return
    labels = codebook.label_names
    check_prevalence(_by_label(prevalence, labels), labels, place)
    if codebook.exclusive:
        check_shares(_by_label(prevalence, labels), labels, place, allow_none=codebook.allow_none)


def _by_label(prevalence: float | dict[str, float], labels: tuple[str, ...]) -> dict[str, float]:
    return prevalence if isinstance(prevalence, dict) else dict.fromkeys(labels, prevalence)


def prevalence_figures(
    model: Model, outcome: Outcome, settings: EvaluationSection, seed: int
) -> PrevalenceFigures | None:
    """Return the figures of an outcome at the prevalence of the corpus; None if the settings name no prevalence.

    Raises:
        ExperimentError, DataError: as for `check_settings`, or the corpus has no sentences.
    """
    if settings.prevalence == "":
        return None
    check_settings(settings.prevalence, model.codebook)
    test = LabelledTest(outcome.labels, outcome.gold, outcome.predicted, outcome.probabilities, outcome.groups)
    how = IntervalSettings(settings.bootstrap, seed, settings.confidence, settings.min_groups)
    if not isinstance(settings.prevalence, str):
        shares = _by_label(settings.prevalence, model.labels)
        if outcome.exclusive:
            return class_figures_at_given(test, shares, how, allow_none=model.codebook.allow_none)
        return figures_at_given(test, shares, how)
    corpus = predicted_corpus(model, settings.prevalence)
    if outcome.exclusive:
        return class_figures_at_estimated(test, corpus, model.calibration, settings.prevalence, how)
    return figures_at_estimated(test, corpus, model.calibration, settings.prevalence, how)


def predicted_corpus(model: Model, place: str) -> Unlabelled:
    """Read the sentences of a corpus, and predict their probabilities."""
    texts, groups = read_corpus(place)
    return Unlabelled(model.predict_proba(texts).astype(np.float64), groups)
