"""Append-only annotation events in the store, the standing decisions, and unconfirmed drafts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa

from labels.gold import MODEL_CODER, not_undone, reverts, standing_of_each
from labels.records import Annotation, Draw, DrawItem
from labels.store import tables
from labels.store.database import Part, batches, insert_new, now, rows_among
from labels.store.texts.overlaps import replace_overlapped, restore_decided


@dataclass(frozen=True)
class Draft:
    """Labels and note that an annotator has typed for a sentence but not confirmed yet."""

    labels: tuple[str, ...] = ()
    note: str = ""


class Events(Part):
    """The part of the store with annotation events and drafts. Events are never changed or removed."""

    def add(self, events: Sequence[Annotation], *, only_if: Callable[[list[Annotation]], bool] | None = None) -> int:
        """Append the events whose `event_id` is not in the store yet.

        A decision removes the annotator's reservation of the sentence and their draft.

        Args:
            only_if: a function that receives all earlier events on the same sentences and returns whether to append. No
                other process can write between this check and the insertion. The function must not use the store.

        Returns:
            The number of new events.
        """
        with self._database.writing() as connection:
            ids = [event.sentence_id for event in events]
            if only_if and not only_if(events_on(connection, ids)):
                return 0
            return insert_events(connection, events)

    def undo(self, undo: Annotation, event_id: str) -> bool:
        """Append an undo of the decision with this id; returns False if the decision no longer stands.

        The undo names the decision (`undoes`) only if without a name it would concern another one, which a second
        window of the annotator has made since: earlier releases do not know undos with a name.
        """
        if self.add([undo], only_if=lambda events: reverts(undo, event_id, events)):
            return True
        named = replace(undo, undoes=event_id)
        return bool(self.add([named], only_if=lambda events: event_id in {one.event_id for one in not_undone(events)}))

    def all(self, *, annotator: str | None = None, sentence_ids: Iterable[str] | None = None) -> list[Annotation]:
        """Return events in the order in which they were appended, without events on documents that were removed.

        Args:
            annotator: return only the events of this annotator.
            sentence_ids: return only the events on these sentences.
        """
        query = event_query().where(~tables.is_removed(tables.events.c.sentence_id)).order_by(tables.events.c.seq)
        if annotator is not None:
            query = query.where(tables.events.c.annotator == annotator)
        if sentence_ids is None:
            return [_event_of(row) for row in self._rows(query)]
        with self._database.reading() as connection:
            return events_on(connection, sentence_ids, query)

    def of_draws(self, draw_ids: Sequence[str], annotator: str) -> list[Annotation]:
        """Return the annotator's events from the given draws, in the order in which they were appended."""
        items, events = tables.draw_items, tables.events
        query = (
            event_query()
            .where(events.c.annotator == annotator, events.c.draw_id.in_(draw_ids))
            .where(events.c.sentence_id.in_(sa.select(items.c.sentence_id).where(items.c.draw_id.in_(draw_ids))))
            .order_by(events.c.seq)
        )
        return [_event_of(row) for row in self._rows(query)]

    def count_since(self, annotator: str, moment: str) -> int:
        """Return the number of the annotator's decisions since `moment` (ISO 8601 in UTC) that were not undone."""
        with self._database.reading() as connection:
            return made_since(connection, annotator, moment)

    def annotators(self) -> list[str]:
        """Return the names of all annotators who made an event, sorted, without model coders."""
        column = tables.events.c.annotator
        people = ~column.startswith(MODEL_CODER, autoescape=True)
        return self._column(sa.select(column).where(people).distinct().order_by(column))

    def model_coders(self) -> list[str]:
        """Return the names of the model coders with an answer, sorted."""
        table = tables.events
        answers = table.c.event == "model"
        return self._column(sa.select(table.c.annotator).where(answers).distinct().order_by(table.c.annotator))

    def known(self, event_ids: Iterable[str]) -> dict[str, str]:
        """Map the ids among `event_ids` that are in the store to the ids of their sentences."""
        table = tables.events
        query = sa.select(table.c.event_id, table.c.sentence_id)
        with self._database.reading() as connection:
            return {row.event_id: row.sentence_id for row in rows_among(connection, query, table.c.event_id, event_ids)}

    def shared_sentences(self) -> list[str]:
        """Return the ids of the sentences on which at least two annotators have decided, without skips."""
        table = tables.decisions
        query = (
            sa.select(table.c.sentence_id)
            .where(table.c.event == "annotate", table.c.state != "skipped")
            .group_by(table.c.sentence_id)
            .having(sa.func.count() > 1)
            .order_by(table.c.sentence_id)
        )
        return self._column(query)

    def keep_draft(self, sentence_id: str, annotator: str, draft: Draft) -> None:
        """Store the annotator's draft for a sentence; an empty draft is removed."""
        table = tables.drafts
        own = (table.c.sentence_id == sentence_id, table.c.annotator == annotator)
        with self._database.writing() as connection:
            connection.execute(sa.delete(table).where(*own))
            if draft != Draft() and not erased_among(connection, [sentence_id]):
                row = {"sentence_id": sentence_id, "annotator": annotator, **asdict(draft)}
                connection.execute(sa.insert(table), [row])

    def keep_requests(self, annotator: str, sentence_ids: Iterable[str]) -> None:
        """Record that a model coder is being asked about these sentences, until `add` records the answers.

        After a run was killed, `drafted` finds the requests whose answers were lost.
        """
        rows = [{"sentence_id": one, "annotator": annotator, "labels": (), "note": "request"} for one in sentence_ids]
        with self._database.writing() as connection:
            insert_new(connection, tables.drafts, rows)

    def drop_requests(self, annotator: str) -> None:
        """Delete a model coder's requests without an answer, when none is in progress."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(tables.drafts).where(tables.drafts.c.annotator == annotator))

    def drafted(self, annotator: str, sentence_ids: Iterable[str]) -> set[str]:
        """Return the ids among `sentence_ids` for which the annotator has a draft."""
        table = tables.drafts
        query = sa.select(table.c.sentence_id).where(table.c.annotator == annotator)
        with self._database.reading() as connection:
            return {row.sentence_id for row in rows_among(connection, query, table.c.sentence_id, sentence_ids)}

    def unblind(self, annotator: str, sentence_ids: Iterable[str]) -> None:
        """Record that the annotator sees others' decisions on these sentences: later decisions on them are informed."""
        moment = now()
        with self._database.writing() as connection:
            rows = [{"sentence_id": one, "annotator": annotator, "created_at": moment} for one in sentence_ids]
            insert_new(connection, tables.unblinded, rows)

    def draft(self, sentence_id: str, annotator: str) -> Draft:
        """Return the annotator's draft for a sentence, or an empty draft if there is none."""
        table = tables.drafts
        own = (table.c.sentence_id == sentence_id, table.c.annotator == annotator)
        rows = self._rows(sa.select(table.c.labels, table.c.note).where(*own))
        return Draft(*rows[0]) if rows else Draft()


