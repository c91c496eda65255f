"""`communique codebook`: show, check, infer, diff, migrate."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.label_values import label_value_table
from labels.cli.terminal import (
    BlankOption,
    LabelColumnOption,
    StoreOption,
    console,
    error_console,
    print_next,
    table,
    write_out,
)
from labels.codebook.changes import KINDS, diff, parse_step, titled
from labels.codebook.schema import BY_NAME, dump_codebook
from labels.environment.settings import command, is_other_store, load_settings, relabel_command, store_name
from labels.errors import counted

if TYPE_CHECKING:
    from labels.codebook.changes import CodebookDiff, FieldChange
    from labels.codebook.reading import Reading
    from labels.codebook.schema import Codebook
    from labels.store.codebook_migration import MigrationPlan

app = typer.Typer(no_args_is_help=True, help="Show, check, infer, compare or change a codebook.")
_VERSION = "A TOML file, a shipped codebook, or a version in the store: NAME@VERSION, NAME@HASH or HASH."
OldArgument = Annotated[str, typer.Argument(help=f"The old version. {_VERSION}")]
NewArgument = Annotated[str, typer.Argument(help="The new version, in the same form.")]


@app.command("show", epilog="Example: communique codebook show --brief")
def codebook_show(
    name: Annotated[str, typer.Argument(help=_VERSION)] = "diplomatic",
    brief: Annotated[bool, typer.Option("--brief", help="Definitions only, as a table.")] = False,
    store: StoreOption = None,
) -> None:
    """Print a codebook as TOML, or its definitions as a table."""

    codebook = _find_codebook(name, load_settings(store=store).store)
    if brief:
        _print_definitions(codebook)
    else:
        write_out(dump_codebook(codebook))


@app.command("check", epilog="Example: communique codebook check mine.toml")
def codebook_check(name: Annotated[str, typer.Argument(help=_VERSION)], store: StoreOption = None) -> None:
    """Validate a codebook: list its problems, or its labels without a definition."""

    codebook = _find_codebook(name, load_settings(store=store).store)
    kind = "exclusive" if codebook.exclusive else "multi-label"
    console.print(
        f"{codebook.name} {codebook.version} ({codebook.hash}): {counted(len(codebook.labels), 'label')}, {kind}."
    )
    for label in codebook.labels:
        if not label.definition:
            console.print(f"  {label.name}: no definition yet, so every annotator will apply their own.")
    _print_keyless(codebook)


@app.command("infer", epilog="Example: communique codebook infer train.jsonl --out mine.toml")
def codebook_infer(
    file: Annotated[Path, typer.Argument(help="Labelled JSONL, CSV or Parquet with `label` or `labels`.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of the screen.")] = None,
    label_column: LabelColumnOption = "",
    blank: BlankOption = None,
) -> None:
    """Make a codebook from the labels in a labelled file."""
    from labels.output.drafts import write_whole
    from labels.text.examples import ReadingOptions, infer_labels

    reading = infer_labels([file], ReadingOptions(label_column=label_column, blank=blank or ""))
    text = dump_codebook(reading.codebook)
    if out is None:
        write_out(text)
    else:
        write_whole(out, [text])
    # Without --out, standard output is the codebook, which may be redirected into a file.
    remarks = error_console if out is None else console
    if reading.values:
        remarks.print(label_value_table(reading.values))
    for note in reading.notes:
        remarks.print(f"Note: {note}.")
    if out is not None:
        following = command("codebook", "check", out)
        console.print(f"Wrote {out}. Next: write the definitions, then type `{following}`.", soft_wrap=True)


@app.command("diff", epilog="Example: communique codebook diff diplomatic mine.toml")
def codebook_diff(old: OldArgument, new: NewArgument, store: StoreOption = None) -> None:
    """Show the differences between two versions of a codebook."""
    from labels.codebook.releases import shipped_steps

    place = load_settings(store=store).store
    before, after = _find_codebook(old, place), _find_codebook(new, place)
    console.print(f"{titled(before)} -> {titled(after)}")
    _print_diff(diff(before, after))
    if before.hash == after.hash:
        console.print("The two versions are identical.")
    elif steps := shipped_steps(before, after):
        for step in steps:
            console.print(f"{step.meaning.capitalize()}.")
        following = command("codebook", "migrate", old, new, store=place)
        console.print(f"To read old annotations under the new version: {following}", soft_wrap=True)
    elif diff(before, after).same_labels:
        console.print("Labels and flags are the same: annotations made under either version mean the same.")
    else:
        following = command("codebook", "migrate", old, new, store=place)
        console.print(f"To record what became of the labels, add options to: {following}", soft_wrap=True)


@app.command("migrate", epilog="Example: communique codebook migrate diplomatic mine.toml --rename dismissal=rejection")
def codebook_migrate(
    old: OldArgument,
    new: NewArgument,
    rename: Annotated[list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="Rename a label.")] = None,
    merge: Annotated[list[str] | None, typer.Option("--merge", metavar="OLD,OLD=NEW", help="Merge labels.")] = None,
    split: Annotated[list[str] | None, typer.Option("--split", metavar="OLD=NEW,NEW", help="Split a label.")] = None,
    retire: Annotated[list[str] | None, typer.Option("--retire", metavar="OLD", help="Remove a label.")] = None,
    add: Annotated[list[str] | None, typer.Option("--add", metavar="NEW", help="Add a label.")] = None,
    revise: Annotated[
        list[str] | None, typer.Option("--revise", metavar="LABEL", help="Check a label again: its rules changed.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Record the steps; otherwise, nothing is written.")] = False,
    coders: Annotated[
        int, typer.Option("--coders", min=1, help="Number of annotators who label each undecided sentence again.")
    ] = 1,
    store: StoreOption = None,
) -> None:
    """Record changes of labels, so that old annotations can be read under the new version of a codebook.

    The steps between two versions of the shipped codebook are known: type no steps for these.
    """
    from labels.codebook.releases import shipped_steps
    from labels.store import Store
    from labels.store.codebook_migration import apply_migration, plan_migration

    place = load_settings(store=store).store
    typed = zip(KINDS, (rename, merge, split, retire, add, revise), strict=True)
    steps = [parse_step(kind, text) for kind, texts in typed for text in texts or ()]
    before, after = _find_codebook(old, place), _find_codebook(new, place)
    steps = steps or list(shipped_steps(before, after))
    if not steps and diff(before, after).same_labels:
        console.print("Labels and flags are the same: annotations mean the same. Nothing to migrate.")
        return
    with Store(place, create=False) as opened:
        plan = plan_migration(opened, before, after, steps)
        _print_plan(plan)
        if not apply:
            console.print("Nothing is written yet. To record the steps, repeat the command with --apply.")
            return
        queued = apply_migration(opened, plan, coders=coders)
    _print_applied(plan, queued, place, new)


def _find_codebook(reference: str, store: str) -> Codebook:
    """Like `labels.store.codebooks.find_codebook`, but without importing the database for a codebook in a file."""
    from labels.codebook.schema import load_codebook, names_stored

    if not names_stored(reference):
        return load_codebook(reference)
    from labels.store import codebooks

    return codebooks.find_codebook(reference, store)


def _print_diff(found: CodebookDiff) -> None:
    for which, names in (("old", found.only_old), ("new", found.only_new)):
        if names:
            console.print(f"Labels only in the {which} version: {', '.join(names)}")
    if found.fields:
        console.print("The codebook as a whole:", style="bold")
        _print_fields(found.fields)
    for label in found.labels:
        console.print(f"Label {label.name}:", style="bold")
        _print_fields(label.fields)


def _print_fields(changes: tuple[FieldChange, ...]) -> None:
    for change in changes:
        reordered = not (change.removed or change.added)
        console.print(f"  {change.field}{': the same in another order' if reordered else ''}")
        for mark, lines, style in (("-", change.removed, "red"), ("+", change.added, "green")):
            for line in lines:
                console.print(f"    {mark} {line}", style=style)


def _print_plan(plan: MigrationPlan) -> None:

    console.print(f"{titled(plan.old)} -> {titled(plan.new)}")
    if plan.effects:
        headings = ("step", "changed", "undecided", "annotators")
        counts = ((effect.step.meaning, effect.changed, effect.undecided, effect.annotators) for effect in plan.effects)
        console.print(table(headings, ((meaning, *map("{:,}".format, figures)) for meaning, *figures in counts)))
    console.print(
        f"Standing annotations: {len(plan.moved):,} (annotators: {plan.annotators}). "
        f"Unchanged: {plan.count('unchanged'):,}, changed by the steps: {plan.count('changed'):,}, "
        f"undecided: {plan.count('undecided'):,}."
    )
    if plan.adopted:
        console.print(
            f"Made under a version that is not in the store, with labels that the old version allows: {plan.adopted:,}."
        )
    console.print(f"Sentences to label again: {len(plan.relabel):,}.")
    for text, moved in plan.examples:
        console.print(f"  {text}")
        change = f"{_described(moved.before)} -> {_described(moved.after)}"
        console.print(f"    {moved.annotation.annotator}: {change}", style="bold")


def _described(reading: Reading) -> str:
    open_labels = f"undecided: {', '.join(reading.undecided)}" if reading.undecided else ""
    return "; ".join(part for part in (", ".join(reading.labels), open_labels) if part) or "none"


def _print_applied(plan: MigrationPlan, queued: int, store: str, new: str) -> None:

    if plan.recorded:
        console.print("These steps are already recorded.")
    else:
        console.print(
            f"Recorded in {store_name(store)}. The stored annotations stay unchanged; these steps are applied "
            "when they are read."
        )
    if queued:
        console.print(f"Sentences added to the queue for relabelling: {queued:,}.")
    if plan.relabel:
        following = relabel_command(store=store, codebook=new)
    else:
        following = command("label", "--annotator", "YOUR_NAME", store=store, codebook=new)
    print_next(following)
    # By hash, because two versions may have the same number.
    pinned = ["data.source=store", f"data.codebook={plan.old.name}@{plan.old.hash}"]
    if is_other_store(store):
        pinned.append(f"data.store={store_name(store)}")
    options = " ".join(f"--set {quote(key)}" for key in pinned)
    console.print(f"To train under the old version instead: {options}", soft_wrap=True)


def _print_definitions(codebook: Codebook) -> None:
    from rich.box import HEAVY_HEAD

    keys = codebook.shown_keys
    rows = ((keys[label.name], label.name, label.definition) for label in codebook.labels)
    title = f"{codebook.name} {codebook.version} ({codebook.hash})"
    # Lines, because definitions fill several lines of their column.
    lines = {"box": HEAVY_HEAD, "pad_edge": True, "padding": (0, 1)}
    console.print(table(("key", "label", "definition"), rows, align="llt", title=title, **lines))
    _print_keyless(codebook)


def _print_keyless(codebook: Codebook) -> None:

    if codebook.keyless:
        console.print(
            f"{len(codebook.keyless)} of {len(codebook.labels)} labels have no key, as there are only "
            f"{len(codebook.keys)} keys. While labelling, type {BY_NAME} and the beginning of a label's name."
        )
