"""Add the events of another store to this store, and what refers to their numbers.

New events are appended in the order of the other store: what was known when this store made a decision or drew a sample
stays before it. Only where one annotator decided on a sentence in both stores, or a sentence was adjudicated in both,
do the times decide: an earlier event is put before the later event of this store. The numbers of later events, and
what refers to them (batches, the relabelling queue, the frames of samples), then move up; nothing else changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from labels.environment.settings import command, shown_url
from labels.store import tables
from labels.store.database import batches, insert_new, rows_among
from labels.store.events import erased_among, fold
from labels.store.upkeep.merged_texts import Texts

_COMPARED = ("event", "state", "labels", "codebook_hash", "undoes")
"""The columns that must be equal in two events with one id. A note may have been erased in one store."""
Standing = dict[tuple[str, str, str], str]
"""The id of the standing event by sentence, annotator and kind of event."""


@dataclass
class Log:
    """The events added from another store.

    - `all_events`, `new_events`: numbers of events in the other store, and of those that were added; `by_annotator`
      has the same two numbers by the annotator's name there
    - `batches`: number of import batches that were added
    - `conflicts`: events with one id but different content, one phrase each
    """

    all_events: int = 0
    new_events: int = 0
    by_annotator: dict[str, tuple[int, int]] = field(default_factory=dict)
    batches: int = 0
    conflicts: list[str] = field(default_factory=list)


def merge_events(here: sa.Connection, there: sa.Connection, texts: Texts, names: Mapping[str, str]) -> Log:
    """Add the events that this store does not have. Their draws must be in the store, for the standing decisions.

    Args:
        names: name of each annotator there -> name here.
    """
    table = tables.events
    events = [dict(row._mapping) for row in there.execute(sa.select(table).order_by(table.c.seq))]
    known = _known(here, [event["event_id"] for event in events])
    new = [_moved(event, texts, names) for event in events if event["event_id"] not in known]
    log = Log(len(events), len(new), _by_annotator(events, known))
    log.conflicts = list(_conflicts(events, known, names, shown_url(here.engine.url)))
    own = list(_entries(here, {}))
    places = _Places(own, _placed(here, there, own, new))
    _renumber(here, places)
    _insert(here, new, places)
    log.batches = _merge_batches(here, there, places)
    _merge_queue(here, there, texts, places)
    if places.moved or new:
        fold(here, {event["sentence_id"] for event in new} | _sentences_of(here, places.moved))
    return log


def standing_in(
    connection: sa.Connection, texts: Texts | None = None, names: Mapping[str, str] | None = None
) -> Standing:
    """The standing events of a store, under the ids and names that they have in this store."""
    table, events = tables.decisions, tables.events
    columns = (table.c.sentence_id, table.c.annotator, table.c.event, events.c.event_id)
    query = sa.select(*columns).join(events, events.c.seq == table.c.seq)
    texts, names = texts or Texts(), names or {}
    return {
        (texts.sentence(row.sentence_id), names.get(row.annotator, row.annotator), row.event): row.event_id
        for row in connection.execute(query)
    }


# -- the events


def _known(here: sa.Connection, ids: Iterable[str]) -> dict[str, Any]:
    table = tables.events
    return {row.event_id: row for row in rows_among(here, sa.select(table), table.c.event_id, ids)}


def _moved(event: Mapping[str, Any], texts: Texts, names: Mapping[str, str]) -> dict[str, Any]:
    sentence, annotator = texts.sentence(event["sentence_id"]), names.get(event["annotator"], event["annotator"])
    return {**event, "sentence_id": sentence, "annotator": annotator}


def _by_annotator(events: Sequence[Mapping[str, Any]], known: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for event in events:
        total, new = counts.get(event["annotator"], (0, 0))
        counts[event["annotator"]] = (total + 1, new + (event["event_id"] not in known))
    return counts


def _conflicts(
    events: Iterable[Mapping[str, Any]], known: Mapping[str, Any], names: Mapping[str, str], store: str
) -> Iterator[str]:
    people: dict[tuple[str, str], str] = {}
    for event in events:
        stored = known.get(event["event_id"])
        if stored is None:
            continue
        if differing := [name for name in _COMPARED if event[name] != getattr(stored, name)]:
            yield f"event {stored.event_id} by {stored.annotator} differs there in {' and '.join(differing)}"
        name = names.get(event["annotator"], event["annotator"])
        if name != stored.annotator:
            people.setdefault((event["annotator"], stored.annotator), name)
    for (there, here), name in people.items():
        if there == here:
            yield (
                f"decisions of '{there}' are in this store already, under the name '{here}', and would now be recorded "
                f"under '{name}': leave out the new name, merge and, for another name, use "
                f"`{command('annotators', 'rename', here, name, store=store)}`"
            )
            continue
        yield f"events by '{there}', who would be '{name}', are by '{here}' here: add --rename {there}={here}"


def _insert(here: sa.Connection, new: Sequence[dict[str, Any]], places: _Places) -> None:
    erased = erased_among(here, {event["sentence_id"] for event in new if event["note"] or event["extra"]})
    rows = (
        event
        | {"seq": places.new[event["event_id"]]}
        | ({"note": "", "extra": None} if event["sentence_id"] in erased else {})
        for event in new
    )
    for batch in batches(rows):
        here.execute(sa.insert(tables.events), batch)
    if here.dialect.name == "postgresql" and new:
        # The numbers were given here, so the database's own counter has to follow.
        here.exec_driver_sql("SELECT setval(pg_get_serial_sequence('events', 'seq'), (SELECT max(seq) FROM events))")


def _sentences_of(here: sa.Connection, event_ids: Iterable[str]) -> set[str]:
    table = tables.events
    return {row.sentence_id for row in rows_among(here, sa.select(table.c.sentence_id), table.c.event_id, event_ids)}


# -- the order


@dataclass(frozen=True)
class _Entry:
    """An event in a log, with the time by which it is placed; times never decrease in a log."""

    event_id: str
    seq: int
    time: float


class _Places:
    """The numbers of events after the merge.

    - `new`: event id -> number, for new events
    - `moved`: event id -> number, for events of this store whose number changes

    Args:
        own: the log of this store.
        added: the new events in the order of the other store, each with the position in `own` before which it belongs.
    """

    def __init__(self, own: Sequence[_Entry], added: Sequence[tuple[_Entry, int]]) -> None:
        self._added = [entry for entry, _ in added]
        self._end = len(own)
        self._at = [position for _, position in added]
        self._numbers = [entry.seq for entry in self._added]
        self._before = [entry.seq for entry in own]
        self._after: list[int] = []
        self.new: dict[str, int] = {}
        self.moved: dict[str, int] = {}
        early: dict[int, list[_Entry]] = {}
        for entry, position in added:
            early.setdefault(position, []).append(entry)
        last = 0
        for position, entry in enumerate(own):
            last = self._number(early.get(position, ()), last)
            last = max(last + 1, entry.seq)
            self._after.append(last)
            if last != entry.seq:
                self.moved[entry.event_id] = last
        self._number(early.get(self._end, ()), last)

    def _number(self, entries: Iterable[_Entry], last: int) -> int:
        for number, entry in enumerate(entries, start=last + 1):
            self.new[entry.event_id] = last = number
        return last

    def number(self, seq: int) -> int:
        """The number that this store's last event up to number `seq` has after the merge; 0 if there is none."""
        place = bisect_right(self._before, seq)
        return self._after[place - 1] if place else 0

    def appended_within(self, first: int, last: int) -> list[int]:
        """The numbers here of the appended events that have these numbers in the other store."""
        within = slice(bisect_left(self._numbers, first), bisect_right(self._numbers, last))
        return [
            self.new[entry.event_id]
            for entry, position in zip(self._added[within], self._at[within], strict=True)
            if position == self._end
        ]


