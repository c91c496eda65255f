from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import typer

from labels.cli.terminal import console, progress_bars, reporting_errors, say, show_warnings, table, write_out
from labels.environment.progress import report_progress
from labels.errors import CodebookError, CommuniqueError, DataError, InputError, StoreError, counted


@pytest.mark.parametrize(
    ("error", "code"),
    [(CommuniqueError, 1), (StoreError, 1), (InputError, 2), (DataError, 2), (CodebookError, 2)],
)
def test_an_error_is_one_message_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: type[CommuniqueError], code: int
) -> None:
    with pytest.raises(typer.Exit) as caught, reporting_errors():
        raise error("rows.jsonl:3: fix [this] line.")

    assert caught.value.exit_code == code
    printed = capsys.readouterr()
    assert printed.err == "Error: rows.jsonl:3: fix [this] line.\n"
    assert printed.out == ""


def test_an_error_that_is_not_on_purpose_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), reporting_errors():
        _ = 1 / 0


def test_without_an_error_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting_errors():
        pass

    assert capsys.readouterr() == ("", "")


def test_a_reader_that_goes_away_ends_a_command_quietly() -> None:
    command = [sys.executable, "-c", "from trainer.cli import app; app()", "codebook", "show"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        printed = process.stderr.read()

    assert printed == ""
    assert process.returncode == 0


def test_text_is_never_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("a [bold]list[/bold] of [names] :warning:")

    assert "a [bold]list[/bold] of [names]" in capsys.readouterr().out


def test_text_is_never_read_as_an_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("a :warning: at 10:smile:30")
    console.print(table(("x",), [(":warning:",)]))

    assert ":warning: at 10:smile:30" in capsys.readouterr().out


HOSTILE = "\x1b[2J\x1b]0;title\a safe\rrm\b\b \u202egpj.exe \x9b31m [bold]x[/bold]"
SHOWN = "␛[2J␛]0;title␇ safe␍rm␈␈ \\u202egpj.exe \\x9b31m [bold]x[/bold]"


def test_printed_text_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.print(HOSTILE)
    say(HOSTILE)
    say(HOSTILE, err=True)

    assert capsys.readouterr() == (f"{SHOWN}\n{SHOWN}\n", f"{SHOWN}\n")


def test_tables_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.print(table((HOSTILE, "n"), [(HOSTILE, "1")], title=HOSTILE, caption=HOSTILE))

    printed = capsys.readouterr().out
    assert printed.replace("\n", " ").count("␛[2J␛]0;title␇") == 4
    assert not set(printed) & set("\x1b\a\r\b\u202e\x9b")


def test_error_messages_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reporting_errors():
        raise DataError(f"{HOSTILE}.txt: remove the file.")

    assert capsys.readouterr().err == f"Error: {SHOWN}.txt: remove the file.\n"


def test_logged_warnings_cannot_control_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging, "lastResort", logging.StreamHandler(sys.stderr))
    show_warnings()
    logging.getLogger("labels.test").warning("%s: left out", HOSTILE)

    assert capsys.readouterr().err == f"{SHOWN}: left out\n"


def test_only_a_terminal_is_spared_the_control_characters_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    write_out(f"{HOSTILE}\r\n")

    assert capsys.readouterr().out == f"{HOSTILE}\r\n"


def test_a_file_on_a_terminal_shows_its_control_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    write_out(HOSTILE)

    assert capsys.readouterr().out == SHOWN


def test_half_a_character_is_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("Left out: caf\udce9.txt")

    assert capsys.readouterr().out == "Left out: caf\\udce9.txt\n"


def test_a_long_line_is_not_broken_where_output_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    line = "word " * 60 + "end"
    console.print(line)

    assert capsys.readouterr().out == line + "\n"


def test_no_bar_is_drawn_where_standard_error_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars():
        for done in range(3):
            report_progress("Reading", done, 2)

    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error is taken for a terminal of 100 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.usefixtures("terminal")
def test_a_bar_shows_title_and_counts_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars():
        report_progress("Reading", 0, 7)
        report_progress("Reading", 7, 7)

    printed = capsys.readouterr()
    assert "Reading" in printed.err
    assert "7/7" in printed.err
    assert printed.out == ""


@pytest.mark.usefixtures("terminal")
def test_a_new_stage_takes_the_place_of_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars():
        report_progress("Reading", 1, 1)
        report_progress("Writing", 2, 9)

    frames = capsys.readouterr().err.split("\r")
    assert any("Writing" in frame and "2/9" in frame for frame in frames)
    assert "Reading" not in next(frame for frame in reversed(frames) if "Writing" in frame)


@pytest.mark.parametrize(("number", "words"), [(0, "0 documents"), (1, "1 document"), (2, "2 documents")])
def test_a_noun_agrees_with_its_number(number: int, words: str) -> None:
    assert counted(number, "document") == words
