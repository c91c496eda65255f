"""The commands that take a saved model: `communique evaluate`, `export`, `score`, `predict` and `serve`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import OverwriteOption, StoreOption, console, number, print_next, progress_bars, table
from labels.settings import command, load_settings
from trainer.cli.report import print_report

if TYPE_CHECKING:
    from trainer.active.scoring import ScoreReport
    from trainer.model.export import ExportReport
    from trainer.model.model import Model
    from trainer.predict import PredictReport

ArtefactArgument = Annotated[
    str,
    typer.Argument(
        help="Folder of a run or an artefact, or an MLflow URI such as models:/diplomatic-statements@champion."
    ),
]


def _load(artefact: str) -> Model:
    from trainer.model.model import Model
    from trainer.runs.registry import fetch_artefact

    return Model.load(fetch_artefact(artefact))


# -- evaluate


def evaluate(
    artefact: ArtefactArgument,
    data: Annotated[Path, typer.Argument(help="Labelled JSONL, CSV or Parquet with `text` and `label` or `labels`.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for report.json, predictions and plots.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Evaluate a saved model on a labelled file, with the default \\[evaluation] settings."""
    from trainer.model.model import Model
    from trainer.runs.evaluate import evaluate_file
    from trainer.runs.registry import fetch_artefact

    folder = fetch_artefact(artefact)
    evaluation = evaluate_file(Model.load(folder), folder, data, out, overwrite=overwrite)
    print_report(evaluation.report)
    if evaluation.folder is not None:
        console.print(f"Saved in {evaluation.folder}: report.json, predictions.parquet, plots/")


# -- export


def export(
    artefact: ArtefactArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the exported artefact.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Export to ONNX, the only format so far.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit weights: smaller and faster. Not for cascades.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Labelled file for the comparison \\[default: the run's validation rows]."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Export a transformer or cascade to a faster artefact, if it agrees with the original on labelled rows."""
    from labels.errors import InputError
    from trainer.model.export import export_artefact
    from trainer.runs.registry import fetch_artefact

    if not onnx:
        raise InputError("export: name a format. ONNX is the only one so far: add --onnx.")
    folder = fetch_artefact(artefact)
    with progress_bars():
        report = export_artefact(folder, out, int8=int8, data=data, overwrite=overwrite)
    print_exported(report)


def print_exported(report: ExportReport) -> None:
    """How the exported model compares with the original, and a command to try next."""
    check = report.agreement
    console.print(table(("", "before", "after", "rows"), _export_rows(report)))
    console.print(
        f"{check.agreeing:.2%} of the label sets agree on {check.rows:,} rows ({check.origin}); "
        f"largest difference of a probability {check.largest_difference:.2g}."
    )
    if check.unjudged:
        console.print(f"Recall not compared (no such label in these rows): {', '.join(check.unjudged)}.")
    console.print(f"Saved in {report.folder}: model {report.model_id}, {report.precision}, on onnxruntime.")
    print_next(command("serve", report.folder))


def _export_rows(report: ExportReport) -> Iterator[tuple[str, str, str, str]]:
    for label, recall in report.agreement.recalls.items():
        yield f"recall {label}", number(recall.before), number(recall.after), f"{recall.positives:,}"
    yield "sentences/s", number(report.speed_before, 0), number(report.speed_after, 0), ""
    yield "MB", number(report.bytes_before / 1e6, 1), number(report.bytes_after / 1e6, 1), ""


# -- score


def score(
    artefact: ArtefactArgument,
    store: StoreOption = None,
    embed: Annotated[
        bool | None, typer.Option(help="Store sentence vectors too \\[default: if the model has an encoder].")
    ] = None,
) -> None:
    """Write a saved model's probabilities for the store's sentences to the store; scored ones are skipped."""
    from labels.store import Store
    from trainer.active.scoring import score_artefact
    from trainer.runs.registry import fetch_artefact

    # The store first: a wrong path must not cost the download of a model.
    with Store(load_settings(store=store).store, create=False) as opened:
        folder = fetch_artefact(artefact)
        with progress_bars():
            report = score_artefact(folder, opened, embed=embed)
    print_scored(report, opened.name)


def print_scored(report: ScoreReport, store: str) -> None:
    """What was scored, and a command to try next."""
    console.print(f"Model {report.model_id}: {report.scored} sentences of {store} scored.")
    if report.encoder:
        console.print(f"{report.embedded} sentence vectors kept, by encoder {report.encoder}.", soft_wrap=True)
    if not report.scored and not report.embedded:
        console.print("All sentences were already scored.")
    print_next(command("label", "--annotator", "YOUR_NAME", "--strategy", "uncertainty", store=store))


# -- predict


def predict(
    artefact: ArtefactArgument,
    inputs: Annotated[list[Path], typer.Argument(help="Files and folders: txt, md, html, jsonl, csv, parquet.")],
    output: Annotated[Path, typer.Option("--out", "--output", "-o", help="A .jsonl, .csv or .parquet file to write.")],
    split: Annotated[
        bool, typer.Option(help="Cut texts into sentences; with --no-split each row is one sentence.")
    ] = True,
    keep_boilerplate: Annotated[bool, typer.Option("--keep-boilerplate", help="Label boilerplate as well.")] = False,
) -> None:
    """Label every sentence of a corpus of any size; writes a row for each sentence, with labels and probabilities."""
    from trainer.predict import predict_files

    model = _load(artefact)
    with progress_bars():
        report = predict_files(model, inputs, output, split=split, keep_boilerplate=keep_boilerplate)
    print_predicted(report, model, output)


def print_predicted(report: PredictReport, model: Model, output: Path) -> None:
    """The counts of a bulk prediction."""
    for message in report.rejected:
        console.print(f"Left out: {message}", style="yellow")
    if more := report.left_out - len(report.rejected):
        console.print(f"Left out: {more:,} more, for similar reasons.", style="yellow")
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(report.boilerplate.items()))
    console.print(
        f"{report.documents} documents, {report.sentences} sentences labelled; "
        f"{report.boilerplate.total()} set aside as boilerplate" + (f" ({reasons})." if reasons else ".")
    )
    for label in model.labels:
        if assigned := report.assigned[label]:
            console.print(f"  {label:<24} {assigned:>6}  {assigned / report.sentences:6.1%}")
    console.print(f"Written to {output}.")


# -- serve


def serve(
    artefact: ArtefactArgument,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve a saved model over HTTP: a page at /, POST /predict, documentation at /docs."""
    from trainer.serving.app import run_server

    model = _load(artefact)
    run_server(model, host, port, lambda url: console.print(f"Serving {model.id} on {url}  (page: /, docs: /docs)"))
