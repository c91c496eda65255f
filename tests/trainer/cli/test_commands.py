"""The order of the commands, and `score` and `doubts`, run in this process; what they print and how they end."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import dump_codebook
from labels.errors import counted
from labels.store import Store
from tests.conftest import make_examples
from tests.trainer.conftest import TrackedRun, fill_store, plain_codebook
from trainer.cli import SUBCOMMANDS, app

MULTI = plain_codebook("aid", "truce")


def run(*arguments: str | Path, code: int = 0) -> str:
    """What a command prints, on one line; it must end with this code and no traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return " ".join((result.stderr if code else result.stdout).split())


@pytest.fixture
def labelled(isolated: Path) -> str:
    """The store `s.db` of 90 labelled sentences, the first with a wrong label; its id comes back."""
    examples = make_examples(90)
    examples[0] = replace(examples[0], labels=("truce",))
    (isolated / "book.toml").write_text(dump_codebook(MULTI), encoding="utf-8")
    return fill_store(isolated / "s.db", MULTI, examples)[0]


def test_score_says_what_it_wrote_and_what_to_type_next(labelled: str, tracked_run: TrackedRun) -> None:
    artefact = tracked_run.result.artefact
    printed = run("score", artefact, "--store", "s.db")
    assert f"Model {tracked_run.result.model.id}: 90 sentences of s.db scored." in printed
    assert "vectors" not in printed
    assert printed.endswith("Next: communique label --annotator YOUR_NAME --strategy uncertainty --store s.db")
    with Store("s.db") as store:
        assert store.scores.count_unscored(tracked_run.result.model.id) == 0
    assert "All sentences were already scored." in run("score", artefact, "--store", "s.db")


def test_score_refuses_a_store_that_is_not_there_and_makes_none(tracked_run: TrackedRun) -> None:
    said = run("score", tracked_run.result.artefact, "--store", "none.db", code=2)
    assert "none.db: this label store does not exist" in said
    assert not Path("none.db").exists()


def test_doubts_are_listed_written_and_queued(labelled: str) -> None:
    printed = run("doubts", "--store", "s.db", "--codebook", "book.toml", "--limit", "2", "--queue", "--out", "d.jsonl")
    assert "labelled sentences are in doubt" in printed
    assert "Written to d.jsonl." in printed
    doubts = [json.loads(line) for line in Path("d.jsonl").read_text(encoding="utf-8").splitlines()]
    assert labelled in {doubt["sentence_id"] for doubt in doubts}
    queued = counted(len(doubts), "sentence was", "sentences were")
    assert f"{queued} queued for labelling again; 0 others were already queued." in printed
    again = "communique label --annotator YOUR_NAME --strategy relabel --store s.db --codebook book.toml"
    assert printed.endswith(f"Next: {again}")
    with Store("s.db") as store:
        assert [entry.sentence_id for entry in store.relabelling.waiting()] == [
            doubt["sentence_id"] for doubt in doubts
        ]


def test_doubts_queue_nothing_unless_asked(labelled: str) -> None:
    printed = run("doubts", "--store", "s.db", "--codebook", "book.toml")
    assert "truce wrong? 0." in printed or "aid missing? 0." in printed
    assert printed.endswith("Add --queue to queue the listed sentences for labelling again.")
    with Store("s.db") as store:
        assert store.relabelling.waiting() == []


def test_doubts_take_a_version_of_the_codebook_that_the_store_keeps(labelled: str) -> None:
    Path("book.toml").unlink()
    version = f"{MULTI.name}@{MULTI.version}"
    assert "labelled sentences are in doubt" in run("doubts", "--store", "s.db", "--codebook", version)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "finetune"], "'finetune' is not one of 'tfidf'"),
        (["--out", "d.txt"], "d.txt: the list can be written to .jsonl or .csv"),
        (["--folds", "20"], "too few to split into 20 parts"),
        (["--folds", "1"], "--folds"),
        (["--for-spreadsheet"], "--for-spreadsheet needs a file. Add --out FILE.csv."),
    ],
)
def test_doubts_refuse_what_cannot_be_done(isolated: Path, arguments: list[str], message: str) -> None:
    (isolated / "book.toml").write_text(dump_codebook(MULTI), encoding="utf-8")
    fill_store(isolated / "s.db", MULTI, make_examples(30))
    assert message in run("doubts", "--store", "s.db", "--codebook", "book.toml", *arguments, code=2)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_help_and_an_example(name: str) -> None:
    shown = run(name, "--help")
    assert f"{name} [OPTIONS]" in shown
    assert f"Example: communique {name} " in shown or SUBCOMMANDS[name].place.endswith(":app")


@pytest.mark.parametrize(
    ("typed", "message"),
    [("traain", "No such command 'traain' (did you mean 'train'?)."), ("xyz", "No such command 'xyz'.")],
)
def test_an_unknown_subcommand_is_refused_with_the_nearest(typed: str, message: str) -> None:
    assert message in run(typed, code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["zz\x1b[31m"],
        ["annotations", "zz\x1b[31m"],
        ["status", "\x1b[31m"],
        ["status", "--stor\x1b[31m"],
        ["label", "--annotator", "a\x1b[31mb"],
        ["label", "--annotator", "ana", "--by", "\x1b[31m"],
    ],
    ids=["command", "subcommand", "argument", "option", "name", "choice"],
)
def test_a_wrong_argument_is_shown_without_its_control_characters(arguments: list[str]) -> None:
    shown = run(*arguments, code=2)
    assert "\x1b[31m" not in shown
    assert "[31m" in shown


def test_a_wrong_choice_is_named_in_plain_words() -> None:
    said = CliRunner().invoke(app, ["predict", "model", "texts.txt", "--out", "out.csv", "--by", "page"]).stderr
    assert "'page' is not one of 'sentence', 'document'" in " ".join(said.replace("│", " ").split())
    assert "Value error" not in said


def test_the_version_is_shown() -> None:
    assert run("--version") == f"communique {importlib.metadata.version('communique')}"


def test_a_subcommand_imports_no_other() -> None:
    code = (
        "import sys; from trainer.cli import SUBCOMMANDS, Subcommands; from typer.main import get_command; "
        "from trainer.cli import SUBCOMMANDS, app; get_command(app).get_command(None, 'status'); "
        "print([name for name in sys.modules if name.startswith(('labels.cli.', 'trainer.cli.'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(ast.literal_eval(found)) == {"labels.cli.status", "labels.cli.terminal"}
