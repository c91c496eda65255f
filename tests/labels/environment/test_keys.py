from __future__ import annotations

import json
import multiprocessing
import re
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labels.environment.keys import KeyFile
from labels.errors import InputError
from trainer.cli import app


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def test_file_stores_digests_that_only_the_owner_can_read(keys: KeyFile) -> None:
    token = keys.add("desk", ["predict"])
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert token not in keys.path.read_text(encoding="utf-8")
    assert len(token.removeprefix("communique_")) == 43  # 256 bits in base64


def test_key_is_found_by_its_token_only(keys: KeyFile) -> None:
    tokens = {name: keys.add(name, ["predict", "correct"], annotator=f"{name} b") for name in ("ana", "bo")}
    for name, token in tokens.items():
        found = keys.find(token)
        assert found is not None
        assert (found.name, found.annotator, found.scopes) == (name, f"{name} b", ("predict", "correct"))
    assert [keys.find(token) for token in ("", "communique_", tokens["ana"][:-1], tokens["ana"] + "x", "\ud800")] == [
        None
    ] * 5


def test_revoked_key_is_gone_for_an_open_file_too(keys: KeyFile) -> None:
    token = keys.add("desk", ["predict"])
    assert keys.find(token)
    KeyFile(keys.path).revoke("desk")
    assert keys.find(token) is None


@pytest.mark.parametrize(
    ("name", "scopes", "message"),
    [
        ("a b", ["predict"], "'a b' is not a valid name"),
        ("", ["predict"], "is not a valid name"),
        ("new", ["predct"], r"'predct' is not a scope \(did you mean 'predict'\?\)"),
        ("new", [], "at least one scope"),
        ("new", ["correct"], "add --annotator NAME"),
        ("desk", ["predict"], "already a key 'desk'"),
    ],
)
def test_bad_key_is_refused_and_nothing_changes(keys: KeyFile, name: str, scopes: list[str], message: str) -> None:
    keys.add("desk", ["predict"])
    before = keys.path.read_bytes()
    with pytest.raises(InputError, match=message):
        keys.add(name, scopes)
    assert keys.path.read_bytes() == before


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"keys": [{"name": "a"}]}', '{"keys": 3}', "\x00"])
def test_damaged_file_is_refused(keys: KeyFile, content: str) -> None:
    keys.path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"not a valid file of keys"):
        keys.find("communique_x")


def test_file_that_others_can_read_is_refused(keys: KeyFile) -> None:
    keys.add("desk", ["predict"])
    keys.path.chmod(0o640)
    with pytest.raises(InputError, match=r"other users can read this file.*chmod 600"):
        KeyFile(keys.path).all()


def _add(path: Path, name: str) -> None:
    KeyFile(path).add(name, ["predict"])


def test_no_key_is_lost_when_processes_add_keys_at_once(keys: KeyFile) -> None:
    names = [f"key-{number}" for number in range(4)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(_add, [(keys.path, name) for name in names])
    assert sorted(key.name for key in keys.all()) == names


def test_commands_create_list_and_revoke_keys(tmp_path: Path) -> None:
    option = ["--keys", str(tmp_path / "keys.json")]

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["keys", *arguments, *option])
        assert result.exit_code == 0, result.output
        return result.output

    assert "there are no keys" in run("list")
    output = run("add", "desk", "--scope", "predict, correct", "--annotator", "ana")
    [token] = re.findall(r"^communique_\S+$", output, re.MULTILINE)
    assert KeyFile(tmp_path / "keys.json").find(token)
    listed = run("list")
    assert re.search(r"desk +predict, correct +ana", listed)
    assert token not in listed
    assert "Revoked 'desk'" in run("revoke", "desk")
    assert json.loads((tmp_path / "keys.json").read_text()) == {"keys": []}
