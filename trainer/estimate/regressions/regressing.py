"""From a formula and a table of covariates to a regression: rows, designs, and the result as it is published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from labels.errors import InputError, counted, did_you_mean
from trainer.estimate.checking import Choices, matched, refuse_missing, training_notes
from trainer.estimate.estimators import Bools, Floats, Ints
from trainer.estimate.given.audits import Audit
from trainer.estimate.given.covariates import (
    Question,
    Rows,
    RowUnit,
    covariates_of,
    design_of,
    document_numbers,
    rows_of,
)
from trainer.estimate.given.predictions import Predictions
from trainer.estimate.regressions.regression import Coefficients, Family, Labelled, fit, pseudo_outcomes

if TYPE_CHECKING:
    import pandas as pd

    from trainer.estimate.checking import Texts

FORMAT = 1


class Coefficient(BaseModel):
    """One coefficient: corrected, with its interval, and for comparison from predictions and from the sample alone."""

    model_config = ConfigDict(frozen=True)

    name: str
    estimate: float
    error: float
    low: float
    high: float
    p_value: float
    predictions: float | None
    predictions_error: float | None
    sample: float | None
    sample_error: float | None


class Regression(BaseModel):
    """An estimated regression, as written to `regression.json`."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    formula: str
    family: Family
    row: RowUnit
    label: str
    confidence: float
    rows: int
    clusters: int
    labelled: int
    positives: int
    coefficients: list[Coefficient]
    notes: list[str]
    provenance: dict[str, str]

    def table_rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row per coefficient, for a table."""
        for one in self.coefficients:
            yield {"formula": self.formula, "family": self.family, **one.model_dump()}

    def to_frame(self) -> pd.DataFrame:
        """Return the coefficients as a table, indexed by name."""
        import pandas as pd

        return pd.DataFrame([one.model_dump() for one in self.coefficients]).set_index("name")

    def __str__(self) -> str:
        return f"{self.family} regression, {self.formula}\n{self.to_frame().round(5).to_string()}"


@dataclass(frozen=True)
class Regressed:
    """A regression, and the table of its rows with their pseudo-outcomes."""

    regression: Regression
    pseudo: pd.DataFrame


def regress_from(
    predictions: Predictions, audit: Audit, question: Question, choices: Choices, texts: Texts | None = None
) -> Regressed:
    """Estimate a regression.

    Raises:
        InputError: as for `estimating.estimate_from`; or the formula, the label or the covariates are not usable.
        DataError: the table of covariates cannot be read.
    """
    label, _ = question.sides
    if label not in predictions.labels:
        raise InputError(
            f"--regress: the predictions have no label '{label}'{did_you_mean(label, predictions.labels)}. Labels: "
            f"{', '.join(predictions.labels)}."
        )
    predictions, places = matched(predictions, audit)
    notes = [*audit.notes, *predictions.notes, *training_notes(predictions, audit, places, choices, texts)]
    refuse_missing(audit, choices)
    if audit.outside is not None:
        what = counted(int(audit.outside.sum()), "drawn span was", "drawn spans were")
        notes.append(f"{what} marked as not a sentence, but treated as a sentence without labels")
    if choices.missing == "worst":
        raise InputError(
            "--missing worst gives bounds for shares, not for coefficients. Choose --missing at-random, or label the "
            "rest."
        )
    answered = audit.answered()
    answered.refuse_single_units()
    known = ~np.isnan(audit.gold).any(axis=1)
    i = predictions.labels.index(label)
    labelled = Labelled(
        places[known], answered.gold[:, i], answered.weights[answered.unit], answered.unit, answered.stratum,
        answered.fractions,
    )  # fmt: skip
    table = _table(predictions, question, notes)
    coefficients, outcome, used = _fitted(predictions, i, labelled, table, question, choices)
    regression = Regression(
        formula=question.formula,
        family=question.family,
        row=question.row,
        label=label,
        confidence=choices.confidence,
        rows=len(table.design),
        clusters=int(table.clusters.max()) + 1,
        labelled=int(used.sum()),
        positives=int(labelled.gold[used].sum()),
        coefficients=coefficients,
        notes=notes,
        provenance={"predictions": predictions.source, "model": predictions.model_id or "unknown", **audit.provenance}
        | ({"covariates": str(question.data)} if question.data else {}),
    )
    return Regressed(regression, _pseudo_table(predictions, question, table, outcome))


# -- the fit


@dataclass(frozen=True)
class _Table:
    """The rows of a regression that have all covariates: their numbers in `rows`, covariates, design and clusters."""

    rows: Rows
    kept: Ints
    frame: pd.DataFrame
    design: Floats
    names: Sequence[str]
    clusters: Ints

    def means(self, values: Floats) -> Floats:
        """Return the mean of values of sentences, of shape (N,), in each kept row."""
        inside, n = self.rows.number >= 0, len(self.rows.ids)
        sums = np.bincount(self.rows.number[inside], values[inside], n)
        return np.asarray(sums / np.maximum(np.bincount(self.rows.number[inside], minlength=n), 1))[self.kept]

    def places(self, sentences: Ints) -> tuple[Ints, Floats]:
        """Return the kept row of some sentences, -1 without one, and the size of that row in sentences."""
        n = len(self.rows.ids)
        place = np.full(n + 1, -1)
        place[self.kept] = np.arange(len(self.kept))
        number = self.rows.number[sentences]
        sizes = np.bincount(self.rows.number[self.rows.number >= 0], minlength=n + 1)
        return place[number], sizes[number].astype(float)


def _table(predictions: Predictions, question: Question, notes: list[str]) -> _Table:
    rows = rows_of(predictions, question)
    frame, kept, more = covariates_of(predictions, question, rows)
    notes += more
    design, names = design_of(frame, question)
    clusters = np.unique(rows.clusters[kept], return_inverse=True)[1]
    if int(clusters.max()) < 1:
        raise InputError("a regression needs at least two documents or periods, but there is only one. Add others.")
    return _Table(rows, kept, frame, design, names, clusters)


def _fitted(
    predictions: Predictions, i: int, labelled: Labelled, table: _Table, question: Question, choices: Choices
) -> tuple[list[Coefficient], Floats, Bools]:
    """The coefficients, the pseudo-outcomes of the rows, and which labelled sentences are in a row."""
    documents = document_numbers(predictions)
    p = predictions.probabilities[:, i].astype(np.float64)
    pseudo, parts = pseudo_outcomes(p, labelled, documents, choices.seed)
    place, sizes = table.places(labelled.places)
    used = place >= 0
    if not used.any():
        raise InputError(
            "no labelled sentence is in a row with covariates, so the errors of the predictions there are unknown. Add "
            "the covariates of labelled sentences to the table."
        )
    subset = replace(
        labelled,
        places=labelled.places[used],
        gold=labelled.gold[used],
        weights=labelled.weights[used],
        unit=labelled.unit[used],
    )
    outcome, family = table.means(pseudo), question.family
    sampled = (parts[used] / sizes[used], subset, place[used])
    main = fit(table.design, outcome, table.clusters, family, sampled=sampled)
    counts = table.means(predictions.assigned[:, i].astype(float))
    naive = _attempt(table.design, counts, table.clusters, family)
    alone = None
    if question.row == "sentence":
        own = np.unique(documents[subset.places], return_inverse=True)[1]
        alone = _attempt(table.design[place[used]], subset.gold, own, family, subset.weights)
    low, high = main.intervals(choices.confidence)
    p_values = main.p_values()
    made = [
        Coefficient(
            name=name,
            estimate=float(main.values[k]),
            error=float(main.errors[k]),
            low=float(low[k]),
            high=float(high[k]),
            p_value=float(p_values[k]),
            **_beside("predictions", naive, k),
            **_beside("sample", alone, k),
        )
        for k, name in enumerate(table.names)
    ]
    return made, outcome, np.asarray(used)


def _attempt(
    design: Floats, outcome: Floats, clusters: Ints, family: Family, weights: Floats | None = None
) -> Coefficients | None:
    """Fit a regression for comparison with the corrected one; return None if it cannot be estimated."""
    try:
        return fit(design, outcome, clusters, family, weights=weights)
    except (InputError, np.linalg.LinAlgError):
        return None


def _beside(name: str, found: Coefficients | None, k: int) -> dict[str, float | None]:
    if found is None:
        return {name: None, f"{name}_error": None}
    return {name: float(found.values[k]), f"{name}_error": float(found.errors[k])}


def _pseudo_table(predictions: Predictions, question: Question, table: _Table, outcome: Floats) -> pd.DataFrame:
    """The rows with their ids, pseudo-outcomes and covariates, for other programs."""
    made = table.frame.copy()
    made.insert(0, "pseudo_outcome", outcome)
    if question.row == "sentence":
        made.insert(0, "document_id", [str(one) for one in predictions.documents[table.kept]])
    made.insert(0, table.rows.key, [table.rows.ids[one] for one in table.kept])
    return made
