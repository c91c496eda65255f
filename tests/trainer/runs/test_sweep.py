from __future__ import annotations

import csv
import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import trainer.runs.choice.sweep
from labels.codebook.schema import dump_codebook
from labels.environment.progress import progress_to
from labels.errors import DataError, ExperimentError
from labels.records import Example
from tests.conftest import make_examples
from tests.lazy import Lazy, needed
from tests.trainer.conftest import disturbed, make_experiment, plain_codebook, write_examples
from trainer.cli import app
from trainer.cli.sweep import print_sweep
from trainer.config.experiment import Experiment, dump_experiment, load_experiment, parse_experiment, with_values
from trainer.data.dataset import load_dataset
from trainer.data.splits import Split
from trainer.environment import shipped, shipped_experiments
from trainer.runs.choice.sweep import SweepResult, read_space, run_sweep
from trainer.runs.choice.sweep_trials import Job, SweepStudy, Trial, TrialOutcome, open_study, run_trial
from trainer.runs.evaluate import macro_f1, predict_examples
from trainer.runs.run import fit_model, run_experiment
from trainer.runs.tracking.leaderboard import list_runs

MlflowClient = Lazy("mlflow:MlflowClient")
distributions = Lazy("optuna.distributions")

C = {"low": 0.01, "high": 100.0, "log": True}
SOME_FAIL = {"model.C": C, "model.min_df": [1, 2, 100_000]}


def with_space(space: Any, kind: str = "tfidf", **sweep: Any) -> Experiment:
    """An experiment with nothing but a space."""
    return parse_experiment({"name": "mine", "model": {"kind": kind}, "sweep": {"space": space} | sweep}, "here")


# -- the section


def test_keys_may_be_quoted_or_not(isolated: Path) -> None:
    head = '[model]\nkind = "tfidf"\n[sweep.space]\n'
    spaces = []
    for number, line in enumerate(("model.C = { low = 1, high = 2 }", '"model.C" = { low = 1, high = 2 }')):
        file = isolated / f"{number}.toml"
        file.write_text(head + line + "\n", encoding="utf-8")
        spaces.append(load_experiment(file).sweep.space)
    assert spaces[0] == spaces[1]
    assert list(spaces[0]) == ["model.C"]


def test_set_reaches_into_a_space() -> None:
    experiment = load_experiment("sweep", ["sweep.space.model.C.low=0.5", "sweep.trials=3"])
    assert experiment.sweep.space["model.C"].low == 0.5  # type: ignore[union-attr]
    assert experiment.sweep.trials == 3


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"model.C": {"low": 1}}, "sweep.space.model.C.high: this key is required"),
        ({"model.C": {"low": 1, "high": 2, "stepp": 1}}, "model.C.stepp: unknown key (did you mean 'step'?)"),
        ({"model.C": {"low": 2, "high": 1}}, "sweep.space.model.C: `low` must be less than `high`"),
        ({"model.C": {"low": 1, "high": float("inf")}}, "both must be finite"),
        ({"model.C": {"low": 0, "high": 1, "log": True}}, "`log` needs a `low` above 0"),
        ({"model.C": {"low": 1, "high": 9, "log": True, "step": 2}}, "cannot be combined with `step`"),
        ({"model.C": {"low": 1, "high": 4, "step": 2}}, "a whole number of steps"),
        ({"model.C": [1]}, "at least 2 items"),
        ({"model.C": 3}, "`model.C` needs a range, { low = 1, high = 9 }, or a list of choices"),
    ],
)
def test_what_is_no_range_and_no_list_is_refused_with_its_key(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        with_space(space)
    assert message in str(caught.value)


def test_workers_need_ray() -> None:
    with pytest.raises(ExperimentError, match=r'sweep\.executor = "ray"'):
        with_space({}, workers=2)
    assert with_space({}, workers=2, executor="ray").sweep.workers == 2


# -- the space against the experiment


def test_the_kind_of_a_key_decides_which_numbers_are_drawn() -> None:
    space = {
        "model.C": {"low": 1, "high": 100, "log": True},
        "model.word_ngrams": {"low": 1, "high": 3},
        "model.min_df": {"low": 1, "high": 5, "step": 2},
        "model.class_weight": ["balanced", "none"],
    }
    assert read_space(with_space(space)) == {
        "model.C": distributions.FloatDistribution(1.0, 100.0, log=True),
        "model.word_ngrams": distributions.IntDistribution(1, 3),
        "model.min_df": distributions.IntDistribution(1, 5, step=2),
        "model.class_weight": distributions.CategoricalDistribution(("balanced", "none")),
    }


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "[sweep.space] is empty"),
        ({"model.c_weight": ["a", "b"]}, "model.c_weight: unknown key (did you mean 'class_weight'?)"),
        ({"modle.C": C}, "modle.C: this key cannot be swept"),
        ({"seed": {"low": 1, "high": 2}}, "seed: this key cannot be swept"),
        ({"split.train": {"low": 0.1, "high": 0.2}}, "split.train: this key cannot be swept"),
        ({"model.kind": ["tfidf", "majority"]}, "model.kind: this key cannot be swept"),
        ({"calibration.min_positives": {"low": 5, "high": 25}}, "calibration.min_positives: this key cannot be swept"),
        ({"model.C": {"low": -1, "high": 2}}, "model.C = -1: this experiment cannot run"),
        ({"model.word_ngrams": {"low": 1, "high": 9}}, "model.word_ngrams = 9: this experiment cannot run"),
        ({"model.word_ngrams": {"low": 1.5, "high": 2.5}}, "model.word_ngrams = 1.5: this experiment cannot run"),
        ({"model.word_ngrams": {"low": 1, "high": 2, "step": 0.5}}, "takes whole numbers, but step = 0.5"),
        ({"model.class_weight": ["balanced", "both"]}, "model.class_weight = both: this experiment cannot run"),
        ({"model.class_weight": {"low": 1, "high": 2}}, "must be 'balanced' or 'none' (given: 1)"),
        ({"model.C.x": [1, 2]}, "'C' is a value, not a section"),
    ],
)
def test_what_a_trial_could_not_run_with_is_refused_before_the_first(
    space: dict[str, Any], message: str, isolated: Path
) -> None:
    with pytest.raises(ExperimentError) as caught:
        run_sweep(with_space(space), isolated / "out")
    assert message in str(caught.value)
    assert not (isolated / "out").exists()


