"""The dataset of an experiment: examples in three parts, their codebook, and hashes that identify them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labels.codebook.schema import Codebook, load_codebook, names_stored
from labels.environment.settings import load_settings
from labels.errors import CodebookError, ExperimentError
from labels.records import PAGE, Example
from labels.text.examples import LabelledFiles, ReadingOptions, read_labelled
from labels.text.labelled.label_values import LabelValue
from trainer.config.experiment import Experiment
from trainer.data.caveats import contradiction_notes, draw_notes, leak_notes
from trainer.data.divisions import Fold, divide, make_folds
from trainer.data.extra import SEEDS, extra_examples, silver_examples
from trainer.data.following import manifest_parts
from trainer.data.splits import PARTS, Parts, Split, listed_examples, make_split, read_ids
from trainer.data.unlabelled import NONE, STORE, read_unlabelled
from trainer.environment import STARTER_CODEBOOK


@dataclass(frozen=True)
class Dataset:
    """Examples in three parts, with their codebook, split and hashes.

    `notes` are caveats for readers of the figures (disputed sentences left out, test rows that are near-duplicates of
    train rows...). `synthetic` is True if any of the text was invented for a corpus. `values` are the label values in
    files that differ from the names of their labels. `extra` are rows from elsewhere that only the training sees. In a
    cross-validation, train has all examples, the other parts none, and `folds` divides them.
    """

    codebook: Codebook
    parts: Parts
    split: Split
    source: str
    synthetic: bool
    notes: tuple[str, ...]
    values: tuple[LabelValue, ...] = ()
    extra: tuple[Example, ...] = ()
    folds: tuple[Fold, ...] = ()

    @property
    def training_hash(self) -> str:
        """16 hex digits that identify the texts and labels of train, validation and the extra rows."""
        return hash_examples([*self.parts["train"], *self.parts["validation"], *self.extra])

    @property
    def evaluation_hash(self) -> str:
        """16 hex digits of the texts and labels of validation and test. Figures with equal hashes can be compared."""
        # With validation, because the choice between runs is made on validation.
        own = self.parts["train"] if self.folds else [*self.parts["validation"], *self.parts["test"]]
        return hash_examples(own)


def hash_examples(examples: Iterable[Example]) -> str:
    """16 hex digits that identify the texts and labels of examples, independent of their order."""
    # Only other weights than 1 count, so that hashes of earlier versions stay valid.
    rows = [(one.id, one.text, one.labels, *((one.weight,) if one.weight != 1 else ())) for one in examples]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()[:16]


def hash_test(examples: Iterable[Example]) -> str:
    """16 hex digits that identify test sentences by their texts and gold labels, whatever their ids and order."""
    rows = sorted((example.text, sorted(example.labels)) for example in examples)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def load_dataset(experiment: Experiment, *, folds: bool = False) -> Dataset:
    """Read, resolve and split the data that an experiment names.

    Args:
        folds: accept an experiment with a cross-validation.

    Raises:
        ExperimentError: there is nothing to train on, a label has no train example, or the split is impossible.
        DataError, CodebookError: a file is not valid.
    """
    if experiment.split.cross_validates and not folds:
        raise ExperimentError(
            "split.folds and split.leave_one_out: only `communique train` cross-validates, in one process. Remove "
            "these keys for a sweep, a learning curve, a labelling loop or distributed training."
        )
    data = experiment.data
    if data.train:
        files = _read_files(experiment)
        divided = _file_parts(experiment, files)
        dataset = _described(experiment, files.codebook, divided, data.train, files.notes, divided=not data.test)
        return replace(dataset, values=files.values)
    # Imported here, so that training on files does not load the label store.
    from trainer.data.corpus import source_examples

    (codebook, note), named = _codebook(experiment), _named_ids(experiment)
    gold, source = source_examples(data.source, _store(experiment), codebook, data.codebook, named)
    examples = listed_examples(gold.examples, data.only, gold.aliases)
    divided = _corpus_parts(experiment, examples, gold.aliases, gold.without_gold)
    notes = [*gold.notes, *filter(None, [note])]
    return _described(experiment, codebook, divided, source, notes, divided=True)


def dataset_of(examples: Sequence[Example], codebook: Codebook, experiment: Experiment, source: str) -> Dataset:
    """Divide examples into train and validation, with an empty test part.

    The division is the same as for an experiment that names one file for train and one for test.

    Args:
        source: origin of the examples, for messages.

    Raises:
        ExperimentError: there is nothing to train on, a label has no train example, or the split is impossible.
    """
    train, validation = _hold_out(examples, experiment)
    divided = _Divided({"train": train, "validation": validation, "test": []})
    return _described(experiment, codebook, divided, source, [], divided=True)


@dataclass(frozen=True)
class _Divided:
    """Divided examples, and notes on how they were divided."""

    parts: Parts
    notes: Sequence[str] = ()
    folds: Sequence[Fold] = ()


def _described(
    experiment: Experiment, codebook: Codebook, data: _Divided, source: str, notes: Sequence[str], *, divided: bool
) -> Dataset:
    """Build a dataset from its parts, add the extra rows, and append notes on both to the given notes."""
    parts = data.parts
    extra, extra_notes = extra_examples(experiment.data, codebook, parts)
    if experiment.data.silver:
        held_out = experiment.calibration.crossfit or bool(data.folds)
        found, silver_notes = silver_examples(
            experiment.data, _store(experiment), codebook, parts, train_is_held_out=held_out
        )
        extra, extra_notes = (*extra, *found), [*extra_notes, *silver_notes]
    # Such a label could never be predicted, and a report with F1 = 0 would not say why.
    if absent := absent_labels(codebook, [*parts["train"], *extra]):
        raise ExperimentError(
            f"{source}: no train example has the label {' or '.join(absent)}. Add examples with the missing labels, "
            "remove these labels from the codebook, or use other data."
        )
    for fold in data.folds:
        if absent := absent_labels(codebook, [*fold.parts["train"], *extra]):
            raise ExperimentError(
                f"{source}: without fold '{fold.name}', no train example has the label {' or '.join(absent)}. Add "
                "examples with this label, use fewer folds, or remove the label from the codebook."
            )
    folds = {fold.name: tuple(example.id for example in fold.parts["test"]) for fold in data.folds}
    split = Split(*(tuple(example.id for example in parts[name]) for name in PARTS), folds=folds)
    examples = [example for part in parts.values() for example in part]
    own = (*leak_notes(parts, divided=divided), *draw_notes(parts["test"]), *contradiction_notes(examples))
    synthetic = any(example.synthetic for example in examples)
    every = (*notes, *data.notes, *extra_notes, *own)
    return Dataset(codebook, parts, split, source, synthetic, every, extra=extra, folds=tuple(data.folds))


def files_read(experiment: Experiment) -> list[str]:
    """Return the paths or names of all inputs of an experiment: data, codebook, id list, manifest, store, encoders."""
    data, model = experiment.data, experiment.model
    sections = (model, *getattr(model, "members", ()))
    store = _store(experiment) if _from_store(experiment) else ""
    extra = "" if data.extra == SEEDS else data.extra
    files = [data.train, data.validation, data.test, data.only, extra]
    files += [experiment.split.manifest, experiment.evaluation.corpus]
    unlabelled = getattr(model, "unlabelled", "")
    if unlabelled == STORE:
        store = _store(experiment)
    elif unlabelled not in NONE:
        files.append(unlabelled)
    named = [*files, _codebook_name(experiment), store, getattr(model, "init", "")]
    return [name for name in [*named, *(getattr(section, "encoder", "") for section in sections)] if name]


def unlabelled_texts(experiment: Experiment, dataset: Dataset) -> tuple[str, ...]:
    """Return the texts of `model.unlabelled`, except the texts of the dataset's own rows; none if it is not set.

    Raises:
        DataError, ExperimentError: see `read_unlabelled`.
    """
    place = getattr(experiment.model, "unlabelled", "")
    known = {example.text for part in (*dataset.parts.values(), dataset.extra) for example in part}
    return read_unlabelled(place, known, store=experiment.data.store)


def _codebook(experiment: Experiment) -> tuple[Codebook, str]:
    """Return the experiment's codebook, and a note if the store keeps an older version of a shipped codebook."""
    name = _codebook_name(experiment)
    if name == "infer":
        raise ExperimentError('data.codebook = "infer" needs a file in data.train. Add data.train or name a codebook.')
    if _from_store(experiment):
        from labels.store.codebooks import codebook_in_use

        return codebook_in_use(name, _store(experiment))
    try:
        return load_codebook(name), ""
    except CodebookError:
        if not names_stored(name):
            raise
        raise ExperimentError(
            f'data.codebook = "{name}" names a version in a label store, but the data do not come from a store. '
            'Set data.source = "store", or name a TOML file or a shipped codebook.'
        ) from None


