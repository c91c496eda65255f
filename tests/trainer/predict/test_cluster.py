"""Ray: the same predictions in shards, also if a worker dies or the run is interrupted."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from labels.codebook.schema import Codebook
from labels.errors import DataError, InputError
from labels.store import Store
from labels.store.ingestion import ingest
from tests.conftest import make_examples
from tests.labels.test_unwritable import small_disk
from tests.trainer.conftest import TrackedRun
from tests.trainer.predict.conftest import cue_model
from trainer.model.model import Model
from trainer.predict import Interrupted, Progress, bulk, predict_files, ray_address, ray_run
from trainer.predict.inputs import InputFile
from trainer.predict.outcome import Stamp
from trainer.predict.ray_address import connected
from trainer.predict.shards import Group, ShardWriter, read_shards

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
    monkeypatch.setattr(ray_run.RayRun, "blocks", 1)
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


@pytest.mark.slow
def test_a_store_is_predicted_on_ray(artefact: Path, table: Path, ray: None) -> None:
    lines = table.read_text("utf-8").splitlines(keepends=True)[:60]
    table.write_text("".join(lines), encoding="utf-8")
    with Store("s.db") as store:
        ingest(store, [table])
    predict_files(artefact, [], "local.parquet", store="s.db")
    report = predict_files(artefact, [], "out", store="s.db", engine="ray")
    assert same_predictions(Path("local.parquet"), Path("out"))
    assert report.sentences == pq.read_table("out").num_rows > 0


def test_a_full_disk_stops_a_shard_with_one_line(artefact: Path, table: Path, codebook: Codebook) -> None:
    model = cue_model(codebook)
    processing = bulk._processing(Path("out/part.parquet"), bulk.Options(split=False), [table], Stamp.of(model))
    Path("parts").mkdir()
    Path("rejects").mkdir()
    shard = next(read_shards(Group(0, (InputFile.of(table),), 1), processing))
    with small_disk(9000), pytest.raises(DataError, match=r"^out: cannot be written \(File too large\)\. Nothing"):
        ShardWriter(model, processing, Path()).write(shard)
    assert list(Path("parts").glob("part-*")) == []


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_server_that_is_not_ray_is_refused(artefact: Path, table: Path, scheme: str) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        with pytest.raises(InputError, match=rf"^--address {address}: a server answers there, but it is not Ray"):
            predict_files(artefact, [table], "out", engine="ray", address=address)
    assert [path.name for path in Path().iterdir()] == ["rows.jsonl"]


def answer(server: socket.socket) -> None:
    """Answer every connection as a web server does."""
    with suppress(OSError):  # the test is over
        while True:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


@pytest.mark.slow
def test_the_ports_of_a_cluster_are_told_apart(artefact: Path, table: Path, ray: None) -> None:
    import ray as library

    address = library.get_runtime_context().gcs_address
    ray_address.check_cluster(address)
    with pytest.raises(InputError, match=rf"another kind of connection\. Use {address}\."):
        ray_address.check_cluster(f"ray://{address}")


def test_an_address_without_a_port_is_refused() -> None:
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=r"^--address ray://head: the port is missing\. Write HOST:6379, or ray://"):
        ray_address.check_cluster("ray://head")


def test_an_address_without_a_cluster_is_refused_at_once(artefact: Path, table: Path) -> None:
    pytest.importorskip("ray")
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        with pytest.raises(InputError, match=rf"^--address {address}: no Ray cluster answers there \(Connection ref"):
            predict_files(artefact, [table], "out", engine="ray", address=address)
    assert [path.name for path in Path().iterdir()] == ["rows.jsonl"]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "communique\[ray\]"'), connected(None, 1):
        pass


def test_what_ray_cannot_do_is_refused_before_work(artefact: Path, table: Path, tfidf_model: Model) -> None:
    for message, options in (
        (r"out\.csv: --engine ray writes a folder", {"output": "out.csv"}),
        ("^--texts: the machines of a cluster would", {"texts": Path("texts")}),
        ("^--for-spreadsheet: --engine ray writes Parquet", {"for_spreadsheet": True}),
        ("Leave out the input files", {"store": "s.db"}),
        ("Save the model, and pass its folder", {"model": tfidf_model}),
    ):
        given = {"model": artefact, "inputs": [table], "output": "out"} | options
        with pytest.raises(DataError, match=message):
            predict_files(**given, engine="ray")  # type: ignore[arg-type]
    Path("mine").mkdir()
    Path("mine/notes.txt").touch()
    with pytest.raises(DataError, match="mine: this folder is not empty"):
        predict_files(artefact, [table], "mine", engine="ray")
