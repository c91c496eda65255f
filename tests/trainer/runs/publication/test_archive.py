"""Replication packages: what they hold, and that their script reproduces the figures."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import load_codebook
from tests.conftest import make_examples
from tests.trainer.conftest import MakeExperiment, TrackedRun, disturbed
from trainer.cli import app
from trainer.runs.choice.cross_validation import cross_validate
from trainer.runs.run import RunResult


def archive(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["archive", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def reproduce(folder: Path, clean: Path) -> subprocess.CompletedProcess[str]:
    """Run the script in another folder, with nothing of communique on the path of Python."""
    clean.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    probe = "import sys, runpy; sys.modules.update(dict.fromkeys(('trainer', 'labels', 'communique'))); "
    code = probe + f"runpy.run_path({str(folder / 'reproduce.py')!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=clean, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("exclusive", [False, True], ids=["multi-label", "exclusive"])
def test_the_script_reproduces_all_figures_in_a_clean_folder(
    tracked_run: TrackedRun, exclusive_run: RunResult, isolated: Path, exclusive: bool
) -> None:
    result = exclusive_run if exclusive else tracked_run.result
    archive(result.folder, "--out", "package", "--without-texts")
    shutil.move("package", isolated.parent / "elsewhere")
    done = reproduce(isolated.parent / "elsewhere", isolated / "clean")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"macro_f1 {result.report.macro_f1:>46.6f}" in done.stdout
    n = int(done.stdout.splitlines()[-1].split()[0])
    labels = len(result.report.labels)
    intervals = 2 * (3 + labels) if result.report.intervals else 0
    assert n == 5 + 6 * labels + intervals


def test_an_altered_figure_is_found_by_the_script(tracked_run: TrackedRun, isolated: Path) -> None:
    archive(tracked_run.result.folder, "--out", "package")
    content = json.loads(Path("package/report.json").read_text("utf-8"))
    content["per_label"]["aid"]["f1"] += 0.01
    Path("package/report.json").write_text(json.dumps(content), encoding="utf-8")
    done = reproduce(isolated / "package", isolated / "clean")
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.splitlines() if "DIFFERS" in line] == [["aid:", "f1"]]


def test_a_package_holds_everything_and_its_digests(tracked_run: TrackedRun, isolated: Path) -> None:
    run = tracked_run.result
    assert "Check it with: python package/reproduce.py" in archive(run.folder, "--out", "package")
    folder = isolated / "package"
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "codebook.toml", "decisions.csv", "experiment.json", "model.json", "predictions.csv"),
        *("report.json", "reproduce.py", "requirements.txt", "SHA256SUMS", "split.json"),
    }
    assert load_codebook(folder / "codebook.toml").hash == tracked_run.codebook.hash
    assert json.loads((folder / "report.json").read_text("utf-8")) == run.report.to_dict()
    assert json.loads((folder / "model.json").read_text("utf-8"))["id"] == run.model.id
    by_id = {example.id: example for example in disturbed(make_examples(300))}
    decisions = rows_of(folder / "decisions.csv")
    assert {row["example_id"] for row in decisions} == set(by_id)
    for row in decisions:
        assert (row["text"], row["gold"]) == (by_id[row["example_id"]].text, "|".join(by_id[row["example_id"]].labels))
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_without_texts_no_sentence_is_in_the_package(tracked_run: TrackedRun, isolated: Path) -> None:
    shutil.copytree(tracked_run.result.folder, isolated / "run")
    content = json.loads(Path("run/report.json").read_text("utf-8"))
    texts = [example.text for example in make_examples(300)]
    content["notes"] = [f"texts occur twice, e.g. '{texts[3]}'"]
    Path("run/report.json").write_text(json.dumps(content), encoding="utf-8")
    archive("run", "--out", "package.zip", "--without-texts")
    with zipfile.ZipFile("package.zip") as package:
        whole = {name: package.read(name).decode() for name in package.namelist()}
    assert set(whole) >= {"package/README.md", "package/decisions.csv", "package/reproduce.py"}
    assert not [text for text in texts if any(text in content for content in whole.values())]
    assert hashlib.sha256(texts[3].encode()).hexdigest() in whole["package/decisions.csv"]
    assert "The sentences are left out" in whole["package/README.md"]


def test_data_that_changed_are_left_out_and_named(tracked_run: TrackedRun, isolated: Path) -> None:
    shutil.copytree(tracked_run.result.folder, isolated / "run")
    record = json.loads(Path("run/tracking.json").read_text("utf-8"))
    record["params"]["data"]["train"] = "gone.jsonl"
    Path("run/tracking.json").write_text(json.dumps(record), encoding="utf-8")
    archive("run", "--out", "package")
    assert {row["part"] for row in rows_of(Path("package/decisions.csv"))} == {"validation", "test"}
    assert "train sentences are not included: gone.jsonl" in Path("package/README.md").read_text("utf-8")


def test_a_logged_run_is_archived_by_its_id(tracked_store: str, tracked_run: TrackedRun, isolated: Path) -> None:
    archive(tracked_run.result.run_id, "--out", "package")
    assert (isolated / "package" / "split.json").read_bytes() == (tracked_run.result.folder / "split.json").read_bytes()
    assert (isolated / "package" / "experiment.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["RUN", "--out", "full"], "full"),
        (["RUN", "--out", "there.zip"], "there.zip: this file exists"),
        (["RUN", "--out", "missing/package.zip"], "missing"),
    ],
)
def test_bad_input_is_one_message(tracked_run: TrackedRun, isolated: Path, arguments: list[str], message: str) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").write_text("x")
    Path("there.zip").write_text("x")
    given = [str(tracked_run.result.folder) if own == "RUN" else own for own in arguments]
    assert message in archive(*given, code=2)
    assert Path("there.zip").read_text() == "x"
    assert [path.name for path in Path("full").iterdir()] == ["mine.txt"]


def test_the_figures_of_a_cross_validation_are_reproduced(experiment_of: MakeExperiment, isolated: Path) -> None:
    run = cross_validate(experiment_of("tfidf", split={"folds": 2}), isolated / "folds")
    archive("folds", "--out", "package", "--without-texts")
    done = reproduce(isolated / "package", isolated / "clean")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["part"] for row in rows_of(Path("package/predictions.csv"))} == {"out-of-fold"}
    readme = Path("package/README.md").read_text("utf-8")
    assert "not included" not in readme
    assert "validation and test" not in readme
    decisions = rows_of(Path("package/decisions.csv"))
    assert [row["part"] for row in decisions] == ["out-of-fold"] * 150
    thresholds = {fold.name: fold.thresholds or {} for fold in run.report.folds}
    for row in rows_of(Path("package/predictions.csv")):
        own = thresholds[row["fold"]]
        assert row["labels"] == "|".join(label for label, at in own.items() if float(row[f"p:{label}"]) >= at)
