"""Read a folder of labelled documents with the layout of `seeds/`, and compute figures about it.

The figures are repetition, surface AUCs, balance by form and region, and agreement between the readings. `check.py`
compares them with targets and prints them.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange.jsonl import read_annotations
from labels.exchange.lines import Line
from labels.gold import resolve, standing
from labels.records import Document, Sentence
from labels.text.documents import find_files, read_file, read_front_matter
from labels.text.sentences import split_sentences
from labels.text.spans import fill_gaps
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.metrics import count

FOLDS = 5
"""Number of cross-validation folds in `surface_area`."""
FEWEST_SENTENCES = 100
"""Minimum number of sentences of a form or region for a ratio, because a few labels could make it large."""
_SEED = 13
_NGRAM = 4
_NGRAM_WORDS, _NGRAM_DRAWS = 80_000, 5
_WINDOW = 1000
_WORD = re.compile(r"\w+")

LabelSet = tuple[str, ...]
Attribute = Literal["form", "region"]
PARTS = ("rich", "natural")
"""Parts of a corpus: documents rich in labels, and documents in which labels are as rare as in real news."""


# -- reading


@dataclass(frozen=True)
class LabelledDocument:
    """A document, its form, region and part from the front matter, and its sentences to label, in order.

    `id` is the id of the document in the annotations; an earlier release may have given it.
    """

    path: Path
    id: str
    document: Document
    form: str
    region: str
    part: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class LabelledCorpus:
    """The content of a folder; `gold` maps the id of each decided sentence to its labels.

    The sentences are the annotated spans; the current splitter divides only the text between them.
    """

    documents: tuple[LabelledDocument, ...]
    lines: tuple[Line, ...]
    gold: dict[str, LabelSet]

    @property
    def placed(self) -> Iterator[tuple[LabelledDocument, Sentence]]:
        """Yield all sentences to label, each with its document."""
        return ((own, sentence) for own in self.documents for sentence in own.sentences)

    @property
    def parts(self) -> dict[str, LabelledCorpus]:
        """The documents and annotations of each part that has documents."""
        found = {part: [own for own in self.documents if own.part == part] for part in PARTS}
        return {part: self._only(documents) for part, documents in found.items() if documents}

    def _only(self, documents: Sequence[LabelledDocument]) -> LabelledCorpus:
        ids = {own.id for own in documents}
        lines = tuple(line for line in self.lines if line.sentence.document_id in ids)
        return replace(self, documents=tuple(documents), lines=lines)


def read_labelled_corpus(folder: Path, codebook: Codebook) -> LabelledCorpus:
    """Read a folder: split its documents into sentences, read the annotations and resolve the gold labels.

    Raises:
        DataError: documents/ or annotations/ is missing or empty, or one of the files is not valid.
    """
    paths = find_files([folder / "documents"]).files
    files = sorted((folder / "annotations").glob("*.jsonl"))
    if not files:
        raise DataError(
            f"{folder / 'annotations'}: this folder contains no .jsonl files. Use a folder with the layout of `seeds`."
        )
    lines = tuple(line for path in files for line in read_annotations(path, codebook))
    spans: defaultdict[str, dict[str, Sentence]] = defaultdict(dict)
    for line in lines:
        spans[line.sentence.document_id][line.sentence.id] = line.sentence
    documents = tuple(own for path in paths for own in _labelled_documents(path, spans))
    return LabelledCorpus(documents, lines, resolve([line.event for line in lines], codebook).gold)


def _labelled_documents(path: Path, spans: Mapping[str, Mapping[str, Sentence]]) -> Iterator[LabelledDocument]:
    matter = read_front_matter(path)
    for document in read_file(path, reject=_refuse):
        # The annotations of the corpus have ids that an earlier release gave.
        identifier = next((one for one in (document.id, *document.former_ids) if one in spans), document.id)
        cut = (replace(sentence, document_id=identifier) for sentence in split_sentences(document))
        found = fill_gaps(spans.get(identifier, {}).values(), cut)
        sentences = tuple(sentence for sentence in found if not sentence.boilerplate)
        form, region = (str(matter.get(name) or "unknown") for name in ("form", "region"))
        part = str(matter.get("part") or PARTS[0])
        if part not in PARTS:
            raise DataError(f"{path}: `part: {part}` is not a part of a corpus. Write {' or '.join(PARTS)}.")
        yield LabelledDocument(path, identifier, document, form, region, part, sentences)


def _refuse(message: str) -> None:
    raise DataError(message)


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return _WORD.findall(text.casefold())


# -- repetition and vocabulary


def share(part: int, whole: int) -> float | None:
    """Return `part` divided by `whole`, in [0, 1]; None if `whole` is 0."""
    return part / whole if whole else None


def repeated_ngram_share(sentences: Sequence[Sequence[str]], documents: Sequence[str], n: int = _NGRAM) -> float | None:
    """Return the share of word n-grams that occur in more than one document, in [0, 1]; None if there are no n-grams.

    Args:
        sentences: the words of each sentence; n-grams do not cross the end of a sentence.
        documents: the document of each sentence.
    """
    homes: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    counts: Counter[tuple[str, ...]] = Counter()
    for words, document in zip(sentences, documents, strict=True):
        for gram in zip(*(words[start:] for start in range(n)), strict=False):
            homes[gram].add(document)
            counts[gram] += 1
    return share(sum(times for gram, times in counts.items() if len(homes[gram]) > 1), counts.total())


def share_at_equal_size(sentences: Sequence[Sequence[str]], documents: Sequence[str]) -> float | None:
    """Return the mean `repeated_ngram_share` of a few random samples of documents, each of about `_NGRAM_WORDS` words.

    The share grows with the size of a corpus. Samples of a fixed size can be compared before and after documents are
    added.
    """
    own: defaultdict[str, list[Sequence[str]]] = defaultdict(list)
    for words, document in zip(sentences, documents, strict=True):
        own[document].append(words)
    shares = []
    for seed in range(_SEED, _SEED + _NGRAM_DRAWS):
        drawn: list[tuple[Sequence[str], str]] = []
        size = 0
        for document in random.Random(seed).sample(sorted(own), len(own)):
            if size < _NGRAM_WORDS:
                drawn += [(words, document) for words in own[document]]
                size += sum(map(len, own[document]))
        found = repeated_ngram_share([words for words, _ in drawn], [document for _, document in drawn])
        shares += [] if found is None else [found]
    return mean(shares) if shares else None


def moving_type_token_ratio(words: Sequence[str], window: int = _WINDOW) -> float | None:
    """Return the mean share of distinct words per window of `window` words, in (0, 1]; None if there are fewer words.

    Source: Covington and McFall (2010), "Cutting the Gordian knot: the moving-average type-token ratio (MATTR)".
    """
    if len(words) < window:
        return None
    # The window moves by one word. Updating the counts instead of recounting keeps the time linear.
    inside = Counter(words[:window])
    types = [len(inside)]
    for entering, leaving in zip(words[window:], words, strict=False):
        inside[entering] += 1
        inside[leaving] -= 1
        if not inside[leaving]:
            del inside[leaving]
        types.append(len(inside))
    return sum(types) / len(types) / window


# -- surface: features that may predict labels without the words


def surface_areas(corpus: LabelledCorpus, codebook: Codebook) -> dict[str, dict[str, float | None]]:
    """Return label -> feature group ("length", "position", "form", "all") -> `surface_area`."""
    groups = surface_features(corpus)
    groups["all"] = np.hstack(list(groups.values()))
    decided = [(own.id, corpus.gold[s.id]) for own, s in corpus.placed if s.id in corpus.gold]
    documents = np.array([document for document, _ in decided], dtype=str)
    gold = {label: np.array([label in labels for _, labels in decided], dtype=bool) for label in codebook.label_names}
    return {
        label: {name: surface_area(features, gold[label], documents) for name, features in groups.items()}
        for label in codebook.label_names
    }


def surface_features(corpus: LabelledCorpus) -> dict[str, Floats]:
    """Return features of the n sentences with gold labels that do not depend on the words.

    Returns:
        "length" (n, 2): numbers of words and characters. "position" (n, 4) among the document's sentences to label:
        index, relative position in [0, 1], whether first, whether last. "form" (n, forms): one-hot.
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
    """Return the ROC AUC of the better of two classifiers, averaged over `FOLDS` folds of whole documents.

    The classifiers are logistic regression and small boosted trees. Trees of the default size would overfit these few
    features and hide a weak signal.

    Args:
        features: (n, features).
        gold: (n,) whether the sentence has the label.
        documents: (n,) document ids.

    Returns:
        The AUC in [0, 1], 0.5 is chance; None if fewer than `FOLDS` documents have a sentence with the label, or fewer
        than `FOLDS` have a sentence without the label.
    """
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn depends on it

    if min(len(set(documents[gold])), len(set(documents[~gold]))) < FOLDS:
        return None
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=_SEED).split(features, gold, documents))
    # With so few rows, threads spend more time on synchronisation than on work.
    with threadpool_limits(limits=1):
        return max(_mean_area(build, features, gold, folds) for build in (_boosted_trees, _regression))


