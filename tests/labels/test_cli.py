"""The commands of `labels.cli` as they are mounted on the root command."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.codebook import load_codebook, parse_codebook
from labels.store import Store
from trainer.cli import app

Write = Callable[[str, list[dict[str, Any]]], Path]

BOOK = """name = "small"
[[labels]]
name = "aid"
key = "a"
definition = "Help is promised."
[[labels]]
name = "truce"
key = "t"
"""
ARTICLE = "Oslo pledged 40 trucks.\n\nLeave a Comment\n\nThe envoy called for a truce."


@pytest.fixture
def book(isolated: Path) -> str:
    """A small codebook in the working folder."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    return "book.toml"


@pytest.fixture
def filled(isolated: Path) -> Path:
    """The default store of the working folder, with an article of two sentences and a line of page furniture."""
    (isolated / "article.txt").write_text(ARTICLE, encoding="utf-8")
    succeed("ingest", "article.txt")
    return isolated / "communique.db"


def run(*arguments: str | Path, typed: str = "") -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)


def succeed(*arguments: str | Path, typed: str = "") -> str:
    """What the command printed."""
    result = run(*arguments, typed=typed)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return str(result.stdout)


def refuse(*arguments: str | Path, code: int = 2) -> str:
    """The message, on one line, of a command that must fail, print no traceback and write nothing."""
    before = contents()
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert contents() == before
    return " ".join(result.stderr.replace("│", " ").split())


def contents() -> dict[str, Any]:
    """What lies in the working folder: files by name, stores by what they hold."""
    found: dict[str, Any] = {}
    for path in Path().rglob("*"):
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as connection:
                found[str(path)] = list(connection.iterdump())
        else:
            found[str(path)] = path.read_bytes() if path.is_file() else None
    return found


# -- codebook show


@pytest.mark.parametrize("arguments", [[], ["diplomatic"]])
def test_codebook_show_prints_the_shipped_codebook_as_toml(arguments: list[str]) -> None:
    printed = succeed("codebook", "show", *arguments)

    assert parse_codebook(printed, "printed") == load_codebook("diplomatic")


def test_codebook_show_prints_a_file(book: str) -> None:
    assert parse_codebook(succeed("codebook", "show", book), "printed") == parse_codebook(BOOK, "book")


def test_codebook_show_brief_is_a_table_of_keys_and_definitions() -> None:
    printed = " ".join(succeed("codebook", "show", "--brief").split())

    book = load_codebook("diplomatic")
    assert book.hash in printed
    for key, name in book.keys.items():
        assert f"{key} │ {name} │ An actor" in printed


def test_codebook_show_brief_prints_brackets_as_they_are(isolated: Path) -> None:
    text = BOOK.replace("Help is promised.", "Help [of any kind] is promised [red]here[/red].")
    (isolated / "book.toml").write_text(text, encoding="utf-8")

    assert "Help [of any kind] is promised [red]here[/red]." in succeed("codebook", "show", "book.toml", "--brief")


# -- codebook check


def test_codebook_check_says_what_a_codebook_holds_and_lacks(book: str) -> None:
    printed = succeed("codebook", "check", book)

    assert printed.splitlines()[0] == f"small 1 ({parse_codebook(BOOK, 'b').hash}): 2 labels, multi-label."
    assert "truce: no definition yet" in printed
    assert "aid:" not in printed