def test_a_switch_takes_no_range() -> None:
    space = {"model.activation_checkpointing": {"low": 0, "high": 1}}
    with pytest.raises(ExperimentError, match="does not take numbers"):
        read_space(with_space(space, "finetune"))


def test_a_cascade_is_not_swept_as_its_proof_counts_once() -> None:
    with pytest.raises(ExperimentError, match=r"a cascade cannot be swept.*\[model\.cheap\]"):
        read_space(with_space({"model.max_lost": [0.1, 0.2]}, "cascade"))


def test_the_shipped_sweep_can_run() -> None:
    assert set(read_space(load_experiment("sweep"))) == set(load_experiment("sweep").sweep.space)


def test_values_are_put_where_they_belong_and_the_rest_stays() -> None:
    experiment = with_space({"model.C": C})
    changed = with_values(experiment, {"model.C": 3.0, "calibration.method": "none"}, "trial 1")
    assert (changed.model.C, changed.calibration.method) == (3.0, "none")  # type: ignore[union-attr]
    assert changed.sweep.space == {}
    assert with_values(changed, {"model.C": 10.0, "calibration.method": "platt"}, "back") == with_space({})


@pytest.mark.parametrize("name", shipped_experiments())
def test_an_experiment_that_is_written_is_read_back(name: str, isolated: Path) -> None:
    experiment = load_experiment(shipped("experiments") / f"{name}.toml")
    file = isolated / "written.toml"
    file.write_text(dump_experiment(experiment), encoding="utf-8")
    without_sweep = experiment.model_copy(update={"sweep": with_space({}).sweep})
    assert load_experiment(file) == without_sweep


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.floats(1e-9, 1e9))
def test_any_text_and_number_is_written_so_that_it_is_read_back(text: str, number: float) -> None:
    content = {"name": "n", "model": {"kind": "tfidf", "C": number}, "data": {"only": text}}
    experiment = parse_experiment(content, "here")
    Path("written.toml").write_text(dump_experiment(experiment), encoding="utf-8")
    assert load_experiment("written.toml") == experiment


# -- the study


SPACE = {"model.C": {"low": 0.01, "high": 100.0, "log": True}, "model.min_df": {"low": 1, "high": 5}}


