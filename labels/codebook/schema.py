"""The codebook: which labels exist, what each one means, and the version that annotations refer to.

Reads, validates, hashes and writes codebooks. What differs between two versions is `labels.codebook.changes`' business,
how cues
are matched `labels.codebook.cues`', how a codebook is shown on a terminal that of `labels.cli`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from labels.errors import CodebookError, did_you_mean

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
BY_NAME = "#"
"""The key after which a label is chosen by its name."""
RESERVED_KEYS = frozenset(f"nsuq?!/:{BY_NAME}")
"""Keys that labelling keeps for none, skip, undo, quit, help, note, find, jump and a label by its name."""
_LISTED = 12
"""How many labels an error message names."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelExample(_Strict):
    """A sentence that teaches a rule. `labels` is what a careful coder assigns; `why` is the rule it shows."""

    text: Annotated[str, Field(min_length=1)]
    why: str = ""


class Label(_Strict):
    """One statement type: a name for machines, a title for people, and the rules that decide."""

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
        if not NAME.fullmatch(name):
            raise ValueError(f"'{name}' must start with a letter or digit and use only letters, digits, _ . and -")
        if name.lower() == "none":
            raise ValueError("'none' cannot be a label: no label at all is the empty set (see `allow_none`)")
        return name

    @field_validator("key")
    @classmethod
    def _key_is_free(cls, key: str) -> str:
        if key and (key.isspace() or key == ","):
            raise ValueError("a key must be a character that can be typed and seen, no white space and no comma")
        if key in RESERVED_KEYS:
            raise ValueError(f"key '{key}' is taken by the labelling prompt; keys {sorted(RESERVED_KEYS)} are reserved")
        return key


