"""What happens to a finished run when MLflow fails, and how the run is logged later."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from labels.environment.progress import progress_to
from labels.errors import DataError, ExperimentError, TrackingError
from tests.lazy import Lazy
from tests.trainer.cli.test_commands import run
from tests.trainer.conftest import EXPERIMENT, REGISTERED, MakeExperiment, TrackedRun
from trainer.config.experiment import Experiment, parse_experiment
from trainer.evaluation.report import Report
from trainer.model.model import Model
from trainer.runs import run as runs
from trainer.runs.choice.sweep import run_sweep
from trainer.runs.learning_curve import run_learning_curve
from trainer.runs.run import run_experiment
from trainer.runs.tracking import registry, track, tracker, uploads
from trainer.runs.tracking.leaderboard import leaderboards
from trainer.runs.tracking.record import RECORD, read_record
from trainer.runs.tracking.registry import fetch_artefact
from trainer.runs.tracking.track import track_later

matplotlib = Lazy("matplotlib")
mlflow = Lazy("mlflow")
mlflow_cli = Lazy("mlflow.cli")
MlflowClient = Lazy("mlflow:MlflowClient")

OLD_RUN = Path(__file__).parents[2] / "compatibility" / "data" / "runs" / "tfidf"
TRACKED = {"enabled": True, "experiment": "mine"}


def logged_runs() -> list[Any]:
    found = mlflow.search_runs(search_all_experiments=True, output_format="list", order_by=["attributes.start_time"])
    return list(found)


def files_of(run_id: str) -> dict[str, bytes]:
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def after_fitting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let something happen in the world when the next model has been fitted."""

    def happens(event: Callable[[], object]) -> None:
        def fit_model(*arguments: Any, **options: Any) -> Any:
            fitted = original(*arguments, **options)
            event()
            return fitted

        original = runs.fit_model
        monkeypatch.setattr(runs, "fit_model", fit_model)

    return happens


