"""`communique evaluate`: a saved model on a labelled file. Other commands share its artefact argument and report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.label_values import label_value_table
from labels.cli.terminal import (
    BlankOption,
    LabelColumnOption,
    OverwriteOption,
    TextColumnOption,
    bounds,
    console,
    number,
    table,
)
from labels.errors import counted
from trainer.cli.choice.track import report_untracked

if TYPE_CHECKING:
    from rich.table import Table

    from trainer.calibration.certificate import Certificate
    from trainer.evaluation.failures.mistakes import Mistake
    from trainer.evaluation.figures import PrevalenceFigures
    from trainer.evaluation.report import Report
    from trainer.model.model import Model

_MANY_LABELS = 12
ArtefactArgument = Annotated[
    str,
    typer.Argument(
        help="Folder of a run or an artefact, an MLflow URI such as models:/diplomatic-statements@champion, or starter "
        "(the shipped model)."
    ),
]


def evaluate(
    artefact: ArtefactArgument,
    data: Annotated[
        Path, typer.Argument(help="Labelled JSONL, CSV or Parquet file with `text` and `label` or `labels`.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report, predictions and plots.")] = None,
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    blank: BlankOption = None,
    prevalence: Annotated[
        str,
        typer.Option(
            "--prevalence",
            help="Also show the figures at the prevalence of your corpus: 0.02 for all labels, LABEL=0.02,..., or a "
            "file or folder of unlabelled texts, from which it is estimated.",
        ),
    ] = "",
    checks: Annotated[
        Path | None,
        typer.Option("--checks", help="TOML file of behavioural checks, or `shipped`, for the report.", metavar="FILE"),
    ] = None,
    errors: Annotated[int, typer.Option("--errors", min=0, help="Number of most confident errors to print.")] = 5,
    store: Annotated[
        str,
        typer.Option("--store", help="Label store (file or URL) whose coders' agreement is shown beside the figures."),
    ] = "",
    overwrite: OverwriteOption = False,
) -> None:
    """Evaluate a saved model on a labelled file, with the default \\[evaluation] settings."""
    from labels.text.examples import ReadingOptions
    from trainer.model.model import Model
    from trainer.runs.corpus_prevalence import check_settings, parse_prevalence
    from trainer.runs.evaluate import evaluate_file
    from trainer.runs.tracking.registry import fetch_artefact

    folder = fetch_artefact(artefact)
    options = ReadingOptions(text_column, label_column, blank or "")
    share = parse_prevalence(prevalence)
    model = Model.load(folder)
    check_settings(share, model.codebook, "--prevalence")  # as users know it: `evaluate_file` would name the key
    evaluation = evaluate_file(
        model, folder, data, out, options, prevalence=share, checks=checks, store=store, overwrite=overwrite
    )
    print_report(evaluation.report)
    print_slices(evaluation.report)
    if evaluation.report.checks:
        from trainer.cli.choice.checks import print_checks

        print_checks(evaluation.report.checks)
    print_mistakes(evaluation.mistakes, errors)
    if evaluation.folder is not None:
        console.print(f"Saved in {evaluation.folder}: report.json, predictions.parquet, plots/")
    report_untracked((evaluation.folder, evaluation.tracked))


def load_model(artefact: str) -> Model:
    """Load the saved model from the folder of a run or an artefact, or from an MLflow URI."""
    from trainer.model.model import Model
    from trainer.runs.tracking.registry import fetch_artefact

    return Model.load(fetch_artefact(artefact))


def print_report(report: Report) -> None:
    """Print the main figures of a report, then one row per label (only the twelve most frequent if there are more)."""
    from trainer.evaluation.report_tables import FOLD_HEADINGS, agreement_text, fold_rows, remarks

    intervals = report.intervals
    interval_heading = f"{intervals.confidence:.0%} interval" if intervals else "interval"
    console.print(table(["", "value", interval_heading], _main_rows(report)))
    console.print(_label_table(report, interval_heading))
    if any(own.precision_at for own in report.per_label.values()):  # older reports lack these figures
        console.print(_ranking_table(report))
    if report.prevalence:
        console.print(_prevalence_table(report.prevalence))
    if report.folds:
        console.print(table(FOLD_HEADINGS, fold_rows(report), title="Folds"))
    if report.certificate:
        console.print(_certificate_table(report.certificate))
    if report.label_values:
        console.print(label_value_table(report.label_values, "report.json"))
    for remark in (agreement_text(report), *remarks(report)):
        console.print(remark)


def print_slices(report: Report) -> None:
    """Print the figures on each slice of the test sentences, if there are any."""
    if not report.slices:
        return
    rows, by = [], ""
    for own in report.slices:
        difference = "–" if own.difference is None else f"{own.difference:+.3f}"
        figures = (number(own.micro_f1), bounds(own.intervals.get("micro_f1")), difference)
        name = own.by if own.by != by else ""
        rows.append((name, own.value, str(own.n), f"{own.labelled:.0%}", *figures, "worse" if own.worse else ""))
        by = own.by
    headings = ("slice", "", "n", "labelled", "micro-F1", "interval", "to others", "")
    caption = "to others: difference from all other sentences. Reliably worse slices are marked (Holm)."
    console.print(table(headings, rows, align="ttrrrrrl", title="On slices of the sentences", caption=caption))


def print_mistakes(mistakes: Sequence[Mistake], most: int) -> None:
    """Print the most confident mistakes."""
    if not mistakes or not most:
        return
    shown = mistakes[:most]
    console.print(f"The most confident of {counted(len(mistakes), 'wrong sentence')}:")
    for own in shown:
        kinds = (("missed", own.missed), ("assigned wrongly", own.wrong))
        what = "; ".join(f"{kind} {', '.join(labels)}" for kind, labels in kinds if labels)
        console.print(f"  {own.confidence:.2f}  {what}\n        {own.text}")


def _main_rows(report: Report) -> Iterator[tuple[str, str, str]]:
    for name in ("macro_f1", "micro_f1", report.exact_match_name):
        interval = getattr(report.intervals, name) if report.intervals else None
        yield name, number(getattr(report, name)), bounds(interval)
    yield "calibration error", number(report.calibration.expected_calibration_error), ""


def _label_table(report: Report, interval_heading: str) -> Table:
    headings = ("label", "precision", "recall", "F1", interval_heading, "support", "threshold")
    frequent = sorted(report.labels, key=lambda label: -report.per_label[label].support)[:_MANY_LABELS]
    rows = (_label_cells(report, label) for label in report.labels if label in frequent)
    left = len(report.labels) - len(frequent)
    return table(headings, rows, caption=f"{left} rarer labels are in report.json" if left else None)


def _ranking_table(report: Report) -> Table:
    """How well the probabilities rank the sentences: for searches, and for choosing what to read."""
    shares = list(next(iter(report.per_label.values())).precision_at)
    headings = ("label", "avg. prec.", "ROC AUC", "MCC", *(f"top {share}" for share in shares))
    frequent = sorted(report.labels, key=lambda label: -report.per_label[label].support)[:_MANY_LABELS]
    rows = []
    for label in (label for label in report.labels if label in frequent):
        own = report.per_label[label]
        figures = (own.average_precision, own.roc_auc, own.mcc, *own.precision_at.values())
        rows.append((label, *(number(each) for each in figures)))
    caption = "top: precision among this share of the sentences, with the highest probabilities"
    return table(headings, rows, caption=caption)


def _prevalence_table(found: PrevalenceFigures) -> Table:
    """The figures at the prevalence of the corpus; the remarks say why a label has none."""
    rows: list[tuple[str, ...]] = []
    for label, own in found.per_label.items():
        figures = map(number, (own.precision, own.recall, own.f1))
        rows.append((label, number(own.prevalence, 4), bounds(own, 4), *figures, bounds(own.intervals.get("f1"))))
    for name, average in (("macro", found.macro), ("micro", found.micro)):
        if average:
            rows.append((name, "", "", *map(number, (average.precision, average.recall, average.f1)), ""))
    title = "At the given prevalence" if found.source == "given" else f"At the prevalence estimated from {found.source}"
    return table(("label", "share", "interval", "precision", "recall", "F1", "interval"), rows, title=title)


def _label_cells(report: Report, label: str) -> tuple[str, ...]:
    figures = report.per_label[label]
    interval = report.intervals.per_label_f1.get(label) if report.intervals else None
    scores = map(number, (figures.precision, figures.recall, figures.f1))
    return (label, *scores, bounds(interval), str(figures.support), number(figures.threshold, 2))


def _certificate_table(certificate: Certificate) -> Table:
    """For a cascade: the share of sentences that cheaper models answer, and bounds on the differences from the
    expensive model."""
    by = certificate.answered_by
    each = f" ({', '.join(f'{n:,}' for n in by)} by each, cheapest first)" if by else ""
    differs = f"{certificate.share:.2%} (at most {certificate.upper_bound:.2%} at confidence "
    rows = [
        (
            "cheaper models answer" if by else "cheap model answers",
            f"{certificate.answered_share:.1%} of {certificate.cases} sentences{each}",
        ),
        ("differs from expensive", f"{differs}{certificate.confidence:g})"),
    ]
    labels = certificate.labels
    bounded = [f"{x.name} {x.share:.1%} (at most {x.upper_bound:.1%})" for x in labels if x.upper_bound is not None]
    rare = [f"{x.name} {x.lost} of {x.positives}" for x in labels if x.upper_bound is None]
    for what, losses in (("lost of expensive", bounded), ("too rare for a bound", rare)):
        if losses:
            rows.append((what, _first(losses)))
    if together := certificate.rare:
        counts = f"{together.lost} of {together.positives} ({together.share:.1%}, "
        rows.append(("these together", f"{counts}at most {together.upper_bound:.1%})"))
    caption = "The bounds assume independent sentences; sentences in one document are rarely independent."
    return table(("what", "figures"), rows, align="lt", show_header=False, caption=caption)


def _first(figures: Sequence[str]) -> str:
    """The figures of the labels in one line; if there are many labels, only the first twelve."""
    left = len(figures) - _MANY_LABELS
    return ", ".join(figures[:_MANY_LABELS]) + (f", {left} more in report.json" if left > 0 else "")
