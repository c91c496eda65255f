from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from labels.environment.settings import (
    SETTINGS_FILE,
    Settings,
    Team,
    command,
    load_settings,
    relabel_command,
    store_name,
)
from labels.errors import InputError
from labels.store import Store

SECRET = "postgresql://ana:S3CRET@db.example/coding"


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


def test_a_team_sets_how_much_is_coded_twice(isolated: Path) -> None:
    (isolated / SETTINGS_FILE).write_text("[team]\noverlap = 0.2\ncoders_per_sentence = 3\n", encoding="utf-8")
    assert load_settings().team == Team(overlap=0.2, coders_per_sentence=3)


def test_an_empty_variable_or_option_is_ignored(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (isolated / SETTINGS_FILE).write_text('store = "file.db"\n', encoding="utf-8")
    monkeypatch.setenv("COMMUNIQUE_STORE", "")
    assert load_settings(store="", codebook="") == Settings("file.db", "diplomatic")


def test_settings_of_another_folder_can_be_loaded(isolated: Path) -> None:
    folder = isolated / "elsewhere"
    folder.mkdir()
    (folder / SETTINGS_FILE).write_text('store = "there.db"\n', encoding="utf-8")
    assert load_settings().store == "communique.db"
    assert load_settings(folder=folder).store == "there.db"


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        (b"store = \n", ["not valid TOML", "line 1"]),
        ('store = "é"'.encode("latin-1"), ["not UTF-8 text (byte 9)"]),
        (b'stor = "x.db"\n', ["unknown key 'stor'", "did you mean 'store'", "store, codebook"]),
        (b"store = 3\n", ["`store` must be a string", "quotes"]),
        (b'[codebook]\nname = "x"\n', ["`codebook` must be a string"]),
        (b"team = 3\n", ["`team` must be a table", "[team]"]),
        (b"[team]\noverlaps = 0.2\n", ["[team]: unknown key 'overlaps'", "did you mean 'overlap'"]),
        (b"[team]\noverlap = 2\n", ["[team]: `overlap` must be a number from 0 to 1"]),
        (b"[team]\noverlap = true\n", ["[team]: `overlap` must be a number"]),
        (b"[team]\ncoders_per_sentence = 1\n", ["`coders_per_sentence` must be a whole number of at least 2"]),
        (b"[team]\ncoders_per_sentence = 2.5\n", ["`coders_per_sentence` must be a whole number"]),
    ],
)
def test_an_invalid_settings_file_is_refused(isolated: Path, content: bytes, problems: list[str]) -> None:
    (isolated / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_settings(store="x.db", codebook="x.toml")
    assert str(caught.value).startswith(str(isolated / SETTINGS_FILE))
    assert all(problem in str(caught.value) for problem in problems)


# -- names of stores


@pytest.mark.parametrize(
    ("store", "name"),
    [
        ("mine.db", "mine.db"),
        ("sqlite:///mine.db", "mine.db"),
        ("postgresql://ana@db.example/coding", "postgresql://ana@db.example/coding"),
        ("postgresql://ana:S3CRET@db.example/coding", "postgresql://ana:***@db.example/coding"),
        (
            "postgresql://db.example/coding?user=ana&password=S3CRET",
            "postgresql://db.example/coding?password=hidden&user=ana",
        ),
        ("sqlite://", "sqlite://"),
    ],
)
def test_a_store_is_named_by_its_path_or_its_url_without_password(store: str, name: str) -> None:
    assert store_name(store) == name
    assert store_name(name) == name


def test_the_name_of_an_sqlite_uri_opens_it_again(isolated: Path) -> None:
    store = "sqlite:///file:mine.db?uri=true"
    Store(store).close()

    Store(store_name(store)).close()

    assert [path.name for path in isolated.iterdir()] == ["mine.db"]


# -- the command to type next


def test_words_are_quoted_for_the_shell() -> None:
    assert shlex.split(command("serve", Path("my runs/it's $HOME"))) == ["communique", "serve", "my runs/it's $HOME"]


def test_options_are_added_only_where_the_settings_differ(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("status") == "communique status"
    assert command("status", store="communique.db", codebook="diplomatic") == "communique status"
    assert command("status", store="sqlite:///communique.db") == "communique status"
    (isolated / "communique.toml").write_text('codebook = "mine.toml"', encoding="utf-8")
    monkeypatch.setenv("COMMUNIQUE_STORE", "team.db")
    assert command("status", store="team.db", codebook="mine.toml") == "communique status"
    assert (
        command("status", store="communique.db", codebook="diplomatic")
        == "communique status --store communique.db --codebook diplomatic"
    )


def test_a_password_is_not_printed_and_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("status", store=SECRET) == "communique status --store 'postgresql://ana:***@db.example/coding'"
    monkeypatch.setenv("COMMUNIQUE_STORE", SECRET)
    assert command("status", store="postgresql://ana:***@db.example/coding") == "communique status"
    assert "S3CRET" not in command("status", store=SECRET.replace("coding", "other"))


def test_the_relabel_command_names_annotator_and_codebook() -> None:
    assert (
        relabel_command("Ana Maria", store="team.db", codebook="small@2")
        == "communique label --annotator 'Ana Maria' --strategy relabel --store team.db --codebook small@2"
    )