def open_at(path: Path, seed: int = 1, **identity: str) -> SweepStudy:
    space = read_space(with_space(SPACE))
    return open_study(path, space, seed=seed, startup=3, parallel=False, identity={"split": "abc"} | identity)


def score_of(values: dict[str, Any]) -> TrialOutcome:
    """The smaller C, the better; the rest hardly matters."""
    return TrialOutcome(1 / (1 + values["model.C"]) + values["model.min_df"] / 1e4, 0.1)


def go_on(study: SweepStudy, trials: int) -> list[dict[str, Any]]:
    """Values of some more trials, each of them finished."""
    proposed = []
    for _ in range(trials):
        number, values = study.propose()
        study.record(number, score_of(values))
        proposed.append(values)
    return proposed


def test_a_study_that_was_interrupted_goes_on_as_if_it_had_not_been(isolated: Path) -> None:
    whole = go_on(open_at(isolated / "whole"), 8)
    first = open_at(isolated / "parts")
    parts = go_on(first, 2)
    first.propose()  # and then its process was killed
    parts += go_on(open_at(isolated / "parts"), 4)
    parts += go_on(open_at(isolated / "parts"), 2)
    assert parts == whole
    kept = open_at(isolated / "parts").trials
    assert [dict(trial.values) for trial in kept] == whole
    assert [trial.outcome for trial in kept] == [score_of(values) for values in whole]
    assert go_on(open_at(isolated / "other", seed=2), 8) != whole


def test_a_failed_trial_is_finished_too_and_keeps_its_reason(isolated: Path) -> None:
    study = open_at(isolated / "study")
    number, values = study.propose()
    trial = study.record(number, TrialOutcome(None, 2.5, "MemoryError"))
    assert trial == Trial(number, values, TrialOutcome(None, 2.5, "MemoryError"))
    assert open_at(isolated / "study").trials == [trial]


def test_guided_trials_look_where_the_best_ones_were(isolated: Path) -> None:
    guided = go_on(open_at(isolated / "study"), 25)[-10:]
    assert statistics.median(values["model.C"] for values in guided) < 0.1  # that of the range is 1


def test_importances_name_the_key_that_matters_once_there_are_trials_enough(isolated: Path) -> None:
    study = open_at(isolated / "study")
    go_on(study, 9)
    assert study.importances() == {}
    go_on(study, 6)
    found = study.importances()
    assert next(iter(found)) == "model.C"
    assert sum(found.values()) == pytest.approx(1)


def test_a_study_of_something_else_is_refused_by_what_differs(isolated: Path) -> None:
    open_at(isolated / "study", seed_of="1", split="abc")
    with pytest.raises(ExperimentError, match=r"started with another split; .*--overwrite"):
        open_at(isolated / "study", seed_of="1", split="xyz")


