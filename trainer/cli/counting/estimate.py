"""`communique estimate`: shares and counts of labels in a corpus, with intervals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labels.cli.terminal import OverwriteOption, console, number, print_next, table
from labels.environment.settings import command, load_settings
from labels.errors import InputError, counted
from trainer.estimate.checking import Missing
from trainer.estimate.given.covariates import RowUnit
from trainer.estimate.regressions.regression import Family
from trainer.estimate.results import Unit
from trainer.estimate.shares import Estimand

if TYPE_CHECKING:
    from trainer.estimate.given.opening import Sources
    from trainer.estimate.regressions.regressing import Regression
    from trainer.estimate.results import Cell, Estimate, Figure

_MOST_ROWS = 60
"""Maximum number of rows of a table on the screen; the files have all."""


def estimate(
    predictions: Annotated[
        Path | None,
        typer.Argument(
            help="File written by `communique predict` for the whole corpus \\[default: the scores in the store].",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            help="Label store with a labelled probability sample \\[default: communique.db].",
            metavar="STORE",
        ),
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample",
            help="Instead of a store: a table of the sample with sentence_id, labels and inclusion_probability; also "
            "stratum, stratum_size and cluster.",
        ),
    ] = None,
    artefact: Annotated[
        str,
        typer.Option(
            "--artefact", help="Folder or MLflow URI of the model, to check that it did not learn from the sample."
        ),
    ] = "",
    model: Annotated[str, typer.Option("--model", help="Id of the model whose scores are used.", metavar="ID")] = "",
    codebook: Annotated[
        str, typer.Option("--codebook", help="Codebook of the labels \\[default: that of the model].", metavar="BOOK")
    ] = "",
    draws: Annotated[
        str, typer.Option("--draws", help="Ids of the draws to use, separated by commas.", metavar="IDS")
    ] = "",
    labels: Annotated[
        str, typer.Option("--labels", help="The labels to show and write, separated by commas \\[default: all].")
    ] = "",
    by: Annotated[
        str,
        typer.Option(
            "--by", help="Also break down by year, quarter, month, week, or a column such as source.", metavar="COLUMN"
        ),
    ] = "",
    unit: Annotated[
        Unit,
        typer.Option("--unit", help="What to count; near-duplicate sentences are one statement."),
    ] = "sentences",
    estimand: Annotated[
        Estimand,
        typer.Option("--estimand", help="What the shares describe: this corpus, or the process that produced it."),
    ] = "corpus",
    missing: Annotated[
        Missing, typer.Option("--missing", help="What to do if more than 5% of the sample has no gold labels.")
    ] = "refuse",
    allow_unaudited: Annotated[
        bool,
        typer.Option("--allow-unaudited", help="Accept groups without a labelled sentence; they get no estimate."),
    ] = False,
    crossfit: Annotated[
        bool,
        typer.Option("--crossfit", help="Predict each fifth of the documents with a model fitted without it."),
    ] = False,
    regress: Annotated[
        str,
        typer.Option(
            "--regress",
            help="Estimate a regression instead of shares. The formula is a label, ~, and covariates, e.g. 'aid_pledge "
            "~ after_summit + source'.",
            metavar="FORMULA",
        ),
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Table of covariates with sentence_id, document_id or period \\[default: columns of the predictions].",
        ),
    ] = None,
    family: Annotated[Family, typer.Option("--family", help="Linear or logistic regression.")] = "linear",
    row: Annotated[
        RowUnit, typer.Option("--row", help="Unit of the regression's rows; period needs --by and a table of periods.")
    ] = "sentence",
    pseudo_outcomes: Annotated[
        Path | None,
        typer.Option(
            "--pseudo-outcomes", help="CSV file to write, for a linear regression in another program.", metavar="FILE"
        ),
    ] = None,
    impute_coders: Annotated[
        int,
        typer.Option(
            "--impute-coders",
            help="Include the disagreement of coders in the intervals by combining this many estimates (at least 5), "
            "each with randomly chosen coders.",
            metavar="N",
        ),
    ] = 0,
    confidence: Annotated[float, typer.Option("--confidence", help="Confidence of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the folds for cross-fitting.")] = 13,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the tables, the plot and the methods paragraph.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Estimate how often each label occurs in a corpus, from predictions and a labelled probability sample.

    Plain counts of predictions are biased. The sample corrects them; the intervals hold even for a bad model.
    """
    from labels.output.folders import refuse_occupied
    from trainer.estimate.given.opening import Sources
    from trainer.estimate.published.saving import save_estimate
    from trainer.estimate.sources import estimate as make_estimate
    from trainer.runs.tracking.registry import fetch_artefact

    if out is not None:
        refuse_occupied(out, overwrite=overwrite)
    with _told_of_interrupts(out):
        sources = Sources(
            predictions,
            load_settings(store=store).store if sample is None else store,
            sample,
            fetch_artefact(artefact) if artefact else None,
            model,
            load_settings(codebook=codebook).codebook if codebook else None,
            [one.strip() for one in draws.split(",") if one.strip()],
            crossfit=crossfit,
        )
        if regress:
            _refuse_other_options(labels, unit, estimand, allow_unaudited or bool(impute_coders))
            options: dict[str, Any] = {"data": data, "family": family, "row": row, "by": by, "missing": missing}
            options |= {"confidence": confidence, "seed": seed}
            _regress(regress, sources, options, out, pseudo_outcomes, overwrite=overwrite)
            return
        _refuse_regression_options(data, pseudo_outcomes)
        found = make_estimate(
            **{name: getattr(sources, name) for name in _SHARED},
            labels=[one.strip() for one in labels.split(",") if one.strip()],
            by=by,
            unit=unit,
            estimand=estimand,
            missing=missing,
            confidence=confidence,
            seed=seed,
            allow_unaudited=allow_unaudited,
            impute_coders=impute_coders,
        )
        print_estimate(found)
        if out is not None:
            save_estimate(found, out, overwrite=overwrite)
            console.print(
                f"Written to {out}: estimates.csv, estimate.json, estimate.png, methods.md, sample.csv, corpus.csv"
            )
            print_next(command("archive", str(out)))


