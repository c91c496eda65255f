"""`communique audit`: plan how many sentences to label for an estimate, and check the progress."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import OverwriteOption, console, print_next, table
from labels.environment.settings import command, load_settings
from labels.errors import InputError, counted

if TYPE_CHECKING:
    from trainer.estimate.given.opening import Sources
    from trainer.estimate.plans import AuditPlan

app = typer.Typer(no_args_is_help=True, help="Plan a labelled probability sample, and check its progress.")

PredictionsArgument = Annotated[
    Path | None,
    typer.Argument(
        help="File written by `communique predict` \\[default: the scores in the store].", show_default=False
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="Label store with scores or a sample \\[default: communique.db].", metavar="STORE"),
]
SampleOption = Annotated[
    Path | None, typer.Option("--sample", help="Table of a labelled sample instead of a store (see `estimate`).")
]
WidthOption = Annotated[
    float | None, typer.Option("--width", help="Target width of the intervals of shares, such as 0.02.")
]
ModelOption = Annotated[str, typer.Option("--model", help="Id of the model whose scores are used.", metavar="ID")]
ByOption = Annotated[
    str,
    typer.Option(
        "--by", help="Also break down by year, quarter, month, week, or a column such as source.", metavar="COLUMN"
    ),
]
LabelsOption = Annotated[
    str, typer.Option("--labels", help="The labels that the width is for, separated by commas \\[default: all].")
]
ConfidenceOption = Annotated[float, typer.Option("--confidence", help="Confidence of the intervals.")]
CodebookOption = Annotated[
    str, typer.Option("--codebook", help="Codebook of the labels \\[default: that of the model].", metavar="BOOK")
]


@app.command(epilog="Example: communique audit plan --width 0.02 --by month --out to_label.csv")
def plan(
    context: typer.Context,
    predictions: PredictionsArgument = None,
    width: WidthOption = None,
    store: StoreOption = None,
    sample: SampleOption = None,
    model: ModelOption = "",
    codebook: CodebookOption = "",
    labels: LabelsOption = "",
    by: ByOption = "",
    assurance: Annotated[float, typer.Option("--assurance", help="Probability that the width is reached.")] = 0.9,
    confidence: ConfidenceOption = 0.95,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the simulations and of the draw.")] = 13,
    out: Annotated[
        Path | None, typer.Option("--out", help="Table of the drawn sentences (.csv), to label and give to `estimate`.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Plan how many sentences to label, and which, for intervals of a target width.

    Audits are simulated from the predictions, or from a labelled pilot if there is one.
    """
    from labels.output.folders import free_name, refuse_existing
    from labels.output.table_files import write_csv_table
    from trainer.estimate.sources import plan_audit

    if out is not None and out.suffix.lower() != ".csv":
        raise InputError(f"--out {out}: a plan is written as CSV. Name a file that ends with .csv.")
    if width is None:
        raise InputError("a plan needs the target width of the intervals. Add it, e.g. --width 0.02.")
    if out is not None:
        refuse_existing(out, overwrite=overwrite)
    without_store = sample is not None or (predictions is not None and store is None)
    made = plan_audit(
        _sources(predictions, None if without_store else load_settings(store=store).store, sample, model, codebook),
        width=width,
        labels=_names(labels),
        by=by,
        assurance=assurance,
        confidence=confidence,
        seed=seed,
    )
    _print_plan(made, width, assurance, by)
    if out is not None:
        write_csv_table(out, list(made.rows()))
        console.print(f"Written to {out}: fill in `labels` (none if no label applies), and set `state` to reviewed.")
    else:
        words = _given_words(context, without=("store", "codebook"))
        print_next(
            command("audit", "plan", *words, "--out", free_name("to_label.csv"), store=store or "", codebook=codebook)
        )


