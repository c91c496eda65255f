"""Regressions on labels: moment equations, standard errors, formulas, covariates, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from labels.errors import DataError, InputError
from tests.trainer.estimate.test_sources import DRAWN, N, corpus, sampled, write
from trainer.cli import app
from trainer.estimate.given.opening import Sources
from trainer.estimate.regressions.regression import Family, Labelled, fit, pseudo_outcomes
from trainer.estimate.sources import regress

Rows = list[dict[str, Any]]


def covariates(change: Callable[[Rows], object] = lambda rows: None) -> Path:
    """A covariate of each document and a group of documents."""
    generator = np.random.default_rng(3)
    rows: Rows = [
        {"document_id": f"d{i}", "after": int(i >= 30), "tone": f"{generator.normal():.3f}", "desk": "abc"[i % 3]}
        for i in range(60)
    ]
    change(rows)
    return write("covariates.csv", rows)


@pytest.fixture
def sources() -> Sources:
    rows, gold = corpus()
    return Sources(write("predictions.csv", rows), sample=write("sample.csv", sampled(gold)))


def completely_labelled() -> Sources:
    rows, gold = corpus()
    sample = [
        {"sentence_id": f"s{i}", "labels": "|".join(n for n, own in zip(("aid", "truce"), g, strict=True) if own),
         "inclusion_probability": 1}
        for i, g in enumerate(gold)
    ]  # fmt: skip
    return Sources(write("predictions.csv", rows), sample=write("sample.csv", sample))


@pytest.mark.parametrize("family", ["linear", "logit"])
def test_with_all_labels_known_it_is_the_regression_of_statsmodels(isolated: Path, family: Family) -> None:
    models = pytest.importorskip("statsmodels.api")
    import pandas as pd

    found = regress("aid ~ after + tone + desk", completely_labelled(), data=covariates(), family=family).regression
    rows, gold = corpus()
    table = pd.read_csv("covariates.csv").set_index("document_id")
    own = table.loc[[row["document_id"] for row in rows]].reset_index()
    design = np.column_stack([np.ones(N), own["after"], own["tone"], own["desk"] == "b", own["desk"] == "c"])
    y, groups = gold[:, 0].astype(float), pd.factorize(own["document_id"])[0]
    cluster = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    oracle = models.OLS(y, design) if family == "linear" else models.GLM(y, design, models.families.Binomial())
    expected = oracle.fit(**cluster)
    assert [one.name for one in found.coefficients] == ["Intercept", "after", "tone", "desk[T.b]", "desk[T.c]"]
    assert [one.estimate for one in found.coefficients] == pytest.approx(expected.params.tolist(), abs=1e-8)
    # For a logit, statsmodels also corrects for the number of coefficients, which R's sandwich does not.
    factor = 1.0 if family == "linear" else ((N - 5) / (N - 1)) ** 0.5
    errors = [one.error for one in found.coefficients]
    assert errors == pytest.approx((expected.bse * factor).tolist(), rel=1e-6)


def labelled_part(gold: np.ndarray, places: np.ndarray, weights: np.ndarray) -> Labelled:
    n = len(places)
    return Labelled(places, gold[places], weights, np.arange(n), np.zeros(n, dtype=int), np.array([n / len(gold)]))


def test_pseudo_outcomes_have_the_mean_of_gold_whatever_the_predictions() -> None:
    generator = np.random.default_rng(1)
    gold = (generator.random(2000) < 0.3).astype(float)
    documents = np.arange(2000) // 10
    for predicted in (np.clip(gold * 0.6 + 0.2, 0, 1), 1 - gold, generator.random(2000)):
        means = []
        for number in range(200):
            places = np.random.default_rng(number).choice(2000, 200, replace=False)
            found, _ = pseudo_outcomes(
                predicted, labelled_part(gold, places, np.full(200, 10.0)), documents, seed=number
            )
            means.append(found.mean())
        assert np.mean(means) == pytest.approx(gold.mean(), abs=0.008)


def test_errors_that_depend_on_a_covariate_bias_predictions_but_not_the_corrected_coefficient() -> None:
    generator = np.random.default_rng(5)
    n, size = 6000, 600
    x = generator.random(n) < 0.5
    gold = (generator.random(n) < 0.3).astype(float)  # x has no effect
    predicted = np.clip(np.where(gold == 1, 0.8, 0.1 + 0.4 * x), 0, 1)  # but many false alarms
    design, documents = np.column_stack([np.ones(n), x]), np.arange(n) // 3
    naive = fit(design, (predicted >= 0.5).astype(float), documents, "linear").values[1]
    truth = fit(design, gold, documents, "linear").values[1]
    assert naive > truth + 0.3
    covered, values = 0, []
    for number in range(200):
        places = np.random.default_rng(number).choice(n, size, replace=False)
        labelled = labelled_part(gold, places, np.full(size, n / size))
        outcome, parts = pseudo_outcomes(predicted, labelled, documents, seed=number)
        found = fit(design, outcome, documents, "linear", sampled=(parts, labelled, places))
        low, high = found.intervals(0.95)
        covered += bool(low[1] <= truth <= high[1])
        values.append(found.values[1])
    assert np.mean(values) == pytest.approx(truth, abs=0.01)
    assert covered >= 180


def test_the_command_writes_coefficients_and_pseudo_outcomes(sources: Sources) -> None:
    covariates()
    done = CliRunner().invoke(
        app,
        ["estimate", "predictions.csv", "--sample", "sample.csv", "--regress", "aid ~ after + desk", "--data",
         "covariates.csv", "--out", "regression", "--pseudo-outcomes", "pseudo.csv"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "desk[T.b]" in done.output
    assert sorted(path.name for path in Path("regression").iterdir()) == [
        "coefficients.csv", "methods.md", "regression.json",
    ]  # fmt: skip
    import pandas as pd

    table = pd.read_csv("pseudo.csv")
    assert len(table) == N
    design = np.column_stack([np.ones(N), table["after"], table["desk"] == "b", table["desk"] == "c"])
    found = regress("aid ~ after + desk", sources, data="covariates.csv").regression
    values = np.linalg.lstsq(design, table["pseudo_outcome"], rcond=None)[0]
    assert [one.estimate for one in found.coefficients] == pytest.approx(values.tolist())
    assert found.labelled == DRAWN


def test_rows_may_be_documents_or_periods(sources: Sources) -> None:
    documents = regress("aid ~ after", sources, data=covariates(), row="document").regression
    assert (documents.rows, documents.clusters) == (60, 60)
    months = write("months.csv", [{"period": f"2026-0{i}", "summit": int(i == 2)} for i in (1, 2, 3)])
    rows, gold = corpus()
    periods = regress("aid ~ summit", sources, data=months, row="period", by="month").regression
    assert periods.rows == 3
    by_month = [gold[[row["date"][:7] == f"2026-0{i}" for row in rows], 0].mean() for i in (1, 2, 3)]
    expected = by_month[1] - (by_month[0] + by_month[2]) / 2
    assert periods.coefficients[1].estimate == pytest.approx(expected, abs=0.2)


def test_covariates_may_be_columns_of_the_predictions(sources: Sources) -> None:
    found = regress("aid ~ source", sources).regression
    assert [one.name for one in found.coefficients] == ["Intercept", "source[T.wire]"]


def test_zero_and_false_in_jsonl_are_values(sources: Sources) -> None:
    rows, _ = corpus()
    lines = []
    for row in rows:
        own = {key: value for key, value in row.items() if not key.startswith("p:")}
        own |= {
            "labels": [one for one in str(row["labels"]).split("|") if one],
            "after": int(row["document_id"][1:]) % 2,
        }
        own |= {"quiet": own["after"] == 0}
        lines.append(own | {"probabilities": {key[2:]: float(row[key]) for key in row if key.startswith("p:")}})
    path = Path("zeros.jsonl")
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for formula in ("aid ~ after", "aid ~ quiet"):
        assert regress(formula, replace(sources, predictions=path)).regression.rows == N


def test_a_column_that_differs_within_a_document_is_no_covariate_of_documents(sources: Sources) -> None:
    rows, _ = corpus()
    for i, row in enumerate(rows):
        row["speaker"] = "ab"[i % 2]
    several = replace(sources, predictions=write("speakers.csv", rows))
    assert regress("aid ~ speaker", several).regression.rows == N
    with pytest.raises(InputError, match="`speaker` differs between the sentences of document 'd0'"):
        regress("aid ~ speaker", several, row="document")


def test_rows_with_an_empty_cell_are_left_out_and_counted(sources: Sources) -> None:
    path = covariates(lambda rows: rows[4].update(tone=""))
    found = regress("aid ~ tone", sources, data=path).regression
    assert found.rows == N - 10
    assert any("10 rows without a value" in note for note in found.notes)


@pytest.mark.parametrize(
    ("formula", "change", "options", "message"),
    [
        ("aid", lambda rows: None, {}, "write a label, ~, and covariates"),
        ("ade ~ after", lambda rows: None, {}, "no label 'ade' .did you mean 'aid'"),
        ("aid ~ afer", lambda rows: None, {}, "no column `afer`"),
        ("aid ~ after", lambda rows: rows.pop(), {}, "10 of 600 rows in the corpus lack covariates"),
        ("aid ~ after", lambda rows: rows.append(rows[0]), {}, "'d0' occurs twice"),
        ("aid ~ after", lambda rows: [row.update(document_id=row["tone"]) for row in rows], {}, "no `document_id`"),
        ("aid ~ after", lambda rows: [row.pop("document_id") for row in rows], {}, "there is no column `sentence_id`"),
        ("aid ~ after + I(after)", lambda rows: None, {}, "the function `I` is not available"),
        ("aid ~ np.log(tone)", lambda rows: None, {}, "Compute other transformations"),
        ("aid ~ after.__class__", lambda rows: None, {}, "Compute other transformations"),
        ("aid ~ after + C(after)", lambda rows: None, {}, "collinear"),
        ("aid ~ after (", lambda rows: None, {}, "not available|cannot be evaluated"),
        ("aid ~ after", lambda rows: None, {"row": "period"}, "--by year, quarter"),
        ("aid ~ after", lambda rows: None, {"row": "paragraph"}, "Choose one of sentence, document, period"),
        ("aid ~ after", lambda rows: None, {"missing": "worst"}, "Choose --missing at-random"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_repair(
    sources: Sources, formula: str, change: Callable[[Rows], object], options: dict[str, Any], message: str
) -> None:
    with pytest.raises((InputError, DataError), match=message):
        regress(formula, sources, data=covariates(change), **options)


def test_a_logit_without_a_solution_is_refused(isolated: Path) -> None:
    def separate(rows: Rows) -> None:
        for i, row in enumerate(rows):
            row["only"] = int(i < 2)

    rows, _ = corpus()
    gold = np.zeros((N, 2), dtype=bool)
    gold[20::3, 0] = True  # none in the first two documents
    sample = [
        {"sentence_id": f"s{i}", "labels": "aid" if gold[i, 0] else "", "inclusion_probability": 1} for i in range(N)
    ]
    sources = Sources(write("predictions.csv", rows), sample=write("sample.csv", sample))
    with pytest.raises(InputError, match="the logit has no solution"):
        regress("aid ~ only", sources, data=covariates(separate), family="logit")


def test_options_for_shares_and_for_regressions_do_not_mix(sources: Sources) -> None:
    arguments = ["estimate", "predictions.csv", "--sample", "sample.csv"]
    for more, message in ((["--data", "covariates.csv"], "applies only to a regression"),
                          (["--regress", "aid ~ source", "--unit", "documents"], "applies to shares")):  # fmt: skip
        done = CliRunner().invoke(app, [*arguments, *more])
        assert done.exit_code == 2
        assert message in " ".join(done.output.split())
