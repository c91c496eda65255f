"""The controls of a project in another tool: find the control with the labels, and read the labels in its value.

A project can ask several questions about a text, and only one of them is about the labels of the codebook. A format
reads the only control that can contain the labels. Otherwise, the user names a control with `--control NAME`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labels.errors import DataError, did_you_mean

OPTION = "control"
"""The name of the option, also in `Format.options`."""

_KEYS = ("choices", "labels", "label", "taxonomy", "rating", "number", "selected", "datetime")
"""Keys with the labels in a value that is an object. A span also has the keys `start`, `end` and `text`."""


def wanted_controls(option: str, found: Mapping[str, str], path: Path) -> tuple[str, ...]:
    """The controls that the user names, separated by commas; empty if the option is empty.

    Args:
        found: name -> kind of each control in the file, for the check and for the message.

    Raises:
        DataError: the file has controls, but none with this name.
    """
    # The name of a control may itself contain a comma.
    names = [option] if option in found else [name.strip() for name in option.split(",") if name.strip()]
    for name in names:
        if found and name not in found:
            raise DataError(
                f"{path}: no record has the control '{name}'{did_you_mean(name, found)}. Controls in this file: "
                f"{listed(found)}. Choose one of them with --control."
            )
    return tuple(names)


def listed(controls: Mapping[str, str]) -> str:
    """The controls with their kinds, for messages."""
    return ", ".join(f"{name} ({kind})" if kind else name for name, kind in controls.items()) or "none"


def choose(controls: Mapping[str, str], what: str, path: Path) -> str:
    """The only control; empty if there is none.

    Args:
        what: the plural noun for the controls, for the message.

    Raises:
        DataError: there are several controls.
    """
    if len(controls) > 1:
        raise DataError(
            f"{path}: there are several {what}: {listed(controls)}. Choose the one with the labels of the codebook "
            "with `--control NAME`."
        )
    return next(iter(controls), "")


def names_in(value: Any, place: str) -> list[str]:
    """The label names in the value of a control that the user has chosen, regardless of its kind.

    - texts and choices: as they are; numbers and ratings: their digits
    - spans and relations: the label of each span or relation, regardless of its position
    - taxonomies: the last name of each path

    Raises:
        DataError: the value is of another kind, such as a ranking.
    """
    try:
        return list(dict.fromkeys(_names(value, place)))
    except RecursionError:
        raise DataError(f"{place}: this value is nested too deeply. Fix or remove the record.") from None


def _names(value: Any, place: str, *, nested: bool = False) -> Iterable[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, float) and value.is_integer():
        return [str(int(value))]
    if isinstance(value, list | tuple):
        # A list in a list is a path of a taxonomy, or a span with its offsets: both end with the name.
        entries: Sequence[Any] = value[-1:] if nested else value
        return [name for entry in entries for name in _names(entry, place, nested=True)]
    if isinstance(value, dict) and (key := _key_of_labels(value)):
        return _names(value[key], place)
    raise DataError(
        f"{place}: this value has no label names: {value!r:.80}. Choose another control with --control, or remove the "
        "record."
    )


def _key_of_labels(value: Mapping[str, Any]) -> str:
    # Label Studio has further kinds of spans, such as `hypertextlabels`.
    keys = [*(key for key in _KEYS if key in value), *(key for key in value if str(key).endswith("labels"))]
    # The text of a span is the passage, not a label.
    return next(iter(keys), "text" if "text" in value and "start" not in value else "")
