from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from labels.errors import DataError, ExperimentError
from labels.records import Example
from labels.text.labelled.label_values import LabelValue
from tests.conftest import make_examples, progress_reports
from tests.lazy import Lazy
from tests.trainer.conftest import MakeExperiment, disturbed, gold_of, write_examples
from trainer.calibration.calibration import Bools, Floats
from trainer.cli import app
from trainer.cli.train import print_learning_curve
from trainer.config.experiment import Experiment
from trainer.data.dataset import load_dataset
from trainer.evaluation.curve_figures import (
    CurveCounts,
    Figure,
    PowerLaws,
    drawn_figures,
    figure,
    fit_power_laws,
    look_ahead,
    measured_figures,
)
from trainer.evaluation.metrics import Counts, count, group_counts
from trainer.runs.evaluate import evaluate_model
from trainer.runs.fitting import fit_model
from trainer.runs.learning_curve import (
    CurveResult,
    LearningCurve,
    curve_shares,
    learning_curve,
    nested_subsets,
    run_learning_curve,
)
from trainer.runs.tracking.leaderboard import list_runs

MlflowClient = Lazy("mlflow:MlflowClient")
curve_fit = Lazy("scipy.optimize:curve_fit")
f1_score = Lazy("sklearn.metrics:f1_score")

QUICK = settings(deadline=None, max_examples=60)
SIZES = np.array([50.0, 100, 200, 400, 800, 1600])


def law(n: Floats, ceiling: float, scale: float, rate: float) -> Floats:
    return np.asarray(ceiling - scale * n**-rate)


def fit_one(sizes: Floats, scores: Floats, weights: Floats | None = None) -> PowerLaws:
    return fit_power_laws(sizes, scores[None], (np.ones(len(sizes)) if weights is None else weights)[None])


def curve_of(shares_right: Floats, labelled: Floats = SIZES, *, n: int = 400, n_groups: int = 40) -> CurveCounts:
    """A curve of one label that all n examples bear; each fit (repeats, sizes) finds that share of them."""
    groups = [i % n_groups for i in range(n)]
    gold = np.ones((n, 1), dtype=bool)
    generator = np.random.default_rng(5)

    def counts_of(share: float) -> Counts:
        return group_counts(gold, generator.permutation(n)[:, None] < share * n, groups)

    counts = [[counts_of(share) for share in row] for row in shares_right]
    return CurveCounts(
        Counts(*(np.array([[getattr(each, name) for each in row] for row in counts]) for name in ("tp", "fp", "fn"))),
        np.ones(shares_right.shape, dtype=bool),
        np.tile(labelled, (len(shares_right), 1)),
    )


def share_for(f1: Floats) -> Floats:
    """The share of true positives found (none wrong) that gives an F1."""
    return np.asarray(f1 / (2 - f1))


# -- subsets


@QUICK
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=6),
    st.integers(0, 99),
)
def test_subsets_are_whole_groups_each_within_the_next(groups: list[int], shares: list[float], seed: int) -> None:
    examples = [Example(f"e{i}", f"d{group}", f"text {i}", ()) for i, group in enumerate(groups)]
    subsets = nested_subsets(examples, groups, [*sorted(shares), 1.0], seed)
    taken = [[example.id for example in subset] for subset in subsets]
    assert taken[-1] == [example.id for example in examples]
    assert taken[0]
    for smaller, larger in pairwise(taken):
        assert set(smaller) <= set(larger)
    for ids in taken:
        inside = {group for example, group in zip(examples, groups, strict=True) if example.id in ids}
        assert ids == [example.id for example, group in zip(examples, groups, strict=True) if group in inside]


