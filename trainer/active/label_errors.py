"""Find gold labels that are likely wrong, by confident learning: out-of-sample predictions contradict the labels.

cleanlab computes the scores. A person decides whether a suspected label is changed.

Sources: Northcutt, Jiang & Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70;
Thyagarajan, Snorrason, Northcutt & Mueller (2022), "Identifying Incorrect Annotations in Multi-Label Classification
Data".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.environment.progress import report_progress
from labels.environment.settings import command
from labels.errors import DataError, ExperimentError
from labels.output.drafts import check_file, write_whole
from labels.output.table_files import check_spreadsheet, json_lines, write_csv
from labels.records import Example
from labels.store import Store
from trainer.active.label_auc import LabelAUC, label_aucs
from trainer.calibration.calibration import Bools, Floats, with_none
from trainer.classifiers.base import build_classifier, class_indices, label_matrix
from trainer.config.models import EmbeddingSection, TfidfSection
from trainer.data.corpus import store_examples
from trainer.data.splits import make_split

Kind = Literal["tfidf", "embedding"]
OUTPUT_SUFFIXES = (".jsonl", ".csv")
WEIGHT = 0.8
"""Weight of the label with the lowest self-confidence in a sentence's score, in (0, 1]."""
_NONE = "none"
_SOURCE = "doubts"
"""Source of these sentences in the store's relabelling queue. Existing stores have this value: do not change it."""


@dataclass(frozen=True)
class LabelError:
    """A sentence whose gold is likely wrong.

    `labels` is the gold, and `label` is the label that is probably wrong or missing. `probability` is the
    out-of-sample probability of `label`, and `suggested` is the label set that the model would assign. `score` is in
    [0, 1]; the lower the score, the more likely the gold is wrong. `reason` explains the suspicion in words.
    """

    sentence_id: str
    document_id: str
    text: str
    labels: tuple[str, ...]
    label: str
    probability: float
    suggested: tuple[str, ...]
    score: float
    reason: str


@dataclass(frozen=True)
class LabelErrorReport:
    """The most likely label errors, the most doubtful first.

    `found` is the number of suspected sentences, of which `errors` may list only a part; `sentences` is the number of
    sentences checked. `unchecked` counts the gold labels that no model could check, because the other folds had no
    example or no counterexample. `notes` report the sentences without gold. `aucs` say, for each label, whether the
    cross-validated models are better than chance.
    """

    errors: tuple[LabelError, ...]
    found: int
    sentences: int
    unchecked: int
    notes: tuple[str, ...] = ()
    aucs: tuple[LabelAUC, ...] = ()


def store_label_errors(
    store: Store, codebook: Codebook, *, kind: Kind = "tfidf", folds: int = 5, limit: int = 100, reference: str = ""
) -> LabelErrorReport:
    """Run `find_label_errors` on the gold in a label store.

    Args:
        reference: the value of `--codebook` for this codebook, to show in messages.

    Raises:
        ExperimentError: there is no gold, or not enough to divide it into folds.
    """
    gold = store_examples(store, codebook)
    if not gold.examples:
        label = command("label", "--annotator", "YOUR_NAME", store=store.name, codebook=reference)
        raise ExperimentError(f"{store.name}: no sentence has agreed labels yet. Label some sentences with `{label}`.")
    return replace(find_label_errors(gold.examples, codebook, kind=kind, folds=folds, limit=limit), notes=gold.notes)


def find_label_errors(
    examples: Sequence[Example],
    codebook: Codebook,
    *,
    kind: Kind = "tfidf",
    folds: int = 5,
    limit: int = 100,
    seed: int = 13,
) -> LabelErrorReport:
    """Find and rank the sentences whose gold contradicts confident learning.

    Documents that share near-duplicates are in the same fold. For exclusive codebooks, suspected sentences are the
    off-diagonal entries of the confident joint, ranked by normalised margin. For multi-label codebooks, each label is
    checked separately, and sentences are ranked by the exponentially weighted mean of their labels' self-confidences.

    Raises:
        ExperimentError: there are fewer groups of documents than folds.
    """
    probabilities = out_of_sample(examples, codebook, kind=kind, folds=folds, seed=seed)
    find = _exclusive_errors if codebook.exclusive else _multilabel_errors
    errors = sorted(find(examples, codebook, probabilities), key=lambda error: (error.score, error.sentence_id))
    unchecked = np.isnan(probabilities)
    gold = label_matrix(examples, codebook.label_names)
    documents = [example.document_id for example in examples]
    aucs = label_aucs(probabilities[:, : gold.shape[1]], gold, codebook.label_names, documents, seed)
    if codebook.exclusive:
        unchecked = unchecked[np.arange(len(examples)), class_indices(gold)]
    return LabelErrorReport(tuple(errors[:limit]), len(errors), len(examples), int(unchecked.sum()), aucs=aucs)