def test_codebook_check_names_an_exclusive_codebook(isolated: Path) -> None:
    (isolated / "book.toml").write_text("exclusive = true\n" + BOOK, encoding="utf-8")

    assert "2 labels, exclusive." in succeed("codebook", "check", "book.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name = ", "book.toml: not valid TOML"),
        ('name = "x"\nlabels = []', "labels: "),
        (BOOK.replace("definition", "defintion"), "labels.1.defintion: unknown key (did you mean 'definition'?)"),
        (BOOK.replace('"t"', '"a"'), "key 'a' is used 2 times"),
        (BOOK.replace('"t"', '"q"'), "key 'q' is taken by the labelling prompt"),
    ],
    ids=["not TOML", "no labels", "a misspelt key", "a key twice", "a reserved key"],
)
def test_codebook_check_names_what_is_wrong(isolated: Path, content: str, message: str) -> None:
    (isolated / "book.toml").write_text(content, encoding="utf-8")

    assert message in refuse("codebook", "check", "book.toml")


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_codebook_that_is_not_there_is_named_with_the_shipped_ones(command: str) -> None:
    message = refuse("codebook", command, "nowhere.toml")

    assert "nowhere.toml: cannot read this codebook (No such file or directory)" in message
    assert "diplomatic" in message


# -- codebook infer

ROWS = [{"text": "One.", "labels": ["truce", "aid"]}, {"text": "Two.", "labels": []}]


def test_codebook_infer_prints_a_codebook_of_the_label_values(write_jsonl: Write) -> None:
    inferred = parse_codebook(succeed("codebook", "infer", write_jsonl("rows.jsonl", ROWS)), "printed")

    assert inferred.name == "rows"
    assert inferred.label_names == ("aid", "truce")
    assert not inferred.exclusive


def test_codebook_infer_writes_a_file_that_codebook_check_accepts(isolated: Path, write_jsonl: Write) -> None:
    write_jsonl("rows.jsonl", [{"text": "One.", "label": "aid"}, {"text": "Two.", "label": "truce"}])

    assert "Wrote mine.toml" in succeed("codebook", "infer", "rows.jsonl", "--out", "mine.toml")
    assert "2 labels, exclusive." in succeed("codebook", "check", "mine.toml")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "One.", "labels": []}], "no label in any row"),
        ([{"text": "One."}], "rows.jsonl:1: there is neither `label` nor `labels`"),
        ([{"text": "One.", "labels": ["none"]}], "'none' cannot be a label"),
    ],
)
def test_codebook_infer_without_usable_labels_leaves_an_older_file_alone(
    isolated: Path, write_jsonl: Write, rows: list[dict[str, Any]], message: str
) -> None:
    write_jsonl("rows.jsonl", rows)
    (isolated / "mine.toml").write_text("mine", encoding="utf-8")

    assert message in refuse("codebook", "infer", "rows.jsonl", "--out", "mine.toml")


def test_codebook_infer_names_a_missing_folder(write_jsonl: Write) -> None:
    path = write_jsonl("rows.jsonl", ROWS)

    assert "the folder missing does not exist" in refuse("codebook", "infer", path, "--out", "missing/mine.toml")


# -- ingest


def test_ingest_says_what_it_read_set_aside_and_holds(isolated: Path) -> None:
    (isolated / "article.txt").write_text(ARTICLE, encoding="utf-8")
    printed = succeed("ingest", "article.txt")

    assert "Read 1 documents; 1 were new, with 3 sentences." in printed
    assert "Set aside as page furniture: 1 (comments 1)." in printed
    assert "communique.db now holds 1 documents and 2 sentences to label." in printed
    assert "Next: communique label" in printed


def test_ingesting_again_adds_nothing(filled: Path) -> None:
    before = contents()

    printed = succeed("ingest", "article.txt")

    assert "Read 1 documents; 0 were new, with 0 sentences." in printed
    assert "Next:" not in printed
    assert contents() == before


def test_ingest_reports_what_it_left_out_by_its_name(isolated: Path) -> None:
    (isolated / "[red]a.txt").write_bytes(b"\xff\xfe\xfa")
    (isolated / "b.txt").write_text("Rain fell.", encoding="utf-8")

    printed = succeed("ingest", ".")

    assert "Left out: [red]a.txt: not UTF-8" in printed
    assert "Read 1 documents; 1 were new" in printed


