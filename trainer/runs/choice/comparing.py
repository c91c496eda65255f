"""Two runs compared on the predictions of one part, or two models on a labelled file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labels.environment.progress import progress_stage
from labels.errors import DataError, InputError, counted
from labels.records import Example
from labels.text.examples import ReadingOptions, read_labelled
from trainer.classifiers.base import label_matrix
from trainer.data.dataset import hash_test
from trainer.data.predicted import Predicted
from trainer.data.splits import group_examples
from trainer.evaluation.comparison import Comparison, changed_rows, compare_predictions
from trainer.model.model import Model
from trainer.model.seen import seen_note
from trainer.runs.choice.sides import PARTS, Side
from trainer.runs.evaluate import predict_examples
from trainer.runs.tracking.looks import note_look
from trainer.runs.tracking.registry import fetch_artefact


@dataclass(frozen=True)
class Change:
    """A sentence that two models label differently. `fixed` and `broken` say whose whole label set is correct."""

    example: Example
    first: tuple[str, ...]
    second: tuple[str, ...]

    @property
    def fixed(self) -> bool:
        """Only the second model is right."""
        return set(self.second) == set(self.example.labels)

    @property
    def broken(self) -> bool:
        """Only the first model is right."""
        return set(self.first) == set(self.example.labels)


@dataclass(frozen=True)
class Compared:
    """Two models compared.

    Attributes:
        first, second: their names.
        place: what they were compared on, e.g. "validation" or "held_out.jsonl".
        changes: the sentences that they label differently, in the order of the data.
        notes: caveats for readers of the figures.
    """

    first: str
    second: str
    labels: tuple[str, ...]
    place: str
    comparison: Comparison
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, without texts, as plain values of JSON."""
        figures = asdict(self.comparison)
        counts = {
            "changed": len(self.changes),
            "fixed": sum(change.fixed for change in self.changes),
            "broken": sum(change.broken for change in self.changes),
        }
        return {"first": self.first, "second": self.second, "on": self.place, **figures, **counts, "notes": self.notes}


TUNED = "the thresholds were tuned on these sentences, so both models look slightly better here than on new ones"

SEALED = "figures on test stay honest only if no choice is based on them: choose on validation"


def compare_sides(first: Side, second: Side, part: str = "", *, shown_by: str = "") -> Compared:
    """Compare two runs on the predictions of one part.

    Args:
        part: name of the part; empty for the first of `PARTS` that both have.
        shown_by: the command that shows the result; if the part is test, MLflow counts this look.

    Raises:
        DataError: the runs have different splits, codebooks, sentences or gold.
    """
    _refuse_other_codebook(first, second)
    shared = [name for name in PARTS if name in first.parts and name in second.parts]
    if not part and not shared:
        raise DataError(
            f"{first.name} and {second.name}: they have no part in common ({_known(first)}; {_known(second)}). Compare "
            "the models on labelled rows with --data."
        )
    part = part or shared[0]
    ours, theirs = first.part(part), second.part(part)
    if not ours.examples:
        raise DataError(f"{first.name}: the part '{part}' has no sentences. Choose another with --part.")
    theirs = _in_order(ours, theirs, (first.name, second.name), part)
    _refuse_other_split(first, second)
    notes = {"validation": (TUNED,), "test": (SEALED,)}.get(part, ())
    if part == "test" and shown_by:
        notes = (*notes, *_look_notes(ours.examples, shown_by, (first.name, second.name)))
    return _compared(first.name, second.name, first.report.labels, part, ours, theirs, notes)


def _look_notes(examples: Sequence[Example], command: str, names: Sequence[str]) -> list[str]:
    looks = note_look(hash_test(examples), command, names)
    return [f"figures of these test sentences were shown {counted(looks, 'time')}, this time included"] if looks else []


def _known(side: Side) -> str:
    return f"{side.name}: {', '.join(side.parts) or 'none'}"


def _refuse_other_codebook(first: Side, second: Side) -> None:
    ours, theirs = first.report.codebook, second.report.codebook
    if (ours and theirs and ours.hash != theirs.hash) or first.report.labels != second.report.labels:
        named = [f"{book.name} {book.version} ({book.hash[:8]})" if book else "unknown" for book in (ours, theirs)]
        raise DataError(
            f"{first.name} and {second.name} have different codebooks ({named[0]}; {named[1]}), so the same label may "
            "mean different things. Train both with one codebook. Models with the same labels can also be compared on "
            "labelled rows: `communique compare A B --data FILE`."
        )


