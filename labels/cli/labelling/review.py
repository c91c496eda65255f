"""`communique label --review`: look at one's own decisions, and correct them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from labels.cli.labelling.sessions import has_screen, on_terminal, run_session
from labels.cli.terminal import console, local_time, table
from labels.errors import InputError, counted

if TYPE_CHECKING:
    from labels.annotate.reviewing import Filters, Row
    from labels.codebook.schema import Codebook
    from labels.store import Store


def check_review(filters: Filters, *, review: bool, unblind: bool, draws: bool) -> None:
    """Check that --review is combined with its own options only.

    Raises:
        InputError: filters or --unblind are used without --review, or --review with the options of a draw.
    """
    from labels.annotate.reviewing import Filters

    if review and draws:
        raise InputError(
            "--review shows decisions that you have made and draws no sentences. Remove --strategy, --also-by, "
            "--retest, --suggest and --size, or remove --review."
        )
    if not review and (unblind or filters != Filters()):
        raise InputError(
            "--label, --state, --note, --search, --since and --unblind choose among your own decisions. Add --review; "
            "to label sentences that contain words, use --strategy 'search WORDS'."
        )


def review_decisions(
    store: Store, codebook: Codebook, annotator: str, filters: Filters, *, unblind: bool, plain: bool
) -> None:
    """Show the annotator's decisions on the screen or, with --plain or without a terminal, print them.

    With --plain on a terminal, a prompt follows: a number goes to a decision, which can then be corrected.
    """
    from labels.annotate.reviewing import ReviewSession

    store.codebooks.refuse_foreign(codebook)
    session = ReviewSession(store, codebook, annotator, filters, unblind=unblind)
    if not session.total:
        console.print(f"{store.name} has no such decisions by {annotator}.")
        return
    if plain or not has_screen():
        _print_rows(session.rows(), annotator)
    if not (has_screen() or on_terminal()):
        return
    with store.windows.open(annotator) as windows:
        run_session(session, codebook, annotator, plain=plain, windows=windows)
    console.print(f"{counted(session.corrected, 'correction')}. All decisions are saved in {store.name}.")


def _print_rows(rows: Iterable[Row], annotator: str) -> None:
    """Print decisions with their times, labels, notes and texts, the latest first."""
    rows = list(rows)
    lines = []
    for row in rows:
        remarks = [f"! {row.note}"] * bool(row.note) + list(row.others)
        lines.append((str(row.position), local_time(row.created_at), row.said, "\n".join([row.text, *remarks])))
    console.print(table(("no.", "decided", "labels", "sentence"), lines, align="rltt"))
    console.print(f"{counted(len(rows), 'decision')} by {annotator}.")


def utc_moment(date: str) -> str:
    """The beginning of a local day (or a time) in ISO 8601 as UTC; empty for an empty date.

    Raises:
        InputError: the date is not a date.
    """
    if not date:
        return ""
    try:
        local = datetime.fromisoformat(date.strip()).astimezone()
        return local.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError, OSError):
        raise InputError(f"--since: '{date}' is not a date. Write it as year-month-day, such as 2026-01-31.") from None
