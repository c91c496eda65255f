"""`label --review` and the options of `adjudicate`, as commands without a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labels.store import Store
from tests.labels.cli.running import BOOK, next_commands, refuse, succeed
from tests.labels.store.builders import added, decision

UNDER = ("--codebook", "book.toml")


@pytest.fixture
def town(isolated: Path) -> Iterator[Store]:
    """The default store of the working folder: three coders on three sentences."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    with Store("communique.db") as store:
        ids = added(store, 4)
        for name, labels in (("ana", ("aid",)), ("ben", ("aid",)), ("eva", ())):
            store.events.add([decision(ids[0], name, labels=labels, created_at="2026-03-01T12:00:00+00:00")])
        for name, labels in (("ana", ("aid", "truce")), ("ben", ("aid",)), ("eva", ())):
            store.events.add([decision(ids[1], name, labels=labels, note=f"by {name}")])
        store.events.add([decision(ids[2], "ana", state="not_a_sentence")])
        yield store


def test_review_prints_ones_own_decisions_and_records_nothing(town: Store) -> None:
    before = town.events.all()

    printed = succeed("label", "--annotator", "ana", *UNDER, "--review", "--label", "aid")

    assert re.findall(r"^ *(\d) .* (aid.*?)  ", printed, re.M) == [("1", "aid"), ("2", "aid, truce")]
    assert "! by ana" in printed
    assert "ben" not in printed
    assert printed.endswith("2 decisions by ana.\n")
    assert town.events.all() == before
    assert "has no such decisions by ana" in succeed(
        "label", "--annotator", "ana", *UNDER, "--review", "--state", "skipped"
    )
    assert "1 decision by ana." in succeed("label", "--annotator", "ana", *UNDER, "--review", "--since", "2026-02-01")


def test_unblind_prints_what_others_decided(town: Store) -> None:
    printed = succeed("label", "--annotator", "ana", *UNDER, "--review", "--unblind", "--search", "0001")

    assert "ben: aid" in printed
    assert "eva: none" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--review", "--label", "ade"], "codebook 'small' has no label 'ade' (did you mean 'aid'?)"),
        (["--review", "--since", "yesterday"], "--since: 'yesterday' is not a date. Write it as year-month-day"),
        (["--review", "--since", "0001-01-01T00:00+14:00"], "is not a date"),
        (["--review", "--strategy", "random"], "--review shows decisions that you have made and draws no sentences."),
        (["--note"], "Add --review"),
        (["--unblind"], "Add --review"),
        (["--search", "aid"], "use --strategy 'search WORDS'"),
        (["--review", "--state", "unseen"], "--state"),
    ],
)
def test_a_review_that_cannot_be_is_refused(town: Store, options: list[str], message: str) -> None:
    assert message in refuse("label", "--annotator", "ana", *UNDER, *options)


def test_the_majority_settles_what_it_can_and_names_the_next_command(town: Store) -> None:
    printed = succeed("adjudicate", "--annotator", "mia", *UNDER, "--majority")

    assert "1 of 2 disputes settled by majority, 1 left." in printed
    ((*command,),) = next_commands(printed)
    assert "[1/1]" in succeed(*command, typed="")
    assert town.events.all()[-1].basis == "rule"
    assert "--majority asks no questions" in refuse("adjudicate", "--annotator", "mia", "--majority", "--blind")


def test_adjudicate_hides_names_takes_answers_and_warns_of_a_second_window(town: Store) -> None:
    with town.windows.open("mia"):
        printed = succeed("adjudicate", "--annotator", "mia", *UNDER, "--blind", typed="2\nq\n")

    assert "mia has another window open" in printed
    assert "Close one of them: if both show the same sentence, the later decision stands." in printed
    assert "[2] coder 2:" in printed
    assert not {"ana:", "ben:", "eva:"} & set(printed.split())
    assert town.events.all()[-1].event == "adjudicate"


def test_whole_articles_are_labelled_in_order(town: Store) -> None:
    printed = succeed("label", "--annotator", "zoe", *UNDER, "--strategy", "document", typed="q\n")

    assert "  > Text 0003" in printed
