"""Do the intervals of `communique estimate` hold? Resampled audits of a corpus whose full gold is known.

    python experiments/benchmarks/estimates.py FOLDER --out experiments/results/estimates.md

FOLDER has `india_police_events.jsonl` (21,391 sentences of 1,257 dated documents, 5 labels). Every sentence is
predicted by a model that was trained on other documents. Then audits are drawn again and again, and the whole procedure
runs on each, including its rule for changing method: how often does the interval contain the share in the corpus, by
label and week? Bad models are made from the good one: its predictions for other sentences (random), 1 minus its
probabilities (inverted), and those of another label (shifted). The process behind the corpus is tested by drawing
documents with replacement before each audit.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from labels.sampling.allocation import audit_shares
from labels.sampling.drawing import AUDIT_EDGES
from trainer.estimate.arrays import Items
from trainer.estimate.coverage import RARE, score_interval
from trainer.estimate.estimators import Bools, Corpus, Floats, Ints, Sample, sums_by
from trainer.estimate.plans import FIRST_LOOK, allocation, plan_sample, strata_of
from trainer.estimate.shares import Documents, estimate_shares

SIZES = (200, 500, 1000)
DESIGNS = {"simple": "simple random sample", "audit": "strata by largest probability"}
MODELS = ("good", "random", "inverted", "shifted")
METHODS = ("ppi", "sample", "adjusted", "counted")
FOLDS = 3


@dataclass(frozen=True)
class Gold:
    """The corpus: gold (N, L), membership in weeks and the whole (N, G), documents (N,), and predictions (N, L)."""

    labels: tuple[str, ...]
    domains: tuple[str, ...]
    gold: Floats
    member: Bools
    documents: Ints
    probabilities: Floats
    assigned: Floats

    @property
    def truth(self) -> Floats:
        """The shares in each domain, of shape (G, L)."""
        member = self.member.astype(float)
        return np.asarray((member.T @ self.gold) / member.sum(axis=0)[:, None])

    def with_model(self, name: str) -> Gold:
        """Return the corpus with the predictions of another model."""
        order = np.random.default_rng(1).permutation(len(self.gold))
        made = {
            "good": (self.probabilities, self.assigned),
            "random": (self.probabilities[order], self.assigned[order]),
            "inverted": (1 - self.probabilities, 1 - self.assigned),
            "shifted": (np.roll(self.probabilities, 1, axis=1), np.roll(self.assigned, 1, axis=1)),
        }[name]
        return Gold(self.labels, self.domains, self.gold, self.member, self.documents, *made)

    def rows(self, places: Ints) -> Gold:
        """Return some of the sentences, which may be repeated."""
        parts = (self.gold[places], self.member[places], self.documents[places])
        return Gold(self.labels, self.domains, *parts, self.probabilities[places], self.assigned[places])

    def corpus(self) -> Corpus:
        """Return the sums of the predictions."""
        member = self.member.T.astype(float)
        return Corpus(member.sum(axis=1), member @ self.probabilities, member @ self.assigned)


def read_corpus(folder: Path, cache: Path) -> Gold:
    """Read the corpus and predict it, document by document, with models trained on other documents."""
    text = (folder / "india_police_events.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.split("\n") if line]
    labels = tuple(sorted({label for row in rows for label in row["labels"]}))
    gold = np.array([[label in row["labels"] for label in labels] for row in rows], dtype=float)
    names, documents = np.unique([row["document_id"] for row in rows], return_inverse=True)
    week_of = ["-W".join(map(str, date.fromisoformat(row["date"]).isocalendar()[:2])) for row in rows]
    weeks = sorted(set(week_of))
    member = np.array([[own == week for week in weeks] + [True] for own in week_of])
    if not cache.exists():
        fold = np.random.default_rng(3).permutation(len(names)) % FOLDS
        np.savez(cache, *predict_folds([row["text"] for row in rows], labels, gold, documents, fold[documents]))
    found = np.load(cache)
    return Gold(labels, (*weeks, "all"), gold, member, documents, found["arr_0"], found["arr_1"])


def predict_folds(texts: list[str], labels: tuple[str, ...], gold: Floats, groups: Ints, fold: Ints) -> list[Floats]:
    """Return probabilities and assigned labels of each sentence, by models fitted to the other folds."""
    from communique import Classifier

    probabilities, assigned = np.zeros(gold.shape), np.zeros(gold.shape)
    sets = [[label for label, own in zip(labels, row, strict=True) if own] for row in gold]
    for number in range(FOLDS):
        kept, left = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        model = Classifier("tfidf").fit([texts[i] for i in kept], [sets[i] for i in kept], groups=groups[kept])
        order = [list(model.classes_).index(label) for label in labels]
        found = model.predict_proba([texts[i] for i in left])
        probabilities[left], assigned[left] = found[:, order], model.model_.decide(found)[:, order]
    return [probabilities, assigned]


# -- audits


def bands_of(corpus: Gold, design: str) -> Ints:
    """Return the stratum of each sentence, numbered without gaps."""
    if design == "simple":
        return np.zeros(len(corpus.gold), dtype=int)
    return np.unique(np.digitize(corpus.probabilities.max(axis=1), AUDIT_EDGES[1:-1]), return_inverse=True)[1]


def audits(corpus: Gold, design: str, size: int, generator: np.random.Generator) -> Iterator[tuple[Ints, Sample]]:
    """Yield the sentences of audits, and the audits, without end."""
    stratum = bands_of(corpus, design)
    yield from sampled(corpus, stratum, np.array(audit_shares(np.bincount(stratum).tolist(), size)), generator)


def sampled(corpus: Gold, stratum: Ints, drawn: Ints, generator: np.random.Generator) -> Iterator[tuple[Ints, Sample]]:
    """Yield audits with these numbers of sentences from each stratum, without end."""
    within = [np.flatnonzero(stratum == number) for number in range(stratum.max() + 1)]
    sizes = np.array([len(own) for own in within])
    while True:
        chosen = [generator.choice(own, n, replace=False) for own, n in zip(within, drawn, strict=True)]
        places = np.concatenate(chosen)
        own = stratum[places]
        yield (
            places,
            Sample(
                corpus.gold[places],
                corpus.probabilities[places],
                corpus.assigned[places],
                corpus.member[places],
                np.ones(len(places)),
                np.arange(len(places)),
                (sizes / drawn)[own],
                own,
                drawn.astype(float),
                drawn / sizes,
            ),
        )


@dataclass(frozen=True)
class Outcome:
    """Results of many audits: by method, coverage, mean width and bias, each of shape (G, L), and mean positives."""

    coverage: dict[str, Floats]
    width: dict[str, Floats]
    bias: dict[str, Floats]
    ratio: Floats
    positives: Floats
    seconds: float


def resample(corpus: Gold, design: str, size: int, times: int, seed: int) -> Outcome:
    """Draw audits and compare the intervals with the truth."""
    truth, sums = corpus.truth, corpus.corpus()
    share = sums.counts / sums.sizes[:, None]
    naive = score_interval(share, np.broadcast_to(sums.sizes[:, None], share.shape), np.array(1.96))
    tally = {method: np.zeros((4, *truth.shape)) for method in METHODS}
    ratios, positives = np.zeros(truth.shape), np.zeros(truth.shape)
    draws, began = audits(corpus, design, size, np.random.default_rng(seed)), time.perf_counter()
    for number in range(times):
        _, sample = next(draws)
        found, _ = estimate_shares(sums, sample, seed=number)
        shown = {name: found[name] for name in ("ppi", "sample", "adjusted")}
        figures = {name: (one.low, one.high, one.share) for name, one in shown.items()}
        figures["counted"] = (*naive, share)
        for method, (low, high, value) in figures.items():
            known = ~np.isnan(low)
            covered = known & (low <= truth + 1e-12) & (truth <= high + 1e-12)
            tally[method] += np.stack([covered, np.nan_to_num(high - low), np.nan_to_num(value - truth), known])
        ratios += (found["ppi"].high - found["ppi"].low) / (found["sample"].high - found["sample"].low)
        positives += sample.member.T.astype(float) @ sample.gold
    defined = {method: np.maximum(each[3], 1) for method, each in tally.items()}
    made = {name: (each[0] / times, each[1] / defined[name], each[2] / defined[name]) for name, each in tally.items()}
    coverage, width, bias = ({name: own[i] for name, own in made.items()} for i in range(3))
    return Outcome(coverage, width, bias, ratios / times, positives / times, time.perf_counter() - began)


def resample_documents(corpus: Gold, size: int, times: int, seed: int) -> Floats:
    """Return the coverage of the overall shares of the process, of shape (L,): documents are drawn with replacement."""
    truth, generator = corpus.truth[-1], np.random.default_rng(seed)
    n = int(corpus.documents.max()) + 1
    by_document = np.split(np.argsort(corpus.documents, kind="stable"), np.cumsum(np.bincount(corpus.documents))[:-1])
    covered = np.zeros(len(truth))
    for number in range(times):
        chosen = generator.integers(n, size=n)
        drawn = corpus.rows(np.concatenate([by_document[one] for one in chosen]))
        documents = np.repeat(np.arange(n), [len(by_document[one]) for one in chosen])
        places, sample = next(audits(drawn, "simple", size, generator))
        whole = np.ones((len(drawn.gold), 1), dtype=bool)
        sample = Sample(*(whole[:size] if name == "member" else value for name, value in vars(sample).items()))
        sums = Corpus(*(one[-1:] for one in vars(drawn.corpus()).values()))
        parts = Documents(
            np.arange(n),
            np.zeros(n, dtype=int),
            np.bincount(documents, minlength=n).astype(float),
            sums_by(drawn.probabilities, documents, n),
            sums_by(drawn.assigned, documents, n),
            documents[places],
            np.ones((1, 1), dtype=bool),
        )
        found = estimate_shares(sums, sample, parts, seed=number)[0]["ppi"]
        covered += (found.low[0] <= truth) & (truth <= found.high[0])
    return np.asarray(covered / times)


def stopped(corpus: Gold, width: float, times: int, seed: int) -> tuple[Floats, float]:
    """Label until the interval of the first label is at most `width` wide, looking every 50 sentences from 100 on.

    Returns the coverage of the last interval of each label, of shape (L,), and the mean number of sentences.
    """
    truth, sums, generator = corpus.truth, corpus.corpus(), np.random.default_rng(seed)
    covered, used, n = np.zeros(truth.shape[1]), 0, len(corpus.gold)
    for number in range(times):
        order = generator.choice(n, 3000, replace=False)
        for seen in range(FIRST_LOOK, 3001, 50):
            places = order[:seen]
            own = (corpus.gold[places], corpus.probabilities[places], corpus.assigned[places], corpus.member[places])
            units = (np.ones(seen), np.arange(seen), np.full(seen, n / seen), np.zeros(seen, dtype=int))
            sample = Sample(*own, *units, np.array([float(seen)]), np.array([seen / n]))
            found = estimate_shares(sums, sample, seed=number)[0]["ppi"]
            if found.high[-1, 0] - found.low[-1, 0] <= width:
                break
        covered += (found.low[-1] <= truth[-1]) & (truth[-1] <= found.high[-1])
        used += seen
    return np.asarray(covered / times), used / times


def planned(corpus: Gold, width: float, times: int, seed: int) -> tuple[int, float, float]:
    """Plan for the first label without a pilot: the size, how often it reaches the width, and how often 80% of it."""
    codes = corpus.member[:, :-1].argmax(axis=1)
    items = Items(corpus.probabilities, corpus.assigned.astype(bool), np.ones(len(codes)), codes, corpus.documents)
    weeks = corpus.member.shape[1] - 1
    domains = np.vstack([np.eye(weeks, dtype=bool), np.ones((1, weeks), dtype=bool)])
    plan = plan_sample(items, domains, width, labels=[0], wanted=[weeks], seed=seed)
    stratum, sums, met = strata_of(corpus.probabilities)[0], corpus.corpus(), []
    for share in (1.0, 0.8):
        drawn = allocation(round(share * plan.size), stratum, corpus.probabilities, corpus.probabilities, [0])
        draws, hits = sampled(corpus, stratum, drawn, np.random.default_rng(seed)), 0
        for number in range(times):
            found = estimate_shares(sums, next(draws)[1], seed=number)[0]["ppi"]
            hits += bool(found.high[-1, 0] - found.low[-1, 0] <= width)
        met.append(hits / times)
    return plan.size, met[0], met[1]


# -- report


def judged(outcome: Outcome) -> tuple[int, int, float, float]:
    """Cells with 10 or more expected positives, those within 93 to 97%, their least, and the least elsewhere."""
    coverage, many = outcome.coverage["ppi"], outcome.positives >= RARE
    within = many & (coverage >= 0.93) & (coverage <= 0.97)
    least = [float(coverage[own].min()) if own.any() else float("nan") for own in (many, ~many)]
    return int(many.sum()), int(within.sum()), least[0], least[1]


def summary_rows(model: str, design: str, size: int, outcome: Outcome) -> list[str]:
    """One row of the main table."""
    many, within, least, elsewhere = judged(outcome)
    means = [f"{outcome.coverage[name].mean():.1%}" for name in METHODS]
    cells = [model, design, str(size), str(many), str(within), f"{least:.1%}", f"{elsewhere:.1%}", *means]
    return ["| " + " | ".join([*cells, f"{outcome.ratio.max():.3f}"]) + " |"]


def label_rows(corpus: Gold, design: str, size: int, outcome: Outcome) -> list[str]:
    """Rows by label: overall coverage, the range over weeks, and widths."""
    rows = []
    for i, label in enumerate(corpus.labels):
        weeks = outcome.coverage["ppi"][:-1, i]
        figures = [f"{outcome.positives[-1, i]:.1f}", f"{outcome.coverage['ppi'][-1, i]:.1%}",
                   f"{weeks.min():.1%} to {weeks.max():.1%}", f"{outcome.width['ppi'][-1, i]:.2%}",
                   f"{outcome.width['sample'][-1, i]:.2%}", f"{outcome.coverage['adjusted'][-1, i]:.1%}",
                   f"{outcome.coverage['adjusted'][:-1, i].min():.1%}",
                   f"{100 * outcome.bias['counted'][-1, i]:+.2f}"]  # fmt: skip
        rows.append("| " + " | ".join([label, design, str(size), *figures]) + " |")
    return rows


def plot(outcomes: dict[tuple[str, str, int], Outcome], path: Path) -> None:
    """Coverage of every cell against its expected positives, by model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, model in zip(figure.subplots(2, 2, sharex=True, sharey=True).ravel(), MODELS, strict=True):
        axis.axhspan(0.93, 0.97, color="#dfe9f5")
        axis.axvline(RARE, color="#c4c9cf", linewidth=1)
        for method, colour in (("adjusted", "#d98b5f"), ("ppi", "#1f5fa8")):
            own = [one for (name, _, _), one in outcomes.items() if name == model]
            if not own:
                continue
            x = np.concatenate([one.positives.ravel() for one in own])
            y = np.concatenate([one.coverage[method].ravel() for one in own])
            name = "published (PPI++ or sample alone)" if method == "ppi" else "adjusted counts"
            axis.scatter(x, y, s=9, color=colour, alpha=0.7, linewidths=0, label=name)
        axis.set_xscale("log")
        axis.set_ylim(0.4, 1.01)
        axis.set_title(f"{model} model", fontsize=9, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(loc="lower left", fontsize=8, frameon=False)
    figure.supxlabel("expected positives in the sample", fontsize=9)
    figure.supylabel("coverage of nominal 95%", fontsize=9)
    figure.savefig(path, dpi=120)


def report(
    corpus: Gold, outcomes: dict[tuple[str, str, int], Outcome], process: dict[int, Floats], how: str, more: list[str]
) -> str:
    """Return the page with the tables."""
    head = ["model", "design", "labels", "cells of 10+", "within 93-97%", "least", "least elsewhere", *METHODS]
    head.append("width (a)")
    main = [row for (model, design, size), own in outcomes.items() for row in summary_rows(model, design, size, own)]
    good = {key[1:]: own for key, own in outcomes.items() if key[0] == "good"}
    by_label = [row for (design, size), own in good.items() for row in label_rows(corpus, design, size, own)]
    heading = [
        "label",
        "design",
        "labels",
        "positives",
        "coverage",
        "weeks",
        "width",
        "width, sample alone",
        "adjusted",
    ]
    heading += ["adjusted, worst week", "bias of counting (points)"]
    simple, audit = (good[design, SIZES[-1]].width for design in DESIGNS)
    widths = []
    for i, label in enumerate(corpus.labels):
        rho = np.corrcoef(corpus.probabilities[:, i], corpus.gold[:, i])[0, 1]
        ratios = (own["ppi"][-1, i] / simple["sample"][-1, i] for own in (simple, audit))
        widths.append("| " + " | ".join([label, *(f"{one:.3f}" for one in (*ratios, np.sqrt(1 - rho**2)))]) + " |")
    processes = [f"| {size} | " + " | ".join(f"{one:.1%}" for one in own) + " |" for size, own in process.items()]
    return "\n".join(
        [
            "# Coverage of estimated shares",
            "",
            how,
            "",
            "A cell is the share of a label in a week or overall. `least` is the smallest coverage of the published "
            "interval among cells with 10 or more expected positives, `least elsewhere` among the others. The columns "
            "`ppi` to `counted` are the mean coverage of each method: published, the sample alone, adjusted counts, "
            "and counting predictions with a binomial interval. `width (a)` is the largest mean ratio of the published "
            "width to that of the sample alone, on the same sample.",
            "",
            _table(head),
            *main,
            "",
            "![coverage](estimates.png)",
            "",
            "## The good model by label",
            "",
            _table(heading),
            *by_label,
            "",
            "## Width (b): against a simple random sample of 1,000 without predictions, overall",
            "",
            _table(["label", "simple", "audit", "sqrt(1 - rho^2)"]),
            *widths,
            "",
            "## The process behind the corpus: coverage when documents are drawn again",
            "",
            *([_table(["labels", *corpus.labels]), *processes] if processes else ["Not measured in this run."]),
            "",
            *more,
            "",
        ]
    )


def _table(names: list[str]) -> str:
    return "| " + " | ".join(names) + " |\n|" + " --- |" * len(names)


def main() -> None:
    """Run the resamplings and write the page and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resamplings", type=int, default=2000)
    parser.add_argument("--bad", type=int, default=1000, help="resamplings with bad models, and of documents")
    parser.add_argument("--cache", type=Path, default=Path("estimates_predictions.npz"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/estimates.md"))
    options = parser.parse_args()
    corpus = read_corpus(options.folder, options.cache)
    how = (
        f"`python experiments/benchmarks/estimates.py FOLDER --resamplings {options.resamplings} --bad {options.bad}`: "
        f"{options.resamplings} audits per row with the good model (tfidf, trained on other documents), {options.bad} "
        "with each bad model, of the process, and of stopping and plans."
    )
    outcomes: dict[tuple[str, str, int], Outcome] = {}
    process: dict[int, Floats] = {}
    more: list[str] = []

    def write() -> None:
        # After each part: a long run that is interrupted leaves what it has.
        plot(outcomes, options.out.with_suffix(".png"))
        options.out.write_text(report(corpus, outcomes, process, how, more), encoding="utf-8")

    for model in MODELS:
        times = options.resamplings if model == "good" else options.bad
        for design in DESIGNS:
            for size in SIZES:
                outcomes[model, design, size] = resample(corpus.with_model(model), design, size, times, seed=size)
                print(*summary_rows(model, design, size, outcomes[model, design, size]), flush=True)
        write()
    for size in SIZES:
        process[size] = resample_documents(corpus, size, options.bad, seed=size)
    write()
    more += ["## Stopping on the width, and plans", ""]
    for width in (0.05, 0.03):
        more += width_lines(corpus, width, options.bad)
    write()


def width_lines(corpus: Gold, width: float, times: int) -> list[str]:
    """What it takes to reach a width, by stopping and by a plan."""
    coverage, used = stopped(corpus, width, times, seed=1)
    shown = ", ".join(f"{label} {one:.1%}" for label, one in zip(corpus.labels, coverage, strict=True))
    size, met, less = planned(corpus, width, times, seed=1)
    return [
        f"- Width {width:g} of the overall share of {corpus.labels[0]}: labelling a simple sample until it is reached "
        f"(looks every 50 from {FIRST_LOOK} on) takes {used:.0f} sentences on average; coverage when stopped: {shown}.",
        f"- A plan for this width, without a pilot, has {size} sentences: reached in {met:.1%} of audits, and in "
        f"{less:.1%} with 80% of the sentences.",
    ]


if __name__ == "__main__":
    main()
