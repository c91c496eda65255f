"""Commands that can be pasted into a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from labels.settings import command, relabel_command

SECRET = "postgresql://ana:S3CRET@db.example/coding"


def test_words_are_quoted_for_the_shell() -> None:
    assert shlex.split(command("serve", Path("my runs/it's $HOME"))) == ["communique", "serve", "my runs/it's $HOME"]


def test_options_say_only_what_the_settings_do_not(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_password_is_neither_printed_nor_taken_for_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("status", store=SECRET) == "communique status --store 'postgresql://ana:***@db.example/coding'"
    monkeypatch.setenv("COMMUNIQUE_STORE", SECRET)
    assert command("status", store="postgresql://ana:***@db.example/coding") == "communique status"
    assert "S3CRET" not in command("status", store=SECRET.replace("coding", "other"))


def test_the_queue_is_asked_for_by_name_and_codebook() -> None:
    assert (
        relabel_command("Ana Maria", store="team.db", codebook="small@2")
        == "communique label --annotator 'Ana Maria' --strategy relabel --store team.db --codebook small@2"
    )