def _codebook_name(experiment: Experiment) -> str:
    """Return the experiment's codebook; by default the store's codebook from the settings, or `STARTER_CODEBOOK`."""
    of_data = load_settings().codebook if _from_store(experiment) else STARTER_CODEBOOK
    return experiment.data.codebook or of_data


def _from_store(experiment: Experiment) -> bool:
    return experiment.data.source == "store" and not experiment.data.train


def _store(experiment: Experiment) -> str:
    return experiment.data.store or load_settings().store


def _named_ids(experiment: Experiment) -> list[str]:
    """Return the example ids in the files that an experiment names: the id list and the split manifest."""
    only, manifest = experiment.data.only, experiment.split.manifest
    listed = read_ids(Path(only)) if only else []
    return [*listed, *(Split.load(Path(manifest)).ids if manifest else ())]


def _corpus_parts(
    experiment: Experiment,
    examples: Sequence[Example],
    aliases: Mapping[str, str] | None = None,
    without_gold: Mapping[str, str] | None = None,
) -> _Divided:
    """Divide examples into parts, or into the folds of a cross-validation."""
    split, seed = experiment.split, experiment.seed
    if split.manifest:
        return _Divided(*manifest_parts(split, examples, aliases or {}, without_gold or {}))
    if split.cross_validates:
        folds, notes = make_folds(examples, split, experiment.calibration.holdout, seed)
        every = [example for fold in folds for example in fold.parts["test"]]
        corrections = [example for example in examples if example.drawn == PAGE]
        return _Divided({"train": [*every, *corrections], "validation": [], "test": []}, notes, folds)
    notes = []
    if split.by_time or split.by:
        parts, notes = divide(examples, split, seed)
    else:
        shares = (split.train, split.validation, split.test)
        made = make_split(examples, shares, seed, allow_large=split.allow_large_groups)
        parts = dict(zip(PARTS, made, strict=True))
    return _Divided({name: _without_corrections(name, part) for name, part in parts.items()}, notes)


