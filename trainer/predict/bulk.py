"""Predict a corpus of any size, in a constant amount of memory: the local engine.

Documents are read in fixed blocks (`blocks`). Workers (`pool`, `worker`) split blocks and render rows, in another
process if the corpus is large, while the model predicts (`flow`). Blocks are finished in order (`job`), so that a run
that was killed continues where it stopped, and its output equals that of an uninterrupted run byte for byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from labels.errors import DataError, refuse_lone_string
from labels.output.drafts import check_file, check_folder
from labels.text.sentences import splitter_name
from trainer.model.model import Model
from trainer.model.starter import is_starter, starter_artefact
from trainer.predict.blocks import Found, Reading, find_corpus, found_store
from trainer.predict.flow import Flow, Progress
from trainer.predict.job import Job, KeptTexts, open_job
from trainer.predict.outcome import PredictReport, Stamp
from trainer.predict.pool import LocalPool, ProcessPool, WorkerPool
from trainer.predict.worker import Processing
from trainer.predict.writing import (
    DOCUMENT_COLUMNS,
    OUTPUT_SUFFIXES,
    Writing,
    check_suffix,
    documents_output,
    kept_types,
    sentence_columns,
)

By = Literal["sentence", "document"]
Engine = Literal["local", "ray"]
Watch = Callable[[Progress], object]
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
    engine: Engine = "local",
    address: str | None = None,
    restart: bool = False,
    watch: Watch | None = None,
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
        texts: folder for the texts of the documents (see `labels.output.folders`); an earlier one is replaced.
        columns: columns of tables that each row keeps; also `date`, `title` and `url` of articles that state them.
        by: "document" also writes `STEM.documents.SUFFIX` with one row per document (`outcome.document_row`).
        store: predict the sentences to label in this label store; with Ray, all machines must be able to open it.
        workers: number of processes with a model each; more than 1 needs the folder of the model.
        engine: "ray" predicts on a Ray cluster; `output` is then a folder of Parquet files, see `cluster`.
        address: address of the cluster; by default, RAY_ADDRESS, or Ray on this machine.
        restart: begin again instead of continuing an interrupted call.
        watch: called after each block.

    Raises:
        DataError: an input does not exist or is also the output, nothing could be read, an input, the model or an
            option differs from the interrupted call, another process writes the output, an input changed while it
            was read, or the output cannot be written.
        Interrupted: Ctrl-C, after a block was finished.
    """
    return predict_corpus(
        model,
        inputs,
        output,
        Options(split, keep_boilerplate, keep_quotes, text_column, for_spreadsheet, texts, tuple(columns), by),
        store=store,
        workers=workers,
        engine=engine,
        address=address,
        restart=restart,
        watch=watch,
    )


def predict_corpus(
    model: Model | str | Path,
    inputs: Iterable[str | Path],
    output: str | Path,
    options: Options,
    *,
    store: str | Path | None = None,
    workers: int = 1,
    engine: Engine = "local",
    address: str | None = None,
    restart: bool = False,
    watch: Watch | None = None,
) -> PredictReport:
    """Do the work of `predict_files`, which describes the arguments, the output and the errors."""
    refuse_lone_string(inputs, "inputs")
    begun = time.perf_counter()
    _check_choice("by", options.by, get_args(By))
    _check_choice("engine", engine, get_args(Engine))
    # Before the model is opened, which can take minutes.
    _check_place(Path(output), options, engine, address)
    loaded, folder = open_model(model)
    order = _Order(loaded, folder, tuple(inputs), Path(output), options, store, workers, restart)
    _check_store(order)
    _check_workers(order, engine)
    if engine == "ray":
        return _predict_on_ray(order, address, begun, watch)
    return _predict_here(order, begun, watch)


@dataclass(frozen=True)
class _Order:
    """The arguments of a call of `predict_files`; `folder` is the folder of the model, if it is known."""

    model: Model
    folder: Path | None
    inputs: tuple[str | Path, ...]
    output: Path
    options: Options
    store: str | Path | None
    workers: int
    restart: bool


def _predict_here(order: _Order, begun: float, watch: Watch | None) -> PredictReport:
    options, output, workers = order.options, order.output, order.workers
    with ExitStack() as stack:
        store, texts = order.store, options.texts
        found = (
            stack.enter_context(found_store(store))
            if store
            else find_corpus(order.inputs, output, texts, options.columns)
        )
        job = stack.enter_context(open_job(output, restart=order.restart))
        described = _begin_or_continue(job, order.model, options, found)
        kept_texts = stack.enter_context(closing(KeptTexts(texts, job))) if texts else None
        reading = Reading(options.text_column, options.columns)
        source = found.source(described, reading, kept_texts.keep if kept_texts else None)
        processing = _processing(output, options, found.files, Stamp.of(order.model))
        pool = stack.enter_context(closing(_pool(processing, source.size, workers, order.folder)))
        flow = Flow(order.model, pool, job, processing, kept_texts, remote=workers > 1)
        return flow.run(source, len(found.files), begun, watch)


