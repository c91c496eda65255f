"""Divisions of examples by time, by the values of a column, and into the folds of a cross-validation.

What a division leaves out of train, so that train has no sentence of a test document and no near-duplicate of a test
sentence, is counted in its notes. `splits` makes the random division, in which nothing needs to be left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from labels.environment.progress import report_progress
from labels.errors import ExperimentError, counted, did_you_mean
from labels.records import PAGE, Example
from labels.text.duplicates import near_duplicates_of
from labels.text.parsing.dates import Period, read_period
from trainer.config.sections import SplitSection
from trainer.data.splits import PARTS, Parts, group_examples, make_split, share_groups

_SHOWN = 5
"""Number of values, ids or sizes in a message."""
_LEAKS = {
    "document": ("sentence of a test document", "sentences of test documents"),
    "near-duplicate": ("near-duplicate of a test sentence", "near-duplicates of test sentences"),
}
_OWN_COLUMNS = ("document_id", "date")
"""Columns of every example, beside those in its metadata."""


@dataclass(frozen=True)
class Fold:
    """A fold of a cross-validation: the examples to predict, as its test part, and those to learn from."""

    name: str
    parts: Parts


def divide(examples: Sequence[Example], section: SplitSection, seed: int) -> tuple[Parts, list[str]]:
    """Divide examples by time or by the values of a column; returns the parts, and notes on examples left out.

    Validation is a share of the documents of the training period; or of the values of the column.

    Raises:
        ExperimentError: an example has no date or no value, the column does not exist, or a part would be empty.
    """
    if section.by_time:
        return _by_time(examples, section, seed)
    values = _values(examples, section.by)
    kept, notes = _complete(examples, values, section, f"value in the column '{section.by}'", "by")
    groups = [str(values[example.id]) for example in kept]
    shares = (section.train, section.validation, section.test)
    divided = share_groups(kept, groups, shares, seed, f"with different values of '{section.by}'")
    parts = dict(zip(PARTS, divided, strict=True))
    held = {name: sorted({str(values[one.id]) for one in part}) for name, part in parts.items()}
    notes += [f"the split is by {section.by}: " + "; ".join(f"{name}: {_few(own)}" for name, own in held.items())]
    return _without_leaks(parts, notes), notes


def make_folds(
    examples: Sequence[Example], section: SplitSection, share: float, seed: int
) -> tuple[list[Fold], list[str]]:
    """Return the folds of a cross-validation, by document or by the values of a column, and notes.

    Each example is in the test part of exactly one fold, except corrections from the server's page, which are only for
    training.

    Args:
        share: share of the other documents of each fold that becomes its validation part, in (0, 1).

    Raises:
        ExperimentError: as for `divide`, or there are fewer documents than folds.
    """
    asked = [example for example in examples if example.drawn != PAGE]
    extra = [example for example in examples if example.drawn == PAGE]
    notes: list[str] = []
    if section.leave_one_out:
        values = _values(asked, section.by)
        asked, notes = _complete(asked, values, section, f"value in the column '{section.by}'", "by")
        named: dict[str, list[Example]] = {}
        for example in asked:
            named.setdefault(str(values[example.id]), []).append(example)
        if len(named) < 2:
            raise ExperimentError(
                f"split.leave_one_out: the column '{section.by}' has only the value '{next(iter(named))}'. Choose a "
                "column with at least two values."
            )
        tests = dict(sorted(named.items()))
    else:
        tests = _folds_of_documents(asked, section, seed)
    folds = []
    for number, (name, test) in enumerate(tests.items()):
        report_progress("Comparing the texts of the folds", number, len(tests))
        folds.append(_fold(name, test, tests, extra, section, share, seed, notes))
    return folds, notes


def _folds_of_documents(examples: Sequence[Example], section: SplitSection, seed: int) -> dict[str, list[Example]]:
    n_groups = len(set(group_examples(examples, allow_large=section.allow_large_groups)))
    if n_groups < section.folds:
        raise ExperimentError(
            f"split.folds = {section.folds}: the data have only {counted(n_groups, 'group')} of documents that share "
            "no near-duplicates. Add documents, or use fewer folds."
        )
    parts = make_split(examples, [1 / section.folds] * section.folds, seed, allow_large=section.allow_large_groups)
    return {str(number): part for number, part in enumerate(parts, start=1)}


def _fold(
    name: str,
    test: Sequence[Example],
    tests: Mapping[str, Sequence[Example]],
    extra: Sequence[Example],
    section: SplitSection,
    share: float,
    seed: int,
    notes: list[str],
) -> Fold:
    rest = [example for other, part in tests.items() if other != name for example in part]
    own: list[str] = []
    clean = _without_leaks({"train": [*rest, *extra], "validation": [], "test": list(test)}, own)["train"]
    notes += [f"fold '{name}': {note}" for note in own]
    learned = [example for example in clean if example.drawn != PAGE]
    _refuse_nothing_left(learned, f"every example outside fold '{name}'", "the fold")
    train, validation = make_split(learned, (1 - share, share), seed, allow_large=True)
    corrections = [example for example in clean if example.drawn == PAGE]
    return Fold(name, {"train": [*train, *corrections], "validation": validation, "test": list(test)})


# -- time


def _by_time(examples: Sequence[Example], section: SplitSection, seed: int) -> tuple[Parts, list[str]]:
    dates = {example.id: read_period(example.date) for example in examples}
    kept, notes = _complete(examples, dates, section, "date that can be read", "train_before and split.test_after")
    start, end = _limits(section)
    parts: dict[str, list[Example]] = {"train": [], "test": [], "between": []}
    for example in kept:
        period = dates[example.id]
        assert period is not None
        parts[_part_of(period, start, end)].append(example)
    periods = f"before {start.first} and after {end.last}"
    for name in ("train", "test"):
        if not parts[name]:
            raise ExperimentError(
                f"split: no example has a date for the {name} part ({periods}). The dates in the data are "
                f"{_span(kept)}. Change `split.train_before` or `split.test_after`."
            )
    if between := len(parts["between"]):
        were = counted(between, "example was", "examples were")
        notes.append(f"{were} left out: dated between the training period and the test period ({periods})")
    learned = _without_leaks({"train": parts["train"], "validation": [], "test": parts["test"]}, notes)["train"]
    _refuse_nothing_left(learned, f"every example before {start.first}", "the test part")
    notes.append(f"the split is by time: {_span(learned)} for training, {_span(parts['test'])} for test")
    held_out = section.validation / (section.train + section.validation)
    train, validation = make_split(learned, (1 - held_out, held_out), seed, allow_large=section.allow_large_groups)
    return {"train": train, "validation": validation, "test": parts["test"]}, notes


def _span(examples: Sequence[Example]) -> str:
    """The first and the last day of dates that can be read."""
    periods = [period for example in examples if (period := read_period(example.date))]
    return f"{min(own.first for own in periods)} to {max(own.last for own in periods)}"


def _limits(section: SplitSection) -> tuple[Period, Period]:
    """The period before which train ends, and the period after which test starts; one follows from the other."""
    before, after = (read_period(text) if text else None for text in (section.train_before, section.test_after))
    if before is None:
        assert after is not None
        before = Period(after.last + timedelta(days=1), after.last + timedelta(days=1))
    if after is None:
        after = Period(before.first - timedelta(days=1), before.first - timedelta(days=1))
    return before, after


def _part_of(period: Period, start: Period, end: Period) -> str:
    """The part of a date. A month or year that reaches into another period is in neither."""
    if period.last < start.first:
        return "train"
    return "test" if period.first > end.last else "between"


# -- columns


def _values(examples: Sequence[Example], column: str) -> dict[str, str]:
    """Return the value of each example in a column, by example id; empty if it has none."""
    if column in _OWN_COLUMNS:
        return {example.id: getattr(example, column) for example in examples}
    known = sorted({name for example in examples for name in example.metadata})
    if column not in known:
        columns = [*_OWN_COLUMNS, *known]
        raise ExperimentError(
            f'split.by = "{column}": the data have no column of this name{did_you_mean(column, columns)}. Their '
            f"columns: {', '.join(columns)}."
        )
    return {example.id: example.metadata.get(column, "") for example in examples}


def _complete(
    examples: Sequence[Example], values: Mapping[str, object], section: SplitSection, what: str, keys: str
) -> tuple[list[Example], list[str]]:
    """Return the examples with a value, and a note on the others.

    Raises:
        ExperimentError: an example has none, and the experiment does not say that such examples are left out.
    """
    kept = [example for example in examples if values[example.id]]
    lacking = [example for example in examples if not values[example.id]]
    if not lacking:
        return kept, []
    shown = ", ".join(_described(example) for example in lacking[:_SHOWN])
    have = counted(len(lacking), "example has", "examples have")
    if section.missing == "refuse" or not kept:
        raise ExperimentError(
            f"split.{keys}: {have} no {what}: {shown}{', ...' if len(lacking) > _SHOWN else ''}. Add what is missing, "
            'or leave these examples out with split.missing = "leave_out".'
        )
    return kept, [f"{have} no {what} and {'was' if len(lacking) == 1 else 'were'} left out"]


def _described(example: Example) -> str:
    return f"{example.id} ('{example.date[:20]}')" if example.date else example.id


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


# -- leaks


def _without_leaks(parts: Parts, notes: list[str]) -> Parts:
    """Return the parts without the train and validation examples that leak from test; adds a note on them."""
    kept: Parts = {"train": [], "validation": [], "test": list(parts["test"])}
    found: Counter[str] = Counter()
    for name in ("train", "validation"):
        leaks = _leaks(parts[name], parts["test"])
        kept[name] = [example for position, example in enumerate(parts[name]) if position not in leaks]
        found.update(leaks.values())
    # A test sentence must not be known from validation either, which tunes the thresholds; nor validation from train.
    leaks = _leaks(kept["train"], kept["validation"])
    kept["train"] = [example for position, example in enumerate(kept["train"]) if position not in leaks]
    found.update(leaks.values())
    if found:
        reasons = " and ".join(counted(n, *_LEAKS[reason]) for reason, n in sorted(found.items()))
        notes.append(f"left out of train and validation, because the model would know test: {reasons}")
    return kept


def _refuse_nothing_left(learned: Sequence[Example], what: str, part: str) -> None:
    if not learned:
        raise ExperimentError(
            f"split: {what} is in a document of {part}, or repeats one of its sentences. Divide in another way, or "
            "check the column `document_id`: a document should be one article."
        )


def _leaks(learned: Sequence[Example], test: Sequence[Example]) -> dict[int, str]:
    """The positions in `learned` of sentences of test documents, and of near-duplicates of test sentences."""
    documents = {example.document_id for example in test}
    same = {place: "document" for place, one in enumerate(learned) if one.document_id in documents}
    near = near_duplicates_of([example.text for example in learned], [example.text for example in test])
    return dict.fromkeys(near, "near-duplicate") | same
