"""A labelled probability sample, and its construction from the draws of a label store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from labels.codebook.releases import shipped_version
from labels.codebook.schema import load_codebook
from labels.errors import InputError, counted, did_you_mean
from labels.gold import Resolution, resolve, standing
from labels.sampling.combination import Design, design_of
from trainer.estimate.estimators import Bools, Floats, Ints

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook
    from labels.records import Annotation
    from labels.store import Store

SKIPPED, DISPUTED, UNFINISHED, UNDECIDED = "skipped", "disputed", "unfinished", "undecided after a codebook change"
UNSEEN = "unseen"
NOT_A_SENTENCE = "not a sentence"


@dataclass(frozen=True)
class Audit:
    """A labelled probability sample of n sentences for L labels.

    Attributes:
        ids: ids of the sentences; one of several rounds occurs once in each.
        gold: 1, 0, or nan for a sentence without gold, of shape (n, L).
        reasons: why a sentence has no gold; empty if it has.
        unit: number of the drawn unit of each sentence, of shape (n,).
        weights, stratum: the number of units that each unit stands for, and its stratum, of shape (units,).
        names, drawn, fractions: of the strata.
        corpus: ids of the sentences whose shares can be estimated; None for those of the predictions.
        notes: remarks for readers of the figures.
        provenance: where each part of the sample comes from.
        frame, slack: number of sentences that the strata have together, or None, and by how much it may be wrong.
        outside: true for spans that are not sentences and do not belong to the corpus, of shape (n,); None for none.
        coded: the decisions of several coders on a sentence, of shape (coders, L), by its place.
    """

    labels: tuple[str, ...]
    ids: Sequence[str]
    gold: Floats
    reasons: Sequence[str]
    unit: Ints
    weights: Floats
    stratum: Ints
    names: Sequence[str]
    drawn: Floats
    fractions: Floats
    corpus: Collection[str] | None = None
    codebook_hash: str = ""
    notes: Sequence[str] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    frame: float | None = None
    slack: float = 0.5
    outside: Bools | None = None
    coded: Mapping[int, Floats] = field(default_factory=dict)

    @property
    def missing(self) -> Counter[str]:
        """Numbers of drawn sentences without gold, by reason."""
        return Counter(reason for reason in self.reasons if reason)

    def filled(self, value: float) -> Audit:
        """Return the sample with this gold, 0 or 1, for all sentences without gold."""
        return replace(self, gold=np.where(np.isnan(self.gold), value, self.gold))

    def imputed(self, generator: np.random.Generator) -> Audit:
        """Return the sample with the decision of a random coder for each sentence that several coders decided on."""
        gold, reasons = self.gold.copy(), list(self.reasons)
        for place, decisions in self.coded.items():
            gold[place], reasons[place] = decisions[generator.integers(len(decisions))], ""
        return replace(self, gold=gold, reasons=reasons)

    def answered(self) -> Audit:
        """Return the sentences with gold, which then also stand for those without: missing at random in a stratum.

        In a unit with several sentences, those without gold count as missing from the unit.

        Raises:
            InputError: a stratum has no gold at all.
        """
        has: Bools = np.asarray(~np.isnan(self.gold).any(axis=1))
        if has.all():
            return self
        alive = np.bincount(self.unit[has], minlength=len(self.weights)) > 0
        number = np.cumsum(alive) - 1
        before = np.bincount(self.stratum, minlength=len(self.drawn)).astype(float)
        after = np.bincount(self.stratum[alive], minlength=len(self.drawn)).astype(float)
        if ((before > 0) & (after == 0)).any():
            name = self.names[int(((before > 0) & (after == 0)).argmax())]
            raise InputError(
                f"no sentence of stratum '{name or 'all'}' has gold labels, so nothing is known about it. Label or "
                "adjudicate some of them."
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            more = np.where(after > 0, before / after, 1.0)
            kept = np.where(before > 0, after / before, 1.0)
        return replace(
            self,
            ids=[one for one, own in zip(self.ids, has, strict=True) if own],
            gold=self.gold[has],
            outside=None if self.outside is None else self.outside[has],
            coded={},
            reasons=[""] * int(has.sum()),
            unit=number[self.unit[has]],
            weights=(self.weights * more[self.stratum])[alive],
            stratum=self.stratum[alive],
            drawn=np.maximum(self.drawn - (before - after), 1),
            fractions=self.fractions * kept,
        )

    def refuse_single_units(self) -> None:
        """Refuse a sample whose variance is unknown because a stratum has only one unit.

        Raises:
            InputError: there is such a stratum, and it has more units that were not drawn.
        """
        alone = [name for name, n, share in zip(self.names, self.drawn, self.fractions, strict=True)
                 if n < 2 and share < 1]  # fmt: skip
        if alone:
            raise InputError(
                f"stratum '{alone[0]}' of the sample has only one labelled unit, so the variance within it is unknown. "
                "Label more of its sentences, or merge it with a similar stratum in a sample file: give the rows of "
                "both one name in `stratum` and the sum of both sizes in `stratum_size`, and keep the probabilities."
            )


# -- from a store


def known_codebook(store: Store, codebook_hash: str, carried: Codebook | None = None) -> Codebook:
    """Return the codebook with a hash: of the store, a shipped one, or the one that an artefact carries.

    Raises:
        InputError: it is none of them.
    """
    stored = store.codebooks.all()
    if codebook_hash in stored:
        return stored[codebook_hash]
    if shipped := shipped_version(codebook_hash):
        return load_codebook(shipped)
    if carried is not None and carried.hash == codebook_hash:
        return carried
    raise InputError(
        f"{store.name} does not have the codebook of the predictions ({codebook_hash or 'unknown'}). Name it with "
        "--codebook, e.g. the codebook.toml in the folder of the model."
    )


def stored_audit(
    store: Store, codebook: Callable[[], Codebook], labels: Sequence[str], draws: Collection[str] = ()
) -> Audit:
    """Return the sample that a store's draws form, with its gold.

    Args:
        codebook: returns the codebook; not called if there is no sample.
        labels: the labels of the predictions, in order.
        draws: ids of the draws to use; empty for all.

    Raises:
        InputError: see `labels.sampling.combination.design_of`; or the codebook lacks a label of the predictions.
        CodebookError: see `labels.gold.resolve`.
    """
    design = design_of(store, draws)
    book = codebook()
    _check_labels(book, labels)
    events = store.events.all()
    resolution = resolve(events, book, store.codebooks.history())
    reasons = _reasons(resolution)
    outside = set(resolution.not_sentences)
    gold = np.full((len(design.units), len(labels)), np.nan)
    why: list[str] = []
    for place, unit in enumerate(design.units):
        found = resolution.gold.get(unit.sentence_id)
        if found is not None or unit.sentence_id in outside:
            gold[place] = [one in (found or ()) for one in labels]
            why.append("")
        else:
            why.append(reasons.get(unit.sentence_id, UNFINISHED))
    places = np.array([unit.sentence_id in outside for unit in design.units], dtype=bool)
    keys = {(one.stratum, one.cluster or one.sentence_id): None for one in design.units}
    numbers = {key: number for number, key in enumerate(keys)}
    stratum = np.array([key[0] for key in keys], dtype=int)
    sizes, drawn, shares = (np.array([getattr(one, name) for one in design.strata], dtype=float)
                            for name in ("size", "drawn", "weight"))  # fmt: skip
    return Audit(
        tuple(labels),
        [one.sentence_id for one in design.units],
        gold,
        why,
        np.array([numbers[one.stratum, one.cluster or one.sentence_id] for one in design.units], dtype=int),
        (shares * sizes / drawn)[stratum],
        stratum,
        [one.name for one in design.strata],
        drawn,
        drawn / sizes,
        {one.id for one in design.corpus},
        book.hash,
        [
            *_notes(design),
            *_other_codebooks(store, design, events, book),
        ],
        {
            "gold": store.name,
            "codebook of the gold labels": f"{book.name}@{book.version} ({book.hash})",
            "draws": ", ".join(design.draws),
            "combination of draws": design.rule,
        },
        outside=places if places.any() else None,
        coded=_coded(events, [one.sentence_id for one in design.units], labels, book),
    )


def _check_labels(codebook: Codebook, labels: Sequence[str]) -> None:
    for label in labels:
        if label not in codebook.label_names:
            raise InputError(
                f"the predictions have the label '{label}', which the codebook {codebook.name} "
                f"{codebook.version} does not have{did_you_mean(label, codebook.label_names)}. Predict with a model of "
                "this codebook, or name the model's codebook with --codebook."
            )


def _reasons(resolution: Resolution) -> dict[str, str]:
    return {
        **dict.fromkeys(resolution.skipped, SKIPPED),
        **dict.fromkeys(resolution.disputed, DISPUTED),
        **dict.fromkeys(resolution.undecided, UNDECIDED),
    }


def _coded(
    events: Sequence[Annotation], ids: Sequence[str], labels: Sequence[str], codebook: Codebook
) -> dict[int, Floats]:
    """The reviewed decisions of each coder under this codebook, by place, where there are at least two."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for (sentence, _), one in standing(events).annotations.items():
        if one.state == "reviewed" and one.codebook_hash in ("", codebook.hash):
            found.setdefault(sentence, []).append(tuple(one.labels))
    return {
        place: np.array([[float(label in own) for label in labels] for own in found[sentence]])
        for place, sentence in enumerate(ids)
        if len(found.get(sentence, ())) > 1
    }


