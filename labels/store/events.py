"""Append-only annotation events in the store, what stands of them, and drafts that are not decided yet.

Events and draws <-> rows of the store's tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from labels.gold import standing_of_each
from labels.records import Annotation, Draw, DrawItem
from labels.store import schema
from labels.store.database import Part, batches, insert_new, now


def implied_draws(events: Iterable[Annotation], created_at: str) -> Iterator[Draw]:
    """Draws of imported events, which carry a strategy or a probability but no draw id of this store."""
    items: dict[str, dict[str, DrawItem]] = {}
    strategies: dict[str, str] = {}
    for event in events:
        identifier = _implied_draw_id(event)
        if identifier and not event.draw_id:
            item = DrawItem(event.sentence_id, event.inclusion_probability)
            items.setdefault(identifier, {})[event.sentence_id] = item
            strategies[identifier] = event.strategy
    for identifier, drawn in items.items():
        yield Draw(identifier, strategies[identifier], "", "", None, None, created_at, tuple(drawn.values()))


def draw_rows(draw: Draw) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of table `draws` and those of `draw_items`."""
    row = {key: value for key, value in asdict(draw).items() if key != "items"}
    items = [
        asdict(item)
        | {
            "draw_id": draw.id,
            "position": position if item.position is None else item.position,
            "previous": None if item.previous is None else list(item.previous),
        }
        for position, item in enumerate(draw.items)
    ]
    return row, items


def event_row(event: Annotation) -> dict[str, Any]:
    """The row of table `events` for an event."""
    row = asdict(event)
    row["labels"] = list(event.labels)
    row["suggestion"] = None if event.suggestion is None else list(event.suggestion)
    row["draw_id"] = event.draw_id or _implied_draw_id(event)
    del row["strategy"], row["inclusion_probability"]
    return row


def event_of(row: sa.RowMapping) -> Annotation:
    """The event of a row that is joined with its draw's strategy and probability."""
    values = {key: value for key, value in row.items() if key != "seq"}
    values["labels"] = tuple(values["labels"])
    values["suggestion"] = None if values["suggestion"] is None else tuple(values["suggestion"])
    values["strategy"] = values["strategy"] or ""
    return Annotation(**values)


def _implied_draw_id(event: Annotation) -> str:
    if not event.strategy and event.inclusion_probability is None:
        return ""
    content = f"import\n{event.annotator}\n{event.strategy}\n{event.inclusion_probability}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]


Who = tuple[str, str]
"""Sentence id and annotator."""


@dataclass(frozen=True)
class Draft:
    """What an annotator has typed on a sentence and not confirmed yet."""

    labels: tuple[str, ...] = ()
    note: str = ""