def test_a_damaged_study_is_refused_with_its_place(isolated: Path) -> None:
    (isolated / "study").write_text("no journal\nat all\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"study: this study cannot be opened"):
        open_at(isolated / "study")


def test_what_was_tested_is_kept(isolated: Path) -> None:
    study = open_at(isolated / "study")
    assert study.tested == []
    study.note_tested(3)
    study.note_tested(1)
    assert open_at(isolated / "study").tested == [3, 1]


# -- sweeps


@dataclass(frozen=True)
class Finished:
    """A sweep of four trials in the folder `out` of its working folder, where its data lie too."""

    result: SweepResult
    folder: Path


def make_swept(space: dict[str, Any], trials: int = 4, **more: Any) -> Experiment:
    """An experiment with a sweep on the data of the working folder."""
    sweep = {"space": space, "trials": trials, "startup": 2} | more.pop("sweep", {})
    return make_experiment(Path(), "tfidf", sweep=sweep, **more)


def write_data(folder: Path, examples: Sequence[Example]) -> None:
    (folder / "codebook.toml").write_text(dump_codebook(plain_codebook("aid", "truce")), encoding="utf-8")
    write_examples(folder / "data.jsonl", examples)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("sweep")
    write_data(folder, disturbed(make_examples(150)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return Finished(run_sweep(make_swept({"model.C": C}), Path("out")), folder)


@pytest.fixture
def data(isolated: Path) -> Path:
    """The working folder, with 150 examples of two labels."""
    write_data(isolated, disturbed(make_examples(150)))
    return isolated


@pytest.fixture
def copied(finished: Finished, isolated: Path) -> SweepResult:
    """The finished sweep, in this test's own working folder."""
    shutil.copytree(finished.folder, isolated, dirs_exist_ok=True)
    return finished.result


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scores_of(trials: Sequence[Trial]) -> list[tuple[dict[str, Any], float | None]]:
    return [(dict(trial.values), trial.outcome.score) for trial in trials]


def test_a_sweep_leaves_its_files(finished: Finished) -> None:
    names = {path.name for path in (finished.folder / "out").iterdir()}
    assert names == {"best", "best.toml", "split.json", "study.journal", "tracking.json", "trials.csv"}
    assert [
        (float(row["model.C"]), float(row["validation_macro_f1"])) for row in table_of(finished.folder / "out")
    ] == [(trial.values["model.C"], trial.outcome.score) for trial in finished.result.trials]


def test_the_best_on_validation_is_run_and_tested_once(copied: SweepResult) -> None:
    assert copied.best.outcome.score == max(trial.score for trial in copied.trials)
    experiment = make_swept({"model.C": C})
    dataset = load_dataset(experiment)
    model = fit_model(with_values(experiment, copied.best.values, "best"), dataset).model
    assert copied.best.outcome.score == pytest.approx(
        macro_f1(model.labels, predict_examples(model, dataset.parts["validation"]))
    )
    assert copied.report.validation_macro_f1 == pytest.approx(copied.best.outcome.score)
    assert copied.report.split_hash == dataset.split.hash
    assert (copied.resumed, copied.tested) == (0, 1)


def test_the_winning_experiment_trains_to_the_same_model(copied: SweepResult) -> None:
    loaded = load_experiment("out/best.toml")
    assert loaded.name == "tfidf-best"
    assert loaded == with_values(make_swept({}), {"name": "tfidf-best", **copied.best.values}, "best")
    again = run_experiment(loaded, Path("again")).report
    assert again.macro_f1 == copied.report.macro_f1
    assert again.calibration == copied.report.calibration


def test_an_interrupted_sweep_keeps_its_trials_and_goes_on(finished: Finished, data: Path) -> None:
    experiment = make_swept({"model.C": C})

    def interrupt(stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("Trials", 4)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress_to(interrupt):
        run_sweep(experiment, data / "out")
    assert not (data / "out" / "best").exists()
    resumed = run_sweep(experiment, data / "out")
    assert resumed.resumed == 2
    assert scores_of(resumed.trials) == scores_of(finished.result.trials)


def test_a_finished_sweep_is_not_run_or_tested_again_but_can_be_extended(copied: SweepResult) -> None:
    made = Path("out/best/report.json").stat().st_mtime_ns
    again = run_sweep(make_swept({"model.C": C}, trials=2), Path("out"))
    assert (again.trials, again.report, again.resumed) == (copied.trials, copied.report, 4)
    assert Path("out/best/report.json").stat().st_mtime_ns == made
    more = run_sweep(make_swept({"model.C": C}, trials=7), Path("out"))
    assert more.trials[:4] == copied.trials
    assert len(more.trials) == 7
    assert more.tested == (1 if more.best == copied.best else 2)


def test_failed_trials_are_kept_with_their_reason_and_the_sweep_goes_on(data: Path, mlflow_store: str) -> None:
    experiment = make_swept(SOME_FAIL, trials=5, tracking={"enabled": True, "experiment": "mine"})
    result = run_sweep(experiment, data / "out")
    failed = [trial for trial in result.trials if trial.outcome.score is None]
    assert 0 < len(failed) < 5
    for trial, row in zip(result.trials, table_of(result.folder), strict=True):
        assert ("ExperimentError: model.min_df = 100000" in row["problem"]) == (trial in failed)

    runs = list_runs("mine-sweeps")
    [parent] = [row for row in runs if row.run_id == result.run_id]
    children = [row for row in runs if row.tags.get("mlflow.parentRunId") == parent.run_id]
    assert len(children) == 5 == len(runs) - 1
    assert parent.metrics["validation_macro_f1"] == result.best.outcome.score
    for trial in result.trials:
        [child] = [row for row in children if row.name == f"tfidf {trial.number}"]
        assert child.params == {key: str(value) for key, value in trial.values.items()} | {"model.kind": "tfidf"}
        assert child.metrics.get("validation_macro_f1") == trial.outcome.score
        assert "macro_f1" not in child.metrics
        assert child.status == ("FAILED" if trial in failed else "FINISHED")
        assert ("problem" in child.tags) == (trial in failed)
    [best] = list_runs("mine")
    assert best.name == "tfidf-best"
    assert best.metrics["macro_f1"] == pytest.approx(result.report.macro_f1)
    assert {file.path for file in MlflowClient().list_artifacts(parent.run_id)} == {
        "best.toml",
        "experiment.json",
        "split.json",
        "trials.csv",
    }


def test_a_sweep_of_failures_is_an_error_with_their_reasons(data: Path) -> None:
    experiment = make_swept({"model.min_df": [90_000, 100_000]}, trials=2)
    with pytest.raises(ExperimentError, match=r"every trial failed \(2 trials\)\.\n.*model\.min_df = "):
        run_sweep(experiment, data / "out")
    assert not (data / "out" / "best").exists()


def test_whatever_a_trial_raises_is_its_outcome(data: Path) -> None:
    experiment = make_swept({"model.C": C})
    dataset = load_dataset(experiment)
    empty = replace(dataset, parts={**dataset.parts, "train": []})
    outcome = run_trial(experiment, empty, Job(0, {"model.C": 1.0}))
    assert outcome.score is None
    assert outcome.problem
    unseen = replace(dataset, parts={**dataset.parts, "validation": []})
    assert "validation is undefined" in run_trial(experiment, unseen, Job(0, {})).problem


def test_time_that_has_run_out_starts_no_second_trial(data: Path) -> None:
    result = run_sweep(make_swept({"model.C": C}, trials=9, sweep={"timeout_minutes": 1e-9}), data / "out")
    assert len(result.trials) == 1


def test_sentences_labelled_since_do_not_move_the_split(copied: SweepResult) -> None:
    write_data(Path(), disturbed(make_examples(180)))
    more = run_sweep(make_swept({"model.C": C}, trials=5), Path("out"))
    assert more.trials[:4] == copied.trials
    assert len(more.trials) == 5
    assert Split.load(Path("out/split.json")).hash == copied.report.split_hash == more.report.split_hash


def test_labels_changed_since_end_a_sweep(copied: SweepResult) -> None:
    write_data(Path(), make_examples(150))
    with pytest.raises(ExperimentError, match="started with another train or validation part"):
        run_sweep(make_swept({"model.C": C}), Path("out"))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"space": {"model.C": {"low": 1, "high": 2}}}, r"\[sweep\.space\]"),
        ({"model": {"class_weight": "none"}}, r"\[model\]"),
        ({"calibration": {"method": "none"}}, r"\[calibration\]"),
        ({"split": {"train": 0.5, "validation": 0.2}}, r"\[split\]"),
        ({"seed": 8}, "seed"),
    ],
)
def test_another_sweep_is_refused_in_the_same_folder(copied: SweepResult, changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ExperimentError, match=rf"started with another {what}; .*--overwrite"):
        run_sweep(make_swept(**({"space": {"model.C": C}} | changes)), Path("out"))


