"""What differs between two versions of a codebook: labels, rules and wording.

Says what changed and judges nothing. What a change means for annotations that exist is `migrate`'s business, how it is
shown is `cli`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labels.codebook.schema import Codebook, Label, LabelExample


@dataclass(frozen=True)
class FieldChange:
    """One field of a codebook or a label: what only the old version says, and what only the new one says.

    Both are empty where the same items stand in another order.
    """

    field: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True)
class LabelChange:
    """A label that both versions have, with the fields that differ."""

    name: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True)
class CodebookDiff:
    """What differs: `only_old` and `only_new` are label names, `fields` the codebook's own (version, flags, rules...).

    `same_labels`: names and flags are the same, so only wording changed.
    """

    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    labels: tuple[LabelChange, ...]
    fields: tuple[FieldChange, ...]
    same_labels: bool


Shape = tuple[frozenset[str], bool, bool]
"""Label names, `exclusive` and `allow_none`: what a set of labels can say."""


def shape(codebook: Codebook) -> Shape:
    """What decides whether annotations of one version can be read as they are under another."""
    return frozenset(codebook.label_names), codebook.exclusive, codebook.allow_none


def titled(codebook: Codebook) -> str:
    """A version as messages name it."""
    return f"'{codebook.name}' {codebook.version} ({codebook.hash})"


def diff(old: Codebook, new: Codebook) -> CodebookDiff:
    """What differs from `old` to `new`, in codebook order."""
    before, after = ({label.name: label for label in book.labels} for book in (old, new))
    shared = [name for name in after if name in before]
    changes = [LabelChange(name, _field_changes(before[name], after[name])) for name in shared]
    fields = _field_changes(old, new)
    order = [name for name in before if name in after]
    if order != shared:
        fields += (FieldChange("order of labels", (", ".join(order),), (", ".join(shared),)),)
    return CodebookDiff(
        only_old=tuple(name for name in before if name not in after),
        only_new=tuple(name for name in after if name not in before),
        labels=tuple(change for change in changes if change.fields),
        fields=fields,
        same_labels=shape(old) == shape(new),
    )


def _field_changes(old: Codebook | Label, new: Codebook | Label) -> tuple[FieldChange, ...]:
    """The changed fields of two codebooks, or of two labels of the same name."""
    changes = []
    for field in type(old).model_fields:
        before, after = getattr(old, field), getattr(new, field)
        if field != "labels" and before != after:
            lines, other = _lines(before), _lines(after)
            changes.append(FieldChange(field, _without(lines, other), _without(other, lines)))
    return tuple(changes)


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{scheme}: {', '.join(codes)}" for scheme, codes in value.items()]
    if isinstance(value, tuple):
        return [_example(item) if isinstance(item, LabelExample) else str(item) for item in value]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    return [value] if value else []


def _example(example: LabelExample) -> str:
    return f"{example.text} ({example.why})" if example.why else example.text


def _without(lines: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    left = Counter(lines) - Counter(other)
    return tuple(line for line in dict.fromkeys(lines) for _ in range(left[line]))
