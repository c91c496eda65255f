"""Compare two versions of a codebook, and describe the changes of its labels as steps.

`labels.codebook.reading` applies the steps to annotations; `labels.store.codebook_migration` records them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

from labels.codebook.schema import Codebook, Label, LabelExample
from labels.errors import CodebookError, InputError, did_you_mean

StepKind = Literal["rename", "merge", "split", "retire", "add", "revise"]


class _Kind(NamedTuple):
    """Properties of a kind of step: numbers of old and new names (2: two or more), inverse kind, and description."""

    old: int
    new: int
    inverse: StepKind
    form: str
    example: str
    meaning: str


KINDS: dict[StepKind, _Kind] = {
    "rename": _Kind(1, 1, "rename", "one label on each side", "aid=aid_pledge", "{old} is now called {new}"),
    "merge": _Kind(2, 1, "split", "two or more labels that become one", "loan,gift=aid", "{old} are now {new}"),
    "split": _Kind(1, 2, "merge", "one label that becomes two or more", "aid=loan,gift", "{old} is now {new}"),
    "retire": _Kind(1, 0, "add", "one label", "aid", "{old} is no longer a label"),
    "add": _Kind(0, 1, "retire", "one label", "aid", "{new} is a new label"),
    "revise": _Kind(1, 1, "revise", "one label", "aid", "the rules of {old} have changed"),
}

_ONE_NAME: tuple[StepKind, ...] = ("retire", "add", "revise")
"""Kinds of step whose option takes a name instead of OLD=NEW."""

Shape = tuple[frozenset[str], bool, bool]
"""Label names, `exclusive` and `allow_none`: they determine the label sets that a codebook allows."""


def shape(codebook: Codebook) -> Shape:
    """Return the shape of a codebook version. Versions with the same shape differ only in their wording."""
    return frozenset(codebook.label_names), codebook.exclusive, codebook.allow_none


def titled(codebook: Codebook) -> str:
    """Return the name, version and hash of a codebook, for messages."""
    return f"'{codebook.name}' {codebook.version} ({codebook.hash})"


# -- what differs


@dataclass(frozen=True)
class FieldChange:
    """A field that differs between two versions, with the items that only the old or only the new version has.

    Both are empty if only the order of the items changed.
    """

    field: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True)
class LabelChange:
    """A label in both versions, with the fields that differ."""

    name: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True)
class CodebookDiff:
    """The difference between two versions of a codebook.

    `only_old` and `only_new` are names of labels in one version only; `labels` are changes of labels in both versions;
    `fields` are changes of the codebook's own fields. `same_labels` is true if label names and flags are equal, so that
    only the wording differs.
    """

    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    labels: tuple[LabelChange, ...]
    fields: tuple[FieldChange, ...]
    same_labels: bool


def diff(old: Codebook, new: Codebook) -> CodebookDiff:
    """Compare `old` with `new`, and return the differences in codebook order."""
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
    """Return the fields that differ between two codebooks, or between two labels of the same name."""
    changes = []
    for field in type(old).model_fields:
        before, after = getattr(old, field), getattr(new, field)
        if field != "labels" and before != after:
            lines, other = _lines(before), _lines(after)
            changes.append(FieldChange(field, _without(lines, other), _without(other, lines)))
    return tuple(changes)


def _lines(value: Any) -> list[str]:
    """Split the value of a field into lines, for comparison and display."""
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
    # Count the lines instead of using sets: a rule that occurs twice in one version and once in the other did change.
    left = Counter(lines) - Counter(other)
    return tuple(line for line in dict.fromkeys(lines) for _ in range(left[line]))


# -- steps


class StepRecord(TypedDict):
    """A step in the form used by the store and JSONL files."""

    kind: str
    old: list[str]
    new: list[str]


@dataclass(frozen=True)
class Step:
    """A change of labels: the labels `old` of the earlier version became the labels `new` of the later version.

    rename: one to one; merge: several to one, which may keep one of the old names; split: one to several, one of which
    may keep the old name; retire: one to none; add: none to one; revise: a label keeps its name, but its rules changed,
    so that annotations are read unchanged and should be checked.

    Raises:
        InputError: the kind is unknown, or the names are too few, too many or repeated.
    """

    kind: StepKind
    old: tuple[str, ...]
    new: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"this version of communique does not know the step '{self.kind}' (known: {', '.join(KINDS)}). "
                "Upgrade communique."
            )
        kind, sides = KINDS[self.kind], (self.old, self.new)
        fits = (min(len(self.old), 2), min(len(self.new), 2)) == (kind.old, kind.new)
        # A label must not be renamed to itself, be named twice, or have an empty name.
        renamed = (self.old != self.new) == (self.kind != "revise")
        distinct = all(len(set(side)) == len(side) for side in sides)
        if not (fits and renamed and distinct and all(map(all, sides))):
            raise InputError(_malformed(str(self), self.kind))

    def __str__(self) -> str:
        sides = [",".join(side) for side in (self.old, self.new)]
        return f"--{self.kind} {'='.join(sides if self.kind not in _ONE_NAME else list(filter(None, sides))[:1])}"

    @property
    def inverse(self) -> Step:
        """Return the step in the opposite direction. For example, the inverse of a merge is a split."""
        return Step(KINDS[self.kind].inverse, self.new, self.old)

    @property
    def meaning(self) -> str:
        """Describe the step in a sentence."""
        return KINDS[self.kind].meaning.format(old=_quoted(self.old, "and"), new=_quoted(self.new, "or"))

    def to_json(self) -> StepRecord:
        """Return the step as a dictionary that JSON can represent."""
        return {"kind": self.kind, "old": list(self.old), "new": list(self.new)}


def step_from_json(content: Mapping[str, Any]) -> Step:
    """Create a step from the output of `Step.to_json`.

    Raises:
        InputError: the kind is unknown to this version, or the names do not fit the kind.
    """
    return Step(content["kind"], tuple(content["old"]), tuple(content["new"]))


def parse_step(kind: StepKind, text: str) -> Step:
    """Parse a step from an option value: `old=new`, with commas between names, or one name for retire, add and revise.

    Raises:
        InputError: the text does not fit the kind.
    """
    sides = [tuple(name.strip() for name in side.split(",")) for side in text.split("=")]
    if len(sides) != (1 if kind in _ONE_NAME else 2):
        raise InputError(_malformed(f"--{kind} {text}", kind))
    if kind == "add":
        return Step(kind, (), sides[0])
    if kind == "revise":
        return Step(kind, sides[0], sides[0])
    return Step(kind, sides[0], sides[1] if len(sides) == 2 else ())


def _malformed(step: str, kind: StepKind) -> str:
    return f"`{step}` is not a valid step. --{kind} takes {KINDS[kind].form}, e.g. --{kind} {KINDS[kind].example}."


def check_steps(steps: Sequence[Step], old: Codebook, new: Codebook) -> None:
    """Check that the steps explain every change of labels from `old` to `new` exactly once.

    Valid steps can be applied in any order.

    Raises:
        CodebookError: the steps are not valid; the message lists every problem with the label and an option to use.
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
    """Yield a message for each name of a step that contradicts the labels of the old or new version."""
    for names, book, which in ((step.old, old, "old"), (step.new, new, "new")):
        for name in names:
            if name not in book.label_names:
                hint = did_you_mean(name, book.label_names)
                known = ", ".join(book.label_names)
                yield f"`{step}`: the {which} version has no label '{name}'{hint}. Its labels: {known}."
    for name in step.old:
        if name in new.label_names and name not in step.new:
            yield f"`{step}`: the new version still has '{name}'. Remove it from the new version, or omit the step."
    for name in step.new:
        if name in old.label_names and name not in step.old:
            advice = {
                "rename": f"To merge both labels into one, type `--merge {','.join((*step.old, name))}={name}`.",
                "merge": f"To merge into this label, type `--merge {','.join((*step.old, name))}={name}`.",
                "split": "The parts of a split are new labels: give this part another name.",
            }.get(step.kind, "Omit the step.")
            yield f"`{step}`: the old version already has '{name}'. {advice}"


