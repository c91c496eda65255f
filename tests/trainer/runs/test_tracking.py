from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from labels.errors import ArtefactError, TrackingError
from labels.output.drafts import cache_folder
from tests.lazy import Lazy
from tests.trainer.conftest import EXPERIMENT, REGISTERED, TrackedRun
from trainer.runs.tracking import connection, leaderboard, registry, tracker

mlflow = Lazy("mlflow")
MlflowClient = Lazy("mlflow:MlflowClient")

HERE = socket.gethostname()


def open_run(name: str = "run", tags: dict[str, str] | None = None) -> Any:
    """A RUNNING run with these tags, as another process would have left it."""
    client = MlflowClient()
    found = client.get_experiment_by_name("others")
    experiment_id = found.experiment_id if found else client.create_experiment("others")
    return client.create_run(experiment_id, run_name=name, tags=tags or {})


def status_of(run_id: str) -> str:
    return str(MlflowClient().get_run(run_id).info.status)


def process_tags(process: psutil.Process, host: str = HERE) -> dict[str, str]:
    return {
        "communique.host": host,
        "communique.pid": str(process.pid),
        "communique.process_started": f"{process.create_time():.2f}",
    }


@pytest.fixture
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    """A living process of our own."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        yield process


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_run_ends_as_its_work_ended(mlflow_store: str, error: type[BaseException] | None, status: str) -> None:
    seen: list[str] = []

    def work() -> None:
        with tracker.tracked_run("work", "a name", {"colour": "blue"}) as mlflow_run:
            seen.append(mlflow_run.run_id)
            assert status_of(mlflow_run.run_id) == "RUNNING"
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(error):
            work()
    run = MlflowClient().get_run(seen[0])
    assert (run.info.status, run.info.run_name, run.data.tags["colour"]) == (status, "a name", "blue")
    assert mlflow.active_run() is None


def test_run_says_which_process_made_it(mlflow_store: str) -> None:
    with tracker.tracked_run("work", "run", {}) as mlflow_run:
        tags = MlflowClient().get_run(mlflow_run.run_id).data.tags
    assert tags.items() >= process_tags(psutil.Process()).items()


def test_run_inside_a_users_own_run_is_refused_and_leaves_theirs_open(mlflow_store: str) -> None:
    mlflow.set_experiment("theirs")
    with mlflow.start_run() as theirs:
        with pytest.raises(TrackingError), tracker.tracked_run("work", "run", {}):
            pass
        assert status_of(theirs.info.run_id) == "RUNNING"


def test_deleted_experiment_is_refused(mlflow_store: str) -> None:
    MlflowClient().delete_experiment(MlflowClient().create_experiment("gone"))
    with pytest.raises(TrackingError, match=r"'gone' was deleted.*restore"), tracker.tracked_run("gone", "run", {}):
        pass


def test_stale_run_of_a_process_that_ended_is_killed(mlflow_store: str, other_process: subprocess.Popen[bytes]) -> None:
    run = open_run(tags=process_tags(psutil.Process(other_process.pid)))
    connection.connect()
    assert status_of(run.info.run_id) == "RUNNING"
    other_process.communicate()
    connection.connect()
    assert status_of(run.info.run_id) == "KILLED"
    assert MlflowClient().get_run(run.info.run_id).info.end_time is not None


def test_stale_run_whose_process_number_another_process_bears_now_is_killed(mlflow_store: str) -> None:
    run = open_run(tags=process_tags(psutil.Process()) | {"communique.process_started": "1.00"})
    assert connection.mark_stale_runs() == 1
    assert status_of(run.info.run_id) == "KILLED"


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(lambda: process_tags(psutil.Process()), id="living-process"),
        pytest.param(lambda: process_tags(psutil.Process(), "elsewhere") | {"communique.pid": "1"}, id="other-host"),
        pytest.param(dict, id="not-ours"),
    ],
)
def test_run_that_may_still_be_running_is_left_alone(mlflow_store: str, tags: Callable[[], dict[str, str]]) -> None:
    run = open_run(tags=tags())
    assert connection.mark_stale_runs() == 0
    assert status_of(run.info.run_id) == "RUNNING"


def test_runs_that_ended_are_left_as_they_ended(mlflow_store: str, other_process: subprocess.Popen[bytes]) -> None:
    run = open_run(tags=process_tags(psutil.Process(other_process.pid)))
    MlflowClient().set_terminated(run.info.run_id, "FAILED")
    other_process.communicate()
    assert connection.mark_stale_runs() == 0
    assert status_of(run.info.run_id) == "FAILED"


def test_store_that_cannot_be_reached_is_named(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (isolated / "file").write_text("")
    uri = f"sqlite:///{isolated / 'file' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_URI") as caught:
        connection.connect()
    assert uri in str(caught.value)
    assert caught.value.exit_code == 1


def test_store_is_a_file_in_the_working_folder_of_the_moment(
    isolated: Path, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / "next").mkdir()
    for folder in (isolated, isolated / "next"):
        shutil.copy(mlflow_template, folder / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    # In a process of its own, because the variable is written there.
    code = """
