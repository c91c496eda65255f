"""An experiment's data section -> examples in three parts, with the codebook and what identifies them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import ExperimentError
from labels.exchange.jsonl import read_annotations
from labels.gold import Resolution, resolve
from labels.records import RANDOM_STRATEGIES, Annotation, Example, Sentence
from labels.settings import command, load_settings, relabel_command
from labels.store import Store
from labels.store.codebooks import find_codebook, names_stored
from labels.text.examples import infer_codebook_of, read_examples
from trainer.config.experiment import Experiment
from trainer.data.splits import Parts, Split, apply_split, leaked_examples, make_split
from trainer.environment import shipped

STARTER_CODEBOOK = "diplomatic"
"""What the starter corpus is coded with."""


@dataclass(frozen=True)
class Dataset:
    """Examples in three parts, and what identifies them.

    `notes` are things that a reader of the figures must know (disputed sentences left out, test rows that are
    near-duplicates of train rows...). `synthetic`: some of the text was written for a corpus.
    """

    codebook: Codebook
    parts: Parts
    split: Split
    source: str
    synthetic: bool
    notes: tuple[str, ...]

    @property
    def training_hash(self) -> str:
        """16 hex digits of the texts and labels of train and validation."""
        return self._hash_of("train", "validation")

    @property
    def judging_hash(self) -> str:
        """16 hex digits of the texts and labels of validation and test: figures compare where these are the same."""
        return self._hash_of("validation", "test")

    def _hash_of(self, *names: str) -> str:
        rows = [(e.id, e.text, e.labels) for name in names for e in self.parts[name]]
        return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()[:16]


def load_dataset(experiment: Experiment) -> Dataset:
    """Read, resolve and split the data that an experiment names.

    Raises:
        ExperimentError: nothing to train on, a label without a train example, or the split is impossible.
        DataError, CodebookError: a file does not validate.
    """
    codebook = _codebook(experiment)
    notes: list[str] = []
    if experiment.data.train:
        parts = _file_parts(experiment, codebook)
        source = experiment.data.train
    else:
        examples, source = _corpus(experiment, codebook, notes)
        parts = _corpus_parts(experiment, examples)
    return _described(codebook, parts, source, notes, divided=not experiment.data.test)


def dataset_of(examples: Sequence[Example], codebook: Codebook, experiment: Experiment, source: str) -> Dataset:
    """Examples to train on, a share of their groups held out for validation and none for test.

    This is the division that an experiment with a file for train and one for test makes.

    Args:
        source: where the examples come from, for messages.

    Raises:
        ExperimentError: nothing to train on, a label without a train example, or the split is impossible.
    """
    train, validation = _hold_out(examples, experiment)
    return _described(codebook, {"train": train, "validation": validation, "test": []}, source, [], divided=True)


def _described(codebook: Codebook, parts: Parts, source: str, notes: Sequence[str], *, divided: bool) -> Dataset:
    """The dataset with what identifies it, and the notes on its parts after those that it came with."""
    split = Split(*(tuple(example.id for example in parts[name]) for name in ("train", "validation", "test")))
    examples = [example for part in parts.values() for example in part]
    own = [
        *_leak_notes(parts, divided=divided),
        *_draw_notes(parts["test"]),
        *_contradiction_notes(examples),
    ]
    _refuse_absent_labels(codebook, parts["train"], source)
    synthetic = any(example.synthetic for example in examples)
    return Dataset(codebook, parts, split, source, synthetic, (*notes, *own))


def files_read(experiment: Experiment) -> list[str]:
    """What a run of an experiment reads: data, codebook, list, manifest, store and encoders, by path or by name."""
    data, model = experiment.data, experiment.model
    sections = [model, getattr(model, "cheap", None), getattr(model, "expensive", None)]
    store = _store(experiment) if _from_store(experiment) else ""
    files = [data.train, data.validation, data.test, data.only, experiment.split.manifest]
    named = [*files, _codebook_name(experiment), store]
    return [name for name in [*named, *(getattr(section, "encoder", "") for section in sections)] if name]


def seed_examples(codebook: Codebook, notes: list[str] | None = None) -> list[Example]:
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
    return _gold_examples([line.event for line in lines], sentences.values(), codebook, notes)


def _refuse_other_codebook(codebook: Codebook) -> None:
    """Raise where the labels of the starter corpus are not all labels, or its label sets no sets, of this codebook."""
    own = load_codebook(STARTER_CODEBOOK)
    same_sets = (codebook.exclusive, codebook.allow_none) == (own.exclusive, own.allow_none)
    if not same_sets or not set(own.label_names) <= set(codebook.label_names):
        raise ExperimentError(
            f"codebook '{codebook.name}' {codebook.version} does not fit the starter corpus, which is coded with "
            f'"{STARTER_CODEBOOK}" ({", ".join(own.label_names)}). Set data.source = "store" to train on what you '
            "labelled with it, or name a file of labelled rows in data.train."
        )


def store_examples(store: Store, codebook: Codebook, notes: list[str] | None = None) -> list[Example]:
    """The gold of a label store under `codebook`, whichever of its versions people labelled with.

    Sentences whose annotators differ, or whose annotations a change of the codebook left undecided, are left out and
    counted in `notes`; so are annotations that were read through a change.

    Raises:
        CodebookError: an annotation cannot be read under `codebook`, as `labels.gold.resolve` says.
    """
    events = store.events.all()
    sentences = store.documents.sentences({event.sentence_id for event in events})
    return _gold_examples(events, sentences, codebook, notes, store)


def read_ids(path: Path) -> list[str]:
    """The example ids of a list file, one a line.

    Raises:
        ExperimentError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: this list of ids cannot be read ({error}). Check `data.only`.") from error