class Codebook(_Strict):
    """A versioned labelling schema.

    `exclusive`: a sentence bears exactly one label (or none, if `allow_none`). Otherwise any number, none included.
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

    @property
    def label_names(self) -> tuple[str, ...]:
        """Label names in codebook order: the order of every column of probabilities."""
        return tuple(label.name for label in self.labels)

    @property
    def requires_label(self) -> bool:
        """Whether every sentence bears a label."""
        return self.exclusive and not self.allow_none

    @property
    def keys(self) -> dict[str, str]:
        """Key press -> label name: the codebook's own keys, the others filled with digits, then letters."""
        taken = {label.key: label.name for label in self.labels if label.key}
        free = (key for key in "123456789abcdefghijklmoprtvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if key not in taken)
        for label in self.labels:
            if not label.key:
                key = next(free, None)
                if key is not None:
                    taken[key] = label.name
        by_name = {name: key for key, name in taken.items()}
        return {by_name[name]: name for name in self.label_names if name in by_name}

    @property
    def shown_keys(self) -> dict[str, str]:
        """Label name -> its key, or `BY_NAME` for those beyond the keys that there are."""
        by_name = {name: key for key, name in self.keys.items()}
        return {name: by_name.get(name, BY_NAME) for name in self.label_names}

    @property
    def keyless(self) -> tuple[str, ...]:
        """Names of the labels beyond the keys that there are: they are chosen by name only."""
        return tuple(name for name, key in self.shown_keys.items() if key == BY_NAME)

    def labels_beginning(self, typed: str) -> tuple[str, ...]:
        """Names that begin with `typed`, whatever its case; where one is just that, it alone."""
        if typed in self.label_names:
            return (typed,)
        found = tuple(name for name in self.label_names if name.lower().startswith(typed.lower()))
        return tuple(name for name in found if len(name) == len(typed)) or found

    def label_beginning(self, typed: str) -> str:
        """The one name that is `typed` or begins so.

        Raises:
            CodebookError: no name begins so, or several do.
        """
        found = self.labels_beginning(typed)
        if not found:
            hint = did_you_mean(typed, self.label_names)
            raise CodebookError(f"No label's name begins with '{typed}'{hint}. There are: {_some(self.label_names)}")
        if len(found) > 1:
            raise CodebookError(f"'{typed}' begins the names of {len(found)} labels, type more of it: {_some(found)}")
        return found[0]

    @property
    def hash(self) -> str:
        """16 hex digits of the codebook's whole content; annotations and artefacts record it."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def names_by_value(self) -> dict[str, str]:
        """What may stand for a label in a labelled file -> its name: the name itself, or its title, if no other label
        has that one.
        """
        titles = Counter(label.title for label in self.labels)
        by_title = {label.title: label.name for label in self.labels if titles[label.title] == 1}
        return by_title | {name: name for name in self.label_names}

    def check_labels(self, labels: Iterable[str], place: str) -> tuple[str, ...]:
        """`labels` in codebook order without repeats.

        Raises:
            CodebookError: a label is unknown, or the set breaks `exclusive` / `allow_none`; the message starts
                with `place`.
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
                f"{place}: no label, but codebook '{self.name}' demands one. Add the label, or set `allow_none = true`."
            )
        return tuple(name for name in self.label_names if name in wanted)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _refuse_repeats(what: str, values: Sequence[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{what} '{value}' is used {values.count(value)} times; each must be unique")


def shipped_codebooks() -> list[str]:
    """Names of the codebooks that come with the package."""
    folder = resources.files("labels.codebook") / "shipped"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_codebook(name_or_path: str | Path) -> Codebook:
    """The codebook of a TOML file, or a shipped one by name.

    Raises:
        CodebookError: there is no such codebook, it is not TOML, or it does not follow the schema.
    """
    path = Path(name_or_path)
    if str(name_or_path) in shipped_codebooks() and not path.is_file():
        text = (resources.files("labels.codebook") / "shipped" / f"{name_or_path}.toml").read_text(encoding="utf-8")
        return parse_codebook(text, f"{name_or_path}.toml")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CodebookError(
            f"{name_or_path}: cannot read this codebook ({reason}). "
            f"Give a TOML file, or a shipped codebook: {', '.join(shipped_codebooks())}."
        ) from error
    return parse_codebook(text, str(path))


def parse_codebook(text: str, place: str) -> Codebook:
    """The codebook that the TOML `text` describes; `place` names its origin in messages.

    Raises:
        CodebookError: not TOML, or not a codebook.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CodebookError(f"{place}: not valid TOML: {error}. Fix that line.") from error
    return codebook_from_dict(content, place)


def codebook_from_dict(content: dict[str, Any], place: str) -> Codebook:
    """The codebook with this content.

    Raises:
        CodebookError: a key is unknown, missing or of the wrong type; every problem is listed with its key.
    """
    try:
        return Codebook.model_validate(content)
    except ValidationError as error:
        raise CodebookError(_explain(error, place)) from None


def _explain(error: ValidationError, place: str) -> str:
    lines = [f"{place}: this codebook does not validate."]
    problems = [p for p in error.errors() if p["type"] != "too_short" or p["loc"] != ("labels",)] or error.errors()
    for problem in problems:
        where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in problem["loc"]) or "codebook"
        known = _schema_at(problem["loc"]).model_fields
        hint = did_you_mean(str(problem["loc"][-1]), known) if problem["type"] == "extra_forbidden" else ""
        what = "unknown key" if hint or problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"  {where}: {what.removeprefix('Value error, ')}{hint}")
    lines.append("`communique codebook show` prints a complete one to compare with.")
    return "\n".join(lines)


def _schema_at(place: tuple[int | str, ...]) -> type[BaseModel]:
    """What holds the key at a place such as ("labels", 0, "examples", 1, "title")."""
    if place[:1] != ("labels",):
        return Codebook
    return LabelExample if len(place) > 3 and place[2] in ("examples", "counterexamples") else Label


def infer_codebook(name: str, label_sets: Iterable[tuple[str, ...]], *, exclusive: bool) -> Codebook:
    """A codebook whose labels are the values found, in sorted order: their titles are the values, their names the same
    in characters that a name may have.

    `exclusive` follows the data's shape: a `label` column is exclusive, a `labels` column is not. `allow_none` of an
    exclusive codebook is true when some row has no label.

    Raises:
        CodebookError: there is no label at all, or one that cannot be a label name.
    """
    names: set[str] = set()
    empty = False
    for labels in label_sets:
        names.update(labels)
        empty = empty or not labels
    if not names:
        raise CodebookError(
            f"{name}: no label in any row, so no codebook can be inferred. "
            "Give a file with a `label` or `labels` column that is filled."
        )
    if exclusive and len(names) == 1 and not empty:
        raise CodebookError(
            f"{name}: every row bears the label '{next(iter(names))}', so there is nothing to tell apart. "
            "Give rows with other labels too, or leave `label` empty where it does not apply."
        )
    content = {
        "name": name,
        "description": "Inferred from the label values of a file: write the definitions before people label with it.",
        "exclusive": exclusive,
        "allow_none": empty or not exclusive,
        "labels": [{"name": label, "title": title} for title, label in _label_names(sorted(names)).items()],
    }
    return codebook_from_dict(content, name)


def _label_names(values: Sequence[str]) -> dict[str, str]:
    """Value -> a label name like it, all different; values that are names stay as they are."""
    found = {value: value for value in values if NAME.fullmatch(value)}
    taken = set(found)
    for number, value in enumerate(values, 1):
        if value not in found:
            plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
            name = re.sub(r"[^A-Za-z0-9_.\-]+", "_", plain).strip("_.-") or f"label_{number}"
            free = (each for each in chain([name], (f"{name}_{i}" for i in count(2))) if each not in taken)
            found[value] = next(free)
            taken.add(found[value])
    return {value: found[value] for value in values}


def dump_codebook(codebook: Codebook) -> str:
    """The codebook as TOML that `parse_codebook` reads back to an equal codebook."""
    content = codebook.model_dump(mode="json")
    labels = content.pop("labels")
    lines = [f"{key} = {_toml(value)}" for key, value in content.items()]
    for label in labels:
        crosswalk = label.pop("crosswalk")
        lines += ["", "[[labels]]"]
        lines += [f"{key} = {_toml(value)}" for key, value in label.items()]
        if crosswalk:
            lines += ["[labels.crosswalk]"] + [f"{_toml(key)} = {_toml(value)}" for key, value in crosswalk.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list) and value:
        return "[\n" + "".join(f"    {_toml(item)},\n" for item in value) + "]"
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
