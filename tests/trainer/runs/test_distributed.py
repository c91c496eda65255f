"""Training in several processes: the part of each process, and a whole training under `torchrun` in two processes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import dump_codebook
from labels.errors import ExperimentError
from tests.conftest import make_examples
from tests.trainer.conftest import MakeExperiment, disturbed, plain_codebook, tiny_section, write_examples
from trainer.classifiers.finetune import FinetuneClassifier
from trainer.cli import app
from trainer.environment import is_follower, world_size
from trainer.runs.run import help_train


def test_without_a_launcher_a_process_is_alone_and_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (world_size(), is_follower()) == (1, False)


@pytest.mark.parametrize(("rank", "follows"), [("0", False), ("1", True), ("7", True)])
def test_of_several_processes_the_first_leads(rank: str, follows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert (world_size(), is_follower()) == (8, follows)


# -- followers


def test_a_follower_leaves_kinds_that_one_process_trains_to_the_leader(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    finished = CliRunner().invoke(app, ["train", "tfidf", "--out", "out", "--set", "data.train=nowhere.jsonl"])
    assert (finished.exit_code, finished.output) == (0, "")
    assert not list(isolated.iterdir())


def test_a_follower_trains_as_often_as_the_leader_and_writes_nothing(
    experiment_of: MakeExperiment, tiny_encoder: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []
    fit = FinetuneClassifier.fit

    def counted(self: FinetuneClassifier, examples: Any, validation: Any) -> FinetuneClassifier:
        fitted.append(len(examples))
        return fit(self, examples, validation)

    monkeypatch.setattr(FinetuneClassifier, "fit", counted)
    before = {path.name for path in isolated.iterdir()}
    model = tiny_section(tiny_encoder, min_steps=0).model_dump()
    crossfit = {"crossfit": True, "folds": 3}
    help_train(experiment_of("finetune", model=model, calibration=crossfit), isolated / "out")
    assert len(fitted) == 1 + 3
    assert {path.name for path in isolated.iterdir()} - before == {".out.checkpoints"}  # which the leader deletes


def test_a_follower_gives_the_leader_time_to_report_an_error(
    experiment_of: MakeExperiment, tiny_encoder: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("trainer.runs.run.time.sleep", waited.append)
    model = tiny_section(tiny_encoder, keep_layers=9).model_dump()
    with pytest.raises(ExperimentError, match="keep_layers"):
        help_train(experiment_of("finetune", model=model), isolated / "out")
    assert waited == [10.0]


# -- two processes

COMMUNIQUE = Path(sys.executable).with_name("communique")


def _experiment(folder: Path, encoder: Path) -> list[str]:
    """Arguments of a quick training on data that lie in `folder`."""
    (folder / "codebook.toml").write_text(dump_codebook(plain_codebook("aid", "truce")), encoding="utf-8")
    write_examples(folder / "data.jsonl", disturbed(make_examples(240)))
    settings = {
        "data.train": "data.jsonl",
        "data.codebook": "codebook.toml",
        "split.allow_large_groups": "true",
        "evaluation.bootstrap": "100",
        "model.encoder": encoder,
        "model.pooling": "mean",
        "model.learning_rate": 5e-3,
        "model.head_learning_rate": 1e-2,
        "model.min_steps": 40,
    }
    return ["train", "finetune", *(part for key, value in settings.items() for part in ("--set", f"{key}={value}"))]


def _run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )


def _runs(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "mlflow.db") as database:
        return [status for (status,) in database.execute("SELECT status FROM runs")]


def _two_processes(folder: Path, *command: str | Path) -> list[tuple[int, str]]:
    """The exit codes of two processes, and what they print; they run as under `torchrun`, without its own start."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    printed = [process.communicate(timeout=900)[0] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, printed, strict=True)]


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.slow
def test_two_processes_leave_one_run_that_is_as_good_as_that_of_one(
    isolated: Path, tiny_encoder: Path, mlflow_template: Path
) -> None:
    arguments = _experiment(isolated, tiny_encoder)
    shutil.copy(mlflow_template, isolated / "mlflow.db")
    together = _run(isolated, *TORCHRUN, COMMUNIQUE, *arguments, "--out", "together")
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("macro_f1") == 1
    assert together.stdout.count("Saved in together") == 1
    assert _runs(isolated) == ["FINISHED"]
    assert not [path.name for path in isolated.glob(".*")]

    alone = CliRunner().invoke(app, [*arguments, "--out", "alone", "--set", "tracking.enabled=false"])
    assert alone.exit_code == 0, alone.output
    reports = [json.loads((isolated / name / "report.json").read_text()) for name in ("together", "alone")]
    assert reports[0]["macro_f1"] == pytest.approx(reports[1]["macro_f1"], abs=0.12)
    assert reports[0]["macro_f1"] > 0.7
    assert {path.name for path in (isolated / "together").iterdir()} == {
        path.name for path in (isolated / "alone").iterdir()
    }


@pytest.mark.slow
def test_what_two_processes_refuse_is_said_once(isolated: Path, tiny_encoder: Path) -> None:
    arguments = _experiment(isolated, tiny_encoder)
    before = {path.name for path in isolated.iterdir()}
    refused = _run(
        isolated, *TORCHRUN, COMMUNIQUE, *arguments, "--out", "out",
        "--set", "model.keep_layers=9", "--set", "tracking.enabled=false",
    )  # fmt: skip
    assert refused.returncode != 0
    assert refused.stderr.count("model.keep_layers = 9: the encoder has only 3 layers") == 1
    assert {path.name for path in isolated.iterdir()} == before


ORDERS = """
import json, os, sys
from pathlib import Path
from tests.trainer.conftest import examples_for, plain_codebook, tiny_section
from trainer.classifiers import training
from trainer.classifiers.finetune import FinetuneClassifier

encoder, folder = map(Path, sys.argv[1:])
step, seen = training._NetworkTrainer.training_step, []

def watched(self, model, inputs, *rest):
    seen.append([round(self.state.epoch - 0.4999 if self.state.epoch else 0), inputs["input_ids"].tolist()])
    return step(self, model, inputs, *rest)

training._NetworkTrainer.training_step = watched
codebook = plain_codebook("aid", "truce")
examples = examples_for(codebook, 110)
section = tiny_section(encoder, epochs=3, min_steps=0, patience=9)
classifier = FinetuneClassifier(codebook, section, 1)
classifier.checkpoints = folder / "checkpoints"
classifier.fit(examples[:70], examples[70:])
probabilities = classifier.predict_proba([example.text for example in examples]).tolist()
(folder / f"{os.environ['RANK']}.json").write_text(json.dumps([seen, probabilities]))
"""


@pytest.mark.slow
def test_processes_share_out_all_examples_in_every_epoch_and_end_with_the_same_weights(
    isolated: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    finished = _two_processes(isolated, sys.executable, "-c", ORDERS, tiny_encoder, isolated)
    assert [code for code, _ in finished] == [0, 0], finished
    (one, first), (other, second) = (json.loads((isolated / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    for epoch in range(3):
        batches = [ids for seen in (one, other) for number, ids in seen if number == epoch]
        assert max(map(len, batches)) == 8  # of 16 sentences a step, half for each
        texts = {tuple(token for token in row if token) for ids in batches for row in ids}
        assert len(texts) == 70