def _predict_on_ray(order: _Order, address: str | None, begun: float, watch: Watch | None) -> PredictReport:
    from trainer.predict.ray_address import check_cluster
    from trainer.predict.ray_run import RayRun, check_output_folder
    from trainer.predict.shards import Stored, shared_store

    options, output = order.options, order.output
    check_cluster(address)
    assert order.folder is not None
    # The processes of a cluster have working folders of their own.
    inputs = [Path(path).absolute() for path in order.inputs]
    store = shared_store(order.store) if order.store else ""
    with ExitStack() as stack:
        found = stack.enter_context(found_store(store)) if store else find_corpus(inputs, output, None, options.columns)
        job = stack.enter_context(open_job(output, restart=order.restart, check=check_output_folder))
        described = _begin_or_continue(job, order.model, options, found)
        processing = _processing(output / "part.parquet", options, found.files, Stamp.of(order.model))
        run = RayRun(job, processing, order.folder, order.workers)
        stored = Stored(store, described["sentences"], described["last"]) if store else None
        files = [] if store else found.recorded(described)
        return run.run(files, stored, address, begun, watch)


def open_model(model: Model | str | Path) -> tuple[Model, Path | None]:
    """The model, and its folder if it was given by its folder.

    Raises:
        ArtefactError: see `Model.load`.
    """
    if isinstance(model, str | Path):
        folder = starter_artefact() if is_starter(model) else Path(model)
        inside = folder / "artefact"
        folder = inside if (inside / "manifest.json").is_file() else folder
        return Model.load(folder), folder
    # An estimator of `communique` keeps its model in the attribute that `fit` sets.
    return getattr(model, "model_", model), None


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise DataError(f"{name}={value!r}: unknown value. Use one of {', '.join(map(repr, known))}.")


def _check_place(output: Path, options: Options, engine: Engine, address: str | None) -> None:
    """Check that the output can be written there, and that the engine can write it."""
    if engine == "ray":
        _check_place_on_ray(output, options)
        return
    if address:
        raise DataError(
            f"--address {address}: only --engine ray uses a cluster. Add --engine ray, or leave out --address."
        )
    check_suffix(output, for_spreadsheet=options.for_spreadsheet)
    texts = options.texts
    if texts is not None and output.resolve().is_relative_to(texts.resolve()):
        raise DataError(
            f"{output}: the folder {texts} is replaced as a whole. Choose another place with --out or --texts."
        )
    check_file(output)
    if texts is not None:
        check_folder(texts, overwrite=True)  # its content is checked later


def _check_place_on_ray(output: Path, options: Options) -> None:
    from trainer.predict.ray_run import check_output_folder

    if output.suffix.lower() in OUTPUT_SUFFIXES:
        raise DataError(f"{output}: --engine ray writes a folder of Parquet files. Leave out the file extension.")
    if options.texts:
        raise DataError(
            "--texts: the machines of a cluster would write this folder at the same time. Leave out --texts, or leave "
            "out --engine ray (--workers starts several processes on this machine)."
        )
    if options.for_spreadsheet:
        raise DataError(
            "--for-spreadsheet: --engine ray writes Parquet files, which spreadsheets do not execute. Leave out "
            "--for-spreadsheet, or leave out --engine ray and write a .csv file."
        )
    check_output_folder(output)


def _check_store(order: _Order) -> None:
    options = order.options
    if order.store and (order.inputs or options.columns or options.text_column or not options.split):
        raise DataError(
            "--store predicts the sentences of the store as they are. Leave out the input files, --columns, "
            "--text-column and --no-split, or leave out --store."
        )


def _check_workers(order: _Order, engine: Engine) -> None:
    if order.workers < 1:
        raise DataError(f"--workers {order.workers}: at least one process is needed. Pass 1 or more.")
    if order.folder is None and (engine == "ray" or order.workers > 1):
        who = "every machine of the cluster" if engine == "ray" else "every process"
        raise DataError(f"model: {who} must load the model from a folder. Save the model, and pass its folder.")


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
            f"{job.output}: there is an unfinished run for this output, but {problem}. Repeat the command of that run "
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


def _processing(output: Path, options: Options, files: Sequence[Path], stamp: Stamp) -> Processing:
    kept = kept_types(files, options.columns) if options.columns else {}
    sentences = Writing(output, sentence_columns(stamp), stamp, kept, options.for_spreadsheet)
    more = {name: kind for name, kind in kept.items() if name not in DOCUMENT_COLUMNS}
    documents = Writing(documents_output(output), DOCUMENT_COLUMNS, stamp, more, options.for_spreadsheet)
    return Processing(
        Reading(options.text_column, options.columns),
        sentences,
        documents if options.by == "document" else None,
        options.split,
        options.keep_boilerplate,
        options.keep_quotes,
    )


def _pool(processing: Processing, size: int, workers: int, folder: Path | None) -> WorkerPool:
    if workers > 1:
        return ProcessPool(processing, workers, folder)
    return ProcessPool(processing) if size >= PROCESS_FROM else LocalPool(processing)
