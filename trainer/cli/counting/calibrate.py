"""`communique calibrate`: a new artefact that fits a labelled sample or a known prevalence, or that may abstain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import (
    BlankOption,
    LabelColumnOption,
    OverwriteOption,
    TextColumnOption,
    console,
    number,
    print_next,
    table,
)
from labels.environment.settings import command, load_settings
from labels.errors import InputError, counted
from trainer.calibration.abstention import ErrorKind
from trainer.cli.evaluate import ArtefactArgument

if TYPE_CHECKING:
    from trainer.calibration.abstention import Abstention, Screening
    from trainer.estimate.adjusting.calibrated import CalibrationReport, LabelFigures

_ERRORS = {
    "false-alarms": "wrong among the assigned labels",
    "misses": "missed among the sentences with the label",
    "answered": "wrong among the answered sentences",
}


def calibrate(
    artefact: ArtefactArgument,
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Labelled JSONL, CSV or Parquet file; a column inclusion_probability gives the weights "
            "\\[default: the labelled sample in the store].",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the new artefact.")] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            help="Label store with a labelled probability sample \\[default: communique.db].",
            metavar="STORE",
        ),
    ] = None,
    prior: Annotated[
        str,
        typer.Option(
            "--prior",
            help="Prevalence in the corpus: 0.02 for all labels, LABEL=0.02,..., or a file or folder of unlabelled "
            "texts, from which it is estimated. Without DATA and --store, only the prevalence is used.",
        ),
    ] = "",
    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            help="Criterion for choosing thresholds: f1, precision=0.8, recall=0.9, or cost=5 (a miss costs as much as "
            "five false alarms).",
        ),
    ] = "f1",
    labels: Annotated[
        str, typer.Option("--labels", help="The labels to change, separated by commas \\[default: all].")
    ] = "",
    max_error: Annotated[
        float | None,
        typer.Option("--max-error", help="Let the model abstain, so that its error is at most this, such as 0.05."),
    ] = None,
    error: Annotated[
        ErrorKind | None,
        typer.Option(
            "--error",
            help="Which errors to limit: wrong labels among those assigned (false-alarms), missed sentences among "
            "those with the label (misses), or wrong answers among all answers (answered) \\[default: false-alarms, "
            "or answered if the labels exclude each other].",
        ),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option("--recall", help="Choose thresholds for screening that find this share of each label, e.g. 0.95."),
    ] = None,
    joint: Annotated[bool, typer.Option("--joint", help="Make the bounds of all labels hold simultaneously.")] = False,
    confidence: Annotated[float, typer.Option("--confidence", help="Confidence of the bounds.")] = 0.95,
    codebook: Annotated[
        str,
        typer.Option(
            "--codebook", help="Codebook of the labels in the store \\[default: that of the model].", metavar="BOOK"
        ),
    ] = "",
    draws: Annotated[
        str, typer.Option("--draws", help="Ids of the draws in the store to use, separated by commas.", metavar="IDS")
    ] = "",
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    blank: BlankOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the folds for cross-fitting.")] = 13,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a new artefact that fits a labelled sample or a known prevalence, or that abstains when it is uncertain.

    The figures after calibration are cross-fitted by document. The original artefact is not changed.
    """
    from trainer.estimate.adjusting.calibrating import calibrate as make_calibration

    if out is None:
        raise InputError("name the folder of the new artefact, e.g. --out runs/calibrated.")
    wants_store = data is None and (store is not None or not prior)
    found = make_calibration(
        artefact,
        data,
        out=out,
        store=load_settings(store=store).store if wants_store else store,
        prior=prior,
        objective=objective,
        labels=[one.strip() for one in labels.split(",") if one.strip()],
        max_error=max_error,
        error=error,
        recall=recall,
        joint=joint,
        confidence=confidence,
        codebook=load_settings(codebook=codebook).codebook if codebook else None,
        draws=[one.strip() for one in draws.split(",") if one.strip()],
        text_column=text_column,
        label_column=label_column,
        blank=blank or "",
        seed=seed,
        overwrite=overwrite,
    )
    _print_report(found)
    console.print(f"Written to {out}: model {found.model_id}.")
    print_next(command("predict", str(out), "articles/", "--out", "tagged.csv"))


def _print_report(found: CalibrationReport) -> None:
    if found.sentences:
        console.print(
            f"Sample: {counted(found.sentences, 'labelled sentence')} of {counted(found.documents, 'document')}."
        )
    if found.after:
        console.print(_figures_table(found))
    elif not (found.abstention or found.screening):
        rows = [
            (label, f"{share:.2%}", number(found.thresholds.get(label), 3)) for label, share in found.shares.items()
        ]
        console.print(table(["label", "prevalence", "threshold"], rows, align="lrr"))
    if found.abstention:
        _print_abstention(found.abstention)
    if found.screening:
        _print_screening(found.screening)
    for note in found.notes:
        console.print(f"Note: {note}.", soft_wrap=True)


def _figures_table(found: CalibrationReport) -> object:
    headings = ["label", "positives", "share", "mean probability", "log loss", "precision", "recall", "F1", "threshold"]
    rows = []
    for label in found.labels:
        before, after = found.before[label], found.after[label]
        rows.append(
            [
                label,
                str(found.positives[label]),
                f"{found.shares[label]:.2%}",
                f"{before.mean:.2%} → {after.mean:.2%}",
                f"{before.log_loss:.4f} → {after.log_loss:.4f}",
                *(_pair(before, after, name) for name in ("precision", "recall", "f1")),
                number(found.thresholds.get(label), 3),
            ]
        )
    caption = "before → after; figures after are cross-fitted by document."
    return table(headings, rows, align="lrrrrrrrr", caption=caption)


def _pair(before: LabelFigures, after: LabelFigures, name: str) -> str:
    return f"{number(getattr(before, name), 2)} → {number(getattr(after, name), 2)}"


def _print_abstention(rule: Abstention) -> None:
    rows = [
        (
            label or "all labels",
            f"{own.low:.3f}–{own.high:.3f}" if label else f"below {own.high:.3f}",
            f"{own.errors} of {own.units}",
            f"{own.bound:.2%}",
            f"{own.abstained:.2%}",
            f"{own.hindsight:.2%}",
        )
        for label, own in rule.labels.items()
    ]
    together = "for all labels together" if rule.joint else "for each label"
    console.print(
        f"At most {rule.max_error:.1%} {_ERRORS[rule.error]}, as a share of documents, with "
        f"{rule.confidence:.0%} confidence {together}:"
    )
    headings = ["label", "abstains", "errors", "bound", "abstained", "best in hindsight"]
    caption = "errors: in one sentence per document; hindsight: the best cut-off on this sample, without a guarantee."
    console.print(table(headings, rows, align="llrrrr", caption=caption))


def _print_screening(rule: Screening) -> None:
    rows = [
        (label, f"{own.threshold:.4f}", f"{own.missed} of {own.units}", f"{own.bound:.1%}", f"{own.read:.1%}")
        for label, own in rule.labels.items()
    ]
    together = "for all labels together" if rule.joint else "for each label"
    console.print(f"Recall of at least {rule.recall:.1%} with {rule.confidence:.0%} confidence {together}:")
    headings = ["label", "read from", "missed", "recall at least", "to read"]
    caption = "missed: in one sentence with the label per document; to read: share of the sample's sentences."
    console.print(table(headings, rows, align="lrrrr", caption=caption))