def queue_relabelling(store: Store, errors: Iterable[LabelError]) -> int:
    """Queue the sentences for labelling again; returns how many were not in the queue already."""
    return store.relabelling.add([(error.sentence_id, error.reason, error.labels) for error in errors], source=_SOURCE)


def write_label_errors(path: Path, errors: Sequence[LabelError], *, for_spreadsheet: bool = False) -> None:
    """Write label errors to a .jsonl or .csv file; in CSV, labels are joined by `|`. Never leaves a partial file.

    Args:
        for_spreadsheet: put an apostrophe before cells of a .csv file that a spreadsheet would execute.

    Raises:
        DataError: see `check_output`.
    """
    check_output(path, for_spreadsheet=for_spreadsheet)
    if path.suffix.lower() == ".jsonl":
        write_whole(path, json_lines(map(asdict, errors)))
        return
    rows = (
        asdict(error) | {"labels": "|".join(error.labels), "suggested": "|".join(error.suggested)} for error in errors
    )
    write_csv(path, rows, list(LabelError.__dataclass_fields__), for_spreadsheet=for_spreadsheet)


def check_output(path: Path, *, for_spreadsheet: bool = False) -> None:
    """Check that `write_label_errors` can write this file, before a long computation.

    Raises:
        DataError: the file has another extension, or it cannot be written.
    """
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        raise DataError(
            f"{path}: the list can be written to {' or '.join(OUTPUT_SUFFIXES)} files. Change the file extension."
        )
    if for_spreadsheet:
        check_spreadsheet(path)
    check_file(path)


def out_of_sample(examples: Sequence[Example], codebook: Codebook, *, kind: Kind, folds: int, seed: int) -> Floats:
    """Out-of-sample probabilities of shape (n, labels), or (n, classes) for exclusive codebooks.

    Every document is predicted by a model that was not fitted to it. If "none" is allowed, it is the last class. A
    probability is nan if the other folds have no example or no counterexample of the label.

    Raises:
        ExperimentError: there are fewer groups of documents than folds.
    """
    n_classes = len(codebook.labels) + (codebook.exclusive and codebook.allow_none)
    row = {example.id: position for position, example in enumerate(examples)}
    found = np.full((len(examples), n_classes), np.nan)
    # Large groups are allowed: folds may be uneven, but near-duplicates must be in the same fold.
    parts = make_split(examples, [1 / folds] * folds, seed, allow_large=True)
    for done, held in enumerate(parts):
        rest = [example for part in parts if part is not held for example in part]
        found[[row[example.id] for example in held]] = _predicted(rest, held, codebook, kind, seed)
        report_progress("Cross-validating", done + 1, folds)
    return found


