"""Hugging Face datasets: a folder of `save_to_disk`, or a .parquet file.

Exclusive codebooks give a column `label` of type ClassLabel (null: reviewed, none), others a list `labels`. The
folder's README.md is its dataset card, with the codebook in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from labels.codebook.schema import Codebook, dump_codebook
from labels.errors import DataError
from labels.exchange.decisions import AS_READ, gold_decisions
from labels.exchange.foreign import Reader
from labels.exchange.lines import Batch, Exported
from labels.exchange.tables import arrow_column, columns_of, gold_rows, read_gold
from labels.files import check_folder, whole_file, whole_folder
from labels.store import Store
from labels.text.rows import Row, class_name, read_rows

if TYPE_CHECKING:
    from datasets import Dataset

FORMAT = "huggingface"
UNIT = "decisions"
LOST = (
    "single annotations: a row is a sentence with its gold labels, or one annotator's with --annotator",
    "sentences that were skipped, or on which annotators differ: they have no gold",
    "decisions that were undone or replaced: only what stands is written",
    AS_READ,
    "documents: a sentence goes without the text around it",
    "what records of other formats said beyond the decision",
    "the codebook, in a .parquet file: only a folder has a card",
)


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The decisions of a dataset; rows whose label is null are left out, an empty list is "reviewed, none".

    Raises:
        DataError: the path holds no dataset, or several splits, or as `read_gold`.
    """
    rows = read_rows(path) if _is_parquet(path) else _folder_rows(path)
    return read_gold(Reader(path, FORMAT, codebook, annotator), path, FORMAT, rows)


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write the gold labels, or those that one annotator decided on, one sentence a row.

    Raises:
        DataError: the place cannot be written, or is a folder that holds something; there is nothing to write, since
            `datasets` does not read an empty folder back.
    """
    if not _is_parquet(path):
        check_folder(path)
    selection = gold_decisions(store, codebook, annotator)
    rows = gold_rows(selection.decisions, FORMAT, exclusive=codebook.exclusive)
    if not rows:
        raise DataError(
            f"{path}: no sentence has gold labels yet, and an empty dataset cannot be read. Label some first."
        )
    with _no_progress_bars():
        dataset = _dataset(rows, codebook)
        if _is_parquet(path):
            with whole_file(path) as draft:
                dataset.to_parquet(str(draft))
        else:
            with whole_folder(path) as folder:
                dataset.save_to_disk(str(folder))
                (folder / "README.md").write_text(dataset_card(codebook, len(rows)), encoding="utf-8")
    return Exported(len(rows), selection.left_out)


def dataset_card(codebook: Codebook, size: int) -> str:
    """The README.md of a dataset folder: what the rows are, and the codebook that they were coded by."""
    column = "`label`, one class or null" if codebook.exclusive else "`labels`, a list of names"
    return (
        f"---\nlanguage: {codebook.language}\ntask_categories:\n- text-classification\n---\n\n"
        f"# {codebook.name} {codebook.version}\n\n{codebook.description}\n\n"
        f"{size} sentences with their gold labels ({column}; an empty one means that the sentence was reviewed and "
        f"bears none). Codebook hash: {codebook.hash}.\n\n## Codebook\n\n~~~~toml\n{dump_codebook(codebook)}~~~~\n"
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _folder_rows(path: Path) -> Iterator[tuple[int, Row]]:
    from datasets import ClassLabel, DatasetDict, load_from_disk

    if not path.is_dir():
        raise DataError(f"{path}: a folder of `save_to_disk` or a .parquet file is needed. Check the path.")
    try:
        dataset = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: this folder is no dataset ({reason}). Write it with `save_to_disk`.") from error
    if isinstance(dataset, DatasetDict):
        splits = ", ".join(str(path / name) for name in dataset)
        raise DataError(f"{path}: there are several splits in it. Import one after the other: {splits}.")
    names = {name: feature for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)}
    for number, row in enumerate(dataset, start=1):
        yield number, dict(row) | {name: class_name(row[name], feature) for name, feature in names.items()}


def _dataset(rows: Sequence[Row], codebook: Codebook) -> Dataset:
    from datasets import ClassLabel, Dataset, List, Value

    column = "label" if codebook.exclusive else "labels"
    kind = ClassLabel(names=list(codebook.label_names)) if codebook.exclusive else List(Value("string"))
    columns = columns_of(rows, ("text", column, "document_id", "sentence_id"))
    content = {name: arrow_column([row.get(name) for row in rows]) for name in columns}
    return Dataset.from_dict(content).cast_column(column, kind)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
