"""A labelled probability sample from a file with inclusion probabilities."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labels.environment.settings import command
from labels.errors import DataError, did_you_mean
from labels.text.rows import Row, read_rows
from trainer.estimate.estimators import Floats
from trainer.estimate.given.audits import UNFINISHED, Audit


def read_audit(path: Path, labels: Sequence[str]) -> Audit:
    """Read a labelled sample from a .csv, .jsonl or .parquet file with one row per drawn sentence.

    Columns: `sentence_id`; `labels` (a list, or joined by `|`), or a column of 0 and 1 for each label; the probability
    of being drawn as `inclusion_probability`; and, where they apply, `stratum`, `stratum_size` (sentences, or clusters,
    in the stratum) and `cluster`. An empty cell in `labels` is a sentence without labels if `state` says "reviewed" or
    there is no such column; other states are sentences without gold.

    Raises:
        DataError: the file cannot be read, lacks a column, names an unknown label, or a probability is missing or not
            in (0, 1].
    """
    rows = list(read_rows(path))
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    _check_names(path, names, labels)
    gold = np.full((len(rows), len(labels)), np.nan)
    reasons, keys, chances, sizes = [], [], [], {}
    for place, (number, row) in enumerate(rows):
        where = DataError.place(path, number)
        found = _gold(row, labels, where)
        if found is not None:
            gold[place] = found
        reasons.append("" if found is not None else str(row.get("state") or UNFINISHED))
        stratum, cluster = str(row.get("stratum") or ""), str(row.get("cluster") or "")
        keys.append((stratum, cluster or str(row["sentence_id"])))
        chances.append(_probability(row, where))
        if row.get("stratum_size") not in (None, ""):
            sizes[stratum] = _size(row["stratum_size"], where)
    return _audit_of_rows(
        path, labels, [str(row["sentence_id"]) for _, row in rows], gold, reasons, keys, chances, sizes
    )


def _audit_of_rows(
    path: Path,
    labels: Sequence[str],
    ids: Sequence[str],
    gold: Floats,
    reasons: Sequence[str],
    keys: Sequence[tuple[str, str]],
    chances: Sequence[float],
    sizes: Mapping[str, float],
) -> Audit:
    if repeated := [one for one, n in Counter(ids).items() if n > 1]:
        raise DataError(f"{path}: sentence '{repeated[0]}' occurs twice. Keep one row per drawn sentence.")
    units = dict(zip(keys, chances, strict=True))
    numbers = {key: number for number, key in enumerate(units)}
    names = list(dict.fromkeys(stratum for stratum, _ in units))
    stratum = np.array([names.index(one) for one, _ in units], dtype=int)
    weights = 1 / np.array(list(units.values()))
    drawn = np.bincount(stratum, minlength=len(names)).astype(float)
    totals = np.bincount(stratum, weights, minlength=len(names))
    known = np.array([sizes.get(name, total) for name, total in zip(names, totals, strict=True)])
    if (drawn > known + 0.5).any():
        name = names[int((drawn > known + 0.5).argmax())]
        raise DataError(
            f"{path}: stratum '{name}' has more sentences in the sample than its `stratum_size`. Fix the size."
        )
    return Audit(
        tuple(labels),
        ids,
        gold,
        reasons,
        np.array([numbers[key] for key in keys], dtype=int),
        weights,
        stratum,
        names,
        drawn,
        np.minimum(drawn / known, 1.0),
        provenance={"gold": str(path), "inclusion probabilities": str(path)},
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
    if str(row.get("state") or "reviewed") != "reviewed":
        return None
    if "labels" not in row:
        return [_flag(row.get(label), label, where) for label in labels]
    value = row["labels"]
    given = value if isinstance(value, list) else [one.strip() for one in str(value or "").split("|") if one.strip()]
    for one in given:
        if one not in labels:
            raise DataError(
                f"{where}: '{one}' is not a label of the predictions{did_you_mean(one, labels)}. Their labels: "
                f"{', '.join(labels)}. Use a sample coded with the codebook of the model."
            )
    return [float(label in given) for label in labels]


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
