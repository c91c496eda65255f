"""Who did what, how fast, how far: counts over the whole store."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

import sqlalchemy as sa

from labels.store import schema
from labels.store.database import Part, now


@dataclass(frozen=True)
class AnnotatorProgress:
    """What one annotator has done. `seconds` is the median time of a decision, None where none was taken."""

    annotator: str
    reviewed: int
    skipped: int
    none: int
    noted: int
    today: int
    reserved: int
    seconds: float | None
    last: str


@dataclass(frozen=True)
class StrategyProgress:
    """What became of the sentences drawn by one strategy; the skipped ones did not respond."""

    strategy: str
    drawn: int
    reviewed: int
    skipped: int


@dataclass(frozen=True)
class TextCounts:
    """How many texts a store holds; `boilerplate` of the sentences are page furniture."""

    documents: int
    sentences: int
    boilerplate: int


class Counts(Part):
    """The part of the store that counts."""

    def annotators(self, *, today: str) -> list[AnnotatorProgress]:
        """Each annotator's standing decisions, most first; `today` is when today began, ISO 8601 in UTC."""
        events, decisions = schema.events, schema.decisions
        reviewed = events.c.state == "reviewed"
        query = (
            sa.select(
                decisions.c.annotator,
                _count_if(reviewed).label("reviewed"),
                _count_if(events.c.state == "skipped").label("skipped"),
                _count_if(reviewed & (sa.cast(events.c.labels, sa.Text) == "[]")).label("none"),
                _count_if(events.c.note != "").label("noted"),
                _count_if(events.c.created_at >= today).label("today"),
                sa.func.max(events.c.created_at).label("last"),
            )
            .join(events, events.c.seq == decisions.c.seq)
            .where(decisions.c.event == "annotate")
            .group_by(decisions.c.annotator)
            .order_by(sa.desc("reviewed"), decisions.c.annotator)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
            return [
                AnnotatorProgress(
                    **row,
                    reserved=self._reserved(connection, row["annotator"]),
                    seconds=self._median_seconds(connection, row["annotator"]),
                )
                for row in rows
            ]

    def _reserved(self, connection: sa.Connection, annotator: str) -> int:
        held = schema.reservations
        query = sa.select(sa.func.count()).where(held.c.annotator == annotator, held.c.expires_at > now())
        return int(connection.execute(query).scalar_one())

    def _median_seconds(self, connection: sa.Connection, annotator: str) -> float | None:
        events = schema.events
        timed = (events.c.annotator == annotator, events.c.event == "annotate", events.c.seconds.is_not(None))
        total = int(connection.execute(sa.select(sa.func.count()).select_from(events).where(*timed)).scalar_one())
        if not total:
            return None
        query = sa.select(events.c.seconds).where(*timed).order_by(events.c.seconds)
        middle = query.offset((total - 1) // 2).limit(2 - total % 2)
        return float(mean(connection.execute(middle).scalars().all()))

    def label_sets(self) -> dict[tuple[str, ...], int]:
        """Label set -> how many standing reviewed annotations bear it."""
        events, decisions = schema.events, schema.decisions
        text = sa.cast(events.c.labels, sa.Text)
        query = (
            sa.select(sa.func.min(events.c.seq).label("seq"), sa.func.count().label("n"))
            .join(decisions, decisions.c.seq == events.c.seq)
            .where(decisions.c.event == "annotate", decisions.c.state == "reviewed")
            .group_by(text)
            .subquery()
        )
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(events.c.labels, query.c.n).join(query, query.c.seq == events.c.seq))
            counts: dict[tuple[str, ...], int] = {}
            for labels, n in rows:
                counts[tuple(labels)] = counts.get(tuple(labels), 0) + n
            return counts

    def strategies(self) -> list[StrategyProgress]:
        """How many sentences each strategy drew and what became of them, most first."""
        draws, items, events, decisions = schema.draws, schema.draw_items, schema.events, schema.decisions
        drawn = (
            sa.select(draws.c.strategy, sa.func.count().label("n"))
            .join(items, items.c.draw_id == draws.c.id)
            .group_by(draws.c.strategy)
        )
        answered = (
            sa.select(
                draws.c.strategy,
                _count_if(events.c.state == "reviewed").label("reviewed"),
                _count_if(events.c.state == "skipped").label("skipped"),
            )
            .join(events, events.c.draw_id == draws.c.id)
            .join(decisions, decisions.c.seq == events.c.seq)
            .group_by(draws.c.strategy)
        )
        with self._database.reading() as connection:
            totals = {row.strategy: row.n for row in connection.execute(drawn)}
            answers = {row.strategy: (row.reviewed, row.skipped) for row in connection.execute(answered)}
        return [
            StrategyProgress(strategy, n, *answers.get(strategy, (0, 0)))
            for strategy, n in sorted(totals.items(), key=lambda total: -total[1])
        ]

    def reviewed(self) -> tuple[int, int]:
        """How many sentences at least one person has reviewed, and how many at least two have."""
        decisions = schema.decisions
        readers = (
            sa.select(sa.func.count().label("n"))
            .where(decisions.c.event == "annotate", decisions.c.state == "reviewed")
            .group_by(decisions.c.sentence_id)
            .subquery()
        )
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.case((readers.c.n > 1, 1), else_=0)), 0))
        with self._database.reading() as connection:
            once, twice = connection.execute(query.select_from(readers)).one()
        return int(once), int(twice)

    def texts(self) -> TextCounts:
        """How many documents and sentences the store holds."""
        documents, sentences = schema.documents, schema.sentences
        queries = (
            sa.select(sa.func.count()).select_from(documents),
            sa.select(sa.func.count()).select_from(sentences),
            sa.select(sa.func.count()).select_from(sentences).where(sentences.c.boilerplate != ""),
        )
        with self._database.reading() as connection:
            return TextCounts(*(int(connection.execute(query).scalar_one()) for query in queries))


def _count_if(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)
