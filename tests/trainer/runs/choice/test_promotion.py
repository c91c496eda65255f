from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import psutil
import pytest
from typer.testing import CliRunner

from labels.errors import InputError, TrackingError
from tests.lazy import Lazy
from tests.trainer.conftest import REGISTERED, TrackedRun
from trainer.cli import app
from trainer.runs.choice.promotion import promote, promote_back
from trainer.runs.run import RunResult
from trainer.runs.tracking import champions
from trainer.runs.tracking.champions import find_champion, move_back, move_champion

MlflowClient = Lazy("mlflow:MlflowClient")
CLAIM = f"{REGISTERED}.promotion-in-progress"


@pytest.fixture
def floor(both: RunResult) -> RunResult:
    """The majority run, which is the champion (version 2)."""
    MlflowClient().set_registered_model_alias(REGISTERED, "champion", "2")
    return both


@pytest.fixture
def words(tracked_run: TrackedRun) -> str:
    """The folder of the better run (version 1)."""
    return str(tracked_run.result.folder)


def test_a_better_run_takes_the_place_and_gives_it_back(floor: RunResult, words: str) -> None:
    result = promote(words)
    assert (result.promoted, result.forced, result.before, result.version) == (True, False, "2", "1")
    assert result.compared is not None
    assert result.compared.place == "validation"
    assert result.shown is not None
    champion = find_champion(REGISTERED)
    assert (champion.version, champion.forced) == ("1", False)
    assert "It is better in macro-F1" in champion.reason
    assert promote_back() == (REGISTERED, "1", "2")
    assert find_champion(REGISTERED).reason == "moved back from version 1"
    with pytest.raises(TrackingError, match="no champion before version 2"):
        promote_back()


def test_a_worse_run_stays_out_unless_forced(both: RunResult, words: str) -> None:
    MlflowClient().set_registered_model_alias(REGISTERED, "champion", "1")
    result = promote(str(both.folder))
    assert not result.promoted
    assert any("worse on" in reason for reason in result.reasons)
    assert find_champion(REGISTERED).version == "1"
    forced = promote(str(both.folder), force=True)
    assert (forced.promoted, forced.forced) == (True, True)
    assert find_champion(REGISTERED).forced


def test_the_first_champion_needs_no_comparison(both: RunResult, words: str) -> None:
    result = promote(words, model=REGISTERED)
    assert (result.promoted, result.forced, result.compared) == (True, False, None)
    with pytest.raises(InputError, match="version 1 of 'small-model' is already the champion"):
        promote(words)


def test_the_way_back_follows_every_step(floor: RunResult) -> None:
    for version, before in (("1", "2"), ("2", "1"), ("1", "2")):
        move_champion(REGISTERED, version, instead_of=before, reason="")
    assert [move_back(REGISTERED)[1] for _ in range(3)] == ["2", "1", "2"]
    with pytest.raises(TrackingError, match="no champion before"):
        move_back(REGISTERED)


def test_of_two_promotions_at_once_one_wins(floor: RunResult) -> None:
    client = MlflowClient()
    source = client.get_model_version(REGISTERED, "1").source
    for _ in range(2):
        client.create_model_version(REGISTERED, source)
    barrier, names = Barrier(2), ("3", "4")

    def move(version: str) -> str:
        barrier.wait()
        try:
            move_champion(REGISTERED, version, instead_of="2", reason=f"by {version}")
        except TrackingError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        problems = list(pool.map(move, names))
    (winner,) = (version for version, problem in zip(names, problems, strict=True) if not problem)
    assert "another promotion" in "".join(problems)
    champion = find_champion(REGISTERED)
    assert (champion.version, champion.reason) == (winner, f"by {winner}")
    assert not any(own.name == CLAIM for own in client.search_registered_models())


