"""The root `communique` command: the commands of this package, and those of `labels.cli` mounted beside them.

Thin shells: options and help here, one call into a plain function, and its value printed by `trainer.display`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.models import CommandInfo

from labels.cli import app as labels_app
from labels.cli.terminal import CodebookOption, StoreOption, console, progress_bars, reporting_errors

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Code diplomatic statements: codebook, labels, classifiers, honest evaluation, serving.\n\n"
    "Start with `communique demo`; then `communique ingest`, `label`, `train`, `serve`.",
)
app.registered_groups += labels_app.registered_groups


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        console.print(f"communique {version('communique')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the command `communique` itself."""


ArtefactArgument = Annotated[
    str,
    typer.Argument(
        help="A run's or an artefact's folder, or an MLflow URI such as models:/diplomatic-statements@champion."
    ),
]
ExperimentArgument = Annotated[str, typer.Argument(help="A TOML file, or a shipped one by name: finetune, tfidf, ...")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder for the outputs \\[default: runs/NAME].")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value, e.g. data.train=mine.jsonl")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what the output folder holds.")]


@app.command(epilog="Example: communique demo --out demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="A new folder for store, split and runs.")] = Path("demo"),
) -> None:
    """The whole line on the starter corpus: read, split, train four models, register the best, tag a new article."""
    from trainer import demo as steps
    from trainer.display.board import print_results
    from trainer.display.demo import print_champion, print_corpus, print_next_steps, print_split, print_tagged

    with reporting_errors():
        with progress_bars():
            corpus = steps.read_corpus(out)
        print_corpus(corpus)
        split = steps.freeze_split(out, corpus)
        print_split(split, out / "split.json")
        with progress_bars():
            results = steps.train_all(out, corpus)
        print_results(results)
        best, uri = steps.register_champion(results)
        print_champion(best, uri)
        print_tagged(*steps.tag_unseen(best.model))
        print_next_steps(uri)


