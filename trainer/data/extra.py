"""Rows from elsewhere that are added to train.

They are the starter corpus or any labelled file (`data.extra` of an experiment), or the sentences of a store that a
language model has coded (`data.silver`).

They are never used for validation or test, so all figures and thresholds describe the experiment's own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from labels.codebook.schema import Codebook
from labels.errors import ExperimentError, counted
from labels.records import Example
from labels.text.duplicates import near_duplicates_of
from labels.text.examples import ReadingOptions, read_labelled
from trainer.config.sections import DataSection
from trainer.data.splits import Parts

SEEDS = "seeds"
"""The value of `data.extra` for the starter corpus."""


def extra_examples(data: DataSection, codebook: Codebook, parts: Parts) -> tuple[tuple[Example, ...], list[str]]:
    """Read the extra rows, and leave out copies and near-duplicates of own rows, and rows of the same documents.

    Relatives of train rows are left out too, because cross-fitting holds out train rows in turn.

    Returns:
        The rows, with the weight `data.extra_weight`, and notes on their numbers; both empty without `data.extra`.

    Raises:
        ExperimentError: the rows cannot be read under the codebook, or none is left.
        DataError, CodebookError: the file is not valid.
    """
    if not data.extra:
        return (), []
    found = _read(data, codebook)
    own = [example for part in parts.values() for example in part]
    joined = tuple(replace(one, weight=data.extra_weight) for one in _without_relatives(found, own))
    if not joined:
        raise ExperimentError(
            f'data.extra = "{data.extra}": all {counted(len(found), "row")} are already in the data, or are '
            "near-duplicates of its rows. Remove data.extra, or name other rows."
        )
    rows = counted(len(joined), "invented row" if all(one.synthetic for one in joined) else "row")
    notes = [f"train also has {rows} from {data.extra}, each with weight {data.extra_weight:g}"]
    if left_out := len(found) - len(joined):
        rows = counted(left_out, "row")
        notes.append(f"{rows} of data.extra left out: near-duplicates of rows in the data, or from the same documents")
    return joined, notes


def silver_examples(
    data: DataSection, store: str, codebook: Codebook, parts: Parts, *, train_is_held_out: bool
) -> tuple[tuple[Example, ...], list[str]]:
    """Read a language model's labels of sentences on which no person has decided, as examples for training.

    Relatives of validation and test sentences are left out: near-duplicates, and sentences of the same documents.

    Args:
        train_is_held_out: also leave out relatives of train sentences, which cross-fitting holds out in turn.

    Returns:
        The examples, with the weight `data.silver_weight`, and notes for the report.

    Raises:
        InputError: the store has no answers by this coder.
        ExperimentError: no answer is left.
    """
    # Imported here, because training on files does not need the label store.
    from labels.gold import standing
    from labels.sampling.model_coders import known_coder
    from labels.store import Store

    with Store(store, create=False) as opened:
        coder = known_coder(opened, data.silver)
        given = coder.labels_under(codebook, opened.codebooks.history())
        stands = standing(opened.events.all(sentence_ids=given))
        decided = {sentence for sentence, _ in stands.annotations} | stands.adjudications.keys()
        sentences = opened.documents.by_first_version(one for one in given if one not in decided)
    found = [
        Example(one.id, one.document_id, one.text, given[one.id], synthetic=one.synthetic, weight=data.silver_weight)
        for one in sentences.values()
    ]
    measured = [one for name, part in parts.items() if name != "train" or train_is_held_out for one in part]
    known = {one.text for part in parts.values() for one in part}
    kept = tuple(one for one in _without_relatives(found, measured) if one.text not in known)
    if not kept:
        raise ExperimentError(
            f'data.silver = "{data.silver}": none of the {counted(len(given), "sentence")} that this model has coded '
            "can be used for training: people have decided on them, or they are related to validation or test "
            "sentences. Remove data.silver, or let the model code other documents (`communique llm code`)."
        )
    model = coder.facts.get("model", "unknown")
    notes = [
        f"train also has {counted(len(kept), 'sentence')} labelled by {coder.name} (model {model}), not by people, "
        f"each with weight {data.silver_weight:g}; validation and test contain only labels by people"
    ]
    if left_out := len(given) - len(kept):
        notes.append(
            f"left out: {counted(left_out, 'sentence')} coded by {coder.name}, because people have decided on them or "
            "they are related to validation or test sentences"
        )
    return kept, notes


def _read(data: DataSection, codebook: Codebook) -> Sequence[Example]:
    if data.extra == SEEDS:
        # Imported here, because training on files does not need the label store.
        from trainer.data.corpus import seed_examples

        return seed_examples(codebook).examples
    options = ReadingOptions(data.text_column, data.label_column, data.blank)
    return read_labelled([(Path(data.extra), "extra")], codebook, options).examples[0]


def _without_relatives(rows: Sequence[Example], own: Sequence[Example]) -> list[Example]:
    known = {key for one in own for key in (one.id, one.text)}
    documents = {one.document_id for one in own if one.document_id}
    near = set(near_duplicates_of([one.text for one in rows], [one.text for one in own]))
    return [
        one
        for place, one in enumerate(rows)
        if place not in near and not known & {one.id, one.text} and one.document_id not in documents
    ]
