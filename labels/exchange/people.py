"""Record each person under one name: find names in files that may mean the same annotator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from labels.exchange.formats import Format
from labels.exchange.lines import Line
from labels.records import Annotation
from labels.store import Store
from labels.text.cells import merge_key
from labels.text.labelled.exported import ANNOTATOR_COLUMNS
from labels.text.rows import Row


def possible_annotators(rows: Sequence[Row]) -> Iterator[str]:
    """A remark on a column that may name the annotators, if the rows have no column `annotator`."""
    columns = {} if not rows or "annotator" in rows[0] else {str(name).strip().lower(): name for name in rows[0]}
    for column in ANNOTATOR_COLUMNS:
        if column in columns and any(row.get(columns[column]) not in (None, "") for row in rows):
            yield (
                f"the column `{columns[column]}` was not read. If this column names the annotators, rename it to "
                "`annotator`; otherwise, all rows are recorded under one name"
            )


def similar_names(names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """A remark for each group of annotators whose names differ only in case or space, if one of them is in `names`."""
    groups: dict[str, set[str]] = {}
    for name in sorted({*names, *known}):
        groups.setdefault(merge_key(name), set()).add(name)
    for group in groups.values():
        if len(group) > 1 and group.intersection(names):
            listed = " and ".join(f"'{name}'" for name in sorted(group))
            yield (
                f"the annotators {listed} have similar names and count as different people. If they are one person, "
                "write the name in the same way everywhere"
            )


def under_new_names(store: Store, lines: Sequence[Line]) -> tuple[list[Line], list[str]]:
    """The lines with the current names of annotators who were renamed, and a remark for each changed name."""
    former = store.names.former() if lines else {}
    found = {line.event.annotator: former[line.event.annotator] for line in lines if line.event.annotator in former}
    notes = [f"'{old}' is recorded as '{new}', because this annotator was renamed" for old, new in found.items()]
    changed = [
        replace(line, event=replace(line.event, annotator=found.get(line.event.annotator, line.event.annotator)))
        for line in lines
    ]
    return (changed, notes) if found else (list(lines), [])


def under_stored_names(store: Store, lines: list[Line], format: Format | None) -> tuple[list[Line], list[str]]:
    """The lines under the names that their annotators have in the store, and a remark for each changed name.

    Some files of a tool have the names of its users and others have only their numbers. Two names are one person if the
    store has the same decision of the tool under the other name.
    """
    if format is None or not any(format.origin(line.event) for line in lines):
        return lines, []
    stored = {
        (event.sentence_id, origin): event
        for event in store.events.all(sentence_ids={line.event.sentence_id for line in lines})
        if (origin := format.origin(event))
    }
    same = [(line, stored.get((line.event.sentence_id, format.origin(line.event)))) for line in lines]
    found: dict[str, set[str]] = {}
    for line, event in same:
        if event is not None:
            found.setdefault(line.event.annotator, set()).add(event.annotator)
    names = {name: next(iter(others)) for name, others in found.items() if len(others) == 1 and others != {name}}
    notes = [
        f"'{name}' is recorded as '{other}', because the store has annotations of this person under '{other}'"
        for name, other in names.items()
    ]
    return [_as_stored(line, event, names) for line, event in same], notes


def _as_stored(line: Line, stored: Annotation | None, names: Mapping[str, str]) -> Line:
    event = line.event
    if event.annotator not in names:
        return line
    changed = replace(event, annotator=names[event.annotator])
    if stored and (stored.state, stored.labels) == (event.state, event.labels):
        changed = replace(changed, event_id=stored.event_id)  # the same decision, from a file with another name
    return replace(line, event=changed)
