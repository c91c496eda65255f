"""A folder of labelled documents held against targets: sizes, ids, marks, repetition, surface cues, balance, agreement.

The layout is that of `seeds/`: documents/ with front matter, annotations/ in the native form. Figures alone are made
here; how they look is `display`'s part. Whether a model learns from the corpus is not asked.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from labels.agreement.report import agreement
from labels.codebook.schema import Codebook
from labels.gold import standing
from labels.records import Sentence
from labels.text.duplicates import near_duplicate_pairs
from trainer.arrays import Bools
from trainer.corpus.labelled import LabelledCorpus, LabelledDocument, LabelSet, read_labelled_corpus
from trainer.corpus.repetition import moving_type_token_ratio, repeated_ngram_share, share, share_at_equal_size
from trainer.corpus.surface import surface_areas
from trainer.evaluation.metrics import count

HARD_NEGATIVE = "hard negative: "
"""How the note of a sentence begins that looks like a label and is none; the codebook's rule that it tests follows."""
FEWEST_SENTENCES = 100
"""A form or region with fewer sentences has no ratio: a handful of labels would make it large."""
_PLACES_SHOWN = 3
_WORD = re.compile(r"\w+")

Attribute = Literal["form", "region"]


@dataclass(frozen=True)
class Targets:
    """What a corpus must reach: least counts, the range of the share without label, and greatest shares and areas.

    `repeated_ngrams`: one 4-gram in twenty, so less than one in a sentence of average length (17 of them). A measured
    yardstick: in 1,800 public sentences of political news 0.083 of the 4-grams recur in another sentence, and invented
    text from a template comes near 1. It is measured on 80,000 words (about 70,000 4-grams) of a larger corpus.

    `surface_auc`: 0.5 is chance. Above 0.6, length, place and form tell enough of a label that a model may learn them
    in place of the words.
    """

    documents: int = 160
    sentences: int = 3200
    each_label: int = 300
    several_labels: int = 150
    hard_negatives: int = 800
    without_label: tuple[float, float] = (0.60, 0.72)
    repeated_ngrams: float = 0.05
    surface_auc: float = 0.60


TARGETS = Targets()


@dataclass(frozen=True)
class Check:
    """One figure and what it must be.

    `measured` is None where it is undefined, which misses any target. Without `at_least` and `at_most` it is only
    reported. `interval` is at 95%; `places` are the first few where the corpus falls short.
    """

    what: str
    measured: float | None
    at_least: float | None = None
    at_most: float | None = None
    interval: tuple[float, float] | None = None
    places: tuple[str, ...] = ()

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_least is None and self.at_most is None:
            return None
        if self.measured is None:
            return False
        reached = self.at_least is None or self.measured >= self.at_least
        return reached and (self.at_most is None or self.measured <= self.at_most)


@dataclass(frozen=True)
class Share:
    """How the labels lie in the sentences of one form or region: the share that bears each, in [0, 1]."""

    value: str
    n_documents: int
    n_sentences: int
    shares: dict[str, float]


@dataclass(frozen=True)
class Balance:
    """Shares by form or by region, most sentences first.

    `largest` maps each label to the form or region of at least `FEWEST_SENTENCES` sentences in which its share is
    largest, and the ratio of that share to the whole corpus's; a label that does not occur is left out.
    """

    attribute: Attribute
    rows: tuple[Share, ...]
    whole: Share
    largest: dict[str, tuple[str, float]]


@dataclass(frozen=True)
class CorpusReport:
    """All checks in order; beside them the surface classifier's area by label and group of features, and the balance.

    `surface` maps label -> group ("length", "position", "form", "all") -> area, None where it is undefined.
    """

    checks: tuple[Check, ...]
    surface: dict[str, dict[str, float | None]]
    balances: tuple[Balance, ...]

    @property
    def passed(self) -> bool:
        """Whether no target is missed."""
        return all(check.ok is not False for check in self.checks)


