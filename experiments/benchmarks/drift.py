"""The drift watch on simulated sentences: how often it alarms without a drift, and how soon it finds a doubled share.

    python experiments/benchmarks/drift.py [--runs 200] [--windows 10000]

Each run draws a new reference and a new stream from the same model. Documents have 1 to 60 sentences, 15 on average. A
label's share varies between documents, so that the sentences of a document resemble each other: `correlation` is the
intraclass correlation. There are four labels; certainty, unknown words and length vary in the same way. A drift doubles
the share of one label and changes nothing else.

The last table is a bound: the power of the most powerful unbiased test of both samples (Fisher's exact test with
randomisation; Tocher 1950, Biometrika 37) that knows which label may drift, and in which direction. It looks once,
after the last sentence. "later" spends the probability of a false alarm evenly on the 100 stretches of 2,000 sentences
in 10,000 windows, because it does not know when the drift begins. Correlated sentences count as fewer independent ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.calibration.calibration import Floats
from trainer.model.profile import DOCUMENT_WEIGHT, Family, Profile, Quantity, estimate_means
from trainer.serving.drift_evidence import ALPHA, HORIZON, RESTART, WINDOW, Bets, Evidence

Counts = NDArray[np.int64]

OTHERS = (0.1, 0.2, 0.3)
"""Shares of the labels that do not change."""
CERTAINTY, LENGTH, UNKNOWN = (0.35, 0.3, 0.15, 0.05, 0.05, 0.1), (0.25, 0.25, 0.25, 0.25), 0.08
LATE = 10 * RESTART - 5
"""The window after which a late drift begins: shortly before new bets begin, the worst moment."""
BUDGET = 2000
"""Sentences within which a drift should be found."""


@dataclass(frozen=True)
class Stream:
    """w windows: (w,) weights, (w, quantities) sums, (w,) numbers of sentences."""

    weights: Floats
    sums: Floats
    sentences: Counts

    def first(self, count: int) -> Stream:
        """The first windows."""
        return Stream(self.weights[:count], self.sums[:count], self.sentences[:count])


@dataclass(frozen=True)
class World:
    """The distribution of the sentences of documents.

    - `share`: share of the label that may drift
    - `correlation`: intraclass correlation of all quantities
    - `whole`: whether documents are sent as a whole, or each sentence in a request of its own
    """

    share: float
    correlation: float
    whole: bool = True

    def reference(self, sentences: int, rng: np.random.Generator) -> Profile:
        """The profile of a model with a validation part of this size."""
        sizes = self.sizes(sentences, rng)
        document = np.repeat(np.arange(len(sizes)), sizes)
        values = self._sums(document, np.ones(len(document), dtype=np.int64), rng)
        means, effective = estimate_means(values, document.astype(str).tolist())
        counts: dict[Family, int] = {"label": 4, "certainty": len(CERTAINTY), "unknown words": 1, "length": len(LENGTH)}
        families = [family for family, count in counts.items() for _ in range(count)]
        quantities = tuple(
            Quantity(family=family, name=str(number), mean=means[number], effective=effective[number])
            for number, family in enumerate(families)
        )
        return Profile(
            sentences=len(values), documents=len(sizes), lengths=(40, 80, 120), words="", quantities=quantities
        )

    def windows(self, count: int, rng: np.random.Generator) -> Stream:
        """The first `count` windows of a stream."""
        # Twice: a window ends with a document, and so has more than the minimum number of sentences.
        sizes = self.sizes(2 * WINDOW * count + 200, rng)
        if self.whole:
            document, starts = np.arange(len(sizes)), _window_starts(np.minimum(sizes, DOCUMENT_WEIGHT), count)
        else:
            # Single sentences fill windows exactly, so that windows cut documents.
            ends = np.unique(np.append(np.arange(1, count + 1) * WINDOW, sizes.cumsum()))
            ends = ends[ends <= count * WINDOW]
            document = np.searchsorted(sizes.cumsum(), ends)
            sizes = np.diff(ends, prepend=0)
            starts = np.searchsorted(ends, np.arange(count) * WINDOW, side="right")
            starts = np.append(starts, len(ends))
        weights = np.minimum(sizes, DOCUMENT_WEIGHT)
        used = slice(0, int(starts[-1]))
        sums = self._sums(document, sizes, rng) * (weights / sizes)[:, None]
        grouped = [np.add.reduceat(of[used], starts[:-1]) for of in (weights, sums, sizes)]
        return Stream(*grouped)

    @staticmethod
    def sizes(sentences: int, rng: np.random.Generator) -> Counts:
        """The numbers of sentences of documents that have at least this many together."""
        sizes = np.minimum(rng.geometric(1 / 15, 20 + sentences // 10), 60)
        return sizes[: int(np.searchsorted(sizes.cumsum(), sentences)) + 1]

    def _sums(self, document: Counts, sizes: Counts, rng: np.random.Generator) -> Floats:
        """(parts, quantities) sums over parts of documents: the numbers of the documents, and sizes of the parts."""
        scale = 1 / self.correlation - 1 if self.correlation else np.inf
        single = [self._binomial(share, scale, document, sizes, rng) for share in (self.share, *OTHERS)]
        unknown = self._binomial(UNKNOWN, scale, document, sizes, rng) / 2  # half of the words of such a sentence
        classes = [self._multinomial(shares, scale, document, sizes, rng) for shares in (CERTAINTY, LENGTH)]
        return np.column_stack([*single, classes[0], unknown, classes[1]]).astype(np.float64)

    @staticmethod
    def _binomial(share: float, scale: float, document: Counts, sizes: Counts, rng: np.random.Generator) -> Floats:
        if np.isinf(scale):
            return rng.binomial(sizes, share).astype(np.float64)
        own = rng.beta(share * scale, (1 - share) * scale, int(document[-1]) + 1)
        return rng.binomial(sizes, own[document]).astype(np.float64)

    @staticmethod
    def _multinomial(
        shares: Sequence[float], scale: float, document: Counts, sizes: Counts, rng: np.random.Generator
    ) -> Counts:
        if np.isinf(scale):
            return rng.multinomial(sizes, shares)
        own = rng.dirichlet(np.array(shares) * scale, int(document[-1]) + 1)
        return rng.multinomial(sizes, own[document])


def _window_starts(weights: Counts, count: int) -> Counts:
    """The first document of each of `count` windows, and the end of the last window."""
    starts, weight = [0], 0
    for number, own in enumerate(weights.tolist()):
        weight += own
        if weight >= WINDOW:
            starts.append(number + 1)
            weight = 0
    assert len(starts) > count
    return np.array(starts[: count + 1])


def alarms(bets: Bets, *streams: Stream) -> list[bool]:
    """Whether the watch has alarmed after each of several streams that follow one another."""
    state, found = Evidence.start(len(bets.names)), []
    for stream in streams:
        bets.settle(state, stream.weights, stream.sums, int(stream.sentences.sum()))
        found.append(bool(state.alarmed))
    return found


def false_alarms(world: World, reference: int, windows: int, runs: int, seed: int = 13) -> float:
    """The share of runs without a drift that alarm within a number of windows."""
    count = 0
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        bets = Bets(world.reference(reference, rng))
        count += alarms(bets, world.windows(windows, rng))[-1]
    return count / runs


def detections(world: World, reference: int, before: int, runs: int, seed: int = 17) -> float:
    """The share of runs in which a doubled share is found within `BUDGET` sentences.

    Args:
        before: number of windows before the drift begins.
    """
    count = 0
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        bets = Bets(world.reference(reference, rng))
        quiet = world.windows(before, rng)
        drifted = replace(world, share=2 * world.share).windows(BUDGET // WINDOW, rng)
        within = int(np.searchsorted(drifted.sentences.cumsum(), BUDGET, side="right"))
        early, found = alarms(bets, quiet, drifted.first(within))
        count += found and not early
    return count / runs


def bound(world: World, reference: int, level: float, draws: int = 4000) -> float:
    """The highest share of runs in which any unbiased test of a level can find a doubled share within `BUDGET`.

    Args:
        level: the probability of a false alarm.
    """
    from scipy.stats import hypergeom

    rng = np.random.default_rng(19)
    sizes = world.sizes(100_000, rng).astype(float)
    weight = 1 + world.correlation * ((sizes**2).sum() / sizes.sum() - 1)
    known, new = round(reference / weight), round(BUDGET / weight)
    before, after = rng.binomial(known, world.share, draws), rng.binomial(new, 2 * world.share, draws)
    null = hypergeom(known + new, before + after, new)
    above, equal = null.sf(after), null.pmf(after)
    return float(np.clip((level - above) / equal, 0, 1).mean())


def main() -> None:
    """Print the shares of false alarms, then the shares of drifts that were found, then the bounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--windows", type=int, default=10_000)
    options = parser.parse_args()
    print(f"False alarms in {options.windows:,} windows without a drift ({options.runs} runs)")
    print("reference  correlation  sent as           alarms")
    for reference in (500, 2000):
        for correlation, whole in ((0.0, True), (0.1, True), (0.1, False), (0.3, True), (0.3, False)):
            share = false_alarms(World(0.05, correlation, whole), reference, options.windows, options.runs)
            sent = "documents" if whole else "single sentences"
            print(f"{reference:9,}  {correlation:11}  {sent:16}  {share:6.1%}", flush=True)
    print(f"\nDoubled share of one label found within {BUDGET:,} sentences ({options.runs} runs)")
    sizes = (1000, 2000, 5000, 20_000)
    print("begins       correlation  share  " + "".join(f"{size:>8,}" for size in sizes) + "  (size of the reference)")
    for before, name in ((0, "at the start"), (LATE, f"window {LATE}")):
        for correlation in (0.0, 0.1):
            for share in (0.02, 0.05, 0.1, 0.2):
                world = World(share, correlation)
                found = "".join(f"{detections(world, size, before, options.runs):8.0%}" for size in sizes)
                print(f"{name:12} {correlation:11}  {share:5.0%}  {found}", flush=True)
    print(f"\nHighest possible share for a test that knows the label, at {ALPHA:.0%} false alarms")
    for level, name in ((ALPHA, "at the start"), (ALPHA * BUDGET / (HORIZON * WINDOW), "later")):
        for correlation in (0.0, 0.1):
            for share in (0.02, 0.05, 0.1, 0.2):
                found = "".join(f"{bound(World(share, correlation), size, level):8.0%}" for size in sizes)
                print(f"{name:12} {correlation:11}  {share:5.0%}  {found}", flush=True)


if __name__ == "__main__":
    main()
