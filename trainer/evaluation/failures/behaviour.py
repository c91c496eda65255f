"""Behavioural checks: small sentences that show whether a model has learned its codebook or surface patterns.

A check is of one of three kinds. In `minimum`, a sentence must get or lack labels. In `invariance`, a change that the
codebook ignores, such as another name, must leave the labels as they are. In `directional`, a change must move the
probability of a label in a direction: a negation must lower it. Failure rates are given for each capability and kind.

Source: Ribeiro et al. (2020), "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from labels.errors import DataError, did_you_mean
from labels.unicode import read_text, read_toml
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.figures import CheckFigures, ChecksFigures
from trainer.evaluation.intervals import Interval

SHIPPED = Path(__file__).parent / "checks"
"""Folder of the checks that are shipped, one file for each codebook, named like the codebook."""
Kind = Literal["minimum", "invariance", "directional"]
Expectation = Literal["higher", "lower", "not_higher", "not_lower"]
TOLERANCE = 0.1
"""A probability that must not rise may rise by so much, and one that must not fall may fall by so much."""
ALL = "all"
Text = Annotated[str, Field(min_length=1)]
Predict = Callable[[Sequence[str]], tuple[Floats, Bools]]
"""Predicts n texts: probabilities and decisions, both of shape (n, labels)."""


def typographic(text: str) -> str:
    """Return the text with typographic quotation marks and apostrophes instead of straight ones."""
    opened = re.sub(r'(^|(?<=[\s(]))"', "“", text)
    return re.sub(r"(^|(?<=[\s(]))'", "‘", opened.replace('"', "”")).replace("'", "’")


def headline_case(text: str) -> str:
    """Return the text as a headline: longer words with a capital letter, and no stop at the end."""
    small = {"a", "an", "the", "of", "for", "to", "in", "on", "and", "that", "by", "at", "as", "with", "its", "from"}
    words = text.rstrip(".").split(" ")
    return " ".join(word if i and word in small else word[:1].upper() + word[1:] for i, word in enumerate(words))


CHANGES: dict[str, Callable[[str], str]] = {"typographic quotes": typographic, "headline case": headline_case}
"""Changes that `change` names, applied to each of `texts`."""


class Check(BaseModel):
    """One table `[[check]]`: the cases of one rule.

    Attributes:
        capability: what is checked, such as "negation"; failure rates are given for each.
        name: the rule, for readers of failures.
        labels: the exact label set of each text; or `has` and `lacks`, labels that it must have or lack.
        texts: the cases; with `change`, the texts that are changed.
        pairs: a text, and the same after a change.
        label, expect: whose probability must move, and how: "higher", "lower", or "not_higher" and "not_lower" within
            `TOLERANCE`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    capability: Text
    kind: Kind
    name: str = ""
    labels: tuple[str, ...] | None = None
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    texts: tuple[Text, ...] = ()
    pairs: tuple[tuple[Text, Text], ...] = ()
    change: Literal["", "typographic quotes", "headline case"] = ""
    label: str = ""
    expect: Expectation | None = None

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        expects = self.labels is not None or self.has or self.lacks
        if self.kind == "minimum" and (not expects or not self.texts or self.pairs or self.change):
            raise ValueError(
                "a minimum check needs `texts` and `labels`, `has` or `lacks`, and neither `pairs` nor `change`"
            )
        if self.kind != "minimum" and (expects or bool(self.pairs) == bool(self.texts and self.change)):
            raise ValueError("this kind of check needs `pairs`, or `texts` and `change`, and no expected labels")
        if (self.kind == "directional") != bool(self.label and self.expect):
            raise ValueError("`label` and `expect` belong to directional checks, which need both")
        if self.change and (same := [text for text in self.texts if CHANGES[self.change](text) == text]):
            raise ValueError(f"the change '{self.change}' leaves this text as it is: '{same[0][:60]}'")
        return self

    @property
    def named_labels(self) -> tuple[str, ...]:
        """All labels that the check names."""
        return (*(self.labels or ()), *self.has, *self.lacks, *((self.label,) if self.label else ()))

    @property
    def cases(self) -> list[tuple[str, str]]:
        """The cases: a text, and the same after a change, which is empty for the kind `minimum`."""
        if self.kind == "minimum":
            return [(text, "") for text in self.texts]
        return [*self.pairs, *((text, CHANGES[self.change](text)) for text in self.texts)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    codebook: str = ""
    check: Annotated[tuple[Check, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Checks:
    """The checks of a file; `digest` has 16 hex digits of its contents."""

    source: str
    digest: str
    codebook: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Failure:
    """A case that the model fails: its texts, what was expected, and what was found."""

    check: Check
    text: str
    changed: str
    expected: str
    found: str

    def to_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        texts = {"text": self.text, "changed": self.changed, "expected": self.expected, "found": self.found}
        return {"capability": self.check.capability, "kind": self.check.kind, "rule": self.check.name, **texts}


@dataclass(frozen=True)
class CheckResults:
    """Failure rates by capability and kind, and all failures in the order of the file."""

    figures: ChecksFigures
    failures: tuple[Failure, ...]


# -- reading


def shipped_checks(codebook: str) -> Path | None:
    """Return the file of checks that is shipped for a codebook; None if there is none."""
    path = SHIPPED / f"{codebook}.toml"
    return path if re.fullmatch(r"[\w.-]+", codebook) and path.is_file() else None


def read_checks(path: Path, labels: Sequence[str]) -> Checks:
    """Read a file of checks.

    Args:
        labels: the labels of the model.

    Raises:
        DataError: the file is not valid, or names a label that the model lacks; the message names line and key.
    """
    content, lines = read_toml(path), read_text(path).splitlines()
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        raise DataError(_place(path, lines, problem["loc"]) + _message(problem)) from None
    for number, check in enumerate(file.check):
        for key in ("labels", "has", "lacks", "label"):
            given = getattr(check, key)
            for name in (given,) if isinstance(given, str) and given else given or ():
                if name not in labels:
                    place = _place(path, lines, ("check", number, key))
                    near = did_you_mean(name, labels)
                    raise DataError(f"{place}the model has no label '{name}'{near}. Its labels: {', '.join(labels)}.")
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Checks(str(path), digest, file.codebook, file.check)


def _place(path: Path, lines: Sequence[str], loc: Sequence[int | str]) -> str:
    """The beginning of a message: file, line and key. The TOML parser gives no lines, so the tables are counted."""
    keys = [str(part) for part in loc if not isinstance(part, int)]
    key = f"key `{keys[-1]}`: " if keys else ""
    heads = [number for number, line in enumerate(lines) if re.match(r"\s*\[\[\s*check\s*\]\]", line)]
    if len(loc) < 2 or not isinstance(loc[1], int) or loc[1] >= len(heads):
        return f"{path}: {key}"
    start = heads[loc[1]]
    end = heads[loc[1] + 1] if loc[1] + 1 < len(heads) else len(lines)
    named = re.compile(rf"\s*[\"']?{re.escape(keys[-1])}[\"']?\s*=")
    at = next((number for number in range(start, end) if named.match(lines[number])), start)
    return f"{path}:{at + 1}: {key if keys[-1] != 'check' else ''}"


def _message(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        known = [*Check.model_fields, *_File.model_fields]
        near = did_you_mean(str(problem["loc"][-1]), known)
        return f"unknown key{near}. Known keys: {', '.join(Check.model_fields)}."
    if problem["type"] == "missing":
        return "this key is required."
    return f"{problem['msg'].removeprefix('Value error, ')}."


# -- judging


def run_checks(checks: Checks, labels: Sequence[str], predict: Predict, confidence: float = 0.95) -> CheckResults:
    """Run all checks on a model.

    Args:
        labels: the labels of the model, in the order of the columns of `predict`.
        confidence: of the intervals, in (0, 1).
    """
    cases = [(check, *case) for check in checks.checks for case in check.cases]
    texts = list(dict.fromkeys(text for _, *pair in cases for text in pair if text))
    probabilities, decided = predict(texts)
    row = {text: i for i, text in enumerate(texts)}
    failures, outcomes = [], []
    for check, text, changed in cases:
        failure = _judged(check, text, changed, labels, probabilities, decided, row)
        outcomes.append((check.capability, check.kind, failure is not None))
        failures += [failure] if failure else []
    figures = ChecksFigures(source=checks.source, digest=checks.digest, rates=list(_rates(outcomes, confidence)))
    return CheckResults(figures, tuple(failures))


def _judged(
    check: Check,
    text: str,
    changed: str,
    labels: Sequence[str],
    probabilities: Floats,
    decided: Bools,
    row: dict[str, int],
) -> Failure | None:
    """The failure of one case; None if the model passes."""

    def names(of: str) -> tuple[str, ...]:
        return tuple(labels[i] for i in map(int, np.flatnonzero(decided[row[of]])))

    found = names(text)
    if check.kind == "minimum":
        right = set(found) == set(check.labels) if check.labels is not None else True
        if right and set(check.has) <= set(found) and not set(check.lacks) & set(found):
            return None
        return Failure(check, text, "", _wanted(check), _set(found))
    if check.kind == "invariance":
        after = names(changed)
        return None if after == found else Failure(check, text, changed, _set(found), _set(after))
    before, after_p = (float(probabilities[row[of], labels.index(check.label)]) for of in (text, changed))
    if _moves(check.expect, after_p - before):
        return None
    said = f"p({check.label}) {before:.2f}"
    return Failure(check, text, changed, f"{said}, then {str(check.expect).replace('_', ' ')}", f"then {after_p:.2f}")


def _moves(expect: Expectation | None, by: float) -> bool:
    if expect in ("higher", "not_lower"):
        return by > 0 if expect == "higher" else by >= -TOLERANCE
    return by < 0 if expect == "lower" else by <= TOLERANCE


def _set(labels: Iterable[str]) -> str:
    return ", ".join(labels) or "none"


def _wanted(check: Check) -> str:
    if check.labels is not None:
        return _set(check.labels)
    parts = [f"with {_set(check.has)}"] * bool(check.has) + [f"without {_set(check.lacks)}"] * bool(check.lacks)
    return ", ".join(parts)


def _rates(outcomes: Sequence[tuple[str, str, bool]], confidence: float) -> Iterator[CheckFigures]:
    """Failure rates of each capability and kind, then of each kind, then of all."""
    own = list(dict.fromkeys((capability, kind) for capability, kind, _ in outcomes))
    kinds = list(dict.fromkeys((ALL, kind) for _, kind in own))
    for capability, kind in (*own, *kinds, (ALL, ALL)):
        failed = [lost for named, of, lost in outcomes if capability in (ALL, named) and kind in (ALL, of)]
        yield CheckFigures(
            capability=capability,
            kind=kind,
            n=len(failed),
            failed=sum(failed),
            rate=sum(failed) / len(failed),
            interval=binomial_interval(sum(failed), len(failed), confidence),
        )


def binomial_interval(count: int, n: int, confidence: float) -> Interval:
    """Return the exact interval of a share of `n` independent cases.

    Source: Clopper and Pearson (1934).
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if not count else float(beta.ppf(tail, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(1 - tail, count + 1, n - count))
    return Interval(low, high)