def test_ingest_fails_where_nothing_could_be_read(isolated: Path) -> None:
    (isolated / "a.txt").touch()

    result = run("ingest", "a.txt")

    assert result.exit_code == 2
    assert "Left out: a.txt: there is no text in it" in result.output
    with Store("communique.db") as store:
        assert store.counts().documents == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.txt", "there is no such file or folder"),
        ("picture.png", "documents are read from"),
        ("empty", "no file"),
    ],
)
def test_ingest_of_a_path_that_cannot_be_read_leaves_nothing_behind(isolated: Path, name: str, message: str) -> None:
    (isolated / "picture.png").touch()
    (isolated / "empty").mkdir()

    refused = refuse("ingest", name)

    assert name in refused
    assert message in refused


def test_ingest_without_a_path_is_a_usage_error() -> None:
    assert "Missing argument" in refuse("ingest")


def test_ingest_refuses_a_file_that_is_no_store(isolated: Path) -> None:
    (isolated / "article.txt").write_text(ARTICLE, encoding="utf-8")
    (isolated / "notes").write_text("These are my notes.\n" * 50, encoding="utf-8")

    assert "notes: the store could not be opened" in refuse("ingest", "article.txt", "--store", "notes", code=1)


def test_the_store_is_that_of_the_option_then_environment_then_settings_file(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / "article.txt").write_text(ARTICLE, encoding="utf-8")
    (isolated / "communique.toml").write_text('store = "settings.db"', encoding="utf-8")
    succeed("ingest", "article.txt")
    monkeypatch.setenv("COMMUNIQUE_STORE", "environment.db")
    succeed("ingest", "article.txt")
    succeed("ingest", "article.txt", "--store", "option.db")

    assert sorted(path.name for path in isolated.glob("*.db")) == ["environment.db", "option.db", "settings.db"]


# -- label


def label(*options: str, typed: str) -> str:
    return succeed("label", "--annotator", "ana", "--codebook", "book.toml", *options, typed=typed)


def decisions(path: Path) -> list[tuple[str, str | None, tuple[str, ...]]]:
    with Store(path) as store:
        return [(event.annotator, event.state, event.labels) for event in store.events()]


def test_label_keeps_what_is_typed(filled: Path, book: str) -> None:
    printed = label(typed="at\nn\nq\n")

    assert decisions(filled) == [("ana", "reviewed", ("aid", "truce")), ("ana", "reviewed", ())]
    assert "[1/2]" in printed
    assert "[2/2]" in printed
    assert "2 decided, 0 left in this draw. All saved in communique.db." in printed
    assert "Leave a Comment" not in [line.removeprefix("  > ") for line in printed.splitlines()]


def test_label_goes_on_where_input_ended(filled: Path, book: str) -> None:
    assert "1 decided, 1 left" in label(typed="a\n")

    printed = label(typed="s\nq\n")

    assert "[1/2]" not in printed
    assert "2 decided, 0 left" in printed
    assert decisions(filled) == [("ana", "reviewed", ("aid",)), ("ana", "skipped", ())]


def test_label_takes_no_more_sentences_than_asked_for(filled: Path, book: str) -> None:
    assert "[1/1]" in label("--size", "1", typed="q\n")


def test_label_gives_two_annotators_different_sentences(filled: Path, book: str) -> None:
    shown = []
    for name in ("ana", "ben"):
        printed = succeed("label", "--annotator", name, "--size", "1", "--codebook", book, typed="q\n")
        shown += [line for line in printed.splitlines() if line.startswith("  > ")]

    assert len(set(shown)) == 2
    assert "Nothing to label" in succeed("label", "--annotator", "eva", "--codebook", book, typed="q\n")


def test_label_trims_the_annotators_name(filled: Path, book: str) -> None:
    succeed("label", "--annotator", "  ana ", "--codebook", book, typed="a\nq\n")

    assert decisions(filled) == [("ana", "reviewed", ("aid",))]


