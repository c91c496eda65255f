"""The covariates of a regression: its formula, its rows, and their values from a table or from the predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from labels.errors import DataError, InputError, counted, did_you_mean
from labels.text.rows import read_rows
from trainer.estimate.estimators import Floats, Ints
from trainer.estimate.given.domains import PERIODS, groups_of
from trainer.estimate.given.predictions import Predictions
from trainer.estimate.regressions.regression import Family

if TYPE_CHECKING:
    import pandas as pd

RowUnit = Literal["sentence", "document", "period"]
ROWS: Mapping[RowUnit, str] = {
    "sentence": "a sentence; standard errors are clustered by document",
    "document": "a document; its outcome is the share of its sentences with the label",
    "period": "a period; its outcome is the share of its sentences with the label",
}
_FUNCTIONS = ("C", "log", "log10", "exp", "poly", "bs", "center", "scale")
_ALLOWED = re.compile(r"[\w\s+\-*:/^()~.,=]*")


@dataclass(frozen=True)
class Question:
    """A regression to estimate: a formula such as `aid_pledge ~ after_summit + source`, and how.

    `data` is a table of covariates with the column `sentence_id`, `document_id` or, for periods, `period`; None for the
    columns of the predictions alone. `by` is the length of the periods.
    """

    formula: str
    data: Path | None = None
    family: Family = "linear"
    row: RowUnit = "sentence"
    by: str = ""

    @property
    def sides(self) -> tuple[str, str]:
        """The label, and the formula of the covariates.

        Raises:
            InputError: it is not a formula with both, or it has more than variables, operators and `_FUNCTIONS`.
        """
        left, tilde, right = self.formula.partition("~")
        if not tilde or not left.strip() or not right.strip() or "~" in right:
            raise InputError(
                f"--regress {self.formula!r}: write a label, ~, and covariates, e.g. 'aid_pledge ~ after_summit + "
                "source'."
            )
        # Formulas are evaluated as Python, so anything else than names, numbers and operators is refused.
        if not _ALLOWED.fullmatch(right) or "__" in right or re.search(r"[^\W\d]\w*\s*\.", right):
            raise InputError(
                f"--regress {self.formula!r}: covariates may be joined by + - * : and may be transformed by "
                f"{', '.join(_FUNCTIONS)}. Compute other transformations as columns of the table."
            )
        for called in re.findall(r"([^\W\d]\w*)\s*\(", right):
            if called not in _FUNCTIONS:
                raise InputError(
                    f"--regress {self.formula!r}: the function `{called}` is not "
                    f"available{did_you_mean(called, _FUNCTIONS)}. Functions: {', '.join(_FUNCTIONS)}."
                )
        return left.strip(), right.strip()

    @property
    def variables(self) -> list[str]:
        """The names of the covariates in the formula."""
        names = dict.fromkeys(re.findall(r"(?<![\w.])[^\W\d]\w*(?!\w*\s*\()", self.sides[1]))
        # Words before = are arguments, such as df in bs(x, df=4).
        arguments = set(re.findall(r"([^\W\d]\w*)\s*=", self.sides[1]))
        return [name for name in names if name not in arguments]

    # -- rows

    def from_predictions(self) -> list[str]:
        """Return the covariates that the table lacks, which must be columns of the predictions.

        Raises:
            InputError: periods have no table with them.
            DataError: the table cannot be read.
        """
        known = set(_read_table(self.data).columns) if self.data else set()
        lacking = [name for name in self.variables if name not in known]
        if lacking and self.row == "period":
            raise InputError(
                f"--regress: there is no covariate `{lacking[0]}`{did_you_mean(lacking[0], sorted(known))}. Covariates "
                "of periods must be in a table with the column `period` (--data)."
            )
        return lacking


@dataclass(frozen=True)
class Rows:
    """The rows of a regression: the number of the row of each sentence (-1 without one), ids, and clusters of rows."""

    number: Ints
    ids: list[str]
    clusters: Ints
    key: str


def rows_of(predictions: Predictions, question: Question) -> Rows:
    """Return the rows of a regression.

    Raises:
        InputError: periods have no length.
        DataError: no date can be read.
    """
    import pandas as pd

    if question.row == "sentence":
        n = len(predictions.ids)
        ids = [str(one) for one in predictions.ids]
        return Rows(np.arange(n), ids, document_numbers(predictions), "sentence_id")
    if question.row == "document":
        number, names = pd.factorize(predictions.documents)
        return Rows(np.asarray(number, dtype=int), [str(one) for one in names], np.arange(len(names)), "document_id")
    if question.by not in PERIODS:
        raise InputError(f"--row period needs the length of the periods: --by {', '.join(PERIODS)}.")
    groups = groups_of(predictions, question.by)
    return Rows(groups.codes, list(groups.names), np.arange(len(groups.names)), "period")


def document_numbers(predictions: Predictions) -> Ints:
    """Return the number of the document of each sentence, of shape (N,)."""
    import pandas as pd

    return np.asarray(pd.factorize(predictions.documents)[0], dtype=int)


def covariates_of(predictions: Predictions, question: Question, rows: Rows) -> tuple[pd.DataFrame, Ints, list[str]]:
    """Return the covariates of the rows that have all of them, the numbers of these rows, and remarks.

    Raises:
        InputError: a covariate does not exist, or rows of the corpus are not in the table.
        DataError: the table cannot be read, has no ids, or has one twice.
    """
    import pandas as pd

    table = _read_table(question.data) if question.data else pd.DataFrame()
    wanted, own = question.variables, dict(predictions.columns)
    found: dict[str, Any] = {}
    notes: list[str] = []
    keys = [name for name in (rows.key, "document_id") if name in table.columns]
    if question.data is not None and (not keys or (question.row == "period" and keys[0] != "period")):
        raise DataError(
            f"{question.data}: there is no column `{rows.key}`"
            f"{' or `document_id`' if question.row == 'sentence' else ''} with the ids of the rows. Columns: "
            f"{', '.join(table.columns) or 'none'}."
        )
    first = np.full(len(rows.ids), -1)
    inside = rows.number >= 0
    first[rows.number[inside][::-1]] = np.flatnonzero(inside)[::-1]
    places = _places_in(table, keys[0], predictions, rows, first, question, notes) if keys else None
    for name in wanted:
        if name in table.columns and places is not None:
            values = table[name].to_numpy()
            found[name] = pd.Series([values[place] if place >= 0 else None for place in places])
        elif name in own and question.row != "period":
            _refuse_varying(name, own[name], rows)
            found[name] = pd.Series([own[name][place] or None for place in first])
        else:
            known = [*table.columns, *own]
            raise InputError(
                f"--regress: there is no covariate `{name}`{did_you_mean(name, known)}. Columns: "
                f"{', '.join(known) or 'none'}. Name a table with --data, or keep the column with `communique predict "
                f"--columns {name}`."
            )
    frame = pd.DataFrame({name: _typed(values) for name, values in found.items()}, index=range(len(rows.ids)))
    kept = np.flatnonzero(~frame.isna().any(axis=1).to_numpy()) if len(frame.columns) else np.arange(len(rows.ids))
    if lost := len(rows.ids) - len(kept):
        notes.append(f"{counted(lost, 'row')} without a value of a covariate {'is' if lost == 1 else 'are'} left out")
    if not len(kept):
        raise InputError("--regress: no row has a value of every covariate. Fill in the table, or remove a covariate.")
    return frame.iloc[kept].reset_index(drop=True), kept, notes


def _refuse_varying(name: str, values: Any, rows: Rows) -> None:
    """Refuse a column of the predictions whose values differ within a row of the regression."""
    import pandas as pd

    known = pd.Series([str(one or "") for one in values])
    several = known.groupby(rows.number).nunique()
    if (several > 1).any():
        example = rows.ids[int(several.idxmax())]
        raise InputError(
            f"--regress: `{name}` differs between the sentences of document '{example}', so the document has no single "
            f"value. Use --row sentence, or a table with one row per document (--data)."
        )


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    rows = [dict(row) for _, row in read_rows(path)]
    if not rows:
        raise DataError(f"{path}: there are no rows. Give one row per sentence, document or period.")
    return pd.DataFrame(rows)


def _places_in(
    table: pd.DataFrame,
    key: str,
    predictions: Predictions,
    rows: Rows,
    first: Ints,
    question: Question,
    notes: list[str],
) -> Ints:
    """The place of each row of the regression in the table of covariates."""
    import pandas as pd

    ids = pd.Index([str(one) for one in table[key]])
    if ids.duplicated().any():
        raise DataError(
            f"{question.data}: `{key}` '{ids[int(ids.duplicated().argmax())]}' occurs twice. Keep one row for each."
        )
    wanted = rows.ids if key == rows.key else [str(one) for one in predictions.documents[first]]
    places = np.asarray(ids.get_indexer(wanted), dtype=int)
    missing = int((places < 0).sum())
    if missing == len(wanted):
        raise InputError(
            f"{question.data}: no `{key}` occurs in the corpus; the table has e.g. '{ids[0]}', the corpus e.g. "
            f"'{wanted[0]}'. Use the ids of the predictions."
        )
    if missing:
        example = wanted[int((places < 0).argmax())]
        raise InputError(
            f"{question.data}: {missing:,} of {counted(len(wanted), 'row')} in the corpus lack covariates, e.g. "
            f"{key} '{example}'. Add them to the table; empty cells leave a row out of the regression."
        )
    if unused := len(ids) - len(set(places.tolist())):
        notes.append(f"{counted(unused, 'row')} of {question.data} {'is' if unused == 1 else 'are'} not in the corpus")
    return places


def _typed(values: pd.Series) -> pd.Series:
    """Numbers as numbers; other values as text, with missing values."""
    import pandas as pd

    plain = values.map(lambda one: None if one is None or (isinstance(one, str) and not one.strip()) else one)
    numbers = pd.to_numeric(plain.map(lambda one: float(one) if isinstance(one, bool) else one), errors="coerce")
    if numbers.notna().sum() == plain.notna().sum() and plain.notna().any():
        return numbers.astype(float)
    truth = plain.map(lambda one: {"true": 1.0, "false": 0.0}.get(str(one).strip().lower()), na_action="ignore")
    if truth.notna().sum() == plain.notna().sum() and plain.notna().any():
        return truth.astype(float)
    return plain.map(lambda one: None if one is None or one != one else str(one)).astype(object)


def design_of(frame: pd.DataFrame, question: Question) -> tuple[Floats, list[str]]:
    """Return the covariates as a matrix, with the names of its columns.

    Raises:
        InputError: the formula cannot be evaluated on the table.
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        matrix = Formula(question.sides[1]).get_model_matrix(frame, na_action="raise", context={})
    except (FormulaicError, SyntaxError, NameError, TypeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"--regress {question.formula!r}: the formula cannot be evaluated ({reason}). Fix it."
        ) from None
    design = np.asarray(matrix, dtype=float)
    if not np.isfinite(design).all():
        column = list(matrix.columns)[int((~np.isfinite(design)).any(axis=0).argmax())]
        raise InputError(f"--regress {question.formula!r}: `{column}` is not finite in some rows. Fix the table.")
    if design.shape[1] >= len(design):
        raise InputError(
            f"--regress {question.formula!r}: {design.shape[1]} coefficients cannot be estimated from "
            f"{counted(len(design), 'row')}. Use fewer covariates, or categories with more rows each."
        )
    return design, [str(name) for name in matrix.columns]