def made_since(connection: sa.Connection, annotator: str, moment: str) -> int:
    """Count an annotator's decisions since `moment`, corrections, retests and adjudications included, undone ones not.

    All events on the sentences concerned are read, because an undo may concern an earlier decision.
    """
    events = tables.events
    own = events.c.annotator == annotator
    recent = sa.select(events.c.sentence_id).where(own, events.c.created_at >= moment)
    columns = (
        events.c[name] for name in ("event_id", "sentence_id", "annotator", "event", "state", "draw_id", "undoes")
    )
    query = event_query(*columns, events.c.created_at).where(own, events.c.sentence_id.in_(recent))
    found = not_undone(connection.execute(query.order_by(events.c.seq)).all())
    return sum(row.created_at >= moment for row in found)


# -- writing, in the caller's transaction


def insert_events(connection: sa.Connection, events: Sequence[Annotation]) -> int:
    """Append the events that are not in the store yet; returns how many were inserted.

    Implied draws of imported events, reservations, drafts and standing decisions are updated in the same transaction.
    Readers therefore never see an event without its effects.
    """
    column = tables.events.c.event_id
    known = {row.event_id for row in rows_among(connection, sa.select(column), column, (e.event_id for e in events))}
    new = list({event.event_id: event for event in events if event.event_id not in known}.values())
    for draw in _implied_draws(new, now()):
        insert_draw(connection, draw)
    erased = erased_among(connection, {event.sentence_id for event in new if event.note or event.extra})
    kept = (replace(one, note="", extra=None) if one.sentence_id in erased else one for one in new)
    insert_new(connection, tables.events, [_event_row(event) for event in _marked(connection, list(kept))])
    _release(connection, [event for event in new if event.event != "undo"])
    fold(connection, {event.sentence_id for event in new})
    return len(new)


def erased_among(connection: sa.Connection, sentence_ids: Iterable[str]) -> set[str]:
    """Find the sentences of purged documents, whose texts nobody may quote any more, not even from an open screen."""
    sentences, removals = tables.sentences, tables.removals
    purged = sentences.c.document_id.in_(sa.select(removals.c.document_id).where(removals.c.purged))
    query = sa.select(sentences.c.id).where(purged)
    return {row.id for row in rows_among(connection, query, sentences.c.id, sentence_ids)}


def _marked(connection: sa.Connection, events: Sequence[Annotation]) -> list[Annotation]:
    """The events; annotations by someone who had looked at others' decisions on the sentence are marked as informed."""
    table = tables.unblinded
    rows = rows_among(connection, sa.select(table), table.c.sentence_id, {event.sentence_id for event in events})
    since = {(row.sentence_id, row.annotator): row.created_at for row in rows}
    return [
        replace(one, informed=True)
        if one.event == "annotate" and since.get((one.sentence_id, one.annotator), "~") <= one.created_at
        else one
        for one in events
    ]


