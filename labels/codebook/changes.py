"""From one version of a codebook to the next: what differs, and the steps that say what became of each label.

`labels.codebook.reading` reads annotations along the steps, `labels.store.codebook_migration` records them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

from labels.codebook.schema import Codebook, Label, LabelExample
from labels.errors import CodebookError, InputError, did_you_mean

StepKind = Literal["rename", "merge", "split", "retire", "add"]


class _Kind(NamedTuple):
    """How many names a step of a kind has on each side (2: two or more), the kind that leads back, and it in words."""

    old: int
    new: int
    inverse: StepKind
    form: str
    example: str
    meaning: str


KINDS: dict[StepKind, _Kind] = {
    "rename": _Kind(1, 1, "rename", "one label on each side", "aid=aid_pledge", "{old} is now called {new}"),
    "merge": _Kind(2, 1, "split", "two labels or more that become one", "loan,gift=aid", "{old} are now {new}"),
    "split": _Kind(1, 2, "merge", "one label that becomes two or more", "aid=loan,gift", "{old} is now {new}"),
    "retire": _Kind(1, 0, "add", "one label", "aid", "{old} is no longer a label"),
    "add": _Kind(0, 1, "retire", "one label", "aid", "{new} is a new label"),
}

Shape = tuple[frozenset[str], bool, bool]
"""Label names, `exclusive` and `allow_none`: which label sets a codebook allows."""


def shape(codebook: Codebook) -> Shape:
    """The part of a version that annotations depend on: versions of the same shape differ in wording only."""
    return frozenset(codebook.label_names), codebook.exclusive, codebook.allow_none


def titled(codebook: Codebook) -> str:
    """Name, version and hash of a codebook, for messages."""
    return f"'{codebook.name}' {codebook.version} ({codebook.hash})"


# -- what differs


@dataclass(frozen=True)
class FieldChange:
    """One field of a codebook or a label: the items of the old version only, and those of the new one only.

    Both are empty where the same items are in another order.
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
    """The difference of two versions: `only_old` and `only_new` are label names, `fields` the codebook's own fields.

    `same_labels`: label names and flags are the same, so only wording changed.
    """

    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    labels: tuple[LabelChange, ...]
    fields: tuple[FieldChange, ...]
    same_labels: bool


def diff(old: Codebook, new: Codebook) -> CodebookDiff:
    """The difference from `old` to `new`, in codebook order."""
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
    """The fields that differ between two codebooks, or two labels of the same name."""
    changes = []
    for field in type(old).model_fields:
        before, after = getattr(old, field), getattr(new, field)
        if field != "labels" and before != after:
            lines, other = _lines(before), _lines(after)
            changes.append(FieldChange(field, _without(lines, other), _without(other, lines)))
    return tuple(changes)


def _lines(value: Any) -> list[str]:
    """A field's value as lines to compare and to show."""
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
    # Counted, not as sets: a rule that is there twice in one version and once in the other did change.
    left = Counter(lines) - Counter(other)
    return tuple(line for line in dict.fromkeys(lines) for _ in range(left[line]))


# -- steps


class StepRecord(TypedDict):
    """A step as the store and JSONL files keep it."""

    kind: str
    old: list[str]
    new: list[str]


@dataclass(frozen=True)
class Step:
    """What became of labels: the names `old` of the earlier version became the names `new` of the later one.

    rename: one to one; merge: several to one, which may keep the name of one of them; split: one to several, one of
    which may keep its name; retire: one to nothing; add: nothing to one.

    Raises:
        InputError: the kind is unknown, or the names are too few, too many or repeated.
    """

    kind: StepKind
    old: tuple[str, ...]
    new: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"'{self.kind}' is not a step that this version of communique knows ({', '.join(KINDS)}). Upgrade it."
            )
        kind, sides = KINDS[self.kind], (self.old, self.new)
        fits = (min(len(self.old), 2), min(len(self.new), 2)) == (kind.old, kind.new)
        # A label that is renamed to itself is no step; nor is one that is named twice, or has no name.
        distinct = self.old != self.new and all(len(set(side)) == len(side) for side in sides)
        if not (fits and distinct and all(map(all, sides))):
            raise InputError(_malformed(str(self), self.kind))

    def __str__(self) -> str:
        sides = [",".join(side) for side in (self.old, self.new)]
        return f"--{self.kind} {'='.join(sides) if self.kind not in ('retire', 'add') else ''.join(sides)}"

    @property
    def inverse(self) -> Step:
        """The step that leads back: the inverse of a merge is a split."""
        return Step(KINDS[self.kind].inverse, self.new, self.old)

    @property
    def meaning(self) -> str:
        """The step in words."""
        return KINDS[self.kind].meaning.format(old=_quoted(self.old, "and"), new=_quoted(self.new, "or"))

    def to_json(self) -> StepRecord:
        """The step as plain JSON values."""
        return {"kind": self.kind, "old": list(self.old), "new": list(self.new)}


