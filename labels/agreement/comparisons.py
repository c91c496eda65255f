"""Sentences that several people rated (or one person several times), and the figures of their agreement.

Which decisions are compared is `agreement`'s business, what a coefficient is `reliability`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from labels.agreement.coefficients import (
    MISSING,
    Bootstrap,
    Estimate,
    Resampling,
    alpha_of,
    alpha_sums,
    distance_matrix,
    kappa_of,
    kappa_sums,
    masi_distance,
    mean_of_defined,
    ratio,
    resample,
)
from labels.codebook.schema import Codebook
from labels.records import Sentence

if TYPE_CHECKING:
    from labels.agreement.coefficients import Floats, Integers

LabelSet = tuple[str, ...]

_NOBODY = "no sentence was reviewed by two annotators"
_ALL_ALIKE = "no variation: everybody gave one and the same value"
_PAIRS_ALIKE = "no variation: two annotators gave one and the same value"
_NO_LABEL = "undefined for every label"


@dataclass(frozen=True)
class Unit:
    """A sentence with the label sets that it was given, by annotator (or by reading)."""

    sentence: Sentence
    given: Mapping[str, LabelSet]


@dataclass(frozen=True)
class Coefficients:
    """`prevalence`: share of decisions with the label, None without decisions. `kappa`: Cohen's, its mean over the
    pairs of annotators where there are several (Light 1971). `alpha`: Krippendorff's, nominal.
    """

    prevalence: float | None
    kappa: Estimate
    alpha: Estimate


@dataclass(frozen=True)
class PairAgreement:
    """Cohen's kappa of two annotators on the `n_sentences` that both reviewed: `kappa` over whole label sets, and for
    each label by name.
    """

    annotators: tuple[str, str]
    n_sentences: int
    n_documents: int
    kappa: Estimate
    per_label: dict[str, Estimate]


@dataclass(frozen=True)
class Figures:
    """Agreement on `n_sentences` that at least two of `annotators` reviewed.

    `exact_agreement` is the share of pairs of decisions on the same sentence that are equal, not corrected for chance.
    `sets` takes whole label sets as values, none included: the classes of an exclusive codebook. Its prevalence is the
    share of decisions with any label. `masi_alpha` gives sets that overlap part of the credit. `mean_kappa` and
    `mean_alpha` are over the labels for which they are defined.
    """

    n_sentences: int
    n_documents: int
    n_decisions: int
    annotators: tuple[str, ...]
    exact_agreement: Estimate
    sets: Coefficients
    masi_alpha: Estimate
    mean_kappa: Estimate
    mean_alpha: Estimate
    per_label: dict[str, Coefficients]
    pairs: tuple[PairAgreement, ...]


def figures(units: Sequence[Unit], codebook: Codebook, bootstrap: Bootstrap) -> Figures:
    """Agreement on units that at least two rated each; all undefined where there are no units."""
    if not units:
        return _no_figures(codebook)
    ratings = _ratings(units, codebook, bootstrap)
    pairs = list(_pairs(ratings))
    estimate = ratings.resampling.estimate
    kappas = {label: mean_of_defined([pair.per_label[label] for pair in pairs]) for label in ratings.columns}
    alphas = {label: ratings.alpha(codes, _nominal(2)) for label, codes in ratings.columns.items()}
    nominal, masi = _nominal(len(ratings.values)), distance_matrix(ratings.values, masi_distance)
    return Figures(
        n_sentences=len(units),
        n_documents=ratings.resampling.n_documents,
        n_decisions=sum(len(unit.given) for unit in units),
        annotators=ratings.raters,
        exact_agreement=estimate(_exact_agreement(pairs), _NOBODY),
        sets=Coefficients(
            prevalence=_prevalence(units, codebook.label_names),
            kappa=estimate(mean_of_defined([pair.kappa for pair in pairs]), _PAIRS_ALIKE),
            alpha=estimate(ratings.alpha(ratings.codes, nominal), _ALL_ALIKE),
        ),
        masi_alpha=estimate(ratings.alpha(ratings.codes, masi), _ALL_ALIKE),
        mean_kappa=estimate(mean_of_defined(list(kappas.values())), _NO_LABEL),
        mean_alpha=estimate(mean_of_defined(list(alphas.values())), _NO_LABEL),
        per_label={
            label: Coefficients(
                prevalence=_prevalence(units, [label]),
                kappa=estimate(kappas[label], _PAIRS_ALIKE, n_with_label=_documents_with(codes, ratings.resampling)),
                alpha=estimate(alphas[label], _ALL_ALIKE, n_with_label=_documents_with(codes, ratings.resampling)),
            )
            for label, codes in ratings.columns.items()
        },
        pairs=tuple(_pair_agreement(pair, ratings.resampling) for pair in pairs),
    )


@dataclass(frozen=True)
class _Ratings:
    """`codes` is (units, raters): which of `values` a rater gave, or `MISSING`; `columns` the same for each label by
    name, 0 or 1.
    """

    raters: tuple[str, ...]
    values: list[LabelSet]
    codes: Integers
    columns: dict[str, Integers]
    resampling: Resampling

    def alpha(self, codes: Integers, distances: Floats) -> Floats:
        """Krippendorff's alpha in each draw."""
        sums = alpha_sums(codes, distances, self.resampling.groups, self.resampling.n_documents)
        return alpha_of(self.resampling.weights @ sums, distances)


