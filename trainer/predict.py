"""Predict a corpus of any size: reads documents and writes one row per sentence, in a constant amount of memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from labels.errors import DataError
from labels.output.drafts import whole_file
from labels.output.table_files import check_spreadsheet, csv_writer, json_lines
from labels.output.text_files import text_folder
from labels.progress import report_progress
from labels.records import Document, Sentence
from labels.text.documents import FoundFiles, find_files, read_file
from labels.text.rows import Row
from labels.text.sentences import count_boilerplate, split_sentences, whole_sentence
from trainer.model.model import Model

OUTPUT_SUFFIXES = (".jsonl", ".csv", ".parquet")
SAID = 20
"""Maximum number of unreadable files and rows for which a report gives the reason."""
_CHUNK = 2048
_SENTENCE = ("document_id", "sentence_id", "source", "start", "end", "text")
_MODEL = ("model_id", "codebook_hash")
_MARKS = ("splitter", "heading")


@dataclass
class PredictReport:
    """The counts of a call of `predict_files`.

    `boilerplate` counts the sentences set aside, by reason; `assigned` counts sentences by label. `left_out` is the
    number of files and rows that could not be read; `rejected` has the messages for the first `SAID` of them. `notes`
    are remarks on how tables were read, and on outputs of communique that were not read.
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
    keep_quotes: bool = False,
    text_column: str = "",
    for_spreadsheet: bool = False,
    texts: Path | None = None,
) -> PredictReport:
    """Predict every sentence of the inputs and write one row per sentence. An incomplete output is never left behind.

    Args:
        inputs: files and folders with documents.
        output: the .jsonl, .csv or .parquet file to write.
        split: split documents into sentences; if false, every document (row) is one sentence.
        keep_boilerplate: also predict boilerplate, instead of setting it aside.
        keep_quotes: keep a quotation of several sentences as one sentence.
        text_column: the column with the texts of tables; empty for `text`.
        for_spreadsheet: put an apostrophe before cells of a .csv file that a spreadsheet would execute.
        texts: folder for the texts of the documents (see `labels.output.text_files`); an earlier one is replaced.

    Raises:
        DataError: an input does not exist or is also the output, nothing could be read, or the output cannot be
            written.
    """
    _check_suffix(output, for_spreadsheet=for_spreadsheet)
    if texts is not None and output.resolve().is_relative_to(texts.resolve()):
        raise DataError(
            f"{output}: the folder {texts} is replaced as a whole. Choose another place with --out or --texts."
        )
    outputs = {"--out": output} if texts is None else {"--out": output, "--texts": texts}
    found = _files_but(outputs, inputs)
    report = PredictReport(notes=list(found.notes))
    with ExitStack() as drafts:
        keep_text = drafts.enter_context(text_folder(texts)) if texts else None
        draft = drafts.enter_context(whole_file(output))
        documents = _documents(found.files, report, text_column)
        kept = _with_texts(documents, report, keep_text) if keep_text else documents
        cut = partial(split_sentences, keep_quotes=keep_quotes) if split else _whole
        sentences = _sentences(kept, report, cut, keep_boilerplate=keep_boilerplate)
        with _writer(draft, output, model.labels, for_spreadsheet=for_spreadsheet) as write:
            # Chunks are large enough for batching, and small enough for the memory.
            while chunk := list(islice(sentences, _CHUNK)):
                rows = predict_rows(model, chunk)
                write(rows)
                report.sentences += len(rows)
                report.assigned.update(label for row in rows for label in row["labels"])
        # Inside the block, an error discards the drafts, so that no empty output is left.
        if not report.documents:
            problems = "\n  ".join(report.rejected[:5]) or "no text"
            raise DataError(f"Nothing could be read, so {output} was not written:\n  {problems}")
    return report


def _check_suffix(output: Path, *, for_spreadsheet: bool) -> None:
    suffix = output.suffix.lower()
    if suffix not in OUTPUT_SUFFIXES:
        raise DataError(
            f"{output}: predictions can be written to {', '.join(OUTPUT_SUFFIXES)} files. Change the file extension."
        )
    if for_spreadsheet:
        check_spreadsheet(output)


def _files_but(outputs: Mapping[str, Path], inputs: Iterable[Path]) -> FoundFiles:
    """The input files, without the outputs (by option) that an earlier call left in one of the input folders."""
    inputs, own = list(inputs), {option: path.resolve() for option, path in outputs.items()}
    for option, place in own.items():
        for given in inputs:
            if given.resolve().is_relative_to(place):
                raise DataError(
                    f"{outputs[option]}: this path is or contains the input {given}, so it cannot also be an output. "
                    f"Choose another place with {option}."
                )
    found = find_files(inputs)
    places = ((file, file.resolve()) for file in found.files)
    others = [file for file, place in places if not any(place.is_relative_to(output) for output in own.values())]
    return replace(found, files=tuple(others))


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
            "splitter": sentence.splitter,
            "heading": sentence.heading,
        }
        for (document, sentence), labels, row in zip(sentences, label_sets, probabilities, strict=True)
    ]


def _documents(files: Sequence[Path], report: PredictReport, text_column: str) -> Iterator[Document]:
    for done, path in enumerate(files):
        report_progress("Predicting", done, len(files))
        yield from read_file(path, report.reject, text_column, report.notes.append)
    report_progress("Predicting", len(files), len(files))


def _with_texts(
    documents: Iterable[Document], report: PredictReport, keep_text: Callable[[str, Document], None]
) -> Iterator[Document]:
    """Write the text of each document; a document whose text cannot be kept is left out."""
    for document in documents:
        try:
            keep_text(document.id, document)
        except DataError as error:
            report.reject(str(error))
        else:
            yield document


def _whole(document: Document) -> list[Sentence]:
    return [whole_sentence(document)]


def _sentences(
    documents: Iterable[Document],
    report: PredictReport,
    cut: Callable[[Document], list[Sentence]],
    *,
    keep_boilerplate: bool,
) -> Iterator[tuple[Document, Sentence]]:
    for document in documents:
        report.documents += 1
        sentences = cut(document)
        if not keep_boilerplate:
            report.boilerplate += count_boilerplate(sentences)
            sentences = [sentence for sentence in sentences if not sentence.boilerplate]
        yield from ((document, sentence) for sentence in sentences)


@contextmanager
def _writer(
    draft: Path, output: Path, labels: Sequence[str], *, for_spreadsheet: bool
) -> Iterator[Callable[[list[Row]], object]]:
    """Open the file `draft`; yields a function that appends rows in the format of the extension of `output`."""
    if output.suffix.lower() == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _parquet_schema(labels)
        with pq.ParquetWriter(draft, schema) as parquet:
            yield lambda rows: parquet.write_table(pa.Table.from_pylist(rows, schema=schema))
    elif output.suffix.lower() == ".jsonl":
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            yield lambda rows: file.writelines(json_lines(rows))
    else:
        # In CSV, every label has a probability column of its own; the `probabilities` mapping is ignored.
        columns = [*_SENTENCE, "labels", *(f"p:{label}" for label in labels), *_MODEL, *_MARKS]
        with csv_writer(draft, columns, output, for_spreadsheet=for_spreadsheet) as write:
            yield lambda rows: write(map(_csv_row, rows))


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
            ("splitter", text),
            ("heading", pa.bool_()),
        ]
    )
