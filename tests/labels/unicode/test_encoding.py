from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from labels.codebook.schema import load_codebook
from labels.environment.settings import load_settings
from labels.errors import CommuniqueError, DataError
from labels.unicode import read_text, read_toml
from trainer.config.experiment import load_experiment
from trainer.data.dataset import read_ids
from trainer.data.splits import Split

TOML = 'store = "élan.db"\n'
BOOK = 'name = "mine"\n[[labels]]\nname = "aid"\n'
EXPERIMENT = '[model]\nkind = "tfidf"\n[sweep]\ntrials = 3\n[sweep.space]\n"model.C" = { low = 1, high = 2 }\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_announces_the_encoding(encoding: str) -> None:
    Path("a.txt").write_bytes("Élysée\r\nrain\rsnow".encode(encoding))
    assert read_text(Path("a.txt")) == "Élysée\nrain\nsnow"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("Élysée".encode("latin-1"), "the file is not UTF-8 text (byte 0). Save the file as UTF-8."),
        (codecs.BOM_UTF16_LE + b"a\0b", "the file is not UTF-16 text (byte 4). Save the file as UTF-8."),
    ],
)
def test_other_encodings_are_refused_with_the_repair(content: bytes, problem: str) -> None:
    Path("a.txt").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_text(Path("a.txt"))
    assert str(caught.value) == f"a.txt: {problem}"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_every_toml_file_opens_with_a_byte_order_mark(encoding: str) -> None:
    Path("communique.toml").write_bytes(TOML.encode(encoding))
    Path("book.toml").write_bytes(BOOK.encode(encoding))
    Path("mine.toml").write_bytes(EXPERIMENT.encode(encoding))
    assert load_settings().store == "élan.db"
    assert load_codebook("book.toml").label_names == ("aid",)
    experiment = load_experiment("mine.toml")
    assert experiment.model.kind == "tfidf"
    assert experiment.sweep is not None
    assert experiment.sweep.trials == 3


def _settings(path: str) -> object:
    Path(path).rename("communique.toml")
    return load_settings()


@pytest.mark.parametrize("load", [load_codebook, load_experiment, _settings])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            BOOK.encode("utf-16-le"),
            "NUL characters, like UTF-16 text without a byte order mark. Save the file as UTF-8",
        ),
        (b'name = "x\0y"', "NUL characters"),
        ("é = 1".encode("latin-1"), "not UTF-8 text"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
    ],
    ids=["UTF-16", "NUL", "Latin-1", "nested"],
)
def test_toml_that_cannot_be_read_is_refused_in_one_message(
    load: Callable[[str], object], content: bytes, problem: str
) -> None:
    Path("mine.toml").write_bytes(content)
    with pytest.raises(CommuniqueError) as caught:
        load("mine.toml")
    assert problem in str(caught.value)
    assert ".toml: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


def test_toml_without_a_mark_is_read_as_before() -> None:
    Path("a.toml").write_text(TOML, encoding="utf-8")
    assert read_toml(Path("a.toml")) == {"store": "élan.db"}


def test_ids_and_split_manifests_open_with_a_byte_order_mark() -> None:
    Path("ids.txt").write_bytes("one\r\ntwo\r\n".encode("utf-8-sig"))
    assert read_ids(Path("ids.txt")) == ["one", "two"]
    split = Split(("a",), ("b",), ("c",))
    split.save(Path("split.json"))
    Path("split.json").write_bytes(codecs.BOM_UTF8 + Path("split.json").read_bytes())
    assert Split.load(Path("split.json")) == split