def test_label_with_an_unknown_key_decides_nothing(filled: Path, book: str) -> None:
    printed = label(typed="x\nq\n")

    assert "'x' is not a key here" in printed
    assert decisions(filled) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotator", "  "], "a name is needed"),
        ([], "Missing option '--annotator'"),
        (["--annotator", "ana", "--size", "0"], "--size"),
        (["--annotator", "ana", "--size", "ten"], "--size"),
        (["--annotator", "ana", "--codebook", "nowhere.toml"], "nowhere.toml: cannot read this codebook"),
        (["--annotator", "ana", "--store", "absent.db"], "absent.db: there is no such label store"),
    ],
)
def test_label_refuses_what_it_cannot_use(filled: Path, arguments: list[str], message: str) -> None:
    assert message in refuse("label", *arguments)


# -- annotations


def test_annotations_go_from_store_to_store_through_a_file(filled: Path, book: str) -> None:
    label(typed="at\ns\nu\nn\nq\n")

    assert "4 events written to out.jsonl" in succeed("annotations", "export", "out.jsonl")
    imported = ("annotations", "import", "out.jsonl", "--store", "other.db", "--codebook", book)
    assert "4 events added to other.db, 0 were there already" in succeed(*imported)
    assert "0 events added to other.db, 4 were there already" in succeed(*imported)

    assert decisions(Path("other.db")) == decisions(filled)
    succeed("annotations", "export", "again.jsonl", "--store", "other.db")
    assert Path("again.jsonl").read_text() == Path("out.jsonl").read_text()


@pytest.mark.parametrize("command", [["import", "out.jsonl"], ["export", "new.jsonl"]])
def test_annotations_in_an_unknown_format_are_refused(filled: Path, book: str, command: list[str]) -> None:
    label(typed="a\nq\n")
    succeed("annotations", "export", "out.jsonl")

    assert "'xml' is not known; use jsonl" in refuse("annotations", *command, "--format", "xml")


def test_a_file_with_a_bad_line_is_refused_whole(filled: Path, book: str, isolated: Path) -> None:
    label(typed="a\nn\nq\n")
    succeed("annotations", "export", "out.jsonl")
    first, second = (isolated / "out.jsonl").read_text(encoding="utf-8").splitlines()
    bad = json.dumps(json.loads(second) | {"labels": ["aide"]})
    (isolated / "bad.jsonl").write_text(f"{first}\n{bad}\n", encoding="utf-8")
    Store("other.db").close()

    message = refuse("annotations", "import", "bad.jsonl", "--store", "other.db", "--codebook", book)

    assert "bad.jsonl:2: label 'aide' is not in codebook 'small' 1 (did you mean 'aid'?)" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "missing.jsonl: there is no such file"),
        (["rows.xlsx"], "rows are read from .jsonl, .csv, .parquet files, not '.xlsx'"),
        (["rows.jsonl", "--codebook", "nowhere.toml"], "nowhere.toml: cannot read this codebook"),
    ],
)
def test_an_import_that_cannot_begin_leaves_no_store_behind(isolated: Path, arguments: list[str], message: str) -> None:
    (isolated / "rows.xlsx").touch()
    (isolated / "rows.jsonl").write_text("{}\n", encoding="utf-8")

    assert message in refuse("annotations", "import", *arguments)


def test_an_export_from_a_store_that_is_not_there_is_refused() -> None:
    message = refuse("annotations", "export", "out.jsonl", "--store", "absent.db")

    assert "absent.db: there is no such label store" in message


def test_an_export_to_a_missing_folder_is_refused(filled: Path) -> None:
    assert "the folder missing does not exist" in refuse("annotations", "export", "missing/out.jsonl")


@pytest.mark.parametrize("command", ["codebook", "annotations"])
def test_a_group_without_a_command_lists_its_commands(command: str) -> None:
    result = run(command)

    assert result.exit_code == 2
    assert "Example" not in result.output
    expected = {"codebook": ("show", "check", "infer"), "annotations": ("import", "export")}
    assert all(name in result.output for name in expected[command])
