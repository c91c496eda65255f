"""`communique bridge`: the shift in level when the model or the codebook changes, and a spliced series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import OverwriteOption, console, number, table
from labels.errors import InputError, counted
from trainer.estimate.combined.bridging import Link

if TYPE_CHECKING:
    from trainer.estimate.combined.bridging import Bridge
    from trainer.estimate.results import Figure


def bridge(
    old: Annotated[
        Path,
        typer.Argument(
            help="Old coding: a file of `communique predict`, or a coded sample with the column inclusion_probability."
        ),
    ],
    new: Annotated[Path, typer.Argument(help="New coding: a file of either kind that shares some sentences with OLD.")],
    before: Annotated[
        Path | None,
        typer.Option("--before", help="Folder of `estimate --by PERIOD --out` in the old coding.", metavar="FOLDER"),
    ] = None,
    after: Annotated[
        Path | None,
        typer.Option("--after", help="Folder of `estimate --by PERIOD --out` in the new coding.", metavar="FOLDER"),
    ] = None,
    rename: Annotated[
        str, typer.Option("--rename", help="Labels that were renamed, as OLD=NEW, separated by commas.")
    ] = "",
    link: Annotated[
        Link, typer.Option("--link", help="How earlier periods are shifted: in proportion, or by points.")
    ] = "ratio",
    confidence: Annotated[float, typer.Option("--confidence", help="Confidence of the intervals of the shift.")] = 0.95,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the tables and the plot.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Estimate the shift in level between two models or codebooks, and splice a series across the change.

    The shift is measured on sentences coded in both ways. Run this before you promote a new model.
    """
    from labels.output.folders import refuse_occupied
    from trainer.estimate.combined.bridging import bridge as make_bridge
    from trainer.estimate.given.compared import read_coding
    from trainer.estimate.published.saving import load_estimate, save_bridge

    if (before is None) != (after is None):
        raise InputError("a spliced series needs both --before and --after. Add the missing one, or omit both.")
    if not 0 < confidence < 1:
        raise InputError(f"--confidence is {confidence:g}. Choose a number between 0 and 1, such as 0.95.")
    if out is not None:
        refuse_occupied(out, overwrite=overwrite)
    found = make_bridge(
        read_coding(old),
        read_coding(new),
        renamed=_renamed(rename),
        before=load_estimate(before) if before else None,
        after=load_estimate(after) if after else None,
        link=link,
        confidence=confidence,
    )
    print_bridge(found)
    if out is not None:
        save_bridge(found, out, overwrite=overwrite)
        series = ", spliced.csv, spliced.png" if found.points else ""
        console.print(f"Written to {out}: shifts.csv, bridge.json{series}")


def _renamed(text: str) -> dict[str, str]:
    pairs = [one.strip().partition("=") for one in text.split(",") if one.strip()]
    for a, sign, b in pairs:
        if not (a and sign and b):
            raise InputError(f"--rename {text}: write pairs OLD=NEW, separated by commas.")
    return {a.strip(): b.strip() for a, _, b in pairs}


def print_bridge(found: Bridge) -> None:
    """Print the shifts, the spliced series, and the remarks."""
    console.print(
        f"Overlap: {counted(found.sentences, 'sentence')} of {counted(found.documents, 'document')}. "
        f"Intervals: {found.confidence:.0%}."
    )
    rows = [
        (
            one.new if one.old == one.new else f"{one.old} → {one.new}",
            f"{one.before:.2%}",
            f"{one.after:.2%}",
            f"+{one.gained} −{one.lost}",
            *_points(one.difference),
            number(one.ratio.share, 2),
            "–" if one.ratio.low is None else f"{one.ratio.low:.2f}–{one.ratio.high:.2f}",
        )
        for one in found.shifts
    ]
    headings = ["label", "old", "new", "changed", "shift (points)", "interval", "ratio", "interval"]
    console.print(table(headings, rows, align="lrrrrrrr"))
    if found.points:
        shown = [
            (one.label, one.period, _share(one.unshifted.share), _share(one.figure.share), _range(one.figure))
            for one in found.points
        ]
        console.print(table(["label", found.by, "as coded", "spliced", "interval"], shown, align="llrrr"))
    for note in found.notes:
        console.print(f"Note: {note}.", soft_wrap=True)


def _points(figure: Figure) -> tuple[str, str]:
    if figure.share is None or figure.low is None or figure.high is None:
        return "–", "–"
    return f"{100 * figure.share:+.2f}", f"{100 * figure.low:+.2f} to {100 * figure.high:+.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _range(figure: Figure) -> str:
    return "–" if figure.low is None or figure.high is None else f"{figure.low:.2%}–{figure.high:.2%}"