_SHARED = ("predictions", "store", "sample", "artefact", "model", "codebook", "draws", "crossfit")


def _refuse_other_options(labels: str, unit: Unit, estimand: Estimand, more: bool) -> None:
    given = {"--labels": bool(labels), "--unit": unit != "sentences", "--estimand": estimand != "corpus"}
    for name, is_given in (given | {"--allow-unaudited or --impute-coders": more}).items():
        if is_given:
            raise InputError(f"{name} applies to shares, not to a regression. Remove it, or remove --regress.")


def _refuse_regression_options(data: Path | None, pseudo_outcomes: Path | None) -> None:
    for name, given in (("--data", data), ("--pseudo-outcomes", pseudo_outcomes)):
        if given is not None:
            raise InputError(
                f"{name} applies only to a regression. Add one, e.g. --regress 'aid_pledge ~ after_summit'."
            )


def _regress(
    formula: str,
    sources: Sources,
    options: dict[str, Any],
    out: Path | None,
    pseudo_outcomes: Path | None,
    *,
    overwrite: bool,
) -> None:
    from labels.output.folders import refuse_existing
    from labels.output.table_files import write_csv_table
    from trainer.estimate.published.saving import save_regression
    from trainer.estimate.sources import regress

    if pseudo_outcomes is not None:
        if pseudo_outcomes.suffix.lower() != ".csv":
            raise InputError(f"--pseudo-outcomes {pseudo_outcomes}: name a file that ends with .csv.")
        refuse_existing(pseudo_outcomes, overwrite=overwrite)
    found = regress(formula, sources, **options)
    print_regression(found.regression)
    if pseudo_outcomes is not None:
        write_csv_table(pseudo_outcomes, found.pseudo.to_dict("records"))
        console.print(f"Written to {pseudo_outcomes}: {counted(len(found.pseudo), 'row')} with `pseudo_outcome`.")
    if out is not None:
        save_regression(found.regression, out, overwrite=overwrite)
        console.print(f"Written to {out}: coefficients.csv, regression.json, methods.md")


