"""Record each person under one name: find names in files that may mean the same annotator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from shlex import quote

from labels.errors import DataError
from labels.exchange.foreign import Reader
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


def refuse_other_people(reader: Reader) -> None:
    """Refuse answers to tasks that would be recorded under another name than the name of the person who gave them.

    Tools have their own names for their users. If nobody says who the only user is, the answers of the annotator for
    whom the tasks were drawn would count as those of a second person.

    Raises:
        DataError: several users answered the tasks of `reader.annotator`, or the only user has a name that is neither
            confirmed by `reader.annotator` nor the name for which the tasks were drawn.
    """
    users = reader.answered.get(reader.annotator, set()) - {""}
    if len(users) > 1:
        raise DataError(
            f"{reader.path}: the tasks drawn for {reader.annotator} were answered by {' and '.join(sorted(users))}. "
            "Remove --annotator to record their answers under these names."
        )
    # A project with the tasks of several annotators has users of its own.
    for drawn_for, names in reader.answered.items() if len(reader.answered) == 1 else ():
        recorded = _recorded(reader, drawn_for, names)
        found = {name or reader.fallback for name in names}
        if len(recorded) > 1 or recorded == {drawn_for} or found == {reader.annotator}:
            continue
        (who,) = found if len(found) == 1 else recorded
        named = f", but the file names '{who}'" if who else ""
        another = f" If '{who}' is another person, use `--annotator {quote(who)}`." if who else ""
        raise DataError(
            f"{reader.path}: these tasks were drawn for {drawn_for}{named}. To record the answers under {drawn_for}, "
            f"use `--annotator {quote(drawn_for)}`.{another}"
        )


def answered_by_others(reader: Reader) -> Iterator[str]:
    """A remark for each annotator whose tasks were answered under other names."""
    for drawn_for, names in reader.answered.items():
        others = sorted(_recorded(reader, drawn_for, names) - {drawn_for})
        if drawn_for == reader.annotator:
            for user in sorted(names - {"", drawn_for}):
                yield f"'{user}' is recorded as '{drawn_for}', for whom the tasks were drawn"
        elif others:
            listed = " and ".join(f"'{name}'" for name in others)
            yield (
                f"answers to tasks drawn for '{drawn_for}' are recorded under {listed}. If they are answers of "
                f"'{drawn_for}', undo this import and repeat it with --annotator"
            )


def _recorded(reader: Reader, drawn_for: str, names: Iterable[str]) -> set[str]:
    """The names under which the answers to the tasks of an annotator are recorded."""
    if drawn_for == reader.annotator:
        return {drawn_for}
    return {name or reader.annotator or reader.fallback for name in names}


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
