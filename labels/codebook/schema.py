"""Codebooks: labels, their definitions, and the version that annotations refer to.

This module validates, hashes, reads and writes codebooks. `labels.codebook.changes` compares versions,
`labels.text.examples` infers codebooks from labelled rows, and `labels.cli.codebook` prints codebooks.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from labels.errors import CodebookError, DataError, did_you_mean
from labels.unicode import read_toml

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
BY_NAME = "#"
"""The key to press before typing the name of a label."""
RESERVED_KEYS = frozenset(f"nsuq?!/:{BY_NAME}")
"""Keys that are reserved while labelling: none, skip, undo, quit, help, note, find, jump and label by name."""
_FREE_KEYS = "123456789abcdefghijklmoprtvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SHIPPED = resources.files("labels.codebook") / "shipped"
_LISTED = 12
"""The maximum number of labels listed in an error message."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelExample(_Strict):
    """A sentence that illustrates a label; `why` names the rule that it illustrates."""

    text: Annotated[str, Field(min_length=1)]
    why: str = ""


class Label(_Strict):
    """A statement type: a name for files and columns, a title for readers, and the rules for choosing the label.

    `key` selects the label while labelling. `cues` are phrases that `labels.codebook.cues.Cue` finds in texts.
    `crosswalk` maps the name of another scheme, such as "cameo", to its codes.
    """

    name: str
    title: str = ""
    key: Annotated[str, Field(max_length=1)] = ""
    definition: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    examples: tuple[LabelExample, ...] = ()
    counterexamples: tuple[LabelExample, ...] = ()
    cues: tuple[str, ...] = ()
    crosswalk: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _name_is_safe(cls, name: str) -> str:
        # Names are used as table columns, parts of file names and command-line arguments.
        if not NAME.fullmatch(name):
            raise ValueError(f"'{name}' must start with a letter or digit and use only letters, digits, _ . and -")
        if name.lower() == "none":
            raise ValueError("'none' cannot be a label: a sentence without labels has the empty set (see `allow_none`)")
        return name

    @field_validator("key")
    @classmethod
    def _key_is_free(cls, key: str) -> str:
        if key and (key.isspace() or key == ","):
            raise ValueError("a key must be a visible character, not white space or a comma")
        if key in RESERVED_KEYS:
            reserved = " ".join(sorted(RESERVED_KEYS))
            raise ValueError(f"key '{key}' is reserved for labelling (reserved: {reserved}); choose another key")
        return key