def test_of_two_who_go_back_at_once_one_goes_back(floor: RunResult) -> None:
    for version, before in (("1", "2"), ("2", "1")):
        move_champion(REGISTERED, version, instead_of=before, reason="")
    # Both have seen version 2 as champion when one of them gets the lock.
    barrier, seen = Barrier(2), champions._current

    def see(name: str) -> str:
        found = seen(name)
        barrier.wait()
        return found

    def back(_: int) -> str:
        try:
            move_back(REGISTERED)
        except TrackingError as error:
            return str(error)
        return ""

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(champions, "_current", see)
        problems = list(pool.map(back, range(2)))
    assert sorted(map(bool, problems)) == [False, True]
    assert "another promotion" in "".join(problems)
    assert find_champion(REGISTERED).version == "1"


def test_a_promotion_elsewhere_is_not_disturbed_but_a_dead_one_is_cleared(floor: RunResult) -> None:
    client = MlflowClient()
    client.create_registered_model(CLAIM, tags={"communique.host": "elsewhere", "communique.pid": "1"})
    with pytest.raises(TrackingError, match="another promotion of 'small-model' is in progress"):
        move_champion(REGISTERED, "1", instead_of="2", reason="")
    assert find_champion(REGISTERED).version == "2"
    client.delete_registered_model(CLAIM)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    own = {"communique.host": socket.gethostname(), "communique.pid": str(process.pid)}
    client.create_registered_model(CLAIM, tags=own | {"communique.process_started": str(psutil.boot_time())})
    move_champion(REGISTERED, "1", instead_of="2", reason="")
    assert find_champion(REGISTERED).version == "1"


def test_a_promotion_that_was_overtaken_changes_nothing(floor: RunResult) -> None:
    with pytest.raises(TrackingError, match=r"another promotion was faster.*is version 2 now"):
        move_champion(REGISTERED, "1", instead_of="7", reason="")
    assert find_champion(REGISTERED).version == "2"


def test_an_alias_that_points_at_nothing_needs_force(floor: RunResult, words: str) -> None:
    MlflowClient().delete_model_version(REGISTERED, "2")
    MlflowClient().set_registered_model_alias(REGISTERED, "champion", "1")
    with closing(sqlite3.connect("mlflow.db")) as database, database:  # as another program may leave it
        database.execute("UPDATE registered_model_aliases SET version = 2")
    with pytest.raises(TrackingError, match=r"points at version 2, which was deleted.*--force"):
        promote(words)
    result = promote(words, force=True)
    assert (result.promoted, result.version) == (True, "1")


def test_other_splits_are_refused_and_nothing_moves(floor: RunResult, words: str, isolated: Path) -> None:
    shutil.copytree(words, isolated / "run")
    report = json.loads(Path("run/report.json").read_text(encoding="utf-8"))
    Path("run/report.json").write_text(json.dumps(report | {"split_hash": "0" * 16}), encoding="utf-8")
    with pytest.raises(InputError, match="different splits"):
        promote("run")
    assert find_champion(REGISTERED).version == "2"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["RUN", "--model", "smal-model"], "no registered model 'smal-model' (did you mean 'small-model'?)", 1),
        (["RUN", "--margin", "0"], "must lie between 0 and 1", 2),
        (["RUN", "--back"], "--back cannot be combined with RUN", 2),
        ([], "name a run", 2),
        (["nowhere"], "nowhere: no such folder", 2),
        (["--back"], "no champion before version 2", 1),
    ],
)
def test_bad_input_is_one_message(floor: RunResult, words: str, arguments: list[str], message: str, code: int) -> None:
    done = CliRunner().invoke(app, ["promote", *(words if own == "RUN" else own for own in arguments)])
    assert (done.exit_code, find_champion(REGISTERED).version) == (code, "2")
    assert message in done.output


def test_the_command_says_what_it_did(floor: RunResult, words: str) -> None:
    done = CliRunner().invoke(app, ["promote", words])
    assert done.exit_code == 0, done.output
    assert "Decided on validation" in done.stdout
    assert "On test, for information only:" in done.stdout
    assert "Promoted: models:/small-model@champion is now version 1 (before: version 2)." in done.stdout
    again = CliRunner().invoke(app, ["promote", str(floor.folder)])
    assert again.exit_code == 1
    assert "Not promoted" in again.stdout