def insert_draw(connection: sa.Connection, draw: Draw) -> None:
    """Insert a draw and its items; entries that are already in the store do not change."""
    row = asdict(draw)
    items = [
        item | {"draw_id": draw.id, "position": position if item["position"] is None else item["position"]}
        for position, item in enumerate(row.pop("items"))
    ]
    insert_new(connection, tables.draws, [row])
    insert_new(connection, tables.draw_items, items)


def _implied_draws(events: Iterable[Annotation], created_at: str) -> Iterator[Draw]:
    """Create draws for imported events that have a strategy or a probability but no draw in this store.

    The store keeps strategy and probability only with a draw, so imported events need a draw too.
    """
    items: dict[str, dict[str, DrawItem]] = {}
    strategies: dict[str, str] = {}
    for event in events:
        identifier = _implied_draw_id(event)
        if identifier and not event.draw_id:
            item = DrawItem(event.sentence_id, event.inclusion_probability)
            items.setdefault(identifier, {})[event.sentence_id] = item
            strategies[identifier] = event.strategy
    for identifier, drawn in items.items():
        # Without an annotator, a draw is never continued and gives out no sentences.
        yield Draw(identifier, strategies[identifier], "", "", None, None, created_at, tuple(drawn.values()))


def _implied_draw_id(event: Annotation) -> str:
    if not event.strategy and event.inclusion_probability is None:
        return ""
    # The id is a hash, so importing the same events again does not add a second draw.
    content = f"import\n{event.annotator}\n{event.strategy}\n{event.inclusion_probability}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _release(connection: sa.Connection, decided: Sequence[Annotation]) -> None:
    """Remove the reservations and drafts of annotators who have decided.

    This includes imported events: the annotator has decided elsewhere, so the reservation is no longer needed.
    """
    keys = [{"sentence": event.sentence_id, "name": event.annotator} for event in decided]
    for table in (tables.reservations, tables.drafts):
        if keys:
            own = (table.c.sentence_id == sa.bindparam("sentence"), table.c.annotator == sa.bindparam("name"))
            connection.execute(sa.delete(table).where(*own), keys)


def fold(connection: sa.Connection, sentence_ids: set[str]) -> None:
    """Rewrite the rows of `decisions` for some sentences by folding all of their events with `labels.gold`.

    Sentences of removed documents have no decisions. An undo can restore any earlier event, so the last event alone
    does not determine the standing decision.
    """
    events, decisions = tables.events, tables.decisions
    stored = (events.c.sentence_id, events.c.annotator, events.c.event, events.c.seq, events.c.state)
    query = event_query(*stored, events.c.draw_id, events.c.event_id, events.c.undoes).where(
        ~tables.is_removed(events.c.sentence_id)
    )
    for batch in batches(sorted(sentence_ids)):
        rows = connection.execute(query.where(events.c.sentence_id.in_(batch)).order_by(events.c.seq)).all()
        connection.execute(sa.delete(decisions).where(decisions.c.sentence_id.in_(batch)))
        standing = [{column.name: row._mapping[column] for column in stored} for row in standing_of_each(rows)]
        if standing:
            decided = sorted({row["sentence_id"] for row in standing})
            restore_decided(connection, decided)
            labellable = _labellable(connection, batch)
            marked = [row | {"labellable": row["sentence_id"] in labellable} for row in standing]
            connection.execute(sa.insert(decisions), marked)
            replace_overlapped(connection, decided)


def _labellable(connection: sa.Connection, ids: Sequence[str]) -> set[str]:
    """Return the ids of sentences that are in the store and not boilerplate."""
    table = tables.sentences
    query = sa.select(table.c.id).where(table.c.id.in_(ids), table.c.boilerplate == "")
    return set(connection.execute(query).scalars())


# -- events <-> rows


def event_query(*columns: sa.Column[Any]) -> sa.Select[Any]:
    """Build a query for columns of events (default: all), with the strategy and probability of their draws."""
    events, draws, items = tables.events, tables.draws, tables.draw_items
    return (
        sa.select(*(columns or events.c), draws.c.strategy, items.c.inclusion_probability)
        .select_from(events)
        .outerjoin(draws, draws.c.id == events.c.draw_id)
        .outerjoin(items, (items.c.draw_id == events.c.draw_id) & (items.c.sentence_id == events.c.sentence_id))
    )


def events_on(
    connection: sa.Connection, sentence_ids: Iterable[str], query: sa.Select[Any] | None = None
) -> list[Annotation]:
    """Return the events (found by `query`) on the given sentences, in the order in which they were appended."""
    query = event_query() if query is None else query
    found = rows_among(connection, query, tables.events.c.sentence_id, sentence_ids)
    return [_event_of(row) for row in sorted(found, key=lambda row: int(row.seq))]


def _event_row(event: Annotation) -> dict[str, Any]:
    row = vars(event) | {"draw_id": event.draw_id or _implied_draw_id(event)}
    del row["strategy"], row["inclusion_probability"]  # stored with the draw
    return row


def _event_of(row: sa.Row[Any]) -> Annotation:
    values = {key: value for key, value in row._mapping.items() if key != "seq"}
    return Annotation(**values | {"strategy": row.strategy or ""})