def test_another_sweep_can_begin_anew(copied: SweepResult) -> None:
    anew = run_sweep(make_swept({"model.C": {"low": 1, "high": 2}}, trials=1), Path("out"), overwrite=True)
    assert anew.resumed == 0
    assert len(anew.trials) == len(table_of(Path("out"))) == 1


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(data: Path) -> None:
    (data / "out").mkdir()
    (data / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="--overwrite"):
        run_sweep(make_swept({"model.C": C}), data / "out")
    assert [path.name for path in (data / "out").iterdir()] == ["mine.txt"]


def test_several_processes_are_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ExperimentError, match="one process"):
        run_sweep(make_swept({"model.C": C}), data / "out")


@pytest.mark.parametrize(("package", "extra"), [("optuna", "sweep"), ("ray", "ray")])
def test_a_package_that_is_missing_is_named_with_its_extra(
    data: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExperimentError, match=rf'pip install "communique\[{extra}\]"'):
        run_sweep(make_swept({"model.C": C}, sweep={"executor": "ray"}), data / "out")


def test_an_experiment_with_a_sweep_still_trains_with_its_own_values(data: Path) -> None:
    texts = [example.text for example in make_examples(30)]
    plain, swept = (
        fit_model(experiment, load_dataset(experiment)).model.predict_proba(texts)
        for experiment in (make_swept({}), make_swept({"model.C": C}))
    )
    assert (plain == swept).all()


