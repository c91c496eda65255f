"""How the check of a corpus looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from labels.cli.terminal import console
from trainer.display.figures import figure_table, number

if TYPE_CHECKING:
    from trainer.corpus.check import Balance, Check, CorpusReport


def print_corpus_report(report: CorpusReport) -> None:
    """Every check with its target, where targets are missed, then what lies behind the figures."""
    console.print(_check_table(report.checks))
    missed = [check for check in report.checks if check.ok is False]
    for check in missed:
        for place in check.places:
            console.print(f"{check.what}: {place}", soft_wrap=True)
    console.print(f"{len(missed)} targets missed." if missed else "All targets are met.")
    console.print()
    console.print(_surface_table(report.surface))
    for balance in report.balances:
        console.print()
        console.print(_balance_table(balance))


def _check_table(checks: Sequence[Check]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("what", "measured", "target", "ok"):
        table.add_column(heading, justify="right" if heading == "measured" else "left", overflow="fold")
    for check in checks:
        verdict = {True: "yes", False: "no", None: ""}[check.ok]
        table.add_row(
            check.what, _measured(check), _target(check), verdict, style="" if check.ok is not False else "bold"
        )
    return table


def _measured(check: Check) -> str:
    if isinstance(check.measured, int):
        return f"{check.measured:,}"
    interval = f" ({check.interval[0]:.3f}–{check.interval[1]:.3f})" if check.interval else ""
    return number(check.measured) + interval


def _target(check: Check) -> str:
    low, high = (None if bound is None else f"{bound:,g}" for bound in (check.at_least, check.at_most))
    if low is not None and high is not None:
        return f"{low} to {high}"
    if high is not None:
        return "none" if check.at_most == 0 else f"at most {high}"
    return "" if low is None else f"at least {low}"


def _surface_table(surface: Mapping[str, Mapping[str, float | None]]) -> Table:
    groups = list(next(iter(surface.values()), {}))
    table = figure_table("surface AUC by", groups)
    for label, areas in surface.items():
        table.add_row(label, *(number(areas[group]) for group in groups))
    return table


def _balance_table(balance: Balance) -> Table:
    """A row for each form or region, one for the corpus, and the largest ratio to it of each label."""
    table = figure_table(balance.attribute, ["documents", "sentences", *balance.whole.shares])
    for row in (*balance.rows, balance.whole):
        table.add_row(Text(row.value), str(row.n_documents), f"{row.n_sentences:,}", *map(number, row.shares.values()))
    found = (balance.largest.get(label) for label in balance.whole.shares)
    table.add_row("largest ratio", "", "", *("–" if one is None else f"{one[1]:.2f} {one[0]}" for one in found))
    return table
