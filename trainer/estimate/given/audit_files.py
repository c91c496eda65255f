"""A labelled probability sample from a file with inclusion probabilities."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from labels.environment.settings import command
from labels.errors import DataError, counted, did_you_mean
from labels.text.cells import merge_key, without_none
from labels.text.rows import Row, read_rows
from trainer.estimate.estimators import Floats
from trainer.estimate.given.audits import NOT_A_SENTENCE, UNFINISHED, UNSEEN, Audit

_OPEN = (UNSEEN, UNFINISHED)
"""States of rows that nobody has read yet, as `communique audit plan` writes them."""
_OUTSIDE = ("not_a_sentence", NOT_A_SENTENCE)
"""States of drawn spans that do not belong to the corpus."""
_ROUNDING = 0.0005
"""By how much a probability with three decimals may be rounded."""
_MOST_STRATA = 50
"""Maximum number of different probabilities that are taken for those of strata."""


@dataclass
class _Rows:
    """The columns of a sample in a file, one value per drawn sentence; `sizes` is by stratum."""

    path: Path
    ids: list[str] = field(default_factory=list)
    gold: list[list[float] | None] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    strata: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    sizes: dict[str, float] = field(default_factory=dict)
    codebooks: set[str] = field(default_factory=set)
    outside: list[bool] = field(default_factory=list)

    def add(self, row: Row, labels: Sequence[str], where: str) -> None:
        found = _gold(row, labels, where)
        self.outside.append(_state(row) in _OUTSIDE)
        if self.outside[-1]:
            found = [0.0] * len(labels)
        self.ids.append(str(row["sentence_id"]))
        self.gold.append(found)
        self.reasons.append("" if found is not None else _state(row) or UNFINISHED)
        self.strata.append(str(row.get("stratum") or ""))
        self.clusters.append(str(row.get("cluster") or ""))
        self.chances.append(_probability(row, where))
        if row.get("stratum_size") not in (None, ""):
            size = _size(row["stratum_size"], where)
            if self.sizes.setdefault(self.strata[-1], size) != size:
                raise DataError(
                    f"{where}: stratum '{self.strata[-1]}' has another `stratum_size` above. Fix the sizes."
                )
        if row.get("codebook_hash"):
            self.codebooks.add(str(row["codebook_hash"]))


def read_audit(path: Path, labels: Sequence[str]) -> Audit:
    """Read a labelled sample from a .csv, .jsonl or .parquet file with one row per drawn sentence.

    Columns: `sentence_id`; `labels` (a list, or joined by `|`; `none` for no label), or a column of 0 and 1 for each
    label; the probability of being drawn as `inclusion_probability`; and, where they apply, `stratum`, `stratum_size`
    (sentences, or clusters, in the stratum), `cluster` and `codebook_hash`. An empty cell in `labels` is a sentence
    without labels if `state` says "reviewed" or there is no such column. A row that is "unseen" or "unfinished"
    counts if its labels are filled in; spans in state "not_a_sentence" do not belong to the corpus; other states are
    sentences without gold.

    Raises:
        DataError: the file cannot be read, has no rows, lacks a column, names an unknown label, a probability is
            missing or not in (0, 1], sizes and probabilities contradict each other, or it is not clear which rows
            were read.
    """
    rows = list(read_rows(path))
    if not rows:
        raise DataError(f"{path}: there are no rows. Give one row per drawn sentence.")
    _check_names(path, list(dict.fromkeys(name for _, row in rows for name in row)), labels)
    found = _Rows(path)
    for number, row in rows:
        found.add(row, labels, _place(path, number, row))
    _refuse_half_filled(path, [row for _, row in rows])
    if repeated := [one for one, n in Counter(found.ids).items() if n > 1]:
        raise DataError(f"{path}: sentence '{repeated[0]}' occurs twice. Keep one row per drawn sentence.")
    if len(found.codebooks) > 1:
        raise DataError(f"{path}: the rows have several values of `codebook_hash`. Code the sample with one codebook.")
    return _audit_of_rows(found, labels, _probability_strata(found))


def _place(path: Path, number: int, row: Row) -> str:
    """Where a row is. The id is named too: a spreadsheet counts rows, an editor also the lines of a cell."""
    return f"{DataError.place(path, number)}, sentence '{row.get('sentence_id') or ''}'"


def _refuse_half_filled(path: Path, rows: Sequence[Row]) -> None:
    """Refuse labels in unseen rows if blank cells in others may mean that a person found no label."""
    cells = [str(row["labels"] or "").strip() for row in rows if _state(row) in _OPEN and "labels" in row]
    filled = [cell for cell in cells if cell and cell != "[]"]
    if filled and len(filled) < len(cells) and not any(merge_key(cell) == "none" for cell in filled):
        raise DataError(
            f"{path}: {counted(len(filled), 'row has', 'rows have')} labels although `state` is unseen or unfinished, "
            f"and {len(cells) - len(filled)} such rows have none, so it is not clear which were read. Set `state` to "
            "reviewed in each row that was read, or write `none` in `labels` where no label applies."
        )


def _probability_strata(rows: _Rows) -> bool:
    """Name strata by the probabilities if strata were left out; returns whether that was done.

    Leaving out the column must not change the figures. Treated as one stratum, rows with large weights of which none is
    positive would look like sentences that never are, and the upper bounds would be missed too often.
    """
    names = Counter(f"probability {chance:.4g}" for chance in rows.chances)
    left_out = not (any(rows.strata) or any(rows.clusters) or rows.sizes)
    if not left_out or not 1 < len(names) <= _MOST_STRATA or min(names.values()) < 2:
        return False
    rows.strata = [f"probability {chance:.4g}" for chance in rows.chances]
    return True


def _audit_of_rows(rows: _Rows, labels: Sequence[str], by_probability: bool) -> Audit:
    keys = [
        (stratum, cluster or one) for stratum, cluster, one in zip(rows.strata, rows.clusters, rows.ids, strict=True)
    ]
    units = dict(zip(keys, rows.chances, strict=True))
    numbers = {key: number for number, key in enumerate(units)}
    names = list(dict.fromkeys(stratum for stratum, _ in units))
    stratum = np.array([names.index(one) for one, _ in units], dtype=int)
    chances = np.array(list(units.values()))
    drawn = np.bincount(stratum, minlength=len(names)).astype(float)
    totals = np.bincount(stratum, 1 / chances, minlength=len(names))
    known = np.array([rows.sizes.get(name, total) for name, total in zip(names, totals, strict=True)])
    for number, name in enumerate(names):
        if name in rows.sizes:
            _refuse_contradiction(rows.path, name, rows.sizes[name], chances[stratum == number])
    sized = np.array([name in rows.sizes for name in names])[stratum]
    # What independent draws with these probabilities, or rounded ones, may differ from the true size.
    spread = 3 * float(np.sqrt(((1 - chances) / chances**2)[~sized].sum()))
    note = "the sample has no column `stratum`; rows with equal inclusion probabilities were taken as a stratum"
    return Audit(
        tuple(labels),
        rows.ids,
        np.array([[np.nan] * len(labels) if one is None else one for one in rows.gold], dtype=float),
        rows.reasons,
        np.array([numbers[key] for key in keys], dtype=int),
        1 / chances,
        stratum,
        names,
        drawn,
        np.minimum(drawn / known, 1.0),
        # Sizes of strata of clusters are numbers of clusters.
        frame=None if any(rows.clusters) else float(known.sum()),
        slack=max(spread, 0.5),
        codebook_hash=next(iter(rows.codebooks), ""),
        notes=[note] if by_probability else [],
        outside=np.array(rows.outside) if any(rows.outside) else None,
        provenance={"gold": str(rows.path), "inclusion probabilities": str(rows.path)},
    )


def _refuse_contradiction(path: Path, name: str, size: float, chances: Floats) -> None:
    """Refuse a stratum whose number of units contradicts its size and its probabilities.

    Raises:
        DataError: there are more units than the size, or equal probabilities give another number of them.
    """
    n, chance = len(chances), float(chances[0])
    if n > size + 0.5:
        raise DataError(
            f"{path}: stratum '{name}' has more sentences in the sample than its `stratum_size`. Fix the size."
        )
    if np.ptp(chances) <= _ROUNDING and abs(chance * size - n) > 0.5 + _ROUNDING * size:
        raise DataError(
            f"{path}: stratum '{name or 'all'}' has {n} of {size:g} in the sample, a share of {n / size:.4g}, but its "
            f"`inclusion_probability` is {chance:.4g}. Keep one row per drawn sentence, also for those without labels "
            "(say why in `state`, e.g. skipped), and give the share of the stratum that was drawn."
        )


def _check_names(path: Path, names: Sequence[str], labels: Sequence[str]) -> None:
    if "sentence_id" not in names:
        raise DataError(
            f"{path}: there is no column `sentence_id`{did_you_mean('sentence_id', names)}. Add the ids of the "
            f"predictions. Columns: {', '.join(names)}."
        )
    if "inclusion_probability" not in names:
        raise DataError(
            f"{path}: there is no column `inclusion_probability`, so nothing is known about the sentences that were "
            "not drawn, and no interval is valid. Add the probability with which each sentence was drawn; if the "
            "sentences were chosen by hand, by search or by a model's uncertainty, draw a new sample with "
            f"`{command('label', '--strategy', 'audit')}`."
        )
    if "labels" not in names and not all(label in names for label in labels):
        missing = next(label for label in labels if label not in names)
        raise DataError(
            f"{path}: there is neither a column `labels` nor one named '{missing}'{did_you_mean(missing, names)}. Add "
            "the gold labels."
        )


def _gold(row: Row, labels: Sequence[str], where: str) -> list[float] | None:
    state = _state(row) or "reviewed"
    cells = [row["labels"]] if "labels" in row else [row.get(label) for label in labels]
    is_filled = any(cell not in (None, "", []) for cell in cells)
    if state != "reviewed" and not (state in _OPEN and is_filled):
        return None
    if "labels" not in row:
        return [_flag(row.get(label), label, where) for label in labels]
    value = row["labels"]
    given = value if isinstance(value, list) else [one.strip() for one in str(value or "").split("|") if one.strip()]
    given = given if "none" in labels else list(without_none(given, where))
    for one in given:
        if one not in labels:
            raise DataError(
                f"{where}: '{one}' is not a label of the predictions{did_you_mean(one, labels)}. Their labels: "
                f"{', '.join(labels)}. Use a sample coded with the codebook of the model."
            )
    return [float(label in given) for label in labels]


def _state(row: Row) -> str:
    return str(row.get("state") or "").strip().lower()


def _flag(value: Any, label: str, where: str) -> float:
    if str(value).strip().lower() in ("0", "0.0", "false"):
        return 0.0
    if str(value).strip().lower() in ("1", "1.0", "true"):
        return 1.0
    raise DataError(f"{where}: `{label}` must be 0 or 1, not {value!r:.40}. Fix the cell.")


def _probability(row: Row, where: str) -> float:
    value = row.get("inclusion_probability")
    number = _finite(value)
    if number is None or not 0 < number <= 1:
        raise DataError(
            f"{where}: `inclusion_probability` must be in (0, 1], not {value!r:.40}. A sentence that could not be "
            "drawn is not part of a sample: remove the row, or give the probability with which it was drawn."
        )
    return number


def _size(value: Any, where: str) -> float:
    number = _finite(value)
    if number is None or number < 1:
        raise DataError(f"{where}: `stratum_size` must be a number of sentences, not {value!r:.40}. Fix the cell.")
    return number


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
