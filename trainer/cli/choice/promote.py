"""`communique promote`: a run becomes the champion, if a comparison with the champion allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import console
from labels.errors import InputError, counted
from trainer.cli.choice.compare import print_differences

if TYPE_CHECKING:
    from trainer.runs.choice.promotion import Promotion


def promote(
    run: Annotated[
        str | None,
        typer.Argument(help="Folder of a logged run, an MLflow run id, or an MLflow URI.", metavar="RUN"),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", help="Registered model \\[default: the one that the run is registered as, or the only one]."
        ),
    ] = "",
    margin: Annotated[float, typer.Option("--margin", help="Largest loss in F1 that is tolerated.")] = 0.03,
    force: Annotated[
        bool, typer.Option("--force", help="Promote even if the comparison is against it; MLflow records this.")
    ] = False,
    back: Annotated[bool, typer.Option("--back", help="Make the previous champion the champion again.")] = False,
) -> None:
    """Make a run the champion if it is better on some label and worse on none: on validation, never on test."""
    from trainer.runs.choice import promotion

    if back:
        if run or force:
            raise InputError("--back cannot be combined with RUN or --force: it returns to the previous champion.")
        name, before, now = promotion.promote_back(model)
        console.print(f"Version {now} of '{name}' is the champion again, in place of version {before}.")
        return
    if run is None:
        raise InputError("name a run, e.g. `communique promote runs/finetune`, or use --back.")
    result = promotion.promote(run, model=model, margin=margin, force=force)
    print_promotion(result)
    if not result.promoted:
        raise typer.Exit(1)


def print_promotion(result: Promotion) -> None:
    """Print the comparison that decides, the comparison on test, and the outcome."""
    if result.compared:
        found = result.compared.comparison
        console.print(f"A: {result.compared.first}\nB: {result.compared.second}")
        console.print(
            f"Decided on {result.compared.place}, {counted(found.n, 'sentence')} in "
            f"{counted(found.n_groups, 'group')} of documents:"
        )
        print_differences(result.compared)
        for note in result.compared.notes:
            console.print(f"Note: {note}.")
    if result.shown:
        console.print("\nOn test, for information only:")
        print_differences(result.shown)
    console.print("")
    for reason in result.reasons:
        console.print(reason)
    console.print(_outcome(result))


def _outcome(result: Promotion) -> str:
    champion = f"models:/{result.name}@champion"
    if not result.promoted:
        return f"Not promoted: {champion} is still version {result.before}. To promote the run anyway, add --force."
    how = ", by force" if result.forced else ""
    before = f" (before: version {result.before})" if result.before else ""
    return f"Promoted{how}: {champion} is now version {result.version}{before}."