@dataclass(frozen=True)
class _Pair:
    """Two raters: on how many units they agree and how many they share, and kappa, each in each draw.

    `n_documents` counts those in which they share a unit, `with_label` those in which either gave a label to one.
    """

    raters: tuple[str, str]
    n_documents: int
    with_label: dict[str, int]
    agreed: Floats
    shared: Floats
    kappa: Floats
    per_label: dict[str, Floats]


def _no_figures(codebook: Codebook) -> Figures:
    absent = Estimate(None, undefined=_NOBODY)
    nothing = Coefficients(None, absent, absent)
    return Figures(
        n_sentences=0,
        n_documents=0,
        n_decisions=0,
        annotators=(),
        exact_agreement=absent,
        sets=nothing,
        masi_alpha=absent,
        mean_kappa=absent,
        mean_alpha=absent,
        per_label=dict.fromkeys(codebook.label_names, nothing),
        pairs=(),
    )


def _ratings(units: Sequence[Unit], codebook: Codebook, bootstrap: Bootstrap) -> _Ratings:
    import numpy as np

    raters = tuple(sorted({rater for unit in units for rater in unit.given}))
    values = sorted({labels for unit in units for labels in unit.given.values()})
    number = {labels: code for code, labels in enumerate(values)}
    codes = np.array(
        [[number[unit.given[rater]] if rater in unit.given else MISSING for rater in raters] for unit in units]
    )
    bears = {label: np.array([int(label in labels) for labels in values]) for label in codebook.label_names}
    return _Ratings(
        raters=raters,
        values=values,
        codes=codes,
        columns={label: np.where(codes == MISSING, MISSING, born[codes]) for label, born in bears.items()},
        resampling=resample([unit.sentence.document_id for unit in units], bootstrap),
    )


def _documents_with(codes: Integers, resampling: Resampling) -> int:
    """In how many documents anybody gave a label, from its (units, raters) codes."""
    return len(set(resampling.groups[(codes == 1).any(axis=1)].tolist()))


def _shared(codes: Integers) -> Integers:
    """The same codes, `MISSING` where not every rater gave one."""
    import numpy as np

    return np.where((codes == MISSING).any(axis=1, keepdims=True), MISSING, codes)


def _pairs(ratings: _Ratings) -> Iterator[_Pair]:
    """Every two raters who share a unit."""
    groups, weights, columns = ratings.resampling.groups, ratings.resampling.weights, ratings.columns
    n_documents = ratings.resampling.n_documents
    for first, second in combinations(range(len(ratings.raters)), 2):
        pair = [first, second]
        sums = kappa_sums(ratings.codes[:, pair], len(ratings.values), groups, n_documents)
        shared = sums[:, 1 : 1 + len(ratings.values)].sum(axis=1)
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
            kappa=kappa_of(weights @ sums),
            per_label={
                label: kappa_of(weights @ kappa_sums(codes[:, pair], 2, groups, n_documents))
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
    """Share of pairs of decisions on a unit that are equal, in each draw."""
    import numpy as np

    return ratio(np.sum([pair.agreed for pair in pairs], axis=0), np.sum([pair.shared for pair in pairs], axis=0))


def _nominal(n_values: int) -> Floats:
    import numpy as np

    return 1 - np.eye(n_values)


def _prevalence(units: Iterable[Unit], names: Iterable[str]) -> float:
    """Share of the decisions that have one of these labels."""
    wanted = set(names)
    decisions = [not wanted.isdisjoint(labels) for unit in units for labels in unit.given.values()]
    return sum(decisions) / len(decisions)
