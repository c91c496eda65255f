from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import make_examples
from tests.lazy import Lazy
from tests.trainer.conftest import TrackedRun, disturbed, write_examples
from trainer.cli import app
from trainer.data.dataset import hash_test
from trainer.evaluation.report import Report
from trainer.runs.publication.material import read_contents
from trainer.runs.run import RunResult, run_experiment
from trainer.runs.tracking.looks import TEST_TAG, count_looks, note_look

MlflowClient = Lazy("mlflow:MlflowClient")


def command(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def test_a_run_is_the_first_look_at_its_test_part(tracked_run: TrackedRun, tracked_store: str) -> None:
    report = Report.read(tracked_run.result.folder / "report.json")
    assert report.test_looks == 1
    assert report.test_hash
    assert MlflowClient().get_run(tracked_run.result.run_id).data.tags[TEST_TAG] == report.test_hash
    assert count_looks(report.test_hash) == 1


def test_every_command_that_shows_test_figures_is_counted(both: RunResult, tracked_run: TrackedRun) -> None:
    first, second = str(tracked_run.result.folder), str(both.folder)
    looks = Report.read(both.folder / "report.json").test_looks
    assert looks == 2  # the same test part as the first run
    command("compare", first, second)
    assert count_looks(both.report.test_hash) == 2  # on validation, nobody has seen test
    assert "were shown 3 times" in command("compare", first, second, "--part", "test")
    contents = read_contents(first)
    assert (contents.report.test_looks, contents.report.test_hash) == (4, both.report.test_hash)
    command("report", first, "--out", "pages")
    assert "shown 5 times" in Path("pages/report.html").read_text("utf-8")


def test_evaluations_of_the_same_sentences_are_counted_whatever_their_ids(
    tracked_run: TrackedRun, tracked_store: str
) -> None:
    examples = disturbed(make_examples(60))
    write_examples(Path("one.jsonl"), examples)
    rows = [line.replace('"example_id"', '"number"') for line in Path("one.jsonl").read_text("utf-8").splitlines()]
    Path("two.jsonl").write_text("\n".join(reversed(rows)), "utf-8")
    folder = str(tracked_run.result.folder)
    command("evaluate", folder, "one.jsonl", "--out", "first")
    assert "were shown 2 times" in command("evaluate", folder, "two.jsonl", "--out", "second")
    reports = [Report.read(Path(name) / "report.json") for name in ("first", "second")]
    assert [report.test_looks for report in reports] == [1, 2]
    assert {report.test_hash for report in reports} == {hash_test(examples)}


def test_failed_runs_show_nothing_and_deleted_ones_have_been_seen(mlflow_store: str) -> None:
    assert [note_look("abc", "report", ["runs/x"]) for _ in range(2)] == [1, 2]
    client = MlflowClient()
    client.delete_run(
        client.search_runs([client.get_experiment_by_name("communique-looks").experiment_id])[0].info.run_id
    )
    assert count_looks("abc") == 2
    failed = client.create_run(client.get_experiment_by_name("communique-looks").experiment_id, tags={TEST_TAG: "abc"})
    client.set_terminated(failed.info.run_id, "FAILED")
    assert count_looks("abc") == 2


def test_without_a_store_nothing_is_counted_and_none_is_made(tracked_run: TrackedRun, isolated: Path) -> None:
    experiment = tracked_run.experiment
    untracked = experiment.tracking.model_copy(update={"enabled": False})
    result = run_experiment(experiment.model_copy(update={"tracking": untracked}), Path("plain"))
    assert (result.report.test_looks, bool(result.report.test_hash)) == (None, True)
    assert note_look("abc", "report", ["plain"]) is None
    assert not Path("mlflow.db").exists()


def test_an_unreadable_store_is_no_obstacle(mlflow_store: str, caplog: pytest.LogCaptureFixture) -> None:
    Path("mlflow.db").write_bytes(b"no database")
    assert count_looks("abc") is None
    assert "could not be counted" in caplog.text
