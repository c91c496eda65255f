"""From predictions and a labelled sample to the arrays of the estimators, by unit of count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.errors import InputError, counted
from trainer.estimate.estimators import Bools, Corpus, Floats, Ints, Sample, sums_by
from trainer.estimate.given.audits import Audit
from trainer.estimate.given.domains import Groups
from trainer.estimate.given.predictions import Predictions
from trainer.estimate.shares import Documents


@dataclass(frozen=True)
class Items:
    """What is counted: N sentences or documents.

    Attributes:
        probabilities, assigned: of shape (N, L).
        scale: how much each counts, of shape (N,).
        codes: number of the group of each, -1 without one, of shape (N,).
        document: number of the document of each, of shape (N,).
    """

    probabilities: NDArray[np.floating]
    assigned: Bools
    scale: Floats
    codes: Ints
    document: Ints

    def sums(self, numbers: Ints, n: int) -> Corpus:
        """Return sizes and sums of the items with each number below n; items with -1 are left out."""
        kept = numbers >= 0
        own, scale = numbers[kept], self.scale[kept]

        def total(values: NDArray[np.floating] | Bools) -> Floats:
            # One label at a time: a product with the scale for all labels would double the memory.
            return np.column_stack([np.bincount(own, values[kept, i] * scale, n) for i in range(values.shape[1])])

        sizes: Floats = np.bincount(own, scale, n).astype(np.float64)
        return Corpus(sizes, total(self.probabilities), total(self.assigned))


def sentence_items(predictions: Predictions, groups: Groups, scale: Floats | None = None) -> Items:
    """Return the sentences as items; without `scale`, each counts as one."""
    import pandas as pd

    ones = np.ones(len(predictions.ids)) if scale is None else scale
    document = np.asarray(pd.factorize(predictions.documents)[0], dtype=int)
    return Items(predictions.probabilities, predictions.assigned, ones, groups.codes, document)


def statement_scale(texts: Sequence[str]) -> Floats:
    """Return how much each sentence counts if near-duplicates together count as one, of shape (N,)."""
    from labels.text.duplicates import near_duplicate_clusters

    _, number, sizes = np.unique(near_duplicate_clusters(texts), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / sizes[number])


@dataclass(frozen=True)
class Counted:
    """Corpus, sample and documents, as the estimators take them."""

    corpus: Corpus
    sample: Sample
    documents: Documents


def counted_arrays(items: Items, audit: Audit, places: Ints, domains: Bools) -> Counted:
    """Return the arrays for a sample whose rows are the items at `places`, of shape (n,), all with gold."""
    n_groups = domains.shape[1]
    whole = items.sums(items.codes, n_groups).merged(domains)
    # Items without a group belong to the corpus as a whole.
    everything = items.sums(np.zeros(len(items.codes), dtype=int), 1)
    corpus = Corpus(*(np.concatenate([one[:-1], all_]) for one, all_ in
                      ((whole.sizes, everything.sizes), (whole.sums, everything.sums),
                       (whole.counts, everything.counts))))  # fmt: skip
    codes = items.codes[places]
    member = (codes[:, None] == np.arange(n_groups)) & (codes >= 0)[:, None]
    member = np.column_stack([member[:, : len(domains) - 1], np.ones(len(codes), dtype=bool)])
    sample = Sample(
        audit.gold,
        items.probabilities[places].astype(np.float64),
        items.assigned[places].astype(np.float64),
        member,
        items.scale[places],
        audit.unit,
        audit.weights,
        audit.stratum,
        audit.drawn,
        audit.fractions,
        None if audit.outside is None else audit.outside.astype(np.float64),
    )
    pairs, number = np.unique(items.document * (n_groups + 1) + items.codes + 1, return_inverse=True)
    parts = items.sums(number, len(pairs))
    group = pairs % (n_groups + 1) - 1
    # Parts without a group count in the last domain only.
    with_none = np.column_stack([domains, np.arange(len(domains)) == len(domains) - 1])
    documents = Documents(
        pairs // (n_groups + 1),
        np.where(group < 0, n_groups, group),
        parts.sizes,
        parts.sums,
        parts.counts,
        items.document[places],
        with_none,
    )
    return Counted(corpus, sample, documents)


def document_items(predictions: Predictions, groups: Groups, audit: Audit, places: Ints) -> tuple[Items, Audit, Ints]:
    """Return documents as items, with the sample of documents and its places.

    A document has a label if one of its sentences has it; its probability is that of at least one of independent
    sentences. A document belongs to the group of its first sentence.

    Raises:
        InputError: documents of the sample were not read completely, or not drawn as a whole.
    """
    sentences = sentence_items(predictions, groups)
    n = int(sentences.document.max()) + 1
    own = sentences.document[places]
    read = np.bincount(own, minlength=n)
    partly = (read > 0) & (read != np.bincount(sentences.document, minlength=n))
    units = np.unique(np.column_stack([own, audit.unit]), axis=0)
    if partly.any() or len(units) > (read > 0).sum():
        raise InputError(
            f"{counted(int((read > 0).sum()), 'document has', 'documents have')} sentences in the sample, but not all "
            "of them were drawn as whole documents. Documents can be counted only from a sample of whole documents: "
            "draw one with `communique label --strategy document`, or count sentences."
        )
    absent = np.ones((n, predictions.probabilities.shape[1]))
    np.multiply.at(absent, sentences.document, 1 - predictions.probabilities.astype(np.float64))
    assigned = sums_by(predictions.assigned.astype(np.float64), sentences.document, n) > 0
    _, first = np.unique(sentences.document, return_index=True)
    items = Items(1 - absent, np.asarray(assigned), np.ones(n), groups.codes[first], np.arange(n))
    return items, _by_document(audit, own, units), units[:, 0]


def _by_document(audit: Audit, own: Ints, units: Ints) -> Audit:
    """The sample with one row per document: gold is 1 if any sentence has it, nan if only that is unknown."""
    from dataclasses import replace

    gold = np.full((len(units), audit.gold.shape[1]), np.nan)
    for place, document in enumerate(units[:, 0]):
        rows = audit.gold[own == document]
        gold[place] = np.where((rows == 1).any(axis=0), 1.0, rows.max(axis=0))
    unknown = np.isnan(gold).any(axis=1)
    reason = next((one for one in audit.reasons if one), "")
    return replace(
        audit,
        ids=[str(document) for document in units[:, 0]],
        gold=gold,
        reasons=[reason if own_ else "" for own_ in unknown],
        unit=units[:, 1],
        # A document with a span that is not a sentence still belongs to the corpus.
        outside=None,
        coded={},
    )
