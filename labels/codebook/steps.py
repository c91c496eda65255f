"""The steps that lead from one version of a codebook to the next: what became of which label.

Parses steps, writes them and checks that they explain a change of labels. How annotations are read along them is
`migrate`'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from labels.codebook.diff import titled
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, InputError, did_you_mean

StepKind = Literal["rename", "merge", "split", "retire", "add"]
KINDS: tuple[StepKind, ...] = get_args(StepKind)
_INVERSE: dict[StepKind, StepKind] = {
    "rename": "rename",
    "merge": "split",
    "split": "merge",
    "retire": "add",
    "add": "retire",
}
_FORMS = {
    "rename": "one label on each side, e.g. --rename aid=aid_pledge",
    "merge": "two labels or more that become one, e.g. --merge loan,gift=aid",
    "split": "one label that becomes two or more, e.g. --split aid=loan,gift",
    "retire": "one label, e.g. --retire aid",
    "add": "one label, e.g. --add aid",
}


@dataclass(frozen=True)
class Step:
    """What became of labels: the names `old` of the earlier version are the names `new` of the later one.

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
            raise InputError(f"'{self.kind}' is no step that this communique knows ({', '.join(KINDS)}). Upgrade it.")
        before, after = len(self.old), len(self.new)
        fits = {
            "rename": before == after == 1 and self.old != self.new,
            "merge": before > 1 and after == 1,
            "split": before == 1 and after > 1,
            "retire": before == 1 and after == 0,
            "add": before == 0 and after == 1,
        }[self.kind]
        distinct = len(set(self.old)) == before and len(set(self.new)) == after
        if not (fits and distinct and all(self.old) and all(self.new)):
            raise InputError(f"`{self}` cannot be followed. A {self.kind} has {_FORMS[self.kind]}.")

    def __str__(self) -> str:
        sides = [",".join(side) for side in (self.old, self.new)]
        return f"--{self.kind} {'='.join(sides) if self.kind not in ('retire', 'add') else ''.join(sides)}"

    @property
    def inverse(self) -> Step:
        """The step that leads back: what a merge joined, its inverse splits."""
        return Step(_INVERSE[self.kind], self.new, self.old)

    @property
    def meaning(self) -> str:
        """The step in plain words."""
        sentences = {
            "rename": "{old} is now called {new}",
            "merge": "{old} are now {new}",
            "split": "{old} is now {new}",
            "retire": "{old} is no label any more",
            "add": "{new} is a new label",
        }
        return sentences[self.kind].format(old=_quoted(self.old, "and"), new=_quoted(self.new, "or"))

    def to_json(self) -> dict[str, Any]:
        """The step as plain JSON values."""
        return {"kind": self.kind, "old": list(self.old), "new": list(self.new)}


def step_from_json(content: Mapping[str, Any]) -> Step:
    """The step that `Step.to_json` wrote.

    Raises:
        InputError: it is none that this version knows.
    """
    return Step(content["kind"], tuple(content["old"]), tuple(content["new"]))


def parse_step(kind: StepKind, text: str) -> Step:
    """The step of an option as it is typed: `old=new`, with commas between names; a bare name for retire and add.

    Raises:
        InputError: the text does not fit the kind.
    """
    sides = [tuple(name.strip() for name in side.split(",")) for side in text.split("=")]
    if len(sides) != (1 if kind in ("retire", "add") else 2):
        raise InputError(f"`--{kind} {text}` cannot be followed. A {kind} has {_FORMS[kind]}.")
    if kind == "add":
        return Step(kind, (), sides[0])
    return Step(kind, sides[0], sides[1] if len(sides) == 2 else ())


def check_steps(steps: Sequence[Step], old: Codebook, new: Codebook) -> None:
    """Refuse steps that do not explain, once and wholly, how the labels of `old` became those of `new`.

    Steps that pass can be followed in any order.

    Raises:
        CodebookError: every problem is listed with the label and the option to type.
    """
    problems = [
        *(problem for step in steps for problem in _misnamed(step, old, new)),
        *_told_twice(steps),
        *_untold(steps, old, new),
    ]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise CodebookError(f"{titled(old)} -> {titled(new)}: the steps do not explain the change of labels.\n{lines}")


def _misnamed(step: Step, old: Codebook, new: Codebook) -> Iterator[str]:
    """What is wrong with the names of a step by itself."""
    for names, book, which in ((step.old, old, "old"), (step.new, new, "new")):
        for name in names:
            if name not in book.label_names:
                hint = did_you_mean(name, book.label_names)
                yield f"`{step}`: the {which} version has no label '{name}'{hint}. Its labels: {_listed(book)}."
    for name in step.old:
        if name in new.label_names and name not in step.new:
            yield f"`{step}`: the new version still has '{name}'. Take it out of there, or leave the step out."
    for name in step.new:
        if name in old.label_names and name not in step.old:
            advice = {
                "rename": f"To make both one label, type `--merge {','.join((*step.old, name))}={name}`.",
                "merge": f"To merge into it, type `--merge {','.join((*step.old, name))}={name}`.",
                "split": "The parts of a split are new labels: give this part another name.",
            }.get(step.kind, "Leave the step out.")
            yield f"`{step}`: the old version has '{name}' already. {advice}"


def _told_twice(steps: Sequence[Step]) -> Iterator[str]:
    for side in ("old", "new"):
        told = Counter(name for step in steps for name in getattr(step, side))
        for name, times in told.items():
            if times > 1:
                which = ", ".join(f"`{step}`" for step in steps if name in getattr(step, side))
                yield f"{which}: each tells of '{name}'. Keep one; if it takes both, make two versions."


def _untold(steps: Sequence[Step], old: Codebook, new: Codebook) -> Iterator[str]:
    """Labels that came or went and that no step tells of."""
    gone = [name for name in old.label_names if name not in new.label_names]
    come = [name for name in new.label_names if name not in old.label_names]
    lost = [name for name in gone if not any(name in step.old for step in steps)]
    found = [name for name in come if not any(name in step.new for step in steps)]
    for name in lost:
        options = [f"--retire {name}", *(f"--rename {name}={other}" for other in found[:1])]
        others = f"--merge {name},OTHER=NEW, --split {name}=NEW,NEW"
        yield f"'{name}' is not in the new version: what became of it? `{'` or `'.join(options)}` ({others})."
    for name in found:
        options = [f"--add {name}", *(f"--rename {other}={name}" for other in lost[:1])]
        yield f"'{name}' is not in the old version: where does it come from? `{'` or `'.join(options)}`."


def _listed(codebook: Codebook) -> str:
    return ", ".join(codebook.label_names)


def _quoted(names: Sequence[str], word: str) -> str:
    quoted = [f"'{name}'" for name in names]
    return f" {word} ".join(part for part in (", ".join(quoted[:-1]), *quoted[-1:]) if part)
