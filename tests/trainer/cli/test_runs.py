from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.trainer.conftest import EXPERIMENT, TrackedRun
from trainer.cli import app
from trainer.runs.tracking import tracker
from trainer.runs.tracking.surroundings import describe_surroundings


def said(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["runs", *arguments])
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


@pytest.fixture
def many(tracked_store: str) -> None:
    """Three more runs beside `tracked_run`, one of which failed."""
    for name, score in (("first", 0.5), ("second", 0.9)):
        with tracker.tracked_run("other", name, {"codebook.version": "2"}) as run:
            run.log_params({"model.kind": "majority"})
            run.log_metrics({"macro_f1": score})
    with pytest.raises(ValueError), tracker.tracked_run("other", "broken", {}):
        raise ValueError("no luck")


def names(printed: str) -> list[str]:
    return [line.split()[0] for line in printed.splitlines()[1:] if line.strip()]


def test_runs_of_all_experiments_are_listed_newest_first(many: None) -> None:
    assert names(said()) == ["broken", "second", "first", "words"]
    assert names(said("--experiment", "other", "--limit", "2"))[:2] == ["broken", "second"]
    assert "1 more run" in said("--experiment", "other", "--limit", "2")


def test_runs_are_filtered_and_sorted(many: None) -> None:
    assert names(said("--filter", "params.`model.kind` = 'majority'", "--sort", "macro_f1")) == ["first", "second"]
    assert names(said("--experiment", "other", "--sort", "-macro_f1")) == ["second", "first", "broken"]
    shown = said("--filter", "attributes.status = 'FAILED'", "--columns", "problem")
    assert "ValueError: no luck" in shown
    assert "No run matches" in said("--filter", "metrics.macro_f1 > 2")


def test_long_values_leave_the_names_whole(many: None) -> None:
    columns = ("data.judging_hash", "data.training_hash", "machine.system", "codebook.hash", "package.torch")
    shown = said("--columns", ",".join(columns))
    found = ["name", "broken", "second", "first", "words"]
    assert [line.split()[0] for line in shown.splitlines()] == found * (shown.count("name  "))
    assert all(column in shown for column in columns)
    assert "…" in shown


def test_runs_are_written_with_all_their_values(many: None, tracked_run: TrackedRun) -> None:
    assert "runs.csv: 4 runs." in said("--csv", "runs.csv")
    with Path("runs.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    own = rows["words"]
    assert (own["run_id"], own["experiment"], own["status"]) == (tracked_run.result.run_id, EXPERIMENT, "FINISHED")
    assert float(own["metrics.macro_f1"]) == pytest.approx(tracked_run.result.report.macro_f1)
    assert own["params.model.kind"] == "tfidf"
    assert rows["second"]["tags.codebook.version"] == "2"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--filter", "macro_f1 is large"], "--filter macro_f1 is large: MLflow does not understand this filter", 2),
        (["--sort", "macro_f"], "no run has a metric, param or tag 'macro_f' (did you mean 'macro_f1'?)", 2),
        (["--experiment", "othr"], "no experiment 'othr' (did you mean 'other'?)", 1),
    ],
)
def test_bad_input_is_one_message(many: None, arguments: list[str], message: str, code: int) -> None:
    assert message in " ".join(said(*arguments, code=code).split())


def test_the_commit_of_the_working_folder_is_a_tag(isolated: Path) -> None:
    assert "git.commit" not in describe_surroundings()
    (isolated / "a.txt").write_text("a")
    config = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    for command in (["init", "-q"], ["add", "a.txt"], [*config, "commit", "-qm", "a"]):
        subprocess.run(["git", *command], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert describe_surroundings()["git.commit"] == commit
    (isolated / "a.txt").write_text("b")
    assert describe_surroundings()["git.commit"] == f"{commit} (with changes)"