def make_unusable(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("the disk is gone")


# -- failures at the end


def test_a_run_is_kept_when_the_storage_is_gone_and_logged_later(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, after_fitting: Any
) -> None:
    after_fitting(lambda: make_unusable(isolated / "mlruns"))
    result = run_experiment(experiment_of("majority", tracking=TRACKED), isolated / "out")
    assert result.run_id == ""
    assert "Not a directory" in result.tracked.problem
    assert Model.load(result.artefact).labels == ("aid", "truce")
    [failed] = logged_runs()
    assert failed.info.status == "FAILED"
    (isolated / "mlruns").unlink()

    assert f"out: logged as MLflow run {failed.info.run_id}, model models:/m-" in run("track", "out")
    [continued] = logged_runs()
    assert (continued.info.run_id, continued.info.status) == (failed.info.run_id, "FINISHED")
    assert "report.json" in files_of(continued.info.run_id)
    assert f"out: is already logged as MLflow run {failed.info.run_id}" in run("track", "out")


def test_the_command_says_that_a_run_is_not_tracked_and_what_to_type(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, after_fitting: Any
) -> None:
    after_fitting(lambda: make_unusable(isolated / "mlruns"))
    (isolated / "own.toml").write_text(
        'data.train = "data.jsonl"\ndata.codebook = "codebook.toml"\nmodel.kind = "majority"\n', encoding="utf-8"
    )
    experiment_of("majority")  # writes the data
    said = run("train", "own.toml", "--out", "out", code=1)
    assert "Error: the run is not tracked in MLflow: the MLflow store at" in said
    assert said.endswith("The folder of the run is complete. Log the run later with `communique track out`.")
    (isolated / "mlruns").unlink()
    run("track", "out")


def test_a_deleted_database_loses_no_run(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, after_fitting: Any, mlflow_template: Path
) -> None:
    after_fitting(lambda: (isolated / "mlflow.db").write_bytes(b"no database any more" * 100))
    result = run_experiment(experiment_of("majority", tracking=TRACKED), isolated / "out")
    assert "could not be written" in result.tracked.problem
    assert mlflow.active_run() is None
    shutil.copy(mlflow_template, isolated / "mlflow.db")
    track_later(isolated / "out")
    assert [run.info.status for run in logged_runs()] == ["FINISHED"]


def test_plots_that_cannot_be_drawn_lose_no_run(experiment_of: MakeExperiment, isolated: Path) -> None:
    with matplotlib.rc_context({"text.usetex": True, "text.latex.preamble": r"\usepackage{no-such-package}"}):
        result = run_experiment(experiment_of("majority"), isolated / "out")
        curve = run_learning_curve(experiment_of("majority"), isolated / "curve").curve
    for notes in (result.report.notes, curve.notes):
        assert notes[-1].startswith("the plots could not be drawn (")
    assert Model.load(result.artefact).labels == ("aid", "truce")
    assert Report.read(isolated / "out" / "report.json") == result.report


def test_an_interrupt_while_a_run_is_logged_loses_no_run(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "log_model", interrupt)
        result = run_experiment(experiment_of("majority", tracking=TRACKED), isolated / "out")
    assert result.tracked.problem == "logging was interrupted."
    assert "logged as MLflow run" in run("track", "out")
    assert [run.info.status for run in logged_runs()] == ["FINISHED"]


def test_a_database_of_another_version_of_mlflow_is_explained(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'acf3f17fdcc7'")
    said = nothing_was_fitted(experiment_of("majority", tracking=TRACKED), isolated / "out", monkeypatch)
    assert "Another version of MLflow wrote this database." in said
    assert f"`mlflow db upgrade {mlflow_store}`" in said


def test_a_model_that_cannot_be_registered_is_tracked(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, after_fitting: Any
) -> None:
    after_fitting(lambda: MlflowClient().register_prompt("taken", "Is {{text}} a pledge?"))
    experiment = experiment_of("majority", tracking=TRACKED | {"register_as": "taken"})
    result = run_experiment(experiment, isolated / "out")
    assert "its model could not be registered: a model cannot be registered as 'taken'" in result.tracked.problem
    assert (result.registered_version, result.model_uri != "") == ("", True)
    assert [run.info.status for run in logged_runs()] == ["FINISHED"]

    assert "MLflow has a prompt with this name" in run("track", "out", code=1)
    assert "a model cannot be registered as 'a/b'" in run("track", "out", "--register-as", "a/b", code=1)
    assert "registered as version 1." in run("track", "out", "--register-as", "free")
    assert "registered as version 1." in run("track", "out", "--register-as", "free")
    assert MlflowClient().get_model_version("free", "1").run_id == result.run_id


def test_a_sweep_goes_on_without_mlflow(experiment_of: MakeExperiment, isolated: Path, mlflow_store: str) -> None:
    def fail_after_two(stage: str, done: int, total: int) -> None:
        if stage == "Trials" and done == 2:
            (isolated / "mlflow.db").rename("aside.db")
            (isolated / "mlflow.db").write_bytes(b"no database any more" * 100)

    sweep = {"trials": 3, "space": {"model.C": [0.1, 1.0, 10.0]}}
    with progress_to(fail_after_two):
        result = run_sweep(experiment_of("tfidf", tracking=TRACKED, sweep=sweep), isolated / "out")
    assert len(result.trials) == 3
    assert result.tracked.problem
    assert result.best_tracked.problem
    (isolated / "aside.db").rename("mlflow.db")

    assert run("track", "out").count("logged as MLflow run") == 2  # the sweep and its best trial
    children = [run for run in logged_runs() if "mlflow.parentRunId" in run.data.tags]
    assert sorted(child.info.run_name for child in children) == [f"tfidf {trial.number}" for trial in result.trials]
    for child in children:
        [trial] = [trial for trial in result.trials if child.info.run_name == f"tfidf {trial.number}"]
        assert child.data.params == {"model.kind": "tfidf", "model.C": str(trial.values["model.C"])}
        assert child.data.metrics["validation_macro_f1"] == trial.outcome.score
    [best] = [run for run in logged_runs() if run.info.run_name == "tfidf-best"]
    assert best.data.metrics["macro_f1"] == pytest.approx(result.report.macro_f1)


def test_an_evaluation_is_kept_when_mlflow_fails(
    tracked_run: TrackedRun, isolated: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tracked_run.database.with_name("data.jsonl"), "rows.jsonl")
    (isolated / "mlruns").write_text("a file where MLflow needs a folder")
    artefact = tracked_run.result.artefact
    said = run("evaluate", artefact, "rows.jsonl", "--out", "report", code=1)
    assert said.endswith("Log the run later with `communique track report`.")
    assert "To keep the report, repeat the command with --out." in run("evaluate", artefact, "rows.jsonl", code=1)
    (isolated / "mlruns").unlink()
    run("track", "report")
    finished = [run for run in logged_runs() if run.info.status == "FINISHED"]
    assert [run.info.run_name for run in finished] == ["tfidf on rows.jsonl"]
    assert finished[0].data.metrics["macro_f1"] == pytest.approx(read_report(isolated / "report"))


def read_report(folder: Path) -> float | None:
    return Report.read(folder / "report.json").macro_f1


# -- logged later is logged completely


def described(client: Any, run_id: str) -> dict[str, Any]:
    """All that MLflow holds about a run, except ids, times and the process."""
    run = client.get_run(run_id)
    own = {tag: value for tag, value in run.data.tags.items() if not tag.startswith(("mlflow.", "communique.p"))}
    inputs = [(part.dataset.to_dictionary(), part.tags[0].value) for part in run.inputs.dataset_inputs]
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "experiment": client.get_experiment(run.info.experiment_id).name,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": own,
        "inputs": sorted(inputs, key=str),
        "models": len(run.outputs.model_outputs),
    }


def test_a_run_logged_later_is_the_same_as_a_run_logged_at_once(
    tracked_run: TrackedRun, isolated: Path, mlflow_store: str
) -> None:
    shutil.copytree(tracked_run.result.folder, isolated / "out")
    tracked, known = track_later(isolated / "out")
    assert not known
    first = MlflowClient(tracking_uri=f"sqlite:///{tracked_run.database}")
    assert described(MlflowClient(), tracked.run_id) == described(first, tracked_run.result.run_id)
    original = Path(first.download_artifacts(tracked_run.result.run_id, ""))
    files = {path.relative_to(original).as_posix(): path.read_bytes() for path in original.rglob("*") if path.is_file()}
    assert files_of(tracked.run_id) == files
    version = MlflowClient().get_model_version(REGISTERED, tracked.registered_version)
    assert (version.run_id, version.tags) == (tracked.run_id, {"kind": "tfidf"})
    fetched = fetch_artefact(f"models:/{REGISTERED}/{tracked.registered_version}")
    assert (fetched / "manifest.json").read_bytes() == (tracked_run.result.artefact / "manifest.json").read_bytes()
    assert read_record(isolated / "out").tracked == tracked


def test_a_run_that_was_logged_at_once_is_recognised_also_in_a_copy(
    tracked_store: str, tracked_run: TrackedRun, isolated: Path
) -> None:
    shutil.copytree(tracked_run.result.folder, isolated / "copy")
    (isolated / "copy" / RECORD).write_text(
        read_record(isolated / "copy").but(tracked=track.Tracked()).model_dump_json(), encoding="utf-8"
    )
    tracked, known = track_later(isolated / "copy")
    assert known
    assert tracked == tracked_run.result.tracked
    assert len(logged_runs()) == 1


def test_a_run_can_be_logged_in_another_experiment(tracked_store: str, tracked_run: TrackedRun, isolated: Path) -> None:
    shutil.copytree(tracked_run.result.folder, isolated / "out")
    run("track", "out", "--experiment", "other")
    names = [MlflowClient().get_experiment(run.info.experiment_id).name for run in logged_runs()]
    assert sorted(names) == ["other", EXPERIMENT]
    assert "already logged" in run("track", "out", "--experiment", "other")


def test_an_untracked_learning_curve_can_be_logged(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str
) -> None:
    result = run_learning_curve(experiment_of("majority"), isolated / "out")
    assert not logged_runs()
    tracked, _ = track_later(isolated / "out")
    history = MlflowClient().get_metric_history(tracked.run_id, "macro_f1")
    assert {metric.step: metric.value for metric in history} == {
        point.labelled: pytest.approx(point.macro_f1.value) for point in result.curve.points
    }
    assert {"learning_curve.json", "plots/learning_curve.png"} <= set(files_of(tracked.run_id))
    [logged] = logged_runs()
    assert MlflowClient().get_experiment(logged.info.experiment_id).name == "communique-learning-curves"


def test_a_run_of_an_older_version_can_be_logged(isolated: Path, mlflow_store: str) -> None:
    shutil.copytree(OLD_RUN, isolated / "old")
    printed = run("track", "old")
    assert "old: logged as MLflow run" in printed
    [logged] = logged_runs()
    assert logged.data.params["model.kind"] == "tfidf"
    assert logged.data.metrics["macro_f1"] == read_report(isolated / "old")
    assert {"split.hash", "data.judging_hash", "codebook.hash", "model.id"} <= set(logged.data.tags)
    assert "already logged" in run("track", "old")
    (isolated / "old" / RECORD).unlink()
    assert "already logged" in run("track", "old")


@pytest.mark.parametrize("tracked_before", [False, True])
def test_a_run_that_an_older_version_tracked_is_recognised(
    isolated: Path, mlflow_store: str, tracked_before: bool
) -> None:
    shutil.copytree(OLD_RUN, isolated / "old")
    model_id = read_record(isolated / "old").older_model
    experiment = MlflowClient().create_experiment("theirs")
    old = MlflowClient().create_run(experiment, tags={"model.id": model_id if tracked_before else "other"})
    MlflowClient().set_terminated(old.info.run_id, "FINISHED")
    tracked, known = track_later(isolated / "old")
    assert (known, tracked.run_id == old.info.run_id) == (tracked_before, tracked_before)


def test_a_faulty_folder_does_not_keep_the_others_from_being_logged(
    tracked_run: TrackedRun, isolated: Path, mlflow_store: str
) -> None:
    (isolated / "empty").mkdir()
    for name in ("one", "two", "torn", "cut"):
        shutil.copytree(tracked_run.result.folder, isolated / name)
    (isolated / "two" / RECORD).write_text(
        read_record(isolated / "one").but(id="another").model_dump_json(), encoding="utf-8"
    )
    (isolated / "torn" / RECORD).write_text('{"id": 1', encoding="utf-8")
    (isolated / "cut" / RECORD).write_text(
        read_record(isolated / "one").but(id="third").model_dump_json(), encoding="utf-8"
    )
    (isolated / "cut" / "split.json").unlink()
    said = run("track", "empty", "torn", "one", "cut", "two", code=2)
    assert "empty: this is not the folder of a run: it has no tracking.json" in said
    assert "torn/tracking.json: this record of a run is damaged" in said
    assert "cut/split.json: this output of the run is missing" in said
    assert sorted(run.info.status for run in logged_runs()) == ["FAILED", "FINISHED", "FINISHED"]


def test_a_sweep_that_is_not_finished_is_named_as_such(isolated: Path, mlflow_store: str) -> None:
    (isolated / "out").mkdir()
    (isolated / "out" / "study.journal").touch()
    with pytest.raises(DataError, match=r"out: this sweep is not finished\. Run the sweep command again"):
        track_later(isolated / "out")


def test_track_without_a_run_says_what_to_name(mlflow_store: str) -> None:
    assert "name at least one folder of a run" in run("track", code=2)


# -- checked before training


@pytest.mark.parametrize("name", ["team/model", "a:b", " "])
def test_an_invalid_name_for_the_model_is_refused_with_the_experiment(name: str) -> None:
    content = {"name": "x", "model": {"kind": "majority"}, "tracking": {"register_as": name}}
    with pytest.raises(ExperimentError, match=r"tracking: .*register_as"):
        parse_experiment(content, "x.toml")


def nothing_was_fitted(experiment: Experiment, out: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(runs, "fit_model", lambda *_, **__: pytest.fail("a model was fitted"))
    with pytest.raises(TrackingError) as caught:
        run_experiment(experiment, out)
    assert not out.exists()
    return str(caught.value)


def test_a_prompt_of_the_same_name_is_found_before_training(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MlflowClient().register_prompt("taken", "Is {{text}} a pledge?")
    experiment = experiment_of("majority", tracking=TRACKED | {"register_as": "taken"})
    assert "MLflow has a prompt with this name" in nothing_was_fitted(experiment, isolated / "out", monkeypatch)


def test_a_deleted_experiment_is_found_before_training_and_can_be_restored_as_the_message_says(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str
) -> None:
    experiment = experiment_of("majority", tracking=TRACKED)
    MlflowClient().delete_experiment(MlflowClient().create_experiment("mine"))
    with pytest.MonkeyPatch.context() as patch:
        said = nothing_was_fitted(experiment, isolated / "out", patch)
    assert "the MLflow experiment 'mine' was deleted" in said
    assert "'mine' was deleted" in run("leaderboard", "--experiment", "mine", code=1)
    repair = said.split("`")[1].split()
    assert repair[:2] == ["mlflow", "experiments"]
    restored = CliRunner().invoke(mlflow_cli.cli, repair[1:])
    assert restored.exit_code == 0, restored.output
    assert run_experiment(experiment, isolated / "out").run_id


def test_artifacts_that_cannot_be_stored_are_found_before_training(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / "mlruns").write_text("a file where MLflow needs a folder")
    experiment = experiment_of("majority", tracking=TRACKED)
    assert "Not a directory" in nothing_was_fitted(experiment, isolated / "out", monkeypatch)


def test_a_missing_package_for_the_storage_is_named_before_training(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    MlflowClient().create_experiment("mine", artifact_location="s3://bucket/place")
    said = nothing_was_fitted(experiment_of("majority", tracking=TRACKED), isolated / "out", monkeypatch)
    assert "ModuleNotFoundError: " in said
    assert said.endswith("Install the missing package: `pip install boto3`.")


@pytest.fixture
def project(isolated: Path, mlflow_store: str, experiment_of: MakeExperiment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a run, tracked in its own mlflow.db as `communique train` does by default."""
    folder = isolated / "project one"
    folder.mkdir()
    for name in ("mlflow.db", "data.jsonl", "codebook.toml"):
        (isolated / name).rename(folder / name)
    enter(folder, monkeypatch)
    run_experiment(own_experiment(), Path("out"))
    return folder


def own_experiment() -> Experiment:
    data = {"train": "data.jsonl", "codebook": "codebook.toml"}
    tracking = TRACKED | {"register_as": "mine"}
    return parse_experiment({"name": "x", "data": data, "model": {"kind": "majority"}, "tracking": tracking}, "x")


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder, with MLflow's store there."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "copied"])
def test_a_moved_project_is_noticed_and_its_paths_are_corrected(
    project: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    new = project.with_name("näw")
    shutil.copytree(project, new)
    if moved:
        shutil.rmtree(project)
    before = sorted(path for path in project.rglob("*"))
    enter(new, monkeypatch)
    with pytest.MonkeyPatch.context() as patch:
        said = nothing_was_fitted(own_experiment(), Path("more"), patch)
    assert f"the MLflow experiment 'mine': its files are recorded in {project}" in said
    assert "`communique track --moved`" in said
    if moved:
        assert "the project folder was probably moved" in run("evaluate", "models:/mine/1", "data.jsonl", code=2)
    assert "mlflow.db: " in run("track", "--moved")
    assert "mlflow.db: 0 paths corrected." in run("track", "--moved")
    result = run_experiment(own_experiment(), Path("more"))
    assert (fetch_artefact("models:/mine/1") / "manifest.json").is_file()
    assert fetch_artefact(result.model_uri).is_relative_to(new) or moved
    assert sorted(path for path in project.rglob("*")) == before
    assert len(list(new.glob("mlruns/*/models/*"))) == 2


def test_only_a_sqlite_file_has_paths_to_correct(monkeypatch: pytest.MonkeyPatch, isolated: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    assert "--moved corrects only a SQLite file" in run("track", "--moved", code=2)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "there is no file mlflow.db" in run("track", "--moved", code=1)
    assert not list(isolated.iterdir())


# -- aliases and versions


def test_an_alias_of_a_deleted_version_is_explained_and_the_repair_works(
    tracked_store: str, tracked_run: TrackedRun, isolated: Path
) -> None:
    reference = f"models:/{REGISTERED}@champion"
    assert f"has no alias 'champion' of the registered model '{REGISTERED}'" in run(
        "evaluate", reference, "x.jsonl", code=2
    )
    registry.register(tracked_run.result.model_uri, REGISTERED, {})
    registry.point_champion(REGISTERED, "2")
    MlflowClient().delete_model_version(REGISTERED, "2")
    said = run("evaluate", reference, "x.jsonl", code=2)
    assert f"Use a version that exists (models:/{REGISTERED}/1)" in said
    code = said.partition('python -c "')[2].partition('"')[0]
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (fetch_artefact(reference) / "manifest.json").is_file()
    MlflowClient().delete_model_version(REGISTERED, "1")
    said = run("evaluate", reference, "x.jsonl", code=2)
    assert f"no version is left. Register a model with `communique track RUN --register-as {REGISTERED}`" in said


def test_an_alias_of_a_version_that_never_was_is_explained(
    tracked_store: str, tracked_run: TrackedRun, isolated: Path
) -> None:
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        values = (REGISTERED, "champion", 7)
        database.execute("INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, ?, ?)", values)
    said = run("evaluate", f"models:/{REGISTERED}@champion", "x.jsonl", code=2)
    assert f"the alias 'champion' points at version 7 of '{REGISTERED}', which was deleted" in said
    assert f"Use a version that exists (models:/{REGISTERED}/1)" in said
    [board] = leaderboards(EXPERIMENT)
    assert [row.champion for row in board.rows] == [False]


@pytest.mark.parametrize("gone", ["files", "run", "model"])
def test_a_model_whose_files_are_gone_is_explained(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, gone: str
) -> None:
    result = run_experiment(experiment_of("majority", tracking=TRACKED | {"register_as": "mine"}), isolated / "out")
    if gone == "files":
        shutil.rmtree(next((isolated / "mlruns").glob("*/models")))
        said = run("evaluate", "models:/mine/1", "x.jsonl", code=2)
        assert "version 1 of 'mine' is registered, but its files in" in said
        assert "use the folder of run" in said
    elif gone == "run":
        MlflowClient().delete_run(result.run_id)
        shutil.rmtree(next((isolated / "mlruns").glob(f"*/{result.run_id}")))
        said = run("evaluate", f"runs:/{result.run_id}/plots", "x.jsonl", code=2)
        restored = CliRunner().invoke(mlflow_cli.cli, said.split("`")[1].split()[1:])
        assert restored.exit_code == 0, restored.output
        assert MlflowClient().get_run(result.run_id).info.lifecycle_stage == "active"
    else:
        MlflowClient().delete_logged_model(result.model_uri.removeprefix("models:/"))
        said = run("evaluate", result.model_uri, "x.jsonl", code=2)
        assert f"{result.model_uri}: " in said


# -- the leaderboard always says something


def test_a_leaderboard_without_a_store_creates_none(isolated: Path) -> None:
    said = run("leaderboard", code=1)
    assert "nothing has been logged to MLflow yet: there is no file mlflow.db" in said
    assert not list(isolated.iterdir())


def test_a_leaderboard_of_an_unknown_experiment_names_the_known(mlflow_store: str) -> None:
    MlflowClient().create_experiment("wards")
    said = run("leaderboard", "--experiment", "words", code=1)
    assert "has no experiment 'words' (did you mean 'wards'?). It has wards." in said


@pytest.mark.parametrize("runs_were_deleted", [False, True])
def test_a_leaderboard_without_runs_says_so(mlflow_store: str, runs_were_deleted: bool) -> None:
    experiment = MlflowClient().create_experiment("words")
    if runs_were_deleted:
        MlflowClient().delete_run(MlflowClient().create_run(experiment).info.run_id)
    printed = run("leaderboard", "--experiment", "words")
    assert "The MLflow experiment 'words' has no runs yet." in printed
    assert ("1 run was deleted" in printed) == runs_were_deleted


def test_a_leaderboard_of_failed_runs_says_so(mlflow_store: str) -> None:
    with pytest.raises(ValueError), tracker.tracked_run("words", "tfidf", {}):
        raise ValueError
    printed = run("leaderboard", "--experiment", "words")
    assert "tfidf (failed)" in printed
    assert "No run has finished, so there are no figures." in printed
