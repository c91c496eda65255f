"""Counts over the whole store: texts, decisions, speed and progress of annotators."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import mean

import sqlalchemy as sa

from labels.gold import MEASURING
from labels.store import tables
from labels.store.database import Part, count_rows, now
from labels.store.events import made_since
from labels.store.queues.relabelling import count_standing


@dataclass(frozen=True)
class TextCounts:
    """The numbers of texts in a store, without removed documents; `boilerplate` counts the sentences not to label."""

    documents: int
    sentences: int
    boilerplate: int


@dataclass(frozen=True)
class AnnotatorProgress:
    """The progress of one annotator.

    - `reviewed`, `skipped`, `not_a_sentence`: standing decisions by state
    - `adjudicated`: standing adjudications
    - `none`: reviewed sentences without a label
    - `noted`: decisions with a note
    - `today`: decisions made today that were not undone: corrections, retests and adjudications included
    - `reserved`: sentences reserved for the annotator
    - `seconds`: median time per decision, None if no time was measured
    - `last`: time of the latest decision, ISO 8601 in UTC
    """

    annotator: str
    reviewed: int
    skipped: int
    not_a_sentence: int
    adjudicated: int
    none: int
    noted: int
    today: int
    reserved: int
    seconds: float | None
    last: str


@dataclass(frozen=True)
class StrategyProgress:
    """The progress on sentences drawn by one strategy. Skipped sentences are the non-response of the strategy."""

    strategy: str
    drawn: int
    reviewed: int
    skipped: int
    not_a_sentence: int = 0


class Counts(Part):
    """The part of the store with counts."""

    def texts(self) -> TextCounts:
        """Count the documents and the sentences."""
        documents, sentences = tables.documents, tables.sentences
        withdrawn = sa.select(tables.removals.c.document_id)
        gone = sentences.c.document_id.in_(withdrawn)
        with self._database.reading() as connection:
            # Totals minus the few removed sentences: testing every sentence takes seconds in a large store.
            removed = count_rows(connection, sentences, gone)
            set_aside = count_rows(connection, sentences, sentences.c.boilerplate != "")
            return TextCounts(
                documents=count_rows(connection, documents, documents.c.id.not_in(withdrawn)),
                sentences=count_rows(connection, sentences) - removed,
                boilerplate=set_aside - removed,
            )

    def labellable(self) -> int:
        """Return the number of sentences to label, decided or not."""
        with self._database.reading() as connection:
            return count_rows(connection, tables.sentences, tables.sentences.c.boilerplate == "")

    def reviewed(self) -> tuple[int, int]:
        """Return the numbers of sentences reviewed by at least one annotator and by at least two annotators."""
        decisions = tables.decisions
        readers = (
            sa.select(sa.func.count().label("n"))
            .where(decisions.c.event == "annotate", decisions.c.state == "reviewed")
            .group_by(decisions.c.sentence_id)
            .subquery()
        )
        query = sa.select(sa.func.count(), _count_if(readers.c.n > 1)).select_from(readers)
        ((once, twice),) = self._rows(query)
        return int(once), int(twice)

    def annotators(self, *, today: str) -> list[AnnotatorProgress]:
        """Return the progress of each annotator, in descending order of reviewed sentences.

        Args:
            today: the start of today, ISO 8601 in UTC.
        """
        events, decisions = tables.events, tables.decisions
        own = decisions.c.event == "annotate"
        reviewed = own & (events.c.state == "reviewed")
        query = (
            sa.select(
                decisions.c.annotator,
                _count_if(reviewed).label("reviewed"),
                _count_if(own & (events.c.state == "skipped")).label("skipped"),
                _count_if(own & (events.c.state == "not_a_sentence")).label("not_a_sentence"),
                _count_if(decisions.c.event == "adjudicate").label("adjudicated"),
                # Compare the values as text, because PostgreSQL cannot compare JSON values.
                _count_if(reviewed & (sa.cast(events.c.labels, sa.Text) == "[]")).label("none"),
                _count_if(events.c.note != "").label("noted"),
                sa.func.max(events.c.created_at).label("last"),
            )
            .join(events, events.c.seq == decisions.c.seq)
            .group_by(decisions.c.annotator)
            .order_by(sa.desc("reviewed"), decisions.c.annotator)
        )
        held = tables.reservations
        with self._database.reading() as connection:
            return [
                AnnotatorProgress(
                    **row,
                    today=made_since(connection, row["annotator"], today),
                    reserved=count_rows(
                        connection, held, held.c.annotator == row["annotator"], held.c.expires_at > now()
                    ),
                    seconds=_median_seconds(connection, row["annotator"]),
                )
                for row in connection.execute(query).mappings().all()
            ]

    def label_sets(self) -> dict[tuple[str, ...], int]:
        """Count the standing reviewed annotations by label set."""
        events, decisions = tables.events, tables.decisions
        # PostgreSQL cannot group by JSON, so group by its text and take the value from one event per group.
        query = (
            sa.select(sa.func.min(events.c.seq).label("seq"), sa.func.count().label("n"))
            .join(decisions, decisions.c.seq == events.c.seq)
            .where(decisions.c.event == "annotate", decisions.c.state == "reviewed")
            .group_by(sa.cast(events.c.labels, sa.Text))
            .subquery()
        )
        counts: Counter[tuple[str, ...]] = Counter()
        for labels, n in self._rows(sa.select(events.c.labels, query.c.n).join(query, query.c.seq == events.c.seq)):
            counts[labels] += n
        return dict(counts)

    def strategies(self) -> list[StrategyProgress]:
        """Return the progress of each strategy, in descending order of drawn sentences.

        Sentences that were given back undecided when their draw was released do not count as drawn.
        """
        draws, items, events, decisions = tables.draws, tables.draw_items, tables.events, tables.decisions
        answer = sa.exists().where(events.c.draw_id == draws.c.id, events.c.sentence_id == items.c.sentence_id)
        drawn = (
            sa.select(draws.c.strategy, sa.func.count().label("n"))
            .join(items, items.c.draw_id == draws.c.id)
            .where(sa.or_(draws.c.released_at.is_(None), answer))
            .group_by(draws.c.strategy)
        )
        answered = (
            sa.select(
                draws.c.strategy,
                _count_if(events.c.state == "reviewed").label("reviewed"),
                _count_if(events.c.state == "skipped").label("skipped"),
                _count_if(events.c.state == "not_a_sentence").label("outside"),
            )
            .join(events, events.c.draw_id == draws.c.id)
            .join(decisions, decisions.c.seq == events.c.seq)
            .group_by(draws.c.strategy)
        )
        # Two queries, because a join would count a sentence with several decisions as drawn several times.
        totals = {row.strategy: row.n for row in self._rows(drawn)}
        answers = {row.strategy: (row.reviewed, row.skipped, row.outside) for row in self._rows(answered)}
        answers |= {strategy: self._measured(strategy) for strategy in MEASURING & totals.keys()}
        return [
            StrategyProgress(strategy, n, *answers.get(strategy, (0, 0, 0)))
            for strategy, n in sorted(totals.items(), key=lambda total: -total[1])
        ]

    def _measured(self, strategy: str) -> tuple[int, int, int]:
        """Count the decisions by state from draws that only measure the annotator; these decisions do not stand."""
        events, draws = tables.events, tables.draws
        last = (
            sa.select(sa.func.max(events.c.seq).label("seq"))
            .join(draws, draws.c.id == events.c.draw_id)
            .where(draws.c.strategy == strategy)
            .group_by(events.c.sentence_id, events.c.annotator, events.c.draw_id)
            .having(count_standing() > 0)
            .subquery()
        )
        states = Counter(self._column(sa.select(events.c.state).join(last, last.c.seq == events.c.seq)))
        return states["reviewed"], states["skipped"], states["not_a_sentence"]


def _median_seconds(connection: sa.Connection, annotator: str) -> float | None:
    """Return the median time of the annotator's decisions, from a sorted list, because SQLite has no median."""
    events = tables.events
    timed = (events.c.annotator == annotator, events.c.event == "annotate", events.c.seconds.is_not(None))
    total = count_rows(connection, events, *timed)
    if not total:
        return None
    query = sa.select(events.c.seconds).where(*timed).order_by(events.c.seconds)
    middle = query.offset((total - 1) // 2).limit(2 - total % 2)
    return float(mean(connection.execute(middle).scalars().all()))


def _count_if(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    # The sum of no rows is null, not 0.
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)
