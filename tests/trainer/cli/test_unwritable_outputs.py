"""Every command that writes: an output that cannot be written is one line with the reason, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import dump_codebook
from labels.errors import DataError
from labels.output.drafts import whole_folder
from tests.conftest import make_examples
from tests.labels.test_unwritable import small_disk
from tests.lazy import Lazy
from tests.trainer.conftest import TrackedRun, fill_store, plain_codebook, write_examples
from trainer.cli import app

torch = Lazy("torch")
MajorityClassifier = Lazy("trainer.runs.kinds:MajorityClassifier")

MULTI = plain_codebook("aid", "truce")
LONG = "a" * 300
UNTRACKED = ("--set", "tracking.enabled=false", "--set", "data.train=data.jsonl", "--set", "data.codebook=book.toml")
COMMANDS = {
    "predict": ("predict", "ARTEFACT", "article.txt", "--out"),
    "predict --texts": ("predict", "ARTEFACT", "article.txt", "--out", "tagged.jsonl", "--texts"),
    "evaluate": ("evaluate", "ARTEFACT", "data.jsonl", "--out"),
    "train": ("train", "majority", *UNTRACKED, "--out"),
    "learning curve": ("train", "majority", "--learning-curve", *UNTRACKED, "--out"),
    "sweep": ("sweep", "sweep", *UNTRACKED, "--out"),
    "demo": ("demo", "--out"),
    "export": ("export", "ARTEFACT", "--onnx", "--out"),
    "keys": ("keys", "add", "ana", "--keys"),
    "doubts": ("doubts", "--store", "s.db", "--codebook", "book.toml", "--out"),
    "agreement": ("agreement", "--store", "s.db", "--codebook", "book.toml", "--json"),
    "codebook infer": ("codebook", "infer", "data.jsonl", "--out"),
    "export csv": ("annotations", "export", "--store", "s.db", "--codebook", "book.toml", "--format", "csv"),
    "export jsonl": ("annotations", "export", "--store", "s.db", "--codebook", "book.toml"),
    "export huggingface": (
        *("annotations", "export", "--store", "s.db", "--codebook", "book.toml", "--format", "huggingface"),
    ),
    "export --texts": ("annotations", "export", "out.jsonl", "--store", "s.db", "--codebook", "book.toml", "--texts"),
    "ingest": ("ingest", "article.txt", "--store"),
}
ENDINGS = {"predict": ".csv", "doubts": ".csv", "export csv": ".csv", "export jsonl": ".jsonl", "ingest": ".db"}


@pytest.fixture
def artefact(isolated: Path, tracked_run: TrackedRun) -> Path:
    """A model, and files and a store for all commands."""
    (isolated / "book.toml").write_text(dump_codebook(MULTI), encoding="utf-8")
    write_examples(isolated / "data.jsonl", make_examples(60))
    fill_store(isolated / "s.db", MULTI, make_examples(60))
    (isolated / "article.txt").write_text("Oslo pledged winter fuel. " * 200, encoding="utf-8")
    (isolated / "file").write_text("mine", encoding="utf-8")
    return tracked_run.result.artefact


def run(artefact: Path, name: str, place: str) -> tuple[int, str]:
    """The exit code and the message of a command that writes to `place`."""
    arguments = [str(artefact) if argument == "ARTEFACT" else argument for argument in COMMANDS[name]]
    done = CliRunner().invoke(app, [*arguments, place])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("place", [LONG, "file/out"])
def test_a_place_that_cannot_be_written_is_one_line(artefact: Path, name: str, place: str) -> None:
    before = sorted(path.name for path in Path().iterdir())
    code, message = run(artefact, name, place + ENDINGS.get(name, ""))
    assert code in (1, 2)
    assert message.startswith("Error: ")
    assert len(message.splitlines()) == 1
    assert place in message
    assert sorted(path.name for path in Path().iterdir()) == before
    assert Path("file").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["predict", "predict --texts", "train", "learning curve"])
def test_a_full_disk_is_one_line_and_leaves_nothing(artefact: Path, name: str) -> None:
    before = sorted(path.name for path in Path().iterdir())
    with small_disk(3000):
        code, message = run(artefact, name, "out" + ENDINGS.get(name, ""))
    assert code == 2, message
    assert "cannot be written" in message
    assert len(message.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == before


@pytest.mark.parametrize("name", ["predict", "predict --texts", "train", "export csv", "ingest"])
def test_a_name_of_244_bytes_is_written(artefact: Path, name: str) -> None:
    ending = ENDINGS.get(name, "")
    place = "é" * ((244 - len(ending)) // 2) + ending
    code, message = run(artefact, name, place)
    assert code == 0, message
    assert Path(place).exists()


@pytest.mark.parametrize("name", ["sweep", "ingest", "export csv"])
def test_a_full_disk_under_a_study_or_a_store_is_one_line(artefact: Path, name: str) -> None:
    with small_disk(3000):
        code, message = run(artefact, name, "out" + ENDINGS.get(name, ""))
    assert code in (1, 2), message
    assert len(message.splitlines()) == 1
    assert "disk I/O error" in message or "File too large" in message


def test_a_full_disk_found_by_torch_is_one_line(isolated: Path) -> None:
    zeros = torch.zeros(5000)
    refused = pytest.raises(DataError, match=r"out: cannot be written .* Free some space")
    with refused, small_disk(), whole_folder(isolated / "out") as draft:
        torch.save({"optimizer": zeros}, draft / "optimizer.pt")
    assert list(isolated.iterdir()) == []


def test_a_notebook_gets_one_message_too(isolated: Path) -> None:
    texts = ["Oslo pledged fuel.", "Rain fell."] * 3
    model = MajorityClassifier(codebook=MULTI).fit(texts, [["aid"], ["truce"]] * 3)
    (isolated / "file").touch()
    for place in (LONG, "file/out"):
        with pytest.raises(DataError, match=f"{place}: cannot be written"):
            model.save(place)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_screen_that_cannot_be_written_is_one_line() -> None:
    code = "from trainer.cli import app; app()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "codebook", "show", "diplomatic"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "No space left on device" in done.stderr