class Codebook(_Strict):
    """A versioned labelling schema.

    `exclusive`: a sentence has exactly one label (or no label, if `allow_none`). Otherwise, it has zero or more labels.
    """

    name: str
    version: str = "1"
    language: str = "en"
    description: str = ""
    exclusive: bool = False
    allow_none: bool = True
    rules: tuple[str, ...] = ()
    labels: Annotated[tuple[Label, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_and_keys_are_unique(self) -> Codebook:
        _refuse_repeats("label name", [label.name for label in self.labels])
        _refuse_repeats("key", [label.key for label in self.labels if label.key])
        if self.exclusive and not self.allow_none and len(self.labels) < 2:
            raise ValueError("an exclusive codebook without `allow_none` needs at least two labels")
        return self

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Represent the codebook in notebooks by its name, version and label names."""
        return [("name", self.name), ("version", self.version), ("labels", self.label_names)]

    @property
    def hash(self) -> str:
        """A hash of the complete content, 16 hex digits, which annotations and artefacts record.

        The hash depends on the values only, not on comments or the layout of the file.
        """
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    # -- labels

    @property
    def label_names(self) -> tuple[str, ...]:
        """The label names in codebook order, which is also the order of the columns of probabilities."""
        return tuple(label.name for label in self.labels)

    @property
    def requires_label(self) -> bool:
        """Whether every sentence must have a label."""
        return self.exclusive and not self.allow_none

    @property
    def names_by_value(self) -> dict[str, str]:
        """Maps the values allowed in labelled files (label names and unique titles) to label names."""
        titles = Counter(label.title for label in self.labels)
        by_title = {label.title: label.name for label in self.labels if titles[label.title] == 1}
        return by_title | {name: name for name in self.label_names}

    def check_labels(self, labels: Iterable[str], place: str) -> tuple[str, ...]:
        """Check labels, and return them in codebook order without repeats.

        Raises:
            CodebookError: a label is unknown, or the set violates `exclusive` or `allow_none`; the message starts with
                `place`.
        """
        wanted = set(labels)
        for label in sorted(wanted.difference(self.label_names)):
            hint = did_you_mean(label, self.label_names)
            raise CodebookError(
                f"{place}: label '{label}' is not in codebook '{self.name}' {self.version}{hint}. "
                f"Its labels: {', '.join(self.label_names)}. Fix the label or add it to the codebook."
            )
        if self.exclusive and len(wanted) > 1:
            raise CodebookError(
                f"{place}: codebook '{self.name}' is exclusive, but there are {len(wanted)} labels: "
                f"{', '.join(sorted(wanted))}. Keep one, or set `exclusive = false`."
            )
        if self.requires_label and not wanted:
            raise CodebookError(
                f"{place}: codebook '{self.name}' requires a label, but none is given. "
                "Add the label, or set `allow_none = true`."
            )
        return tuple(name for name in self.label_names if name in wanted)

    # -- choosing a label while labelling

    @property
    def keys(self) -> dict[str, str]:
        """Maps keys to label names; labels without a key in the codebook get unused digits, then letters."""
        own = {label.name: label.key for label in self.labels if label.key}
        free = (key for key in _FREE_KEYS if key not in own.values())
        keys = {name: own.get(name) or next(free, "") for name in self.label_names}
        return {key: name for name, key in keys.items() if key}

    @property
    def shown_keys(self) -> dict[str, str]:
        """Maps label names to keys; `BY_NAME` for labels without a key."""
        by_name = {name: key for key, name in self.keys.items()}
        return {name: by_name.get(name, BY_NAME) for name in self.label_names}

    @property
    def keyless(self) -> tuple[str, ...]:
        """The names of labels without a key, which can only be chosen by name."""
        return tuple(name for name, key in self.shown_keys.items() if key == BY_NAME)

    def labels_beginning(self, typed: str) -> tuple[str, ...]:
        """Return the label names that begin with `typed`, ignoring case; only the exact match if there is one."""
        if typed in self.label_names:
            return (typed,)
        found = tuple(name for name in self.label_names if name.lower().startswith(typed.lower()))
        return tuple(name for name in found if len(name) == len(typed)) or found

    def label_beginning(self, typed: str) -> str:
        """Return the only label name that equals `typed` or begins with it.

        Raises:
            CodebookError: no name or several names begin with `typed`.
        """
        found = self.labels_beginning(typed)
        if not found:
            hint = did_you_mean(typed, self.label_names)
            raise CodebookError(f"No label name begins with '{typed}'{hint}. The labels are: {_some(self.label_names)}")
        if len(found) > 1:
            raise CodebookError(f"{len(found)} label names begin with '{typed}'. Type more of the name: {_some(found)}")
        return found[0]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _refuse_repeats(what: str, values: Sequence[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{what} '{value}' is used {values.count(value)} times; each {what} must be unique")


# -- reading and writing


def shipped_codebooks() -> list[str]:
    """Return the names of the codebooks included in the package: NAME for the newest version, and each NAME@VERSION."""
    versions = [entry.name.removesuffix(".toml") for entry in _SHIPPED.iterdir() if "@" in entry.name]
    return sorted({name for version in versions for name in (version, version.partition("@")[0])})


def shipped_versions(name: str) -> list[str]:
    """Return the shipped versions of a codebook, oldest first, as NAME@VERSION."""
    found = [shipped for shipped in shipped_codebooks() if shipped.startswith(f"{name}@")]
    return sorted(found, key=lambda shipped: [int(part) for part in shipped.partition("@")[2].split(".")])


def load_codebook(name_or_path: str | Path) -> Codebook:
    """Load a codebook from a TOML file, or load a shipped codebook by name; a file with the same name takes precedence.

    Raises:
        CodebookError: the codebook does not exist, is not valid TOML, or does not follow the schema.
    """
    path = Path(name_or_path)
    if str(name_or_path) in shipped_codebooks() and not path.is_file():
        file = f"{[str(name_or_path), *shipped_versions(str(name_or_path))][-1]}.toml"
        return parse_codebook((_SHIPPED / file).read_text(encoding="utf-8"), file)
    try:
        content = read_toml(path)
    except DataError as error:
        if not isinstance(error.__cause__, OSError):
            raise CodebookError(str(error)) from error
        raise CodebookError(
            f"{name_or_path}: cannot read this codebook ({error.__cause__.strerror}). "
            f"Give a TOML file, or a shipped codebook: {', '.join(shipped_codebooks())}."
        ) from error
    return codebook_from_dict(content, str(path))


def names_stored(reference: str) -> bool:
    """Return whether `reference` has the form NAME@VERSION, NAME@HASH or HASH of a stored version and is not a file."""
    reads_so = "@" in reference or re.fullmatch(r"[0-9a-f]{16}", reference) is not None
    return reads_so and reference not in shipped_codebooks() and not Path(reference).is_file()


def parse_codebook(text: str, place: str) -> Codebook:
    """Parse a codebook from TOML text; `place` is its origin, for messages.

    Raises:
        CodebookError: the text is not valid TOML or not a valid codebook.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CodebookError(f"{place}: not valid TOML: {error}. Fix the line.") from error
    return codebook_from_dict(content, place)


def codebook_from_dict(content: dict[str, Any], place: str) -> Codebook:
    """Create a codebook from a dictionary; `place` is its origin, for messages.

    Raises:
        CodebookError: a key is unknown or missing, or a value is not valid; the message lists every problem.
    """
    try:
        return Codebook.model_validate(content)
    except ValidationError as error:
        raise CodebookError(_explain(error, place)) from None


def _explain(error: ValidationError, place: str) -> str:
    lines = [f"{place}: this codebook is not valid."]
    # If a label is invalid, pydantic also reports that there are too few labels, which would be misleading.
    problems = [p for p in error.errors() if p["type"] != "too_short" or p["loc"] != ("labels",)] or error.errors()
    for problem in problems:
        where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in problem["loc"]) or "codebook"
        if problem["type"] == "extra_forbidden":
            hint = did_you_mean(str(problem["loc"][-1]), _schema_at(problem["loc"]).model_fields)
            lines.append(f"  {where}: unknown key{hint}")
        else:
            lines.append(f"  {where}: {problem['msg'].removeprefix('Value error, ')}")
    lines.append("For comparison, `communique codebook show` prints a valid codebook.")
    return "\n".join(lines)


def _schema_at(place: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model that contains the key at a location such as ("labels", 0, "examples", 1, "title")."""
    if place[:1] != ("labels",):
        return Codebook
    return LabelExample if len(place) > 3 and place[2] in ("examples", "counterexamples") else Label


def dump_codebook(codebook: Codebook) -> str:
    """Write the codebook as TOML with all keys; `parse_codebook` restores an equal codebook."""
    import tomli_w

    content = codebook.model_dump(mode="json")
    for label in content["labels"]:
        if not label["crosswalk"]:
            del label["crosswalk"]  # a table header with nothing under it
    return tomli_w.dumps(content)
