"""Check the starter corpus, or another folder with the same layout, against targets.

    python seeds/check.py [FOLDER]

Checks sizes, ids, marks, repetition, surface cues, balance and agreement, but not whether a model can learn from the
corpus. The exit code is 1 if a target is missed and 2 if the folder cannot be read. `corpus.py` computes the figures.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from corpus import (
    Balance,
    LabelledCorpus,
    balance,
    moving_type_token_ratio,
    read_labelled_corpus,
    reading_f1,
    repeated_ngram_share,
    share,
    share_at_equal_size,
    surface_areas,
    words_of,
)
from labels.agreement.report import agreement
from labels.codebook.schema import Codebook, load_codebook
from labels.errors import CommuniqueError, counted
from labels.records import Sentence
from labels.text.duplicates import near_duplicate_pairs
from trainer.environment import STARTER_CODEBOOK

HARD_NEGATIVE = "hard negative: "
"""The prefix of a note on a sentence that seems to need a label but has none; the tested codebook rule follows."""
_PLACES_SHOWN = 3
_WIDTH_IN_FILES = 110
"""Width of the report in characters if standard output is not a terminal."""


@dataclass(frozen=True)
class Targets:
    """Targets for a corpus: minimum counts, a range for the share without a label, and maximum shares and AUCs.

    `repeated_ngrams`: one 4-gram in twenty, so less than one in a sentence of average length (17 4-grams). For
    comparison: in 1,800 public sentences of political news, 0.083 of the 4-grams recur in another sentence; in text
    made from a template, nearly all do. A corpus of more than 80,000 words (about 70,000 4-grams) is measured on
    samples of that size.

    `surface_auc`: 0.5 is chance. Above 0.6, length, position and form predict a label so well that a model may learn
    them instead of the words. The target applies to labels with at least `surface_from` sentences: by chance, the AUC
    of a rarer label varies too much.
    """

    documents: int = 160
    sentences: int = 3200
    each_label: int = 300
    several_labels: int = 150
    hard_negatives: int = 800
    without_label: tuple[float, float] = (0.60, 0.72)
    repeated_ngrams: float = 0.05
    surface_auc: float = 0.60
    surface_from: int = 0


TARGETS = Targets()
NATURAL = Targets(300, 8000, 100, 0, 2000, without_label=(0.92, 0.95), surface_auc=0.75, surface_from=100)
"""Targets for the part in which labels are as rare as in real news.

`surface_auc` is higher than in the rich part: very short sentences ("Shares fell.") have no label, so length tells more
than in real text. In 1,204 real sentences of speeches and news, length alone tells nothing (AUC 0.50 and 0.52).
"""


@dataclass(frozen=True)
class Check:
    """One figure and its target.

    `measured` is None if the figure is undefined, which misses any target. Without `at_least` and `at_most`, the figure
    is only reported. `interval` is the 95% interval; `places` are the first few places that make the check fail.
    """

    what: str
    measured: float | None
    at_least: float | None = None
    at_most: float | None = None
    interval: tuple[float, float] | None = None
    places: tuple[str, ...] = ()

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None if there is no target."""
        if self.at_least is None and self.at_most is None:
            return None
        if self.measured is None:
            return False
        reached = self.at_least is None or self.measured >= self.at_least
        return reached and (self.at_most is None or self.measured <= self.at_most)


@dataclass(frozen=True)
class PartFigures:
    """The surface AUCs of a part of the corpus, and its balance by form and by region.

    `surface` maps label -> feature group ("length", "position", "form", "all") -> AUC, None if undefined.
    """

    surface: dict[str, dict[str, float | None]]
    balances: tuple[Balance, ...]


@dataclass(frozen=True)
class CorpusReport:
    """All checks in order, and the figures of each part of the corpus."""

    checks: tuple[Check, ...]
    parts: dict[str, PartFigures]

    @property
    def missed(self) -> tuple[Check, ...]:
        """The checks whose target is missed."""
        return tuple(check for check in self.checks if check.ok is False)


def main(arguments: Sequence[str] | None = None, targets: Targets = TARGETS) -> int:
    """Check a corpus folder, print the report and return the exit code."""
    parser = argparse.ArgumentParser(description="Check a corpus against its targets; exit code 1 if one is missed.")
    help_text = "folder with documents/ and annotations/ [default: the starter corpus]"
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).resolve().parent, help=help_text)
    folder = parser.parse_args(arguments).folder
    try:
        report = check_corpus(folder, load_codebook(STARTER_CODEBOOK), targets)
    except CommuniqueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print_report(report)
    return 1 if report.missed else 0


