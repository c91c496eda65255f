"""Hugging Face datasets: a folder of `save_to_disk`, or a .parquet file.

Exclusive codebooks give a column `label` of type ClassLabel (null: reviewed, none), others a list `labels`. The
folder's README.md is its dataset card, and contains the codebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from labels.codebook.schema import Codebook, dump_codebook
from labels.errors import DataError
from labels.exchange.formats import Placed, arrow_column, columns_of
from labels.exchange.tables import GoldTable
from labels.files import whole_file, whole_folder
from labels.text.rows import Row, class_name

if TYPE_CHECKING:
    from datasets import Dataset


class HuggingFace(GoldTable):
    """A dataset in a folder or a Parquet file."""

    name = "huggingface"
    endings = ()
    not_written = ("the codebook, in a .parquet file: only a folder has a card",)

    def read(self, path: Path) -> Iterator[Placed]:
        """The rows of a dataset.

        Raises:
            DataError: there is no dataset at the path, or it has several splits.
        """
        return super().read(path) if _is_parquet(path) else _folder_rows(path)

    def write(self, path: Path, records: Iterable[Row], codebook: Codebook) -> None:
        """Write a dataset, with its card if it is a folder.

        Raises:
            DataError: the path cannot be written, or is a folder that is not empty; or there is nothing to write, as
                `datasets` cannot read an empty folder back.
        """
        # Checked inside the block: a folder that cannot be used is the first thing to know.
        whole = whole_file if _is_parquet(path) else whole_folder
        with whole(path) as draft, _no_progress_bars():
            if not (rows := list(records)):
                raise DataError(
                    f"{path}: no sentence has gold labels yet, and an empty dataset cannot be read. Label some first."
                )
            dataset = _dataset(rows, columns_of(rows, self.columns(codebook)), codebook)
            if _is_parquet(path):
                dataset.to_parquet(str(draft))
            else:
                dataset.save_to_disk(str(draft))
                (draft / "README.md").write_text(dataset_card(codebook, len(rows)), encoding="utf-8")


HUGGINGFACE = HuggingFace()


def dataset_card(codebook: Codebook, size: int) -> str:
    """The README.md of a dataset folder: what the rows are, and the codebook that they were coded with."""
    column = "`label`, one class or null" if codebook.exclusive else "`labels`, a list of names"
    return (
        f"---\nlanguage: {codebook.language}\ntask_categories:\n- text-classification\n---\n\n"
        f"# {codebook.name} {codebook.version}\n\n{codebook.description}\n\n"
        f"{size} sentences with their gold labels ({column}; empty means that the sentence was reviewed and "
        f"has no label). Codebook hash: {codebook.hash}.\n\n## Codebook\n\n~~~~toml\n{dump_codebook(codebook)}~~~~\n"
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _folder_rows(path: Path) -> Iterator[Placed]:
    from datasets import ClassLabel, DatasetDict, load_from_disk

    if not path.is_dir():
        raise DataError(f"{path}: a folder of `save_to_disk` or a .parquet file is needed. Check the path.")
    try:
        dataset = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: this folder is not a dataset ({reason}). Write it with `save_to_disk`.") from error
    if isinstance(dataset, DatasetDict):
        splits = ", ".join(str(path / name) for name in dataset)
        raise DataError(f"{path}: this dataset has several splits. Import one after the other: {splits}.")
    # A class is stored as its number; its name is in the dataset's features.
    classes = {name: feature for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)}
    for number, row in enumerate(dataset, start=1):
        names = {name: class_name(row[name], feature) for name, feature in classes.items()}
        yield DataError.place(path, number), dict(row) | names


def _dataset(rows: Sequence[Row], columns: Sequence[str], codebook: Codebook) -> Dataset:
    from datasets import ClassLabel, Dataset, List, Value

    column = "label" if codebook.exclusive else "labels"
    kind = ClassLabel(names=list(codebook.label_names)) if codebook.exclusive else List(Value("string"))
    # A column of nulls or empty lists has no type of its own, so the label column is cast.
    content = {name: arrow_column([row.get(name) for row in rows]) for name in columns}
    return Dataset.from_dict(content).cast_column(column, kind)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    # The switch is global, and the calling program may have set it.
    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
