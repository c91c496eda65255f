"""Audit a model on a half of the real sentences: draw a stratified sample, and score models on its blind readings.

    python experiments/benchmarks/news_audit.py draw ARTEFACT POOLS --half first --texts FOLDER --out AUDIT
    python experiments/benchmarks/news_audit.py collect AUDIT --out experiments/results/news_audit_first.csv
    python experiments/benchmarks/news_audit.py score experiments/results/news_audit_first.csv FOLDER ARTEFACT...

POOLS is the folder that `news_halves.py` wrote, FOLDER that of the public sets. `draw` divides each pool by the model's
scores into three strata: "assigned" (any label), "near" (a probability of at least `NEAR`) and "low". It draws from
each and writes `POOL.txt`: numbered sentences in random order, without scores. `POOL.key.csv` keeps id, stratum and
weight (sentences of the stratum by drawn sentence). Two readers write `POOL.1.tsv` and `POOL.2.tsv`: number, tab,
labels separated by commas; a sentence without a row has none. `POOL.gold.tsv` decides where they differ. The folder
AUDIT holds texts of the sets and stays outside the repository; `collect` writes the readings with the SHA-256 of each
text in its place, by which `score` finds the text in FOLDER again.

`score` weighs each sentence by its stratum, so that precision, recall and F1 hold for the whole half, for the model
that drew the sample and for any other. Intervals resample the sentences of each stratum. "one more missed" is the
recall, and its lower bound, if the low stratum had held one more sentence with a missed label.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labels.codebook.schema import load_codebook
from trainer.calibration.calibration import Bools, Floats
from trainer.environment import silence_libraries
from trainer.model.model import Model
from trainer.runs.tracking.registry import fetch_artefact

POOLS = {"un_quadclass": "un_quadclass.en.{}.jsonl", "disaster_news": "disaster_news.jsonl"}
CODEBOOK = load_codebook("diplomatic")
LABELS = CODEBOOK.label_names
STRATA = ("assigned", "near", "low")
NEAR = 0.02
"""Lowest probability of any label of a sentence in the stratum "near"; `assigned` has those over a threshold."""
DRAWN = {"assigned": 240, "near": 160, "low": 400}
DRAWS = 2_000
HEADING = """# Models of the starter corpus on real sentences

Sentences of the first halves (`news_halves.md`), drawn by the scores of the first model, read blind by two readers
under codebook 1.2.0, and adjudicated. Each sentence counts as many times as it stands for in its half. 95% intervals
resample the sentences of each stratum. The readers are instances of a language model.

    python experiments/benchmarks/news_audit.py score experiments/results/news_audit_first.csv FOLDER ARTEFACT...
"""
SEED = 20


def main() -> None:
    """Draw an audit sample, or score models on a sample that was read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw", help="draw the sentences to read")
    drawing.add_argument("artefact")
    drawing.add_argument("pools", type=Path, help="folder with the ids of the halves")
    drawing.add_argument("--half", choices=("first", "last"), required=True)
    drawing.add_argument("--texts", type=Path, required=True, help="folder of the public sets")
    drawing.add_argument("--out", type=Path, required=True, help="folder for the sample, outside the repository")
    collecting = commands.add_parser("collect", help="join the readings of a sample, without its texts")
    collecting.add_argument("audit", type=Path, help="folder of the sample and its readings")
    collecting.add_argument("--out", type=Path, required=True, help="CSV file to write")
    scoring = commands.add_parser("score", help="score models on the readings")
    scoring.add_argument("readings", type=Path, help="CSV file that `collect` wrote")
    scoring.add_argument("texts", type=Path, help="folder of the public sets")
    scoring.add_argument("artefacts", nargs="+")
    scoring.add_argument("--report", type=Path, help="Markdown file for the tables")
    arguments = parser.parse_args()
    silence_libraries()
    if arguments.command == "draw":
        arguments.out.mkdir(parents=True, exist_ok=True)
        model = Model.load(fetch_artefact(arguments.artefact))
        for pool, files in POOLS.items():
            ids = (arguments.pools / f"{pool}_{arguments.half}.txt").read_text(encoding="utf-8").split()
            draw(model, pool, select(read_texts(arguments.texts, files), ids), arguments.out)
    elif arguments.command == "collect":
        rows = pd.concat([collect(arguments.audit, pool) for pool in POOLS])
        rows.to_csv(arguments.out, index=False)
        print(f"{arguments.out}: {len(rows):,} sentences")
    else:
        rows = pd.read_csv(arguments.readings, keep_default_na=False)
        lines = (line for pool in POOLS for line in score(rows, pool, arguments.texts, arguments.artefacts))
        page = "\n".join(lines)
        print(page)
        if arguments.report:
            arguments.report.write_text(f"{HEADING}\n{page}\n", encoding="utf-8")