class Events(Part):
    """The part of the store that holds who said what. Events are never changed or removed."""

    def add(self, events: Sequence[Annotation], *, only_if: Callable[[list[Annotation]], bool] | None = None) -> int:
        """Append events; one whose `event_id` is there already is left as it is. How many were new.

        A decision frees the annotator's reservation of the sentence and removes their draft. `only_if` is given all
        earlier events on the same sentences, before anybody else can write; where it says no, nothing is appended. It
        must not use the store.
        """
        with self._database.writing() as connection:
            ids = [event.sentence_id for event in events]
            if only_if and not only_if(self._events_on(connection, ids, _event_query())):
                return 0
            return insert_events(connection, events)

    def all(self, *, annotator: str | None = None, sentence_ids: Iterable[str] | None = None) -> list[Annotation]:
        """Events in the order in which they were appended."""
        query = _event_query().order_by(schema.events.c.seq)
        if annotator is not None:
            query = query.where(schema.events.c.annotator == annotator)
        with self._database.reading() as connection:
            if sentence_ids is None:
                return [event_of(row) for row in connection.execute(query).mappings()]
            return self._events_on(connection, sentence_ids, query)

    def _events_on(
        self, connection: sa.Connection, sentence_ids: Iterable[str], query: sa.Select[Any]
    ) -> list[Annotation]:
        """The events that `query` finds on some sentences, in the order in which they were appended."""
        found: list[sa.RowMapping] = []
        for batch in batches(dict.fromkeys(sentence_ids)):
            found += connection.execute(query.where(schema.events.c.sentence_id.in_(batch))).mappings()
        return [event_of(row) for row in sorted(found, key=lambda row: int(row["seq"]))]

    def of_draws(self, draw_ids: Sequence[str], annotator: str) -> list[Annotation]:
        """The annotator's events on the sentences of some draws, in the order in which they were appended."""
        items, events = schema.draw_items, schema.events
        query = (
            _event_query()
            .where(events.c.annotator == annotator, events.c.draw_id.in_(draw_ids))
            .where(events.c.sentence_id.in_(sa.select(items.c.sentence_id).where(items.c.draw_id.in_(draw_ids))))
            .order_by(events.c.seq)
        )
        with self._database.reading() as connection:
            return [event_of(row) for row in connection.execute(query).mappings()]

    def count_since(self, annotator: str, moment: str) -> int:
        """How many decisions the annotator has recorded since a moment (ISO 8601, UTC), those undone included."""
        events = schema.events
        query = sa.select(sa.func.count()).where(events.c.annotator == annotator, events.c.event != "undo")
        with self._database.reading() as connection:
            return int(connection.execute(query.where(events.c.created_at >= moment)).scalar_one())

    def shared_sentences(self) -> list[str]:
        """Ids of the sentences that at least two people have reviewed."""
        table = schema.decisions
        query = (
            sa.select(table.c.sentence_id)
            .where(table.c.event == "annotate", table.c.state == "reviewed")
            .group_by(table.c.sentence_id)
            .having(sa.func.count() > 1)
            .order_by(table.c.sentence_id)
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def keep_draft(self, sentence_id: str, annotator: str, draft: Draft) -> None:
        """Keep what is typed so far; an empty draft is removed."""
        table = schema.drafts
        with self._database.writing() as connection:
            connection.execute(
                sa.delete(table).where(table.c.sentence_id == sentence_id, table.c.annotator == annotator)
            )
            if draft != Draft():
                row = {"sentence_id": sentence_id, "annotator": annotator}
                connection.execute(sa.insert(table), [row | {"labels": list(draft.labels), "note": draft.note}])

    def draft(self, sentence_id: str, annotator: str) -> Draft:
        """What the annotator had typed on a sentence; empty where that is nothing."""
        table = schema.drafts
        query = sa.select(table.c.labels, table.c.note)
        with self._database.reading() as connection:
            row = connection.execute(
                query.where(table.c.sentence_id == sentence_id, table.c.annotator == annotator)
            ).first()
        return Draft() if row is None else Draft(tuple(row.labels), row.note)


def decided_by_anyone(sentence_id: sa.ColumnElement[str]) -> sa.Exists:
    """Condition: a decision of anyone stands on the sentence."""
    return sa.exists().where(schema.decisions.c.sentence_id == sentence_id)


def _event_query(*columns: sa.Column[Any]) -> sa.Select[Any]:
    """All columns of events unless told otherwise, with how their sentences were drawn."""
    events, draws, items = schema.events, schema.draws, schema.draw_items
    return (
        sa.select(*(columns or events.c), draws.c.strategy, items.c.inclusion_probability)
        .select_from(events)
        .outerjoin(draws, draws.c.id == events.c.draw_id)
        .outerjoin(items, (items.c.draw_id == events.c.draw_id) & (items.c.sentence_id == events.c.sentence_id))
    )


def insert_events(connection: sa.Connection, events: Sequence[Annotation]) -> int:
    """Append the events that are not there yet, and bring everything derived from them in step; how many were new."""
    known = _known_events(connection, [event.event_id for event in events])
    new = list({event.event_id: event for event in events if event.event_id not in known}.values())
    for draw in implied_draws(new, now()):
        row, items = draw_rows(draw)
        insert_new(connection, schema.draws, [row])
        insert_new(connection, schema.draw_items, items)
    insert_new(connection, schema.events, [event_row(event) for event in new])
    _release(connection, [event for event in new if event.event != "undo"])
    _fold(connection, {(event.sentence_id, event.annotator) for event in new})
    return len(new)


def _known_events(connection: sa.Connection, ids: Sequence[str]) -> set[str]:
    column = schema.events.c.event_id
    return {
        identifier
        for batch in batches(ids)
        for identifier in connection.execute(sa.select(column).where(column.in_(batch))).scalars()
    }


def _release(connection: sa.Connection, decided: Sequence[Annotation]) -> None:
    """Free reservations and drafts; an import decides for others, whose reservations would only block."""
    keys = [{"sentence": event.sentence_id, "name": event.annotator} for event in decided]
    for table in (schema.reservations, schema.drafts):
        if keys:
            own = (table.c.sentence_id == sa.bindparam("sentence"), table.c.annotator == sa.bindparam("name"))
            connection.execute(sa.delete(table).where(*own), keys)


def _fold(connection: sa.Connection, pairs: set[Who]) -> None:
    """Bring `decisions` in step with the events of these sentences and annotators, as `labels.gold` folds."""
    events, decisions = schema.events, schema.decisions
    stored = (events.c.sentence_id, events.c.annotator, events.c.event, events.c.seq, events.c.state)
    query = _event_query(*stored, events.c.draw_id)
    for batch in batches(sorted({sentence for sentence, _ in pairs})):
        rows = connection.execute(query.where(events.c.sentence_id.in_(batch)).order_by(events.c.seq)).all()
        connection.execute(sa.delete(decisions).where(decisions.c.sentence_id.in_(batch)))
        standing = [{column.name: row._mapping[column] for column in stored} for row in standing_of_each(rows)]
        if standing:
            labellable = _labellable(connection, batch)
            marked = [row | {"labellable": row["sentence_id"] in labellable} for row in standing]
            connection.execute(sa.insert(decisions), marked)


def _labellable(connection: sa.Connection, ids: Sequence[str]) -> set[str]:
    """Those of the sentences that are no boilerplate."""
    table = schema.sentences
    query = sa.select(table.c.id).where(table.c.id.in_(ids), table.c.boilerplate == "")
    return set(connection.execute(query).scalars())