def test_another_seed_takes_other_groups() -> None:
    examples = make_examples(90)
    groups = [i // 3 for i in range(90)]
    taken = {tuple(example.id for example in nested_subsets(examples, groups, [0.3], seed)[0]) for seed in range(5)}
    assert len(taken) == 5


def test_no_examples_have_no_subsets() -> None:
    assert nested_subsets([], [], [0.5, 1.0], 1) == [[], []]


def test_sizes_go_in_even_steps_from_a_handful_of_the_rarest_label_to_everything() -> None:
    gold = np.zeros((1000, 2), dtype=bool)
    gold[:500, 0] = gold[:100, 1] = True
    shares = curve_shares(gold, 1000, 6)
    assert shares[0] == pytest.approx(5 / 100)
    assert shares[-1] == 1
    steps = np.array(shares[1:]) / np.array(shares[:-1])
    assert steps == pytest.approx(np.full(5, 20 ** (1 / 5)), rel=0.02)


@pytest.mark.parametrize(("positives", "n_groups"), [(1, 1000), (1000, 7), (3, 2)])
def test_the_smallest_size_leaves_room_for_a_curve_and_no_size_comes_twice(positives: int, n_groups: int) -> None:
    gold = (np.arange(1000) < positives)[:, None]
    shares = curve_shares(gold, n_groups, 6)
    assert shares == sorted(set(shares))
    assert shares[0] <= max(0.25, 1 / n_groups)
    assert shares[-1] == 1


# -- power laws


@pytest.mark.parametrize("truth", [(0.9, 2.0, 0.5), (1.0, 1.5, 0.3), (0.7, 30.0, 1.2)])
def test_a_law_is_found_again_from_its_own_points(truth: tuple[float, float, float]) -> None:
    found = fit_one(SIZES, law(SIZES, *truth))
    for n in (50, 1600, 3200):
        assert found.at(n)[0] == pytest.approx(law(np.array(float(n)), *truth), abs=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_fit_of_the_law_comes_closer(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = law(SIZES, 0.85, 3.0, 0.6) + generator.normal(0, 0.01, len(SIZES))
    weights = SIZES / SIZES.sum()
    bounds = ([-10, 0, 0.02], [1, 1e4, 1.5])
    reference, _ = curve_fit(law, SIZES, scores, p0=(0.8, 2, 0.5), sigma=weights**-0.5, bounds=bounds, maxfev=20000)
    found = fit_one(SIZES, scores, weights)
    missed = [
        (weights * (scores - fitted) ** 2).sum()
        for fitted in (np.array([found.at(n)[0] for n in SIZES]), law(SIZES, *reference))
    ]
    assert missed[0] <= missed[1] * 1.01 + 1e-9


@QUICK
@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_a_law_never_falls_nor_leads_above_one(scores: list[float]) -> None:
    found = fit_one(SIZES, np.array(scores))
    assert found.scale[0] >= 0
    assert found.ceiling[0] <= 1
    assert found.at(10)[0] <= found.at(100)[0] <= found.at(1e9)[0] <= 1 + 1e-9


def test_falling_points_give_a_level_law() -> None:
    found = fit_one(SIZES, np.linspace(0.8, 0.3, 6))
    assert found.scale[0] == 0
    assert found.at(10)[0] == pytest.approx(0.55)


def test_points_without_weight_count_for_nothing() -> None:
    scores = law(SIZES, 0.9, 2.0, 0.5)
    spoilt = np.where(np.arange(6) == 2, np.nan, scores)
    weights = (np.arange(6) != 2).astype(float)
    assert fit_one(SIZES, spoilt, weights).at(2000) == pytest.approx(fit_one(SIZES, scores, weights).at(2000))


def test_each_draw_has_a_law_of_its_own() -> None:
    draws = np.stack([law(SIZES, 0.9, 2.0, 0.5), np.full(6, 0.4)])
    both = fit_power_laws(SIZES, draws, np.ones((2, 6)))
    assert both.at(1600) == pytest.approx([0.85, 0.4], abs=2e-3)


# -- figures


@pytest.fixture
def predicted() -> tuple[Bools, Bools, list[int]]:
    generator = np.random.default_rng(1)
    gold = generator.random((120, 3)) < 0.3
    return gold, gold ^ (generator.random((120, 3)) < 0.2), [i // 4 for i in range(120)]


def test_counts_by_group_sum_to_the_counts(predicted: tuple[Bools, Bools, list[int]]) -> None:
    gold, said, groups = predicted
    counts, whole = group_counts(gold, said, groups), count(gold, said)
    assert counts.tp.shape == (30, 3)
    for name in ("tp", "fp", "fn"):
        assert getattr(counts, name).sum(axis=0) == pytest.approx(getattr(whole, name))
    first = count(gold[:4], said[:4])
    assert counts.fn[0] == pytest.approx(first.fn)


def test_measured_figures_are_means_over_repeats_of_what_scikit_learn_says() -> None:
    generator = np.random.default_rng(2)
    gold = generator.random((90, 2)) < 0.4
    said = [[gold ^ (generator.random((90, 2)) < error) for error in (0.4, 0.2)] for _ in range(3)]
    groups = [i // 3 for i in range(90)]
    counts = [[group_counts(gold, one, groups) for one in row] for row in said]
    curve = CurveCounts(
        Counts(*(np.array([[getattr(each, name) for each in row] for row in counts]) for name in ("tp", "fp", "fn"))),
        np.ones((3, 2), dtype=bool),
        np.full((3, 2), 10.0),
    )
    found = measured_figures(curve)
    for size in range(2):
        expected = [f1_score(gold, row[size], average=None) for row in said]
        assert found.per_label[0, size] == pytest.approx(np.mean(expected, axis=0))
        assert found.macro_f1[0, size] == pytest.approx(np.mean(expected))


def test_a_repeat_that_could_not_be_fitted_is_left_out_of_the_mean() -> None:
    curve = curve_of(share_for(np.array([[0.5] * 6, [0.8] * 6])))
    curve.fitted[0, 0] = False
    assert measured_figures(curve).macro_f1[0] == pytest.approx([0.8] + [0.65] * 5, abs=0.01)
    curve.fitted[1, 0] = False
    assert np.isnan(measured_figures(curve).macro_f1[0, 0])


def width(curve: CurveCounts) -> float:
    drawn = drawn_figures(curve, draws=400, seed=1)
    bounds = figure(0.0, drawn.macro_f1[:, 3], 0.95)
    assert bounds.low is not None
    assert bounds.high is not None
    return bounds.high - bounds.low


def test_intervals_cover_both_what_test_was_drawn_and_what_the_repeats_were() -> None:
    same = curve_of(share_for(np.full((3, 6), 0.7)))
    apart = curve_of(share_for(np.array([[0.5] * 6, [0.7] * 6, [0.9] * 6])))
    sure = curve_of(np.ones((3, 6)))
    assert width(sure) == 0
    assert 0 < width(same) < 0.15
    assert width(apart) > 2 * width(same)


def test_the_spread_of_repeats_is_that_of_a_mean() -> None:
    """Where test says nothing, the draws have the standard error of a mean of three."""
    values = np.array([0.5, 0.7, 0.9])
    curve = curve_of(share_for(np.tile(values[:, None], 6)), n_groups=1)
    drawn = drawn_figures(curve, draws=4000, seed=3).macro_f1[:, 0]
    assert drawn.std() == pytest.approx(values.std(ddof=1) / 3**0.5, rel=0.05)


def test_the_same_seed_draws_the_same() -> None:
    curve = curve_of(share_for(np.tile(law(SIZES, 0.9, 2.0, 0.5), (3, 1))))
    one, other, third = (drawn_figures(curve, draws=50, seed=seed).macro_f1 for seed in (1, 1, 2))
    assert (one == other).all()
    assert (one != third).any()


def test_an_undefined_figure_has_neither_value_nor_interval() -> None:
    assert figure(float("nan"), np.array([np.nan, np.nan]), 0.95) == Figure(None)
    assert figure(0.5, None, 0.95) == Figure(0.5)
    assert figure(0.5, np.array([0.4, np.nan, 0.6]), 0.5) == Figure(0.5, pytest.approx(0.45), pytest.approx(0.55))


# -- what more would bring


def test_a_rising_curve_promises_what_its_law_does() -> None:
    truth = (0.95, 3.0, 0.5)
    curve = curve_of(share_for(np.tile(law(SIZES, *truth), (3, 1))), n=4000)
    outlook, reason = look_ahead(
        measured_figures(curve), drawn_figures(curve, draws=200, seed=1), labelled=1600, more=200, confidence=0.95
    )
    assert reason == ""
    assert outlook is not None
    expected = law(np.array([1600.0, 1800.0]), *truth)
    assert outlook.macro_f1 == pytest.approx(expected[0], abs=0.005)
    assert outlook.gain.value == pytest.approx(expected[1] - expected[0], abs=0.001)
    assert outlook.gain.low is not None
    assert outlook.gain.high is not None
    assert 0 <= outlook.gain.low <= expected[1] - expected[0] <= outlook.gain.high


def test_a_curve_that_does_not_rise_promises_nothing() -> None:
    curve = curve_of(share_for(np.tile(np.linspace(0.8, 0.7, 6), (3, 1))))
    outlook, reason = look_ahead(measured_figures(curve), None, labelled=1600, more=200, confidence=0.95)
    assert outlook is None
    assert "does not rise" in reason


def test_a_curve_of_three_sizes_promises_nothing() -> None:
    curve = curve_of(share_for(np.tile(law(SIZES, 0.9, 2.0, 0.5), (3, 1))))
    curve.fitted[:, :3] = False
    outlook, reason = look_ahead(measured_figures(curve), None, labelled=1600, more=200, confidence=0.95)
    assert outlook is None
    assert "fewer than 4 sizes" in reason


def test_a_draw_of_repeats_that_have_too_few_sizes_has_no_law() -> None:
    """A rare label leaves the small sizes unfitted in some repeats: no law goes through one or two points."""
    curve = curve_of(share_for(np.tile(law(SIZES, 0.9, 2.0, 0.5), (3, 1))))
    curve.fitted[:] = [[False, False, True, True, True, True], [False] * 4 + [True] * 2, [False] * 5 + [True]]
    laws = drawn_figures(curve, draws=300, seed=1).laws
    assert laws is not None
    assert 0 < len(laws.scale) < 300
    assert (laws.at(1800) > laws.at(1600)).all()


def test_a_start_below_the_law_widens_the_interval() -> None:
    scores = law(SIZES, 0.95, 3.0, 0.5)
    steady = np.tile(scores, (3, 1))
    sagging = np.tile(np.concatenate([scores[:2] * 0.4, scores[2:]]), (3, 1))
    widths = []
    for shares in (steady, sagging):
        curve = curve_of(share_for(shares), n=4000)
        drawn = drawn_figures(curve, draws=200, seed=1)
        outlook, _ = look_ahead(measured_figures(curve), drawn, labelled=1600, more=200, confidence=0.95)
        assert outlook is not None
        assert outlook.gain.low is not None
        assert outlook.gain.high is not None
        widths.append(outlook.gain.high - outlook.gain.low)
    assert widths[1] > 1.5 * widths[0]


# -- the fits


@pytest.fixture
def experiment(experiment_of: MakeExperiment) -> Experiment:
    """300 sentences, so that the curve has room."""
    made = experiment_of("tfidf")
    write_examples(Path(made.data.train), disturbed(make_examples(300)))
    return made


def test_the_largest_size_is_what_train_fits(experiment: Experiment) -> None:
    dataset = load_dataset(experiment)
    curve = learning_curve(experiment, dataset, repeats=1, sizes=2)
    model = fit_model(experiment, dataset).model
    _, report = evaluate_model(model, dataset.parts["test"], experiment.evaluation, experiment.seed)
    last = curve.points[-1]
    assert last.fits[0].macro_f1 == pytest.approx(report.macro_f1)
    assert last.fits[0].per_label_f1 == pytest.approx([report.per_label[name].f1 for name in curve.labels])
    assert (last.train, last.validation) == (len(dataset.parts["train"]), len(dataset.parts["validation"]))
    assert (curve.n_test, curve.n_groups) == (report.n_test, report.n_groups)


def test_train_and_validation_grow_together_and_test_stays(experiment: Experiment) -> None:
    with progress_reports() as reports:
        curve = learning_curve(experiment, load_dataset(experiment), repeats=2, sizes=4)
    assert reports == [("Fitting subsets", done, 8) for done in range(1, 9)]
    sizes = [(point.train, point.validation) for point in curve.points]
    assert sizes == sorted(sizes)
    for train, validation in sizes:
        assert validation / sizes[-1][1] == pytest.approx(train / sizes[-1][0], abs=0.1)
    assert [point.labelled for point in curve.points] == [sum(size) for size in sizes]
    for repeat in range(2):
        tested = {
            int(fit.counts.tp.sum() + fit.counts.fn.sum()) for p in curve.points if (fit := p.fits[repeat]).counts
        }
        assert len(tested) == 1


@pytest.mark.parametrize(
    ("kind", "method", "left_out"),
    [("tfidf", "platt", True), ("tfidf", "isotonic", True), ("tfidf", "none", False), ("majority", "platt", False)],
)
def test_labels_with_too_few_positives_count_only_where_they_would_be_calibrated(
    experiment_of: MakeExperiment, kind: str, method: str, left_out: bool
) -> None:
    asked = experiment_of(kind, calibration={"method": method})
    write_examples(Path(asked.data.train), disturbed(make_examples(300)))
    curve = learning_curve(asked, load_dataset(asked), repeats=1, sizes=2)
    assert [point.fits[0].uncalibrated > 0 for point in curve.points] == [left_out, False]


def test_repeats_take_other_sentences_and_the_same_call_the_same(experiment: Experiment) -> None:
    dataset = load_dataset(experiment)
    curve, again = (learning_curve(experiment, dataset, repeats=2, sizes=3) for _ in range(2))
    assert [point.macro_f1 for point in curve.points] == [point.macro_f1 for point in again.points]
    assert len({fit.macro_f1 for fit in curve.points[0].fits}) > 1


def test_a_size_that_lacks_a_label_is_reported_and_the_rest_is_drawn(experiment: Experiment) -> None:
    dataset = load_dataset(experiment)
    rare = [
        replace(example, labels=("aid",) if i < 2 else ("truce",)) for i, example in enumerate(dataset.parts["train"])
    ]
    curve = learning_curve(experiment, replace(dataset, parts={**dataset.parts, "train": rare}), sizes=5)
    problems = {fit.problem for point in curve.points for fit in point.fits}
    assert problems == {"", "no train sentence has the label aid"}
    assert all(not fit.problem for fit in curve.points[-1].fits)
    for point in curve.points:
        assert (point.macro_f1.value is None) == all(fit.problem for fit in point.fits)


def test_a_curve_of_nothing_but_problems_is_an_error_that_names_them(experiment: Experiment) -> None:
    dataset = load_dataset(experiment)
    without = replace(dataset, parts={**dataset.parts, "validation": []})
    with pytest.raises(ExperimentError, match=r"at any size: .*there is no validation sentence"):
        learning_curve(experiment, without, sizes=2)


def test_what_a_kind_refuses_is_reported_at_its_size(experiment_of: MakeExperiment) -> None:
    experiment = experiment_of("tfidf", model={"min_df": 30})
    curve = learning_curve(experiment, load_dataset(experiment), repeats=1, sizes=4)
    assert "model.min_df = 30: no n-gram occurs in enough" in curve.points[0].fits[0].problem
    assert curve.points[-1].fits[0].problem == ""


def test_too_few_test_groups_give_figures_without_intervals(experiment_of: MakeExperiment) -> None:
    experiment = experiment_of("tfidf", evaluation={"min_groups": 100})
    curve = learning_curve(experiment, load_dataset(experiment), repeats=1, sizes=4)
    assert "fewer than 100" in curve.intervals_reason
    assert all(point.macro_f1.value is not None and point.macro_f1.low is None for point in curve.points)
    assert curve.outlook is None or curve.outlook.gain.low is None


# -- the run


@pytest.fixture
def tracked(experiment: Experiment) -> Experiment:
    return experiment.model_copy(
        update={"tracking": experiment.tracking.model_copy(update={"enabled": True, "experiment": "mine"})}
    )


def test_a_run_leaves_its_files_and_an_mlflow_run_beside_those_that_are_ranked(
    tracked: Experiment, isolated: Path, mlflow_store: str
) -> None:
    result = run_learning_curve(tracked, isolated / "out")
    curve = result.curve
    found = sorted(path.relative_to(result.folder).as_posix() for path in result.folder.rglob("*") if path.is_file())
    assert found == ["learning_curve.csv", "learning_curve.json", "plots/learning_curve.png", "tracking.json"]
    content = json.loads((result.folder / "learning_curve.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert [point["macro_f1"]["value"] for point in content["points"]] == [p.macro_f1.value for p in curve.points]
    assert [len(point["fits"]) for point in content["points"]] == [3] * len(curve.points)
    with (result.folder / "learning_curve.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(curve.points)
    assert float(rows[0]["f1:aid"]) == pytest.approx(content["points"][0]["fits"][0]["f1:aid"])
    with Image.open(result.folder / "plots" / "learning_curve.png") as image:
        assert image.format == "PNG"

    [row] = list_runs("mine-learning-curves")
    assert row.run_id == result.run_id
    assert row.params["model.kind"] == "tfidf"
    history = MlflowClient().get_metric_history(result.run_id, "macro_f1")
    assert {metric.step: metric.value for metric in history} == {
        point.labelled: pytest.approx(point.macro_f1.value) for point in curve.points
    }
    assert MlflowClient().get_experiment_by_name("mine") is None


def test_an_occupied_folder_is_refused_and_a_failure_leaves_nothing(
    experiment_of: MakeExperiment, isolated: Path
) -> None:
    (isolated / "out").mkdir()
    (isolated / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="--overwrite"):
        run_learning_curve(experiment_of("tfidf"), isolated / "out")
    with pytest.raises(ExperimentError, match="at any size"):
        run_learning_curve(experiment_of("tfidf", model={"min_df": 10_000}), isolated / "new")
    assert not [path for path in isolated.iterdir() if "new" in path.name]


def test_several_processes_are_refused(experiment: Experiment, isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ExperimentError, match="one process"):
        run_learning_curve(experiment, isolated / "out")


# -- the command, and what it prints


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """What was printed since last asked, on one line."""
    return lambda: " ".join(capsys.readouterr().out.split())


@pytest.fixture(scope="module")
def curve() -> LearningCurve:
    """A curve as the arithmetic makes it, without a model."""
    from trainer.evaluation.curve_figures import CurveFit, CurvePoint, Outlook

    points = [
        CurvePoint(
            4 * size,
            3 * size,
            size,
            Figure(0.5, 0.4, 0.6),
            {},
            tuple(CurveFit(repeat, 3 * size, size) for repeat in (0, 1)),
        )
        for size in (10, 400)
    ]
    outlook = Outlook(1600, 200, 0.6, Figure(0.0123, 0.004, 0.0211), 0.9, 2.0, 0.5)
    return LearningCurve(
        "mine",
        "tfidf",
        1,
        "data",
        False,
        "abc",
        ("aid",),
        300,
        50,
        0.95,
        tuple(points),
        outlook,
        "",
        "",
        ("a note",),
        (LabelValue("Aid!", "aid", 12),),
    )


def test_a_row_for_each_size_and_the_worth_of_two_hundred_more(curve: LearningCurve, said: Any) -> None:
    print_learning_curve(CurveResult(Path("out"), curve))
    printed = said()
    assert "labelled train validation macro-F1 95% interval repeats" in printed
    assert "1,600 1,200 400 0.500 0.400–0.600 2" in printed
    assert (
        "200 more labelled sentences in addition to these 1,600 would probably raise macro-F1 by 0.012 "
        "(95% interval +0.004 to +0.021), if the trend of the curve continues."
    ) in printed
    assert "Note: a note." in printed
    assert "Aid! aid 12" in printed
    assert "Not fitted" not in printed
    assert "calibrated" not in printed


def test_what_cannot_be_said_is_said(curve: LearningCurve, said: Any) -> None:
    first, last = curve.points
    broken = replace(
        first,
        macro_f1=Figure(None),
        fits=(
            replace(first.fits[0], problem="no train sentence has the label aid"),
            replace(first.fits[1], uncalibrated=2),
        ),
    )
    lacking = replace(
        curve, points=(broken, last), outlook=None, reason="fewer than 4 sizes could be fitted", intervals_reason="few"
    )
    print_learning_curve(CurveResult(Path("out"), lacking))
    printed = said()
    assert "40 30 10 – – 1" in printed
    assert "Not fitted with 40 sentences: no train sentence has the label aid." in printed
    assert "With up to 40 sentences, some labels were not calibrated" in printed
    assert "No intervals: few." in printed
    assert "The gain from more labelled sentences cannot be estimated: fewer than 4 sizes could be fitted." in printed


def test_the_option_draws_the_curve_instead_of_training(experiment: Experiment, isolated: Path) -> None:
    file = isolated / "mine.toml"
    file.write_text(
        'seed = 7\n[model]\nkind = "tfidf"\n[data]\ntrain = "data.jsonl"\ncodebook = "codebook.toml"\n'
        "[tracking]\nenabled = false\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(app, ["train", str(file), "--learning-curve", "--set", "evaluation.bootstrap=100"])
    assert result.exit_code == 0, result.output
    assert "macro-F1" in result.stdout
    assert "200 more labelled sentences" in result.stdout or "cannot be estimated" in result.stdout
    assert sorted(path.name for path in (isolated / "runs").iterdir()) == ["mine-learning-curve"]
    assert not (isolated / "runs" / "mine-learning-curve" / "artefact").exists()


def test_gold_of_a_size_is_what_its_counts_hold(experiment: Experiment) -> None:
    """The counts are of the test part: each label as often as it is there."""
    dataset = load_dataset(experiment)
    curve = learning_curve(experiment, dataset, repeats=1, sizes=2)
    counts = curve.points[0].fits[0].counts
    assert counts is not None
    there = gold_of(dataset.parts["test"], curve.labels).sum(axis=0)
    assert (counts.tp + counts.fn).sum(axis=0) == pytest.approx(there)
