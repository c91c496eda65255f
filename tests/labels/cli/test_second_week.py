"""What a team meets in its second week: open draws, stray codebooks, read-only stores, and commands to type next."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import next_assignment
from labels.store import Store
from tests.labels.cli.running import BOOK, next_commands, refuse, run, succeed
from tests.labels.store.builders import added, decision, score_all

UNDER = ("--codebook", "book.toml")


@pytest.fixture
def town(isolated: Path) -> Iterator[Store]:
    """The default store of the working folder, with twenty sentences."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    with Store("communique.db") as store:
        added(store, 20)
        yield store


def label(annotator: str, *options: str, typed: str = "") -> str:
    return succeed("label", "--annotator", annotator, *UNDER, *options, typed=typed)


# -- open draws


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        (("--size", "3"), "--size"),
        (("--seed", "7", "--overlap", "0.5"), "--overlap, --seed"),
        (("--planted", "0.2"), "--planted"),
    ],
)
def test_options_of_a_new_draw_do_not_vanish_while_a_draw_is_open(
    town: Store, options: tuple[str, ...], unused: str
) -> None:
    label("ana", "--size", "5", typed="a\nq\n")

    printed = label("ana", *options, typed="q\n")

    line = next(line for line in printed.splitlines() if line.startswith("Your open draw"))
    assert line.startswith(f"Your open draw of 5 sentences continues; {unused} will apply to the next draw.")
    ((*release,),) = next_commands(line)
    assert "4 sentences that you held are free again." in succeed(*release)
    assert "continues" not in label("ana", "--size", "3", typed="q\n")


def test_in_a_browser_the_options_are_those_of_the_server(town: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    label("ana", "--size", "5", typed="a\nq\n")
    monkeypatch.setenv("TEXTUAL_DRIVER", "a:browser")

    printed = label("ana", "--size", "3", "--plain", typed="q\n")

    assert "Your open draw of 5 sentences continues; --size (set on the server) will apply to the next draw." in printed
    assert "--release" not in printed


def test_a_share_does_not_vanish_while_a_draw_is_open(town: Store) -> None:
    label("ana", "--size", "10", typed="a\n" * 10 + "q\n")
    label("ben", "--also-by", "ana", "--share", "0.3", typed="q\n")

    assert "Your open draw of 3 sentences continues; --share" in label("ben", "--also-by", "ana", "--share", "0.5")


def test_an_open_draw_without_such_options_continues_without_a_word(town: Store) -> None:
    label("ana", "--size", "5", typed="a\nq\n")

    assert "continues" not in label("ana", "--strategy", "random", typed="q\n")


@pytest.mark.parametrize("share", ["0", "0.0"])
def test_a_share_of_nothing_is_refused(town: Store, share: str) -> None:
    message = refuse("label", "--annotator", "ben", *UNDER, "--also-by", "ana", "--share", share)
    assert "--share 0 draws nothing. Give a share greater than 0" in message


def test_a_share_of_less_than_one_sentence_is_named(town: Store) -> None:
    label("ana", "--size", "4", typed="a\n" * 4 + "q\n")
    printed = label("ben", "--also-by", "ana", "--share", "0.1")

    assert "--share 0.1 of the 4 sentences that ana decided is less than one sentence." in printed
    ((*following,), *_) = next_commands(printed)
    assert "[1/4]" in succeed(*following)


def test_planting_without_known_answers_is_refused(town: Store) -> None:
    label("ana", "--size", "4", typed="a\n" * 4 + "q\n")

    message = refuse("label", "--annotator", "ben", *UNDER, "--planted", "0.2")

    assert "communique.db has no sentence with a known answer that is new to ben" in message
    assert "Let a second annotator label with --also-by NAME" in message


# -- status


def test_status_counts_no_released_sentences_and_explains_what_it_counts(town: Store) -> None:
    label("ana", "--size", "10", typed="a\n:n\nq\n")
    label("ana", "--release")
    label("ana", "--size", "3", typed="t\n" * 3 + "q\n")
    label("ana", "--retest", "--retest-after", "0", "--size", "2", typed="t\nq\n")

    printed = succeed("status", *UNDER)

    assert re.search(r"^random +5 +4 +0 +1$", printed, re.M)
    assert re.search(r"^retest \(own decisions again; measurement only\) +2 +1 +0 +0$", printed, re.M)
    assert re.search(r"^ana +4 +0 +0 +1 +0 +6 ", printed, re.M)
    assert "Open draw of ana (retest): 1 undecided." in printed


def test_today_is_one_number_on_the_screen_and_in_status(town: Store) -> None:
    label("ana", "--size", "4", typed="a\nt\nu\nu\nn\nq\n")

    assert re.search(r"^ana +1 +1 +0 +0 +0 +1 ", succeed("status", *UNDER), re.M)
    assert town.events.count_since("ana", "2000") == 1


# -- codebooks

COMMANDS = (
    ("label", "--annotator", "ana"),
    ("label", "--annotator", "ana", "--review"),
    ("adjudicate", "--annotator", "eva"),
    ("agreement",),
    ("status",),
)


def test_a_foreign_codebook_is_refused_by_all_commands_with_one_message(town: Store) -> None:
    label("ana", "--size", "2", typed="a\nt\nq\n")
    label("ben", "--also-by", "ana", typed="t\nt\nq\n")

    messages = {refuse(*words, "--codebook", "diplomatic") for words in COMMANDS}

    (message,) = messages
    assert "4 annotations were made under 'small'" in message
    (reference,) = re.findall(r"--codebook (small@\w+)", message)
    for words in COMMANDS:
        succeed(*words, "--codebook", reference, typed="q\n")


def test_status_without_a_codebook_names_that_of_the_decisions(town: Store) -> None:
    label("ana", "--size", "4", typed="a\nt\nq\n")

    printed = succeed("status")

    assert "which is unrelated to the codebook in the settings (diplomatic)" in printed
    for words in next_commands(printed):
        assert "[" in succeed(*words, typed="q\n")


# -- stores that cannot be written, or are none


def test_a_review_of_a_read_only_store_prints_the_decisions(town: Store, isolated: Path) -> None:
    label("ana", "--size", "2", typed="a\nt\nq\n")
    town.close()
    if os.geteuid() == 0:
        store = f"sqlite:///file:{isolated / 'communique.db'}?mode=ro&uri=true"
    else:
        store = "communique.db"
        (isolated / store).chmod(0o400)

    printed = label("ana", "--review", "--store", store)

    assert "2 decisions by ana." in printed


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("folder", "folder: this is a folder. Name a file in it, such as folder/communique.db."),
        ("empty.db", "is empty"),
    ],
)
@pytest.mark.parametrize("words", [("status",), ("label", "--annotator", "ana"), ("documents", "list")])
def test_a_path_that_is_no_store_is_called_what_it_is(
    isolated: Path, words: tuple[str, ...], store: str, message: str
) -> None:
    (isolated / "folder").mkdir()
    (isolated / "empty.db").touch()

    assert message in refuse(*words, "--store", store)


