"""`communique predict` from the command line: its options reach the library, and its messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.cli.test_commands import run
from tests.trainer.conftest import TrackedRun
from trainer.predict import Progress, flow


@pytest.fixture
def artefact(isolated: Path, tracked_run: TrackedRun) -> str:
    """A model, and a table in the working folder."""
    rows = [{"id": str(n), "text": f"Oslo pledged fuel. Rain fell on day {n}.", "speaker": "A"} for n in range(3)]
    (isolated / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "[1]\n", encoding="utf-8")
    return str(tracked_run.result.artefact)


def test_columns_documents_repeats_and_rejects_are_said(artefact: str) -> None:
    said = run("predict", artefact, "*.jsonl", "--out", "out.csv", "--columns", "speaker, id", "--by", "document")
    assert "3 documents, 6 sentences labelled" in said
    assert "Repeated sentences, predicted once: 2 (33.3%)." in said
    assert "One row per document is in out.documents.csv." in said
    assert "All files and rows that were left out are listed in out.csv.rejects.jsonl." in said
    assert Path("out.csv").read_text("utf-8").splitlines()[0].endswith("splitter,heading,speaker,id")


def test_without_input_the_options_are_named(artefact: str) -> None:
    said = run("predict", artefact, "--out", "out.csv", code=2)
    assert "There is nothing to label. Name files or folders, or a label store with --store." in said


def test_an_interrupt_says_what_is_kept(artefact: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flow.Flow, "_move_into_place", stop)
        said = run("predict", artefact, "rows.jsonl", "--out", "out.csv", code=130)
    assert "Interrupted. 6 sentences are kept: the same command continues after them." in said
    said = run("predict", artefact, "rows.jsonl", "--out", "out.csv")
    assert "Continued an interrupted run, which had labelled 6 sentences." in said


def test_the_pace_is_shown_with_the_time_left() -> None:
    from trainer.cli.predict import _pace

    assert _pace(Progress(0.5, 12_000, 1234.5, 61.4)) == "12,000 sentences, 1,234/s, 0:01:01 left"
