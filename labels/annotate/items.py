"""What a session shows of a sentence: the sentence in its context, decisions of oneself and of others, suggestions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from labels.codebook.reading import Reading
from labels.records import Annotation, EventKind, Sentence, State
from labels.sampling.suggestions import Suggestion
from labels.store import Context, Draft


@dataclass(frozen=True)
class Opinion:
    """Another annotator's decision on a sentence.

    `labels` are the annotator's labels as read under the codebook in use. They are the labels as originally assigned
    if the codebook's changes leave some labels undecided, or if no recorded change leads to the codebook. `reading`
    lists the sure and the undecided labels; it is None if no recorded change leads to the codebook.
    """

    annotator: str
    event: EventKind
    state: State | None
    labels: tuple[str, ...]
    note: str = ""
    reading: Reading | None = None

    @property
    def role(self) -> str:
        """The annotator's name, marked if they adjudicated."""
        return f"{self.annotator}, adjudicating" if self.event == "adjudicate" else self.annotator

    @property
    def is_answer(self) -> bool:
        """Whether the decision is complete under the codebook in use, so that an adjudicator can take it as it is."""
        read = self.state == "reviewed" and self.reading is not None and not self.reading.undecided
        return read or self.state == "not_a_sentence"


@dataclass(frozen=True)
class Item:
    """A sentence to decide on, with the information that the annotator may see.

    `breaks` has one value for each gap between consecutive sentences of the context: True if a new paragraph begins
    there. `position` counts from 1 in the draw. `draft` is the annotator's unconfirmed choice, without labels that the
    codebook does not have. `decision` is the annotator's earlier decision on the sentence in this draw. `reading` is
    that decision under the codebook in use; it is None if there is no decision or no recorded change leads to the
    codebook. `suggestion` is None if the sentence has no score or the suggestion is `withheld`. `previous` (the earlier
    labels) and `reason` are set for sentences that are labelled again, `opinions` (the others' decisions and notes)
    for adjudication. `news` reports events since the previous sentence was shown. `undone` is true if the annotator
    undid their last decision: the draft is shown, even an empty one, and not the decision that stands again. `asked`
    are the only labels to decide on if the codebook added labels, and `kept` the labels that stay; without `asked`, all
    labels are to be decided. If `replaces` is true (exclusive codebooks), an asked label takes the place of the kept
    label. `question` says what to decide if the task is only about some labels. `answers` maps keys to the opinions
    that they adopt as a whole.
    """

    sentence: Sentence
    context: Context
    breaks: tuple[bool, ...]
    position: int
    draft: Draft
    decision: Annotation | None = None
    reading: Reading | None = None
    suggestion: Suggestion | None = None
    previous: tuple[str, ...] | None = None
    reason: str = ""
    opinions: tuple[Opinion, ...] = ()
    news: str = ""
    undone: bool = False
    asked: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    replaces: bool = False
    question: str = ""
    withheld: bool = False
    answers: Mapping[str, Opinion] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A row in the list of a session: a sentence, its position from 1, and in words how far the annotator is with it.

    `mark` is one character for the state: `✓` reviewed, `s` skipped, `–` not a sentence, `…` draft, blank for unseen.
    """

    position: int
    sentence: Sentence
    mark: str
    said: str


def named(labels: Iterable[str]) -> str:
    """The labels in words: their names, or `none`."""
    return ", ".join(labels) or "none"


_STATES = {"skipped": "skipped", "not_a_sentence": "not a sentence"}
"""The states of decisions without labels, in words."""


def in_words(decision: Annotation | Opinion, reading: Reading | None) -> str:
    """A decision in words, followed by its current reading if the codebook in use changes it."""
    said = _STATES.get(decision.state or "", named(decision.labels))
    if reading is None or decision.state != "reviewed":
        return said
    if reading.undecided:
        sure = f"{', '.join(reading.labels)}; " if reading.labels else ""
        return f"{said}, now {sure}undecided: {', '.join(reading.undecided)}"
    return said if set(reading.labels) == set(decision.labels) else f"{said}, now {named(reading.labels)}"