# -- the commands that are printed


def test_every_printed_command_works_as_printed(town: Store, isolated: Path) -> None:
    """Open draws of all kinds, drafts, skips and disputes: each command shows the sentences that it promises."""
    label("ana", "--size", "6", "--overlap", "0.5", typed="a\n" * 4 + "s\n!draft\nq\n")
    label("ben", "--also-by", "ana", typed="t\nt\nq\n")
    label("ana", "--strategy", "search text", "--size", "2", typed="q\n")
    label("ana", "--retest", "--retest-after", "0", "--size", "2", typed="a\nq\n")
    label("zoe", "--strategy", "document", typed="a\n!draft\nq\n")
    score_all(town, [0.5])
    succeed("label", "--annotator", "mia", *UNDER, "--strategy", "uncertainty", "--size", "1", typed="q\n")

    printed = succeed("status", *UNDER)

    commands = next_commands(printed)
    assert len(commands) >= 9
    for words in commands:
        shown = succeed(*words, typed="q\n")
        assert re.search(r"^\[\d/\d|decisions by ", shown, re.M), (words, shown)


def test_a_draw_of_planted_sentences_alone_is_continued_by_its_strategy(town: Store) -> None:
    first, second, *_ = (one.id for one in town.documents.sentences())
    for name in ("ben", "eva"):
        town.events.add([decision(key, name, labels=("aid",)) for key in (first, second)])
    found = next_assignment(town, "ana", DrawRequest("search", size=10, query="text", planted=0.2))
    assert found is not None
    drawn = {item.sentence_id: draw for draw in found.draws for item in draw.items}
    others = [key for key, draw in drawn.items() if draw.strategy == "search"]
    town.events.add([decision(key, "ana", draw_id=drawn[key].id) for key in others])

    (own,) = town.open_draws.all("ana")

    assert (own.option, own.pending) == ("search text", drawn.keys() - set(others))


def test_adjudication_names_the_command_that_goes_on(town: Store) -> None:
    label("ana", "--size", "3", typed="a\n" * 3 + "q\n")
    label("ben", "--also-by", "ana", typed="t\n" * 3 + "q\n")

    printed = succeed("adjudicate", "--annotator", "eva", *UNDER, "--blind", typed="1\nq\n")
    ((*going_on,),) = next_commands(printed)
    assert going_on == ["adjudicate", "--annotator", "eva", "--blind", *UNDER]
    printed = succeed(*going_on, typed="1\n1\nq\n")
    assert next_commands(printed) == [["agreement", *UNDER]]
    succeed("agreement", *UNDER)
    assert next_commands(succeed(*going_on)) == [["agreement", *UNDER]]
    assert run("status", *UNDER).exit_code == 0
