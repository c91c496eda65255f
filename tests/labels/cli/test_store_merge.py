"""Two coders on two laptops: their stores are merged by command, and then compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from labels.store import Store
from tests.labels.cli.running import BOOK, contents, next_commands, refuse, run, succeed
from tests.labels.store.builders import decision

ARTICLE = (
    "Oslo will send fuel to its neighbour. Paris urged both sides to stop fighting. It rained in the north all day. "
    "Rome promised new tanks for the army. The talks continue on Monday. Berlin asked for a ceasefire at once."
)
ANSWERS = {"ana": "atnant", "ben": "atnnnt"}


@pytest.fixture
def laptops(isolated: Path) -> None:
    """The stores ana.db and ben.db over one article, which both coders have read from a file of their own."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    (isolated / "communique.toml").write_text('codebook = "book.toml"\nstore = "team.db"\n', encoding="utf-8")
    for name, keys in ANSWERS.items():
        (isolated / f"{name}.txt").write_text(ARTICLE, encoding="utf-8")
        succeed("ingest", f"{name}.txt", "--store", f"{name}.db")
        with Store(f"{name}.db") as store:
            order = [one.id for one in store.documents.sentences()]
        # The draws differ, so each answer is given to its sentence.
        succeed("label", "--annotator", name, "--size", "6", "--store", f"{name}.db", typed="q\n")
        with Store(f"{name}.db") as store:
            (draw,) = store.draws.last(name, ["random"])
        typed = "".join(f"{keys[order.index(item.sentence_id)]}\n" for item in draw.items)
        succeed("label", "--annotator", name, "--store", f"{name}.db", typed=f"{typed}q\n")


def test_two_coders_are_compared_after_the_merge(laptops: None) -> None:
    before = {name: rows for name, rows in contents().items() if name in ("ana.db", "ben.db")}
    printed = succeed("store", "merge", "ana.db", "ben.db")

    assert "ana.db was merged into team.db:" in printed
    assert printed.count("events") >= 2
    assert "Different people decided on 6 sentences in the two stores." in printed
    assert {name: rows for name, rows in contents().items() if name in before} == before
    assert next_commands(printed) == [["agreement"]]
    succeed("agreement", "--json", "figures.json")
    figures = json.loads(Path("figures.json").read_text(encoding="utf-8"))["agreement"]["unbiased"]["figures"]
    assert (figures["n_sentences"], figures["annotators"]) == (6, ["ana", "ben"])
    assert figures["exact_agreement"]["value"] == pytest.approx(5 / 6)
    # po = 5/6, pe = (1/3 * 1/6) + (2/3 * 5/6)
    assert figures["per_label"]["aid"]["kappa"]["value"] == pytest.approx((5 / 6 - 11 / 18) / (1 - 11 / 18))
    assert figures["per_label"]["truce"]["kappa"]["value"] == pytest.approx(1)


def test_merging_again_adds_nothing(laptops: None) -> None:
    succeed("store", "merge", "ana.db", "ben.db")
    after = contents()

    printed = succeed("store", "merge", "ben.db", "ana.db")
    rows = [line.split() for line in printed.splitlines() if line[:1].isalpha() and line.split()[-1].isdigit()]
    assert {row[-1] for row in rows} == {"0"}
    assert contents() == after


def test_a_dry_run_shows_what_would_come(laptops: None) -> None:
    printed = succeed("store", "merge", "ana.db", "--dry-run")

    assert "ana.db would be merged into team.db:" in printed
    assert "Nothing was changed: this was a dry run." in printed
    assert [line.split() for line in printed.splitlines() if line.startswith(("sentences", "events"))] == [
        ["sentences", "6", "0", "6"],
        ["events", "6", "0", "6"],
    ]
    assert not Path("team.db").exists()


