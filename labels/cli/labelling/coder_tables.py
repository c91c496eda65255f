"""Tables about single coders in the report of `communique agreement`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labels.cli.terminal import console, number, table

if TYPE_CHECKING:
    from labels.agreement.against_gold import CoderScore
    from labels.agreement.competence import CompetenceReport


def print_against_gold(scores: Sequence[CoderScore]) -> None:
    """Print how far each coder agrees with adjudicated gold, by label."""
    if not scores:
        return
    console.print()
    console.print("Coders against adjudicated gold (most adjudicated sentences were disputed, so figures are low):")
    headings = ("coder", "label", "n", "gold", "given", "precision", "recall", "F1")
    rows = (
        (
            *(one.annotator, one.label, str(one.sentences), str(one.gold), str(one.given)),
            *(number(figure) for figure in (one.precision, one.recall, one.f1)),
        )
        for one in scores
    )
    console.print(table(headings, rows, align="tt" + "r" * 6))


def print_planted(scores: Sequence[CoderScore]) -> None:
    """Print how far each coder found the known answers of planted sentences, by label."""
    if not scores:
        return
    console.print()
    console.print("Coders on planted sentences, whose answers were known (hits: right about the label):")
    rows = (
        (
            *(one.annotator, one.label, str(one.sentences), str(one.hits), number(one.hits / one.sentences)),
            *(str(one.gold), str(one.both), str(one.given - one.both)),
        )
        for one in scores
    )
    headings = ("coder", "label", "n", "hits", "share", "to find", "found", "false")
    console.print(table(headings, rows, align="tt" + "r" * 6))


def print_competence(report: CompetenceReport) -> None:
    """Print the estimated error rates of each coder by label, and how to read them."""
    console.print()
    if report.refused:
        console.print(f"No competence: {report.refused}.", soft_wrap=True)
        return
    console.print(
        f"Competence by the model of Dawid and Skene, from {report.sentences} sentences that two or more coders "
        f"reviewed independently ({report.with_three} by three or more):"
    )
    rows = (
        (
            *(one.annotator, one.label, str(one.sentences), number(report.prevalence[one.label])),
            *(number(figure) for figure in (one.found, one.false, one.competence)),
        )
        for one in report.coders
    )
    headings = ("coder", "label", "n", "prevalence", "found", "false", "competence")
    console.print(table(headings, rows, align="ttrrrrr"))
    console.print(
        "found: probability to give the label where it applies; false: where it does not; competence: found - false "
        "(1: perfect, 0: no better than chance).\nNobody told the model the right answers: it estimates them from all "
        "coders together, so an error that most coders share counts as right. Adjudicated gold is the better judge.",
        soft_wrap=True,
    )
    if few := [f"{label} ({report.given[label]})" for label, share in report.prevalence.items() if share is None]:
        console.print(f"Not estimated, because too few sentences were given the label: {', '.join(few)}.")
