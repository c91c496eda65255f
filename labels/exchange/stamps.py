"""Stamps, by which records that communique has written for another tool are recognized when they come back.

The stamp of a decision is its native line without the text. A sentence to label is written as a task with a *task
stamp*: the sentence, how it was drawn, and when the task was written. It says nothing about labels. The answer to a
task counts for the sentence in the stamp, and for its draw if the annotator who received the draw has given it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from labels.errors import DataError
from labels.exchange.fields import KEY
from labels.exchange.lines import COLUMNS, Line, format_line
from labels.records import Annotation, Draw, Sentence, sentence_id
from labels.store import Context, Store, now
from labels.text.rows import Row

_STAMP_COLUMNS = tuple(column for column in COLUMNS if column not in ("text", "extra"))
_TASK = "task"
"""The key under which a stamp has the task."""


@dataclass(frozen=True)
class Asked:
    """The sentence of a task, how it was drawn and for whom, and when the task was written (ISO 8601 in UTC).

    `annotator` and `draw_id` are empty for a task that was not drawn for anybody.
    """

    document_id: str
    start: int
    end: int
    created_at: str
    annotator: str = ""
    draw_id: str = ""
    strategy: str = ""
    inclusion_probability: float | None = None

    @classmethod
    def of(cls, sentence: Sentence, created_at: str, draw: Draw | None = None) -> Self:
        """The task for a sentence, which is in the draw if there is one."""
        asked = cls(sentence.document_id, sentence.start, sentence.end, created_at)
        if draw is None:
            return asked
        chance = next(one.inclusion_probability for one in draw.items if one.sentence_id == sentence.id)
        asked = replace(asked, annotator=draw.annotator, draw_id=draw.id)
        return replace(asked, strategy=draw.strategy, inclusion_probability=chance)

    def sentence(self, text: str) -> Sentence:
        """The sentence, with the text in the record."""
        return Sentence(self.document_id, self.start, self.end, text)

    def drawn(self, event: Annotation) -> Annotation:
        """The answer with the draw of its sentence, which has an id only for the annotator who received the draw."""
        own = self.draw_id if event.annotator == self.annotator else ""
        chance = self.inclusion_probability
        return replace(event, draw_id=own, strategy=self.strategy, inclusion_probability=chance)

    def stamp(self) -> Row:
        """The task stamp for a record."""
        identifier = sentence_id(self.document_id, self.start, self.end)
        return {_TASK: {"sentence_id": identifier, **asdict(self)}}


class Stamps(list[Row]):
    """The stamps of the decisions in a record; `asked` is the task of a record without them, if it has a task stamp."""

    def __init__(self, stamps: Iterable[Row] = (), asked: Asked | None = None) -> None:
        super().__init__(stamps)
        self.asked = asked


def asked_by(stamps: Sequence[Row]) -> Asked | None:
    """The task of a record with these stamps."""
    return stamps.asked if isinstance(stamps, Stamps) else None


@dataclass(frozen=True)
class Task:
    """A sentence to label, with its context, and the stamp that brings its answer back."""

    sentence: Sentence
    context: Context
    asked: Asked

    @property
    def meta(self) -> Row:
        """Title and date of the document, as far as they are known, and the stamp."""
        shown = {"title": self.context.title, "date": self.context.date}
        return {name: value for name, value in shown.items() if value} | {KEY: self.asked.stamp()}


def tasks_of(store: Store, draws: Sequence[Draw], ids: Sequence[str]) -> list[Task]:
    """The tasks for sentences, in the order of `ids`.

    Args:
        draws: the draws that the sentences come from, if any.
    """
    moment = now()
    drawn = {item.sentence_id: draw for draw in draws for item in draw.items}
    sentences = {one.id: one for one in store.documents.sentences(ids)}
    found = (sentences[one] for one in ids)
    return [Task(one, store.documents.context(one), Asked.of(one, moment, drawn.get(one.id))) for one in found]


def in_order(draws: Sequence[Draw], ids: frozenset[str]) -> list[str]:
    """The sentences among `ids` in the order in which they were drawn."""
    items = [item for draw in draws for item in draw.items if item.sentence_id in ids]
    return list(dict.fromkeys(item.sentence_id for item in sorted(items, key=lambda one: one.position or 0)))


def asked_in(value: Any, place: str) -> Asked | None:
    """The task in the stamp of a record, as an object or JSON text; None if the record has no task stamp.

    Raises:
        DataError: the stamp was altered.
    """
    found = decoded(value)
    if not is_task(found):
        return None
    content = found[_TASK]
    try:
        identifier = content["sentence_id"]
        asked = Asked(**{name: entry for name, entry in content.items() if name != "sentence_id"})
        is_whole = identifier == sentence_id(asked.document_id, asked.start, asked.end) and _is_typed(asked)
    except (AttributeError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise DataError(
            f"{place}: the value of `{KEY}` was altered, so the sentence of this task is unknown. Restore the value, "
            "or remove it to import the text as a new document."
        )
    return asked


def _is_typed(asked: Asked) -> bool:
    chance = asked.inclusion_probability
    texts = (asked.document_id, asked.created_at, asked.annotator, asked.draw_id, asked.strategy)
    known = chance is None or (isinstance(chance, int | float) and 0 < chance <= 1)
    return known and all(isinstance(one, str) for one in texts) and 0 <= asked.start < asked.end


def decoded(value: Any) -> Any:
    """The value of a stamp, which is JSON text in the cell of a table; None if it is not JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def is_task(value: Any) -> bool:
    """Whether the value of a stamp is a task stamp."""
    return isinstance(value, Mapping) and _TASK in value


def native_stamp(event: Annotation, sentence: Sentence) -> Row:
    """The stamp for a record: the native line of the decision, without text and extra."""
    row = format_line(Line(event, sentence))
    return {column: row[column] for column in _STAMP_COLUMNS if column in row}


def native_stamps(value: Any, place: str) -> Stamps:
    """Parse the stamps in a record: one stamp or a list, as objects or JSON text; empty if the record has no stamp.

    Raises:
        DataError: the value is not a valid stamp.
    """
    if value in (None, ""):
        return Stamps()
    if is_task(found := decoded(value)):
        return Stamps(asked=asked_in(found, place))
    # The type of labels is checked here because labels are compared before `parse_line` checks the rest.
    stamps = found if isinstance(found, list) else [found]
    if not all(isinstance(entry, dict) and isinstance(entry.get("labels"), list) for entry in stamps):
        raise DataError(f"{place}: the value of `{KEY}` was altered. Export the file again, or remove the value.")
    return Stamps(stamps)