import os
from trainer.runs.tracking import connection, tracker
for folder, name in ((".", "here"), ("next", "there")):
    os.chdir(folder)
    connection.connect()
    with tracker.tracked_run("work", name, {}):
        pass
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    for folder, name in ((isolated, "here"), (isolated / "next", "there")):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        assert [row.name for row in leaderboard.list_runs("work")] == [name]


@pytest.fixture
def new_store(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where MLflow is told to log: a SQLite file that does not exist yet."""
    path = isolated / "new.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    return path


def kept_database() -> Path:
    return cache_folder() / "mlflow" / f"empty-{mlflow.__version__}.db"


def test_a_missing_database_is_a_copy_of_the_empty_one_in_the_cache(new_store: Path, mlflow_template: Path) -> None:
    kept_database().parent.mkdir(parents=True)
    shutil.copy(mlflow_template, kept_database())
    before = kept_database().read_bytes()
    connection.connect()
    with tracker.tracked_run("work", "here", {}):
        pass
    assert [row.name for row in leaderboard.list_runs("work")] == ["here"]
    assert kept_database().read_bytes() == before
    assert not list(new_store.parent.glob(".new*"))


@pytest.mark.slow
def test_the_empty_database_is_made_where_the_cache_has_none(new_store: Path) -> None:
    connection.connect()
    with closing(sqlite3.connect(kept_database())) as database:
        assert database.execute("SELECT count(*) FROM experiments").fetchone() == (0,)
    assert [each.name for each in MlflowClient().search_experiments()] == ["Default"]


def test_a_cache_that_cannot_be_written_leaves_the_database_to_mlflow(
    new_store: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / "file").touch()
    monkeypatch.setenv("COMMUNIQUE_CACHE", str(isolated / "file"))
    connection.connect()
    assert new_store.is_file()


def test_an_existing_database_is_left_as_it_is(mlflow_store: str, isolated: Path) -> None:
    with tracker.tracked_run("work", "before", {}):
        pass
    connection.connect()
    assert [row.name for row in leaderboard.list_runs("work")] == ["before"]
    assert not (cache_folder() / "mlflow").exists()


def test_what_is_logged_can_be_read_back(mlflow_store: str, isolated: Path) -> None:
    (isolated / "plots" / "deep").mkdir(parents=True)
    (isolated / "plots" / "deep" / "a.txt").write_text("a")
    (isolated / "b.txt").write_text("b")
    with tracker.tracked_run("work", "run", {}) as mlflow_run:
        mlflow_run.log_params({"model.kind": "tfidf", "long": "x" * 900, "number": 3})
        mlflow_run.log_metrics({"macro_f1": 0.5, "undefined": None, "n": 7})
        mlflow_run.set_tags({"late": "tag"})
        mlflow_run.log_output(isolated / "plots")
        mlflow_run.log_output(isolated / "b.txt")
        mlflow_run.log_text("ç", "c.toml")
    run = MlflowClient().get_run(mlflow_run.run_id)
    assert run.data.params == {"model.kind": "tfidf", "long": "x" * 500, "number": "3"}
    assert run.data.metrics == {"macro_f1": 0.5, "n": 7.0}
    assert run.data.tags["late"] == "tag"
    for name, text in (("plots/deep/a.txt", "a"), ("b.txt", "b"), ("c.toml", "ç")):
        local = mlflow.artifacts.download_artifacts(run_id=mlflow_run.run_id, artifact_path=name)
        assert Path(local).read_text(encoding="utf-8") == text


def test_datasets_are_logged_with_their_size(mlflow_store: str) -> None:
    with tracker.tracked_run("work", "run", {}) as mlflow_run:
        mlflow_run.log_examples("train", 3, "corpus.jsonl", "abc123")
    [logged] = MlflowClient().get_run(mlflow_run.run_id).inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("train", "abc123")
    assert '"num_rows": 3' in logged.dataset.profile
    assert "corpus.jsonl" in logged.dataset.source
    assert [(tag.key, tag.value) for tag in logged.tags] == [("mlflow.data.context", "train")]


def test_what_mlflow_refuses_to_log_is_a_tracking_error(mlflow_store: str) -> None:
    with pytest.raises(TrackingError), tracker.tracked_run("work", "run", {}) as mlflow_run:
        mlflow_run.log_metrics({"f1." + "a" * 300: 0.5})
    [row] = leaderboard.list_runs("work")
    assert row.status == "FAILED"


def test_versions_of_a_registered_model_count_up_and_bear_their_tags(
    tracked_store: str, tracked_run: TrackedRun
) -> None:
    assert registry.register(tracked_run.result.model_uri, "fresh", {"kind": "tfidf"}) == "1"
    assert registry.register(tracked_run.result.model_uri, "fresh", {"kind": "other"}) == "2"
    version = MlflowClient().get_model_version("fresh", "2")
    assert version.run_id == tracked_run.result.run_id
    assert version.tags == {"kind": "other"}


def test_registering_says_nothing_on_the_terminal(
    tracked_store: str, tracked_run: TrackedRun, capfd: pytest.CaptureFixture[str]
) -> None:
    registry.register(tracked_run.result.model_uri, "fresh", {})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("uri", "name"), [("models:/m-0000", "fresh"), ("", "not/a:name")])
def test_registering_what_mlflow_does_not_take_is_a_tracking_error(
    tracked_store: str, tracked_run: TrackedRun, uri: str, name: str
) -> None:
    with pytest.raises(TrackingError):
        registry.register(uri or tracked_run.result.model_uri, name, {})


def test_champion_is_the_version_pointed_at_last(tracked_store: str, tracked_run: TrackedRun) -> None:
    registry.register(tracked_run.result.model_uri, REGISTERED, {})
    client = MlflowClient()
    for version in ("1", "2", "1"):
        registry.point_champion(REGISTERED, version)
        assert str(client.get_model_version_by_alias(REGISTERED, "champion").version) == version


def test_pointing_the_champion_at_an_unknown_version_is_a_tracking_error(tracked_store: str) -> None:
    with pytest.raises(TrackingError, match="9"):
        registry.point_champion(REGISTERED, "9")


def artefact_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "reference",
    ["models:/{name}@champion", "models:/{name}/1", "{model}", "runs:/{run}/artefact"],
    ids=["alias", "version", "logged-model", "run"],
)
def test_artefact_is_fetched_whole_by_any_reference(
    tracked_store: str, tracked_run: TrackedRun, reference: str
) -> None:
    result = tracked_run.result
    registry.point_champion(REGISTERED, result.registered_version)
    uri = reference.format(name=REGISTERED, model=result.model_uri, run=result.run_id)
    assert artefact_files(registry.fetch_artefact(uri)) == artefact_files(result.artefact)


@pytest.mark.parametrize(
    "reference",
    [
        "models:/nobody@champion",
        f"models:/{REGISTERED}@nobody",
        f"models:/{REGISTERED}/99",
        "models:/m-0123456789abcdef",
        "models:/",
        f"runs:/{'0' * 32}/artefact",
        "runs:/{run}/nothing",
        "runs:/{run}",
    ],
)
def test_unknown_reference_is_named_with_the_store_and_the_repair(
    tracked_store: str, tracked_run: TrackedRun, reference: str
) -> None:
    uri = reference.format(run=tracked_run.result.run_id)
    with pytest.raises(ArtefactError, match="communique leaderboard") as caught:
        registry.fetch_artefact(uri)
    assert str(caught.value).startswith(f"{uri}: ")
    assert tracked_store in str(caught.value)


def test_reference_to_something_else_than_an_artefact_is_refused(tracked_store: str, tracked_run: TrackedRun) -> None:
    with pytest.raises(ArtefactError, match=r"plots: .*manifest\.json"):
        registry.fetch_artefact(f"runs:/{tracked_run.result.run_id}/plots")


def test_path_is_its_own_artefact_and_mlflow_is_not_asked(isolated: Path) -> None:
    assert registry.fetch_artefact("runs/words/artefact") == Path("runs/words/artefact")
    assert not list(isolated.iterdir())


def test_folder_of_a_run_stands_for_the_artefact_in_it(isolated: Path) -> None:
    (isolated / "run" / "artefact").mkdir(parents=True)
    assert registry.fetch_artefact("run") == Path("run")
    (isolated / "run" / "artefact" / "manifest.json").touch()
    assert registry.fetch_artefact("run") == Path("run/artefact")


def test_runs_are_listed_newest_first_with_what_they_logged(mlflow_store: str) -> None:
    for name in ("first", "second", "third"):
        with tracker.tracked_run("work", name, {"split.hash": name}) as mlflow_run:
            mlflow_run.log_params({"model.kind": f"kind of {name}"})
            mlflow_run.log_metrics({"macro_f1": len(name)})
    with tracker.tracked_run("elsewhere", "fourth", {}):
        pass
    rows = leaderboard.list_runs("work")
    assert [row.name for row in rows] == ["third", "second", "first"]
    assert [row.params["model.kind"] for row in rows] == ["kind of third", "kind of second", "kind of first"]
    assert [row.metrics["macro_f1"] for row in rows] == [5, 6, 5]
    assert [row.tags["split.hash"] for row in rows] == ["third", "second", "first"]
    assert "micro_f1" not in rows[0].metrics
    assert not any(row.champion for row in rows)


def test_champion_is_marked_among_the_runs(tracked_store: str, tracked_run: TrackedRun) -> None:
    with tracker.tracked_run(EXPERIMENT, "another", {}):
        pass
    registry.point_champion(REGISTERED, tracked_run.result.registered_version)
    marked = {row.run_id: row.champion for row in leaderboard.list_runs(EXPERIMENT)}
    assert len(marked) == 2
    assert [run_id for run_id, champion in marked.items() if champion] == [tracked_run.result.run_id]


def test_champion_is_marked_however_many_models_are_registered(tracked_store: str, tracked_run: TrackedRun) -> None:
    client = MlflowClient()
    for i in range(100):  # MLflow lists them by name, a hundred at a time
        client.create_registered_model(f"a{i:03d}")
    registry.point_champion(REGISTERED, tracked_run.result.registered_version)
    [row] = leaderboard.list_runs(EXPERIMENT)
    assert row.champion


def test_listing_an_unknown_experiment_says_how_to_get_one(mlflow_store: str) -> None:
    with pytest.raises(TrackingError, match=r"'nowhere'.*--experiment") as caught:
        leaderboard.list_runs("nowhere")
    assert mlflow_store in str(caught.value)


def test_run_of_this_process_stays_open_while_runs_are_listed(mlflow_store: str) -> None:
    with tracker.tracked_run("work", "open", {}):
        [row] = leaderboard.list_runs("work")
        assert row.status == "RUNNING"
    assert os.environ["MLFLOW_TRACKING_URI"] == mlflow_store
