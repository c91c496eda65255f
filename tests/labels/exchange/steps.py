"""Import and export by format, as the command line does them, and a codebook for the texts of the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook, codebook_from_dict
from labels.exchange.driver import Exported, Imported, export_file, import_file
from labels.store import Store

Row = dict[str, Any]

MULTI = codebook_from_dict({"name": "small", "labels": [{"name": "aid", "title": "Aid"}, {"name": "truce"}]}, "small")
EXCLUSIVE = codebook_from_dict(
    {"name": "one", "exclusive": True, "labels": [{"name": "aid"}, {"name": "truce"}]}, "one"
)


Counts = tuple[int, int, dict[str, int]]


def bring_in(
    store: Store, format: str, path: Path, codebook: Codebook = MULTI, annotator: str = "", control: str = ""
) -> Counts:
    """Import a file: the numbers of new and known decisions, and of all records that are not decisions, by reason."""
    done = imported(store, format, path, codebook, annotator, control)
    return done.new, done.known, {**done.left_out, **done.unseen}


def imported(
    store: Store, format: str, path: Path, codebook: Codebook = MULTI, annotator: str = "", control: str = ""
) -> Imported:
    """Import a file, with all that is reported."""
    options = {"control": control} if control else {}
    return import_file(store, path, codebook, format, annotator, **options)


def export(store: Store, format: str, path: Path, codebook: Codebook = MULTI, annotator: str = "") -> Exported:
    """Export to a file."""
    return export_file(store, path, codebook, format, annotator)


def decided(store: Store) -> list[tuple[str, str, str | None, tuple[str, ...]]]:
    """(text, annotator, state, labels) of each event, in order."""
    texts = {sentence.id: sentence.text for sentence in store.documents.sentences()}
    return [(texts[event.sentence_id], event.annotator, event.state, event.labels) for event in store.events.all()]


def unseen(store: Store) -> list[str]:
    """The texts on which nobody decided, sorted."""
    decided_ids = {event.sentence_id for event in store.events.all()}
    return sorted(sentence.text for sentence in store.documents.sentences() if sentence.id not in decided_ids)


def write_json(path: Path, value: Any) -> Path:
    """Write a value as a JSON file."""
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def lines_of(path: Path) -> list[Row]:
    """The records of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def without_stamps(value: Any) -> Any:
    """A record without our stamps, however deep."""
    if isinstance(value, Mapping):
        return {key: without_stamps(entry) for key, entry in value.items() if key != "communique"}
    return [without_stamps(entry) for entry in value] if isinstance(value, list) else value


def holds(record: Any, told: Any) -> bool:
    """Whether a record still says all that `told` says, at the same places."""
    if isinstance(told, Mapping):
        return isinstance(record, Mapping) and all(key in record and holds(record[key], told[key]) for key in told)
    if isinstance(told, list):
        return len(record) == len(told) and all(map(holds, record, told))
    return bool(record == told)