def check_corpus(
    folder: Path, codebook: Codebook, targets: Targets = TARGETS, natural: Targets = NATURAL
) -> CorpusReport:
    """Read a corpus folder and compare each part with its targets; the natural part is compared with `natural`.

    Raises:
        DataError: a part of the folder is missing, or one of its files is not valid.
    """
    corpus = read_labelled_corpus(folder, codebook)
    parts = corpus.parts
    figures = {part: _figures(own, codebook) for part, own in parts.items()}
    of_part: dict[str, list[Check]] = {}
    for part, own in parts.items():
        wanted = {"rich": targets, "natural": natural}[part]
        of_part[part] = [
            *_size_checks(own, codebook, wanted),
            *_hard_negative_checks(own, wanted),
            *_surface_checks(own, figures[part].surface, wanted),
            *_agreement_checks(own, codebook),
        ]
    whole = [*_mark_checks(corpus), *_span_checks(corpus), *_repetition_checks(corpus, targets)]
    named = [
        replace(check, what=f"{part}: {check.what}") if len(parts) > 1 else check
        for part, checks in of_part.items()
        for check in checks
    ]
    return CorpusReport((*named, *whole), figures)


def _figures(corpus: LabelledCorpus, codebook: Codebook) -> PartFigures:
    balances = balance(corpus, codebook, "form"), balance(corpus, codebook, "region")
    return PartFigures(surface_areas(corpus, codebook), balances)


# -- the checks


def _surface_checks(
    corpus: LabelledCorpus, surface: Mapping[str, Mapping[str, float | None]], targets: Targets
) -> Iterator[Check]:
    counts = Counter(label for _, sentence in corpus.placed for label in corpus.gold.get(sentence.id, ()))
    for label, found in surface.items():
        most = targets.surface_auc if counts[label] >= targets.surface_from else None
        yield Check(f"surface AUC, {label}", found["all"], at_most=most)


def _size_checks(corpus: LabelledCorpus, codebook: Codebook, targets: Targets) -> Iterator[Check]:
    sets = [corpus.gold[sentence.id] for _, sentence in corpus.placed if sentence.id in corpus.gold]
    counts = Counter(label for labels in sets for label in labels)
    low, high = targets.without_label
    yield Check("documents", len({own.id for own in corpus.documents}), targets.documents)
    yield Check("sentences to label", sum(1 for _ in corpus.placed), targets.sentences)
    for label in codebook.label_names:
        yield Check(f"sentences with {label}", counts[label], targets.each_label)
    yield Check("sentences with two or more labels", sum(len(labels) > 1 for labels in sets), targets.several_labels)
    yield Check("share of sentences without a label", share(sum(not labels for labels in sets), len(sets)), low, high)


def _hard_negative_checks(corpus: LabelledCorpus, targets: Targets) -> Iterator[Check]:
    """Count the hard negatives by rule: sentences without gold labels whose notes mark them as hard negatives."""
    rules = {
        line.sentence.id: line.event.note.removeprefix(HARD_NEGATIVE)
        for line in corpus.lines
        if line.event.note.startswith(HARD_NEGATIVE)
    }
    found = Counter(rules[s.id] for _, s in corpus.placed if s.id in rules and corpus.gold.get(s.id) == ())
    yield Check("hard negatives", found.total(), targets.hard_negatives)
    for rule, n in found.most_common():
        yield Check(f"hard negatives: {rule}", n)


def _mark_checks(corpus: LabelledCorpus) -> Iterator[Check]:
    """Check that invented text is marked everywhere, so that its figures are never mistaken for real findings."""
    unmarked = [own.path.name for own in corpus.documents if not own.document.synthetic]
    yield _none_allowed("documents not marked synthetic", unmarked)
    lines = [line.place for line in corpus.lines if not line.sentence.synthetic]
    yield _none_allowed("lines not marked synthetic", lines)


def _span_checks(corpus: LabelledCorpus) -> Iterator[Check]:
    """Compare annotated spans with the spans of the splitter. The id of a span depends on document, start and end."""
    texts = {own.id: own.document.text for own in corpus.documents}
    cut = {sentence.id for _, sentence in corpus.placed}
    annotated = {line.sentence.id: line for line in corpus.lines}
    unknown = [line.place for identifier, line in annotated.items() if identifier not in cut]
    yield _none_allowed("annotated spans that match no sentence", unknown)
    differing = [line.place for line in corpus.lines if line.sentence.text != _span(texts, line.sentence)]
    yield _none_allowed("annotated texts that differ from their span", differing)
    undecided = [f"{own.path.name}: “{s.text[:60]}”" for own, s in corpus.placed if s.id not in corpus.gold]
    yield _none_allowed("sentences to label without gold", undecided)


def _span(texts: Mapping[str, str], sentence: Sentence) -> str | None:
    text = texts.get(sentence.document_id)
    return None if text is None else text[sentence.start : sentence.end]


