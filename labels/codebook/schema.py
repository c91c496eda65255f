"""The codebook: which labels exist, what each one means, and the version that annotations refer to.

Validates, hashes, reads and writes codebooks. `labels.codebook.changes` compares two versions,
`labels.text.examples` infers a codebook from labelled rows, `labels.cli.codebook` prints.
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

from labels.errors import CodebookError, did_you_mean

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
BY_NAME = "#"
"""The key after which a label is chosen by its name."""
RESERVED_KEYS = frozenset(f"nsuq?!/:{BY_NAME}")
"""Keys that labelling keeps for none, skip, undo, quit, help, note, find, jump and a label by its name."""
_FREE_KEYS = "123456789abcdefghijklmoprtvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LISTED = 12
"""How many labels an error message names."""
# Lazy, so that a cue takes the nearest next word, and bounded, so that it does not join distant clauses.
_GAP = r"(?:\W+\w+){0,6}?\W+"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelExample(_Strict):
    """A sentence that illustrates a label; `why` is the rule that it shows."""

    text: Annotated[str, Field(min_length=1)]
    why: str = ""


class Label(_Strict):
    """One statement type: a name for files and columns, a title for people, and the rules that decide.

    `key` is the key that chooses it while labelling. `cues` are phrases that `compile_cue` finds in a text.
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
        # Names become columns of tables, parts of file names and words of the command line.
        if not NAME.fullmatch(name):
            raise ValueError(f"'{name}' must start with a letter or digit and use only letters, digits, _ . and -")
        if name.lower() == "none":
            raise ValueError("'none' cannot be a label: no label at all is the empty set (see `allow_none`)")
        return name

    @field_validator("key")
    @classmethod
    def _key_is_free(cls, key: str) -> str:
        if key and (key.isspace() or key == ","):
            raise ValueError("a key must be a visible character, not white space or a comma")
        if key in RESERVED_KEYS:
            raise ValueError(f"key '{key}' is reserved for labelling, as are {' '.join(sorted(RESERVED_KEYS))}")
        return key


class Codebook(_Strict):
    """A versioned labelling schema.

    `exclusive`: a sentence has exactly one label (or none, if `allow_none`). Otherwise it has any number, also none.
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
        """What a notebook shows: which codebook it is, and its labels by name."""
        return [("name", self.name), ("version", self.version), ("labels", self.label_names)]

    @property
    def hash(self) -> str:
        """16 hex digits of the codebook's whole content; annotations and artefacts record it.

        It is computed over the values, not over a file's text: comments and layout do not change it.
        """
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    # -- labels

    @property
    def label_names(self) -> tuple[str, ...]:
        """Label names in codebook order: the order of every column of probabilities."""
        return tuple(label.name for label in self.labels)

    @property
    def requires_label(self) -> bool:
        """Whether every sentence must have a label."""
        return self.exclusive and not self.allow_none

    @property
    def names_by_value(self) -> dict[str, str]:
        """Value of a labelled file -> label name: names, and titles that only one label has."""
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
                f"{place}: codebook '{self.name}' requires a label, and there is none. "
                "Add the label, or set `allow_none = true`."
            )
        return tuple(name for name in self.label_names if name in wanted)

    # -- choosing a label while labelling

    @property
    def keys(self) -> dict[str, str]:
        """Key -> label name: the codebook's own keys; labels without one get digits, then letters, while they last."""
        own = {label.name: label.key for label in self.labels if label.key}
        free = (key for key in _FREE_KEYS if key not in own.values())
        keys = {name: own.get(name) or next(free, "") for name in self.label_names}
        return {key: name for name, key in keys.items() if key}

    @property
    def shown_keys(self) -> dict[str, str]:
        """Label name -> its key, or `BY_NAME` for labels that got none."""
        by_name = {name: key for key, name in self.keys.items()}
        return {name: by_name.get(name, BY_NAME) for name in self.label_names}

    @property
    def keyless(self) -> tuple[str, ...]:
        """Names of the labels that got no key: they are chosen by name only."""
        return tuple(name for name, key in self.shown_keys.items() if key == BY_NAME)

    def labels_beginning(self, typed: str) -> tuple[str, ...]:
        """Label names that begin with `typed`, ignoring case; a name that equals it is returned alone."""
        if typed in self.label_names:
            return (typed,)
        found = tuple(name for name in self.label_names if name.lower().startswith(typed.lower()))
        return tuple(name for name in found if len(name) == len(typed)) or found

    def label_beginning(self, typed: str) -> str:
        """The one label name that equals `typed` or begins with it.

        Raises:
            CodebookError: no name begins with it, or several do.
        """
        found = self.labels_beginning(typed)
        if not found:
            hint = did_you_mean(typed, self.label_names)
            raise CodebookError(f"No label name begins with '{typed}'{hint}. The labels are: {_some(self.label_names)}")
        if len(found) > 1:
            raise CodebookError(f"{len(found)} label names begin with '{typed}'. Type more of the name: {_some(found)}")
        return found[0]


