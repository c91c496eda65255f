from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from labels.codebook.schema import RESERVED_KEYS, Codebook, Label, load_codebook
from labels.environment.settings import LanguageModel, Settings, Team, load_settings
from tests.labels.cli.running import refuse, succeed


def test_settings_and_codebook_are_complete_and_load(isolated: Path) -> None:
    printed = succeed("init", "--codebook", "mine.toml")

    assert "communique codebook check mine.toml" in printed
    assert load_settings() == Settings(codebook="mine.toml")
    written = Path("communique.toml").read_text(encoding="utf-8")
    keys = [one.name for kind in (Settings, Team, LanguageModel) for one in fields(kind)]
    assert all(f"{key} = " in written for key in keys if key not in ("team", "llm"))
    assert load_codebook("mine.toml").label_names == ("aid_pledge", "ceasefire_call")
    book = Path("mine.toml").read_text(encoding="utf-8")
    names = {*Codebook.model_fields, *Label.model_fields} - {"labels"}
    assert all(f"{name} = " in book for name in names)
    assert f"Reserved keys: {' '.join(sorted(RESERVED_KEYS))}" in book


def test_every_commented_setting_is_valid(isolated: Path) -> None:
    succeed("init")
    path = Path("communique.toml")
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.removeprefix("# ") if " = " in line else line for line in lines), encoding="utf-8")
    assert load_settings().team == Team(overlap=0.2, planted=0.05, experts=("eva",))
    assert load_settings().llm == LanguageModel(
        "http://localhost:8000/v1", "my-model", "OPENAI_API_KEY", "my-model", price_in=0.15, price_out=0.6
    )


@pytest.mark.parametrize("arguments", [[], ["--codebook", "mine.toml"]])
def test_no_file_is_replaced(isolated: Path, arguments: list[str]) -> None:
    existing = arguments[-1] if arguments else "communique.toml"
    Path(existing).write_text("", encoding="utf-8")
    assert f"{existing}: this file exists and was not replaced." in refuse("init", *arguments)


def test_a_codebook_can_follow_the_settings(isolated: Path) -> None:
    succeed("init")
    before = Path("communique.toml").read_bytes()
    assert 'set this key there: codebook = "mine.toml"' in succeed("init", "--codebook", "mine.toml")
    assert Path("communique.toml").read_bytes() == before
    assert load_codebook("mine.toml").label_names


def test_a_codebook_has_a_file_of_its_own(isolated: Path) -> None:
    assert "a codebook is a .toml file of its own" in refuse("init", "--codebook", "communique.toml")
