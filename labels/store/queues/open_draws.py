"""Find the draws that their annotators can go on with, and the draws to which unconfirmed drafts belong."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import sqlalchemy as sa

from labels.records import PLANTED, RANDOM_STRATEGIES, RETESTS, Draw
from labels.store import tables
from labels.store.database import Part
from labels.store.queues.draws import pending_of

_LAST = 12
"""The number of an annotator's latest draws that are looked at; older ones are not continued."""


class OpenDraw(NamedTuple):
    """Draws made together that have undecided sentences, under the strategy that continues them.

    `model_id` is the model whose scores were used; empty if none. `pending` has the ids of the undecided sentences.
    """

    annotator: str
    strategy: str
    query: str
    model_id: str
    pending: frozenset[str]

    @property
    def option(self) -> str:
        """The value of `--strategy`."""
        return f"{self.strategy} {self.query}".strip()


class OpenDraws(Part):
    """The part of the store with the draws that can be continued."""

    def all(self, annotator: str = "") -> list[OpenDraw]:
        """Return the open draws of one annotator or, without a name, of all; an annotator's latest draw comes first.

        Draws of one annotator by the same strategy are one entry: they are continued one after the other.
        """
        draws = tables.draws
        query = sa.select(draws).where(draws.c.annotator != "", draws.c.released_at.is_(None))
        if annotator:
            query = query.where(draws.c.annotator == annotator)
        query = query.order_by(draws.c.annotator, draws.c.created_at.desc(), draws.c.id)
        found: dict[tuple[str, str, str, str], frozenset[str]] = {}
        with self._database.reading() as connection:
            rows = [Draw(**row) for row in connection.execute(query).mappings()]
            for _, own in groupby(rows, key=lambda draw: draw.annotator):
                together = [list(group) for _, group in groupby(own, key=lambda draw: draw.created_at)]
                for made in together[:_LAST]:
                    pending = frozenset(one for draw in made for one in pending_of(connection, draw))
                    key = _key(made)
                    if pending and key:
                        found[key] = found.get(key, frozenset()) | pending
        return [OpenDraw(*key, pending) for key, pending in found.items()]


def _key(made: list[Draw]) -> tuple[str, str, str, str] | None:
    """Annotator, strategy, query and model of draws made together; None if they cannot be continued."""
    own = next((draw for draw in made if draw.strategy != PLANTED), None)
    if own is None:
        return None
    families = {**dict.fromkeys(RANDOM_STRATEGIES, "random"), **dict.fromkeys(RETESTS, "retest")}
    # A draw by the strategy "overlap" alone is continued by this name.
    only_overlap = {draw.strategy for draw in made} - {PLANTED} == {"overlap"}
    strategy = "overlap" if only_overlap else families.get(own.strategy, own.strategy)
    return own.annotator, strategy, own.query, own.model_id