def compile_cue(cue: str) -> re.Pattern[str]:
    r"""The pattern that finds a cue at word boundaries, ignoring case.

    `*` at a word's end stands for any ending, `...` for up to six words.

    >>> bool(compile_cue("pledg* ... million").search("Oslo pledged another 40 million."))
    True
    """
    parts = [r"\s+".join(_word(word) for word in part.split()) for part in cue.split("...")]
    # Not \b: a cue may begin with a sign such as "$".
    return re.compile(r"(?<!\w)" + _GAP.join(parts), re.IGNORECASE)


def _word(word: str) -> str:
    return re.escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else r"(?!\w)")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _refuse_repeats(what: str, values: Sequence[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{what} '{value}' is used {values.count(value)} times; each must be unique")


# -- reading and writing


def shipped_codebooks() -> list[str]:
    """Names of the codebooks in the package."""
    folder = resources.files("labels.codebook") / "shipped"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_codebook(name_or_path: str | Path) -> Codebook:
    """Read a codebook from a TOML file, or a shipped one by name; a file of that name wins.

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


def names_stored(reference: str) -> bool:
    """Whether `reference` reads as a version in a store (NAME@VERSION, NAME@HASH or a hash) and is not a file."""
    reads_so = "@" in reference or re.fullmatch(r"[0-9a-f]{16}", reference) is not None
    return reads_so and reference not in shipped_codebooks() and not Path(reference).is_file()


def parse_codebook(text: str, place: str) -> Codebook:
    """The codebook in a TOML text; `place` names its origin in messages.

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
    lines = [f"{place}: this codebook is not valid."]
    # Where a label is wrong, pydantic also counts the labels that are left: "too short" would only distract.
    problems = [p for p in error.errors() if p["type"] != "too_short" or p["loc"] != ("labels",)] or error.errors()
    for problem in problems:
        where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in problem["loc"]) or "codebook"
        if problem["type"] == "extra_forbidden":
            hint = did_you_mean(str(problem["loc"][-1]), _schema_at(problem["loc"]).model_fields)
            lines.append(f"  {where}: unknown key{hint}")
        else:
            lines.append(f"  {where}: {problem['msg'].removeprefix('Value error, ')}")
    lines.append("To compare it with a valid one, type `communique codebook show`.")
    return "\n".join(lines)


def _schema_at(place: tuple[int | str, ...]) -> type[BaseModel]:
    """The model whose key is at a place such as ("labels", 0, "examples", 1, "title")."""
    if place[:1] != ("labels",):
        return Codebook
    return LabelExample if len(place) > 3 and place[2] in ("examples", "counterexamples") else Label


def dump_codebook(codebook: Codebook) -> str:
    """The codebook as TOML with every key, which `parse_codebook` reads back to an equal codebook."""
    import tomli_w

    content = codebook.model_dump(mode="json")
    for label in content["labels"]:
        if not label["crosswalk"]:
            del label["crosswalk"]  # a table header with nothing under it
    return tomli_w.dumps(content)
