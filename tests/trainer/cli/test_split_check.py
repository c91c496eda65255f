from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import make_examples
from tests.trainer.conftest import TrackedRun, write_examples
from trainer.cli import app


def check(*arguments: str, code: int) -> str:
    done = CliRunner().invoke(app, ["split", "check", *arguments])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def test_files_without_leaks_are_clean() -> None:
    Path("a.jsonl").write_text('{"text": "Rain fell."}\n', "utf-8")
    Path("b.jsonl").write_text('{"text": "Snow fell."}\n{"text": "Rain fell!"}\n', "utf-8")
    assert "No sentence leaks." in check("a.jsonl", "b.jsonl", code=0)
    assert "50.0%" in check("a.jsonl", "b.jsonl", "--short", code=1)


def test_leaks_are_counted_shown_and_weighed(tracked_run: TrackedRun) -> None:
    train = Path(tracked_run.experiment.data.train)
    learned = make_examples(300)[:40]
    fresh = [
        replace(one, id=f"n{i}", document_id=f"n{i}", text=f"Quite another report, number {i}, arrived.", labels=())
        for i, one in enumerate(learned)
    ]
    test = write_examples(Path("test.jsonl"), [*fresh, *learned])
    output = check(
        str(train), str(test), "--model", str(tracked_run.result.folder), "--json", "found.json", "--show", "1", code=1
    )
    assert "exact: the same text" in output
    found = json.loads(Path("found.json").read_text("utf-8"))
    (pair,) = found["pairs"]
    assert (pair["sentences"], pair["exact"]) == (80, 40)
    assert {own["name"]: own["n"] for own in found["figures"]} == {"all": 80, "without leaks": 40, "leaks only": 40}


def test_the_split_of_a_run_is_checked_with_its_model(tracked_run: TrackedRun) -> None:
    train, folder = tracked_run.experiment.data.train, tracked_run.result.folder
    output = check(train, "--split", str(folder / "split.json"), "--model", str(folder), code=0)
    assert "No sentence leaks." in output
    assert f"all {tracked_run.result.report.n_test}" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jsonl"], "name at least two files"),
        (["a.jsonl", "missing.jsonl"], "missing.jsonl: this file does not exist"),
        (["a.jsonl", "--split", "missing.json"], "missing.json: not a split manifest"),
    ],
)
def test_bad_input_is_explained(arguments: list[str], message: str) -> None:
    Path("a.jsonl").write_text('{"text": "Rain fell."}\n', "utf-8")
    assert message in check(*arguments, code=2)
