"""Which gold labels are likely wrong: each sentence is judged by a model that was fitted without its document.

The statistics are `trainer.active.confident_learning`'s; what becomes of a doubtful label, a person decides.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from labels.codebook.schema import Codebook
from labels.errors import DataError, ExperimentError, did_you_mean
from labels.files import write_whole
from labels.progress import report_progress
from labels.records import Example
from labels.settings import command
from labels.store import Store
from trainer.active import confident_learning as learning
from trainer.arrays import Floats
from trainer.calibration.calibration import with_none
from trainer.classifiers.base import build_classifier, class_indices, label_matrix
from trainer.config.models import EmbeddingSection, TfidfSection
from trainer.data.dataset import store_examples
from trainer.data.splits import make_split

Kind = Literal["tfidf", "embedding"]
OUTPUT_SUFFIXES = (".jsonl", ".csv")
_NONE = "none"


@dataclass(frozen=True)
class Doubt:
    """A sentence whose gold is likely wrong.

    `labels` is its gold, `label` the one that should not be there or is missing, `probability` what a model that had
    not seen the document gives that label, and `suggested` the label set that the model would put. `score` is in
    [0, 1]; the lower, the more doubtful. `reason` says it in words.
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
class DoubtReport:
    """The most doubtful of `found` doubtful sentences among `sentences`, the worst first.

    `unjudged` counts the gold labels of which the other folds had no example (or nothing else), so that nothing can be
    said of them. `notes` say which sentences had no gold.
    """

    doubts: tuple[Doubt, ...]
    found: int
    sentences: int
    unjudged: int
    notes: tuple[str, ...] = ()


def store_doubts(
    store: Store,
    codebook: Codebook,
    *,
    kind: Kind = "tfidf",
    folds: int = 5,
    limit: int = 100,
    reference: str = "",
) -> DoubtReport:
    """`find_doubts` in the gold of a label store.

    Args:
        reference: what `--codebook` takes for the codebook, for messages.

    Raises:
        ExperimentError: there is no gold, or too little to be divided.
    """
    notes: list[str] = []
    examples = store_examples(store, codebook, notes)
    if not examples:
        label = command("label", "--annotator", "YOUR_NAME", store=store.name, codebook=reference)
        raise ExperimentError(f"{store.name}: no sentence in it has agreed labels yet. Label some with `{label}`.")
    report = find_doubts(examples, codebook, kind=kind, folds=folds, limit=limit)
    return DoubtReport(report.doubts, report.found, report.sentences, report.unjudged, tuple(notes))


def find_doubts(
    examples: Sequence[Example],
    codebook: Codebook,
    *,
    kind: Kind = "tfidf",
    folds: int = 5,
    limit: int = 100,
    seed: int = 13,
) -> DoubtReport:
    """Sentences whose gold confident learning contradicts, ranked; sources: `trainer.active.confident_learning`.

    Documents with near-duplicates of each other are in the same fold. Exclusive codebooks: off-diagonal entries of the
    confident joint, ranked by normalised margin. Multi-label: one label at a time, ranked by the exponentially weighted
    mean of a sentence's self-confidences.

    Raises:
        ExperimentError: there are fewer groups of documents than folds.
    """
    probabilities = out_of_sample(examples, codebook, kind=kind, folds=folds, seed=seed)
    judge = _exclusive_doubts if codebook.exclusive else _multilabel_doubts
    doubts = sorted(judge(examples, codebook, probabilities), key=lambda doubt: (doubt.score, doubt.sentence_id))
    unjudged = np.isnan(probabilities)
    if codebook.exclusive:
        given = class_indices(label_matrix(examples, codebook.label_names))
        unjudged = unjudged[np.arange(len(examples)), given]
    return DoubtReport(tuple(doubts[:limit]), len(doubts), len(examples), int(unjudged.sum()))


def queue_doubts(store: Store, doubts: Iterable[Doubt]) -> int:
    """Ask for the doubtful sentences to be labelled again; how many were not asked for already."""
    return store.relabelling.add([(doubt.sentence_id, doubt.reason, doubt.labels) for doubt in doubts], source="doubts")