def _print_plan(made: AuditPlan, width: float, assurance: float, by: str) -> None:
    found = made.plan
    console.print(
        f"Label {counted(found.size, 'sentence')}: the intervals are then at most {width:g} wide with probability "
        f"{assurance:g}. Basis: {found.basis}."
    )
    if found.size == found.sizes.sum():
        console.print("That is the whole corpus: no smaller sample gives intervals this narrow. Try a larger --width.")
    rows = [
        (name, f"{size:,}", f"{drawn:,}", f"{drawn / size:.1%}")
        for name, size, drawn in zip(found.strata, found.sizes.tolist(), found.drawn.tolist(), strict=True)
    ]
    console.print(table(["largest probability", "sentences", "to label", "share"], rows, align="lrrr"))
    widths = [
        (label, group or "all", f"{found.widths[g, i]:.2%}")
        for i, label in enumerate(made.labels)
        for g, group in enumerate((*made.groups, ""))
    ]
    console.print(table(["label", by or "group", "width"], widths, align="llr"))


def _given_words(context: typer.Context, without: Collection[str]) -> list[str]:
    """The arguments of this call, to repeat them in another command; arguments with their defaults are left out."""
    words: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name not in without and source is not None and source.name == "COMMANDLINE":
            words += [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
            words += [] if context.params[name] is True else [str(context.params[name])]
    return words


@app.command(epilog="Example: communique audit status --width 0.02")
def status(
    predictions: PredictionsArgument = None,
    width: WidthOption = None,
    store: StoreOption = None,
    sample: SampleOption = None,
    model: ModelOption = "",
    codebook: CodebookOption = "",
    labels: LabelsOption = "",
    by: ByOption = "",
    anytime: Annotated[
        bool,
        typer.Option(
            "--anytime",
            help="Show bounds that hold whenever you stop (simple random samples only).",
        ),
    ] = False,
    confidence: ConfidenceOption = 0.95,
) -> None:
    """Show the current widths of the intervals, and those expected with twice as many labelled sentences."""
    from trainer.estimate.plans import FIRST_LOOK
    from trainer.estimate.sources import estimate, plan_audit, watched_shares

    place = load_settings(store=store).store if sample is None else None
    sources = _sources(predictions, place, sample, model, codebook)
    found = estimate(
        predictions,
        store=sources.store,
        sample=sample,
        model=model,
        codebook=sources.codebook,
        by=by,
        missing="at-random",
        confidence=confidence,
        allow_unaudited=True,
    )
    wanted = _names(labels) or list(found.labels)
    rows = []
    for label in wanted:
        if label not in found.labels:
            raise InputError(f"the predictions have no label '{label}'. Labels: {', '.join(found.labels)}.")
        for group in ("", *found.groups):
            cell = found.cell(label, group)
            own = cell.published
            now = None if own.low is None or own.high is None else own.high - own.low
            done = "" if width is None or now is None else "yes" if now <= width else "no"
            figures = ("–", "–") if now is None else (f"{now:.2%}", f"{now / 2**0.5:.2%}")
            rows.append((label, group or "all", str(cell.labelled), str(cell.positives), *figures, done))
    headings = ["label", by or "group", "labelled", "positives", "width now", "with twice as many", "reached"]
    console.print(table(headings, rows, align="llrrrrl"))
    if sum(found.missing.values()):
        console.print(f"Without gold labels: {', '.join(f'{n} {why}' for why, n in found.missing.items())}.")
    if found.labelled < FIRST_LOOK:
        console.print(
            f"Do not stop before {FIRST_LOOK} sentences are labelled. Then you may stop when the width is reached."
        )
    if anytime:
        watched = watched_shares(sources, confidence=confidence)
        shown = [(label, f"{watched[label].low:.2%}–{watched[label].high:.2%}") for label in wanted]
        console.print(table(["label", "bounds at any time"], shown, align="lr"))
    if width is not None:
        made = plan_audit(sources, width=width, labels=wanted, by=by, confidence=confidence)
        console.print(f"A stratified sample that reaches this width has {counted(made.plan.size, 'sentence')} in all.")


def _sources(predictions: Path | None, store: str | None, sample: Path | None, model: str, codebook: str) -> Sources:
    from trainer.estimate.given.opening import Sources

    book = load_settings(codebook=codebook).codebook if codebook else None
    return Sources(predictions, store, sample, model=model, codebook=book)


def _names(labels: str) -> list[str]:
    return [one.strip() for one in labels.split(",") if one.strip()]