def _notes(design: Design) -> list[str]:
    notes = []
    if design.added:
        where = counted(len(design.added_documents), "document")
        notes.append(
            f"{counted(design.added, 'sentence')} of {where} came after the draw and are not part of the estimate: "
            f"{_listed(design.added_documents)}"
        )
    if design.withdrawn:
        what = counted(design.withdrawn, "sentence has", "sentences have")
        removed = f" (documents {_listed(design.removed_documents)})" if design.removed_documents else ""
        notes.append(f"{what} left the store since the draw{removed} and are not part of the estimate")
    return notes


def _other_codebooks(store: Store, design: Design, events: Sequence[Annotation], codebook: Codebook) -> list[str]:
    """A remark on decisions of the sample that were made with another version of the codebook."""
    drawn = {one.sentence_id for one in design.units}
    stored = store.codebooks.all()
    read = codebook_name(codebook.hash, stored)
    last = {one.sentence_id: one.codebook_hash for one in events if one.sentence_id in drawn and one.codebook_hash}
    counts = Counter(known for known in last.values() if known != codebook.hash)
    return [
        f"{counted(count, 'sentence')} of the sample {'was' if count == 1 else 'were'} coded with "
        f"{codebook_name(known, stored)}, and the labels are read as those of {read}; if the rules of a label differ, "
        "its share follows the rules of the coders"
        for known, count in counts.items()
    ]


def codebook_name(codebook_hash: str, stored: Mapping[str, Codebook] | None = None) -> str:
    """Return how a codebook is named with --codebook: as NAME@VERSION if it is shipped or stored, else its hash."""
    if shipped := shipped_version(codebook_hash):
        return shipped
    found = (stored or {}).get(codebook_hash)
    return f"{found.name}@{found.version}" if found else codebook_hash


def _listed(ids: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(ids) - shown} more" if len(ids) > shown else ""
    return ", ".join(ids[:shown]) + more
