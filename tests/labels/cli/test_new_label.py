"""A label added later: only this label is asked, by as many coders as wanted, and `train` says what is missing."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import ExperimentError
from labels.gold import resolve
from labels.store import Store
from tests.labels.cli.running import BOOK, run, succeed
from tests.labels.store.builders import added
from trainer.data.corpus import source_examples

NEW = BOOK.replace('name = "small"', 'name = "small"\nversion = "2"') + '[[labels]]\nname = "threat"\nkey = "h"\n'


@pytest.fixture
def books(isolated: Path) -> tuple[Codebook, Codebook]:
    """The codebook before and after a label was added; ana and ben coded four sentences under the first."""
    for name, content in (("book.toml", BOOK), ("new.toml", NEW)):
        (isolated / name).write_text(content, encoding="utf-8")
    with Store("communique.db") as store:
        added(store, 4)
    for options in (("--annotator", "ana", "--size", "4"), ("--annotator", "ben", "--also-by", "ana")):
        succeed("label", *options, "--codebook", "book.toml", typed="a\na\na\na\nq\n")
    return load_codebook("book.toml"), load_codebook("new.toml")


def migrate(*options: str) -> None:
    succeed("codebook", "migrate", "book.toml", "new.toml", "--add", "threat", "--apply", *options)


def relabel(annotator: str, typed: str) -> str:
    return succeed(*("label", "--annotator", annotator, "--strategy", "relabel", "--codebook", "new.toml"), typed=typed)


def gold(book: Codebook) -> list[tuple[str, ...]]:
    with Store("communique.db") as store:
        found = resolve(store.events.all(), book, store.codebooks.history()).gold
    return sorted(found.values())


def test_only_the_new_label_is_asked_and_the_rest_stays(books: tuple[Codebook, Codebook]) -> None:
    migrate()
    printed = relabel("ana", "t\nh\nn\nn\nh\nq\n")

    assert "    Decide on threat only. These labels stay: aid" in printed
    assert "[h] threat  [n] none" in printed
    assert "[a] aid" not in printed
    assert "This question is only about threat; the other labels stay as they are (aid). Remove truce." in printed
    assert gold(books[1]) == [("aid",), ("aid",), ("aid", "threat"), ("aid", "threat")]
    assert gold(books[0]) == [("aid",)] * 4


@pytest.mark.parametrize("flags", ["exclusive = true\n", "exclusive = true\nallow_none = true\n"])
def test_in_an_exclusive_codebook_the_new_label_takes_the_place_of_the_old(isolated: Path, flags: str) -> None:
    for name, content in (("book.toml", BOOK), ("new.toml", NEW)):
        (isolated / name).write_text(flags + content, encoding="utf-8")
    with Store("communique.db") as store:
        added(store, 4)
    succeed("label", "--annotator", "ana", "--size", "4", "--codebook", "book.toml", typed="a\na\na\nt\nq\n")
    migrate()
    printed = relabel("ana", "a\nn\nh\nt\nn\nq\n")

    assert "    Does threat fit better than aid? Press n to keep aid." in printed
    assert "[h] threat  [n] keep" in printed
    assert "[a] aid" not in printed
    assert gold(load_codebook("new.toml")) == [("aid",), ("aid",), ("threat",), ("truce",)]


def test_an_adjudicated_sentence_keeps_what_was_adjudicated(books: tuple[Codebook, Codebook]) -> None:
    with Store("communique.db") as store:
        first = store.documents.sentences()[0].id
    succeed("label", "--annotator", "eva", "--also-by", "ana", "--codebook", "book.toml", typed="t\nt\nt\nt\nq\n")
    succeed("adjudicate", "--annotator", "zoe", "--codebook", "book.toml", typed="at\nat\nat\nat\nq\n")
    migrate()
    relabel("ben", "h\nn\nn\nn\nq\n")

    assert first
    assert gold(books[1]) == [("aid", "truce")] * 3 + [("aid", "truce", "threat")]


def test_several_coders_can_be_asked_at_the_same_time(books: tuple[Codebook, Codebook]) -> None:
    migrate("--coders", "2")
    relabel("ana", "h\nq\n")  # she holds the rest
    assert "[1/4]" in relabel("ben", "h\nh\nh\nh\nq\n")
    with Store("communique.db") as store:
        assert len(store.relabelling.waiting()) == 3
    relabel("ana", "h\nh\nh\nq\n")

    with Store("communique.db") as store:
        assert store.relabelling.waiting() == []
    assert "Nothing to label" in relabel("eva", "")


def test_one_coder_is_asked_by_default(books: tuple[Codebook, Codebook]) -> None:
    migrate()
    relabel("ana", "q\n")

    assert "Held: 4 sentences by ana" in relabel("ben", "")


def test_training_says_why_there_is_no_gold_and_what_still_trains(books: tuple[Codebook, Codebook]) -> None:
    migrate()
    old, new = books
    with pytest.raises(ExperimentError) as caught:
        source_examples("store", "communique.db", new, "new.toml")

    message = str(caught.value)
    assert "no sentence has gold under codebook 'small' 2: nobody has decided on" in message
    assert "the new labels threat for 4 labelled sentences." in message
    assert f"Until then, train under version 1: add `--set data.codebook=small@{old.hash}`." in message
    words = shlex.split(
        message.split("Label them again with `communique ")[1].split("`")[0].replace("YOUR_NAME", "ana")
    )
    assert "Decide on threat only" in run(*words, typed="q\n").stdout
    assert len(source_examples("store", "communique.db", old, "book.toml")[0].examples) == 4
