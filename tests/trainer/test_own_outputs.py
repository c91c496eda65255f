"""A project folder can be read as a corpus: outputs of communique and MLflow in it are not documents."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from labels.codebook.schema import dump_codebook
from tests.conftest import make_examples
from tests.trainer.cli.test_commands import run
from tests.trainer.conftest import TrackedRun, fill_store, plain_codebook, write_examples

EXPORTS = Path(__file__).parents[1] / "compatibility" / "data" / "exports"
MULTI = plain_codebook("aid", "truce")


@pytest.fixture
def project(isolated: Path, tracked_run: TrackedRun, mlflow_store: str) -> Path:
    """A working folder with one article, and everything that communique writes beside it."""
    (isolated / "article.txt").write_text("Norway pledged forty trucks.", encoding="utf-8")
    examples = make_examples(90)
    fill_store(isolated / "s.db", MULTI, [replace(examples[0], labels=("truce",)), *examples[1:]])
    (isolated / "book.toml").write_text(dump_codebook(MULTI), encoding="utf-8")
    shutil.copytree(tracked_run.result.folder, isolated / "runs" / "words")
    shutil.copytree(tracked_run.result.artefact, isolated / "models" / "copy")
    shutil.copy(tracked_run.result.folder / "predictions.parquet", "kept.parquet")
    (isolated / "mlruns" / "1").mkdir(parents=True)
    (isolated / "mlruns" / "1" / "note.txt").write_text("MLflow wrote this.", encoding="utf-8")
    store = ("--store", "s.db", "--codebook", "book.toml")
    for name in ("e.jsonl", "e.csv"):
        run("annotations", "export", name, *store, "--format", name.removeprefix("e."))
    run("doubts", *store, "--out", "doubts.csv")
    write_examples(isolated / ".rows.jsonl", make_examples(60))
    run("evaluate", "runs/words", ".rows.jsonl", "--out", "report")
    for name in ("tagged.csv", "tagged.jsonl", "tagged.parquet"):
        run("predict", "runs/words", "article.txt", "--out", name, "--texts", f"texts-{name}")
    return isolated


def test_predicting_a_project_folder_reads_only_its_articles(project: Path) -> None:
    printed = run("predict", "runs/words", ".", "--out", "new.jsonl")
    assert "1 document, 1 sentence labelled" in printed
    assert "Left out" not in printed
    rows = [json.loads(line) for line in Path("new.jsonl").read_text("utf-8").splitlines()]
    assert [row["source"] for row in rows] == ["article.txt"]
    for what, names in (
        ("outputs of a run", ("report", "runs/words")),
        ("a saved model", ("models/copy",)),
        ("files of MLflow", ("mlruns",)),
        ("predictions", ("kept.parquet", "tagged.csv", "tagged.jsonl and 1 more")),
        ("exported annotations", ("e.csv", "e.jsonl")),
        ("doubtful labels", ("doubts.csv",)),
        ("texts written by predict --texts", ("texts-tagged.csv", "texts-tagged.jsonl", "texts-tagged.parquet")),
    ):
        assert f"Note: not read as documents, because they are {what}: {', '.join(names)}." in printed


def test_ingesting_a_project_folder_reads_only_its_articles(project: Path) -> None:
    printed = run("ingest", ".", "--store", "new.db")
    assert "Read 1 document: 1 new, with 1 sentence." in printed
    assert "Note: not read as documents, because they are outputs of a run: report, runs/words." in printed


def test_an_output_that_is_named_is_read(project: Path) -> None:
    assert "1 sentence labelled" in run("predict", "runs/words", "tagged.csv", "--out", "again.csv")
    assert "1 sentence labelled" in run("predict", "runs/words", "texts-tagged.csv", "--out", "again.csv")


def test_a_folder_of_outputs_alone_says_why_nothing_was_found(project: Path) -> None:
    said = run("ingest", "runs", "--store", "new.db", code=2)
    assert "runs: no documents found." in said
    assert "not read as documents, because they are outputs of a run: runs/words." in said
    assert not Path("new.db").exists()


@pytest.mark.parametrize("export", sorted(EXPORTS.rglob("all*.*")), ids=lambda path: path.parent.name + path.suffix)
def test_exports_in_every_format_are_recognised(isolated: Path, export: Path) -> None:
    shutil.copy(export, isolated / export.name)
    (isolated / "article.txt").write_text("Norway pledged forty trucks.", encoding="utf-8")
    assert "Read 1 document:" in run("ingest", ".", "--store", "../new.db")


def test_files_of_other_programs_with_the_same_names_are_read(isolated: Path) -> None:
    for folder, name, content in (
        ("site", "manifest.json", '{"name": "A newspaper", "icons": []}'),
        ("scrape", "report.json", '{"pages": 3}'),
        ("old", "report.json", "not JSON"),
        ("lists", "texts.json", "[]"),
    ):
        (isolated / folder).mkdir()
        (isolated / folder / name).write_text(content, encoding="utf-8")
        (isolated / folder / "article.txt").write_text(f"Norway pledged {folder}.", encoding="utf-8")
    rows = {"text": "Oslo asked for a truce.", "codebook": "ours", "labels": "aid", "sentence_id": "7", "score": 3}
    (isolated / "rows.jsonl").write_text(json.dumps(rows) + "\n", encoding="utf-8")
    printed = run("ingest", ".", "--store", "../new.db")
    assert "Read 5 documents: 5 new" in printed
    assert "not read" not in printed
