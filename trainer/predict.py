"""Predict a corpus of any size: reads documents and writes one row per sentence, in a constant amount of memory."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from labels.errors import DataError
from labels.files import whole_file
from labels.progress import report_progress
from labels.records import Document, Sentence
from labels.text.documents import find_files, read_file
from labels.text.sentences import count_boilerplate, split_sentences, whole_sentence
from trainer.model.model import Model

OUTPUT_SUFFIXES = (".jsonl", ".csv", ".parquet")
SAID = 20
"""Maximum number of unreadable files and rows for which a report gives the reason."""
_CHUNK = 2048
_SENTENCE = ("document_id", "sentence_id", "source", "start", "end", "text")
_MODEL = ("model_id", "codebook_hash")

Row = dict[str, Any]


@dataclass
class PredictReport:
    """The counts of a call of `predict_files`.

    `boilerplate` counts the sentences set aside, by reason; `assigned` counts sentences by label. `left_out` is the
    number of files and rows that could not be read; `rejected` has the messages for the first `SAID` of them. `notes`
    are remarks on how tables were read.
    """

    documents: int = 0
    sentences: int = 0
    left_out: int = 0
    boilerplate: Counter[str] = field(default_factory=Counter)
    assigned: Counter[str] = field(default_factory=Counter)
    rejected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def reject(self, message: str) -> None:
        """Count a file or row that could not be read; only the first `SAID` messages are kept."""
        self.left_out += 1
        if self.left_out <= SAID:
            self.rejected.append(message)


def predict_files(
    model: Model,
    inputs: Iterable[Path],
    output: Path,
    *,
    split: bool = True,
    keep_boilerplate: bool = False,
    text_column: str = "",
) -> PredictReport:
    """Predict every sentence of the inputs and write one row per sentence. An incomplete output is never left behind.

    Args:
        inputs: files and folders with documents.
        output: the .jsonl, .csv or .parquet file to write.
        split: split documents into sentences; if false, every document (row) is one sentence.
        keep_boilerplate: also predict boilerplate, instead of setting it aside.
        text_column: the column with the texts of tables; empty for `text`.

    Raises:
        DataError: an input does not exist or is also the output, nothing could be read, or the output cannot be
            written.
    """
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        raise DataError(
            f"{output}: predictions can be written to {', '.join(OUTPUT_SUFFIXES)} files. Change the file extension."
        )
    files = _files_but(output, inputs)
    report = PredictReport()
    documents = _documents(files, report, text_column)
    sentences = _sentences(documents, report, split=split, keep_boilerplate=keep_boilerplate)
    with whole_file(output) as draft:
        with _writer(draft, output.suffix.lower(), model.labels) as write:
            # Chunks are large enough for batching, and small enough for the memory.
            while chunk := list(islice(sentences, _CHUNK)):
                rows = predict_rows(model, chunk)
                write(rows)
                report.sentences += len(rows)
                report.assigned.update(label for row in rows for label in row["labels"])
        # Inside `whole_file`, an error discards the draft, so that no empty output is left.
        if not report.documents:
            problems = "\n  ".join(report.rejected[:5]) or "no text"
            raise DataError(f"Nothing could be read, so {output} was not written:\n  {problems}")
    return report


def _files_but(output: Path, inputs: Iterable[Path]) -> list[Path]:
    """The input files, without the output of an earlier call in one of the input folders."""
    inputs, own = list(inputs), output.resolve()
    if own in {path.resolve() for path in inputs}:
        raise DataError(
            f"{output}: this file is an input, so it cannot also be the output. Choose another file with --out."
        )
    return [file for file in find_files(inputs) if file.resolve() != own]


def predict_rows(model: Model, sentences: Sequence[tuple[Document, Sentence]]) -> list[Row]:
    """Predict sentences; returns one row per sentence with provenance, labels, and probabilities by label name."""
    probabilities = model.predict_proba([sentence.text for _, sentence in sentences])
    label_sets = model.label_sets(probabilities)
    return [
        {
            "document_id": sentence.document_id,
            "sentence_id": sentence.id,
            "source": document.source,
            "start": sentence.start,
            "end": sentence.end,
            "text": sentence.text,
            "labels": list(labels),
            "probabilities": {name: round(float(p), 6) for name, p in zip(model.labels, row, strict=True)},
            "model_id": model.id,
            "codebook_hash": model.codebook.hash,
        }
        for (document, sentence), labels, row in zip(sentences, label_sets, probabilities, strict=True)
    ]


def _documents(files: Sequence[Path], report: PredictReport, text_column: str) -> Iterator[Document]:
    for done, path in enumerate(files):
        report_progress("Predicting", done, len(files))
        yield from read_file(path, report.reject, text_column, report.notes.append)
    report_progress("Predicting", len(files), len(files))


def _sentences(
    documents: Iterable[Document], report: PredictReport, *, split: bool, keep_boilerplate: bool
) -> Iterator[tuple[Document, Sentence]]:
    for document in documents:
        report.documents += 1
        sentences = split_sentences(document) if split else [whole_sentence(document)]
        if not keep_boilerplate:
            report.boilerplate += count_boilerplate(sentences)
            sentences = [sentence for sentence in sentences if not sentence.boilerplate]
        yield from ((document, sentence) for sentence in sentences)


@contextmanager
def _writer(path: Path, suffix: str, labels: Sequence[str]) -> Iterator[Callable[[list[Row]], object]]:
    """Open the file at `path`; yields a function that appends rows in the format of a file extension."""
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _parquet_schema(labels)
        with pq.ParquetWriter(path, schema) as parquet:
            yield lambda rows: parquet.write_table(pa.Table.from_pylist(rows, schema=schema))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if suffix == ".jsonl":
            yield lambda rows: file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return
        # In CSV, every label has a probability column of its own; the `probabilities` mapping is ignored.
        columns = [*_SENTENCE, "labels", *(f"p:{label}" for label in labels), *_MODEL]
        table = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        yield lambda rows: table.writerows(map(_csv_row, rows))


def _csv_row(row: Row) -> Row:
    """A row for CSV: labels joined by `|`, probabilities in columns `p:<label>`."""
    probabilities = {f"p:{label}": probability for label, probability in row["probabilities"].items()}
    return row | {"labels": "|".join(row["labels"])} | probabilities


def _parquet_schema(labels: Sequence[str]) -> Any:
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            # An inferred schema would be wrong if the first chunk had no labels: its column would have type null.
            *((name, pa.int64() if name in ("start", "end") else text) for name in _SENTENCE),
            ("labels", pa.list_(text)),
            ("probabilities", pa.struct([(label, pa.float32()) for label in labels])),
            *((name, text) for name in _MODEL),
        ]
    )
