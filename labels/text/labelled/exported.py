"""Recognise files and folders that communique wrote: exported decisions of annotators, predictions, runs.

In a labelled file, the rows that count as examples are selected. The exports of communique contain all events of a
label store (native JSONL), or its standing decisions (CSV). A classifier needs one label set per sentence, so undone
and replaced decisions must not count, and an adjudication takes precedence.

In a folder of documents, outputs of communique and MLflow are not read as documents. Files are recognised by their
columns, and folders by a file that only communique or MLflow writes, or by a name that only MLflow, Spark or Hadoop
gives. The names of articles do not matter.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from labels.errors import DataError, counted
from labels.gold import Standing, standing
from labels.output.folders import INDEX, OUTPUT_MARKS
from labels.records import Annotation, EventKind, State
from labels.text.rows import ROW_SUFFIXES, Row, read_rows
from labels.unicode import clean, is_no_value

STAMP = "communique"
"""The column of exports of communique that repeats the decision in a row."""

PREDICTED = frozenset({"sentence_id", "start", "end", "model_id", "codebook_hash"})
"""The columns by which a row from `predict` is recognised."""

PREDICTED_DOCUMENTS = frozenset({"document_id", "sentences", "model_id", "codebook_hash"})
"""The columns by which a row from `predict --by document` is recognised."""

_OUT_OF_RUN = frozenset({"example_id", "gold", "labels", "probabilities", "split"})
"""The columns by which a row from the predictions of a run is recognised. Its `labels` are those of the model."""

Numbered = tuple[int, Row]
"""Pairs of a row and its number in the file."""

_KINDS = get_args(EventKind)
_EQUAL_BY_CHANCE = 0.1
"""The maximum share of common texts at which annotators are assumed to have decided on different sentences."""
_HISTORY = ("codebook", "codebook_migration")
"""Keys of lines that contain a version of the codebook, or a change between versions."""


ANNOTATOR_COLUMNS = ("coder", "rater", "user", "username", "annotator_id", "annotator_name", "labeler", "labeller")
"""Columns that often name annotators in tables from other sources."""


@dataclass(frozen=True)
class CountedRows:
    """The rows of a file that become examples, and remarks on the other rows."""

    rows: list[Numbered]
    notes: tuple[str, ...] = ()


def counted_rows(path: Path, rows: Iterable[Numbered]) -> CountedRows:
    """Keep one row per sentence if the rows are decisions of annotators; keep all other rows.

    Raises:
        DataError: two annotators decided on a sentence and nobody adjudicated; or the file has several versions of its
            codebook, is an export without texts, or has answers of Prodigy that are not labels.
    """
    found = list(rows)
    _refuse_predictions_of_run(path, found)
    _refuse_versions(path, found)
    _refuse_without_texts(path, found)
    _refuse_answers(path, found)
    # The answers of language models are not decisions, so their rows are not examples.
    events = [(number, row, kind) for number, row in found if (kind := _kind(row)) and kind != "model"]
    others = [(number, row) for number, row in found if not _kind(row)]
    kept, notes = _standing(path, events)
    in_order = sorted([*kept, *others], key=lambda numbered: numbered[0])
    _refuse_two_annotators(path, in_order)
    kept_rows = [row for _, row in in_order]
    return CountedRows(in_order, (*notes, *prediction_notes(path, kept_rows), *_coder_notes(path, kept_rows)))


def _refuse_predictions_of_run(path: Path, rows: Sequence[Numbered]) -> None:
    if any(row.keys() >= _OUT_OF_RUN for _, row in rows):
        raise DataError(
            f"{path}: these are the predictions of a run: `labels` are the labels that its model predicted, and `gold` "
            "those of annotators. Choose the labels of annotators with --label-column gold (in an experiment: "
            "data.label_column)."
        )


def prediction_notes(path: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a remark if a model has predicted the labels of rows, as in files written by `predict`."""
    models = Counter(str(row["model_id"]) for row in rows if row.keys() >= PREDICTED)
    if models:
        yield (
            f"{path}: the labels in {counted(models.total(), 'row')} are predictions of the model "
            f"{', '.join(sorted(models))}, unless somebody corrected them. Figures that treat predictions as decisions "
            "of annotators are too optimistic"
        )


