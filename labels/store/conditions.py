"""Conditions on sentences and entries that several parts of the store ask for: free, held, labelled again."""

from __future__ import annotations

import sqlalchemy as sa

from labels.store import schema
from labels.store.database import now
from labels.store.events import decided_by_anyone


def free(sentence_id: sa.ColumnElement[str], at: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions: nobody has decided on the sentence or holds it reserved at a moment."""
    held = schema.reservations
    reserved = sa.exists().where(held.c.sentence_id == sentence_id, held.c.expires_at > at)
    return ~decided_by_anyone(sentence_id), ~reserved


def free_to_label(at: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions on `sentences`: text, on which nobody has decided and which nobody holds at a moment."""
    return schema.sentences.c.boilerplate == "", *free(schema.sentences.c.id, at)


def held_by_another(sentence_id: sa.ColumnElement[str], annotator: str) -> sa.Exists:
    """Condition: someone else holds the sentence reserved now."""
    held = schema.reservations
    return sa.exists().where(
        held.c.sentence_id == sentence_id, held.c.annotator != annotator, held.c.expires_at > now()
    )


def labelled_again() -> sa.Exists:
    """Condition on an entry of `relabelling`: a review of a later draw "relabel" stands on its sentence."""
    entries, decisions, events, draws = schema.relabelling, schema.decisions, schema.events, schema.draws
    return (
        sa.exists()
        .where(decisions.c.sentence_id == entries.c.sentence_id, decisions.c.seq > entries.c.after_seq)
        .where(events.c.seq == decisions.c.seq, draws.c.id == events.c.draw_id, draws.c.strategy == "relabel")
        .where(decisions.c.state == "reviewed")
        .correlate(entries)
    )


def answers(annotator: str) -> sa.ScalarSelect[int]:
    """How many answers of the annotator to an entry of `relabelling`, passing over it included, were not undone."""
    entries, events, draws = schema.relabelling, schema.events, schema.draws
    return (
        sa.select(count_standing())
        .where(events.c.sentence_id == entries.c.sentence_id, events.c.annotator == annotator)
        .where(events.c.seq > entries.c.after_seq, draws.c.id == events.c.draw_id, draws.c.strategy == "relabel")
        .correlate(entries)
        .scalar_subquery()
    )


def count_standing() -> sa.ColumnElement[int]:
    """Of the events selected, how many decisions were not undone."""
    return sa.func.coalesce(sa.func.sum(sa.case((schema.events.c.event == "undo", -1), else_=1)), 0)
