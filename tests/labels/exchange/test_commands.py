"""`communique annotations import` and `export` with other tools' formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.exchange.formats import find_format, format_names
from labels.store import Store
from tests.labels.exchange.steps import Row
from trainer.cli import app

Write = Callable[[str, list[Row]], Path]

BOOK = 'name = "small"\n[[labels]]\nname = "aid"\n[[labels]]\nname = "truce"\n'
RECORDS: list[Row] = [
    {"text": "Oslo will send fuel.", "label": "aid", "answer": "accept"},
    {"text": "Oslo will send fuel.", "label": "truce", "answer": "reject"},
    {"text": "It rained.", "label": "aid", "answer": "ignore"},
    {"text": "New.", "label": "aid"},
]


@pytest.fixture(autouse=True)
def book(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small codebook that all commands use."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    monkeypatch.setenv("COMMUNIQUE_CODEBOOK", "book.toml")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["annotations", *arguments])


def test_a_file_of_another_tool_is_imported_and_exported(write_jsonl: Write, isolated: Path) -> None:
    write_jsonl("in.jsonl", RECORDS)

    done = run("import", "in.jsonl", "--format", "prodigy", "--annotator", " ana ")
    assert done.exit_code == 0, done.output
    assert done.stdout.partition("To undo this import ")[0] == (
        "Decisions added to communique.db: 2 (already there: 0).\n"
        "Sentences in the file: 3, of which 0 were already in the store.\n"
        "Without a decision, kept as unseen sentences: unanswered records (1).\n"
    )
    done = run("export", "out", "--format", "huggingface", "--annotator", "ana")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        "Decisions written to out: 1.\nLeft out: skipped sentences (1).\nNot included in this for"
    )
    assert [line.removeprefix("  - ") for line in done.stdout.splitlines()[3:]] == list(find_format("huggingface").lost)
    assert (isolated / "out" / "README.md").is_file()


def test_the_native_form_is_the_default(write_jsonl: Write, isolated: Path) -> None:
    write_jsonl("in.jsonl", RECORDS)
    run("import", "in.jsonl", "--format", "prodigy", "--annotator", "ana")

    assert run("export", "native.jsonl").stdout.startswith("Events written to native.jsonl: 2.\nNot included")
    lines = [json.loads(line) for line in (isolated / "native.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["extra"]["prodigy"] for line in lines] == [
        {"binary": [{"label": "aid", "answer": "accept"}, {"label": "truce", "answer": "reject"}]},
        {"binary": [{"label": "aid", "answer": "ignore"}]},
    ]


def test_an_export_replaces_no_file_unasked(write_jsonl: Write, isolated: Path) -> None:
    write_jsonl("in.jsonl", RECORDS)
    run("import", "in.jsonl", "--format", "prodigy", "--annotator", "ana")
    before = (isolated / "in.jsonl").read_bytes()

    done = run("export", "in.jsonl")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "in.jsonl: this file exists. Choose another file, or add --overwrite." in done.stderr
    assert (isolated / "in.jsonl").read_bytes() == before
    for option in ("--overwrite", "--force"):
        done = run("export", "in.jsonl", option)
        assert done.stdout.startswith("Events written to in.jsonl: 2.")


def test_tasks_go_out_and_answers_come_in(isolated: Path) -> None:
    (isolated / "news.txt").write_text("Oslo will send fuel. Paris urged both sides to stop.", encoding="utf-8")
    CliRunner().invoke(app, ["ingest", "news.txt"])
    done = run("export", "tasks.jsonl", "--tasks", "--format", "prodigy", "--annotator", "ana", "--size", "2")
    assert done.exit_code == 0, done.output
    assert "2 tasks written to tasks.jsonl, and what prodigy needs beside them to tasks.labels.txt." in done.stdout
    assert "The sentences are reserved for ana until" in done.stdout
    assert "Next: communique annotations import ANSWERS --format prodigy --annotator ana" in done.stdout
    assert "open draw" not in done.stdout
    done = run("export", "two.jsonl", "--tasks", "--format", "prodigy", "--annotator", "ana", "--size", "1")
    assert "2 tasks written" in done.stdout
    assert "This continues ana's open draw. --size applies only to a new draw. To end the draw, type: " in done.stdout

    tasks = [json.loads(line) for line in (isolated / "tasks.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = [task | {"accept": ["aid"], "answer": "accept", "_annotator_id": "p1"} for task in tasks]
    (isolated / "answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answers), encoding="utf-8")
    done = run("import", "answers.jsonl", "--format", "prodigy", "--annotator", "ana")
    assert "Decisions added to communique.db: 2" in done.stdout
    assert "Note: 'p1' is recorded as 'ana', for whom the tasks were drawn." in done.stdout
    done = CliRunner().invoke(app, ["label", "--annotator", "ana"])
    assert "Nothing to label" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["t.jsonl", "--format", "prodigy"], "--tasks needs the annotator for whom sentences are drawn"),
        (["t.jsonl", "--format", "prodigy", "--all", "--size", "3"], "--all takes every sentence. Remove"),
        (["t.jsonl", "--annotator", "ana"], "--format: jsonl has no tasks. Use one of prodigy, label-studio, doccano."),
        (["t.csv", "--format", "prodigy", "--all"], "files in format prodigy have the extension .jsonl, not '.csv'"),
        (["old.jsonl", "--format", "doccano", "--all"], "old.labels.json: this file exists."),
        (["t.json", "--format", "label-studio", "--annotator", "ana", "--strategy", "rnd"], "unknown strategy 'rnd'"),
        (
            ["t.json", "--format", "label-studio", "--all", "--texts", "x"],
            "--texts and --for-spreadsheet are for decisions",
        ),
    ],
)
def test_tasks_that_cannot_be_written_draw_nothing(isolated: Path, arguments: list[str], message: str) -> None:
    (isolated / "news.txt").write_text("Oslo will send fuel. Paris urged both sides to stop.", encoding="utf-8")
    CliRunner().invoke(app, ["ingest", "news.txt"])
    (isolated / "old.labels.json").touch()

    done = run("export", *arguments, "--tasks")
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    with Store("communique.db") as store:
        assert store.draws.annotators() == []
    assert not list(isolated.glob("t.*"))


def test_the_description_of_a_format_tells_of_tasks() -> None:
    assert "`annotations export --tasks` writes them as tasks" in run("formats", "doccano").stdout
    assert "--tasks" not in run("formats", "csv").stdout


def test_options_of_tasks_need_tasks(isolated: Path) -> None:
    assert "Add --tasks, or remove them." in run("export", "t.jsonl", "--size", "3").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "in.jsonl", "--format", "prodgy"], "'prodgy' is not known (did you mean 'prodigy'?)"),
        (["export", "out.jsonl", "--format", "xml"], "'xml' is not known; use jsonl, csv"),
        (["import", "in.jsonl", "--format", "prodigy"], "in.jsonl:1: this record does not name an annotator"),
        (["import", "absent.jsonl", "--format", "doccano"], "absent.jsonl: this file does not exist"),
        (
            ["import", "absent", "--format", "huggingface"],
            "absent: expected a folder written by `save_to_disk` or a .parquet file",
        ),
        (["export", "out.csv", "--format", "csv"], "communique.db: this label store does not exist"),
        (
            ["import", "in.csv"],
            "in.csv: files in format jsonl have the extension .jsonl, not '.csv'. Rename the file, or",
        ),
    ],
)
def test_bad_input_is_reported_and_leaves_no_store(
    write_jsonl: Write, isolated: Path, arguments: list[str], message: str
) -> None:
    write_jsonl("in.jsonl", RECORDS)
    write_jsonl("in.csv", RECORDS)

    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert sorted(path.name for path in isolated.iterdir()) == ["book.toml", "in.csv", "in.jsonl"]


@pytest.mark.parametrize("command", ["import", "export"])
def test_the_help_names_every_format(command: str) -> None:
    words = " ".join(run(command, "--help").output.replace("│", " ").split())

    assert [name for name in format_names() if name not in words] == []
