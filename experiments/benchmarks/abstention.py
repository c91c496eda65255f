"""Do the guarantees of `communique calibrate --max-error` and `--recall` hold?

    python experiments/benchmarks/abstention.py FOLDER --out experiments/results/abstention.md

FOLDER has `india_police_events.jsonl`, whose full gold is known (see `estimates.py`, which also makes the predictions).
The corpus is the population: documents are drawn from it with replacement, a rule is certified on them, and its error
is computed on all documents. The guarantee is that this error exceeds the limit in at most 5% of the samples. As a user
would check it, the corpus is also split in halves by document; the error on the other half has its own chance, so it
exceeds the limit more often.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from estimates import Gold, read_corpus

from labels.errors import InputError
from trainer.calibration.abstention import ErrorKind, Evidence, certify_abstention, certify_screening
from trainer.calibration.calibration import Bools, Calibration, LabelCalibration
from trainer.calibration.risk import Risk
from trainer.estimate.estimators import Floats, Ints

DELTA = 0.05
RULES: tuple[tuple[str, ErrorKind | None, float], ...] = (
    ("false-alarms", "false-alarms", 0.3),
    ("false-alarms", "false-alarms", 0.2),
    ("misses", "misses", 0.2),
    ("misses", "misses", 0.1),
    ("answered", "answered", 0.02),
    ("recall 0.9", None, 0.1),
)


@dataclass
class Outcome:
    """What happened over the samples: certified, violated on the population, violated on the other half, and shares."""

    certified: int = 0
    violated: int = 0
    violated_half: int = 0
    halves: int = 0
    abstained: list[float] = field(default_factory=list)
    hindsight: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    why: Counter[str] = field(default_factory=Counter)


def evidence(corpus: Gold, i: int, rows: Ints, documents: Ints) -> Evidence:
    """One label of some sentences."""
    gold, probabilities = corpus.gold[rows, i : i + 1].astype(bool), corpus.probabilities[rows, i : i + 1]
    return Evidence(probabilities, gold, documents, np.ones(len(rows)), (corpus.labels[i],))


def threshold_of(corpus: Gold, i: int) -> float:
    """The threshold of the models, which the assigned labels show."""
    assigned = corpus.assigned[:, i].astype(bool)
    return float(corpus.probabilities[assigned, i].min()) if assigned.any() else 0.5


def error_of(found: Evidence, kind: ErrorKind | None, low: float, high: float) -> float:
    """The error of a rule, as a share of documents; nan if no document is concerned."""
    p, gold = found.probabilities[:, 0], found.gold[:, 0]
    both: dict[ErrorKind | None, tuple[Bools, Bools]] = {
        "false-alarms": (p >= high, ~gold),
        "misses": (gold, p < low),
        "answered": ((p >= high) | (p < low), (p >= high) != gold),
        None: (gold, p < low),
    }
    concerned, wrong = both[kind]
    count = np.bincount(found.groups[concerned], minlength=1)
    bad = np.bincount(found.groups[concerned & wrong], minlength=len(count))[: len(count)]
    shares: Floats = bad[count > 0] / count[count > 0]
    return float(shares.mean()) if len(shares) else float("nan")


def rule_on(found: Evidence, kind: ErrorKind | None, limit: float, threshold: float, seed: int) -> tuple[float, ...]:
    """Low, high, share abstained (or to read), and the same in hindsight (nan for screening)."""
    risk = Risk(limit, 1 - DELTA, seed)
    if kind is None:
        own = certify_screening(found, risk, list(found.names), joint=False).labels[found.names[0]]
        return own.threshold, 1.0, own.read, float("nan")
    calibration = Calibration(False, (LabelCalibration("none", 1, 1, threshold=threshold),))
    limits = certify_abstention(found, calibration, kind, risk, list(found.names), joint=False).labels[found.names[0]]
    return limits.low, limits.high, limits.abstained, limits.hindsight


def measure(corpus: Gold, i: int, kind: ErrorKind | None, limit: float, times: int) -> Outcome:
    """Certify a rule on samples of documents, and count how often its error is above the limit."""
    n, generator, outcome = int(corpus.documents.max()) + 1, np.random.default_rng(i), Outcome()
    by_document = np.split(np.argsort(corpus.documents, kind="stable"), np.cumsum(np.bincount(corpus.documents))[:-1])
    everything = evidence(corpus, i, np.arange(len(corpus.gold)), corpus.documents)
    threshold = threshold_of(corpus, i)
    for number in range(times):
        chosen = generator.integers(n, size=n)
        rows = np.concatenate([by_document[one] for one in chosen])
        documents = np.repeat(np.arange(n), [len(by_document[one]) for one in chosen])
        try:
            low, high, abstained, hindsight = rule_on(
                evidence(corpus, i, rows, documents), kind, limit, threshold, number
            )
        except InputError as error:
            outcome.why["few" if "at least" in str(error) else "error"] += 1
        else:
            found = error_of(everything, kind, low, high)
            outcome.certified += 1
            outcome.violated += found > limit
            outcome.errors.append(found)
            outcome.abstained.append(abstained)
            outcome.hindsight.append(hindsight)
        half = np.isin(corpus.documents, generator.permutation(n)[: n // 2])
        try:
            rows = np.flatnonzero(half)
            low, high, *_ = rule_on(evidence(corpus, i, rows, corpus.documents[rows]), kind, limit, threshold, number)
        except InputError:
            continue
        others = np.flatnonzero(~half)
        outcome.halves += 1
        outcome.violated_half += (
            error_of(evidence(corpus, i, others, corpus.documents[others]), kind, low, high) > limit
        )
    return outcome


def row(label: str, name: str, limit: float, times: int, found: Outcome) -> str:
    """One row of the table."""
    if not found.certified:
        why = "too few documents" if found.why["few"] else "the model errs too often"
        return f"| {label} | {name} | {limit:g} | 0% ({why}) | | | | | |"
    halves = f"{found.violated_half / found.halves:.1%} of {found.halves}" if found.halves else "–"
    hindsight = float(np.mean(found.hindsight))
    cells = [label, name, f"{limit:g}", f"{found.certified / times:.0%}", f"{found.violated / found.certified:.1%}",
             f"{np.mean(found.errors):.3f}", f"{np.mean(found.abstained):.2%}",
             "–" if np.isnan(hindsight) else f"{hindsight:.2%}", halves]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run the samples and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--cache", type=Path, default=Path("estimates_predictions.npz"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/abstention.md"))
    options = parser.parse_args()
    corpus = read_corpus(options.folder, options.cache)
    head = ["label", "rule", "limit", "certified", "above the limit", "mean error", "abstained, or to read"]
    head += ["best in hindsight", "above it on the other half"]
    lines = [
        "# Abstention and screening: do the guarantees hold?",
        "",
        f"`python experiments/benchmarks/abstention.py FOLDER --times {options.times}`: {options.times} samples of "
        "1,257 documents with replacement per row, confidence 95%. `above the limit` is the share of certified rules "
        "whose error on the whole population exceeds the limit; at most 5% is guaranteed. `above it on the other half` "
        "is the share among splits in halves by document, where the error on the other half is itself an estimate from "
        f"few documents. With {options.times} samples, a share near 5% has a standard error of "
        f"{100 * (0.05 * 0.95 / options.times) ** 0.5:.1f} points.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
    ]
    for i, label in enumerate(corpus.labels):
        for name, kind, limit in RULES:
            lines.append(row(label, name, limit, options.times, measure(corpus, i, kind, limit, options.times)))
            print(lines[-1], flush=True)
            options.out.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