def _boosted_trees() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=50, max_leaf_nodes=8, min_samples_leaf=40, early_stopping=False, random_state=_SEED
    )


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _mean_area(
    build: Callable[[], Any], features: Floats, gold: Bools, folds: Iterable[tuple[NDArray[Any], NDArray[Any]]]
) -> float:
    """Return the mean AUC over the folds that have both classes in train and test; at least one fold has both."""
    from sklearn.metrics import roc_auc_score

    areas = [
        roc_auc_score(gold[test], build().fit(features[train], gold[train]).predict_proba(features[test])[:, 1])
        for train, test in folds
        if len(set(gold[test])) == 2 and len(set(gold[train])) == 2
    ]
    return float(np.mean(areas))


# -- balance by form and region


@dataclass(frozen=True)
class Share:
    """For each label, the share of sentences of one form or region that have it, in [0, 1]."""

    value: str
    n_documents: int
    n_sentences: int
    shares: dict[str, float]


@dataclass(frozen=True)
class Balance:
    """The shares of labels by form or by region, in descending order of the number of sentences.

    `largest` maps each label to the form or region with the largest share of the label, and the ratio of this share to
    the share in the whole corpus. Forms and regions with fewer than `FEWEST_SENTENCES` sentences do not count; labels
    that do not occur are left out.
    """

    attribute: Attribute
    rows: tuple[Share, ...]
    whole: Share
    largest: dict[str, tuple[str, float]]


