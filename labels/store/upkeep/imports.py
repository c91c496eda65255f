"""Imports as batches of events, and their undoing by new events. Nothing is deleted."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from labels.errors import InputError, did_you_mean
from labels.gold import withdrawn
from labels.records import Annotation
from labels.store import tables
from labels.store.database import Part, now
from labels.store.events import events_on, insert_events


@dataclass(frozen=True)
class ImportBatch:
    """The events of one import, or of the undoing of an import.

    - `source`: name of the file or store
    - `format`: name of its format; `UNDO` if the batch undoes another one
    - `undoes`: id of the batch that this one undoes; empty otherwise
    - `events`: the number of events
    """

    id: str
    source: str
    format: str
    created_at: str
    undoes: str
    events: int = 0


UNDO = "undo"


class Imports(Part):
    """The part of the store with the batches of imported events."""

    def all(self) -> list[ImportBatch]:
        """The batches, oldest first."""
        table, events = tables.imports, tables.events
        within = events.c.seq.between(table.c.first_seq, table.c.last_seq)
        number = sa.select(sa.func.count()).select_from(events).where(within).scalar_subquery()
        columns = (table.c[name] for name in ("id", "source", "format", "created_at", "undoes"))
        query = sa.select(*columns, number.label("events")).order_by(table.c.last_seq, table.c.id)
        return [ImportBatch(**row._mapping) for row in self._rows(query)]

    def undo(self, identifier: str) -> ImportBatch:
        """Withdraw all events of a batch by new events, which are a batch too: undoing that one brings them back.

        Decisions that were made after the import stand, and so does what stood before it. Texts stay in the store.

        Raises:
            InputError: there is no such batch, or all of its events are withdrawn already.
        """
        table = tables.imports
        with self._database.writing() as connection:
            found = connection.execute(sa.select(table).where(table.c.id == identifier)).first()
            if found is None:
                known = list(connection.execute(sa.select(table.c.id)).scalars())
                raise InputError(
                    f"{self._database.name} has no import '{identifier}'{did_you_mean(identifier, known)}. "
                    "`communique annotations batches` lists the imports."
                )
            targets = _standing(connection, found.first_seq, found.last_seq)
            if not targets:
                raise InputError(f"import {identifier} has already been undone. Nothing was changed.")
            made = [_withdrawal(event) for event in targets]
            return record_batch(connection, made, source=found.source, format=UNDO, undoes=identifier)


def record_batch(
    connection: sa.Connection, events: Sequence[Annotation], *, source: str, format: str, undoes: str = ""
) -> ImportBatch:
    """Append the events that the store does not have, in the caller's transaction, and record them as a batch.

    Without new events or a source, no batch is recorded, and the id is empty.
    """
    before = _last(connection)
    added = insert_events(connection, events)
    batch = ImportBatch(uuid.uuid4().hex[:8] if added and source else "", source, format, now(), undoes, added)
    if batch.id:
        # The write lock is held: no other process can append between these numbers.
        row = {name: value for name, value in vars(batch).items() if name != "events"}
        connection.execute(sa.insert(tables.imports), [row | {"first_seq": before + 1, "last_seq": _last(connection)}])
    return batch


def _last(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(tables.events.c.seq), 0))).scalar_one())


def _standing(connection: sa.Connection, first: int, last: int) -> list[Annotation]:
    """The events with these numbers that have not been withdrawn, the last first."""
    events = tables.events
    within = sa.select(events.c.event_id, events.c.sentence_id).where(events.c.seq.between(first, last))
    own = {row.event_id: row.sentence_id for row in connection.execute(within)}
    on_sentences = events_on(connection, set(own.values()))
    gone = withdrawn(on_sentences)
    return [one for one in reversed(on_sentences) if one.event_id in own and one.event_id not in gone]


def _withdrawal(event: Annotation) -> Annotation:
    """The event that withdraws another one: it counts for the same annotator, sentence and draw."""
    bare = replace(event, state=None, labels=(), note="", seconds=None, suggestion=None, blind=False, extra=None)
    return replace(bare, event_id=uuid.uuid4().hex, event="undo", undoes=event.event_id, created_at=now())
