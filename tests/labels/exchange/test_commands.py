"""`communique annotations import` and `export` with other tools' formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.exchange.formats import find_format, format_names
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
    assert done.stdout.partition("This import is batch ")[0] == (
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