def _refuse_other_split(first: Side, second: Side) -> None:
    ours, theirs = first.report.split_hash, second.report.split_hash
    if ours != theirs:
        raise DataError(
            f"{first.name} and {second.name} have different splits ({ours or 'unknown'}; {theirs or 'unknown'}): one "
            "of them may have learned from sentences on which the other is measured. Train both with the same "
            "split.manifest, or compare them on new rows with --data FILE."
        )


def _in_order(ours: Predicted, theirs: Predicted, names: tuple[str, str], part: str) -> Predicted:
    """Return the second predictions in the order of the first; refuses other ids, texts or gold."""
    position = {example.id: number for number, example in enumerate(theirs.examples)}
    ids = {example.id for example in ours.examples}
    if len(position) != len(theirs.examples) or len(ids) != len(ours.examples):
        raise DataError(f"{' and '.join(names)}: example ids occur twice in {part}, so rows cannot be matched.")
    lacking = [example.id for example in ours.examples if example.id not in position]
    extra = [identifier for identifier in position if identifier not in ids]
    if lacking or extra:
        side, missing = (names[1], lacking) if lacking else (names[0], extra)
        raise DataError(
            f"{' and '.join(names)} have predictions for different sentences: {counted(len(missing), 'example id')} of "
            f"{part} {'is' if len(missing) == 1 else 'are'} missing in {side}, e.g. '{missing[0]}'. Compare runs with "
            "the same split, or compare the models on labelled rows with --data FILE."
        )
    order = [position[example.id] for example in ours.examples]
    for one, number in zip(ours.examples, order, strict=True):
        other = theirs.examples[number]
        if (one.text, set(one.labels)) != (other.text, set(other.labels)):
            what = "text" if one.text != other.text else "gold labels"
            raise DataError(
                f"{' and '.join(names)}: the example '{one.id}' has different {what} in the second run. Gold has "
                "changed between the runs: train both on the same data, or use --data FILE."
            )
    return Predicted(ours.examples, theirs.predicted[order], theirs.probabilities[order])


def _compared(
    first: str,
    second: str,
    labels: Sequence[str],
    place: str,
    ours: Predicted,
    theirs: Predicted,
    notes: Sequence[str],
) -> Compared:
    gold = label_matrix(ours.examples, labels)
    groups = group_examples(ours.examples, allow_large=True)
    comparison = compare_predictions(labels, gold, ours.predicted, theirs.predicted, groups)
    changes = tuple(
        Change(ours.examples[row], _assigned(labels, ours, row), _assigned(labels, theirs, row))
        for row in map(int, changed_rows(ours.predicted, theirs.predicted))
    )
    return Compared(first, second, tuple(labels), place, comparison, changes, tuple(notes))


def _assigned(labels: Sequence[str], predicted: Predicted, row: int) -> tuple[str, ...]:
    return tuple(label for label, held in zip(labels, predicted.predicted[row], strict=True) if held)


def compare_models(first: str, second: str, data: Path, options: ReadingOptions | None = None) -> Compared:
    """Compare two saved models on a labelled file.

    Args:
        first, second: folders of runs or artefacts, or MLflow URIs.

    Raises:
        InputError: a model or the file cannot be read, or the models have different labels.
    """
    names = (first, second)
    artefacts = [fetch_artefact(reference) for reference in names]
    models = [Model.load(artefact) for artefact in artefacts]
    ours, theirs = (model.codebook for model in models)
    if ours.label_names != theirs.label_names or ours.exclusive != theirs.exclusive:
        raise InputError(
            f"{first} has the labels {', '.join(ours.label_names)}, but {second} has {', '.join(theirs.label_names)}. "
            "Only models with the same labels can be compared."
        )
    labelled = read_labelled([(data, "test")], ours, options or ReadingOptions())
    examples = labelled.examples[0]
    if not examples:
        raise DataError(f"{data}: no labelled rows. Add rows, or name another file with --data.")
    answers: list[Predicted] = []
    for name, model in zip(names, models, strict=True):
        with progress_stage(name):
            answers.append(predict_examples(model, examples))
    notes = [*labelled.notes, *_look_notes(examples, "compare", names)]
    for name, artefact, model in zip(names, artefacts, models, strict=True):
        assert model.manifest is not None
        notes += seen_note(model.manifest, artefact, examples, name)
    if ours.hash != theirs.hash:
        notes.append("the models were trained with different versions of the codebook")
    return _compared(first, second, ours.label_names, data.name, answers[0], answers[1], notes)
