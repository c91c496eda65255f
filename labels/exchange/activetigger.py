"""ActiveTigger's tables, CSV or Parquet by the file's ending: one row an element, several labels as `a|b`.

The tool asks which column is which; here they are `id`, `text`, and `label` (exclusive codebooks) or `labels`. It may
drop the other columns, so an `id` that is that of a sentence in the store is taken for that sentence.
"""

from __future__ import annotations

from pathlib import Path

from labels.codebook.schema import Codebook
from labels.exchange.decisions import AS_READ, gold_decisions
from labels.exchange.foreign import Reader
from labels.exchange.lines import Batch, Exported, check_ending
from labels.exchange.tables import columns_of, gold_rows, read_gold, write_csv, write_parquet
from labels.store import Store
from labels.text.examples import SEPARATOR
from labels.text.rows import Row, read_rows

FORMAT = "activetigger"
UNIT = "decisions"
LOST = (
    "single annotations: a row is a sentence with its gold labels, or one annotator's with --annotator",
    "sentences that were skipped, or on which annotators differ: they have no gold",
    "decisions that were undone or replaced: only what stands is written",
    AS_READ,
    "documents: a sentence goes without the text around it",
    "what records of other formats said beyond the decision",
)
_ENDINGS = (".csv", ".parquet")


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The decisions of an ActiveTigger table; rows without labels are left out.

    Raises:
        DataError: as `read_gold`.
    """
    check_ending(path, _ENDINGS, FORMAT)
    return read_gold(Reader(path, FORMAT, codebook, annotator), path, FORMAT, read_rows(path))


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write the gold labels, or those that one annotator decided on, one sentence a row.

    Raises:
        DataError: the file cannot be written, or `annotator` decided nothing.
        CodebookError: as `labels.gold.resolve`.
    """
    ending = check_ending(path, _ENDINGS, FORMAT)
    selection = gold_decisions(store, codebook, annotator)
    rows = [_joined(row) for row in gold_rows(selection.decisions, FORMAT, exclusive=codebook.exclusive)]
    column = "label" if codebook.exclusive else "labels"
    columns = columns_of(rows, ("id", "text", column, "document_id", "sentence_id"))
    write = write_csv if ending == ".csv" else write_parquet
    write(path, rows, columns)
    return Exported(len(rows), selection.left_out)


def _joined(row: Row) -> Row:
    row = {"id": row["sentence_id"]} | row
    return row | {"labels": SEPARATOR.join(row["labels"])} if "labels" in row else row