def test_names_are_changed_for_one_store_or_for_all(laptops: None) -> None:
    shutil.copy("ana.db", "other.db")
    with Store("other.db") as other:
        other.names.rename("ana", "zoe")
        other.events.add([decision(other.documents.sentences()[0].id, "ana")])
    succeed("store", "merge", "ana.db")
    # zoe's events are those of ana, and ana is somebody else there.
    renames = ("--rename", "other.db:ana=anna", "--rename", "other.db:zoe=ana")
    printed = succeed("store", "merge", "other.db", "ben.db", *renames, "--prefix", "ben.db:paris-")

    rows = [line.split() for line in printed.splitlines()]
    assert ["ana", "anna", "1", "1", "new", "here"] in rows
    assert ["zoe", "ana", "6", "0", "the", "same", "person", "as", "here"] in rows
    with Store("team.db") as team:
        assert team.events.annotators() == ["ana", "anna", "paris-ben"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("absent.db",), "absent.db: this label store does not exist."),
        (("ana.db", "ana.db"), "ana.db: this store is named twice."),
        (("ana.db", "--rename", "ana"), "--rename 'ana': give the name in the other store and the new name"),
        (("ana.db", "--rename", "an=b"), "ana.db has no annotator 'an' (did you mean 'ana'?)"),
        (("ana.db", "--rename", "ana=b", "--rename", "ana=c"), "'ana' gets the names 'b' and 'c'. Choose one."),
    ],
)
def test_wrong_words_are_refused(laptops: None, words: tuple[str, ...], message: str) -> None:
    assert message in refuse("store", "merge", *words)


@pytest.mark.parametrize(
    ("other", "message", "code"),
    [
        (".", ".: this is a folder. Name the label store in it, such as communique.db.", 2),
        ("empty.db", "empty.db: this file is empty and is not a label store. Check the path.", 2),
        ("ana.txt", "(file is not a database). Check that the path or URL is a communique store.", 1),
    ],
)
def test_what_is_no_store_is_not_merged(laptops: None, other: str, message: str, code: int) -> None:
    Path("empty.db").touch()
    assert message in refuse("store", "merge", other, code=code)


def test_a_new_name_for_decisions_that_are_here_already_is_explained(laptops: None) -> None:
    succeed("store", "merge", "ana.db", "--store", "both.db")

    for option, name in ((("--rename", "ana=ana2"), "ana2"), (("--prefix", "b-"), "b-ana")):
        message = refuse("store", "merge", "ana.db", *option, "--store", "both.db")
        assert "decisions of 'ana' are in this store already, under the name 'ana'" in message
        assert f"`communique annotators rename ana {name} --store both.db`" in message
        assert next_commands(message) == [["annotators", "rename", "ana", name, "--store", "both.db"]]


def test_stores_that_contradict_each_other_are_refused(laptops: None) -> None:
    succeed("store", "merge", "ana.db")
    Path("book.toml").write_text(BOOK.replace("Help is promised.", "Help is given."), encoding="utf-8")
    with Store("ben.db") as ben:
        from labels.codebook.schema import load_codebook

        ben.codebooks.add(load_codebook("book.toml"))

    message = refuse("store", "merge", "ben.db")
    assert "ben.db: this store cannot be merged: codebook small@1 has different content there" in message
    assert run("store", "merge", "ben.db", "--same-versions").exit_code == 0


WEATHER = 'name = "weather"\n[[labels]]\nname = "rain"\nkey = "r"\ndefinition = "It rains."\n'


def test_a_store_under_an_unrelated_codebook_is_refused(laptops: None) -> None:
    Path("weather.toml").write_text(WEATHER, encoding="utf-8")
    succeed("ingest", "ana.txt", "--store", "wet.db")
    asked = ("label", "--annotator", "eva", "--size", "6", "--store", "wet.db", "--codebook", "weather.toml")
    succeed(*asked, typed="r\nr\nq\n")
    succeed("store", "merge", "ana.db")

    message = refuse("store", "merge", "wet.db")
    assert "its decisions were made under codebook 'weather' 1" in message
    assert "and the decisions here under 'small' 1" in message
    assert "Nothing was changed." in message
    # Two stores that are merged into a new one are compared with each other as well.
    assert "'weather'" in refuse("store", "merge", "ben.db", "wet.db", "--store", "new.db")


def test_later_versions_of_a_codebook_are_merged(laptops: None) -> None:
    Path("later.toml").write_text(f'{BOOK}[[labels]]\nname = "visit"\nkey = "v"\n', encoding="utf-8")
    shutil.copy("ben.txt", "eva.txt")
    succeed("ingest", "eva.txt", "--store", "eva.db")
    asked = ("label", "--annotator", "eva", "--size", "6", "--store", "eva.db", "--codebook", "later.toml")
    succeed(*asked, typed="v\nq\n")
    succeed("store", "merge", "ana.db")
    assert "new here" in succeed("store", "merge", "eva.db", "--same-versions")
