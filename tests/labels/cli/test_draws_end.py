"""Draws end: released sentences, the default size, and what to do when nothing is left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labels.store import Store
from tests.labels.cli.running import BOOK, next_commands, refuse, succeed
from tests.labels.store.builders import added, score_all

UNDER = ("--codebook", "book.toml")


@pytest.fixture
def town(isolated: Path) -> Iterator[Store]:
    """The default store of the working folder, with twelve sentences."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    (isolated / "PATH").mkdir()
    (isolated / "PATH" / "oslo.txt").write_text("Oslo pledged 40 trucks to the coast.", encoding="utf-8")
    with Store("communique.db") as store:
        added(store, 12)
        yield store


def label(annotator: str, *options: str, typed: str = "") -> str:
    return succeed("label", "--annotator", annotator, *UNDER, *options, typed=typed)


def following(printed: str) -> list[str]:
    """The words of the first command after "Next:", which must hand out a sentence, free some or add text."""
    words = next_commands(printed.partition("Next: ")[2])[0]
    done = succeed(*words, typed="q\n")
    assert any(sign in done for sign in ("  > ", "free again", "1 new, with"))
    return words


# -- the default size


@pytest.mark.parametrize(("sentences", "drawn"), [(12, 3), (40, 10), (3, 1), (1, 1), (500, 100)])
def test_the_default_draw_is_at_most_a_quarter_of_what_is_free(isolated: Path, sentences: int, drawn: int) -> None:
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    with Store("communique.db") as store:
        added(store, sentences)

    assert f"[1/{drawn}]" in label("ana", typed="q\n")


def test_enter_draws_more_at_the_end(town: Store) -> None:
    printed = label("ana", typed="a\na\na\n\na\na\n\na\n")

    assert len(town.events.all()) == 6
    assert "[Enter] draw more" in printed
    assert label("ana", "--size", "50", typed="a\n" * 6 + "\n").count("Nothing is left to draw.") == 1


# -- release


def test_release_frees_what_is_undecided_and_keeps_decisions(town: Store) -> None:
    label("ana", "--size", "12", typed="a\na\nq\n")

    printed = label("ana", "--release")

    assert "10 sentences that you held are free again." in printed
    assert following(printed)[:3] == ["label", "--annotator", "ana"]
    assert "[1/8]" in label("ben", "--size", "10", typed="q\n")  # ana's next draw holds two
    assert len(town.events.all(annotator="ana")) == 2


def test_a_released_draw_is_not_continued(town: Store) -> None:
    label("ana", "--size", "12", typed="a\nq\n")
    label("ana", "--release")

    assert "[1/2]" in label("ana", typed="q\n")


def test_another_can_release_what_someone_left_behind(town: Store) -> None:
    label("ana", "--size", "12", typed="a\nq\n")
    printed = label("ben")
    assert re.search(r"Held: 11 sentences by ana until \d{4}-\d\d-\d\d \d\d:\d\d\.", printed)
    assert following(printed) == ["label", "--annotator", "ben", "--release-from", "ana", *UNDER]

    assert "[1/2]" in label("ben", typed="q\n")


def test_overlap_released_by_its_second_coder_waits_again(town: Store) -> None:
    label("ana", "--size", "4", "--overlap", "1", typed="a\n" * 4 + "q\n")
    label("ben", "--strategy", "overlap", typed="a\nq\n")
    assert "Nothing to label" in label("eva", "--strategy", "overlap")
    label("ben", "--release")

    assert "[1/3]" in label("eva", "--strategy", "overlap", typed="q\n")


def test_releasing_from_a_stranger_is_refused(town: Store) -> None:
    label("ana", "--size", "1", typed="q\n")

    message = refuse("label", "--annotator", "ben", *UNDER, "--release-from", "anna")

    assert "'anna' has no draws in communique.db (did you mean 'ana'?). Annotators: ana, ben." in message


# -- nothing to label


def test_all_decided_asks_for_more_text(town: Store) -> None:
    printed = label("ana", "--size", "12", typed="a\n" * 12 + "q\n")
    assert "Every sentence has a decision." in label("ana")
    assert next_commands(label("ana"))[0] == ["ingest", "PATH"]
    assert following(printed) == ["ingest", "PATH"]


