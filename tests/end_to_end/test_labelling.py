"""From articles to labels to a model, all by commands, with one annotator typing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.conftest import make_examples
from tests.end_to_end.conftest import COMMUNIQUE, Command, run_here

BOOK = """
name = "small"
[[labels]]
name = "aid"
key = "a"
[[labels]]
name = "truce"
key = "t"
"""


def _write_articles(folder: Path) -> None:
    (folder / "articles").mkdir()
    (folder / "book.toml").write_text(BOOK)
    by_document: dict[str, list[str]] = {}
    for example in make_examples(180):
        by_document.setdefault(example.document_id, []).append(example.text)
    for name, sentences in by_document.items():
        (folder / "articles" / f"{name}.txt").write_text(" ".join(sentences) + "\n\nLeave a Comment\n")


def _keys_for(communique: Command) -> str:
    """The keys a careful annotator types for what the prompt shows, sentence after sentence."""
    skip = "s\n" * 179 + "q\n"
    shown = communique("label", "--annotator", "ana", "--size", "180", "--codebook", "book.toml", typed=skip)
    truth = {example.text: example.labels for example in make_examples(180)}
    sentences = [line.removeprefix("  > ") for line in shown.stdout.splitlines() if line.startswith("  > ")]
    assert len(sentences) == 180
    return "".join(("".join(label[0] for label in truth[text]) or "n") + "\n" for text in sentences)


def test_articles_to_labels_to_a_model(isolated: Path, mlflow_store: str, communique: Command) -> None:
    _write_articles(isolated)
    first = run_here("ingest", "articles")
    assert first.returncode == 0, first.stderr
    assert "60 new, with 240 sentences" in first.stdout
    assert "comments 60" in first.stdout
    again = run_here("ingest", "articles")
    assert "0 new, with 0 sentences" in again.stdout

    keys = _keys_for(communique)
    undo_all_then_label = "u\n" * 179 + keys
    store_of_skips = json.loads(_export(isolated)[0])
    assert store_of_skips["state"] == "skipped"
    labelled = communique(
        "label", "--annotator", "ana", "--size", "180", "--codebook", "book.toml", typed=undo_all_then_label
    )
    assert labelled.returncode == 0, labelled.stderr

    trained = run_here(
        "train", "tfidf", "--out", "runs/mine", "--set", "data.source=store", "--set", "data.codebook=book.toml",
        "--set", "split.train=0.5", "--set", "split.validation=0.25", "--set", "split.test=0.25",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    report = json.loads((isolated / "runs/mine/report.json").read_text())
    assert report["macro_f1"] > 0.9
    assert report["n_train"] + report["n_validation"] + report["n_test"] == 180


def _export(folder: Path) -> list[str]:
    """The lines of events in an export."""
    finished = run_here("annotations", "export", "labels.jsonl", "--overwrite")
    assert finished.returncode == 0, finished.stderr
    lines = (folder / "labels.jsonl").read_text().splitlines()
    return [line for line in lines if "event_id" in json.loads(line)]  # without the lines of draws


def test_kill_9_while_labelling_loses_no_decision(isolated: Path, communique: Command) -> None:
    _write_articles(isolated)
    run_here("ingest", "articles")
    process = subprocess.Popen(
        [*COMMUNIQUE, "label", "--annotator", "ana", "--size", "20", "--codebook", "book.toml"],
        cwd=isolated,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(1, 8):
        _read_until(process, f"[{number}/20]")
        process.stdin.write("n\n")
        process.stdin.flush()
    _read_until(process, "[8/20]")
    process.kill()
    process.communicate()
    events = [json.loads(line) for line in _export(isolated)]
    assert [event["state"] for event in events] == ["reviewed"] * 7
    resumed = communique("label", "--annotator", "ana", "--size", "20", "--codebook", "book.toml", typed="q\n")
    assert "[8/20]" in resumed.stdout
    assert "7 decided, 13 left" in resumed.stdout


def _read_until(process: subprocess.Popen[str], mark: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if mark in line:
            return
    raise AssertionError(f"{mark} was never shown")