def _placed(
    here: sa.Connection, there: sa.Connection, own: Sequence[_Entry], new: Sequence[Mapping[str, Any]]
) -> list[tuple[_Entry, int]]:
    """The new events, each with the position in the log of this store before which it belongs."""
    rivals: dict[tuple[str, str], list[int]] = {}
    for position, event in enumerate(_told(here)):
        for group in _groups(event.sentence_id, event.annotator, event.event):
            rivals.setdefault(group, []).append(position)
    starts = _starts(here, own)
    times = {entry.event_id: entry.time for entry in own}
    entries = {entry.event_id: entry for entry in _entries(there, times)}
    bounds: dict[tuple[str, str], int] = {}
    placed = []
    # From the last to the first, because an event must also stay before the later events of the other store.
    for one in reversed(new):
        entry = entries[one["event_id"]]
        groups = _groups(one["sentence_id"], one["annotator"], one["event"])
        later = [place for group in groups for place in rivals.get(group, ()) if own[place].time > entry.time]
        first = min(later, default=len(own))
        first = min(starts.get(first, first), *(bounds.get(group, first) for group in groups))
        bounds |= dict.fromkeys(groups, first)
        placed.append((entry, first))
    return placed[::-1]


def _groups(sentence: str, annotator: str, kind: str) -> list[tuple[str, str]]:
    """What the order of an event matters for: its annotator's decisions on the sentence, and its adjudications."""
    return [(sentence, annotator), *([(sentence, "")] if kind == "adjudicate" else [])]