def print_regression(found: Regression) -> None:
    """Print the coefficients, next to those from the predictions and from the sample alone, and the remarks."""
    from trainer.estimate.given.covariates import ROWS

    kind = "Linear" if found.family == "linear" else "Logistic"
    console.print(f"{kind} regression: {found.formula}. A row is {ROWS[found.row]}.")
    console.print(
        f"{counted(found.rows, 'row')} in {found.clusters:,} clusters; sample: "
        f"{counted(found.labelled, 'labelled sentence')}, {found.positives} with the label. "
        f"Intervals: {found.confidence:.0%}."
    )
    rows = [
        (
            one.name,
            f"{one.estimate:.4f}",
            f"{one.error:.4f}",
            f"{one.low:.4f} to {one.high:.4f}",
            f"{one.p_value:.3f}",
            *(number(value, 4) for value in (one.predictions, one.sample)),
        )
        for one in found.coefficients
    ]
    headings = ["coefficient", "estimate", "std. error", "interval", "p", "predictions", "sample alone"]
    caption = "predictions: with the assigned labels as the outcome; these coefficients are biased."
    console.print(table(headings, rows, align="lrrrrrr", caption=caption))
    for note in found.notes:
        console.print(f"Note: {note}.", soft_wrap=True)


@contextmanager
def _told_of_interrupts(out: Path | None) -> Iterator[None]:
    """Say after Ctrl-C that nothing was written: a folder of an estimate takes its place only when it is complete."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("" if out is None else f"Nothing was written to {out}.") from None


def print_estimate(found: Estimate) -> None:
    """Print the published shares beside the other methods, the differences, and the remarks."""
    from trainer.estimate.shares import ESTIMANDS

    console.print(f"Estimand: {ESTIMANDS[found.estimand]}.")
    console.print(
        f"Sample: {counted(found.labelled, 'labelled sentence')} of {found.drawn} drawn. "
        f"Intervals: {found.confidence:.0%}. Unit: {found.unit}."
    )
    headings = ["label", *([found.by] if found.by else []), "share", "interval", "count", "sample alone", "predictions"]
    shown = found.cells[:_MOST_ROWS]
    align = "l" * (2 if found.by else 1) + "r" * 5
    console.print(table(headings, [_row(cell, found) for cell in shown], align=align))
    if len(found.cells) > len(shown):
        console.print(f"{len(found.cells) - len(shown)} more rows are in the files of --out.")
    if any(cell.small for cell in shown):
        console.print("* few positives (or negatives) in the sample: the share is estimated from the sample alone.")
    if found.not_sentences is not None:
        own = found.not_sentences
        console.print(
            f"Not sentences: {_share(own.share)} of the spans ({_interval(own)}). They are not part of the corpus, so "
            "its size and the counts are estimates."
        )
    if found.missing:
        _print_missing(found)
    for note in found.notes:
        console.print(f"Note: {note}.", soft_wrap=True)


def _row(cell: Cell, found: Estimate) -> list[str]:
    own = cell.published
    group = [cell.group or "all"] if found.by else []
    return [
        cell.label,
        *group,
        _share(own.share) + ("*" if cell.small else " "),
        _interval(own),
        _counts(own, cell.size),
        _share(cell.figures["sample"].share),
        _share(cell.raw),
    ]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _interval(figure: Figure) -> str:
    return "–" if figure.low is None or figure.high is None else f"{figure.low:.2%}–{figure.high:.2%}"


def _counts(figure: Figure, size: float) -> str:
    if figure.share is None or figure.low is None or figure.high is None:
        return "–"
    return f"{figure.share * size:,.0f} ({figure.low * size:,.0f}–{figure.high * size:,.0f})"


def _print_missing(found: Estimate) -> None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in found.missing.items())
    console.print(f"Without gold labels: {reasons}. Shares if none, or all, of them had the label:")
    rows = []
    for label in found.labels:
        cell = found.cell(label)
        if cell.all_negative is not None and cell.all_positive is not None:
            rows.append([label, _share(cell.all_negative.share), _share(cell.all_positive.share)])
    console.print(table(["label", "none", "all"], rows, align="lrr"))
