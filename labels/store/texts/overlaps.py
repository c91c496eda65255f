"""Handle overlapping spans of a document, so that a passage is not offered twice for labelling.

A document can be cut twice: by two versions of the splitter, or by the splitter and by another tool. A sentence with a
decision stays. Sentences without a decision that overlap it get the reason `REPLACED_SPAN` and are not labelled. The
same applies to the sentences that `labels.store.texts.resplit` replaces. If a replaced sentence gets a decision from an
import or from an open screen, it is labelled again. Sentences are never deleted, because draws refer to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from labels.store import tables
from labels.store.database import batches, rows_among

REPLACED_SPAN = "replaced span"
"""Reason not to label a sentence: other sentences of the same passage are labelled or offered instead."""


def is_replaced(sentence_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Condition: the sentence is stored, and other sentences of its passage are used instead."""
    table = tables.sentences
    return sentence_id.in_(sa.select(table.c.id).where(table.c.boilerplate == REPLACED_SPAN))


def restore_decided(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Offer the replaced sentences among `ids` for labelling again; all of `ids` have standing decisions."""
    table = tables.sentences
    back = (table.c.id.in_(ids), table.c.boilerplate == REPLACED_SPAN)
    connection.execute(sa.update(table).where(*back).values(boilerplate=""))


def replace_overlapped(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Replace the sentences without a decision that overlap sentences among `ids`, on which decisions stand."""
    table, other = tables.sentences, tables.sentences.alias("other")
    is_decided = sa.exists().where(tables.decisions.c.sentence_id == other.c.id)
    overlap = (other.c.start < table.c.end, table.c.start < other.c.end, other.c.id != table.c.id)
    query = (
        sa.select(other.c.number, other.c.id)
        .select_from(table.join(other, other.c.document_id == table.c.document_id))
        .where(table.c.id.in_(ids), table.c.boilerplate == "", other.c.boilerplate == "", *overlap, ~is_decided)
    )
    replace_sentences(connection, connection.execute(query).all())


def replace_sentences(connection: sa.Connection, rows: Iterable[Any]) -> None:
    """Mark sentences as replaced, and delete their reservations, drafts and scores.

    Args:
        rows: rows with `number` and `id` of the sentences.
    """
    for batch in batches({row.id: row for row in rows}.values()):
        ids, numbers = [row.id for row in batch], [row.number for row in batch]
        table = tables.sentences
        connection.execute(sa.update(table).where(table.c.id.in_(ids)).values(boilerplate=REPLACED_SPAN))
        for own in (tables.reservations, tables.drafts):
            connection.execute(sa.delete(own).where(own.c.sentence_id.in_(ids)))
        for own in (tables.scores, tables.embeddings):
            connection.execute(sa.delete(own).where(own.c.sentence_number.in_(numbers)))


def replaced_state(connection: sa.Connection) -> str:
    """Return a text that changes when sentences are replaced or restored; empty if no sentence is replaced."""
    table = tables.sentences
    totals = sa.select(sa.func.count(), sa.func.sum(table.c.number)).where(table.c.boilerplate == REPLACED_SPAN)
    count, numbers = connection.execute(totals).one()
    return f"{count} {numbers}" if count else ""


def decided_among(connection: sa.Connection, ids: Iterable[str]) -> set[str]:
    """Return the ids among `ids` of the sentences on which a decision stands."""
    column = tables.decisions.c.sentence_id
    return {row.sentence_id for row in rows_among(connection, sa.select(column).distinct(), column, ids)}
