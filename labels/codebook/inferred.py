"""Infer a codebook from the label values of labelled rows, with a name for each value.

`labels.text.examples` reads the values. Annotators should only use an inferred codebook once it has definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, count

from labels.codebook.schema import NAME, Codebook, codebook_from_dict
from labels.errors import CodebookError

_SIGNS = (
    (re.compile(r"^[\-\u2212\u2013](?=[\d.])"), "minus "),
    (re.compile(r"\+"), " plus "),
    (re.compile(r"&"), " and "),
    (re.compile(r"%"), " percent "),
    (re.compile(r"[<\u2264]"), " less "),
    (re.compile(r"[>\u2265]"), " more "),
)
"""Words for the signs that change the meaning of a value, so that -1 and 1 get different names."""


def infer_codebook(name: str, label_sets: Iterable[tuple[str, ...]], *, exclusive: bool) -> Codebook:
    """Make a codebook with one label per value, sorted by value.

    The value becomes the title of the label. The name is the value in Latin letters, without characters that names
    cannot contain.

    Args:
        name: the name of the codebook.
        label_sets: the label values of each row; an empty set means that no label applies.
        exclusive: whether each row has at most one label. An exclusive codebook gets `allow_none = true` if a row has
            no label.

    Raises:
        CodebookError: no row has a label, all rows of an exclusive codebook have the same label, or a name is not
            valid.
    """
    values: set[str] = set()
    some_empty = False
    for labels in label_sets:
        values.update(labels)
        some_empty = some_empty or not labels
    if not values:
        raise CodebookError(
            f"{name}: no row has a label, so no codebook can be inferred. Fill in the column `label` or `labels`."
        )
    if exclusive and len(values) == 1 and not some_empty:
        raise CodebookError(
            f"{name}: every row has the label '{next(iter(values))}', so there is nothing to distinguish. "
            "Add rows with other labels, or write `none` in rows to which the label does not apply (rows with a blank "
            "cell are left out)."
        )
    content = {
        "name": name,
        "description": "Inferred from the label values of a file: write the definitions before people label with it.",
        "exclusive": exclusive,
        "allow_none": some_empty or not exclusive,
        "labels": [{"name": label, "title": value} for value, label in label_names(sorted(values)).items()],
    }
    return codebook_from_dict(content, name)


def label_names(values: Sequence[str]) -> dict[str, str]:
    """Map values to similar, unique label names; values that are valid names stay unchanged."""
    # Valid names come first, so that no generated name is equal to one of them.
    found = {value: value for value in values if NAME.fullmatch(value)}
    # Names also become parts of file names, and some file systems ignore case.
    taken = {"none", *(name.casefold() for name in found)}
    for number, value in enumerate(values, 1):
        if value not in found:
            name = _latin(value) or f"label_{number}"
            free = (each for each in chain([name], (f"{name}_{i}" for i in count(2))) if each.casefold() not in taken)
            found[value] = next(free)
            taken.add(found[value].casefold())
    return {value: found[value] for value in values}


def _latin(value: str) -> str:
    """Reduce a value to the characters that a name may contain. The result is empty without letters and digits."""
    from anyascii import anyascii

    for sign, word in _SIGNS:
        value = sign.sub(word, value)
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", anyascii(value)).strip("_.-")