def _none_allowed(what: str, places: Sequence[str]) -> Check:
    return Check(what, len(places), at_most=0, places=tuple(places[:_PLACES_SHOWN]))


def _repetition_checks(corpus: LabelledCorpus, targets: Targets) -> Iterator[Check]:
    placed = list(corpus.placed)
    pairs = [
        f"{placed[left][0].path.name} and {placed[right][0].path.name}: “{placed[left][1].text[:60]}”"
        for left, right in near_duplicate_pairs([sentence.text for _, sentence in placed])
        if placed[left][0] is not placed[right][0]
    ]
    words = [words_of(sentence.text) for _, sentence in placed]
    flat = [word for own in words for word in own]
    homes = [own.id for own, _ in placed]
    repeated = share_at_equal_size(words, homes)
    yield _none_allowed("near-duplicates across documents", pairs)
    yield Check("4-grams in more than one document, share", repeated, at_most=targets.repeated_ngrams)
    yield Check("the same, over the whole corpus", repeated_ngram_share(words, homes))
    yield Check("words", len(flat))
    yield Check("different words", len(set(flat)))
    yield Check("different words in 1,000, share", moving_type_token_ratio(flat))


def _agreement_checks(corpus: LabelledCorpus, codebook: Codebook) -> Iterator[Check]:
    """Measure agreement between the readings per label: Cohen's kappa with an interval over documents, then F1."""
    sentences = {line.sentence.id: line.sentence for line in corpus.lines}
    report = agreement([line.event for line in corpus.lines], sentences, codebook)
    figures = (report.unbiased if report.unbiased.figures.n_sentences else report.other).figures
    for label, row in figures.per_label.items():
        kappa = row.kappa
        interval = None if kappa.low is None or kappa.high is None else (kappa.low, kappa.high)
        yield Check(f"kappa between readings, {label}", kappa.value, interval=interval)
    for label, f1 in reading_f1(corpus, codebook).items():
        yield Check(f"F1 between readings, {label}", f1)


# -- printing


def print_report(report: CorpusReport) -> None:
    """Print all checks with their targets, the places where targets are missed, then surface AUCs and balance."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=max(console.width, _WIDTH_IN_FILES))
    console.print(_check_table(report.checks))
    for check in report.missed:
        for place in check.places:
            console.print(f"{check.what}: {place}", soft_wrap=True)
    console.print(f"{counted(len(report.missed), 'target')} missed." if report.missed else "All targets are met.")
    for part, figures in report.parts.items():
        for table in (_surface_table(figures.surface), *map(_balance_table, figures.balances)):
            console.print(f"\nPart {part}" if len(report.parts) > 1 else "")
            console.print(table)


def _check_table(checks: Sequence[Check]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("what", "measured", "target", "ok"):
        table.add_column(heading, justify="right" if heading == "measured" else "left", overflow="fold")
    for check in checks:
        verdict = {True: "yes", False: "no", None: ""}[check.ok]
        style = "bold" if check.ok is False else ""
        table.add_row(check.what, _measured(check), _target(check), verdict, style=style)
    return table


def _measured(check: Check) -> str:
    if isinstance(check.measured, int):
        return f"{check.measured:,}"
    interval = f" ({check.interval[0]:.3f}–{check.interval[1]:.3f})" if check.interval else ""
    return _number(check.measured) + interval


def _target(check: Check) -> str:
    low, high = (None if bound is None else f"{bound:,g}" for bound in (check.at_least, check.at_most))
    if low is not None and high is not None:
        return f"{low} to {high}"
    if high is not None:
        return "none" if check.at_most == 0 else f"at most {high}"
    return "" if low is None else f"at least {low}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _figure_table(first: str, others: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _surface_table(surface: Mapping[str, Mapping[str, float | None]]) -> Table:
    groups = list(next(iter(surface.values()), {}))
    table = _figure_table("surface AUC by", groups)
    for label, areas in surface.items():
        table.add_row(label, *(_number(areas[group]) for group in groups))
    return table


def _balance_table(found: Balance) -> Table:
    """Make a table with a row per form or region, a row for the corpus, and the largest ratio of each label."""
    table = _figure_table(found.attribute, ["documents", "sentences", *found.whole.shares])
    for row in (*found.rows, found.whole):
        table.add_row(Text(row.value), str(row.n_documents), f"{row.n_sentences:,}", *map(_number, row.shares.values()))
    largest = (found.largest.get(label) for label in found.whole.shares)
    table.add_row("largest ratio", "", "", *("–" if one is None else f"{one[1]:.2f} {one[0]}" for one in largest))
    return table


if __name__ == "__main__":
    sys.exit(main())