def _gold_examples(
    events: Sequence[Annotation],
    sentences: Iterable[Sentence],
    codebook: Codebook,
    notes: list[str] | None,
    store: Store | None = None,
) -> list[Example]:
    resolution = resolve(events, codebook, store.codebooks.history() if store else None)
    dates = store.documents.dates() if store else {}
    if notes is not None:
        notes += _resolution_notes(resolution, codebook, store.name if store else "")
    ordered = sorted(sentences, key=lambda sentence: (sentence.document_id, sentence.start))
    drawn = _draws(events)
    return [
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


def _draws(events: Iterable[Annotation]) -> dict[str, str]:
    """Sentence id -> how it was first drawn; a random draw counts before any other."""
    drawn: dict[str, str] = {}
    for event in events:
        if event.event == "annotate" and event.strategy in RANDOM_STRATEGIES:
            drawn[event.sentence_id] = "random"
        elif event.event == "annotate" and event.strategy:
            drawn.setdefault(event.sentence_id, event.strategy)
    return drawn


def _draw_notes(test: Sequence[Example]) -> Iterator[str]:
    """A warning where test examples were picked: figures on them do not describe the corpus."""
    picked = Counter(example.drawn for example in test if example.drawn not in ("", "random"))
    if picked:
        by = ", ".join(f"{strategy} {n}" for strategy, n in picked.most_common())
        yield (
            f"{picked.total()} of {len(test)} test sentences were picked, not drawn at random ({by}): the figures are "
            "of such sentences, not of the corpus"
        )


def _contradiction_notes(examples: Iterable[Example]) -> Iterator[str]:
    """A warning where the same text bears different labels: no classifier can be right on all of its rows."""
    readings: dict[str, set[frozenset[str]]] = {}
    for example in examples:
        readings.setdefault(example.text, set()).add(frozenset(example.labels))
    disputed = [text for text, found in readings.items() if len(found) > 1]
    if disputed:
        yield (
            f"{len(disputed)} texts stand in the data more than once, with different labels, e.g. "
            f"'{disputed[0][:60]}': decide for one reading of each"
        )


def _resolution_notes(resolution: Resolution, codebook: Codebook, store: str) -> Iterator[str]:
    """What a reader must know of sentences left out and of annotations made under other versions."""
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


def _codebook(experiment: Experiment) -> Codebook:
    data, name = experiment.data, _codebook_name(experiment)
    if name != "infer" and names_stored(name):
        if not _from_store(experiment):
            raise ExperimentError(
                f'data.codebook = "{name}" names a version that a label store keeps, but the data do not come '
                'from one. Set data.source = "store", or name a TOML file or a shipped codebook.'
            )
        return find_codebook(name, _store(experiment))
    if name != "infer":
        return load_codebook(name)
    if not data.train:
        raise ExperimentError('data.codebook = "infer" needs data.train. Name a codebook instead.')
    files = [Path(name) for name in (data.train, data.validation, data.test) if name]
    return infer_codebook_of(files)


def _codebook_name(experiment: Experiment) -> str:
    """As the experiment says, else of the settings where the data come from a label store, else `STARTER_CODEBOOK`."""
    of_data = load_settings().codebook if _from_store(experiment) else STARTER_CODEBOOK
    return experiment.data.codebook or of_data


def _corpus(experiment: Experiment, codebook: Codebook, notes: list[str]) -> tuple[list[Example], str]:
    only = experiment.data.only
    listed = _listed(Path(only)) if only else []
    if experiment.data.source == "seeds":
        examples, source, place = seed_examples(codebook, notes), "seeds", ""
    else:
        with Store(_store(experiment), create=False) as store:
            examples, source, place = store_examples(store, codebook, notes), store.name, store.name
    if not examples:
        label = command("label", "--annotator", "YOUR_NAME", store=place, codebook=experiment.data.codebook)
        raise ExperimentError(f"{source}: no sentence in it has agreed labels yet. Label some with `{label}`.")
    return (_only(examples, listed, only) if only else examples), source


def _from_store(experiment: Experiment) -> bool:
    return experiment.data.source == "store" and not experiment.data.train


def _store(experiment: Experiment) -> str:
    return experiment.data.store or load_settings().store


def _listed(path: Path) -> list[str]:
    ids = list(dict.fromkeys(read_ids(path)))
    if not ids:
        raise ExperimentError(f"{path}: this list of ids is empty. Put one id a line in it, or leave `data.only` out.")
    return ids


def _only(examples: Sequence[Example], ids: Sequence[str], path: str) -> list[Example]:
    by_id = {example.id: example for example in examples}
    missing = [identifier for identifier in ids if identifier not in by_id]
    if missing:
        raise ExperimentError(
            f"{path}: {len(missing)} of its {len(ids)} ids are not in the data, e.g. '{missing[0]}'. "
            "Use the list that belongs to this corpus."
        )
    return [by_id[identifier] for identifier in ids]


def _corpus_parts(experiment: Experiment, examples: Sequence[Example]) -> Parts:
    split = experiment.split
    if split.manifest:
        return apply_split(Split.load(Path(split.manifest)), examples, split.manifest)
    parts = make_split(
        examples,
        (split.train, split.validation, split.test),
        experiment.seed,
        allow_large=split.allow_large_groups,
    )
    return dict(zip(("train", "validation", "test"), parts, strict=True))


def _file_parts(experiment: Experiment, codebook: Codebook) -> Parts:
    data = experiment.data
    train = read_examples(Path(data.train), codebook, "train")
    if not data.test:
        if data.validation:
            raise ExperimentError("data.validation without data.test: give both, or only data.train to split it.")
        return _corpus_parts(experiment, train)
    test = read_examples(Path(data.test), codebook, "test")
    if data.validation:
        validation = read_examples(Path(data.validation), codebook, "validation")
    else:
        train, validation = _hold_out(train, experiment)
    return {"train": train, "validation": validation, "test": test}


def _hold_out(examples: Sequence[Example], experiment: Experiment) -> tuple[list[Example], list[Example]]:
    """Train and validation, the share `calibration.holdout` of the groups being validation."""
    share = experiment.calibration.holdout
    train, validation = make_split(
        examples, (1 - share, share), experiment.seed, allow_large=experiment.split.allow_large_groups
    )
    return train, validation


def _leak_notes(parts: Parts, *, divided: bool) -> Iterator[str]:
    """A warning where test knows what is learned from; a split `divided` here parts no near-duplicates, but short
    texts that are the same."""
    learned, test = [*parts["train"], *parts["validation"]], parts["test"]
    if divided:
        known = {example.text for example in learned}
        leaked, what = [example for example in test if example.text in known], "stand word for word among"
    else:
        leaked, what = leaked_examples(learned, test), "are near-duplicates of"
    if leaked:
        yield f"{len(leaked)} of {len(test)} test rows {what} train or validation rows, e.g. '{leaked[0].text[:60]}'"


def _refuse_absent_labels(codebook: Codebook, train: Sequence[Example], source: str) -> None:
    seen = Counter(label for example in train for label in example.labels)
    absent = [name for name in codebook.label_names if not seen[name]]
    if absent:
        raise ExperimentError(
            f"{source}: no train example bears {', '.join(absent)}. Label some, take the label out of the codebook, "
            "or give data in which it occurs."
        )
