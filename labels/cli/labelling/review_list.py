"""`communique label --review`: one's own decisions as a printed list."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from labels.cli.terminal import console, local_time, table
from labels.errors import InputError, counted

if TYPE_CHECKING:
    from labels.annotate.reviewing import Row


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


def print_rows(rows: Iterable[Row], annotator: str) -> None:
    """Print decisions with their times, labels, notes and texts, the latest first."""
    rows = list(rows)
    lines = []
    for row in rows:
        remarks = [f"! {row.note}"] * bool(row.note) + list(row.others)
        lines.append((str(row.position), local_time(row.created_at), row.said, "\n".join([row.text, *remarks])))
    console.print(table(("no.", "decided", "labels", "sentence"), lines, align="rltt"))
    console.print(f"{counted(len(rows), 'decision')} by {annotator}.")
