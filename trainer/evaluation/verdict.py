"""The verdict on a challenger: whether it may replace the champion, from a `Comparison` of the two.

The challenger must not be inferior on any label (or the group of rare labels) by more than a margin, and must be better
in macro-F1 or on one label. Showing non-inferiority on all labels needs no correction for their number, because all of
them must pass (Berger 1982, intersection-union test). Being better on one of several labels does: Holm's.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.evaluation.comparison import MACRO_F1, RARE_LABELS, Comparison, Difference, needed_sentences

MARGIN = 0.03
"""Default loss in F1 that counts as none."""


@dataclass(frozen=True)
class Check:
    """The check of one figure.

    Attributes:
        not_inferior: the interval lies above -margin.
        inferior: the interval lies below -margin.
        better: the test, after Holm's correction for labels, finds the challenger better.
        needed: about how many labelled sentences would make the interval narrow enough to decide; None if it is, or if
            the number cannot be estimated.
    """

    difference: Difference
    not_inferior: bool
    inferior: bool
    better: bool
    needed: int | None


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger may replace the champion, with the reasons, one sentence each."""

    promote: bool
    margin: float
    checks: tuple[Check, ...]
    macro_f1: Check
    reasons: tuple[str, ...]


def judge(comparison: Comparison, margin: float = MARGIN) -> Verdict:
    """Judge a challenger (the second model) against the champion (the first).

    Args:
        margin: loss in F1 that counts as none, in (0, 1).
    """
    level = 1 - comparison.confidence
    macro = _check(comparison.macro_f1, comparison, margin, level)
    checks = tuple(_check(own, comparison, margin, level) for own in comparison.decided)
    better = [check for check in (macro, *checks) if check.better]
    failed = [check for check in checks if not check.not_inferior]
    reasons = [_failure(check, margin) for check in failed]
    if not checks:
        reasons.append("No label occurs in the compared sentences, so nothing can be shown.")
    elif not better:
        reasons.append("It is not shown to be better in macro-F1 or on any label.")
    if not reasons:
        named = ", ".join(_named(check.difference) for check in better)
        reasons.append(f"It is better in {named}, and nowhere worse by more than {margin:g}.")
    return Verdict(bool(better) and not failed and bool(checks), margin, checks, macro, tuple(reasons))


def _check(own: Difference, comparison: Comparison, margin: float, level: float) -> Check:
    p = own.p if own.name == MACRO_F1 else own.adjusted_p
    return Check(
        own,
        not_inferior=own.low is not None and own.low > -margin,
        inferior=own.high is not None and own.high < -margin,
        better=p is not None and p <= level and (own.effect or 0) > 0,
        needed=needed_sentences(own, comparison.n, margin),
    )


def _named(own: Difference) -> str:
    if own.name == RARE_LABELS:
        return f"the rare labels ({', '.join(own.labels)})"
    return own.name.replace(MACRO_F1, "macro-F1")


def _failure(check: Check, margin: float) -> str:
    own = check.difference
    name = _named(own)
    if own.low is None or own.high is None or own.effect is None:
        return f"Nothing can be said about {name}: {own.reason}."
    between = f"{own.effect:+.3f}, interval {own.low:+.3f} to {own.high:+.3f}"
    if check.inferior:
        return f"It is worse on {name} ({between}), by more than {margin:g}."
    reason = f"A loss of more than {margin:g} on {name} cannot be excluded ({between})"
    if check.needed is None:
        return f"{reason}."
    return f"{reason}. About {check.needed:,} labelled sentences would be enough to decide."