def _predicted(train: Sequence[Example], held: Sequence[Example], codebook: Codebook, kind: Kind, seed: int) -> Floats:
    """Probabilities of the held-out examples; nan in columns for which `train` lacks an example or a counterexample."""
    # No class weights: confident learning has a threshold for each class, which already accounts for rare classes.
    section = (TfidfSection if kind == "tfidf" else EmbeddingSection)(kind=kind, class_weight="none")
    gold = label_matrix(train, codebook.label_names)
    if codebook.exclusive:
        gold = class_indices(gold)[:, None] == np.arange(len(codebook.labels) + codebook.allow_none)
    taught = gold.any(axis=0) & ~gold.all(axis=0)
    if not taught.any():
        return np.full((len(held), gold.shape[1]), np.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        classifier = build_classifier(section, codebook, seed).fit(train, [])
    probabilities = classifier.predict_proba([example.text for example in held]).astype(np.float64)
    if codebook.exclusive:
        probabilities = with_none(probabilities, codebook.allow_none)
    return np.where(taught, probabilities, np.nan)


def confident_classes(probabilities: Floats, given: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class that confident learning assigns to each row, of shape (n,).

    A class is a candidate if its probability reaches the mean probability of the class among the rows labelled with it.
    The result is the most likely candidate, or the given class if there is no candidate. In contrast,
    `cleanlab.count.compute_confident_joint` takes the most likely class, even if it is not a candidate.

    Args:
        probabilities: out-of-sample probabilities of shape (n, classes).
        given: the given class of each row, of shape (n,).
    """
    from cleanlab.count import get_confident_thresholds

    counting = probabilities >= get_confident_thresholds(given, probabilities)
    likeliest = np.where(counting, probabilities, -1.0).argmax(axis=1)
    return np.where(counting.any(axis=1), likeliest, given)


def _exclusive_errors(examples: Sequence[Example], codebook: Codebook, probabilities: Floats) -> list[LabelError]:
    from cleanlab.rank import get_normalized_margin_for_each_label

    names = (*codebook.label_names, _NONE)
    given = class_indices(label_matrix(examples, codebook.label_names))
    checked = np.flatnonzero(~np.isnan(probabilities[np.arange(len(given)), given])).tolist()
    if not checked:
        return []
    # A class that could not be learned gets probability 0, so that it is never the more likely class.
    known, classes = np.nan_to_num(probabilities[checked]), given[checked]
    confident = confident_classes(known, classes)
    scores = get_normalized_margin_for_each_label(classes, known)
    errors = []
    for position in np.flatnonzero(confident != classes):
        example, was, now = examples[checked[position]], int(classes[position]), int(confident[position])
        label = now if was == len(codebook.labels) else was
        suggested = () if now == len(codebook.labels) else (names[now],)
        before, after = float(known[position, was]), float(known[position, now])
        reason = (
            f"labelled {names[was]}; a model that had not seen the document gives {names[was]} {before:.2f} and "
            f"{names[now]} {after:.2f}"
        )
        probability, score = float(known[position, label]), float(scores[position])
        errors.append(_error(example, names[label], probability, suggested, score, reason))
    return errors


def _multilabel_errors(examples: Sequence[Example], codebook: Codebook, probabilities: Floats) -> list[LabelError]:
    names = codebook.label_names
    gold = label_matrix(examples, names)
    wrong = suspected_labels(probabilities, gold)
    confidence = np.where(gold, probabilities, 1 - probabilities)
    scores = sentence_scores(confidence)
    errors = []
    for row in np.flatnonzero(wrong.any(axis=1)).tolist():
        # The label that the model doubts most comes first.
        columns = sorted(np.flatnonzero(wrong[row]).tolist(), key=lambda column: float(confidence[row, column]))
        turned = np.flatnonzero(gold[row] ^ wrong[row])
        reasons = [
            f"{'labelled' if gold[row, column] else 'not labelled'} {names[column]}, to which a model that had not "
            f"seen the document gives {probabilities[row, column]:.2f}"
            for column in columns
        ]
        worst = columns[0]
        probability, score = float(probabilities[row, worst]), float(scores[row])
        suggested = tuple(names[column] for column in turned)
        errors.append(_error(examples[row], names[worst], probability, suggested, score, "; ".join(reasons)))
    return errors


def suspected_labels(probabilities: Floats, gold: Bools) -> Bools:
    """Mask of shape (n, labels): True if confident learning, applied to each label separately, contradicts the gold.

    Args:
        probabilities: out-of-sample probabilities of shape (n, labels). Labels with nan are never suspected.
        gold: gold labels of shape (n, labels).
    """
    wrong = np.zeros(gold.shape, dtype=bool)
    for column in range(gold.shape[1]):
        known = ~np.isnan(probabilities[:, column])
        if known.any():
            given = gold[known, column].astype(np.int64)
            binary = np.column_stack([1 - probabilities[known, column], probabilities[known, column]])
            wrong[known, column] = confident_classes(binary, given) != given
    return wrong


def sentence_scores(confidence: Floats) -> Floats:
    """Scores of shape (n,) in [0, 1]; a low score means that an error is likely.

    The score is an exponentially weighted mean, in which the lowest self-confidence has the largest weight.

    Args:
        confidence: self-confidence of shape (n, labels): the probability of the gold, that is, of the label's presence
            or absence. nan is ignored; the score is 1 if all values of a row are nan.
    """
    from cleanlab.internal.multilabel_scorer import exponential_moving_average

    known = ~np.isnan(confidence)
    scores = np.ones(len(confidence))
    # cleanlab does not accept missing values, so rows with nan in the same columns are scored together.
    for pattern in np.unique(known, axis=0):
        if pattern.any():
            rows = (known == pattern).all(axis=1)
            scores[rows] = exponential_moving_average(confidence[rows][:, pattern], alpha=WEIGHT)
    return scores


def _error(
    example: Example, label: str, probability: float, suggested: tuple[str, ...], score: float, reason: str
) -> LabelError:
    sentence = (example.id, example.document_id, example.text, example.labels)
    return LabelError(*sentence, label, round(probability, 6), suggested, round(score, 6), reason)
