"""`communique checks`, and what `communique evaluate` shows of slices, checks and mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import make_examples
from tests.trainer.conftest import TrackedRun, disturbed, write_examples
from trainer.cli import app
from trainer.data.splits import Split
from trainer.evaluation.report import Report

CHECKS = """
[[check]]
capability = "vocabulary"
kind = "minimum"
name = "A truce is asked for"
has = ["truce"]
texts = ["The envoy called for a truce in the north.", "Rain fell on day 3 around the port."]

[[check]]
capability = "headline case"
kind = "invariance"
change = "headline case"
texts = ["Norway pledged 40 trucks in week 7 for homes in the valley."]
"""


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(own) for own in arguments])
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


@pytest.fixture
def checks(isolated: Path) -> Path:
    path = isolated / "checks.toml"
    path.write_text(CHECKS, encoding="utf-8")
    return path


@pytest.fixture
def held_out(tracked_run: TrackedRun, isolated: Path) -> Path:
    split = set(Split.load(tracked_run.result.folder / "split.json").test)
    return write_examples(isolated / "test.jsonl", [own for own in disturbed(make_examples(300)) if own.id in split])


def test_checks_show_failure_rates_and_failures(tracked_run: TrackedRun, checks: Path) -> None:
    said = run("checks", tracked_run.result.folder, checks, "--json", "out.json")
    assert re.search(r"vocabulary +minimum +2 +1 +50\.0% +1\.3%–98\.7%", said)
    assert "A truce is asked for" in said
    assert "expected with truce; found none" in said
    found = json.loads(Path("out.json").read_text("utf-8"))
    assert (found["rates"][0]["capability"], found["rates"][0]["failed"]) == ("vocabulary", 1)
    (failure,) = [own for own in found["failures"] if own["kind"] == "minimum"]
    assert failure["text"] == "Rain fell on day 3 around the port."
    assert "expected" not in run("checks", tracked_run.result.folder, checks, "--show", "0")


def test_a_codebook_without_shipped_checks_needs_a_file(tracked_run: TrackedRun, held_out: Path) -> None:
    for command in (["checks", tracked_run.result.folder], ["evaluate", tracked_run.result.folder, held_out]):
        said = run(*command, *(["--checks", "shipped"] if command[0] == "evaluate" else []), code=2)
        assert "no behavioural checks are shipped for the codebook 'small'" in said


def test_evaluate_shows_slices_checks_and_mistakes_and_keeps_them(
    tracked_run: TrackedRun, held_out: Path, checks: Path
) -> None:
    said = run("evaluate", tracked_run.result.folder, held_out, "--out", "out", "--checks", checks, "--errors", "2")
    assert "On slices of the sentences" in said
    assert re.search(r"^length +1 to 10 words +\d+", said, re.MULTILINE)
    assert "Behavioural checks: " in said
    assert "The most confident of" in said
    assert len(re.findall(r"^  \d\.\d\d  (missed|assigned wrongly) ", said, re.MULTILINE)) == 2
    report = Report.read(Path("out/report.json"))
    assert {own.by for own in report.slices} >= {"length"}
    assert report.checks
    assert report.checks.rates[0].failed == 1
    run("report", "out", "--out", "pages")
    page = Path("pages/report.html").read_text("utf-8")
    contents = re.findall(r'<a href="#(\w+)">', page)
    assert {"labels", "slices", "checks", "errors"} <= set(contents)
    assert all(f'<div id="{name}">' in page for name in contents)
    assert page.count("<details") == len(contents)
    assert "<td>vocabulary</td>" in re.sub(r' (data-label|class)="[^"]*"', "", page)


def test_a_wrong_file_of_checks_stops_before_anything_is_written(
    tracked_run: TrackedRun, held_out: Path, checks: Path, isolated: Path
) -> None:
    checks.write_text(CHECKS.replace("has =", "had ="), encoding="utf-8")
    said = run("evaluate", tracked_run.result.folder, held_out, "--out", "out", "--checks", checks, code=2)
    assert f"{checks}:6: key `had`: unknown key" in said
    assert not (isolated / "out").exists()