def step_from_json(content: Mapping[str, Any]) -> Step:
    """The step that `Step.to_json` wrote.

    Raises:
        InputError: this version does not know the kind, or its names do not fit it.
    """
    return Step(content["kind"], tuple(content["old"]), tuple(content["new"]))


def parse_step(kind: StepKind, text: str) -> Step:
    """The step of an option as typed: `old=new`, with commas between names; a bare name for retire and add.

    Raises:
        InputError: the text does not fit the kind.
    """
    sides = [tuple(name.strip() for name in side.split(",")) for side in text.split("=")]
    if len(sides) != (1 if kind in ("retire", "add") else 2):
        raise InputError(_malformed(f"--{kind} {text}", kind))
    if kind == "add":
        return Step(kind, (), sides[0])
    return Step(kind, sides[0], sides[1] if len(sides) == 2 else ())


def _malformed(step: str, kind: StepKind) -> str:
    return f"`{step}` cannot be followed. A {kind} has {KINDS[kind].form}, e.g. --{kind} {KINDS[kind].example}."


def check_steps(steps: Sequence[Step], old: Codebook, new: Codebook) -> None:
    """Refuse steps that do not explain, once and completely, how the labels of `old` became those of `new`.

    Steps that pass can be followed in any order.

    Raises:
        CodebookError: every problem is listed with the label and the option to type.
    """
    problems = [
        *(problem for step in steps for problem in _wrong_names(step, old, new)),
        *_explained_twice(steps),
        *_unexplained(steps, old, new),
    ]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise CodebookError(f"{titled(old)} -> {titled(new)}: the steps do not explain the change of labels.\n{lines}")


def _wrong_names(step: Step, old: Codebook, new: Codebook) -> Iterator[str]:
    """Names of one step that its versions do not have, or have although the step says otherwise."""
    for names, book, which in ((step.old, old, "old"), (step.new, new, "new")):
        for name in names:
            if name not in book.label_names:
                hint = did_you_mean(name, book.label_names)
                known = ", ".join(book.label_names)
                yield f"`{step}`: the {which} version has no label '{name}'{hint}. Its labels: {known}."
    for name in step.old:
        if name in new.label_names and name not in step.new:
            yield f"`{step}`: the new version still has '{name}'. Remove it from there, or leave the step out."
    for name in step.new:
        if name in old.label_names and name not in step.old:
            advice = {
                "rename": f"To make both one label, type `--merge {','.join((*step.old, name))}={name}`.",
                "merge": f"To merge into it, type `--merge {','.join((*step.old, name))}={name}`.",
                "split": "The parts of a split are new labels: give this part another name.",
            }.get(step.kind, "Leave the step out.")
            yield f"`{step}`: the old version already has '{name}'. {advice}"


def _explained_twice(steps: Sequence[Step]) -> Iterator[str]:
    # With at most one step for each label, the order of the steps does not matter.
    for side in ("old", "new"):
        counts = Counter(name for step in steps for name in getattr(step, side))
        for name, times in counts.items():
            if times > 1:
                which = ", ".join(f"`{step}`" for step in steps if name in getattr(step, side))
                yield f"{which}: each explains '{name}'. Keep one; if both are needed, make two versions."


def _unexplained(steps: Sequence[Step], old: Codebook, new: Codebook) -> Iterator[str]:
    """Labels that were removed or added and that no step mentions."""
    removed = [name for name in old.label_names if name not in new.label_names]
    added = [name for name in new.label_names if name not in old.label_names]
    lost = [name for name in removed if not any(name in step.old for step in steps)]
    found = [name for name in added if not any(name in step.new for step in steps)]
    for name in lost:
        options = [f"--retire {name}", *(f"--rename {name}={other}" for other in found[:1])]
        others = f"--merge {name},OTHER=NEW, --split {name}=NEW,NEW"
        yield f"'{name}' is not in the new version: what became of it? `{'` or `'.join(options)}` ({others})."
    for name in found:
        options = [f"--add {name}", *(f"--rename {other}={name}" for other in lost[:1])]
        yield f"'{name}' is not in the old version: where does it come from? `{'` or `'.join(options)}`."


def _quoted(names: Sequence[str], word: str) -> str:
    quoted = [f"'{name}'" for name in names]
    return f" {word} ".join(part for part in (", ".join(quoted[:-1]), *quoted[-1:]) if part)