def check_corpus(folder: Path, codebook: Codebook, targets: Targets = TARGETS) -> CorpusReport:
    """Read a corpus folder and hold it against the targets.

    Raises:
        DataError: a part of the folder is missing, or a file in it does not validate.
    """
    corpus = read_labelled_corpus(folder, codebook)
    surface = surface_areas(corpus, codebook)
    checks = (
        *_size_checks(corpus, codebook, targets),
        *_hard_negative_checks(corpus, targets),
        *_mark_checks(corpus),
        *_span_checks(corpus),
        *_repetition_checks(corpus, targets),
        *(
            Check(f"surface AUC, {label}", areas["all"], at_most=targets.surface_auc)
            for label, areas in surface.items()
        ),
        *_agreement_checks(corpus, codebook),
    )
    return CorpusReport(checks, surface, (balance(corpus, codebook, "form"), balance(corpus, codebook, "region")))


# -- sizes


def _size_checks(corpus: LabelledCorpus, codebook: Codebook, targets: Targets) -> Iterator[Check]:
    sets = [corpus.gold[sentence.id] for _, sentence in corpus.placed if sentence.id in corpus.gold]
    bearing = Counter(label for labels in sets for label in labels)
    low, high = targets.without_label
    yield Check("documents", len({own.document.id for own in corpus.documents}), targets.documents)
    yield Check("sentences to label", sum(1 for _ in corpus.placed), targets.sentences)
    for label in codebook.label_names:
        yield Check(f"sentences with {label}", bearing[label], targets.each_label)
    yield Check("with two or more labels", sum(len(labels) > 1 for labels in sets), targets.several_labels)
    yield Check("without label, share", share(sum(not labels for labels in sets), len(sets)), low, high)


def _hard_negative_checks(corpus: LabelledCorpus, targets: Targets) -> Iterator[Check]:
    """Sentences whose gold is none and whose note says that they look like a label: all, and by rule."""
    rules = {
        line.sentence.id: line.event.note.removeprefix(HARD_NEGATIVE)
        for line in corpus.lines
        if line.event.note.startswith(HARD_NEGATIVE)
    }
    found = Counter(rules[s.id] for _, s in corpus.placed if s.id in rules and corpus.gold.get(s.id) == ())
    yield Check("hard negatives", found.total(), targets.hard_negatives)
    for rule, n in found.most_common():
        yield Check(f"hard negatives: {rule}", n)


# -- marks, ids and spans


def _mark_checks(corpus: LabelledCorpus) -> Iterator[Check]:
    unmarked = [own.path.name for own in corpus.documents if not own.document.synthetic]
    yield _none_may("documents not marked synthetic", unmarked)
    yield _none_may("lines not marked synthetic", [line.place for line in corpus.lines if not line.sentence.synthetic])


def _span_checks(corpus: LabelledCorpus) -> Iterator[Check]:
    """Annotated spans against those of the documents: the ids say document, start and end."""
    texts = {own.document.id: own.document.text for own in corpus.documents}
    cut = {sentence.id for _, sentence in corpus.placed}
    annotated = {line.sentence.id: line for line in corpus.lines}
    strangers = [line.place for identifier, line in annotated.items() if identifier not in cut]
    yield _none_may("annotated spans that are no sentence of a document", strangers)
    differing = [line.place for line in corpus.lines if line.sentence.text != _span(texts, line.sentence)]
    yield _none_may("annotated texts that are not their span's", differing)
    undecided = [f"{own.path.name}: “{s.text[:60]}”" for own, s in corpus.placed if s.id not in corpus.gold]
    yield _none_may("sentences to label without gold", undecided)


def _span(texts: Mapping[str, str], sentence: Sentence) -> str | None:
    text = texts.get(sentence.document_id)
    return None if text is None else text[sentence.start : sentence.end]


def _none_may(what: str, places: Sequence[str]) -> Check:
    return Check(what, len(places), at_most=0, places=tuple(places[:_PLACES_SHOWN]))


# -- repetition and vocabulary


