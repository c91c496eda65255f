"""Isolation and small real data for all tests: nobody's files are touched, no network is asked."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

from labels.codebook.schema import Codebook, codebook_from_dict
from labels.environment.progress import progress_to
from labels.records import Example
from trainer.environment import collect_garbage_rarely

# Read once, when a test module imports mlflow or transformers; MLflow's telemetry would ask the network and wait.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    # Several workers with several threads each would starve one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Thousands of tests and what they import stay until the end; looking through them for garbage takes long.
collect_garbage_rarely()

# On a busy machine, an example may take longer than the default of 0.2 s. No test asserts a duration.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

HEAVY_ROOMS = (
    *("api", "compatibility", "end_to_end", "seeds", "trainer/active", "trainer/classifiers", "trainer/cli"),
    *("trainer/encoders", "trainer/model", "trainer/predict", "trainer/runs", "trainer/serving"),
)
"""Folders of tests that train and open models, run servers and whole commands, or read the whole starter corpus."""


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses among the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `fast` what is neither slow nor in a heavy room."""
    for item in items:
        folder = item.path.parent.relative_to(Path(__file__).parent).as_posix()
        heavy = any(f"{folder}/".startswith(f"{room}/") for room in HEAVY_ROOMS)
        if not heavy and not item.get_closest_marker("slow"):
            item.add_marker("fast")


def untraced() -> dict[str, str]:
    """The environment for a process that runs other people's code; measuring its coverage would take a third longer."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}


LOADED = pytest.StashKey[set[str]]()
"""Names of the modules that were loaded when the tests had been collected."""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what has been loaded by now, and spare the garbage collector all of it."""
    session.config.stash[LOADED] = set(sys.modules)
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test runs in an empty folder, with none of the user's settings and no hub."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("COMMUNIQUE_STORE", "COMMUNIQUE_CODEBOOK", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COMMUNIQUE_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A fresh MLflow database, made once for all workers: making one takes seconds."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    template = shared / "mlflow-template.db"
    with FileLock(f"{template}.lock"):
        if not template.exists():
            from trainer.environment import silence_libraries

            silence_libraries()
            from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

            draft = template.with_suffix(".draft")
            engine = create_sqlalchemy_engine_with_retry(f"sqlite:///{draft}")
            _initialize_tables(engine)
            engine.dispose()
            draft.rename(template)
    return template


@pytest.fixture
def mlflow_store(isolated: Path, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of an empty MLflow store in this test's folder; MLflow is pointed at it and left as it was."""
    import mlflow

    shutil.copy(mlflow_template, isolated / "mlflow.db")
    uri = f"sqlite:///{isolated / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    yield uri
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def codebook() -> Codebook:
    """A multi-label codebook of two labels, with cues."""
    return codebook_from_dict(
        {
            "name": "small",
            "labels": [
                {"name": "aid", "key": "a", "definition": "Help is promised.", "cues": ["pledg*", "will send"]},
                {"name": "truce", "key": "t", "definition": "A truce is asked for.", "cues": ["call* for ... truce"]},
            ],
        },
        "small",
    )


@pytest.fixture
def exclusive_codebook() -> Codebook:
    """An exclusive codebook of three labels that allows none."""
    labels = [{"name": name} for name in ("aid", "truce", "threat")]
    return codebook_from_dict({"name": "one-of", "exclusive": True, "allow_none": True, "labels": labels}, "one-of")


_AID = ("Norway", "Japan", "The bank", "Chile", "The union", "Ghana", "Malta", "Qatar")
_AID_VERBS = ("pledged", "will send", "promised", "set aside")
_OBJECTS = ("40 trucks", "a new loan", "two clinics", "winter fuel", "grain for the camps", "field radios")
_TRUCE = ("The envoy", "Bishops", "Two neighbours", "The council", "A mediator", "Oslo", "The elders", "Lima")
_TRUCE_VERBS = ("called for a truce", "urged a halt to the shelling", "wants the guns silent", "asked for a ceasefire")
_PLACES = ("in the valley", "on the river", "around the port", "near the bridge", "along the ridge", "in the north")
_PLAIN = ("Rain fell", "The market reopened", "Trains ran late", "A choir sang", "Prices rose", "The ferry left")


def make_examples(n: int, *, exclusive: bool = False) -> list[Example]:
    """`n` different sentences, three a document, that two label words or neither decide; the order is mixed."""
    rows = []
    for i in range(n):
        kind = i % 4
        place = _PLACES[(i // 4) % len(_PLACES)]
        if kind == 0:
            text = (
                f"{_AID[(i // 4) % 8]} {_AID_VERBS[(i // 8) % 4]} {_OBJECTS[i // 5 % 6]} in week {i} for homes {place}."
            )
            labels: tuple[str, ...] = ("aid",)
        elif kind == 1:
            text = f"{_TRUCE[(i // 4) % 8]} {_TRUCE_VERBS[(i // 8) % 4]} before day {i} {place}."
            labels = ("truce",)
        elif kind == 2 and not exclusive:
            aid = f"{_AID[(i // 4) % 8]} {_AID_VERBS[(i // 8) % 4]} {_OBJECTS[(i // 5) % 6]}"
            text, labels = f"{aid} on day {i} and {_TRUCE_VERBS[(i // 3) % 4]} {place}.", ("aid", "truce")
        elif kind == 2:
            text, labels = f"The general threatened on day {i} to burn the town {place}.", ("threat",)
        else:
            text, labels = f"{_PLAIN[(i // 4) % 6]} on day {i} {place}.", ()
        rows.append(Example(f"e{i:04d}", f"d{i // 3:03d}", text, labels))
    return rows


@pytest.fixture
def write_jsonl(isolated: Path) -> Callable[[str, list[dict[str, Any]]], Path]:
    """Write rows as JSONL into the test's folder."""

    def write(name: str, rows: list[dict[str, Any]]) -> Path:
        path = isolated / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def full_folder(isolated: Path) -> Path:
    """A folder `out` that an earlier call left."""
    folder = isolated / "out"
    folder.mkdir()
    (folder / "report.json").write_text("old", encoding="utf-8")
    return folder


@contextmanager
def progress_reports() -> Iterator[list[tuple[str, int, int]]]:
    """What the block reports as its progress: (stage, done, total)."""
    reports: list[tuple[str, int, int]] = []
    with progress_to(lambda *report: reports.append(report)):
        yield reports
