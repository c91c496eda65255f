"""Trainings that are interrupted and go on: by an exception, as at Ctrl-C, and by SIGKILL, after which nothing is
tidied up.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.codebook.schema import Codebook
from labels.environment.progress import progress_to
from labels.errors import ExperimentError
from labels.records import Example
from tests.lazy import Lazy
from tests.trainer.conftest import contradicting, examples_for, plain_codebook, texts_of, tiny_section
from trainer.classifiers.finetune import FinetuneClassifier

claim_folder = Lazy("trainer.classifiers.training:claim_folder")
drop_fruitless = Lazy("trainer.classifiers.training:drop_fruitless")
fingerprint = Lazy("trainer.classifiers.training:fingerprint")
last_whole_checkpoint = Lazy("trainer.classifiers.training:last_whole_checkpoint")

MULTI = plain_codebook("aid", "truce")
EXAMPLES = examples_for(MULTI, 120)
TRAIN, VALIDATION = EXAMPLES[:64], EXAMPLES[64:]  # batches of 16: an epoch has 4 steps
CONTRADICTING = contradicting(MULTI, VALIDATION)
"""The more is learned, the higher the loss on them: the first epoch remains the best."""


class StoppedError(Exception):
    """What stops a training from outside."""


def stop(*_: Any, **__: Any) -> None:
    raise StoppedError


class Trainee:
    """Trains the tiny encoder in a folder of checkpoints, and keeps count of the steps."""

    def __init__(self, encoder: Path, folder: Path, **settings: Any) -> None:
        self.encoder, self.folder, self.settings = encoder, folder, {"epochs": 4, "min_steps": 0} | settings
        self.steps: list[int] = []

    def train(
        self,
        *,
        stop_after: int | None = None,
        train: list[Example] = TRAIN,
        validation: list[Example] = VALIDATION,
        codebook: Codebook = MULTI,
        seed: int = 1,
        **settings: Any,
    ) -> FinetuneClassifier:
        def watch(_stage: str, done: int, _total: int) -> None:
            self.steps.append(done)
            if done == stop_after:
                raise StoppedError

        self.steps = []
        section = tiny_section(self.encoder, **(self.settings | settings))
        classifier = FinetuneClassifier(codebook, section, seed)
        classifier.checkpoints = self.folder
        with progress_to(watch):
            return classifier.fit(train, validation)

    def interrupt(self, after: int, **settings: Any) -> None:
        with pytest.raises(StoppedError):
            self.train(stop_after=after, **settings)

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("checkpoint-*"))


@pytest.fixture
def trainee(tiny_encoder: Path, isolated: Path) -> Trainee:
    return Trainee(tiny_encoder, isolated / ".out.checkpoints")


@pytest.fixture(scope="module")
def uninterrupted(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FinetuneClassifier]:
    """What the training of `trainee` comes to when it is left alone; settings may differ."""

    known: dict[str, FinetuneClassifier] = {}

    def train(**settings: Any) -> FinetuneClassifier:
        key = repr(settings)
        if key not in known:
            folder = tmp_path_factory.mktemp("uninterrupted") / "checkpoints"
            known[key] = Trainee(tiny_encoder, folder).train(**settings)
        return known[key]

    return train


def assert_same(one: FinetuneClassifier, other: FinetuneClassifier) -> None:
    """Bit for bit."""
    texts = texts_of(EXAMPLES)
    np.testing.assert_array_equal(one.predict_proba(texts), other.predict_proba(texts))
    assert one.best_epoch_ == other.best_epoch_


# -- the same end


@pytest.mark.parametrize(
    ("after", "kept", "first"),
    [
        pytest.param(2, [], 1, id="before-the-first-checkpoint"),
        pytest.param(5, ["checkpoint-4"], 5, id="after-the-first"),
        pytest.param(12, ["checkpoint-8"], 9, id="in-the-last-step-of-an-epoch"),
    ],
)
def test_an_interrupted_training_goes_on_to_the_same_end(
    trainee: Trainee, uninterrupted: Callable[..., FinetuneClassifier], after: int, kept: list[str], first: int
) -> None:
    trainee.interrupt(after)
    assert trainee.kept == kept
    resumed = trainee.train()
    assert trainee.steps == list(range(first, 17))
    assert_same(resumed, uninterrupted())


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"batch_size": 8, "gradient_accumulation": 2}, id="several-batches-a-step"),
        pytest.param({"lora_rank": 2}, id="adapters"),
        pytest.param({"activation_checkpointing": True, "loss": "asymmetric"}, id="computed-twice"),
    ],
)
def test_it_does_so_however_it_trains(
    trainee: Trainee, uninterrupted: Callable[..., FinetuneClassifier], settings: dict[str, Any]
) -> None:
    trainee.interrupt(6, **settings)
    resumed = trainee.train(**settings)
    assert trainee.steps[0] == 5
    assert_same(resumed, uninterrupted(**settings))


def test_it_can_be_interrupted_again_and_again(
    trainee: Trainee, uninterrupted: Callable[..., FinetuneClassifier]
) -> None:
    for after in (3, 6, 10, 15):
        trainee.interrupt(after)
    assert_same(trainee.train(), uninterrupted())


def test_its_best_checkpoint_is_found_from_another_working_folder(
    trainee: Trainee,
    uninterrupted: Callable[..., FinetuneClassifier],
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings: dict[str, Any] = {"epochs": 9, "patience": 3, "validation": CONTRADICTING}
    trainee.folder = Path("checkpoints")
    with monkeypatch.context() as patch:
        patch.setattr("transformers.Trainer._finalize_training", stop)
        with pytest.raises(StoppedError):
            trainee.train(**settings)
    (isolated / "elsewhere").mkdir()
    monkeypatch.chdir(isolated / "elsewhere")
    trainee.folder = Path("../checkpoints")
    assert_same(trainee.train(**settings), uninterrupted(**settings))


def test_notes_say_that_it_was_interrupted(trainee: Trainee) -> None:
    assert trainee.train().notes == ()
    shutil.rmtree(trainee.folder)
    trainee.interrupt(6)
    (note,) = trainee.train().notes
    assert note.startswith("training was interrupted and resumed after epoch 1")


SCRIPT = """
import json, sys
from pathlib import Path
from labels.records import Example
from tests.trainer.conftest import plain_codebook, tiny_section
from trainer.classifiers.finetune import FinetuneClassifier

