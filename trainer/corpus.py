"""A folder of labelled documents held against targets: sizes, ids, marks, repetition, surface cues, balance, agreement.

The layout is that of `seeds/`: documents/ with front matter, annotations/ in the native form. Figures alone are made
here; how they look is `display`'s part. Whether a model learns from the corpus is not asked.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labels.agreement import agreement
from labels.codebook import Codebook
from labels.documents import find_files, read_file
from labels.duplicates import near_duplicate_pairs
from labels.errors import DataError
from labels.exchange.jsonl import read_annotations
from labels.exchange.lines import Line
from labels.history import standing
from labels.records import Document, Sentence
from labels.resolve import resolve
from labels.sentences import split_sentences
from trainer.evaluation.metrics import Bools, Floats, count

CODEBOOK = "diplomatic"
"""What the starter corpus is coded with."""
HARD_NEGATIVE = "hard negative: "
"""How the note of a sentence begins that looks like a label and is none; the codebook's rule that it tests follows."""
FEWEST_SENTENCES = 100
"""A form or region with fewer sentences has no ratio: a handful of labels would make it large."""
FOLDS = 5
SEED = 13
_NGRAM = 4
_NGRAM_WORDS, _NGRAM_DRAWS = 80_000, 5
_WINDOW = 1000
_PLACES_SHOWN = 3
_WORD = re.compile(r"\w+")

LabelSet = tuple[str, ...]
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


@dataclass(frozen=True)
class LabelledDocument:
    """A document, what its front matter says of it, and its sentences to label, in order."""

    path: Path
    document: Document
    form: str
    region: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class LabelledCorpus:
    """What a folder holds, cut by the present splitter. `gold` maps sentence id -> labels where they are decided."""

    documents: tuple[LabelledDocument, ...]
    lines: tuple[Line, ...]
    gold: dict[str, LabelSet]

    @property
    def placed(self) -> Iterator[tuple[LabelledDocument, Sentence]]:
        """Every sentence to label with its document."""
        return ((own, sentence) for own in self.documents for sentence in own.sentences)


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


def read_labelled_corpus(folder: Path, codebook: Codebook) -> LabelledCorpus:
    """The documents of a folder, cut anew, with the annotations beside them and the gold that these decide.

    Raises:
        DataError: documents/ or annotations/ is missing or empty, or a file in it does not validate.
    """
    documents = tuple(own for path in find_files([folder / "documents"]) for own in _labelled_documents(path))
    files = sorted((folder / "annotations").glob("*.jsonl"))
    if not files:
        raise DataError(f"{folder / 'annotations'}: no .jsonl file there. Give a folder in the layout of the seeds.")
    lines = tuple(line for path in files for line in read_annotations(path, codebook))
    return LabelledCorpus(documents, lines, resolve([line.event for line in lines], codebook).gold)


def _labelled_documents(path: Path) -> Iterator[LabelledDocument]:
    matter = _front_matter(path)
    for document in read_file(path, reject=_refuse):
        sentences = tuple(sentence for sentence in split_sentences(document) if not sentence.boilerplate)
        form, region = (str(matter.get(name) or "unknown") for name in ("form", "region"))
        yield LabelledDocument(path, document, form, region, sentences)


def _refuse(message: str) -> None:
    raise DataError(message)


def _front_matter(path: Path) -> dict[str, Any]:
    """All that a text's front matter says: a document keeps of it what every document has.

    What is no front matter, or cannot be read, is `labels.documents`'s to judge.
    """
    import yaml

    if path.suffix.lower() not in (".txt", ".md"):
        return {}
    before, *rest = path.read_text(encoding="utf-8-sig", errors="replace").split("---\n", 2)
    try:
        matter = yaml.safe_load(rest[0]) if len(rest) == 2 and not before else {}
    except yaml.YAMLError:
        return {}
    return matter if isinstance(matter, dict) else {}


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
    yield Check("without label, share", _ratio(sum(not labels for labels in sets), len(sets)), low, high)


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
    repeated = _share_at_equal_size(words, [own.document.id for own, _ in placed])
    yield _none_may("near-duplicates across documents", pairs)
    yield Check("4-grams in more than one document, share", repeated, at_most=targets.repeated_ngrams)
    yield Check("words", len(flat))
    yield Check("different words", len(set(flat)))
    yield Check("different words in 1,000, share", moving_type_token_ratio(flat))


def _share_at_equal_size(sentences: Sequence[Sequence[str]], documents: Sequence[str]) -> float | None:
    """`repeated_ngram_share` of documents drawn at random up to `_NGRAM_WORDS` words, the mean of a few draws.

    The share grows with a corpus: at one size, a corpus that is added to stays comparable with itself.
    """
    own: defaultdict[str, list[Sequence[str]]] = defaultdict(list)
    for words, document in zip(sentences, documents, strict=True):
        own[document].append(words)
    shares: list[float | None] = []
    for seed in range(SEED, SEED + _NGRAM_DRAWS):
        taken: dict[str, list[Sequence[str]]] = {}
        size = 0
        for document in random.Random(seed).sample(sorted(own), len(own)):
            if size < _NGRAM_WORDS:
                taken[document] = own[document]
                size += sum(map(len, own[document]))
        homes = [document for document, inside in taken.items() for _ in inside]
        shares.append(repeated_ngram_share([words for inside in taken.values() for words in inside], homes))
    found = [share for share in shares if share is not None]
    return mean(found) if found else None