def test_all_decided_by_others_offers_double_coding(town: Store) -> None:
    label("ana", "--size", "12", typed="a\n" * 12 + "q\n")

    assert following(label("ben")) == ["label", "--annotator", "ben", "--also-by", "ana", *UNDER]


def test_only_skips_left(town: Store) -> None:
    printed = label("ana", "--size", "12", typed="s\n" * 2 + "a\n" * 10 + "s\ns\nq\n")
    assert following(printed) == ["label", "--annotator", "ana", "--strategy", "skipped", *UNDER]
    town.draws.release("ana")

    printed = label("ben")
    assert "Only skipped sentences are left." in printed
    assert following(printed) == ["label", "--annotator", "ben", "--strategy", "skipped", *UNDER]


def test_words_that_no_sentence_contains(town: Store) -> None:
    printed = label("ana", "--strategy", "search absent")
    assert "No sentence contains these words." in printed
    assert following(printed) == ["label", "--annotator", "ana", *UNDER]


def test_words_only_in_decided_sentences(town: Store) -> None:
    label("ana", "--strategy", "search 0007", typed="a\nq\n")
    assert "Every sentence with these words has a decision." in label("ana", "--strategy", "search 0007")


def test_words_only_in_an_open_draw_of_ones_own(town: Store) -> None:
    label("ana", "--size", "12", typed="a\nq\n")
    printed = label("ana", "--strategy", "search text")
    assert "is decided or held in an open draw. Held: 11 sentences by you until" in printed
    assert following(printed) == ["label", "--annotator", "ana", *UNDER]


def test_words_only_in_an_open_draw_of_another(town: Store) -> None:
    label("ana", "--strategy", "search text", "--size", "12", typed="q\n")
    assert following(label("ben", "--strategy", "search text"))[-4:-2] == ["--release-from", "ana"]


def test_an_open_draw_of_another_kind_is_continued(town: Store) -> None:
    label("ana", "--strategy", "search text", "--size", "12", typed="q\n")
    assert following(label("ana")) == ["label", "--annotator", "ana", "--strategy", "search text", *UNDER]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--strategy", "overlap"), "No sentence is waiting for another coder."),
        (("--strategy", "skipped"), "No skipped sentences are waiting."),
        (("--retest",), "You have no decisions on randomly drawn sentences yet."),
        (("--strategy", "relabel"), "No sentence is waiting to be labelled again;"),
    ],
)
def test_queues_without_a_sentence_lead_to_the_rest(town: Store, options: tuple[str, ...], reason: str) -> None:
    printed = label("ana", *options)
    assert reason in printed
    assert following(printed) == ["label", "--annotator", "ana", *UNDER]


def test_decisions_too_young_for_a_retest(town: Store) -> None:
    label("ana", "--size", "2", typed="a\na\nq\n")
    printed = label("ana", "--retest")
    assert "is older than 24 hours" in printed
    assert following(printed)[3:6] == ["--retest", "--retest-after", "0"]


def test_a_share_that_is_reached(town: Store) -> None:
    label("ana", "--size", "10", typed="a\n" * 10 + "q\n")
    label("ben", "--also-by", "ana", "--share", "0.3", typed="a\n" * 3 + "q\n")
    printed = label("ben", "--also-by", "ana", "--share", "0.3")
    assert "You have already decided 3 of the 10 sentences that ana decided." in printed
    assert following(printed)[3:5] == ["--also-by", "ana"]


def test_sentences_without_scores_are_counted(town: Store) -> None:
    score_all(town, [0.5])
    label("ana", "--size", "12", typed="a\n" * 12 + "q\n")
    added(town, 2, "later")
    printed = label("ana", "--strategy", "uncertainty")
    assert "Every sentence with a score is decided or held; 2 sentences have no score." in printed
    assert next_commands(printed) == [["score", "ARTEFACT"]]


def test_an_unfinished_draw_is_named_with_its_strategy(town: Store) -> None:
    printed = label("ana", "--strategy", "search text", "--size", "5", typed="a\nq\n")
    assert following(printed) == ["label", "--annotator", "ana", "--strategy", "search text", *UNDER]


def test_an_empty_store_asks_for_text(isolated: Path) -> None:
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    Store("communique.db").close()
    printed = label("ana")
    assert "The store has no sentences." in printed
    assert next_commands(printed) == [["ingest", "PATH"]]
