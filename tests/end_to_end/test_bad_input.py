"""Bad input on the command line: a message with place and repair, the right exit code, nothing left behind."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Command, run_here

Write = Callable[[str, list[dict[str, Any]]], Path]
ROWS = [{"text": f"Sentence number {i} about fruit.", "label": ("apple", "pear")[i % 2]} for i in range(40)]


def _refused(finished: Any, *parts: str, code: int = 2) -> None:
    assert finished.returncode == code, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    for part in parts:
        assert part in " ".join(finished.stderr.split()), finished.stderr


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("model.epoch=3", ("model.epoch", "unknown key", "did you mean 'epochs'?")),
        ("model.epochs=many", ("model.epochs", "given: 'many'")),
        ("model.kind=tfdif", ("model.kind", "did you mean 'tfidf'?")),
        ("split.train=0.9", ("must sum to 1",)),
        ("data.codebook=nowhere.toml", ("nowhere.toml", "cannot read this codebook")),
        ("data.train=nowhere.jsonl", ("nowhere.jsonl", "this file does not exist")),
        ("tracking", ("--set tracking", "key=value")),
    ],
)
def test_a_wrong_setting(isolated: Path, setting: str, parts: tuple[str, ...]) -> None:
    finished = run_here("train", "finetune", "--out", "out", "--set", "tracking.enabled=false", "--set", setting)
    _refused(finished, *parts)
    assert not (isolated / "out").exists()
    assert list(isolated.iterdir()) == []


def test_a_wrong_setting_on_the_real_command_line(communique: Command, isolated: Path) -> None:
    _refused(communique("train", "finetune", "--set", "model.epoch=3"), "model.epoch", "did you mean 'epochs'?")
    assert list(isolated.iterdir()) == []


def test_an_encoder_that_is_not_there(isolated: Path, write_jsonl: Write) -> None:
    path = write_jsonl("rows.jsonl", ROWS)
    finished = run_here(
        "train", "finetune", "--out", "out", "--set", f"data.train={path}", "--set", "data.codebook=infer",
        "--set", "tracking.enabled=false", "--set", "model.encoder=no/such-encoder",
    )  # fmt: skip
    _refused(finished, "no/such-encoder", "Use `minilm`")
    assert [path.name for path in isolated.iterdir()] == ["rows.jsonl"]


def test_a_label_that_the_codebook_lacks(write_jsonl: Write) -> None:
    path = write_jsonl("rows.jsonl", [{"text": "A sentence.", "labels": ["aid_plegde"]}])
    finished = run_here("train", "tfidf", "--set", f"data.train={path}")
    _refused(finished, "rows.jsonl:1", "aid_plegde", "did you mean 'aid_pledge'?")


def test_an_empty_file(isolated: Path) -> None:
    (isolated / "empty.jsonl").touch()
    finished = run_here("train", "tfidf", "--set", "data.train=empty.jsonl", "--set", "data.codebook=infer")
    _refused(finished, "empty.jsonl", "the file is empty")


def test_a_class_absent_from_train(write_jsonl: Write) -> None:
    write_jsonl("train.jsonl", [row for row in ROWS if row["label"] == "apple"])
    write_jsonl("test.jsonl", ROWS)
    finished = run_here(
        "train", "tfidf", "--set", "data.train=train.jsonl", "--set", "data.test=test.jsonl",
        "--set", "data.codebook=infer",
    )  # fmt: skip
    _refused(finished, "train.jsonl", "no train example has the label pear")


def test_an_altered_artefact_and_a_pickle_are_refused(isolated: Path, write_jsonl: Write) -> None:
    write_jsonl("train.jsonl", ROWS)
    trained = run_here(
        "train", "tfidf", "--out", "run", "--set", "data.train=train.jsonl", "--set", "data.codebook=infer",
        "--set", "tracking.enabled=false",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    (isolated / "article.txt").write_text("Some text to tag.")
    book = isolated / "run/artefact/codebook.toml"
    book.write_text(book.read_text() + "\n# a comment\n")
    altered = run_here("predict", "run/artefact", "article.txt", "--output", "out.csv")
    _refused(altered, "codebook.toml", "altered after training")
    (isolated / "model.pkl").write_bytes(pickle.dumps({"model": 1}))
    _refused(run_here("predict", "model.pkl", "article.txt", "--out", "out.csv"), "model.pkl", "pickle")
    _refused(run_here("serve", "run"), "codebook.toml", "altered after training")
    _refused(run_here("serve", "run/plots"), "run/plots", "not a communique artefact")
    assert not (isolated / "out.csv").exists()


def test_bad_rows_are_reported_with_their_lines_and_the_rest_goes_in(isolated: Path) -> None:
    lines = [
        json.dumps({"text": "A first sentence."}),
        "{broken",
        json.dumps({"body": "x"}),
        json.dumps({"text": "Last."}),
    ]
    (isolated / "rows.jsonl").write_text("\n".join(lines))
    finished = run_here("ingest", "rows.jsonl")
    assert finished.returncode == 0
    assert "rows.jsonl:2: this line is not valid JSON" in finished.stdout
    assert "rows.jsonl:3: this row has no column `text`" in finished.stdout
    assert ": 2 new" in finished.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file's name is Unicode")
def test_a_file_whose_name_is_not_utf8_is_left_out_by_name_and_the_rest_goes_in(
    communique: Command, isolated: Path
) -> None:
    folder = isolated / "articles"
    folder.mkdir()
    for name in ("ok.txt", os.fsdecode(b"caf\xe9.txt")):
        (folder / name).write_text("A first sentence.")
    finished = communique("ingest", "articles")
    assert finished.returncode == 0, finished.stderr
    assert "Left out: articles/caf\\udce9.txt: the file name is not UTF-8 text." in finished.stdout
    assert ": 1 new" in finished.stdout


def test_an_output_folder_that_holds_something_is_left_alone(isolated: Path) -> None:
    (isolated / "out").mkdir()
    (isolated / "out" / "precious.txt").write_text("mine")
    _refused(run_here("train", "majority", "--out", "out"), "is not empty", "--overwrite")
    _refused(run_here("demo", "--out", "out"), "is not empty", "or delete this folder")
    assert (isolated / "out" / "precious.txt").read_text() == "mine"


def test_unknown_champion(tracked: Path) -> None:
    (tracked / "a.txt").write_text("Some text.")
    finished = run_here("predict", "models:/nobody@champion", "a.txt", "--output", "out.csv")
    _refused(finished, "models:/nobody@champion", "communique leaderboard")


def test_leaderboard_without_runs_says_what_to_do(tracked: Path) -> None:
    _refused(run_here("leaderboard"), "no experiment 'communique'", "communique train", code=1)