@app.command(epilog="Example: communique train experiments/finetune.toml --out runs/finetune --set model.epochs=6")
def train(
    experiment: ExperimentArgument,
    out: OutOption = None,
    set_: SetOption = None,
    learning_curve: Annotated[
        bool,
        typer.Option(
            "--learning-curve",
            help="Instead of one model: fit growing subsets and plot macro-F1 against the number of labelled sentences "
            "\\[default folder: runs/NAME-learning-curve].",
        ),
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Fit, calibrate, evaluate, save and track the model of an experiment file."""
    if learning_curve:
        _draw_learning_curve(experiment, out, set_ or [], overwrite=overwrite)
        return
    from trainer.config.load import load_experiment
    from trainer.display.run import print_report, print_saved
    from trainer.environment import is_follower
    from trainer.runs.fit import help_train
    from trainer.runs.run import run_experiment

    with reporting_errors():
        loaded = load_experiment(experiment, set_ or [])
        folder = out or Path("runs") / loaded.name
        if is_follower():
            help_train(loaded, folder)
            return
        with progress_bars():
            result = run_experiment(loaded, folder, overwrite=overwrite)
        print_report(result.report)
        print_saved(result)


def _draw_learning_curve(experiment: str, out: Path | None, overrides: list[str], *, overwrite: bool) -> None:
    from trainer.config.load import load_experiment
    from trainer.display.curve import print_learning_curve
    from trainer.runs.learning_curve import run_learning_curve

    with reporting_errors():
        loaded = load_experiment(experiment, overrides)
        folder = out or Path("runs") / f"{loaded.name}-learning-curve"
        with progress_bars():
            result = run_learning_curve(loaded, folder, overwrite=overwrite)
        print_learning_curve(result)


@app.command(epilog="Example: communique sweep experiments/sweep.toml --out runs/sweep --set sweep.trials=40")
def sweep(
    experiment: ExperimentArgument,
    out: OutOption = None,
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Try the settings that an experiment's sweep section names on validation, then train and test the best one."""
    from trainer.config.load import load_experiment
    from trainer.display.sweep import print_interrupted, print_sweep
    from trainer.runs.sweep import run_sweep

    with reporting_errors():
        loaded = load_experiment(experiment, set_ or [])
        folder = out or Path("runs") / loaded.name
        try:
            with progress_bars():
                result = run_sweep(loaded, folder, overwrite=overwrite)
        except KeyboardInterrupt:
            print_interrupted(folder)
            raise typer.Exit(130) from None
        print_sweep(result)


@app.command(epilog="Example: communique evaluate runs/finetune held_out.jsonl --out reports/held_out")
def evaluate(
    artefact: ArtefactArgument,
    data: Annotated[Path, typer.Argument(help="Labelled JSONL, CSV or Parquet with `text` and `label` or `labels`.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for report.json, predictions and plots.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Evaluate a saved model on any labelled file: the report of a run, with the default \\[evaluation] settings."""
    from trainer.display.run import print_report
    from trainer.model.model import Model
    from trainer.runs.evaluate import evaluate_file
    from trainer.runs.tracking import fetch_artefact

    with reporting_errors():
        folder = fetch_artefact(artefact)
        evaluation = evaluate_file(Model.load(folder), folder, data, out, overwrite=overwrite)
        print_report(evaluation.report)
        if evaluation.folder is not None:
            console.print(f"Kept in {evaluation.folder}: report.json, predictions.parquet, plots/")


@app.command(epilog="Example: communique export runs/finetune --onnx --int8 --out runs/fast")
def export(
    artefact: ArtefactArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the exported artefact.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="As a graph that onnxruntime runs; the only format.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit weights: smaller and faster; not of a cascade.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Labelled file to check on \\[default: the run's validation rows]."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Make a faster artefact of a transformer or cascade, if it says the same (int8: nearly) on labelled rows."""
    from labels.errors import InputError
    from trainer.display.exported import print_exported
    from trainer.environment import quiet_libraries
    from trainer.model.export import export_artefact
    from trainer.runs.tracking import fetch_artefact

    with reporting_errors():
        if not onnx:
            raise InputError("export: name a format. ONNX is the only one so far: add --onnx.")
        quiet_libraries()
        folder = fetch_artefact(artefact)
        with progress_bars():
            report = export_artefact(folder, out, int8=int8, data=data, overwrite=overwrite)
        print_exported(report)


@app.command(epilog="Example: communique score runs/tfidf --embed")
def score(
    artefact: ArtefactArgument,
    store: StoreOption = None,
    embed: Annotated[
        bool | None,
        typer.Option(help="Keep sentence vectors too \\[default: if the model reads through an encoder]."),
    ] = None,
) -> None:
    """Write what a saved model says of the store's sentences to the store; only those that it has not scored yet."""
    from labels.settings import load_settings
    from labels.store import Store
    from trainer.active.scoring import score_store
    from trainer.display.predicted import print_scored
    from trainer.environment import quiet_libraries
    from trainer.model.model import Model
    from trainer.runs.tracking import fetch_artefact

    with reporting_errors():
        quiet_libraries()
        settings = load_settings(store=store)
        with Store(settings.store, create=False) as opened:
            model = Model.load(fetch_artefact(artefact))
            with progress_bars():
                report = score_store(model, opened, embed=embed)
        print_scored(report, opened.name)


@app.command(epilog="Example: communique doubts --kind embedding --limit 50 --queue")
def doubts(
    store: StoreOption = None,
    codebook: CodebookOption = None,
    kind: Annotated[str, typer.Option("--kind", help="The models that judge: tfidf or embedding.")] = "tfidf",
    folds: Annotated[int, typer.Option("--folds", min=2, max=20, help="Cross-validation folds.")] = 5,
    limit: Annotated[int, typer.Option("--limit", min=1, help="List at most this many.")] = 100,
    queue: Annotated[bool, typer.Option("--queue", help="Ask for the listed ones to be labelled again.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the list to a .jsonl or .csv file.")] = None,
) -> None:
    """List the labels that are likely wrong: models that have not seen a document contradict its labels."""
    from labels.settings import load_settings
    from labels.store import Store
    from labels.store.codebooks import find_codebook
    from trainer.active.label_errors import check_kind, check_output, queue_doubts, store_doubts, write_doubts
    from trainer.display.doubts import print_doubts
    from trainer.environment import quiet_libraries

    with reporting_errors():
        quiet_libraries()
        settings = load_settings(store=store, codebook=codebook)
        judges = check_kind(kind)
        if out is not None:
            check_output(out)
        book = find_codebook(settings.codebook, settings.store)
        with Store(settings.store, create=False) as opened:
            with progress_bars():
                report = store_doubts(
                    opened,
                    book,
                    kind=judges,
                    folds=folds,
                    limit=limit,
                    reference=settings.codebook,
                )
            queued = queue_doubts(opened, report.doubts) if queue else None
        if out is not None:
            write_doubts(out, report.doubts)
        print_doubts(report, out, queued, settings)


@app.command(epilog="Example: communique predict runs/finetune articles/ --out tagged.csv")
def predict(
    artefact: ArtefactArgument,
    inputs: Annotated[list[Path], typer.Argument(help="Files and folders: txt, md, html, jsonl, csv, parquet.")],
    output: Annotated[Path, typer.Option("--out", "--output", "-o", help="A .jsonl, .csv or .parquet file to write.")],
    split: Annotated[bool, typer.Option(help="Cut texts into sentences; --no-split: each row is one already.")] = True,
    keep_boilerplate: Annotated[bool, typer.Option("--keep-boilerplate", help="Label boilerplate too.")] = False,
) -> None:
    """Label every sentence of a corpus of any size: one row a sentence, with labels and probabilities."""
    from trainer.display.predicted import print_predicted
    from trainer.environment import quiet_libraries
    from trainer.model.model import Model
    from trainer.predict.bulk import predict_files
    from trainer.runs.tracking import fetch_artefact

    with reporting_errors():
        quiet_libraries()
        model = Model.load(fetch_artefact(artefact))
        with progress_bars():
            report = predict_files(model, inputs, output, split=split, keep_boilerplate=keep_boilerplate)
        print_predicted(report, model, output)


@app.command(epilog="Example: communique serve models:/diplomatic-statements@champion --port 8000")
def serve(
    artefact: ArtefactArgument,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve a saved model over HTTP: POST /predict, GET /health, GET /codebook, docs, and a page to try it."""
    from trainer.environment import quiet_libraries
    from trainer.model.model import Model
    from trainer.runs.tracking import fetch_artefact
    from trainer.serving.app import run_server

    with reporting_errors():
        quiet_libraries()
        model = Model.load(fetch_artefact(artefact))
        run_server(model, host, port, lambda url: console.print(f"Serving {model.id} on {url}  (page: /, docs: /docs)"))


@app.command(epilog="Example: communique leaderboard --experiment communique-demo")
def leaderboard(
    experiment: Annotated[str, typer.Option("--experiment", help="Name of the MLflow experiment.")] = "communique",
) -> None:
    """The tracked runs, best on validation first; only runs on the same split are ranked against each other."""
    from trainer.display.board import print_board
    from trainer.runs.leaderboard import leaderboards

    with reporting_errors():
        for board in leaderboards(experiment):
            print_board(board)


_ORDER = (
    "demo",
    "ingest",
    "label",
    "status",
    "agreement",
    "adjudicate",
    "train",
    "sweep",
    "evaluate",
    "export",
    "score",
    "doubts",
    "leaderboard",
    "predict",
    "serve",
)
"""As a user meets them; what is not listed comes last."""


def _place(command: CommandInfo) -> int:
    name = command.name or (command.callback.__name__ if command.callback else "")
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


app.registered_commands = sorted([*app.registered_commands, *labels_app.registered_commands], key=_place)
