"""Whether the arguments of a calibration fit together, before anything is read."""

from __future__ import annotations

from pathlib import Path

from labels.errors import InputError
from labels.store import Store

CONFIDENCE = 0.95
"""Default confidence of the bounds of a rule."""


def check_sources(
    data: str | Path | None,
    store: Store | str | Path | None,
    share: float | dict[str, float] | str,
    *,
    codebook: bool,
    draws: bool,
) -> None:
    """Refuse two samples, none without a prevalence, and options of a store (whether they are given) without one."""
    if data is not None and store is not None:
        raise InputError("name either a labelled file or a store (--store), not both.")
    if data is None and store is None and share == "":
        raise InputError(
            "a calibration needs labels or a prevalence: name a labelled file, a store with a labelled sample "
            "(--store), or the share of the labels (--prior)."
        )
    for option, given in (("--codebook", codebook), ("--draws", draws)):
        if given and store is None:
            raise InputError(f"{option} is only for a store. Leave it out, or name the store (--store), and no file.")


def check_rules(
    sampled: bool,
    share: float | dict[str, float] | str,
    max_error: float | None,
    recall: float | None,
    confidence: float,
) -> None:
    """Refuse limits outside (0, 1), and rules without a labelled sample or with a stated prevalence."""
    for name, value, example in (
        ("--max-error", max_error, 0.05),
        ("--recall", recall, 0.95),
        ("--confidence", confidence, CONFIDENCE),
    ):
        if value is not None and not 0 < value < 1:
            raise InputError(f"{name} is {value:g}. Choose a number between 0 and 1, such as {example}.")
    if max_error is not None or recall is not None:
        if share != "":
            raise InputError("--prior cannot be used with --max-error or --recall. Remove --prior, or these options.")
        if not sampled:
            raise InputError("--max-error and --recall need a labelled sample: name a file, or --store.")


def check_unused(
    max_error: float | None,
    recall: float | None,
    *,
    error: str | None,
    joint: bool,
    confidence: float,
    objective: str,
) -> None:
    """Refuse options that would have no effect."""
    rule = max_error is not None or recall is not None
    for option, given in (("--joint", joint), ("--confidence", confidence != CONFIDENCE)):
        if given and not rule:
            raise InputError(
                f"{option} is only for bounds. Add --max-error or --recall, e.g. --max-error 0.05, or leave it out."
            )
    if error is not None and max_error is None:
        raise InputError("--error names the error that --max-error limits. Add e.g. --max-error 0.05, or leave it out.")
    if rule and objective != "f1":
        raise InputError(
            f"--objective {objective}: with --max-error or --recall, thresholds stay as they are. Leave it out, or "
            "calibrate first, and make the rule for the new artefact from another sample."
        )