encoder, folder, settings, rows = json.loads(sys.stdin.read())
train, validation = ([Example(i, d, text, tuple(labels)) for i, d, text, labels in part] for part in rows)
section = tiny_section(Path(encoder), **settings)
classifier = FinetuneClassifier(plain_codebook("aid", "truce"), section, 1)
classifier.checkpoints = Path(folder)
classifier.fit(train, validation)
"""


def test_after_kill_9_it_goes_on_to_the_same_end(
    trainee: Trainee, uninterrupted: Callable[..., FinetuneClassifier]
) -> None:
    settings = {"epochs": 15, "patience": 99}
    rows = [[(e.id, e.document_id, e.text, e.labels) for e in part] for part in (TRAIN, VALIDATION)]
    given = json.dumps([str(trainee.encoder), str(trainee.folder), trainee.settings | settings, rows])
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root)},
        text=True,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.close()
    while process.poll() is None and (not trainee.folder.exists() or last_whole_checkpoint(trainee.folder) is None):
        time.sleep(0.01)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL, process.stderr.read() if process.stderr else ""
    resumed = trainee.train(**settings)
    assert trainee.steps[0] > 1
    assert_same(resumed, uninterrupted(**settings))


# -- patience


@pytest.mark.parametrize("after", [6, 10, 14])
def test_patience_that_had_run_out_in_part_is_not_given_anew(trainee: Trainee, after: int) -> None:
    settings: dict[str, Any] = {"epochs": 9, "patience": 3, "validation": CONTRADICTING}
    trainee.interrupt(after, **settings)
    assert trainee.train(**settings).best_epoch_ == 1
    assert trainee.steps[-1] == 16  # the first epoch and three without anything better


@pytest.mark.parametrize("epochs", [4, 9], ids=["no-further-epoch", "no-more-patience"])
def test_a_training_that_was_over_trains_no_more(
    trainee: Trainee,
    uninterrupted: Callable[..., FinetuneClassifier],
    epochs: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was interrupted between its last checkpoint and the loading of its best."""
    settings: dict[str, Any] = {"epochs": epochs, "patience": 3, "validation": CONTRADICTING}
    with monkeypatch.context() as patch:
        patch.setattr("transformers.Trainer._finalize_training", stop)
        with pytest.raises(StoppedError):
            trainee.train(**settings)
    assert trainee.kept == ["checkpoint-16", "checkpoint-4"]
    resumed = trainee.train(**settings)
    assert trainee.steps == []
    assert_same(resumed, uninterrupted(**settings))


# -- what is not gone on from


