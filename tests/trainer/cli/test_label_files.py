"""Files with labels of other people, as commands read them: options, the table of values, notes, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import load_codebook
from labels.store import Store
from trainer.cli import app

HEADER = "Tweet;Kategorie\n"
ROWS = [(f"Sentence {number} of the bulletin.", ("помощь", "Truce")[number % 2]) for number in range(60)]


def run(*arguments: str | Path, code: int = 0) -> str:
    """What a command prints, on one line; it must end with this code and no traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return " ".join((result.stderr if code else result.stdout).split())


def write(name: str, *more: tuple[str, str]) -> str:
    Path(name).write_text(HEADER + "".join(f"{text};{label}\n" for text, label in [*ROWS, *more]), encoding="utf-8")
    return name


COLUMNS = ("--text-column", "Tweet", "--label-column", "Kategorie")
SETTINGS = ("data.codebook=infer", "tracking.enabled=false", "data.train=a.csv")


def report(folder: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "report.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.usefixtures("mlflow_store")
def test_train_and_evaluate_read_a_table_of_other_origin_and_report_how() -> None:
    write("a.csv", ("Rain fell.", ""))
    Path("majority.toml").write_text('[model]\nkind = "majority"\n', encoding="utf-8")
    settings = [word for key in SETTINGS for word in ("--set", key)]
    printed = run("train", "majority.toml", *settings, *COLUMNS, "--out", "run")
    values = [{"value": "помощь", "name": "pomoshch", "rows": 30}]
    assert "value in the file label rows помощь pomoshch 30" in printed
    assert "Note: a.csv: 1 of 61 rows was left out, because nobody decided (blank 1)." in printed
    assert report("run")["label_values"] == values
    assert any("separated by semicolons" in note for note in report("run")["notes"])

    write("b.csv", ("Rain fell.", ""), ("Snow fell.", "none"))
    message = run("evaluate", "run", "b.csv", *COLUMNS, code=2)
    assert "b.csv:63: codebook 'a' requires a label, but none is given" in message
    write("b.csv", ("Rain fell.", ""))
    printed = run("evaluate", "run", "b.csv", *COLUMNS, "--out", "report")
    assert "value in the file label rows помощь pomoshch 30" in printed
    assert "Note: b.csv: 1 of 61 rows was left out, because nobody decided (blank 1)." in printed
    assert report("report")["label_values"] == values
    assert report("report")["n_test"] == 60
    assert "requires a label" in run("evaluate", "run", "b.csv", *COLUMNS, "--blank", "none", code=2)


def test_infer_prints_the_codebook_alone_and_its_notes_beside() -> None:
    write("a.csv", ("Rain fell.", ""), ("Snow fell.", "truce"))
    arguments = ("codebook", "infer", "a.csv", "--label-column", "Kategorie")
    result = CliRunner().invoke(app, list(arguments))
    Path("shown.toml").write_text(result.stdout, encoding="utf-8")
    assert load_codebook("shown.toml").label_names == ("Truce", "pomoshch")
    assert "Note: a.csv: 1 of 62 rows was left out" in result.stderr
    assert "'Truce' 30, 'truce' 1" in result.stderr
    assert "помощь pomoshch 30" in " ".join(result.stderr.split())
    printed = run(*arguments, "--blank", "none", "--out", "mine.toml")
    assert load_codebook("mine.toml").allow_none
    assert "помощь pomoshch 30 truce Truce 1" in printed


@pytest.mark.parametrize("format", ["csv", "activetigger"])
def test_import_reads_the_named_columns_and_says_what_is_left_out(format: str) -> None:
    book = 'name = "b"\n[[labels]]\nname = "aid"\ntitle = "помощь"\n[[labels]]\nname = "truce"\n'
    Path("b.toml").write_text(book, encoding="utf-8")
    write("a.csv", ("Rain fell.", ""), ("Snow fell.", "truce, помощь"))
    arguments = ("annotations", "import", "a.csv", "--format", format, "--annotator", "ana", "--codebook", "b.toml")
    printed = run(*arguments, *COLUMNS)
    assert "Decisions added to communique.db: 61" in printed
    assert "Without a decision, kept as unseen sentences: rows without labels (1)." in printed
    assert "Note: label cells such as 'truce, помощь' were split into labels" in printed
    with Store("communique.db") as store:
        assert store.events.all()[-1].labels == ("aid", "truce")
        assert store.events.all()[0].labels == ("aid",)
    assert "Decisions added to communique.db: 1 (already there: 61)" in run(*arguments, *COLUMNS, "--blank", "none")


def test_an_option_for_tables_is_refused_for_another_format() -> None:
    Path("a.jsonl").write_text('{"text": "x", "answer": "accept", "accept": []}\n', encoding="utf-8")
    message = run("annotations", "import", "a.jsonl", "--format", "prodigy", *COLUMNS[:2], code=2)
    assert "format prodigy has no option 'text_column'" in message


def test_ingest_reads_the_named_column_and_reports_the_separator() -> None:
    write("a.csv")
    printed = run("ingest", "a.csv", "--text-column", "Tweet")
    assert "Note: a.csv: the columns are separated by semicolons." in printed
    assert "Read 60 documents" in printed
    assert "there is no column `Tweed` (did you mean 'Tweet'?)" in CliRunner().invoke(
        app, ["ingest", "a.csv", "--text-column", "Tweed"]
    ).stdout.replace("\n", " ")
