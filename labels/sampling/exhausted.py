"""Why nothing is left to draw, and which command continues.

`explain` reports on a draw that found no sentence; `following` is the command after a session. Both return commands
that hand out sentences when they are run now, or that add text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from labels.environment.settings import command
from labels.errors import counted
from labels.sampling.drawing import DrawRequest, search_terms
from labels.store import Held, OpenDraw, Store


@dataclass(frozen=True)
class Exhausted:
    """The cause in one or two sentences, who holds sentences of this kind, and the command that continues."""

    reason: str
    held: tuple[Held, ...]
    following: str


def explain(store: Store, annotator: str, request: DrawRequest, codebook: str = "") -> Exhausted:
    """Explain why a draw found no sentence.

    Args:
        codebook: the value of `--codebook` for the commands.
    """
    paths = _Paths(store, annotator, codebook, request.coders)
    explained = {
        "search": _no_match,
        "overlap": _no_overlap,
        "also-by": _share_reached,
        "skipped": _no_skips,
        "retest": _no_retest,
        "relabel": _no_queue,
        "disputed-by": _no_dispute,
    }.get(request.strategy)
    if explained is not None:
        return explained(paths, request)
    if request.model_id and request.strategy != "audit" and (missing := store.scores.count_unscored(request.model_id)):
        without = counted(missing, "sentence has", "sentences have")
        reason = f"Every sentence with a score is decided or held; {without} no score."
        return Exhausted(reason, paths.held(), command("score", "ARTEFACT", store=store.name))
    return paths.nothing_free()


def following(store: Store, annotator: str, codebook: str = "", *, coders: int = 2) -> str:
    """The command by which the annotator goes on after a finished draw."""
    return _Paths(store, annotator, codebook, coders).onward()


def continuing(store: Store, codebook: str = "") -> list[tuple[OpenDraw, str]]:
    """All open draws, each with the command by which its annotator goes on."""
    return [(one, _Paths(store, one.annotator, codebook, 0).resume(one)) for one in store.open_draws.all()]


def drafted(store: Store, codebook: str = "") -> list[tuple[str, int, str]]:
    """Annotators with unconfirmed labels or notes, for how many sentences, and the command that shows them."""
    shared = set(store.events.shared_sentences())
    return [
        (annotator, number, following)
        for annotator, ids in store.waiting.drafts().items()
        for following, number in Counter(_Paths(store, annotator, codebook, 0).to_drafts(ids, shared)).items()
    ]


class _Paths:
    """The commands that continue for one annotator."""

    def __init__(self, store: Store, annotator: str, codebook: str, coders: int) -> None:
        self.store, self.annotator, self._coders = store, annotator, coders
        self._options = {"store": store.name, "codebook": codebook}
        self.label = partial(command, "label", "--annotator", annotator, **self._options)

    def held(self) -> tuple[Held, ...]:
        """Who holds sentences that nobody has decided on, the annotator included."""
        return tuple(self.store.draws.holders())

    def nothing_free(self) -> Exhausted:
        """No sentence without a decision is free."""
        held = self.held()
        if held:
            return Exhausted("Every sentence is decided or held in an open draw.", held, self.onward())
        if not self.store.counts.labellable():
            return Exhausted("The store has no sentences.", (), self.onward())
        if self.store.waiting.skipped(self.annotator):
            return Exhausted("Only skipped sentences are left.", (), self.onward())
        return Exhausted("Every sentence has a decision.", (), self.onward())

    def onward(self) -> str:
        """The command that hands out sentences now, or that adds text."""
        if self.store.unseen.frame().size:
            return self.label()
        held = self.held()
        if own := self.store.open_draws.all(self.annotator):
            return self.resume(own[0])
        if self.store.waiting.skipped(self.annotator):
            return self.label("--strategy", "skipped")
        if self.store.draws.overlap_candidates(self.annotator, coders=self._coders):
            return self.label("--strategy", "overlap")
        if held:
            return self.label("--release-from", held[0].annotator)
        if other := self._double_coded():
            return self.label("--also-by", other)
        return command("ingest", "PATH", store=self.store.name)

    def resume(self, own: OpenDraw) -> str:
        """The command that goes on with an open draw."""
        words = [] if own.strategy == "random" else ["--strategy", own.option]
        return self.label(*words, *(["--model", own.model_id] if own.model_id else []))

    def to_drafts(self, ids: Iterable[str], shared: Collection[str]) -> Iterator[str]:
        """For each sentence with a draft, the command that shows it: a draw, one's decisions, or the disputes."""
        own, decided = self.store.open_draws.all(self.annotator), self.store.draws.seen_by(self.annotator)
        adjudicate = command("adjudicate", "--annotator", self.annotator, **self._options)
        for identifier in ids:
            drawn = next((one for one in own if identifier in one.pending), None)
            if drawn is not None:
                yield self.resume(drawn)
            elif identifier in decided:
                yield self.label("--review")
            else:
                yield adjudicate if identifier in shared else self.label()

    def _double_coded(self) -> str:
        """Another annotator with decisions on sentences that this annotator has not seen."""
        seen = self.store.draws.seen_by(self.annotator)
        others = (name for name in self.store.events.annotators() if name != self.annotator)
        return next((name for name in others if set(self.store.draws.decided_by(name)) - seen), "")


