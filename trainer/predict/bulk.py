"""Predict a corpus of any size, in a constant amount of memory: the local engine.

Documents are read in fixed blocks (`blocks`). Desks (`crew`, `desk`) split blocks and render rows, in another process
if the corpus is large, while the model predicts (`flow`). Blocks are finished in order (`job`), so that a run that was
killed continues where it was, and its output equals the output of an uninterrupted run byte for byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from labels.errors import DataError, refuse_lone_string
from labels.text.sentences import splitter_name
from trainer.model.model import Model
from trainer.predict.blocks import Reading
from trainer.predict.crew import Crew, LocalCrew, ProcessCrew
from trainer.predict.desk import Duties
from trainer.predict.flow import Flow, Progress
from trainer.predict.found import Found, find_corpus, found_store
from trainer.predict.job import Job, open_job
from trainer.predict.kept_texts import KeptTexts
from trainer.predict.outcome import PredictReport, Stamp
from trainer.predict.writing import (
    DOCUMENT_COLUMNS,
    SENTENCE_COLUMNS,
    Writing,
    check_suffix,
    documents_output,
    kept_types,
)

By = Literal["sentence", "document"]
PROCESS_FROM = 4 << 20
"""Size of the input in bytes from which a second process splits and renders; starting it takes a second."""


@dataclass(frozen=True)
class Options:
    """The options that change the output; see `predict_files`."""

    split: bool = True
    keep_boilerplate: bool = False
    keep_quotes: bool = False
    text_column: str = ""
    for_spreadsheet: bool = False
    texts: Path | None = None
    columns: tuple[str, ...] = ()
    by: By = "sentence"

    def to_json(self) -> dict[str, Any]:
        """The options by name, as plain values."""
        return vars(self) | {"texts": str(self.texts) if self.texts else None, "columns": list(self.columns)}


def predict_files(
    model: Model | str | Path,
    inputs: Iterable[str | Path],
    output: str | Path,
    *,
    split: bool = True,
    keep_boilerplate: bool = False,
    keep_quotes: bool = False,
    text_column: str = "",
    for_spreadsheet: bool = False,
    texts: Path | None = None,
    columns: Sequence[str] = (),
    by: By = "sentence",
    store: str | Path | None = None,
    workers: int = 1,
    restart: bool = False,
    watch: Callable[[Progress], object] | None = None,
) -> PredictReport:
    """Predict every sentence of the inputs and write one row per sentence. An incomplete output is never left behind.

    A call that is interrupted, even by a kill or a full disk, leaves a folder `.OUT.progress`. The same call continues
    there, and the output is the same as without the interruption.

    Args:
        model: a model, an estimator that was fitted or loaded, or the folder of an artefact or run.
        inputs: files, folders and patterns such as `news/**/*.parquet`; empty with `store`.
        output: the .jsonl, .csv or .parquet file to write.
        split: split documents into sentences; if false, every document (row) is one sentence.
        keep_boilerplate: also predict boilerplate, instead of setting it aside.
        keep_quotes: keep a quotation of several sentences as one sentence.
        text_column: the column with the texts of tables; empty for `text`.
        for_spreadsheet: put an apostrophe before cells of a .csv file that a spreadsheet would execute.
        texts: folder for the texts of the documents (see `labels.output.text_files`); an earlier one is replaced.
        columns: columns of tables that each row keeps.
        by: "document" also writes `STEM.documents.SUFFIX` with one row per document (`outcome.document_row`).
        store: predict the sentences to label in this label store.
        workers: number of processes with a model each; more than 1 needs the folder of the model.
        restart: begin again instead of continuing an interrupted call.
        watch: called after each block.

    Raises:
        DataError: an input does not exist or is also the output, nothing could be read, an input, the model or an
            option is not that of the interrupted call, another process writes the output, an input changed while it
            was read, or the output cannot be written.
        Interrupted: Ctrl-C, after a block was finished.
    """
    begun = time.perf_counter()
    options = Options(split, keep_boilerplate, keep_quotes, text_column, for_spreadsheet, texts, tuple(columns), by)
    refuse_lone_string(inputs, "inputs")
    loaded, folder = open_model(model)
    output, given = Path(output), list(inputs)
    _check(options, output, given, store, workers, folder)
    with ExitStack() as stack:
        found = stack.enter_context(found_store(store)) if store else find_corpus(given, output, texts, columns)
        job = stack.enter_context(open_job(output, restart=restart))
        described = _begin_or_continue(job, loaded, options, found)
        kept_texts = stack.enter_context(closing(KeptTexts(texts, job))) if texts else None
        source = found.source(described, Reading(text_column, options.columns), kept_texts.keep if kept_texts else None)
        duties = _duties(output, options, found.files, Stamp.of(loaded))
        crew = stack.enter_context(closing(_crew(duties, source.size, workers, folder)))
        flow = Flow(loaded, crew, job, duties, kept_texts, remote=workers > 1)
        return flow.run(source, len(found.files), begun, watch)


def open_model(model: Model | str | Path) -> tuple[Model, Path | None]:
    """The model, and its folder if it was given by its folder.

    Raises:
        ArtefactError: see `Model.load`.
    """
    if isinstance(model, str | Path):
        folder = Path(model)
        inside = folder / "artefact"
        folder = inside if (inside / "manifest.json").is_file() else folder
        return Model.load(folder), folder
    # An estimator of `communique` keeps its model in the attribute that `fit` sets.
    return getattr(model, "model_", model), None


def _check(
    options: Options,
    output: Path,
    inputs: Sequence[str | Path],
    store: str | Path | None,
    workers: int,
    folder: Path | None,
) -> None:
    check_suffix(output, for_spreadsheet=options.for_spreadsheet)
    texts = options.texts
    if texts is not None and output.resolve().is_relative_to(texts.resolve()):
        raise DataError(
            f"{output}: the folder {texts} is replaced as a whole. Choose another place with --out or --texts."
        )
    if store and (inputs or options.columns or options.text_column or not options.split):
        raise DataError(
            "--store predicts the sentences of the store as they are. Leave out the input files, --columns, "
            "--text-column and --no-split, or leave out --store."
        )
    if workers < 1:
        raise DataError(f"--workers {workers}: at least one process is needed. Pass a number from 1.")
    if workers > 1 and folder is None:
        raise DataError("workers: several processes must open the model. Save the model, and pass its folder.")


def _begin_or_continue(job: Job, model: Model, options: Options, found: Found) -> Mapping[str, Any]:
    """Write what the run is, or check that the interrupted run is the same; returns the description of its input."""
    identity: dict[str, Any] = {
        "model": model.id,
        "splitter": splitter_name(keep_quotes=options.keep_quotes),
        "options": options.to_json(),
    }
    if job.identity is None:
        described = found.describe()
        job.begin(identity | {"input": described})
        job.state.report.notes += found.notes
        job.transient = not model.id  # a model that was never saved cannot be recognised again
        return described
    before = job.identity
    if problem := _difference(before, identity) or found.difference(before["input"]):
        raise DataError(
            f"{job.output}: an unfinished run lies beside this output, but {problem}. Repeat the command of that run "
            "to continue it, or add --restart to begin again."
        )
    job.cut()
    job.state.report.continued = job.state.report.sentences
    return dict(before["input"])


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if before["model"] != now["model"] or not now["model"]:
        return f"it used the model {before['model']}, not {now['model'] or 'a model that was never saved'}"
    if before["splitter"] != now["splitter"] and before["options"]["keep_quotes"] == now["options"]["keep_quotes"]:
        return f"it used the sentence splitter {before['splitter']}, not {now['splitter']}"
    for name, value in now["options"].items():
        if (old := before["options"][name]) != value:
            return f"--{name.replace('_', '-')} was {_shown(old)} and is now {_shown(value)}"
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value) or "not given"
    return {None: "not given", "": "not given", True: "on", False: "off"}.get(value, str(value))


def _duties(output: Path, options: Options, files: Sequence[Path], stamp: Stamp) -> Duties:
    kept = kept_types(files, options.columns) if options.columns else {}
    sentences = Writing(output, SENTENCE_COLUMNS, stamp, kept, options.for_spreadsheet)
    more = {name: kind for name, kind in kept.items() if name not in DOCUMENT_COLUMNS}
    documents = Writing(documents_output(output), DOCUMENT_COLUMNS, stamp, more, options.for_spreadsheet)
    return Duties(
        Reading(options.text_column, options.columns),
        sentences,
        documents if options.by == "document" else None,
        options.split,
        options.keep_boilerplate,
        options.keep_quotes,
    )


def _crew(duties: Duties, size: int, workers: int, folder: Path | None) -> Crew:
    if workers > 1:
        return ProcessCrew(duties, workers, folder)
    return ProcessCrew(duties) if size >= PROCESS_FROM else LocalCrew(duties)
