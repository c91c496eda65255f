"""Read a labelled sample with its weights, from a file or a store, without the sentences that a model learned from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import InputError, counted
from labels.records import Example
from labels.store import Store
from labels.text.examples import ReadingOptions, read_inclusion_probabilities, read_labelled
from trainer.calibration.calibration import Floats
from trainer.estimate.given.audits import known_codebook, stored_audit
from trainer.model.model import Model
from trainer.model.seen import DOCUMENT, text_id


@dataclass(frozen=True)
class LabelledSentences:
    """Labelled sentences that the model has not learned from, with their weights of shape (n,)."""

    examples: list[Example]
    weights: Floats
    source: str
    notes: list[str]


def file_sample(model: Model, path: Path, options: ReadingOptions) -> LabelledSentences:
    """Read a labelled file; a column `inclusion_probability` gives the weights of its rows.

    Raises:
        DataError: see `read_labelled` and `read_inclusion_probabilities`.
    """
    read = read_labelled([(path, "audit")], model.codebook, options)
    examples = read.examples[0]
    chances = read_inclusion_probabilities(path, "audit", options)
    weights = np.array([1 / chances[one.id] if chances else 1.0 for one in examples])
    return LabelledSentences(examples, weights, str(path), [note.rstrip(".") for note in read.notes])


def store_sample(
    model: Model, store: Store, codebook: Codebook | str | Path | None, draws: Collection[str]
) -> LabelledSentences:
    """Read the labelled probability sample of a store.

    Args:
        codebook: of the labels; None for that of the model.
        draws: ids of the draws to use; empty for all.

    Raises:
        InputError: there is no labelled sample, or see `stored_audit`.
    """

    def book() -> Codebook:
        if codebook is None:
            return known_codebook(store, model.codebook.hash, model.codebook)
        return codebook if isinstance(codebook, Codebook) else load_codebook(codebook)

    audit = stored_audit(store, book, model.labels, draws)
    if audit.missing.total() == len(audit.ids):
        raise InputError(
            "no sentence of the sample has gold labels. Label the sample, or adjudicate disputed sentences."
        )
    notes = list(audit.notes)
    if missing := audit.missing:
        reasons = ", ".join(f"{n} {why}" for why, n in missing.most_common())
        notes.append(f"drawn sentences without gold labels are treated like the others in their stratum: {reasons}")
    answered = audit.answered()
    sentences = {one.id: one for one in store.documents.sentences(answered.ids)}
    examples = [
        Example(
            one, sentences[one].document_id, sentences[one].text,
            tuple(label for label, has in zip(model.labels, row, strict=True) if has),
        )
        for one, row in zip(answered.ids, answered.gold, strict=True)
    ]  # fmt: skip
    return LabelledSentences(examples, answered.weights[answered.unit], store.name, notes)


def without_learned(model: Model, found: LabelledSentences) -> LabelledSentences:
    """Leave out sentences that the model learned from: its probabilities for them are too good.

    Raises:
        InputError: no sentence is left.
    """
    known = set(model.manifest.training_ids) if model.manifest else set()
    if not known:
        note = (
            "the model does not record which sentences it learned from; if the sample contains such sentences, the "
            "figures are too optimistic"
        )
        return replace(found, notes=[*found.notes, note])
    kept = np.array(
        [text_id(one.text) not in known and f"{DOCUMENT}{one.document_id}" not in known for one in found.examples]
    )
    if kept.all():
        return found
    examples = [one for one, own in zip(found.examples, kept, strict=True) if own]
    left = counted(int((~kept).sum()), "sentence was", "sentences were")
    note = f"{left} left out, because the model learned from them or from their documents"
    if not examples:
        raise InputError(
            f"{found.source}: the model learned from all of these sentences or their documents, so they cannot show "
            "how well its probabilities fit. Use sentences from other documents."
        )
    return LabelledSentences(examples, found.weights[kept], found.source, [*found.notes, note])
