"""Agreement figures of units: sentences that several annotators reviewed, or one annotator several times.

`report` chooses which decisions are compared; the coefficients are in `coefficients`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from labels.agreement import coefficients
from labels.agreement.coefficients import MISSING, Bootstrap, Estimate, Floats, Integers, Resampling, mean_of_defined
from labels.codebook.schema import Codebook
from labels.records import Sentence

LabelSet = tuple[str, ...]

_NO_UNITS = "no sentence was reviewed by two annotators"
_ALL_ALIKE = "no variation: all annotators gave the same value throughout"
_PAIRS_ALIKE = "no variation: both annotators gave the same value throughout"
_NO_LABEL = "undefined for every label"


@dataclass(frozen=True)
class Unit:
    """A sentence with the label set given by each annotator (or by one annotator in each reading)."""

    sentence: Sentence
    given: Mapping[str, LabelSet]


@dataclass(frozen=True)
class Coefficients:
    """Agreement on one label, or on whole label sets.

    `prevalence` is the share of decisions with the label; None if there are no decisions. `kappa` is Cohen's kappa; if
    there are several pairs of annotators, the mean over the pairs (Light 1971). `alpha` is Krippendorff's nominal
    alpha, and `ac1` is Gwet's AC1.
    """

    prevalence: float | None
    kappa: Estimate
    alpha: Estimate
    ac1: Estimate


_UNDEFINED = Estimate(None, undefined=_NO_UNITS)
_NO_COEFFICIENTS = Coefficients(None, _UNDEFINED, _UNDEFINED, _UNDEFINED)


@dataclass(frozen=True)
class PairAgreement:
    """Cohen's kappa of two annotators for whole label sets and per label, on `n_sentences` that both reviewed."""

    annotators: tuple[str, str]
    n_sentences: int
    n_documents: int
    kappa: Estimate
    per_label: dict[str, Estimate]


@dataclass(frozen=True)
class Figures:
    """Agreement on `n_sentences` that at least two of `annotators` reviewed.

    `exact_agreement` is the share of equal pairs of decisions on the same sentence, not corrected for chance. `sets`
    compares whole label sets, including the empty set; in an exclusive codebook, these are the classes. The prevalence
    of `sets` is the share of decisions with any label. `masi_alpha` gives partial credit for overlapping sets.
    `mean_kappa` and `mean_alpha` are means over the labels for which kappa or alpha is defined.
    """

    n_sentences: int = 0
    n_documents: int = 0
    n_decisions: int = 0
    annotators: tuple[str, ...] = ()
    exact_agreement: Estimate = _UNDEFINED
    sets: Coefficients = _NO_COEFFICIENTS
    masi_alpha: Estimate = _UNDEFINED
    mean_kappa: Estimate = _UNDEFINED
    mean_alpha: Estimate = _UNDEFINED
    per_label: dict[str, Coefficients] = field(default_factory=dict)
    pairs: tuple[PairAgreement, ...] = ()


def figures(units: Sequence[Unit], codebook: Codebook, bootstrap: Bootstrap) -> Figures:
    """Compute agreement on units with at least two label sets each; without units, all figures are undefined."""
    if not units:
        return Figures(per_label=dict.fromkeys(codebook.label_names, _NO_COEFFICIENTS))
    ratings = _ratings(units, codebook, bootstrap)
    pairs = list(_pairs(ratings))
    estimate = ratings.resampling.estimate
    kappas = {label: mean_of_defined([pair.per_label[label] for pair in pairs]) for label in ratings.columns}
    alphas = {label: ratings.alpha(codes, _nominal(2)) for label, codes in ratings.columns.items()}
    nominal = _nominal(len(ratings.values))
    masi = coefficients.distance_matrix(ratings.values, coefficients.masi_distance)
    return Figures(
        n_sentences=len(units),
        n_documents=ratings.resampling.n_documents,
        n_decisions=sum(len(unit.given) for unit in units),
        annotators=ratings.raters,
        exact_agreement=estimate(_exact_agreement(pairs), _NO_UNITS),
        sets=Coefficients(
            prevalence=_prevalence(units, codebook.label_names),
            kappa=estimate(mean_of_defined([pair.kappa for pair in pairs]), _PAIRS_ALIKE),
            alpha=estimate(ratings.alpha(ratings.codes, nominal), _ALL_ALIKE),
            ac1=estimate(ratings.ac1(ratings.codes, len(ratings.values)), _NO_UNITS),
        ),
        masi_alpha=estimate(ratings.alpha(ratings.codes, masi), _ALL_ALIKE),
        mean_kappa=estimate(mean_of_defined(list(kappas.values())), _NO_LABEL),
        mean_alpha=estimate(mean_of_defined(list(alphas.values())), _NO_LABEL),
        per_label={
            label: Coefficients(
                prevalence=_prevalence(units, [label]),
                kappa=estimate(kappas[label], _PAIRS_ALIKE, n_with_label=_documents_with(codes, ratings.resampling)),
                alpha=estimate(alphas[label], _ALL_ALIKE, n_with_label=_documents_with(codes, ratings.resampling)),
                ac1=estimate(ratings.ac1(codes, 2), _NO_UNITS, n_with_label=_documents_with(codes, ratings.resampling)),
            )
            for label, codes in ratings.columns.items()
        },
        pairs=tuple(_pair_agreement(pair, ratings.resampling) for pair in pairs),
    )


