"""The command with Ray Serve: its options, and a real deployment of two replicas."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from labels.errors import InputError
from tests.end_to_end.server import serving
from tests.lazy import Lazy, needed
from tests.trainer.conftest import TrackedRun
from tests.trainer.serving.test_processes import until
from trainer.cli import app
from trainer.model.model import Model

Replicas = Lazy("trainer.serving.replicas:Replicas")

TEXTS = ["Norway pledged 40 trucks.", "Rain fell.", "Japan pledged a loan and called for a truce."]


@pytest.mark.parametrize(("text", "range_"), [("1", (1, 1)), ("3", (3, 3)), ("1-8", (1, 8)), (" 2-2 ", (2, 2))])
def test_number_of_replicas_is_a_number_or_a_range(text: str, range_: tuple[int, int]) -> None:
    found = Replicas.parse(text)
    assert (found.minimum, found.maximum) == range_


@pytest.mark.parametrize("text", ["0", "-1", "4-2", "two", "1-", "1-2-3", "", "99999", "1.5"])
def test_other_numbers_of_replicas_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--replicas: .*such as 2 or 1-4"):
        Replicas.parse(text)


@pytest.mark.parametrize(
    ("options", "repair"),
    [
        (["--engine", "ray", "--workers", "2"], "--replicas"),
        (["--replicas", "2"], "--engine ray"),
        (["--engine", "ray", "--replicas", "none"], "such as 2"),
    ],
    ids=["workers", "no-engine", "no-number"],
)
def test_options_of_the_other_engine_are_refused(options: list[str], repair: str) -> None:
    done = CliRunner().invoke(app, ["serve", "no-model", *options])
    assert done.exit_code == 2
    assert repair in done.output


@pytest.mark.slow
def test_two_replicas_answer_as_the_model_does_and_a_killed_one_is_replaced(
    tracked_run: TrackedRun, tmp_path: Path
) -> None:
    needed("ray")
    needed("grpc")
    artefact = tracked_run.result.artefact
    model = Model.load(artefact)
    with serving(tmp_path, str(artefact), "--engine", "ray", "--replicas", "2") as server:

        def ask() -> httpx.Response:
            return httpx.post(f"{server.url}/predict", json={"texts": TEXTS}, timeout=60)

        def replicas() -> set[int]:
            children = psutil.Process(server.process.pid).children(recursive=True)
            running = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
            return {child.pid for child in running if "ServeReplica" in " ".join(child.cmdline())}

        probabilities = model.predict_proba(TEXTS)
        answered = ask().json()["predictions"]
        assert [tuple(each["labels"]) for each in answered] == model.label_sets(probabilities)
        assert [list(each["probabilities"].values()) for each in answered] == probabilities.tolist()
        foreign = httpx.get(f"{server.url}/codebook", headers={"Host": "evil.example"}, timeout=60)
        assert foreign.status_code == 403  # the gate is in front of the replicas' application

        before = replicas()
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        statuses = [ask().status_code for _ in range(20)]
        assert statuses.count(200) >= 19  # only a request that was at the killed replica may fail
        until(lambda: len(replicas() - {min(before)}) == 2)
