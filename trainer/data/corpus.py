"""Gold as examples: of the starter corpus, or of a label store.

Apart from `dataset`, so that training on a file opens no store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import ExperimentError
from labels.exchange.jsonl import read_annotations
from labels.gold import Resolution, resolve
from labels.records import RANDOM_STRATEGIES, Annotation, Example, Sentence
from labels.settings import command, relabel_command
from labels.store import Store
from trainer.environment import STARTER_CODEBOOK, shipped


@dataclass(frozen=True)
class Gold:
    """Examples with their gold labels, and notes on the sentences left out and on annotations read through a change."""

    examples: list[Example]
    notes: tuple[str, ...]


def source_examples(source: str, store: str, codebook: Codebook, reference: str) -> tuple[Gold, str]:
    """The gold of the starter corpus ("seeds") or of the label store at `store` ("store"), and what to call it.

    Args:
        reference: how the experiment names the codebook, for messages.

    Raises:
        ExperimentError: no sentence has agreed labels, or as `seed_examples`.
        CodebookError: as `store_examples`.
    """
    if source == "seeds":
        gold, name, place = seed_examples(codebook), "seeds", ""
    else:
        with Store(store, create=False) as opened:
            gold, name, place = store_examples(opened, codebook), opened.name, opened.name
    if not gold.examples:
        label = command("label", "--annotator", "YOUR_NAME", store=place, codebook=reference)
        raise ExperimentError(f"{name}: no sentence in it has agreed labels yet. Label some with `{label}`.")
    return gold, name


def seed_examples(codebook: Codebook) -> Gold:
    """The starter corpus: gold of the shipped annotations.

    Raises:
        ExperimentError: its labels cannot be read under `codebook`.
        DataError: a shipped file was altered so that it does not validate any more.
    """
    _refuse_other_codebook(codebook)
    lines = [
        line
        for path in sorted((shipped("seeds") / "annotations").glob("*.jsonl"))
        for line in read_annotations(path, codebook)
    ]
    sentences = {line.sentence.id: line.sentence for line in lines}
    return _gold_examples([line.event for line in lines], sentences.values(), codebook)


def _refuse_other_codebook(codebook: Codebook) -> None:
    """Raise if this codebook lacks a label of the starter corpus, or does not allow its label sets."""
    own = load_codebook(STARTER_CODEBOOK)
    same_sets = (codebook.exclusive, codebook.allow_none) == (own.exclusive, own.allow_none)
    if not same_sets or not set(own.label_names) <= set(codebook.label_names):
        raise ExperimentError(
            f"codebook '{codebook.name}' {codebook.version} does not fit the starter corpus, which is coded with "
            f'"{STARTER_CODEBOOK}" ({", ".join(own.label_names)}). Set data.source = "store" to train on what you '
            "labelled with it, or name a file of labelled rows in data.train."
        )


def store_examples(store: Store, codebook: Codebook) -> Gold:
    """The gold of a label store under `codebook`, whichever of its versions people labelled with.

    Sentences whose annotators differ, or whose annotations a change of the codebook left undecided, are left out
    and counted in the notes.

    Raises:
        CodebookError: an annotation cannot be read under `codebook`, as `labels.gold.resolve` says.
    """
    events = store.events.all()
    sentences = store.documents.sentences({event.sentence_id for event in events})
    return _gold_examples(events, sentences, codebook, store)


def _gold_examples(
    events: Sequence[Annotation],
    sentences: Iterable[Sentence],
    codebook: Codebook,
    store: Store | None = None,
) -> Gold:
    resolution = resolve(events, codebook, store.codebooks.history() if store else None)
    dates = store.documents.dates() if store else {}
    ordered = sorted(sentences, key=lambda sentence: (sentence.document_id, sentence.start))
    drawn = _draws(events)
    examples = [
        Example(
            id=s.id,
            document_id=s.document_id,
            text=s.text,
            labels=resolution.gold[s.id],
            date=dates.get(s.document_id, ""),
            synthetic=s.synthetic,
            drawn=drawn.get(s.id, ""),
        )
        for s in ordered
        if s.id in resolution.gold
    ]
    return Gold(examples, tuple(_resolution_notes(resolution, codebook, store.name if store else "")))


def _draws(events: Iterable[Annotation]) -> dict[str, str]:
    """Sentence id -> how it was first drawn; a random draw counts before any other."""
    drawn: dict[str, str] = {}
    for event in events:
        if event.event == "annotate" and event.strategy in RANDOM_STRATEGIES:
            drawn[event.sentence_id] = "random"
        elif event.event == "annotate" and event.strategy:
            drawn.setdefault(event.sentence_id, event.strategy)
    return drawn


def _resolution_notes(resolution: Resolution, codebook: Codebook, store: str) -> Iterator[str]:
    """What a reader must know about sentences left out and annotations made under other versions."""
    version = f"{codebook.name} {codebook.version}"
    for what, left_out in (("differ", resolution.disputed), ("skipped", resolution.skipped)):
        if left_out:
            yield f"{len(left_out)} sentences left out: their annotators {what}"
    if resolution.undecided:
        following = relabel_command(store=store, codebook=f"{codebook.name}@{codebook.hash}")
        yield (f"{len(resolution.undecided)} sentences wait for relabelling under codebook {version}: `{following}`")
    if resolution.migrated:
        yield f"{resolution.migrated} annotations were read through recorded changes of labels to codebook {version}"
    if resolution.reworded:
        yield f"{resolution.reworded} annotations were made under another wording of codebook {version}, same labels"
