"""Sentences whose answer is known, which can be planted in a draw to measure its annotator."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from labels.store import tables
from labels.store.database import Part
from labels.store.texts.overlaps import is_replaced


class Planted(Part):
    """The part of the store that finds sentences with a known answer."""

    def candidates(self, annotator: str, experts: Collection[str] = ()) -> list[str]:
        """Sorted ids of the sentences with a known answer on which the annotator has made no event.

        The answer is known if the sentence was adjudicated, if two annotators gave the same labels and nobody gave
        others, or if an expert gave labels and nobody gave others.

        Args:
            experts: names of annotators whose decisions need no second annotator.
        """
        decisions, events, own = tables.decisions, tables.events, tables.events.alias("own")
        mine = sa.exists().where(own.c.sentence_id == decisions.c.sentence_id, own.c.annotator == annotator)
        query = (
            sa.select(*(decisions.c[name] for name in ("sentence_id", "annotator", "event", "state")), events.c.labels)
            .join(events, events.c.seq == decisions.c.seq)
            .where(decisions.c.labellable, decisions.c.state != "skipped", ~mine, ~is_replaced(decisions.c.sentence_id))
            .where(_has_several(experts))
        )
        found: dict[str, list[sa.Row[Any]]] = {}
        for row in self._rows(query):
            found.setdefault(row.sentence_id, []).append(row)
        return sorted(identifier for identifier, rows in found.items() if _is_known(rows, frozenset(experts)))


def _has_several(experts: Collection[str]) -> sa.ColumnElement[bool]:
    """Condition: the sentence has decisions by two people, an adjudication, or a decision by an expert."""
    other = tables.decisions.alias("other")
    settling = sa.or_(
        other.c.annotator != tables.decisions.c.annotator, other.c.event == "adjudicate", other.c.annotator.in_(experts)
    )
    return sa.exists().where(
        other.c.sentence_id == tables.decisions.c.sentence_id, other.c.state != "skipped", settling
    )


def _is_known(rows: Sequence[sa.Row[Any]], experts: frozenset[str]) -> bool:
    verdicts = {row.state for row in rows if row.event == "adjudicate"}
    if verdicts:
        return verdicts == {"reviewed"}
    answers = {(row.state, frozenset(row.labels)) for row in rows}
    agreed = len(answers) == 1 and rows[0].state == "reviewed"
    return agreed and (len(rows) > 1 or rows[0].annotator in experts)