def _told(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    events = tables.events
    columns = (events.c[name] for name in ("event_id", "sentence_id", "annotator", "event"))
    return connection.execute(sa.select(*columns).order_by(events.c.seq)).all()


def _starts(here: sa.Connection, own: Sequence[_Entry]) -> dict[int, int]:
    """Map positions of imported events to that of the first event of their batch, so that batches stay together."""
    positions = {entry.seq: position for position, entry in enumerate(own)}
    rows = here.execute(sa.select(tables.imports)).all()
    return {
        positions[seq]: positions[row.first_seq]
        for row in rows
        for seq in range(row.first_seq, row.last_seq + 1)
        if seq in positions and row.first_seq in positions
    }


def _entries(connection: sa.Connection, times: Mapping[str, float]) -> Iterator[_Entry]:
    """The log of a store. An event that both stores have has the same time in both."""
    events = tables.events
    query = sa.select(events.c.seq, events.c.event_id, events.c.created_at).order_by(events.c.seq)
    ranges = _ranges(connection)
    latest = float("-inf")
    for seq, event_id, created_at in connection.execute(query):
        latest = max(latest, times[event_id] if event_id in times else _time(ranges.get(seq, created_at)))
        yield _Entry(event_id, seq, latest)


def _ranges(connection: sa.Connection) -> dict[int, str]:
    """Map the numbers of imported events to the time of their import."""
    rows = connection.execute(sa.select(tables.imports))
    return {seq: row.created_at for row in rows for seq in range(row.first_seq, row.last_seq + 1)}


def _time(moment: str) -> float:
    """Seconds since 1970; minus infinity for a time that an earlier release stored unchecked."""
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return float("-inf")
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _renumber(here: sa.Connection, places: _Places) -> None:
    """Give the moved events their new numbers."""
    if not places.moved:
        return
    events, imports, queue, draws = tables.events, tables.imports, tables.relabelling, tables.draws
    for batch in batches(places.moved):
        # Negative first: a new number can still be the old number of another event.
        here.execute(sa.update(events).where(events.c.event_id.in_(batch)).values(seq=-events.c.seq))
    statement = sa.update(events).where(events.c.event_id == sa.bindparam("moved")).values(seq=sa.bindparam("number"))
    here.execute(statement, [{"moved": one, "number": number} for one, number in places.moved.items()])
    for row in here.execute(sa.select(imports)).all():
        span = {"first_seq": places.number(row.first_seq), "last_seq": places.number(row.last_seq)}
        here.execute(sa.update(imports).where(imports.c.id == row.id).values(span))
    for row in here.execute(sa.select(queue.c.seq, queue.c.after_seq)).all():
        here.execute(sa.update(queue).where(queue.c.seq == row.seq).values(after_seq=places.number(row.after_seq)))

    framed = sa.select(draws.c.id, draws.c.frame_seq).where(draws.c.frame_seq.is_not(None))
    for row in here.execute(framed).all():
        here.execute(sa.update(draws).where(draws.c.id == row.id).values(frame_seq=places.number(row.frame_seq)))


# -- what refers to the numbers


def _merge_batches(here: sa.Connection, there: sa.Connection, places: _Places) -> int:
    """Add the import batches of which events are new; returns how many."""
    table = tables.imports
    rows = []
    for row in there.execute(sa.select(table).order_by(table.c.first_seq)):
        numbers = places.appended_within(row.first_seq, row.last_seq)
        if numbers:
            rows.append(dict(row._mapping) | {"first_seq": numbers[0], "last_seq": numbers[-1]})
    return insert_new(here, table, rows)


def _merge_queue(here: sa.Connection, there: sa.Connection, texts: Texts, places: _Places) -> None:
    """Add the entries of the relabelling queue that this store does not have."""
    table = tables.relabelling
    told = ("sentence_id", "source", "reason", "created_at")
    known = {tuple(getattr(row, name) for name in told) for row in here.execute(sa.select(table))}
    rows = []
    for row in there.execute(sa.select(table).order_by(table.c.seq)):
        entry = dict(row._mapping) | {"sentence_id": texts.sentence(row.sentence_id)}
        del entry["seq"]
        entry["after_seq"] = _number_here(here, there, row.after_seq, places)
        if tuple(entry[name] for name in told) not in known:
            rows.append(entry)
    if rows:
        here.execute(sa.insert(table), rows)


def _number_here(here: sa.Connection, there: sa.Connection, seq: int, places: _Places) -> int:
    """The number here of the last event in the other store with at most this number."""
    table = tables.events
    last = sa.select(table.c.event_id).where(table.c.seq <= seq).order_by(table.c.seq.desc()).limit(1)
    event_id = there.execute(last).scalar()
    return here.execute(sa.select(table.c.seq).where(table.c.event_id == event_id)).scalar() or 0