# -- ray


@pytest.mark.slow
def test_ray_tries_the_same_settings_at_first_and_finds_the_same_scores(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed("ray")
    monkeypatch.setenv("HOME", str(data))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    local = run_sweep(make_swept(SOME_FAIL, trials=4, sweep={"startup": 4}), data / "local")
    more = {"startup": 4, "executor": "ray", "workers": 2}
    spread = run_sweep(make_swept(SOME_FAIL, trials=4, sweep=more), data / "ray")
    by_number = {trial.number: trial for trial in spread.trials}
    assert [by_number[trial.number].values for trial in local.trials] == [trial.values for trial in local.trials]
    for trial in local.trials:
        outcome = by_number[trial.number].outcome
        assert outcome.score == pytest.approx(trial.outcome.score)
        assert outcome.problem == trial.outcome.problem
    assert spread.report.macro_f1 == local.report.macro_f1


# -- the command, and what it prints


@pytest.fixture
def result(finished: Finished) -> SweepResult:
    trials = [
        Trial(i, {"model.C": 10.0**-i, "model.class_weight": "none"}, TrialOutcome(0.5 + i / 100, 1.0))
        for i in range(12)
    ]
    trials.append(Trial(12, trials[0].values, TrialOutcome(None, 0.1, "MemoryError")))
    return SweepResult(
        Path("my sweep"), tuple(trials), trials[11], finished.result.report, {"model.C": 0.9, "model.x": 0.1}, 0, 1
    )


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """The lines printed since last asked, each with single spaces."""
    return lambda: [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_the_ten_best_are_listed_and_the_rest_is_counted(result: SweepResult, said: Any) -> None:
    print_sweep(result)
    lines = said()
    header = next(i for i, line in enumerate(lines) if line.startswith("trial C class_weight"))
    ranked = lines[header + 1 : header + 11]
    assert ranked[0] == "11 1e-11 none 0.610 1.0"
    assert [line.split()[0] for line in ranked] == [str(number) for number in range(11, 1, -1)]
    printed = " ".join(lines)
    assert "13 trials; 1 failed." in printed
    assert "Failed 1 time: MemoryError" in printed
    assert "model.C 90%, model.x 10%" in printed
    assert "of 13 trials (0.610) is too optimistic" in printed
    assert f"macro_f1 {result.report.macro_f1:.3f}" in printed
    following = (
        "communique train 'my sweep/best.toml'",
        "communique predict 'my sweep/best' ARTICLES --out tagged.csv",
    )
    assert printed.endswith(f"Next: {' '.join(following)}")
    assert "settings from this sweep have now been evaluated on test" not in printed


def test_a_second_look_at_test_is_confessed(result: SweepResult, said: Any) -> None:
    print_sweep(replace(result, resumed=4, tested=2, importances={}))
    printed = " ".join(said())
    assert "13 trials (4 from an earlier call); 1 failed." in printed
    assert "2 settings from this sweep have now been evaluated on test" in printed
    assert "explained by" not in printed


def write_toml(experiment: Experiment) -> Path:
    file = Path("mine.toml")
    space = '\n[sweep]\ntrials = 2\n[sweep.space]\nmodel.class_weight = ["balanced", "none"]\n'
    file.write_text(dump_experiment(experiment) + space, encoding="utf-8")
    return file


def test_the_command_sweeps_and_says_what_to_type_next(data: Path) -> None:
    file = write_toml(make_swept({}))
    done = CliRunner().invoke(app, ["sweep", str(file), "--set", "sweep.startup=1", "--set", "name=mine"])
    assert done.exit_code == 0, done.output
    assert "2 trials; 0 failed." in done.stdout
    assert json.loads((data / "runs" / "mine" / "best" / "report.json").read_text(encoding="utf-8"))["n_test"] > 0
    failed = CliRunner().invoke(app, ["sweep", str(file), "--set", "model.kind=majority"])
    assert failed.exit_code == 2


def test_the_command_says_that_an_interrupted_sweep_can_go_on(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.runs.choice.sweep, "run_sweep", interrupted)
    done = CliRunner().invoke(app, ["sweep", str(write_toml(make_swept({}))), "--out", "mine"])
    assert done.exit_code == 130
    assert "kept in mine; the same command continues" in done.stdout
