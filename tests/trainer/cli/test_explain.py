from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.trainer.conftest import TrackedRun
from trainer.classifiers.explanations import Explanation, Span
from trainer.cli import app
from trainer.cli.explain import marked

TRUCE = "The envoy called for a truce."


def test_words_are_marked_by_signs_as_well_as_colours() -> None:
    found = Explanation("aid", "terms", 0, 0, (Span(0, 3, 2.0), Span(4, 8, -0.5), Span(9, 10, 0.1), Span(11, 14, -2.0)))
    text = marked("Oh! guns \x1b fell", found)
    assert text.plain == "+++Oh! -guns ␛ ---fel" + "l"
    out = StringIO()
    Console(file=out, force_terminal=True, color_system="standard").print(text)
    assert "\x1b[1;32m+++Oh!" in out.getvalue()
    assert "\x1b[1;35m---fel" in out.getvalue()


def test_command_prints_the_marked_sentence_and_its_sum(tracked_run: TrackedRun) -> None:
    done = CliRunner().invoke(app, ["explain", str(tracked_run.result.artefact), TRUCE, "Rain fell."])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("truce: assigned, probability 0.")
    assert "+truce." in lines[1]
    assert lines[2].startswith("logit ")
    assert lines[2].endswith("(terms)")
    assert ": not assigned, probability 0." in done.output


def test_json_lines_have_offsets(tracked_run: TrackedRun) -> None:
    command = ["explain", str(tracked_run.result.artefact), "--label", "truce", "--top-k", "2", "--json"]
    done = CliRunner().invoke(app, command, input=f"{TRUCE}\n\n")
    row = json.loads(done.output)
    [found] = row["explanations"]
    assert (row["text"], found["label"], len(found["spans"])) == (TRUCE, "truce", 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [([], "no sentence was given"), (["--label", "trucks", "Rain fell."], "'trucks' is not a label")],
    ids=["nothing", "label"],
)
def test_bad_input_is_refused(tracked_run: TrackedRun, options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["explain", str(tracked_run.result.artefact), *options], input="")
    assert done.exit_code == 2
    assert message in done.output