# -- drawing


def read_texts(folder: Path, files: str) -> dict[str, str]:
    """Return the texts of a set by id."""
    paths = [folder / files.format(part) for part in ("train", "test")] if "{}" in files else [folder / files]
    rows = (json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines())
    return {row["example_id"]: row["text"] for row in rows}


def select(texts: Mapping[str, str], ids: Sequence[str]) -> dict[str, str]:
    """Return the texts of these ids, in the order of the ids."""
    return {name: texts[name] for name in ids}


def draw(model: Model, pool: str, texts: Mapping[str, str], out: Path) -> None:
    """Draw from each stratum, and write the sentences and their key."""
    ids = list(texts)
    probabilities = model.predict_proba([texts[name] for name in ids])
    assigned = model.decide(probabilities).any(axis=1)
    near = ~assigned & (probabilities.max(axis=1) >= NEAR)
    stratum = np.where(assigned, 0, np.where(near, 1, 2))
    rng = random.Random(f"{SEED} {pool}")
    rows: list[tuple[str, str, float]] = []
    for code, name in enumerate(STRATA):
        members = [own for own, at in zip(ids, stratum, strict=True) if at == code]
        drawn = rng.sample(members, min(DRAWN[name], len(members)))
        rows += [(own, name, len(members) / len(drawn)) for own in drawn]
        print(f"{pool}: {name}: {len(members):,} sentences, {len(drawn)} drawn")
    rng.shuffle(rows)
    with (out / f"{pool}.key.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["number", "id", "stratum", "weight", "text"])
        writer.writerows([number, *row, texts[row[0]]] for number, row in enumerate(rows, 1))
    lines = (f"{number}\t{' '.join(texts[row[0]].split())}\n" for number, row in enumerate(rows, 1))
    (out / f"{pool}.txt").write_text("".join(lines), encoding="utf-8")


# -- readings


def collect(folder: Path, pool: str) -> pd.DataFrame:
    """Join key and readings of a pool: one row per sentence, with the digest of its text in place of the text."""
    with (folder / f"{pool}.key.csv").open(encoding="utf-8", newline="") as stream:
        key = list(csv.DictReader(stream))
    first, second, decided = (read_answers(folder / f"{pool}.{name}.tsv") for name in ("1", "2", "gold"))
    numbers = range(1, len(key) + 1)
    differing = [number for number in numbers if set(first.get(number, [])) != set(second.get(number, []))]
    if missing := [str(number) for number in differing if number not in decided]:
        raise SystemExit(f"{folder / f'{pool}.gold.tsv'} does not decide {', '.join(missing)}.")
    gold = second | {number: decided[number] for number in differing}
    answers = {"first": first, "second": second, "gold": gold}
    labels = {name: ["|".join(own.get(number, [])) for number in numbers] for name, own in answers.items()}
    rows = {
        "pool": pool,
        "text_sha256": [digest(row["text"]) for row in key],
        "stratum": [row["stratum"] for row in key],
        "weight": [float(row["weight"]) for row in key],
    }
    return pd.DataFrame(rows | labels)


def digest(text: str) -> str:
    """Return the digest by which a text is found again."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_answers(path: Path) -> dict[int, list[str]]:
    """Return the labels of each numbered row of an answers file."""
    answers: dict[int, list[str]] = {}
    for place, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        number, _, rest = line.partition("\t")
        labels = [label.strip() for label in rest.partition("\t")[0].split(",") if label.strip() not in ("", "-")]
        if unknown := set(labels) - set(LABELS):
            raise SystemExit(f"{path}:{place}: unknown label {', '.join(sorted(unknown))}")
        answers[int(number)] = labels
    return answers


# -- scoring


@dataclass(frozen=True)
class Sample:
    """The n read sentences of a pool: texts, stratum codes, weights, and (n, labels) gold and two readings."""

    texts: list[str]
    strata: NDArray[np.int64]
    weights: Floats
    gold: Bools
    readings: tuple[Bools, Bools]


def read_sample(rows: pd.DataFrame, pool: str, folder: Path) -> Sample:
    """Return the sentences of a pool with their texts."""
    own = rows[rows["pool"] == pool]
    texts = {digest(text): text for text in read_texts(folder, POOLS[pool]).values()}
    strata = np.array([STRATA.index(name) for name in own["stratum"]])
    first, second, gold = (matrix(own[name]) for name in ("first", "second", "gold"))
    return Sample([texts[key] for key in own["text_sha256"]], strata, own["weight"].to_numpy(), gold, (first, second))


def matrix(column: Iterable[str]) -> Bools:
    """Return the (n, labels) matrix of label lists."""
    return np.array([[label in value.split("|") for label in LABELS] for value in column], dtype=bool)


def score(rows: pd.DataFrame, pool: str, folder: Path, artefacts: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the tables of a pool."""
    sample = read_sample(rows, pool, folder)
    sizes = [
        f"{name} {np.sum(sample.strata == code)} of {sample.weights[sample.strata == code].sum():,.0f}"
        for code, name in enumerate(STRATA)
    ]
    ones = np.ones(len(sample.texts))
    between = figures(counts(sample.readings[0], sample.readings[1], ones))[2]
    yield f"## {pool}\n"
    yield f"Read: {'; '.join(sizes)}. F1 between the two readings, unweighted: {between:.2f}."
    share = float((sample.weights * sample.gold.any(axis=1)).sum() / sample.weights.sum())
    yield f"Estimated share of sentences with a label: {share:.3f}.\n"
    for artefact in artefacts:
        model = Model.load(fetch_artefact(artefact))
        yield from table(Path(artefact).name, sample, model.decide(model.predict_proba(sample.texts)))


def table(name: str, sample: Sample, assigned: Bools) -> Iterator[str]:
    """Yield the Markdown table of one model."""
    yield f"{name}\n"
    yield "| label | assigned | gold | precision | recall | F1 |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    draws = resample(sample.strata)
    for column, label in [(slice(None), "micro"), *((slice(i, i + 1), label) for i, label in enumerate(LABELS))]:
        own, gold = assigned[:, column], sample.gold[:, column]
        values = figures(counts(own, gold, sample.weights))
        bounds = np.array([figures(counts(own[at], gold[at], sample.weights[at])) for at in draws])
        cells = [cell(value, drawn) for value, drawn in zip(values, bounds.T, strict=True)]
        yield f"| {label} | {own.sum()} | {gold.sum()} | {' | '.join(cells)} |"
        if label == "micro":
            tp, _, fn = counts(own, gold, sample.weights)
            extra = float(sample.weights[sample.strata == STRATA.index("low")].max(initial=1.0))
            worst = [one_more(counts(own[at], gold[at], sample.weights[at]), extra) for at in draws]
            recall = one_more((tp, 0.0, fn), extra)
            yield f"| micro, one more missed | | | | {recall:.2f} (from {np.nanpercentile(worst, 2.5):.2f}) | |"
    yield ""


def cell(value: float, drawn: Floats) -> str:
    """Return a figure with its interval; a dash where it is undefined."""
    if np.isnan(value):
        return "–"
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def resample(strata: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return bootstrap draws of rows, each stratum resampled to its own size."""
    rng = np.random.default_rng(SEED)
    members = [np.flatnonzero(strata == code) for code in range(len(STRATA))]
    return [np.concatenate([rng.choice(own, len(own)) for own in members if len(own)]) for _ in range(DRAWS)]


def counts(assigned: Bools, gold: Bools, weights: Floats) -> tuple[float, float, float]:
    """Return the weighted numbers of true positives, false positives and false negatives."""
    pairs = (assigned & gold, assigned & ~gold, ~assigned & gold)
    true, false, missed = (float((own.sum(axis=1) * weights).sum()) for own in pairs)
    return true, false, missed


def figures(numbers: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return precision, recall and F1; NaN where undefined."""
    true, false, missed = numbers
    with np.errstate(invalid="ignore"):
        one, two = np.float64(true) / (true + false), np.float64(true) / (true + missed)
        return float(one), float(two), float(np.float64(2 * true) / (2 * true + false + missed))


def one_more(numbers: tuple[float, float, float], weight: float) -> float:
    """Return the recall if one more sentence of this weight had a missed label."""
    true, _, missed = numbers
    return true / (true + missed + weight)


if __name__ == "__main__":
    main()
