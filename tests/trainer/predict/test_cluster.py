"""Ray: the same predictions in shards, also if a worker dies or the run is interrupted."""

from __future__ import annotations

import json
import random
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from labels.errors import DataError, InputError
from tests.conftest import make_examples
from tests.trainer.conftest import TrackedRun
from trainer.model.model import Model
from trainer.predict import Interrupted, Progress, cluster, predict_files
from trainer.predict.cluster import connected

ROWS = 9000


@pytest.fixture
def table(isolated: Path) -> Path:
    """A table of five blocks, with a bad row and repeated sentences."""
    examples = make_examples(300)
    path = isolated / "rows.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(ROWS):
            row = {"id": f"r{number}", "text": examples[number % 300].text, "page": number}
            file.write((json.dumps(row) if number != 77 else "not JSON") + "\n")
    return path


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """Ray on this machine, for all tests of this module."""
    ray = pytest.importorskip("ray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def artefact(tracked_run: TrackedRun, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model; a shard is one block."""
    monkeypatch.setattr(cluster.RayRun, "blocks", 1)
    return tracked_run.result.artefact


def kill_an_actor(output: Path) -> None:
    """Kill a process that predicts, after the first shard was written."""
    parts = output.parent / f".{output.name}.progress" / "parts"
    while not list(parts.glob("part-*")):
        time.sleep(0.01)
    lines = ((one, " ".join(one.info["cmdline"] or [])) for one in psutil.process_iter(["cmdline", "pid"]))
    random.Random(1).choice([one for one, line in lines if line.startswith("ray::") and "_PredictActor" in line]).kill()


def same_predictions(one: Path, other: Path) -> bool:
    first, second = pq.read_table(one), pq.read_table(other)
    assert first.drop(["probabilities"]).equals(second.drop(["probabilities"]))
    for left, right in zip(first["probabilities"].to_pylist(), second["probabilities"].to_pylist(), strict=True):
        assert left == pytest.approx(right, abs=1e-5)
    return True


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(artefact: Path, table: Path, ray: None) -> None:
    local = predict_files(artefact, [table], "local.parquet", split=False, columns=["page"], by="document")
    killer = threading.Thread(target=kill_an_actor, args=(Path("out"),), daemon=True)
    killer.start()
    report = predict_files(
        artefact, [table], "out", split=False, columns=["page"], by="document", workers=2, engine="ray"
    )
    assert not killer.is_alive()
    assert same_predictions(Path("local.parquet"), Path("out"))
    assert pq.read_table("out.documents").equals(pq.read_table("local.documents.parquet"))
    assert [path.name for path in sorted(Path("out").iterdir())] == [f"part-00000-0000{n}.parquet" for n in range(5)]
    assert (report.sentences, report.left_out, report.assigned) == (ROWS - 1, 1, local.assigned)
    (left,) = [json.loads(line) for line in Path("out.rejects.jsonl").read_text("utf-8").splitlines()]
    assert (left["file"], left["row"]) == (str(table), 78)
    assert not list(Path().glob(".*"))


@pytest.mark.slow
def test_an_interrupted_run_continues_after_its_shards(artefact: Path, table: Path, ray: None) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        predict_files(artefact, [table], "out", split=False, engine="ray", watch=interrupt)
    kept = caught.value.sentences
    assert 0 < kept < ROWS
    assert not Path("out").exists()
    with pytest.raises(DataError, match="--split was off and is now on"):
        predict_files(artefact, [table], "out", engine="ray")
    report = predict_files(artefact, [table], "out", split=False, engine="ray")
    assert report.continued >= kept
    predict_files(artefact, [table], "local.parquet", split=False)
    assert same_predictions(Path("local.parquet"), Path("out"))


def test_an_address_without_a_cluster_is_refused_at_once(artefact: Path, table: Path) -> None:
    pytest.importorskip("ray")
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        with pytest.raises(InputError, match=rf"^--address {address}: no Ray cluster answers there \(Connection ref"):
            predict_files(artefact, [table], "out", engine="ray", address=address)
    assert [path.name for path in Path().iterdir()] == ["rows.jsonl"]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "communique\[ray\]"'), connected(None, 1):
        pass


def test_what_ray_cannot_do_is_refused_before_work(artefact: Path, table: Path, tfidf_model: Model) -> None:
    for message, options in (
        (r"out\.csv: --engine ray writes a folder", {"output": "out.csv"}),
        ("leave out --store, --texts", {"texts": Path("texts")}),
        ("Save the model, and pass its folder", {"model": tfidf_model}),
    ):
        given = {"model": artefact, "inputs": [table], "output": "out"} | options
        with pytest.raises(DataError, match=message):
            predict_files(**given, engine="ray")  # type: ignore[arg-type]
    Path("mine").mkdir()
    Path("mine/notes.txt").touch()
    with pytest.raises(DataError, match="mine: this folder is not empty"):
        predict_files(artefact, [table], "mine", engine="ray")