def _no_match(paths: _Paths, request: DrawRequest) -> Exhausted:
    words, store = search_terms(request.query), paths.store
    matching = set(store.unseen.matching(words, None))
    if not matching:
        return Exhausted("No sentence contains these words.", (), paths.onward())
    held = tuple(store.draws.holders(matching))
    if not held:
        return Exhausted("Every sentence with these words has a decision.", (), paths.onward())
    reason = "Every sentence with these words is decided or held in an open draw."
    if own := next((one for one in paths.store.open_draws.all(paths.annotator) if one.pending & matching), None):
        return Exhausted(reason, held, paths.resume(own))
    return Exhausted(reason, held, paths.label("--release-from", held[0].annotator))


def _no_overlap(paths: _Paths, _: DrawRequest) -> Exhausted:
    return Exhausted("No sentence is waiting for another coder.", (), paths.onward())


def _share_reached(paths: _Paths, request: DrawRequest) -> Exhausted:
    other = request.query
    decided = paths.store.draws.decided_by(other)
    both = len(paths.store.draws.seen_by(paths.annotator).intersection(decided))
    if request.share is not None and not round(request.share * len(decided)):
        of_them = f"the {counted(len(decided), 'sentence')} that {other} decided"
        reason = f"--share {request.share:g} of {of_them} is less than one sentence."
        return Exhausted(reason, (), paths.label("--also-by", other))
    reason = f"You have already decided {both} of the {counted(len(decided), 'sentence')} that {other} decided."
    return Exhausted(reason, (), paths.onward() if both == len(decided) else paths.label("--also-by", other))


def _no_skips(paths: _Paths, _: DrawRequest) -> Exhausted:
    left = paths.store.waiting.skipped()
    if not left:
        return Exhausted("No skipped sentences are waiting.", (), paths.onward())
    held = tuple(one for one in paths.store.draws.holders(left, decided=True) if one.annotator != paths.annotator)
    reason = "The skipped sentences are held, or you skipped them twice and they are waiting for others."
    return Exhausted(reason, held, paths.label("--release-from", held[0].annotator) if held else paths.onward())


def _no_retest(paths: _Paths, request: DrawRequest) -> Exhausted:
    if paths.store.draws.own_decisions(paths.annotator, before="9999"):
        hours = request.retest_after / timedelta(hours=1)
        reason = f"None of your decisions on randomly drawn sentences is older than {hours:g} hours."
        return Exhausted(reason, (), paths.label("--retest", "--retest-after", "0"))
    return Exhausted("You have no decisions on randomly drawn sentences yet.", (), paths.onward())


def _no_dispute(paths: _Paths, request: DrawRequest) -> Exhausted:
    reason = f"You have decided on every sentence to which {request.query} and a person gave different labels."
    return Exhausted(reason, (), paths.onward())


def _no_queue(paths: _Paths, _: DrawRequest) -> Exhausted:
    left = [entry.sentence_id for entry in paths.store.relabelling.waiting()]
    if not left:
        reason = "No sentence is waiting to be labelled again; `doubts --queue` and `codebook migrate` queue sentences."
        return Exhausted(reason, (), paths.onward())
    held = tuple(one for one in paths.store.draws.holders(left, decided=True) if one.annotator != paths.annotator)
    reason = "The waiting sentences are held, or you have answered them and they are waiting for others."
    return Exhausted(reason, held, paths.label("--release-from", held[0].annotator) if held else paths.onward())
