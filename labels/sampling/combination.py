"""The design of the samples in a store: what was drawn, from which frame, with which probabilities.

Draws are served in random order within strata, so the part of a draw up to the last sentence that its annotator reached
is itself a sample, and only this part counts. How several draws combine:

1. Draws of one kind from the same frame, with nothing else decided or reserved in between, are one sample: a simple
   random sample of what an earlier one left is, together with it, a simple random sample of the whole.
2. Otherwise, each draw is a round of its own. What was decided before a round was outside its frame and is known: it is
   a stratum that was read completely (a census). Each round estimates the whole corpus without bias, given what was
   decided before it; the estimates are averaged with weights in proportion to the numbers of sentences drawn.

Source of the second rule: Raj (1956), "Some estimators in sampling with varying probabilities without replacement".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from labels.environment.settings import command
from labels.errors import InputError, counted, did_you_mean
from labels.records import RANDOM_STRATEGIES, Draw, DrawItem
from labels.store import CorpusSentence, Store
from labels.store.queues.designs import Decisions

CENSUS = "decided before"
"""Name of the strata that were read completely."""


class NoSampleError(InputError):
    """The store has no probability sample, or nothing of it is labelled."""


@dataclass(frozen=True)
class Stratum:
    """A part of a round's frame.

    - `size`, `drawn`: numbers of units in the frame and in the sample; units are sentences, or articles in a draw of
      whole articles
    - `weight`: the weight of the round, in (0, 1]; the weights of all rounds sum to 1
    - `round`: the position of the round
    """

    name: str
    size: int
    drawn: int
    weight: float
    round: int


@dataclass(frozen=True)
class Unit:
    """A drawn sentence: its id, the position of its stratum, and the article with which it was drawn, if any."""

    sentence_id: str
    stratum: int
    cluster: str = ""


@dataclass(frozen=True)
class Design:
    """The design of one or several draws.

    - `corpus`: the sentences whose shares can be estimated, in the order of their numbers
    - `strata`, `units`: the strata of all rounds, and the sentences drawn from them that are still in the corpus. A
      sentence of several rounds occurs once in each
    - `draws`: the ids of the draws
    - `added`, `withdrawn`: numbers of sentences that came after a draw, or left since; both are outside the corpus
    - `added_documents`, `removed_documents`: the ids of their documents
    - `rule`: how the draws were combined, in words
    """

    corpus: Sequence[CorpusSentence]
    strata: Sequence[Stratum]
    units: Sequence[Unit]
    draws: Sequence[str]
    added: int
    withdrawn: int
    added_documents: Sequence[str]
    removed_documents: Sequence[str]
    rule: str


@dataclass
class _Round:
    """Draws that are one sample, the sentences outside their frame, and the sentences reached, with their draw."""

    first: Draw
    outside: frozenset[str]
    drawn: set[str] = field(default_factory=set)
    items: dict[str, DrawItem] = field(default_factory=dict)
    draws: list[str] = field(default_factory=list)
    strata: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        return _kind(self.first)

    def admits(self, draw: Draw, outside: Collection[str]) -> bool:
        """Whether a later draw continues this sample.

        It does if it has the same kind and frame, and if this sample drew or excluded all sentences in `outside`.
        """
        if self.kind == "audit" or (self.kind, self.first.frame_last) != (_kind(draw), draw.frame_last):
            return False
        return self.outside.issuperset(one for one in outside if one not in self.drawn)


def design_of(store: Store, draw_ids: Collection[str] = ()) -> Design:
    """Return the design of the store's probability samples, or only of the draws with the given ids.

    Raises:
        NoSampleError: there is no probability sample, or nothing of one was labelled.
        InputError: there is no such draw, or the corpus does not fit the frame of a draw, or lacks sentences of it.
    """
    draws, decisions = _chosen(store, draw_ids), store.designs.decisions()
    corpus = store.designs.corpus()
    reached = decisions.reached()
    batches = [(batch, found) for batch in _batches(draws) if (found := _served(batch, reached))]
    if not batches:
        raise NoSampleError(
            f"{store.name}: no sentence of {counted(len(draws), 'probability sample')} has been labelled yet. "
            f"Continue with `{command('label', store=store.name)}`."
        )
    rounds = _rounds(batches, decisions)
    last = min((one.first.frame_last for one in rounds if one.first.frame_last is not None), default=None)
    kept = [one for one in corpus if last is None or one.number <= last]
    strata, units, withdrawn = _strata(store, rounds, corpus, {one.id for one in kept})
    later = corpus[len(kept) :]
    return Design(
        kept,
        strata,
        units,
        [identifier for one in rounds for identifier in one.draws],
        len(later),
        withdrawn,
        list(dict.fromkeys(one.document_id for one in later)),
        store.designs.removed_since(min(one.first.created_at for one in rounds)) if withdrawn else [],
        _rule(rounds),
    )


def _chosen(store: Store, draw_ids: Collection[str]) -> list[Draw]:
    samples = store.designs.samples()
    known = {draw.id for draw in samples}
    for identifier in draw_ids:
        if identifier not in known:
            raise InputError(
                f"{store.name} has no probability sample '{identifier}'{did_you_mean(identifier, known)}. "
                f"Its probability samples: {', '.join(sorted(known)) or 'none'}."
            )
    if not samples:
        raise NoSampleError(
            f"{store.name} has no probability sample, so nothing can be said about sentences that nobody read. Draw "
            f"one with `{command('label', '--strategy', 'audit', store=store.name)}`. Decisions from strategies such "
            "as `search` or `uncertainty` have no known probabilities."
        )
    return [draw for draw in samples if not draw_ids or draw.id in draw_ids]


def _kind(draw: Draw) -> str:
    return "random" if draw.strategy in RANDOM_STRATEGIES else draw.strategy


def _batches(draws: Sequence[Draw]) -> list[list[Draw]]:
    """Draws that were made together, oldest first: the overlap part of a random draw belongs to it."""
    together: dict[tuple[str, str, str], list[Draw]] = {}
    for draw in draws:
        together.setdefault((draw.created_at, draw.annotator, _kind(draw)), []).append(draw)
    return list(together.values())


def _served(batch: Sequence[Draw], reached: dict[str, set[str]]) -> list[tuple[Draw, DrawItem]]:
    """The items up to the last one with an event, in order; of whole articles, only those that were finished."""
    items = [
        (draw, item if item.position is not None else replace(item, position=place))
        for draw in batch
        for place, item in enumerate(draw.items)
    ]
    items.sort(key=lambda pair: pair[1].position or 0)
    ends = [place for place, (draw, item) in enumerate(items) if item.sentence_id in reached.get(draw.id, ())]
    served = items[: ends[-1] + 1] if ends else []
    waiting = {item.cluster for _, item in items[len(served) :] if item.cluster}
    return [pair for pair in served if pair[1].cluster not in waiting]


def _outside(draw: Draw, decisions: Decisions) -> frozenset[str]:
    """The sentences that were outside the frame of a draw because they were decided or reserved."""
    if _kind(draw) == "audit":
        return frozenset()
    decided = decisions.until(draw.frame_seq) if draw.frame_seq is not None else decisions.before(draw.created_at)
    return frozenset(decided.union(draw.frame_held or ()))


def _rounds(batches: Sequence[tuple[list[Draw], list[tuple[Draw, DrawItem]]]], decisions: Decisions) -> list[_Round]:
    rounds: list[_Round] = []
    overlap: set[str] = set()
    for batch, served in batches:
        outside = _outside(batch[0], decisions)
        # A second reading of an overlap sentence is not a second draw.
        fresh = {item.sentence_id: item for _, item in served if item.sentence_id not in overlap}
        overlap.update(item.sentence_id for draw in batch if draw.strategy == "overlap" for item in draw.items)
        if fresh and not (rounds and rounds[-1].admits(batch[0], outside)):
            rounds.append(_Round(batch[0], outside))
        if not rounds:
            continue
        rounds[-1].items.update(fresh)
        rounds[-1].drawn.update(item.sentence_id for draw in batch for item in draw.items)
        rounds[-1].strata.update(item.stratum for draw in batch for item in draw.items)
        rounds[-1].draws += [draw.id for draw in batch]
    return rounds


def _strata(
    store: Store, rounds: Sequence[_Round], corpus: Sequence[CorpusSentence], kept: Collection[str]
) -> tuple[list[Stratum], list[Unit], int]:
    """The strata and units of all rounds, and the largest number of sentences that left a frame."""
    total = sum(len(one.items) for one in rounds)
    strata: list[Stratum] = []
    units: list[Unit] = []
    withdrawn, set_aside = 0, store.designs.count_set_aside()
    for number, one in enumerate(rounds):
        weight, last = len(one.items) / total, one.first.frame_last
        within = [s.id for s in corpus if last is None or s.number <= last]
        known = [identifier for identifier in within if identifier in one.outside]
        left = (one.first.frame_size or 0) - (len(within) - len(known))
        if left < 0:
            raise InputError(_misfit(store, one, len(within) - len(known)))
        if left > set_aside:
            raise InputError(_incomplete(store, one, len(within) - len(known)))
        withdrawn = max(withdrawn, left)
        if known:
            units += [Unit(identifier, len(strata)) for identifier in known if identifier in kept]
            strata.append(Stratum(CENSUS, len(known), len(known), weight, number))
        first = len(strata)
        strata += _sampled_strata(one, weight, number)
        places = {stratum.name: place for place, stratum in enumerate(strata[first:], start=first)}
        units += [
            Unit(item.sentence_id, places[item.stratum], item.cluster)
            for item in one.items.values()
            if item.sentence_id in kept
        ]
    return strata, units, withdrawn


def _sampled_strata(one: _Round, weight: float, number: int) -> list[Stratum]:
    clusters = {(item.stratum, item.cluster or item.sentence_id) for item in one.items.values()}
    drawn = Counter(stratum for stratum, _ in clusters)
    # The first item of a stratum is from the first draw of the round, whose frame is the frame of the round.
    first: dict[str, DrawItem] = {}
    for item in one.items.values():
        first.setdefault(item.stratum, item)
    if unread := sorted(one.strata - first.keys()):
        raise InputError(
            f"draw {one.first.id}: no sentence of stratum '{unread[0]}' has been reached yet, so nothing is known "
            f"about it. Label {counted(_distance(one, unread), 'more sentence')} of the draw; its order is random."
        )
    return [Stratum(name, max(_size(one, item, drawn[name]), drawn[name]), drawn[name], weight, number)
            for name, item in first.items()]  # fmt: skip


def _distance(one: _Round, strata: Collection[str]) -> int:
    """How many more sentences of a draw are to be labelled until each of these strata has one."""
    places = [(place if item.position is None else item.position, item) for place, item in enumerate(one.first.items)]
    order = [item.stratum for _, item in sorted(places, key=lambda pair: pair[0])]
    ends = [order.index(name) + 1 for name in strata if name in order]
    return max(max(ends, default=len(order)) - len(one.items), 1)


def _size(one: _Round, item: DrawItem, drawn: int) -> int:
    if item.stratum_size is not None:
        return item.stratum_size
    if one.kind == "random":
        return one.first.frame_size or drawn
    # Draws of earlier releases have no sizes; the probability is the share of the stratum that was drawn.
    own = sum(other.stratum == item.stratum for other in one.first.items)
    return round((own or drawn) / (item.inclusion_probability or 1.0))


def _misfit(store: Store, one: _Round, found: int) -> str:
    return (
        f"{store.name}: draw {one.first.id} was made from {one.first.frame_size} sentences, but the store now has "
        f"{found} sentences that could have been drawn. The draw was imported from another store, or made by an "
        "earlier release, and documents were added since. Name other draws with --draws, or draw a new sample with "
        f"`{command('label', '--strategy', 'audit', store=store.name)}`."
    )


def _incomplete(store: Store, one: _Round, found: int) -> str:
    """Sentences never leave the table of a store, so those of the frame that are not there were never added."""
    return (
        f"{store.name}: draw {one.first.id} was made from {one.first.frame_size} sentences, but the store has only "
        f"{found} of them. The draw was imported from another store; a file of annotations has the decided sentences "
        f"only. Add the documents first with `{command('ingest', 'FOLDER', store=store.name)}`, or use the store of "
        "the draw."
    )


def _rule(rounds: Sequence[_Round]) -> str:
    draws = counted(sum(len(one.draws) for one in rounds), "draw")
    if len(rounds) == 1:
        return f"{draws} of kind '{rounds[0].kind}', one sample"
    sizes = ", ".join(f"{one.kind} ({len(one.items)})" for one in rounds)
    return f"{draws} in {len(rounds)} rounds, averaged in proportion to the sentences drawn: {sizes}"