def _without_corrections(part: str, examples: Sequence[Example]) -> list[Example]:
    """The examples of a part; corrections from the server's page are only for training.

    Readers correct sentences on which the model is wrong, so these sentences would distort every figure.
    """
    return [example for example in examples if part == "train" or example.drawn != PAGE]


def _read_files(experiment: Experiment) -> LabelledFiles:
    data = experiment.data
    if data.validation and not data.test:
        raise ExperimentError("data.validation needs data.test: set both, or set only data.train to split its rows.")
    files = [(Path(file), part) for part in PARTS if (file := getattr(data, part))]
    codebook = None if _codebook_name(experiment) == "infer" else _codebook(experiment)[0]
    return read_labelled(files, codebook, ReadingOptions(data.text_column, data.label_column, data.blank))


def _file_parts(experiment: Experiment, files: LabelledFiles) -> _Divided:
    data = experiment.data
    if not data.test:
        return _corpus_parts(experiment, files.examples[0])
    train, test = files.examples[0], files.examples[-1]
    if data.validation:
        validation = files.examples[1]
    else:
        train, validation = _hold_out(train, experiment)
    return _Divided({"train": train, "validation": validation, "test": test})


def _hold_out(examples: Sequence[Example], experiment: Experiment) -> tuple[list[Example], list[Example]]:
    """Divide examples into train and validation; validation gets the share `calibration.holdout`."""
    share = experiment.calibration.holdout
    train, validation = make_split(
        examples, (1 - share, share), experiment.seed, allow_large=experiment.split.allow_large_groups
    )
    return train, validation


def absent_labels(codebook: Codebook, train: Sequence[Example]) -> list[str]:
    """Return the codebook's labels that do not occur in any example."""
    seen = {label for example in train for label in example.labels}
    return [name for name in codebook.label_names if name not in seen]
