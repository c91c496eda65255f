"""A server that codes by words in the sentences, a store to code, and the settings that connect them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labels.codebook.schema import Codebook, codebook_from_dict, dump_codebook
from tests.conftest import make_examples
from tests.trainer.active.llm.misbehaving_server import MisbehavingServer, misbehaving_server
from tests.trainer.conftest import fill_store

KEY = "sk-secret-1234"
_AID = re.compile(r"support package| in week | on day \d+ and ")
_TRUCE = re.compile(r"both sides| before day ")
"""What a sentence of `make_examples` contains if it has a label. A truce that is asked for beside aid is overlooked."""


def small_codebook() -> Codebook:
    """A codebook of two labels with rules, examples and counterexamples."""
    labels = [
        {
            "name": "aid",
            "key": "a",
            "title": "Aid",
            "definition": "Somebody promises a support package.",
            "include": ["A new support package", "A promise"],
            "exclude": ["A delivery", "Thanks"],
            "examples": [{"text": "They pledged a support package."}],
            "counterexamples": [{"text": "The lorries arrived on Monday.", "why": "a delivery"}],
        },
        {
            "name": "truce",
            "key": "t",
            "definition": "Somebody asks both sides to stop the fighting.",
            "examples": [{"text": "She asked both sides to stop fighting."}],
        },
    ]
    content = {"name": "small", "description": "Two kinds of statements.", "rules": ["Judge the sentence alone."]}
    return codebook_from_dict(content | {"labels": labels}, "small")


def by_words(_: str, sentence: str) -> str:
    """The answer of a model that knows the labels by words and never looks at the codebook."""
    return json.dumps({"labels": ["aid"] * bool(_AID.search(sentence)) + ["truce"] * bool(_TRUCE.search(sentence))})


def by_codebook(system: str, sentence: str) -> str:
    """The answer of a model that looks up the names of labels by their definitions, and heeds a rule of exclusion."""
    names = {definition: name for name, definition in re.findall(r"^## (\w+).*\n(.+)", system, re.MULTILINE)}
    aid = next(name for definition, name in names.items() if "package" in definition)
    truce = next(name for definition, name in names.items() if "fighting" in definition)
    excluded = "purple elephant" in system and "purple elephant" in sentence
    found = [aid] * bool(_AID.search(sentence)) + [truce] * bool(_TRUCE.search(sentence))
    return json.dumps({"labels": [] if excluded else found})


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server(by_words) as found:
        yield found


def write_settings(server: MisbehavingServer, **more: object) -> None:
    """Write the table `[llm]` for this server into the working folder."""
    values = {"base_url": server.url, "model": "word-model", "key": "LLM_KEY", "name": "words", "timeout": 1}
    lines = [f"{name} = {json.dumps(value)}" for name, value in (values | more).items() if value is not None]
    text = 'store = "s.db"\ncodebook = "book.toml"\n\n[llm]\n' + "\n".join(lines) + "\n"
    Path("communique.toml").write_text(text, encoding="utf-8")


@pytest.fixture
def coded(isolated: Path, server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A store with 24 sentences, labelled by ana, and settings for the server; the ids of the sentences."""
    monkeypatch.setenv("LLM_KEY", KEY)
    (isolated / "book.toml").write_text(dump_codebook(small_codebook()), encoding="utf-8")
    write_settings(server)
    return fill_store(isolated / "s.db", small_codebook(), make_examples(24))
