"""Compare each coder with adjudicated gold, and with the known answers of planted sentences, label by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from labels.codebook.reading import CodebookHistory, Reading, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.gold import not_undone, resolve, standing
from labels.records import PLANTED, Annotation


@dataclass(frozen=True)
class CoderScore:
    """A coder's decisions on one label, on `sentences` with adjudicated gold or a known answer.

    `gold` and `given` are the numbers of sentences to which the adjudicator (or the known answer) and the coder
    assigned the label, and `both` the number to which both did. `hits` counts the sentences on which they agree about
    the label: both assigned it, or neither did.
    """

    annotator: str
    label: str
    sentences: int
    gold: int
    given: int
    both: int

    @property
    def hits(self) -> int:
        """The number of sentences on which the coder is right about the label."""
        return self.sentences - self.gold - self.given + 2 * self.both

    @property
    def precision(self) -> float | None:
        """The share of the coder's assignments that the adjudicator confirmed; None without assignments."""
        return self.both / self.given if self.given else None

    @property
    def recall(self) -> float | None:
        """The share of the adjudicator's assignments that the coder made; None without assignments."""
        return self.both / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        """2 * both / (gold + given); None if neither assigned the label."""
        total = self.gold + self.given
        return 2 * self.both / total if total else None


def against_gold(
    events: Iterable[Annotation], codebook: Codebook, history: CodebookHistory | None = None
) -> tuple[CoderScore, ...]:
    """Compare every coder's standing reviews with the adjudications of the same sentences, by coder and label.

    Sentences are left out if the adjudication or the review cannot be read under `codebook` or leaves labels undecided,
    or if the adjudicator coded the sentence as well: nobody is compared with themselves.
    """
    stands = standing(events)
    reader = VersionReader(codebook, history or CodebookHistory())
    pairs: list[_Pair] = []
    for (sentence, annotator), annotation in sorted(stands.annotations.items()):
        verdict = stands.adjudications.get(sentence)
        if verdict is None or verdict.annotator == annotator:
            continue
        gold, given = _read(verdict, reader), _read(annotation, reader)
        if gold is not None and given is not None:
            pairs.append((annotator, gold.labels, given.labels))
    return _scores(pairs, codebook)


def planted_hits(
    events: Iterable[Annotation], codebook: Codebook, history: CodebookHistory | None = None
) -> tuple[CoderScore, ...]:
    """Compare every coder's last review of each planted sentence with its known answer, by coder and label.

    The known answer is the gold of the sentence, to which planted decisions never contribute. Sentences without gold
    today are left out, such as those that have become disputed, and those that the coder decided otherwise too, unless
    they were adjudicated by somebody else.

    Raises:
        CodebookError: see `labels.gold.resolve`.
    """
    events = list(events)
    stands, gold = standing(events), resolve(events, codebook, history).gold
    reader = VersionReader(codebook, history or CodebookHistory())
    # Nobody is measured by what they wrote after they had looked at others' decisions.
    planted = (one for one in not_undone(events) if one.strategy == PLANTED and not one.informed)
    last = {(one.sentence_id, one.annotator): one for one in planted}
    pairs: list[_Pair] = []
    for (sentence, annotator), decision in sorted(last.items()):
        verdict = stands.adjudications.get(sentence)
        own = (sentence, annotator) in stands.annotations if verdict is None else verdict.annotator == annotator
        given = _read(decision, reader)
        if sentence in gold and given is not None and not own:
            pairs.append((annotator, gold[sentence], given.labels))
    return _scores(pairs, codebook)


_Pair = tuple[str, tuple[str, ...], tuple[str, ...]]
"""An annotator, the gold labels of a sentence, and the labels that the annotator gave."""


def _scores(pairs: Iterable[_Pair], codebook: Codebook) -> tuple[CoderScore, ...]:
    sentences: Counter[str] = Counter()
    counts: Counter[tuple[str, str, str]] = Counter()
    for annotator, gold, given in pairs:
        sentences[annotator] += 1
        for label in codebook.label_names:
            counts[annotator, label, "gold"] += label in gold
            counts[annotator, label, "given"] += label in given
            counts[annotator, label, "both"] += label in gold and label in given
    return tuple(
        CoderScore(name, label, sentences[name], *(counts[name, label, kind] for kind in ("gold", "given", "both")))
        for name in sorted(sentences)
        for label in codebook.label_names
    )


def _read(decision: Annotation, reader: VersionReader) -> Reading | None:
    """The labels of a review; None for other states, and for labels that cannot be read or are undecided."""
    if decision.state != "reviewed":
        return None
    try:
        reading = reader.read(decision)
    except CodebookError:
        return None
    return None if reading.undecided else reading