def balance(corpus: LabelledCorpus, codebook: Codebook, attribute: Attribute) -> Balance:
    """Compute the share of each label by form or by region."""
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
    counts = Counter(label for labels in sets for label in labels)
    shares = {label: counts[label] / max(len(sets), 1) for label in codebook.label_names}
    return Share(value, len(documents), len(sets), shares)


# -- agreement


def reading_f1(corpus: LabelledCorpus, codebook: Codebook) -> dict[str, float | None]:
    """Return label -> F1 between readings, pooled over all pairs of annotators; F1 is symmetric.

    F1 is None if no sentence reviewed by a pair has the label.
    """
    given: defaultdict[str, dict[str, LabelSet]] = defaultdict(dict)
    for (sentence, annotator), event in standing(line.event for line in corpus.lines).annotations.items():
        if event.state == "reviewed":
            given[sentence][annotator] = event.labels
    pairs = [pair for decisions in given.values() for pair in combinations(decisions.values(), 2)]
    first, second = (_matrix([pair[side] for pair in pairs], codebook) for side in (0, 1))
    found = zip(codebook.label_names, count(first, second).f1, strict=True)
    return {label: None if np.isnan(value) else float(value) for label, value in found}


def _matrix(sets: Sequence[LabelSet], codebook: Codebook) -> Bools:
    """Convert label sets to booleans of shape (sets, labels)."""
    rows = [[label in labels for label in codebook.label_names] for labels in sets]
    return np.array(rows, dtype=bool).reshape(-1, len(codebook.labels))
