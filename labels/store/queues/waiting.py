"""Find unfinished work in a store, such as skipped sentences and unconfirmed drafts."""

from __future__ import annotations

import sqlalchemy as sa

from labels.gold import MODEL_CODER
from labels.store import tables
from labels.store.database import Part
from labels.store.queues.relabelling import held_by_another
from labels.store.texts.overlaps import is_replaced


class Waiting(Part):
    """The part of the store that finds sentences with unfinished work."""

    def skipped(self, annotator: str = "") -> list[str]:
        """Return the sorted ids of the sentences that someone skipped and nobody has decided on.

        Args:
            annotator: leave out the sentences that are reserved for other annotators, and those that this annotator
                skipped again in a draw of skipped sentences. An empty name leaves out none.
        """
        table = tables.decisions
        skipped = (table.c.state == "skipped", table.c.labellable, ~decided_on(table.c.sentence_id))
        query = sa.select(table.c.sentence_id).distinct().where(*skipped).order_by(table.c.sentence_id)
        if annotator:
            query = query.where(
                ~held_by_another(table.c.sentence_id, annotator), ~_skipped_twice(table.c.sentence_id, annotator)
            )
        return self._column(query)

    def drafts(self) -> dict[str, list[str]]:
        """Map annotators to the sorted ids of the sentences with a draft of theirs (unconfirmed labels or note).

        The drafts of model coders are left out: they are requests without an answer (`Events.keep_requests`).
        """
        table = tables.drafts
        usable = (
            ~tables.is_removed(table.c.sentence_id),
            ~is_replaced(table.c.sentence_id),
            ~table.c.annotator.startswith(MODEL_CODER, autoescape=True),
        )
        query = sa.select(table.c.annotator, table.c.sentence_id).where(*usable)
        found: dict[str, list[str]] = {}
        for row in self._rows(query.order_by(table.c.annotator, table.c.sentence_id)):
            found.setdefault(row.annotator, []).append(row.sentence_id)
        return found

    def last_codebook(self) -> str:
        """Return the hash of the codebook under which the last event was made; empty if there is no event."""
        events = tables.events
        found = self._column(sa.select(events.c.codebook_hash).order_by(events.c.seq.desc()).limit(1))
        return found[0] if found else ""


def decided_on(sentence_id: sa.ColumnElement[str]) -> sa.Exists:
    """Condition: a decision of any annotator that is not a skip stands on the sentence."""
    other = tables.decisions.alias("other")
    return sa.exists().where(other.c.sentence_id == sentence_id, other.c.state != "skipped")


def _skipped_twice(sentence_id: sa.ColumnElement[str], annotator: str) -> sa.Exists:
    """Condition: the annotator's standing decision is a skip from a draw of skipped sentences."""
    own, events, draws = tables.decisions.alias("own"), tables.events, tables.draws
    return (
        sa.exists()
        .where(own.c.sentence_id == sentence_id, own.c.annotator == annotator, own.c.state == "skipped")
        .where(events.c.seq == own.c.seq, draws.c.id == events.c.draw_id, draws.c.strategy == "skipped")
    )