def _explained_twice(steps: Sequence[Step]) -> Iterator[str]:
    # With at most one step per label, the order of the steps does not matter.
    for side in ("old", "new"):
        counts = Counter(name for step in steps for name in getattr(step, side))
        for name, times in counts.items():
            if times > 1:
                which = ", ".join(f"`{step}`" for step in steps if name in getattr(step, side))
                yield f"{which}: several steps explain '{name}'. Keep one, or divide the change over two versions."


def _unexplained(steps: Sequence[Step], old: Codebook, new: Codebook) -> Iterator[str]:
    """Yield a message for each removed or added label that no step mentions."""
    removed = [name for name in old.label_names if name not in new.label_names]
    added = [name for name in new.label_names if name not in old.label_names]
    lost = [name for name in removed if not any(name in step.old for step in steps)]
    found = [name for name in added if not any(name in step.new for step in steps)]
    for name in lost:
        options = [f"--retire {name}", *(f"--rename {name}={other}" for other in found[:1])]
        options += [f"--merge {name},OTHER=NEW", f"--split {name}=NEW,NEW"]
        yield f"'{name}' is not in the new version. Explain the change with `{'` or `'.join(options)}`."
    for name in found:
        options = [f"--add {name}", *(f"--rename {other}={name}" for other in lost[:1])]
        yield f"'{name}' is not in the old version. Explain the change with `{'` or `'.join(options)}`."


def _quoted(names: Sequence[str], word: str) -> str:
    quoted = [f"'{name}'" for name in names]
    return f" {word} ".join(part for part in (", ".join(quoted[:-1]), *quoted[-1:]) if part)
