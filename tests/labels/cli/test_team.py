"""Several coders over one store: double coding at any time, and what `status` shows of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labels.agreement.report import agreement
from labels.codebook.schema import parse_codebook
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


def label(annotator: str, *options: str, typed: str) -> str:
    return succeed("label", "--annotator", annotator, *UNDER, *options, typed=typed)


def shown(printed: str) -> set[str]:
    return {line.removeprefix("  > ") for line in printed.splitlines() if line.startswith("  > ")}


def texts(store: Store, annotator: str, strategy: str = "") -> set[str]:
    """The texts that an annotator decided on."""
    ids = {one.sentence_id for one in store.events.all(annotator=annotator) if strategy in ("", one.strategy)}
    return {sentence.text for sentence in store.documents.sentences(ids)}


# -- a second coder, afterwards


def test_also_by_draws_a_share_of_what_another_decided(town: Store) -> None:
    label("ana", "--size", "10", typed="a\n" * 8 + "s\ns\nq\n")

    printed = label("ben", "--also-by", "ana", "--share", "0.5", typed="t\n" * 4 + "q\n")

    events = town.events.all(annotator="ben")
    assert len(events) == 4  # of the eight that ana decided, not of her skips
    assert {event.strategy for event in events} == {"also-by"}
    assert {event.inclusion_probability for event in events} == {4 / 8}
    assert texts(town, "ben") == shown(printed) < texts(town, "ana")


def test_also_by_shows_neither_labels_nor_suggestions(town: Store) -> None:
    score_all(town, [0.9])
    label("ana", "--size", "4", typed="at\n!secret\nat\nq\n")

    printed = label("ben", "--also-by", "ana", "--suggest", "--blind", "0", typed="q\n")

    assert "suggests" not in printed
    assert "secret" not in printed
    assert "ana" not in printed.replace("--also-by ana", "").partition("Next:")[0]


def test_a_third_coder_joins_the_same_way(town: Store) -> None:
    label("ana", "--size", "5", typed="a\n" * 5 + "q\n")
    for name in ("ben", "eva"):
        label(name, "--also-by", "ana", typed="a\n" * 5 + "q\n")

    assert texts(town, "ana") == texts(town, "ben") == texts(town, "eva")


def test_late_double_coding_counts_as_unbiased_agreement_where_the_first_draw_was_random(town: Store) -> None:
    label("ana", "--size", "5", typed="a\n" * 5 + "q\n")
    label("ana", "--strategy", "search text", "--size", "3", typed="a\n" * 3 + "q\n")
    for name in ("ben", "eva"):
        label(name, "--also-by", "ana", typed="a\n" * 8 + "q\n")

    events = town.events.all()
    sentences = town.documents.by_first_version({event.sentence_id for event in events})
    report = agreement(events, sentences, parse_codebook(BOOK, "book"))
    assert report.unbiased.figures.n_sentences == 5
    assert report.unbiased.figures.annotators == ("ana", "ben", "eva")
    assert report.other.figures.n_sentences == 3


def test_also_by_goes_on_where_it_ended_and_says_when_the_share_is_reached(town: Store) -> None:
    label("ana", "--size", "10", typed="a\n" * 10 + "q\n")
    options = ("--also-by", "ana", "--share", "0.3")
    label("ben", *options, typed="a\nq\n")
    assert "[2/3]" in label("ben", *options, typed="a\na\nq\n")

    assert "Nothing to label" in label("ben", *options, typed="")
    assert "[1/7]" in label("ben", "--also-by", "ana", typed="q\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--also-by", "anna"], "'anna' has no decisions in communique.db (did you mean 'ana'?). Annotators: ana."),
        (["--also-by", "ben"], "'ben' is the annotator who labels now. Give the name of another annotator"),
        (["--strategy", "also-by"], "'also-by' needs the name of an annotator"),
        (["--share", "0.3"], "Add --also-by NAME, or remove --share."),
        (["--also-by", "ana", "--share", "1.5"], "--share"),
        (["--also-by", "ana", "--strategy", "audit"], "--also-by means --strategy also-by and cannot be combined"),
        (["--also-by", "ana", "--retest"], "cannot be combined with --retest"),
        (["--also-by", "ana", "--overlap", "0.2"], "'also-by' cannot be combined with --overlap"),
    ],
)
def test_double_coding_that_cannot_be_is_refused(town: Store, options: list[str], message: str) -> None:
    label("ana", "--size", "2", typed="a\nq\n")
    assert message in refuse("label", "--annotator", "ben", *UNDER, *options)


# -- the team's settings


def test_the_team_sets_overlap_and_the_number_of_coders(town: Store, isolated: Path) -> None:
    (isolated / "communique.toml").write_text("[team]\noverlap = 1\ncoders_per_sentence = 3\n", encoding="utf-8")
    for name in ("ana", "ben", "eva"):
        label(name, "--size", "5", typed="a\n" * 5 + "q\n")
    assert texts(town, "ana") == texts(town, "ben") == texts(town, "eva")

    label("zoe", "--size", "5", typed="a\n" * 5 + "q\n")
    assert not texts(town, "zoe") & texts(town, "ana")


def test_an_option_wins_over_the_team(town: Store, isolated: Path) -> None:
    (isolated / "communique.toml").write_text("[team]\noverlap = 1\n", encoding="utf-8")
    label("ana", "--size", "5", "--overlap", "0", typed="a\n" * 5 + "q\n")

    assert texts(town, "ana", "overlap") == set()


def test_the_teams_overlap_leaves_other_strategies_alone(town: Store, isolated: Path) -> None:
    (isolated / "communique.toml").write_text("[team]\noverlap = 1\n", encoding="utf-8")

    assert shown(label("ana", "--strategy", "search 0007", typed="q\n")) == {"Text 0007"}


def test_strategy_overlap_hands_out_only_what_waits_for_another_coder(town: Store) -> None:
    label("ana", "--size", "10", "--overlap", "0.4", typed="a\n" * 10 + "q\n")

    label("ben", "--strategy", "overlap", typed="t\n" * 4 + "q\n")

    assert texts(town, "ben") == texts(town, "ana", "overlap")
    assert "Nothing to label" in label("eva", "--strategy", "overlap", typed="")


def test_a_random_draw_left_behind_for_overlap_comes_back(town: Store) -> None:
    label("ana", "--size", "4", "--overlap", "1", typed="a\n" * 4 + "q\n")
    label("ben", "--size", "6", typed="a\nq\n")
    label("ben", "--strategy", "overlap", typed="t\n" * 4 + "q\n")

    assert "[2/6]" in label("ben", typed="q\n")


# -- audit without a model


def test_an_audit_without_scores_is_a_simple_random_sample_of_all_sentences(town: Store) -> None:
    label("ana", "--size", "12", typed="a\n" * 12 + "q\n")

    label("eva", "--strategy", "audit", "--size", "10", typed="n\n" * 10 + "q\n")

    audited = town.events.all(annotator="eva")
    assert {(event.strategy, event.inclusion_probability) for event in audited} == {("audit", 10 / 20)}
    assert texts(town, "eva") & texts(town, "ana")
    assert texts(town, "eva") - texts(town, "ana")


# -- status


def waiting(*options: str) -> dict[str, str]:
    """What waits -> the command that continues."""
    lines = re.findall(r"^(.*?)\. Next: communique (.*)$", succeed("status", *options), re.MULTILINE)
    return dict(lines)


def test_status_shows_everything_that_waits_with_a_command_that_works(town: Store) -> None:
    label("ana", "--size", "10", "--overlap", "0.5", typed="a\n" * 8 + "s\ns\nq\n")
    ben = label("ben", "--size", "3", "--overlap", "1", typed="t\n" * 3 + "q\n")
    assert len(shown(ben)) == 3
    label("ben", "--size", "1", typed="!see the treaty\nq\n")
    town.relabelling.add([(town.documents.sentences()[0].id, "aid was split", ())], source="test")

    found = waiting(*UNDER)

    assert {re.sub(r"\d+", "N", line) for line in found} == {
        "Waiting for a second coder: N sentences",
        "Skipped and not decided by anyone: N sentences",
        "Choices and notes that ben has not confirmed: N sentence",
        "Open draw of ben (random): N undecided",
        "Disputed: N sentences",
        "To be labelled again: N sentence",
    }
    for following in found.values():
        words = following.replace("YOUR_NAME", "zoe").split()
        assert "Nothing" not in succeed(*words, typed="q\n") or "relabel" in words or "skipped" in words


def test_status_counts_disputes_under_the_codebook_of_the_store(town: Store) -> None:
    label("ana", "--size", "3", typed="a\n" * 3 + "q\n")
    label("ben", "--also-by", "ana", typed="t\n" * 3 + "q\n")

    (line,) = (line for line in succeed("status").splitlines() if line.startswith("Disputed"))
    (words,) = next_commands(line)
    assert line.startswith("Disputed: 3 sentences.")
    assert words[-1].startswith("small@")
    assert "[1/3]" in succeed(*words, typed="q\n")
    result = run("status", "--codebook", "diplomatic")
    assert result.exit_code == 2
    assert "some annotations were made under versions whose labels differ" in result.stderr


def test_status_says_that_it_cannot_count_disputes(town: Store) -> None:
    (first, *_) = town.documents.sentences()
    town.events.add([decision(first.id, name, labels=("aid",)) for name in ("ana", "ben")])

    assert "Disputes: not counted, because the codebook in use cannot read all decisions." in succeed("status")


def test_status_counts_adjudicators(town: Store) -> None:
    label("ana", "--size", "3", typed="a\n" * 3 + "q\n")
    label("ben", "--also-by", "ana", typed="t\n" * 3 + "q\n")
    succeed("adjudicate", "--annotator", "eva", *UNDER, typed="a\na\nq\n")

    printed = succeed("status", *UNDER)

    assert re.search(r"^eva +2$", printed, re.MULTILINE)
    assert "Disputed: 1 sentence. Next: communique adjudicate" in printed