def write_doubts(path: Path, doubts: Sequence[Doubt]) -> None:
    """Write doubts to a .jsonl or .csv file, whole or not at all; in CSV labels are joined by `|`.

    Raises:
        DataError: another ending, or the file cannot be written.
    """
    check_output(path)
    if path.suffix.lower() == ".jsonl":
        write_whole(path, (json.dumps(asdict(doubt), ensure_ascii=False) + "\n" for doubt in doubts))
        return
    table = io.StringIO()
    writer = csv.DictWriter(table, list(Doubt.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        asdict(doubt) | {"labels": "|".join(doubt.labels), "suggested": "|".join(doubt.suggested)} for doubt in doubts
    )
    write_whole(path, [table.getvalue()])


def check_kind(kind: str) -> Kind:
    """The kind of that name.

    Raises:
        ExperimentError: models of this kind do not judge; the message lists those that do.
    """
    kinds: tuple[Kind, ...] = get_args(Kind)
    for known in kinds:
        if kind == known:
            return known
    raise ExperimentError(f"--kind {kind}: labels are judged by {' or '.join(kinds)}{did_you_mean(kind, kinds)}.")


def check_output(path: Path) -> None:
    """Raise DataError where `write_doubts` does not know the file's ending; cheap, so ask before long work."""
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        raise DataError(f"{path}: doubts are written as {', '.join(OUTPUT_SUFFIXES)}. Give the file such an ending.")


def out_of_sample(
    examples: Sequence[Example],
    codebook: Codebook,
    *,
    kind: Kind,
    folds: int,
    seed: int,
) -> Floats:
    """What models say of documents that they were not fitted to: (n, labels), or (n, classes) of exclusive codebooks.

    "None" is the last class where it is allowed. A column is nan where the other folds lack its label or anything else.

    Raises:
        ExperimentError: there are fewer groups of documents than folds.
    """
    n_classes = len(codebook.labels) + (codebook.exclusive and codebook.allow_none)
    row = {example.id: position for position, example in enumerate(examples)}
    found = np.full((len(examples), n_classes), np.nan)
    parts = make_split(examples, [1 / folds] * folds, seed, allow_large=True)
    for done, held in enumerate(parts):
        rest = [example for part in parts if part is not held for example in part]
        found[[row[example.id] for example in held]] = _judged(rest, held, codebook, kind, seed)
        report_progress("Cross-validating", done + 1, folds)
    return found


def _judged(train: Sequence[Example], held: Sequence[Example], codebook: Codebook, kind: Kind, seed: int) -> Floats:
    """Probabilities of the held-out examples, nan in the columns that `train` cannot teach."""
    # Classes as frequent as they are: thresholds by class, not weights, answer for rare ones.
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


def _exclusive_doubts(examples: Sequence[Example], codebook: Codebook, probabilities: Floats) -> list[Doubt]:
    names = (*codebook.label_names, _NONE)
    given = class_indices(label_matrix(examples, codebook.label_names))
    judged = np.flatnonzero(~np.isnan(probabilities[np.arange(len(given)), given])).tolist()
    known, classes = np.nan_to_num(probabilities[judged]), given[judged]
    confident = learning.confident_classes(known, learning.class_thresholds(known, classes))
    scores = (learning.normalised_margins(known, classes) + 1) / 2
    doubts = []
    for position in np.flatnonzero((confident != learning.UNJUDGED) & (confident != classes)):
        example, was, now = examples[judged[position]], int(classes[position]), int(confident[position])
        label = now if was == len(codebook.labels) else was
        before, after = float(known[position, was]), float(known[position, now])
        doubts.append(
            _doubt(
                example,
                names[label],
                float(known[position, label]),
                () if now == len(codebook.labels) else (names[now],),
                float(scores[position]),
                f"labelled {names[was]}; a model that had not seen the document gives {names[was]} {before:.2f} and "
                f"{names[now]} {after:.2f}",
            )
        )
    return doubts


def _multilabel_doubts(examples: Sequence[Example], codebook: Codebook, probabilities: Floats) -> list[Doubt]:
    names = codebook.label_names
    gold = label_matrix(examples, names)
    doubtful = learning.doubtful_labels(probabilities, gold)
    confidence = learning.self_confidence(probabilities, gold)
    scores = learning.sentence_scores(confidence)
    doubts = []
    for row in np.flatnonzero(doubtful.any(axis=1)).tolist():
        columns = sorted(np.flatnonzero(doubtful[row]), key=lambda column: float(confidence[row, column]))
        turned = gold[row] ^ doubtful[row]
        said = [
            f"{'labelled' if gold[row, column] else 'not labelled'} {names[column]}, to which a model that had not "
            f"seen the document gives {probabilities[row, column]:.2f}"
            for column in columns
        ]
        doubts.append(
            _doubt(
                examples[row],
                names[columns[0]],
                float(probabilities[row, columns[0]]),
                tuple(name for name, there in zip(names, turned, strict=True) if there),
                float(scores[row]),
                "; ".join(said),
            )
        )
    return doubts


def _doubt(
    example: Example, label: str, probability: float, suggested: tuple[str, ...], score: float, reason: str
) -> Doubt:
    return Doubt(
        example.id,
        example.document_id,
        example.text,
        example.labels,
        label,
        round(probability, 6),
        suggested,
        round(score, 6),
        reason,
    )
