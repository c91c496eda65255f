"""Tables about single coders in the report of `communique agreement`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labels.cli.terminal import bounds, console, number, table

if TYPE_CHECKING:
    from labels.agreement.against_gold import CoderScore
    from labels.agreement.coefficients import Estimate
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
    known = [one for one in report.coders if one.found.value is not None]
    rows = (
        (one.annotator, one.label, str(one.sentences), *_figures(one.found, one.false, one.competence)) for one in known
    )
    headings = ("coder", "label", "n", "found", "interval", "false", "interval", "competence", "interval")
    if known:
        console.print(table(headings, rows, align="ttrrrrrrr"))
    for reason in dict.fromkeys(one.found.no_interval for one in known if one.found.no_interval):
        console.print(f"No interval ({reason}).")
    console.print(
        "found: probability of giving the label where it applies; false: where it does not; competence: found - false "
        "(1: perfect, 0: no better than chance).\nThe model does not know the right answers: it estimates them from "
        "all coders together, so an error that most coders share counts as right. Adjudicated gold is more reliable.",
        soft_wrap=True,
    )
    shares = {label: one for label, one in report.prevalence.items() if one.value is not None}
    if shares:
        listed = ", ".join(f"{label} {number(one.value)}" for label, one in shares.items())
        console.print(f"Estimated shares of the sentences to which a label applies: {listed}.", soft_wrap=True)
    if few := [f"{label} ({report.given[label]})" for label in report.prevalence if label not in shares]:
        console.print(f"Not estimated, because too few sentences were given the label: {', '.join(few)}.")


def _figures(*estimates: Estimate) -> list[str]:
    """The values and their intervals."""
    return [cell for one in estimates for cell in (number(one.value), bounds(one, joint=" to "))]
