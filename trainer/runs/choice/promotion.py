"""Promotion: a challenger is compared with the champion of its registered model, and takes its place if it may.

The decision is made on sentences that neither model was fitted to: out-of-fold predictions or validation, never test.
"""

from __future__ import annotations

from dataclasses import dataclass

from labels.errors import InputError, TrackingError
from trainer.evaluation.verdict import MARGIN, Verdict, judge
from trainer.runs.choice.comparing import Compared, compare_sides
from trainer.runs.choice.sides import CHOOSING, Side, read_side
from trainer.runs.tracking import champions
from trainer.runs.tracking.connection import connect
from trainer.runs.tracking.registration import Challenger, find_challenger, register_challenger


@dataclass(frozen=True)
class Promotion:
    """The outcome of a promotion.

    Attributes:
        name: the registered model.
        before: the version that was champion; empty if there was none.
        version: the challenger's version; empty if it was not promoted and is not registered.
        compared: the comparison that decided; None without a champion to compare with.
        shown: the same comparison on test, which decides nothing; None if a run has no test part.
        promoted, forced: whether the alias was moved, and whether that was against the verdict.
        reasons: one sentence each.
    """

    name: str
    before: str
    version: str
    compared: Compared | None
    verdict: Verdict | None
    shown: Compared | None
    promoted: bool
    forced: bool
    reasons: tuple[str, ...]


def promote(reference: str, *, model: str = "", margin: float = MARGIN, force: bool = False) -> Promotion:
    """Compare a run with the champion, and move the alias `champion` if the run may take its place.

    Args:
        reference: the folder of a logged run, the id of an MLflow run, or an MLflow URI.
        model: name of the registered model; empty for the one under which the run is registered, or the only one.
        margin: loss in F1 that counts as none, in (0, 1).
        force: move the alias whatever the comparison says; the version's tags record it.

    Raises:
        InputError: the run is not logged, or its split or codebook is not the champion's.
        TrackingError: MLflow has no such model, its alias points at nothing, or another promotion was faster. Nothing
            is changed then.
    """
    if not 0 < margin < 1:
        raise InputError(f"--margin {margin:g}: the margin is a loss in F1 and must lie between 0 and 1, e.g. 0.03.")
    connect(create=False)
    challenger = find_challenger(reference)
    name = model or challenger.registered_as or _only_name()
    before = _champion(name, force=force)
    if before.version and challenger.version_of(name) == before.version:
        raise InputError(f"{reference}: version {before.version} of '{name}' is already the champion.")
    compared, shown, problem = _compare(reference, before, force=force)
    if problem and not (model or challenger.registered_as):
        raise InputError(
            f"{reference}: this run is not registered and cannot be compared with the champion of '{name}', the only "
            f"registered model. To promote it there all the same, add --model {name}. {problem}"
        )
    verdict = judge(compared.comparison, margin) if compared else None
    reasons = verdict.reasons if verdict else (problem or f"'{name}' had no champion.",)
    if not (force or verdict is None or verdict.promote):
        return Promotion(
            name, before.version, challenger.version_of(name), compared, verdict, shown, False, False, reasons
        )
    forced = force and (bool(problem) or (verdict is not None and not verdict.promote))
    version = _take_place(challenger, name, before.version, " ".join(reasons), forced=forced)
    return Promotion(name, before.version, version, compared, verdict, shown, True, forced, reasons)


def _take_place(challenger: Challenger, name: str, before: str, reason: str, *, forced: bool) -> str:
    version = register_challenger(challenger, name)
    champions.move_champion(name, version, instead_of=before, reason=reason, forced=forced)
    return version


def promote_back(model: str = "") -> tuple[str, str, str]:
    """Move the alias back to the champion before; returns the model's name, the version before and the version now.

    Raises:
        TrackingError: see `champions.move_back`; or several models are registered and none is named.
    """
    connect(create=False)
    name = model or _only_name()
    return name, *champions.move_back(name)


def _only_name() -> str:
    names = champions.registered_names()
    if len(names) == 1:
        return names[0]
    if not names:
        raise TrackingError(
            "MLflow has no registered model, so there is no champion. Register the first one with "
            "`communique track RUN --register-as NAME`, and promote it with `communique promote RUN`."
        )
    raise TrackingError(f"MLflow has several registered models: {', '.join(names)}. Choose one with --model.")


def _champion(name: str, *, force: bool) -> champions.Champion:
    try:
        return champions.find_champion(name)
    except TrackingError:
        # The repair that the message names: an alias that points at nothing is replaced by force.
        if not force or not (lost := _lost_target(name)):
            raise
        return champions.Champion(version=lost)


def _lost_target(name: str) -> str:
    return champions.alias_target(name) if name in champions.registered_names() else ""


def _compare(
    reference: str, before: champions.Champion, *, force: bool
) -> tuple[Compared | None, Compared | None, str]:
    """Return the comparison that decides, the one on test, and why there is none although there is a champion."""
    if not before.version:
        return None, None, ""
    try:
        champion, challenger = _champion_side(before), read_side(reference)
        part = _deciding_part(champion, challenger)
        compared = compare_sides(champion, challenger, part)
        both = all("test" in side.parts and side.parts["test"].examples for side in (champion, challenger))
        return compared, compare_sides(champion, challenger, "test", shown_by="promote") if both else None, ""
    except (InputError, TrackingError) as error:
        if not force:
            raise
        return None, None, f"There was no comparison: {error}"


def _champion_side(before: champions.Champion) -> Side:
    if not before.run_id:
        raise TrackingError(
            f"MLflow does not say which run made version {before.version}, the champion, so there is nothing to "
            "compare with. Log the champion's run with `communique track RUN`, or promote without comparison: --force."
        )
    side = read_side(before.run_id)
    return Side(f"champion (version {before.version})", side.report, side.parts)


def _deciding_part(champion: Side, challenger: Side) -> str:
    for part in CHOOSING:
        if all(part in side.parts and side.parts[part].examples for side in (champion, challenger)):
            return part
    raise InputError(
        f"{champion.name} and {challenger.name}: they have no common predictions of {' or '.join(CHOOSING)}, and the "
        "test part must not decide. Train both on the same split with a validation part, or promote with --force."
    )