def repeated_ngram_share(sentences: Sequence[Sequence[str]], documents: Sequence[str], n: int = _NGRAM) -> float | None:
    """Share, in [0, 1], of the word n-gram tokens that occur in more than one document; None without n-grams.

    Args:
        sentences: the words of each sentence; no n-gram reaches over the end of one.
        documents: the document of each sentence.
    """
    homes: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    counts: Counter[tuple[str, ...]] = Counter()
    for words, document in zip(sentences, documents, strict=True):
        for gram in zip(*(words[start:] for start in range(n)), strict=False):
            homes[gram].add(document)
            counts[gram] += 1
    return _ratio(sum(times for gram, times in counts.items() if len(homes[gram]) > 1), counts.total())


def moving_type_token_ratio(words: Sequence[str], window: int = _WINDOW) -> float | None:
    """Mean share of different words in every run of `window` words, in (0, 1]; None with fewer words than that.

    Source: Covington and McFall (2010), "Cutting the Gordian knot: the moving-average type-token ratio (MATTR)".
    """
    if len(words) < window:
        return None
    inside = Counter(words[:window])
    types = [len(inside)]
    for entering, leaving in zip(words[window:], words, strict=False):
        inside[entering] += 1
        inside[leaving] -= 1
        if not inside[leaving]:
            del inside[leaving]
        types.append(len(inside))
    return sum(types) / len(types) / window


# -- what length, place and form tell


def surface_areas(corpus: LabelledCorpus, codebook: Codebook) -> dict[str, dict[str, float | None]]:
    """Label -> group of features ("length", "position", "form", "all") -> what `surface_area` says of them."""
    groups = surface_features(corpus)
    groups["all"] = np.hstack(list(groups.values()))
    decided = [(own, sentence) for own, sentence in corpus.placed if sentence.id in corpus.gold]
    documents = np.array([own.document.id for own, _ in decided])
    return {
        label: {
            name: surface_area(
                features, np.array([label in corpus.gold[sentence.id] for _, sentence in decided]), documents
            )
            for name, features in groups.items()
        }
        for label in codebook.label_names
    }


def surface_features(corpus: LabelledCorpus) -> dict[str, Floats]:
    """What can be known of the n sentences with gold without reading them.

    Returns:
        "length" (n, 2): words, characters. "position" (n, 4) among the document's sentences to label: number from 0,
        share of the way from 0 to 1, whether first, whether last. "form" (n, forms): one-hot.
    """
    forms = sorted({own.form for own in corpus.documents})
    rows: dict[str, list[list[float]]] = {"length": [], "position": [], "form": []}
    for own in corpus.documents:
        last = len(own.sentences) - 1
        for number, sentence in enumerate(own.sentences):
            if sentence.id in corpus.gold:
                rows["length"].append([len(sentence.text.split()), len(sentence.text)])
                rows["position"].append([number, number / max(last, 1), number == 0, number == last])
                rows["form"].append([own.form == form for form in forms])
    widths = {"length": 2, "position": 4, "form": len(forms)}
    return {name: np.array(found, dtype=float).reshape(-1, widths[name]) for name, found in rows.items()}


def surface_area(features: Floats, gold: Bools, documents: NDArray[np.str_]) -> float | None:
    """Area under the ROC curve of the better of two classifiers, its mean over `FOLDS` folds of whole documents.

    The two are logistic regression and boosted trees, small ones: default trees fit the noise of so few features and
    would hide what these tell.

    Args:
        features: (n, features).
        gold: (n,) whether the sentence bears the label.
        documents: (n,) ids.

    Returns:
        In [0, 1], 0.5 being chance; None where fewer than `FOLDS` documents have the label, or a sentence without it.
    """
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn brings it along

    if min(len(set(documents[gold])), len(set(documents[~gold]))) < FOLDS:
        return None
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED).split(features, gold, documents))
    # On so few rows threads wait for each other longer than they work.
    with threadpool_limits(limits=1):
        areas = [_mean_area(build, features, gold, folds) for build in (_boosted_trees, _regression)]
    return max(areas)


def _boosted_trees() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=50, max_leaf_nodes=8, min_samples_leaf=40, early_stopping=False, random_state=SEED
    )


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _mean_area(
    build: Callable[[], Any], features: Floats, gold: Bools, folds: Iterable[tuple[NDArray[Any], NDArray[Any]]]
) -> float:
    """Folds whose test part is all of one kind have no area and are left out; there is always one that is mixed."""
    from sklearn.metrics import roc_auc_score

    areas = [
        roc_auc_score(gold[test], build().fit(features[train], gold[train]).predict_proba(features[test])[:, 1])
        for train, test in folds
        if len(set(gold[test])) == 2 and len(set(gold[train])) == 2
    ]
    return float(np.mean(areas))


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


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