def _repetition_checks(corpus: LabelledCorpus, targets: Targets) -> Iterator[Check]:
    placed = list(corpus.placed)
    pairs = [
        f"{placed[left][0].path.name} and {placed[right][0].path.name}: “{placed[left][1].text[:60]}”"
        for left, right in near_duplicate_pairs([sentence.text for _, sentence in placed])
        if placed[left][0] is not placed[right][0]
    ]
    words = [_WORD.findall(sentence.text.casefold()) for _, sentence in placed]
    flat = [word for own in words for word in own]
    homes = [own.document.id for own, _ in placed]
    repeated = share_at_equal_size(words, homes)
    yield _none_may("near-duplicates across documents", pairs)
    yield Check("4-grams in more than one document, share", repeated, at_most=targets.repeated_ngrams)
    yield Check("the same in the whole corpus", repeated_ngram_share(words, homes))
    yield Check("words", len(flat))
    yield Check("different words", len(set(flat)))
    yield Check("different words in 1,000, share", moving_type_token_ratio(flat))


# -- balance


def balance(corpus: LabelledCorpus, codebook: Codebook, attribute: Attribute) -> Balance:
    """How the labels lie in the forms, or the regions, of the corpus."""
    by_value: defaultdict[str, list[LabelledDocument]] = defaultdict(list)
    for own in corpus.documents:
        by_value[getattr(own, attribute)].append(own)
    rows = [_share(value, documents, corpus.gold, codebook) for value, documents in by_value.items()]
    rows.sort(key=lambda row: (-row.n_sentences, row.value))
    whole = _share("corpus", corpus.documents, corpus.gold, codebook)
    large = [row for row in rows if row.n_sentences >= FEWEST_SENTENCES]
    largest: dict[str, tuple[str, float]] = {}
    for label, overall in whole.shares.items():
        if large and overall:
            row = max(large, key=lambda row: row.shares[label])
            largest[label] = (row.value, row.shares[label] / overall)
    return Balance(attribute, tuple(rows), whole, largest)


def _share(
    value: str, documents: Sequence[LabelledDocument], gold: Mapping[str, LabelSet], codebook: Codebook
) -> Share:
    sets = [gold[sentence.id] for own in documents for sentence in own.sentences if sentence.id in gold]
    bearing = Counter(label for labels in sets for label in labels)
    shares = {label: bearing[label] / max(len(sets), 1) for label in codebook.label_names}
    return Share(value, len(documents), len(sets), shares)


# -- agreement


def _agreement_checks(corpus: LabelledCorpus, codebook: Codebook) -> Iterator[Check]:
    """Cohen's kappa of the readings by label, with its interval over documents, then their F1."""
    sentences = {line.sentence.id: line.sentence for line in corpus.lines}
    report = agreement([line.event for line in corpus.lines], sentences, codebook)
    figures = (report.unbiased if report.unbiased.figures.n_sentences else report.other).figures
    for label, row in figures.per_label.items():
        kappa = row.kappa
        interval = None if kappa.low is None or kappa.high is None else (kappa.low, kappa.high)
        yield Check(f"kappa between readings, {label}", kappa.value, interval=interval)
    for label, f1 in reading_f1(corpus, codebook).items():
        yield Check(f"F1 between readings, {label}", f1)


def reading_f1(corpus: LabelledCorpus, codebook: Codebook) -> dict[str, float | None]:
    """Label -> F1 of one reading against the other, pooled over every two annotators; the same either way round.

    None where no sentence that two of them reviewed bears the label.
    """
    given: defaultdict[str, dict[str, LabelSet]] = defaultdict(dict)
    for (sentence, annotator), event in standing(line.event for line in corpus.lines).annotations.items():
        if event.state == "reviewed":
            given[sentence][annotator] = event.labels
    pairs = [pair for decisions in given.values() for pair in combinations(decisions.values(), 2)]
    first, second = (_matrix([pair[side] for pair in pairs], codebook) for side in (0, 1))
    f1 = count(first, second).f1
    return {
        label: None if np.isnan(value) else float(value) for label, value in zip(codebook.label_names, f1, strict=True)
    }


def _matrix(sets: Sequence[LabelSet], codebook: Codebook) -> Bools:
    """(sets, labels) booleans."""
    rows = [[label in labels for label in codebook.label_names] for labels in sets]
    return np.array(rows, dtype=bool).reshape(-1, len(codebook.labels))