def _coder_notes(path: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a remark if texts occur once per value of a column that may name the annotators."""
    columns = {} if not rows or "annotator" in rows[0] else {str(name).strip().lower(): name for name in rows[0]}
    for column in (columns[name] for name in ANNOTATOR_COLUMNS if name in columns):
        coders: dict[str, set[str]] = {}
        for row in rows:
            coders.setdefault(str(row.get("text")), set()).add(str(row.get(column)))
        repeated = sum(len(found) > 1 for found in coders.values())
        if repeated:
            yield (
                f"{path}: {counted(repeated, 'text occurs', 'texts occur')} several times, with different "
                f"values in the column `{column}`, "
                "and each row was read as an example. If this column names the annotators, rename it to `annotator`, "
                "import the file with `communique annotations import`, and train with data.source=store"
            )


def row_state(row: Mapping[str, Any]) -> str:
    """Return the state of a row in lower case; empty if the row has none.

    A prediction counts as reviewed, because a blank label cell then means that the model predicted no label.
    """
    state = row.get("state")
    if isinstance(state, str) and not is_no_value(state):
        return clean(state).lower()
    return "reviewed" if row.keys() >= PREDICTED or _stamp(row).get("state") == "reviewed" else ""


def _stamp(row: Mapping[str, Any]) -> Mapping[str, Any]:
    value = row.get(STAMP)
    if value is None:
        return {}
    if isinstance(value, str) and value[:1] == "{":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _kind(row: Mapping[str, Any]) -> EventKind | None:
    """Return the kind of the event in a row exported by communique; None for any other row."""
    of_log = "event_id" in row and "sentence_id" in row
    kind = row.get("event") if of_log else _stamp(row).get("event")
    # Tables of gold have no annotator: each row is the result for its sentence.
    return cast(EventKind, kind) if kind in _KINDS and _annotator(row) else None


def _annotator(row: Mapping[str, Any]) -> str:
    value = row.get("annotator")
    return "" if is_no_value(value) else clean(str(value))


def _sentence(row: Mapping[str, Any]) -> str:
    """Return what identifies a row's sentence: its id, otherwise its text."""
    if is_no_value(row.get("sentence_id")):
        return f"text:{row.get('document_id')}:{row.get('text')}"
    return f"id:{row.get('document_id')}:{row['sentence_id']}"


def _standing(path: Path, events: Sequence[tuple[int, Row, EventKind]]) -> tuple[list[Numbered], Iterator[str]]:
    annotations = [_annotation(position, row, kind) for position, (_, row, kind) in enumerate(events)]
    stands = standing(annotations)
    chosen: dict[str, list[Annotation]] = {}
    for annotation in stands.annotations.values():
        chosen.setdefault(annotation.sentence_id, []).append(annotation)
    for sentence, own in chosen.items():
        # If annotators skipped a sentence, one row is enough, whether others decided on it or everybody skipped it.
        decided = [annotation for annotation in own if annotation.state != "skipped"]
        chosen[sentence] = decided or own[:1]
    chosen |= {sentence: [adjudication] for sentence, adjudication in stands.adjudications.items()}
    positions = [int(annotation.event_id) for own in chosen.values() for annotation in own]
    kept = [(number, row) for number, row, _ in (events[position] for position in positions)]
    return kept, _standing_notes(path, annotations, stands)


def _standing_notes(path: Path, annotations: Sequence[Annotation], stands: Standing) -> Iterator[str]:
    sentences = {annotation.sentence_id for annotation in annotations}
    undone = sentences - {sentence for sentence, _ in stands.annotations} - stands.adjudications.keys()
    if undone:
        left_out = counted(len(undone), "sentence was", "sentences were")
        yield f"{path}: {left_out} left out, because the only decision was undone"
    if stands.adjudications:
        adjudicated = counted(len(stands.adjudications), "sentence has", "sentences have")
        yield f"{path}: {adjudicated} labels from an adjudication"


def _annotation(position: int, row: Row, kind: EventKind) -> Annotation:
    """Build the event of a row, with its position as the id; the labels are read later."""
    content = {**_stamp(row), **{key: value for key, value in row.items() if value not in (None, "")}}
    probability = content.get("inclusion_probability")
    return Annotation(
        event_id=str(position),
        sentence_id=_sentence(row),
        annotator=_annotator(row),
        event=kind,
        state=cast(State | None, content.get("state")),
        labels=(),
        codebook_hash="",
        created_at="",
        strategy=str(content.get("strategy") or ""),
        inclusion_probability=probability if isinstance(probability, float | int) else None,
        draw_id=str(content.get("draw_id") or ""),
    )


def _refuse_versions(path: Path, rows: list[Numbered]) -> None:
    if any(key in row and "text" not in row for _, row in rows for key in _HISTORY):
        raise DataError(
            f"{path}: this export contains several versions of its codebook, with different labels. {_ADVICE}"
        )


def _refuse_without_texts(path: Path, rows: list[Numbered]) -> None:
    if any("event_id" in row and "sentence_id" in row and "text" not in row for _, row in rows):
        raise DataError(f"{path}: this export has no texts. Export the annotations with --format jsonl.")


def _refuse_answers(path: Path, rows: list[Numbered]) -> None:
    """Refuse records of Prodigy whose label was rejected or ignored: there, the label was only proposed."""
    for number, row in rows:
        if row.get("answer") in ("reject", "ignore") and ("_task_hash" in row or "_input_hash" in row):
            raise DataError(
                f"{DataError.place(path, number)}: the answer of this Prodigy record is '{row['answer']}', so nobody "
                "decided that its label applies. Import the file with `communique annotations import FILE --format "
                'prodigy`, and train with data.source = "store".'
            )


def _refuse_two_annotators(path: Path, rows: Iterable[Numbered]) -> None:
    """Refuse sentences on which two annotators decided: a choice between them would be arbitrary."""
    first: dict[str, tuple[int, str]] = {}
    shared: set[str] = set()
    example = ""
    for number, row in rows:
        annotator = _annotator(row)
        if not annotator or row_state(row) in ("skipped", "unseen"):
            continue
        earlier, other = first.setdefault(sentence := _sentence(row), (number, annotator))
        if other != annotator:
            shared.add(sentence)
            places = [DataError.place(path.name, one) for one in (earlier, number)]
            example = example or f"{places[0]} by '{other}', {places[1]} by '{annotator}'"
    # Without ids, a few short texts, such as "No comment.", may be equal by chance.
    by_id = any(sentence.startswith("id:") for sentence in shared)
    if shared and (by_id or len(shared) > _EQUAL_BY_CHANCE * len(first)):
        raise DataError(
            f"{path}: {counted(len(shared), 'sentence has', 'sentences have')} decisions of two or more "
            f"annotators ({example}), but a classifier "
            f"needs one label set per sentence. {_ADVICE}"
        )


_ADVICE = (
    'Train on the gold of a label store (remove data.train and set data.source = "store"; to fill a store, use '
    "`communique annotations import`), or use an export of gold: `communique annotations export gold.parquet --format "
    "huggingface`."
)


# -- outputs in a folder of documents

DELTA_LOG = "_delta_log"
_NAMES = {
    **dict.fromkeys(("mlruns", "mlartifacts"), "files of MLflow"),
    **dict.fromkeys(("_temporary", "__magic"), "unfinished output of Spark or Hadoop"),
    "_spark_metadata": "the log of a Spark stream",
    "_change_data": "the change data of a Delta table",
    DELTA_LOG: (
        "the log of a Delta table, whose folder can also have rows of earlier versions (export the table to read only "
        "its current rows)"
    ),
}
"""Maps the name of a folder to what it contains, for folders that other programs make beside their output."""
_RUN = "outputs of a run"
_FOLDERS: dict[str, tuple[str, frozenset[str]]] = {
    **dict.fromkeys(OUTPUT_MARKS, (_RUN, frozenset())),
    # Other programs also write files with these names, so the keys are checked too.
    "report.json": (_RUN, frozenset({"labels", "macro_f1", "per_label"})),
    "manifest.json": ("a saved model", frozenset({"kind", "labels", "codebook_hash"})),
    "tracking.json": (_RUN, frozenset({"id", "command", "experiment"})),
    INDEX: ("texts written by predict --texts", frozenset({"document_id", "file"})),
    "dataset_info.json": ("a saved data set", frozenset({"features"})),
}
"""Maps a file that marks a folder to the contents of the folder and the keys that the file must have."""
_COLUMNS = {
    "predictions": (PREDICTED, PREDICTED_DOCUMENTS, {"example_id", "gold", "split"}),
    "exported annotations": ({STAMP}, {"event_id", "sentence_id"}, {"codebook"}, {"codebook_migration"}),
    "doubtful labels": ({"sentence_id", "suggested", "score", "reason"},),
}
"""Maps a kind of table to sets of columns; a table of this kind has all columns of one set."""
REJECTED = {"file", "row", "reason"}
"""All keys of a line in `OUT.rejects.jsonl`, which lists the files and rows that `predict` left out."""


def own_folder(folder: Path) -> str:
    """Return the kind of output in a folder written by communique, MLflow or Spark; empty for any other folder."""
    if found := named_folder(folder.name):
        return found
    return next((what for name, (what, keys) in _FOLDERS.items() if _has_keys(folder / name, keys)), "")


def named_folder(name: str) -> str:
    """Return what a folder contains that another program makes beside its output; empty for any other name."""
    return _NAMES.get(name, "")


def own_table(path: Path) -> str:
    """Return the kind of output in a table written by communique; empty for any other table."""
    if path.suffix.lower() not in ROW_SUFFIXES:
        return ""
    try:
        _, row = next(iter(read_rows(path)), (0, {}))
    except DataError:  # the error is reported when the file is read
        return ""
    if set(row) == REJECTED:
        return "rows that `predict` left out"
    # A first line with a codebook has no text; documents may have a column `codebook` of their own.
    given = set(row) - ({"codebook", "codebook_migration"} if "text" in row else set())
    given |= set(meta) & {STAMP} if isinstance(meta := row.get("meta"), dict) else set()  # Prodigy keeps it there
    return next((what for what, sets in _COLUMNS.items() if any(columns <= given for columns in sets)), "")


def _has_keys(path: Path, keys: frozenset[str]) -> bool:
    """Return whether a file exists and, with `keys`, is a JSON object with these keys or a list of such objects."""
    if not path.is_file() or not keys:
        return path.is_file()
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and keys <= first.keys()


def describe_skipped(skipped: Iterable[tuple[Path, str]], shown: int = 3) -> list[str]:
    """Describe the files and folders that were not read, in one sentence without a full stop per kind of content."""
    by_content: dict[str, list[str]] = {}
    for path, what in skipped:
        by_content.setdefault(what, []).append(str(path))
    return [_skipped(what, paths, shown) for what, paths in by_content.items()]


def _skipped(what: str, paths: list[str], shown: int) -> str:
    more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
    return f"not read as documents, because they are {what}: {', '.join(paths[:shown])}{more}"
