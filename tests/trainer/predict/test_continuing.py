"""An interrupted run is continued by the same call, and its output is that of an uninterrupted run."""

from __future__ import annotations

import json
import os
import random
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import Codebook
from labels.errors import DataError
from tests.labels.test_unwritable import small_disk
from tests.trainer.predict.conftest import cue_model, row_line
from trainer.model.model import Model
from trainer.predict import Interrupted, PredictReport, flow, predict_files
from trainer.predict.job import Job
from trainer.predict.writing import Writing

SUFFIXES = [".jsonl", ".csv", ".parquet"]
PROGRESS = "done/.out.csv.progress"


def code(model: Model, corpus: Path, output: str, **options: Any) -> PredictReport:
    """Predict the corpus with everything that can be written."""
    path = Path(output)
    path.parent.mkdir(exist_ok=True)
    given: dict[str, Any] = {"columns": ["speaker", "page"], "by": "document", "texts": path.parent / "texts"}
    return predict_files(model, [corpus], path, **(given | options))


def contents(output: str) -> dict[str, bytes]:
    """All files in the folder of an output, by path."""
    folder = Path(output).parent
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass
class Fault:
    """Ends the process at one of its writes: before, in the middle of, or after it."""

    at: int = -1
    moment: float = 0.0
    seen: int = 0

    def install(self, patch: Callable[[Any, str, Any], None]) -> None:
        for owner, name in ((Job, "append"), (Job, "save"), (Writing, "finish")):
            patch(owner, name, self.wrapped(getattr(owner, name)))

    def wrapped(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*arguments: Any) -> Any:
            self.seen += 1
            if self.seen - 1 != self.at:
                return write(*arguments)
            if self.moment > 0.66:
                write(*arguments)
            elif self.moment > 0.33 and isinstance(arguments[1], dict):
                write(arguments[0], {name: content[: len(content) // 2] for name, content in arguments[1].items()})
            os._exit(9)

        return faulty


def die(model: Model, corpus: Path, output: str, fault: Fault) -> int:
    """Run `code` in a process that dies at the fault; returns its exit status."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of Python warn of threads, none of which the child needs
        child = os.fork()
    if child == 0:
        try:
            fault.install(setattr)
            code(model, corpus, output)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_run_is_continued_to_the_same_bytes(
    saved: Model, corpus: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    suffix, chance = SUFFIXES[seed % 3], random.Random(seed)
    counting = Fault()
    with monkeypatch.context() as patch:
        counting.install(patch.setattr)
        whole = code(saved, corpus, f"whole/out{suffix}")
    output = f"done/out{suffix}"
    kills = 0
    for _ in range(2):  # twice: a run can be killed again while it continues
        kills += die(saved, corpus, output, Fault(chance.randrange(counting.seen // 2), chance.random())) == 9
    assert kills
    report = code(saved, corpus, output)
    assert contents(output) == contents(f"whole/out{suffix}")
    assert (report.sentences, report.left_out, report.repeated) == (whole.sentences, 2, whole.repeated)
    assert report.assigned == whole.assigned


def stop_after(blocks: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Raise an error when a block is about to be written."""
    write = flow.Flow._commit

    def stop(self: Any, one: Any) -> Any:
        if one.block.number >= blocks:
            raise error
        return write(self, one)

    monkeypatch.setattr(flow.Flow, "_commit", stop)


@pytest.fixture
def interrupted(saved: Model, corpus: Path) -> int:
    """The number of sentences of an unfinished run into out.csv."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(4, patch, KeyboardInterrupt())
        with pytest.raises(Interrupted) as caught:
            code(saved, corpus, "done/out.csv")
    assert not Path("done/out.csv").exists()
    return caught.value.sentences


def test_an_interrupt_keeps_finished_blocks(saved: Model, corpus: Path, interrupted: int) -> None:
    report = code(saved, corpus, "done/out.csv")
    assert 0 < interrupted == report.continued < report.sentences


def test_an_interrupt_before_the_first_block_leaves_nothing(
    saved: Model, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(0, monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        code(saved, corpus, "done/out.csv")
    assert contents("done/out.csv") == {}


def test_restart_begins_again(saved: Model, corpus: Path, interrupted: int) -> None:
    report = code(saved, corpus, "done/out.csv", restart=True)
    assert report.continued == 0
    code(saved, corpus, "whole/out.csv")
    assert contents("done/out.csv") == contents("whole/out.csv")


def change(corpus: Path) -> None:
    (corpus / "a.jsonl").write_text(row_line(1) + "\n", encoding="utf-8")


def edit(corpus: Path) -> None:
    """Change a file without changing its length."""
    path = corpus / "b0.txt"
    path.write_bytes(path.read_bytes().replace(b"0", b"9"))
    os.utime(path, (1, 1))


@pytest.mark.parametrize(
    ("alter", "problem"),
    [
        (change, "the input {}/a.jsonl was changed"),
        (edit, "the input {}/b0.txt was changed"),
        (lambda corpus: (corpus / "b1.txt").unlink(), "the input {}/b1.txt is missing"),
        (lambda corpus: (corpus / "c.txt").write_text("Rain fell."), "the input {}/c.txt is new"),
    ],
    ids=["changed", "edited", "missing", "new"],
)
def test_another_input_is_refused_and_named(
    saved: Model, corpus: Path, interrupted: int, alter: Callable[[Path], object], problem: str
) -> None:
    alter(corpus)
    with pytest.raises(DataError, match=r"^done/out\.csv: there is an unfinished run .*--restart") as caught:
        code(saved, corpus, "done/out.csv")
    assert problem.format(corpus) in str(caught.value)


def test_a_touched_input_is_the_same_input(saved: Model, corpus: Path, interrupted: int) -> None:
    os.utime(corpus / "a.jsonl", (1, 1))
    assert code(saved, corpus, "done/out.csv").continued == interrupted


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"split": False}, "--split was on and is now off"),
        ({"columns": []}, "--columns was speaker,page and is now not given"),
        ({"by": "sentence"}, "--by was document and is now sentence"),
        ({"texts": None}, "--texts was done/texts and is now not given"),
        ({"keep_quotes": True}, "--keep-quotes was off and is now on"),
    ],
    ids=["split", "columns", "by", "texts", "quotes"],
)
def test_another_option_is_refused_and_named(
    saved: Model, corpus: Path, interrupted: int, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(DataError, match="an unfinished run") as caught:
        code(saved, corpus, "done/out.csv", **options)
    assert problem in str(caught.value)
    assert code(saved, corpus, "done/out.csv").continued == interrupted


def test_another_model_is_refused(corpus: Path, interrupted: int, codebook: Codebook) -> None:
    with pytest.raises(DataError, match=r"it used the model \w{16}, not \w{16}\. Repeat"):
        code(cue_model(codebook, "b"), corpus, "done/out.csv")


def test_a_model_that_was_never_saved_keeps_nothing(
    model: Model, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(3, monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        code(model, corpus, "done/out.csv")
    assert contents("done/out.csv") == {}


@pytest.mark.parametrize("name", ["state.json", "job.json", "sentences"])
def test_a_damaged_folder_is_refused(saved: Model, corpus: Path, interrupted: int, name: str) -> None:
    (Path(PROGRESS) / name).write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=rf"{PROGRESS}: this folder of an unfinished run is damaged.*--restart"):
        code(saved, corpus, "done/out.csv")
    assert code(saved, corpus, "done/out.csv", restart=True).sentences


def test_a_full_disk_keeps_finished_blocks(saved: Model, corpus: Path) -> None:
    with small_disk(9000), pytest.raises(DataError) as caught:
        code(saved, corpus, "done/out.csv")
    message = str(caught.value)
    assert message.startswith("done/out.csv: cannot be written (File too large). The ")
    assert "sentences so far are kept, and the same command continues after them. Free some space" in message
    assert "\n" not in message
    assert code(saved, corpus, "done/out.csv").continued > 0
    code(saved, corpus, "whole/out.csv")
    assert contents("done/out.csv") == contents("whole/out.csv")


def test_a_second_run_into_one_output_is_refused(saved: Model, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()
    write = flow.Flow._commit

    def hold(self: Any, one: Any) -> Any:
        reached.set()
        assert go_on.wait(60)
        return write(self, one)

    monkeypatch.setattr(flow.Flow, "_commit", hold)
    first = threading.Thread(target=code, args=(saved, corpus, "done/out.csv"))
    first.start()
    assert reached.wait(60)
    try:
        with pytest.raises(DataError, match=r"^done/out\.csv: another process is writing this output\. Wait"):
            code(saved, corpus, "done/out.csv")
    finally:
        go_on.set()
        first.join()
    assert Path("done/out.csv").is_file()
    assert not Path(PROGRESS).exists()


def test_an_input_that_changes_while_it_is_read_stops_the_run(
    saved: Model, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = flow.Flow._commit

    def grow(self: Any, one: Any) -> Any:
        if one.block.number == 2:
            with (corpus / "a.jsonl").open("a") as file:
                file.write(row_line(99) + "\n")
        return write(self, one)

    monkeypatch.setattr(flow.Flow, "_commit", grow)
    with pytest.raises(DataError, match=r"a\.jsonl: the file was changed while it was being read\..*--restart"):
        code(saved, corpus, "done/out.csv")
    assert json.loads((Path(PROGRESS) / "state.json").read_text())["blocks"] == 3
