"""How sentences were coded, by a model or by people, as `communique bridge` compares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labels.errors import DataError
from labels.text.rows import read_rows
from trainer.estimate.estimators import Floats
from trainer.estimate.given.audit_files import read_audit
from trainer.estimate.given.predictions import read_predictions


@dataclass(frozen=True)
class Coding:
    """How n sentences were coded: labels of shape (n, L), their documents, and their weights of shape (n,)."""

    labels: tuple[str, ...]
    ids: Sequence[str]
    documents: Sequence[str]
    values: Floats
    weights: Floats
    source: str


def read_coding(path: Path, labels: Sequence[str] = ()) -> Coding:
    """Read how sentences were coded: a file of `communique predict`, or a coded table with inclusion probabilities.

    Args:
        labels: of a coded table; empty for all labels that occur in it.

    Raises:
        DataError: the file cannot be read, or is neither.
    """
    rows = [row for _, row in read_rows(path)] if path.suffix.lower() != ".parquet" else []
    if not rows or any(name.startswith("p:") or name == "probabilities" for name in rows[0]):
        found = read_predictions(path)
        ids, documents = [str(one) for one in found.ids], [str(one) for one in found.documents]
        return Coding(found.labels, ids, documents, found.assigned.astype(float), np.ones(len(ids)), str(path))
    names = tuple(labels) or _labels_in(rows)
    for row in rows:
        if "inclusion_probability" not in row:
            raise DataError(
                f"{path}: there is neither a probability for each label (as in a file of `communique predict`) nor a "
                "column `inclusion_probability` (as in a coded sample). Add one of them."
            )
    audit = read_audit(path, names)
    own = {str(row["sentence_id"]): str(row.get("document_id") or row["sentence_id"]) for row in rows}
    known = np.atleast_1d(~np.isnan(audit.gold).any(axis=1))
    ids = [one for one, has in zip(audit.ids, known, strict=True) if has]
    weights = audit.weights[audit.unit][known]
    return Coding(names, ids, [own[one] for one in ids], audit.gold[known], weights, str(path))


def _labels_in(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for row in rows:
        value = row.get("labels")
        parts = value if isinstance(value, list) else str(value or "").split("|")
        found |= dict.fromkeys(str(one).strip() for one in parts if str(one).strip() not in ("", "none"))
    return tuple(sorted(found))