@pytest.mark.parametrize("damage", ["cut", "gone", "folder-alone"])
def test_a_half_written_checkpoint_is_passed_over(
    trainee: Trainee, uninterrupted: Callable[..., FinetuneClassifier], damage: str
) -> None:
    trainee.interrupt(11, patience=9)
    shutil.copytree(trainee.folder / trainee.kept[0], trainee.folder / "checkpoint-12")
    state = trainee.folder / "checkpoint-12" / "trainer_state.json"
    if damage == "cut":
        state.write_bytes(state.read_bytes()[:300])
    elif damage == "gone":
        state.unlink()
    else:
        shutil.rmtree(state.parent)
        state.parent.mkdir()
    resumed = trainee.train(patience=9)
    assert trainee.steps[0] == 9
    assert_same(resumed, uninterrupted(patience=9))


STRANGE: dict[str, dict[str, Any]] = {
    "setting": {"learning_rate": 4e-3},
    "seed": {"seed": 2},
    "text": {"train": [replace(TRAIN[0], text="Rain fell again."), *TRAIN[1:]]},
    "label": {"train": [replace(TRAIN[0], labels=("truce",)), *TRAIN[1:]]},
    "order": {"train": [*TRAIN[1:], TRAIN[0]]},
    "fewer": {"train": TRAIN[:-1]},
    "validation": {"validation": VALIDATION[1:]},
    "label name": {"codebook": plain_codebook("aid", "truce", "threat")},
}


@pytest.mark.parametrize("strange", STRANGE)
def test_another_training_begins_anew_and_sweeps_the_folder(trainee: Trainee, strange: str) -> None:
    trainee.interrupt(6)
    trainee.interrupt(1, **STRANGE[strange])
    assert trainee.steps == [1]
    assert trainee.kept == []


def test_another_number_of_processes_begins_anew(trainee: Trainee, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (_mark(trainee, monkeypatch, n) for n in ("1", "2"))
    assert one != two


def _mark(trainee: Trainee, monkeypatch: pytest.MonkeyPatch, processes: str) -> str:
    monkeypatch.setenv("WORLD_SIZE", processes)
    classifier = FinetuneClassifier(MULTI, tiny_section(trainee.encoder), 1)
    return fingerprint(classifier._decisive_settings(), TRAIN, VALIDATION)


def test_an_encoder_that_was_changed_in_its_place_begins_anew(trainee: Trainee, isolated: Path) -> None:
    trainee.encoder = shutil.copytree(trainee.encoder, isolated / "mine")
    trainee.interrupt(6)
    config = trainee.encoder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layer_norm_eps": 0.1}))
    trainee.interrupt(1)
    assert trainee.steps == [1]


def test_ids_and_documents_do_not_matter(trainee: Trainee) -> None:
    trainee.interrupt(6)
    renamed = [replace(example, id=f"x{i}", document_id=f"y{i}") for i, example in enumerate(TRAIN)]
    trainee.interrupt(6, train=renamed)
    assert trainee.steps == [5, 6]


# -- the folder


def test_nothing_is_left_where_there_is_nothing_to_go_on_from(trainee: Trainee) -> None:
    trainee.interrupt(2)
    assert not trainee.folder.exists()
    with pytest.raises(ExperimentError, match="keep_layers"):
        trainee.train(keep_layers=9)
    assert not trainee.folder.exists()


def whole(folder: Path, number: int) -> Path:
    checkpoint = folder / f"checkpoint-{number}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    return checkpoint


def test_the_newest_checkpoint_is_the_one_of_most_steps(isolated: Path) -> None:
    assert last_whole_checkpoint(isolated) is None
    newest = [whole(isolated, number) for number in (9, 100, 12)][1]
    assert last_whole_checkpoint(isolated) == newest


def test_a_folder_is_claimed_once_and_kept_for_the_same_training(isolated: Path) -> None:
    folder = isolated / "deep" / "folder"
    claim_folder(folder, "mark")
    kept = whole(folder, 4)
    claim_folder(folder, "mark")
    assert kept.exists()
    claim_folder(folder, "other")
    assert not kept.exists()


def test_a_follower_waits_until_the_leader_has_claimed_the_folder(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = isolated / "folder"
    claim_folder(folder, "an older training")
    monkeypatch.setenv("RANK", "1")
    follower = threading.Thread(target=claim_folder, args=(folder, "mark"), daemon=True)
    follower.start()
    follower.join(0.3)
    assert follower.is_alive()
    (folder / "fingerprint.txt").write_text("mark")  # as the leader does; the rank is one for all threads
    follower.join(10)
    assert not follower.is_alive()


def test_a_follower_deletes_nothing(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim_folder(isolated / "folder", "mark")
    monkeypatch.setenv("RANK", "1")
    drop_fruitless(isolated / "folder")
    assert (isolated / "folder").exists()
    monkeypatch.setenv("RANK", "0")
    drop_fruitless(isolated / "folder")
    assert not (isolated / "folder").exists()
