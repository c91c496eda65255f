"""`communique annotations import` and `export` with other tools' formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.exchange.formats import FORMATS, exchange_module
from tests.labels.exchange.steps import Row
from trainer.cli import app

Write = Callable[[str, list[Row]], Path]

BOOK = 'name = "small"\n[[labels]]\nname = "aid"\n[[labels]]\nname = "truce"\n'
RECORDS: list[Row] = [
    {"text": "Oslo will send fuel.", "label": "aid", "answer": "accept"},
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


def test_another_tools_file_goes_in_and_out(write_jsonl: Write, isolated: Path) -> None:
    write_jsonl("in.jsonl", RECORDS)

    done = run("import", "in.jsonl", "--format", "prodigy", "--annotator", " ana ")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "2 decisions added to communique.db, 0 were there already.\nLeft out: 1 unanswered records.\n"
    )
    done = run("export", "out", "--format", "huggingface", "--annotator", "ana")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        "1 decisions written to out.\nLeft out: 1 skipped sentences.\nNot carried by this for"
    )
    assert [line.removeprefix("  - ") for line in done.stdout.splitlines()[3:]] == list(
        exchange_module("huggingface").LOST
    )
    assert (isolated / "out" / "README.md").is_file()


def test_the_native_form_is_the_default(write_jsonl: Write, isolated: Path) -> None:
    write_jsonl("in.jsonl", RECORDS)
    run("import", "in.jsonl", "--format", "prodigy", "--annotator", "ana")

    assert run("export", "native.jsonl").stdout.startswith("2 events written to native.jsonl.\nNot carried")
    lines = [json.loads(line) for line in (isolated / "native.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["extra"]["prodigy"] for line in lines] == [
        {"binary": [{"label": "aid", "answer": "accept"}]},
        {"binary": [{"label": "aid", "answer": "ignore"}]},
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "in.jsonl", "--format", "prodgy"], "'prodgy' is not known (did you mean 'prodigy'?)"),
        (["export", "out.jsonl", "--format", "xml"], "'xml' is not known; use jsonl, csv"),
        (["import", "in.jsonl", "--format", "prodigy"], "in.jsonl:1: this record does not say whose decision it is"),
        (["import", "absent.jsonl", "--format", "doccano"], "absent.jsonl: there is no such file"),
        (["import", "absent", "--format", "huggingface"], "absent: a folder of `save_to_disk` or a .parquet file"),
        (["export", "out.csv", "--format", "csv"], "communique.db: there is no such label store"),
        (["import", "out.csv"], "out.csv: a file of format jsonl ends in .jsonl, not '.csv'. Rename the file, or"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_no_store(
    write_jsonl: Write, isolated: Path, arguments: list[str], message: str
) -> None:
    write_jsonl("in.jsonl", RECORDS)

    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert sorted(path.name for path in isolated.iterdir()) == ["book.toml", "in.jsonl"]


@pytest.mark.parametrize("command", ["import", "export"])
def test_the_help_names_every_format(command: str) -> None:
    words = " ".join(run(command, "--help").output.replace("│", " ").split())

    assert [name for name in FORMATS if name not in words] == []
