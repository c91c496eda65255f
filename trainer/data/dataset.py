"""The dataset of an experiment: examples in three parts, their codebook, and hashes that identify them.

This module also writes and reads `predictions.parquet`, which holds a run's predictions for its examples and their
gold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook, load_codebook, names_stored
from labels.environment.settings import load_settings
from labels.errors import CodebookError, DataError, ExperimentError
from labels.records import PAGE, Example
from labels.text.examples import LabelledFiles, ReadingOptions, read_labelled
from labels.text.labelled.label_values import LabelValue
from trainer.config.experiment import Experiment
from trainer.data.caveats import contradiction_notes, draw_notes, leak_notes
from trainer.data.extra import SEEDS, extra_examples
from trainer.data.following import manifest_parts
from trainer.data.splits import PARTS, Parts, Split, listed_examples, make_split, read_ids
from trainer.environment import STARTER_CODEBOOK


@dataclass(frozen=True)
class Dataset:
    """Examples in three parts, with their codebook, split and hashes.

    `notes` are caveats for readers of the figures (disputed sentences left out, test rows that are near-duplicates of
    train rows...). `synthetic` is True if any of the text was invented for a corpus. `values` are the label values in
    files that differ from the names of their labels. `extra` are rows from elsewhere that only the training sees.
    """

    codebook: Codebook
    parts: Parts
    split: Split
    source: str
    synthetic: bool
    notes: tuple[str, ...]
    values: tuple[LabelValue, ...] = ()
    extra: tuple[Example, ...] = ()

    @property
    def training_hash(self) -> str:
        """16 hex digits that identify the texts and labels of train, validation and the extra rows."""
        return hash_examples([*self.parts["train"], *self.parts["validation"], *self.extra])

    @property
    def evaluation_hash(self) -> str:
        """16 hex digits of the texts and labels of validation and test. Figures with equal hashes can be compared."""
        # With validation, because the choice between runs is made on validation.
        return hash_examples([*self.parts["validation"], *self.parts["test"]])


def hash_examples(examples: Iterable[Example]) -> str:
    """16 hex digits that identify the texts and labels of examples, independent of their order."""
    # Only other weights than 1 count, so that hashes of earlier versions stay valid.
    rows = [(one.id, one.text, one.labels, *((one.weight,) if one.weight != 1 else ())) for one in examples]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()[:16]


def load_dataset(experiment: Experiment) -> Dataset:
    """Read, resolve and split the data that an experiment names.

    Raises:
        ExperimentError: there is nothing to train on, a label has no train example, or the split is impossible.
        DataError, CodebookError: a file is not valid.
    """
    data = experiment.data
    if data.train:
        files = _read_files(experiment)
        parts, notes = _file_parts(experiment, files)
        notes = [*files.notes, *notes]
        dataset = _described(experiment, files.codebook, parts, data.train, notes, divided=not data.test)
        return replace(dataset, values=files.values)
    # Imported here, so that training on files does not load the label store.
    from trainer.data.corpus import source_examples

    (codebook, note), named = _codebook(experiment), _named_ids(experiment)
    gold, source = source_examples(data.source, _store(experiment), codebook, data.codebook, named)
    examples = listed_examples(gold.examples, data.only, gold.aliases)
    parts, notes = _corpus_parts(experiment, examples, gold.aliases, gold.without_gold)
    notes = [*gold.notes, *filter(None, [note]), *notes]
    return _described(experiment, codebook, parts, source, notes, divided=True)


def dataset_of(examples: Sequence[Example], codebook: Codebook, experiment: Experiment, source: str) -> Dataset:
    """Divide examples into train and validation, with an empty test part.

    The division is the same as for an experiment that names one file for train and one for test.

    Args:
        source: origin of the examples, for messages.

    Raises:
        ExperimentError: there is nothing to train on, a label has no train example, or the split is impossible.
    """
    train, validation = _hold_out(examples, experiment)
    parts: Parts = {"train": train, "validation": validation, "test": []}
    return _described(experiment, codebook, parts, source, [], divided=True)


def _described(
    experiment: Experiment, codebook: Codebook, parts: Parts, source: str, notes: Sequence[str], *, divided: bool
) -> Dataset:
    """Build a dataset from its parts, add the extra rows, and append notes on both to the given notes."""
    extra, extra_notes = extra_examples(experiment.data, codebook, parts)
    # Such a label could never be predicted, and a report with F1 = 0 would not say why.
    if absent := absent_labels(codebook, [*parts["train"], *extra]):
        raise ExperimentError(
            f"{source}: no train example has the label {' or '.join(absent)}. Add examples with the missing labels, "
            "remove these labels from the codebook, or use other data."
        )
    split = Split(*(tuple(example.id for example in parts[name]) for name in PARTS))
    examples = [example for part in parts.values() for example in part]
    own = (*leak_notes(parts, divided=divided), *draw_notes(parts["test"]), *contradiction_notes(examples))
    synthetic = any(example.synthetic for example in examples)
    return Dataset(codebook, parts, split, source, synthetic, (*notes, *extra_notes, *own), extra=extra)


def files_read(experiment: Experiment) -> list[str]:
    """Return the paths or names of all inputs of an experiment: data, codebook, id list, manifest, store, encoders."""
    data, model = experiment.data, experiment.model
    sections = model, getattr(model, "cheap", None), getattr(model, "expensive", None)
    store = _store(experiment) if _from_store(experiment) else ""
    extra = "" if data.extra == SEEDS else data.extra
    files = [data.train, data.validation, data.test, data.only, extra]
    files += [experiment.split.manifest, experiment.evaluation.corpus]
    named = [*files, _codebook_name(experiment), store, getattr(model, "init", "")]
    return [name for name in [*named, *(getattr(section, "encoder", "") for section in sections)] if name]


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
) -> tuple[Parts, list[str]]:
    """Divide examples into parts; returns the parts, and notes on examples that a manifest does not name or lacks."""
    split = experiment.split
    if split.manifest:
        return manifest_parts(split, examples, aliases or {}, without_gold or {})
    shares = (split.train, split.validation, split.test)
    parts = make_split(examples, shares, experiment.seed, allow_large=split.allow_large_groups)
    return {name: _without_corrections(name, part) for name, part in zip(PARTS, parts, strict=True)}, []


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


def _file_parts(experiment: Experiment, files: LabelledFiles) -> tuple[Parts, list[str]]:
    data = experiment.data
    if not data.test:
        return _corpus_parts(experiment, files.examples[0])
    train, test = files.examples[0], files.examples[-1]
    if data.validation:
        validation = files.examples[1]
    else:
        train, validation = _hold_out(train, experiment)
    return {"train": train, "validation": validation, "test": test}, []


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


@dataclass(frozen=True)
class Predicted:
    """n labelled examples with their predictions.

    `predicted` (booleans) and `probabilities` (in [0, 1]) have the shape (n, labels).
    """

    examples: Sequence[Example]
    predicted: NDArray[np.bool_]
    probabilities: NDArray[np.floating[Any]]


def write_predictions(path: Path, labels: Sequence[str], parts: Mapping[str, Predicted]) -> None:
    """Write predictions as a Parquet file.

    The columns are example_id, document_id, text, gold, labels, probabilities (one number per label, in label order),
    split and synthetic.

    Args:
        parts: predictions by the name of their split; the file has the rows of all parts in this order.
    """
    import pyarrow as pa
    from pyarrow import parquet

    # An explicit schema: from rows without a label, pyarrow would infer the type null for the lists.
    columns = {
        **dict.fromkeys(("example_id", "document_id", "text"), pa.string()),
        **dict.fromkeys(("gold", "labels"), pa.list_(pa.string())),
        "probabilities": pa.list_(pa.float32()),
        "split": pa.string(),
        "synthetic": pa.bool_(),
    }
    rows = [row for split, part in parts.items() for row in _rows(labels, split, part)]
    parquet.write_table(pa.Table.from_pylist(rows, pa.schema(columns)), path)


def _rows(labels: Sequence[str], split: str, part: Predicted) -> list[dict[str, Any]]:
    probabilities = part.probabilities.astype(np.float32).tolist()
    return [
        {
            "example_id": example.id,
            "document_id": example.document_id,
            "text": example.text,
            "gold": [label for label in labels if label in example.labels],
            "labels": [label for label, held in zip(labels, assigned, strict=True) if held],
            "probabilities": numbers,
            "split": split,
            "synthetic": example.synthetic,
        }
        for example, assigned, numbers in zip(part.examples, part.predicted, probabilities, strict=True)
    ]


def read_gold(path: Path, split: str) -> list[Example]:
    """Read the examples of a split, with their gold, from a file written by `write_predictions`.

    Returns an empty list if the file does not contain the split.

    Raises:
        DataError: the file cannot be read, or was not written by `write_predictions`.
    """
    from pyarrow import ArrowException, parquet

    columns = ["example_id", "document_id", "text", "gold", "split", "synthetic"]
    try:
        rows = parquet.read_table(path, columns=columns).to_pylist()
        return [
            Example(row["example_id"], row["document_id"], row["text"], tuple(row["gold"]), synthetic=row["synthetic"])
            for row in rows
            if row["split"] == split
        ]
    except (OSError, ArrowException, KeyError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise DataError(
            f"{path}: not the predictions of a run ({reason}). Run the experiment again, or use a labelled file."
        ) from error