@dataclass(frozen=True)
class _Ratings:
    """The label sets as arrays.

    `codes`, of shape (units, raters), contains the position in `values` of the rater's label set, or `MISSING`.
    `columns` maps each label name to an array of the same shape: 1 if the rater gave the label, 0 if not, or `MISSING`.
    """

    raters: tuple[str, ...]
    values: list[LabelSet]
    codes: Integers
    columns: dict[str, Integers]
    resampling: Resampling

    def alpha(self, codes: Integers, distances: Floats) -> Floats:
        """Krippendorff's alpha for every draw."""
        sums = coefficients.alpha_sums(codes, distances, self.resampling.groups, self.resampling.n_documents)
        return coefficients.alpha_of(self.resampling.weights @ sums, distances)

    def ac1(self, codes: Integers, n_values: int) -> Floats:
        """Gwet's AC1 for every draw."""
        sums = coefficients.ac1_sums(codes, n_values, self.resampling.groups, self.resampling.n_documents)
        return coefficients.ac1_of(self.resampling.weights @ sums)


@dataclass(frozen=True)
class _Pair:
    """Two raters, with figures in every draw, for the units that both rated (the shared units).

    Attributes:
        n_documents: number of documents with a shared unit.
        with_label: for each label, the number of documents in which at least one of the two raters gave the label to a
            shared unit.
        agreed, shared: numbers of equal and of all pairs of label sets, of shape (draws,).
        kappa, per_label: kappa for whole label sets and for each label, of shape (draws,).
    """

    raters: tuple[str, str]
    n_documents: int
    with_label: dict[str, int]
    agreed: Floats
    shared: Floats
    kappa: Floats
    per_label: dict[str, Floats]


def _ratings(units: Sequence[Unit], codebook: Codebook, bootstrap: Bootstrap) -> _Ratings:
    raters = tuple(sorted({rater for unit in units for rater in unit.given}))
    values = sorted({labels for unit in units for labels in unit.given.values()})
    number = {labels: code for code, labels in enumerate(values)}
    codes = np.array(
        [[number[unit.given[rater]] if rater in unit.given else MISSING for rater in raters] for unit in units]
    )
    # Computed once for each distinct label set, then looked up for every unit.
    has_label = {label: np.array([int(label in labels) for labels in values]) for label in codebook.label_names}
    return _Ratings(
        raters=raters,
        values=values,
        codes=codes,
        # `MISSING` is -1 and selects the last value in `has[codes]`; `where` then restores it.
        columns={label: np.where(codes == MISSING, MISSING, has[codes]) for label, has in has_label.items()},
        resampling=coefficients.resample([unit.sentence.document_id for unit in units], bootstrap),
    )


def _documents_with(codes: Integers, resampling: Resampling) -> int:
    """The number of documents in which a rater gave a label, from the codes of the label (units, raters)."""
    return len(set(resampling.groups[(codes == 1).any(axis=1)].tolist()))


def _shared(codes: Integers) -> Integers:
    """The codes, with `MISSING` for units that at least one rater did not rate."""
    return np.where((codes == MISSING).any(axis=1, keepdims=True), MISSING, codes)


def _pairs(ratings: _Ratings) -> Iterator[_Pair]:
    """Yield all pairs of raters who rated a common unit."""
    groups, weights, columns = ratings.resampling.groups, ratings.resampling.weights, ratings.columns
    n_documents = ratings.resampling.n_documents
    for first, second in combinations(range(len(ratings.raters)), 2):
        pair = [first, second]
        sums = coefficients.kappa_sums(ratings.codes[:, pair], len(ratings.values), groups, n_documents)
        shared = sums[:, 1 : 1 + len(ratings.values)].sum(axis=1)
        # Two raters who share no sentence are not a pair: they would add an undefined kappa to the means.
        if not shared.any():
            continue
        yield _Pair(
            raters=(ratings.raters[first], ratings.raters[second]),
            n_documents=int((shared > 0).sum()),
            with_label={
                label: _documents_with(_shared(codes[:, pair]), ratings.resampling) for label, codes in columns.items()
            },
            agreed=weights @ sums[:, 0],
            shared=weights @ shared,
            kappa=coefficients.kappa_of(weights @ sums),
            per_label={
                label: coefficients.kappa_of(weights @ coefficients.kappa_sums(codes[:, pair], 2, groups, n_documents))
                for label, codes in columns.items()
            },
        )


def _pair_agreement(pair: _Pair, resampling: Resampling) -> PairAgreement:
    return PairAgreement(
        annotators=pair.raters,
        n_sentences=int(pair.shared[0]),
        n_documents=pair.n_documents,
        kappa=resampling.estimate(pair.kappa, _PAIRS_ALIKE, n_documents=pair.n_documents),
        per_label={
            label: resampling.estimate(
                kappa, _PAIRS_ALIKE, n_documents=pair.n_documents, n_with_label=pair.with_label[label]
            )
            for label, kappa in pair.per_label.items()
        },
    )


def _exact_agreement(pairs: Sequence[_Pair]) -> Floats:
    """The share of equal pairs of decisions on a unit, in every draw."""
    agreed, shared = ([getattr(pair, name) for pair in pairs] for name in ("agreed", "shared"))
    return coefficients.ratio(np.sum(agreed, axis=0), np.sum(shared, axis=0))


def _nominal(n_values: int) -> Floats:
    return 1 - np.eye(n_values)


def _prevalence(units: Iterable[Unit], names: Iterable[str]) -> float:
    """The share of decisions with at least one of these labels."""
    wanted = set(names)
    decisions = [not wanted.isdisjoint(labels) for unit in units for labels in unit.given.values()]
    return sum(decisions) / len(decisions)
