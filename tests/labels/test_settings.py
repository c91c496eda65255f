from __future__ import annotations

from pathlib import Path

import pytest

from labels.errors import InputError
from labels.settings import SETTINGS_FILE, Settings, load_settings


def test_without_any_settings_the_defaults_hold() -> None:
    assert load_settings() == Settings(store="communique.db", codebook="diplomatic")


def test_a_later_source_wins_key_by_key(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (isolated / SETTINGS_FILE).write_text('store = "file.db"\ncodebook = "file.toml"\n', encoding="utf-8")
    assert load_settings() == Settings("file.db", "file.toml")
    monkeypatch.setenv("COMMUNIQUE_STORE", "env.db")
    assert load_settings() == Settings("env.db", "file.toml")
    monkeypatch.setenv("COMMUNIQUE_CODEBOOK", "env.toml")
    assert load_settings(store="option.db") == Settings("option.db", "env.toml")
    assert load_settings(codebook="option.toml") == Settings("env.db", "option.toml")


def test_an_empty_variable_or_option_is_as_if_not_given(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (isolated / SETTINGS_FILE).write_text('store = "file.db"\n', encoding="utf-8")
    monkeypatch.setenv("COMMUNIQUE_STORE", "")
    assert load_settings(store="", codebook="") == Settings("file.db", "diplomatic")


def test_another_folder_can_be_asked(isolated: Path) -> None:
    folder = isolated / "elsewhere"
    folder.mkdir()
    (folder / SETTINGS_FILE).write_text('store = "there.db"\n', encoding="utf-8")
    assert load_settings().store == "communique.db"
    assert load_settings(folder=folder).store == "there.db"


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        (b"store = \n", ["not valid TOML", "line 1"]),
        ('store = "é"'.encode("latin-1"), ["not valid TOML"]),
        (b'stor = "x.db"\n', ["unknown key 'stor'", "did you mean 'store'", "store, codebook"]),
        (b"store = 3\n", ["`store` must be a string", "quotes"]),
        (b'[codebook]\nname = "x"\n', ["`codebook` must be a string"]),
    ],
)
def test_a_settings_file_that_cannot_be_followed_is_refused(
    isolated: Path, content: bytes, problems: list[str]
) -> None:
    (isolated / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_settings(store="x.db", codebook="x.toml")
    assert str(caught.value).startswith(str(isolated / SETTINGS_FILE))
    assert all(problem in str(caught.value) for problem in problems)
