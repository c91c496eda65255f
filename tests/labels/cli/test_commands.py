"""The commands of `labels.cli` as they are mounted on the root command."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import load_codebook, parse_codebook
from labels.gold import resolve
from labels.store import Store
from tests.labels.cli.running import BOOK, contents, next_commands, refuse, run, succeed
from tests.labels.store.builders import added, decision, model, score_all

Write = Callable[[str, list[dict[str, Any]]], Path]

ARTICLE = "Oslo pledged 40 trucks.\n\nLeave a Comment\n\nThe envoy called for a truce."


@pytest.fixture
def book(isolated: Path) -> str:
    """A small codebook in the working folder."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    return "book.toml"


@pytest.fixture
def filled(isolated: Path) -> Path:
    """The default store of the working folder, with an article of two sentences and a line of boilerplate."""
    (isolated / "article.txt").write_text(ARTICLE, encoding="utf-8")
    succeed("ingest", "article.txt")
    return isolated / "communique.db"


def test_texts_names_and_notes_cannot_control_the_terminal(book: str) -> None:
    hostile = "\x1b[2J\u202e\b[bold]"
    Path(f"{hostile}.txt").write_text(f"Oslo {hostile} pledged aid.", encoding="utf-8")
    Path(f"{hostile}.csv").write_text("no\n1\n", encoding="utf-8")
    printed = [succeed("ingest", "."), succeed("ingest", ".")]
    for annotator, labels in (("ana", "a"), ("ben", "t")):
        options = ("--annotator", annotator, "--overlap", "1", "--plain", "--codebook", book)
        printed.append(succeed("label", *options, typed=f"!{hostile}\n{labels}\n"))
    printed += [succeed("status"), succeed("agreement", "--codebook", book)]
    printed.append(succeed("adjudicate", "--annotator", "eva", "--plain", "--codebook", book, typed="q\n"))
    for refused in (("label", "--annotator", f"ana{hostile}"), ("ingest", f"{hostile}.pdf")):
        result = run(*refused)
        assert result.exit_code == 2
        printed.append(result.stderr)
    for text in printed:
        assert not set(text) & set("\x1b\u202e\r\b"), text
    assert "Left out: ␛[2J\\u202e␈[bold].csv" in printed[0]
    assert "  > Oslo ␛[2J\\u202e␈[bold] pledged aid." in printed[2]
    assert "␛[2J\\u202e␈[bold].pdf: " in printed[-1]


# -- codebook show


@pytest.mark.parametrize("arguments", [[], ["diplomatic"]])
def test_codebook_show_prints_the_shipped_codebook_as_toml(arguments: list[str]) -> None:
    printed = succeed("codebook", "show", *arguments)

    assert parse_codebook(printed, "printed") == load_codebook("diplomatic")


def test_codebook_show_prints_a_file(book: str) -> None:
    assert parse_codebook(succeed("codebook", "show", book), "printed") == parse_codebook(BOOK, "book")


def test_codebook_show_brief_is_a_table_of_keys_and_definitions() -> None:
    printed = " ".join(succeed("codebook", "show", "--brief").split())

    book = load_codebook("diplomatic")
    assert book.hash in printed
    for key, name in book.keys.items():
        assert f"{key} │ {name} │ An actor" in printed


def test_codebook_show_brief_prints_brackets_as_they_are(isolated: Path) -> None:
    text = BOOK.replace("Help is promised.", "Help [of any kind] is promised [red]here[/red].")
    (isolated / "book.toml").write_text(text, encoding="utf-8")

    assert "Help [of any kind] is promised [red]here[/red]." in succeed("codebook", "show", "book.toml", "--brief")


def test_codebook_show_brief_lists_labels_without_a_key_too(many: str) -> None:
    printed = " ".join(succeed("codebook", "show", many, "--brief").split())

    assert "│ Z │ topic_57 │" in printed
    assert "│ # │ topic_58 │" in printed
    assert "│ # │ topic_77 │" in printed


# -- codebook check


@pytest.fixture
def many(isolated: Path) -> str:
    """A codebook of 77 labels."""
    labels = "".join(f'[[labels]]\nname = "topic_{number}"\n' for number in range(1, 78))
    (isolated / "many.toml").write_text(f'name = "many"\nexclusive = true\n{labels}', encoding="utf-8")
    return "many.toml"


def test_codebook_check_says_how_labels_without_a_key_are_chosen(many: str, book: str) -> None:
    printed = succeed("codebook", "check", many)

    assert "77 labels, exclusive." in printed
    assert "20 of 77 labels have no key, as there are only 57 keys. While labelling, type # and" in printed
    assert "no key" not in succeed("codebook", "check", book)


def test_codebook_check_says_what_a_codebook_holds_and_lacks(book: str) -> None:
    printed = succeed("codebook", "check", book)

    assert printed.splitlines()[0] == f"small 1 ({parse_codebook(BOOK, 'b').hash}): 2 labels, multi-label."
    assert "truce: no definition yet" in printed
    assert "aid:" not in printed


def test_codebook_check_names_an_exclusive_codebook(isolated: Path) -> None:
    (isolated / "book.toml").write_text("exclusive = true\n" + BOOK, encoding="utf-8")

    assert "2 labels, exclusive." in succeed("codebook", "check", "book.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name = ", "book.toml: not valid TOML"),
        ('name = "x"\nlabels = []', "labels: "),
        (BOOK.replace("definition", "defintion"), "labels.1.defintion: unknown key (did you mean 'definition'?)"),
        (BOOK.replace('"t"', '"a"'), "key 'a' is used 2 times"),
        (BOOK.replace('"t"', '"q"'), "key 'q' is reserved for labelling"),
    ],
    ids=["not TOML", "no labels", "a misspelt key", "a key twice", "a reserved key"],
)
def test_codebook_check_names_what_is_wrong(isolated: Path, content: str, message: str) -> None:
    (isolated / "book.toml").write_text(content, encoding="utf-8")

    assert message in refuse("codebook", "check", "book.toml")


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_missing_codebook_is_named_with_the_shipped_ones(command: str) -> None:
    message = refuse("codebook", command, "nowhere.toml")

    assert "nowhere.toml: cannot read this codebook (No such file or directory)" in message
    assert "diplomatic" in message


# -- codebook infer

ROWS = [{"text": "One.", "labels": ["truce", "aid"]}, {"text": "Two.", "labels": []}]


def test_codebook_infer_prints_a_codebook_of_the_label_values(write_jsonl: Write) -> None:
    inferred = parse_codebook(succeed("codebook", "infer", write_jsonl("rows.jsonl", ROWS)), "printed")

    assert inferred.name == "rows"
    assert inferred.label_names == ("aid", "truce")
    assert not inferred.exclusive


def test_codebook_infer_writes_a_file_that_codebook_check_accepts(isolated: Path, write_jsonl: Write) -> None:
    write_jsonl("rows.jsonl", [{"text": "One.", "label": "aid"}, {"text": "Two.", "label": "truce"}])

    printed = succeed("codebook", "infer", "rows.jsonl", "--out", "my book.toml")

    assert "Wrote my book.toml" in printed
    (check,) = next_commands(printed)
    assert "2 labels, exclusive." in succeed(*check)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "One.", "labels": []}], "no row has a label"),
        ([{"text": "One."}], "rows.jsonl:1: the row has neither `label` nor `labels`"),
        ([{"text": "One.", "labels": ["none"]}], "no row has a label"),
        ([{"text": "One.", "labels": ["none", "aid"]}], "the labels are 'none' and also aid"),
    ],
)
def test_codebook_infer_without_labels_keeps_an_older_file(
    isolated: Path, write_jsonl: Write, rows: list[dict[str, Any]], message: str
) -> None:
    write_jsonl("rows.jsonl", rows)
    (isolated / "mine.toml").write_text("mine", encoding="utf-8")

    assert message in refuse("codebook", "infer", "rows.jsonl", "--out", "mine.toml")


def test_codebook_infer_names_a_missing_folder(write_jsonl: Write) -> None:
    path = write_jsonl("rows.jsonl", ROWS)

    assert "the folder missing does not exist" in refuse("codebook", "infer", path, "--out", "missing/mine.toml")


# -- ingest


def test_ingest_says_what_it_read_set_aside_and_holds(isolated: Path) -> None:
    (isolated / "article.txt").write_text(ARTICLE, encoding="utf-8")
    printed = succeed("ingest", "article.txt")

    assert "Read 1 document: 1 new, with 3 sentences." in printed
    assert "Set aside as boilerplate: 1 (comments 1)." in printed
    assert "communique.db now contains 1 document and 2 sentences to label." in printed
    assert "Next: communique label" in printed


def test_ingesting_again_adds_nothing(filled: Path) -> None:
    before = contents()

    printed = succeed("ingest", "article.txt")

    assert "Read 1 document: 0 new, with 0 sentences." in printed
    assert "Next:" not in printed
    assert contents() == before


def test_ingest_splits_again_on_demand_and_says_what_changed(isolated: Path) -> None:
    (isolated / "a.txt").write_text("Rain fell. “We reject the offer. It is a trap for our army,” he said.", "utf-8")
    assert "with 2 sentences" in succeed("ingest", "a.txt", "--keep-quotes")
    assert "with 0 sentences" in succeed("ingest", "a.txt")
    printed = succeed("ingest", "a.txt", "--resplit")
    assert "1 stored document changed, with 2 new sentences; 1 no longer offered" in printed
    assert "3 sentences to label" in printed


def test_ingest_reports_what_it_left_out_by_its_name(isolated: Path) -> None:
    (isolated / "[red]a.txt").write_bytes(b"\xfa\xfb")
    (isolated / "b.txt").write_text("Rain fell.", encoding="utf-8")

    printed = succeed("ingest", ".")

    assert "Left out: [red]a.txt: the file is not UTF-8" in printed
    assert "Read 1 document: 1 new" in printed


def test_ingest_fails_where_nothing_could_be_read(isolated: Path) -> None:
    (isolated / "a.txt").touch()

    result = run("ingest", "a.txt")

    assert result.exit_code == 2
    assert "Left out: a.txt: the file contains no text" in result.output
    with Store("communique.db") as store:
        assert store.counts.texts().documents == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.txt", "this file or folder does not exist"),
        ("picture.png", "documents can only be read from"),
        ("empty", "no documents found"),
    ],
)
def test_ingest_of_a_wrong_path_leaves_nothing_behind(isolated: Path, name: str, message: str) -> None:
    (isolated / "picture.png").touch()
    (isolated / "empty").mkdir()

    refused = refuse("ingest", name)

    assert name in refused
    assert message in refused


def test_ingest_without_a_path_is_a_usage_error() -> None:
    assert "Missing argument" in refuse("ingest")


def test_ingest_refuses_a_file_that_is_no_store(isolated: Path) -> None:
    (isolated / "article.txt").write_text(ARTICLE, encoding="utf-8")
    (isolated / "notes").write_text("These are my notes.\n" * 50, encoding="utf-8")

    assert "notes: the store could not be opened" in refuse("ingest", "article.txt", "--store", "notes", code=1)


def test_option_wins_over_environment_over_settings_file(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (isolated / "article.txt").write_text(ARTICLE, encoding="utf-8")
    (isolated / "communique.toml").write_text('store = "settings.db"', encoding="utf-8")
    succeed("ingest", "article.txt")
    monkeypatch.setenv("COMMUNIQUE_STORE", "environment.db")
    succeed("ingest", "article.txt")
    succeed("ingest", "article.txt", "--store", "option.db")

    assert sorted(path.name for path in isolated.glob("*.db")) == ["environment.db", "option.db", "settings.db"]


# -- label


def label(*options: str, typed: str) -> str:
    size = () if "--size" in options else ("--size", "100")  # by default, only a quarter of these few sentences
    return succeed("label", "--annotator", "ana", "--codebook", "book.toml", *size, *options, typed=typed)


def decisions(path: Path) -> list[tuple[str, str | None, tuple[str, ...]]]:
    with Store(path) as store:
        return [(event.annotator, event.state, event.labels) for event in store.events.all()]


def test_label_keeps_what_is_typed(filled: Path, book: str) -> None:
    printed = label(typed="at\nn\nq\n")

    assert decisions(filled) == [("ana", "reviewed", ("aid", "truce")), ("ana", "reviewed", ())]
    assert "[1/2]" in printed
    assert "[2/2]" in printed
    assert "2 decided, 0 left in this draw. All decisions are saved in communique.db." in printed
    assert "Leave a Comment" not in [line.removeprefix("  > ") for line in printed.splitlines()]


def test_label_goes_on_where_input_ended(filled: Path, book: str) -> None:
    assert "1 decided, 1 left" in label(typed="a\n")

    printed = label(typed="s\nq\n")

    assert "[1/2]" not in printed
    assert "2 decided, 0 left" in printed
    assert decisions(filled) == [("ana", "reviewed", ("aid",)), ("ana", "skipped", ())]


def test_label_takes_no_more_sentences_than_asked_for(filled: Path, book: str) -> None:
    assert "[1/1]" in label("--size", "1", typed="q\n")


def test_label_gives_two_annotators_different_sentences(filled: Path, book: str) -> None:
    shown = []
    for name in ("ana", "ben"):
        printed = succeed("label", "--annotator", name, "--size", "1", "--codebook", book, typed="q\n")
        shown += [line for line in printed.splitlines() if line.startswith("  > ")]

    assert len(set(shown)) == 2
    assert "Nothing to label" in succeed("label", "--annotator", "eva", "--codebook", book, typed="q\n")


def test_label_trims_the_annotators_name(filled: Path, book: str) -> None:
    succeed("label", "--annotator", "  ana ", "--codebook", book, typed="a\nq\n")

    assert decisions(filled) == [("ana", "reviewed", ("aid",))]


def test_label_with_an_unknown_key_decides_nothing(filled: Path, book: str) -> None:
    printed = label(typed="x\nq\n")

    assert "'x' is not one of the keys" in printed
    assert decisions(filled) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotator", "  "], "the name of the annotator is empty"),
        ([], "No annotator is named. Add --annotator YOUR_NAME"),
        (["--annotator", "ana", "--size", "0"], "--size"),
        (["--annotator", "ana", "--size", "ten"], "--size"),
        (["--annotator", "ana", "--codebook", "nowhere.toml"], "nowhere.toml: cannot read this codebook"),
        (["--annotator", "ana", "--store", "absent.db"], "absent.db: this label store does not exist"),
    ],
)
def test_label_refuses_what_it_cannot_use(filled: Path, arguments: list[str], message: str) -> None:
    assert message in refuse("label", *arguments)


# -- label: what is drawn and shown


@pytest.fixture
def town(isolated: Path, book: str) -> Iterator[Store]:
    """The default store with twelve sentences."""
    with Store("communique.db") as store:
        added(store, 12)
        yield store


def shown(printed: str) -> list[str]:
    """The sentences that were handed out."""
    return [line.removeprefix("  > ") for line in printed.splitlines() if line.startswith("  > ")]


def score_town(store: Store) -> list[str]:
    """Score the store; the texts from the least sure on."""
    tops = score_all(store, [0.1, 0.2, 0.3, 0.45, 0.49, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07])
    texts = {sentence.id: sentence.text for sentence in store.documents.sentences()}
    return [texts[key] for key in sorted(tops, key=lambda key: -tops[key])]


@pytest.mark.parametrize("by", ["entropy", "margin"])
def test_label_by_uncertainty_hands_out_the_least_sure_first(town: Store, by: str) -> None:
    wanted = score_town(town)[:3]

    printed = label("--strategy", "uncertainty", "--by", by, "--size", "3", typed="n\nn\nn\nq\n")

    assert shown(printed) == wanted
    assert {event.strategy for event in town.events.all()} == {"uncertainty"}


def test_label_by_search_hands_out_what_holds_the_words(town: Store) -> None:
    assert shown(label("--strategy", 'search "text 0004"', typed="n\nq\n")) == ["Text 0004"]


def test_label_resumes_a_search_and_starts_another(town: Store) -> None:
    (first,) = shown(label("--strategy", "search text", "--size", "2", typed="q\n"))

    assert shown(label("--strategy", "search text", "--size", "2", typed="q\n")) == [first]
    assert shown(label("--strategy", "search 0011", typed="q\n")) != [first]


def test_label_by_audit_goes_over_labelled_sentences_too(town: Store) -> None:
    score_town(town)
    label("--size", "12", typed="n\n" * 12 + "q\n")

    printed = label("--strategy", "audit", "--size", "12", typed="n\n" * 12 + "q\n")

    assert len(set(shown(printed))) == 12
    assert [event.inclusion_probability for event in town.events.all()[12:]] == [1.0] * 12


def test_label_draws_what_the_seed_says(town: Store) -> None:
    drawn = []
    for number in ("1", "1", "2"):
        store = f"copy{len(drawn)}.db"
        with closing(sqlite3.connect("communique.db")) as connection:
            connection.execute(f"VACUUM INTO '{store}'")
        drawn.append(shown(label("--store", store, "--seed", number, typed="n\n" * 12 + "q\n")))

    assert len(drawn[0]) == 12
    assert drawn[0] == drawn[1] != drawn[2]


def test_label_with_overlap_gives_two_people_the_same_sentences(town: Store) -> None:
    first = shown(label("--overlap", "1", "--size", "4", typed="n\n" * 4 + "q\n"))

    options = ("--annotator", "ben", "--codebook", "book.toml", "--overlap", "1", "--size", "4")
    second = shown(succeed("label", *options, typed="n\n" * 4 + "q\n"))

    assert sorted(first) == sorted(second)
    assert len(town.events.shared_sentences()) == 4


def test_label_shows_what_a_model_suggests_and_records_it(town: Store) -> None:
    score_all(town, [0.9])

    printed = label("--suggest", "--blind", "0", "--size", "2", typed="t\nq\n")

    assert "a model suggests: aid" in printed
    (event,) = town.events.all()
    assert (event.labels, event.suggestion, event.blind) == (("truce",), ("aid",), False)


def test_label_withholds_the_blind_share(town: Store) -> None:
    score_all(town, [0.9])

    printed = label("--suggest", "--blind", "1", "--size", "1", typed="t\nq\n")

    assert "suggests" not in printed
    assert [(event.suggestion, event.blind) for event in town.events.all()] == [(("aid",), True)]


def test_label_takes_the_scores_of_the_model_that_is_named(town: Store) -> None:
    score_all(town, [0.9], "first")
    score_all(town, [0.1], "second")

    printed = label("--suggest", "--blind", "0", "--model", "fir", "--size", "1", typed="q\n")

    assert "a model suggests: aid" in printed


@pytest.mark.parametrize("option", [("--retest",), ("--strategy", "retest"), ("--retest", "--strategy", "retest")])
def test_label_asks_for_old_decisions_again_without_showing_them(town: Store, option: tuple[str, ...]) -> None:
    first = shown(label("--size", "3", typed="a\na\na\nq\n"))
    assert "--retest --retest-after 0" in label(*option, typed="")

    printed = label(*option, "--retest-after", "0", typed="t\nt\nt\nq\n")

    assert sorted(shown(printed)) == sorted(first)
    assert "earlier labels" not in printed
    assert [event.labels for event in town.events.all()] == [("aid",)] * 3 + [("truce",)] * 3


@pytest.mark.parametrize("option", [("--retest", "--retest-after", "0"), ("--strategy", "relabel")])
def test_skipping_a_relabelled_sentence_keeps_its_labels(town: Store, option: tuple[str, ...]) -> None:
    first = shown(label("--size", "3", typed="a\na\na\nq\n"))
    ids = [event.sentence_id for event in town.events.all()]
    town.relabelling.add([(identifier, "doubt", ("aid",)) for identifier in ids], source="test")

    assert sorted(shown(label(*option, typed="s\ns\ns\nq\n"))) == sorted(first)

    assert resolve(town.events.all(), load_codebook(Path("book.toml"))).gold == dict.fromkeys(ids, ("aid",))
    assert len(town.relabelling.waiting()) == 3
    assert town.counts.label_sets() == {("aid",): 3}


def test_label_again_shows_the_labels_so_far_and_why(town: Store) -> None:
    assert "`doubts --queue`" in label("--strategy", "relabel", typed="")
    sentence = town.documents.sentences()[2]
    town.relabelling.add([(sentence.id, "aid was split", ("aid",))], source="test")

    printed = label("--strategy", "relabel", typed="t\nq\n")

    assert shown(printed) == [sentence.text]
    assert "label again: aid was split; earlier labels: aid" in printed
    assert "Nothing to label" in label("--strategy", "relabel", typed="")


def test_label_says_what_to_type_next_with_the_name_quoted(town: Store) -> None:
    printed = succeed("label", "--annotator", "Ana Maria", "--codebook", "book.toml", typed="n\nq\n")

    assert "Next: communique label --annotator 'Ana Maria' --codebook book.toml\n" in printed


def test_next_commands_keep_store_and_codebook(isolated: Path, book: str) -> None:
    (isolated / "article.txt").write_text(ARTICLE, encoding="utf-8")
    (isolated / "my book.toml").write_text(BOOK, encoding="utf-8")
    under = ("--codebook", "my book.toml")

    (next_label,) = next_commands(succeed("ingest", "article.txt", "--store", "my store.db"))
    assert next_commands(succeed("status", "--store", "my store.db")) == [next_label]
    again, status, export = next_commands(succeed(*next_label, "--size", "2", *under, typed="a\n"))
    assert "[2/2]" in succeed(*again, typed="t\nq\n")
    assert "my store.db: 1 document" in succeed(*status)
    assert "Events written to labels.jsonl: 2." in succeed(*export)

    with Store("my store.db") as store:
        assert {event.codebook_hash for event in store.events.all()} == {load_codebook("my book.toml").hash}
        store.events.add([decision(event.sentence_id, "ben") for event in store.events.all()])
    adjudicated = succeed("adjudicate", "--annotator", "eva", "--store", "my store.db", *under, typed="a\nq\n")
    (further,) = next_commands(adjudicated)
    (agreement,) = next_commands(succeed(*further, typed="n\nq\n"))
    assert "small 1" in succeed(*agreement)


def test_a_missing_store_is_named_with_the_command_that_fills_it(town: Store) -> None:
    for message in (
        refuse("label", "--annotator", "ana", "--store", "my store.db"),
        refuse("label", "--annotator", "ana", "--store", "sqlite:///my store.db"),
    ):
        assert next_commands(message) == [["ingest", "ARTICLES", "--store", "my store.db"]]
    Store("my store.db").close()
    options = ("--annotator", "ana", "--store", "my store.db", "--codebook", "book.toml")
    assert next_commands(succeed("label", *options, typed="")) == [["ingest", "PATH", "--store", "my store.db"]]
    assert next_commands(refuse("label", *options, "--suggest")) == [["score", "ARTEFACT", "--store", "my store.db"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "uncertain"], "unknown strategy 'uncertain' (did you mean"),
        (["--strategy", "search"], "'search' needs search words"),
        (
            ["--strategy", "uncertainty"],
            "there are no scores by any model (models with scores: none). Write scores with",
        ),
        (["--suggest"], "there are no scores by any model"),
        (["--by", "surprise"], "'surprise' is not one of 'entropy', 'margin'"),
        (["--overlap", "1.5"], "--overlap"),
        (
            ["--strategy", "relabel", "--overlap", "0.1"],
            "'relabel' cannot be combined with --overlap. Remove --overlap",
        ),
        (["--retest", "--overlap", "0.1"], "strategy 'retest' cannot be combined with --overlap"),
        (["--blind", "-1"], "--blind"),
        (["--blind", "0.5"], "--blind withholds suggestions, but --suggest is missing. Add --suggest, or remove"),
        (
            ["--retest", "--strategy", "audit"],
            "--retest means --strategy retest and cannot be combined with --strategy audit.",
        ),
        (["--retest", "--strategy", "random"], "Remove one of them."),
        (["--retest-after", "-1"], "--retest-after"),
        (["--retest", "--retest-after", "99999999999"], "--retest-after"),
    ],
)
def test_label_refuses_a_draw_that_cannot_be_made(town: Store, arguments: list[str], message: str) -> None:
    assert message in refuse("label", "--annotator", "ana", "--codebook", "book.toml", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suggest", "--model", "zz"], "no scores by model 'zz' (models with scores: m)"),
        (["--strategy", "diverse"], "'diverse' needs embeddings by model m"),
        (["--strategy", "audit"], "sentences without a score by model m: 1"),
    ],
)
def test_label_refuses_a_model_that_does_not_serve(town: Store, arguments: list[str], message: str) -> None:
    score_all(town, [0.5])
    added(town, 1, "later")

    assert message in refuse("label", "--annotator", "ana", "--codebook", "book.toml", *arguments)


def test_label_refuses_the_scores_of_a_model_of_other_labels(town: Store) -> None:
    town.scores.add_model(model("m", labels=("aid", "threat")))

    message = refuse("label", "--annotator", "ana", "--codebook", "book.toml", "--suggest")

    assert "model m has the labels aid, threat, but codebook 'small' has aid, truce" in message
    assert "or choose another model with --model" in message


# -- adjudicate


def adjudicate(*options: str, typed: str = "") -> str:
    return succeed("adjudicate", "--annotator", "eva", "--codebook", "book.toml", *options, typed=typed)


@pytest.fixture
def divided(town: Store) -> list[str]:
    """Ids of two sentences on which ana and ben differ."""
    ids = [sentence.id for sentence in town.documents.sentences()][:3]
    for sentence in ids:
        town.events.add([decision(sentence, "ana", labels=("aid",), note="clear")])
    town.events.add(
        [decision(ids[0], "ben"), decision(ids[1], "ben", labels=("truce",)), decision(ids[2], "zoe", labels=("aid",))]
    )
    return ids[:2]


def test_adjudicate_shows_what_was_said_and_keeps_what_is_decided(town: Store, divided: list[str]) -> None:
    printed = adjudicate(typed="t\nn\nq\n")

    assert shown(printed) == ["Text 0000", "Text 0001"]
    assert "    [1] ana: aid (clear)\n    [2] ben: none\n" in printed
    assert "2 of 2 disputes decided. All decisions are saved in communique.db." in printed
    verdicts = [(event.sentence_id, event.event, event.labels) for event in town.events.all()[6:]]
    assert verdicts == [(divided[0], "adjudicate", ("truce",)), (divided[1], "adjudicate", ())]
    assert "Nothing to adjudicate in communique.db" in adjudicate()


def test_adjudicate_leaves_a_dispute_for_another_time(town: Store, divided: list[str]) -> None:
    printed = adjudicate(typed="s\nn\ns\nq\n")

    assert shown(printed) == ["Text 0000", "Text 0001", "Text 0000"]
    assert "1 of 2 disputes decided" in printed
    assert shown(adjudicate(typed="q\n")) == ["Text 0000"]


def test_adjudicate_counts_disputes_decided_by_others(
    town: Store, divided: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer() -> str:
        town.events.add([decision(divided[1], "mia", "adjudicate", labels=("aid",))])
        return "n"

    answers = iter([answer, lambda: "q"])
    monkeypatch.setattr("builtins.input", lambda: next(answers)())

    assert "2 of 2 disputes decided, 1 of them by others. All decisions are saved in communique.db." in adjudicate()


def test_adjudicate_without_a_dispute_says_so(town: Store) -> None:
    assert "Nothing to adjudicate in communique.db: annotators do not disagree" in adjudicate()
    assert town.events.all() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No annotator is named. Add --annotator YOUR_NAME"),
        (["--annotator", " "], "the name of the annotator is empty"),
        (["--annotator", "eva", "--store", "absent.db"], "absent.db: this label store does not exist"),
        (["--annotator", "eva", "--codebook", "nowhere.toml"], "nowhere.toml: cannot read this codebook"),
    ],
)
def test_adjudicate_refuses_what_it_cannot_use(filled: Path, arguments: list[str], message: str) -> None:
    assert message in refuse("adjudicate", *arguments)


# -- status


def table(printed: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading."""
    rows = [re.split(r"  +", line.strip()) for line in printed.splitlines()]
    first = next(number for number, row in enumerate(rows) if row[0] == heading) + 1
    return list(takewhile(lambda row: len(row) > 1 and row[0] not in ("label", "drawn by"), rows[first:]))


def test_status_without_annotations_names_the_next_command(filled: Path) -> None:
    printed = succeed("status")

    assert "communique.db: 1 document, 2 sentences to label." in printed
    assert "Reviewed by at least one annotator: 0 (0.0%); by two or more: 0." in printed
    assert "No annotations yet. Next: communique label --annotator YOUR_NAME" in printed


def test_status_of_an_empty_store(isolated: Path) -> None:
    Store("communique.db").close()

    assert "0 documents, 0 sentences to label." in succeed("status")


def test_status_counts_by_annotator_label_and_strategy(town: Store) -> None:
    label("--size", "4", typed="at\nn\ns\na\nu\n")
    succeed("label", "--annotator", "ben", "--size", "1", "--codebook", "book.toml", typed="t\nq\n")

    printed = succeed("status")

    assert "Reviewed by at least one annotator: 3 (25.0%); by two or more: 0." in printed
    rows = {row[0]: row[1:8] for row in table(printed, "annotator")}
    assert rows == {"ana": ["2", "1", "1", "0", "0", "3", "1"], "ben": ["1", "0", "0", "0", "0", "1", "0"]}
    assert table(printed, "label") == [["truce", "2", "66.7%"], ["aid", "1", "33.3%"], ["none", "1", "33.3%"]]
    assert table(printed, "drawn by") == [["random", "5", "3", "1", "0"]]


def test_status_shows_moments_where_the_reader_sits(town: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, *_) = town.documents.sentences()
    event = replace(decision(first.id, note="look", seconds=2.25), created_at="2026-01-01T23:30:00+00:00")
    town.events.add([event, replace(event, event_id="odd", annotator="ben", created_at="lately")])

    rows = table(succeed("status"), "annotator")

    here = datetime.fromisoformat(event.created_at).astimezone()
    assert rows[0] == ["ana", "1", "1", "0", "0", "1", "0", "0", "2.2", f"{here:%Y-%m-%d %H:%M}"]
    assert rows[1][-1] == "lately"


def test_status_says_what_waits(town: Store) -> None:
    score_all(town, [0.5])
    added(town, 2, "later")
    town.relabelling.add([(town.documents.sentences()[0].id, "aid was split", ())], source="test")

    printed = succeed("status")

    assert (
        "To be labelled again: 1 sentence. Next: communique label --annotator YOUR_NAME --strategy relabel" in printed
    )
    assert "Scores by tfidf m; 2 sentences without a score." in printed


def test_status_writes_nothing(filled: Path, book: str) -> None:
    label(typed="a\nq\n")
    before = contents()

    succeed("status")

    assert contents() == before


@pytest.mark.parametrize("store", ["absent.db", "sqlite:///absent.db"])
def test_status_of_a_store_that_is_not_there_is_refused(isolated: Path, store: str) -> None:
    assert f"{store}: this label store does not exist" in refuse("status", "--store", store)


def test_status_of_a_url_that_is_none_says_what_to_give(isolated: Path) -> None:
    assert "://: this is not a valid database URL. Use the path of a SQLite file" in refuse("status", "--store", "://")


# -- annotations


def test_annotations_go_from_store_to_store_through_a_file(filled: Path, book: str) -> None:
    label(typed="at\ns\nu\nn\nq\n")

    assert "Events written to out.jsonl: 4." in succeed("annotations", "export", "out.jsonl")
    imported = ("annotations", "import", "out.jsonl", "--store", "other.db", "--codebook", book)
    assert "Events added to other.db: 4 (already there: 0)." in succeed(*imported)
    assert "Events added to other.db: 0 (already there: 4)." in succeed(*imported)

    assert decisions(Path("other.db")) == decisions(filled)
    succeed("annotations", "export", "again.jsonl", "--store", "other.db")
    assert Path("again.jsonl").read_text() == Path("out.jsonl").read_text()


@pytest.mark.parametrize("command", [["import", "out.jsonl"], ["export", "new.jsonl"]])
def test_annotations_in_an_unknown_format_are_refused(filled: Path, book: str, command: list[str]) -> None:
    label(typed="a\nq\n")
    succeed("annotations", "export", "out.jsonl")

    assert "'xml' is not known; use jsonl" in refuse("annotations", *command, "--format", "xml")


def test_a_file_with_a_bad_line_is_refused_whole(filled: Path, book: str, isolated: Path) -> None:
    label(typed="a\nn\nq\n")
    succeed("annotations", "export", "out.jsonl")
    draw, first, second = (isolated / "out.jsonl").read_text(encoding="utf-8").splitlines()
    bad = json.dumps(json.loads(second) | {"labels": ["aide"]})
    (isolated / "bad.jsonl").write_text(f"{draw}\n{first}\n{bad}\n", encoding="utf-8")
    Store("other.db").close()

    message = refuse("annotations", "import", "bad.jsonl", "--store", "other.db", "--codebook", book)

    assert "bad.jsonl:3: label 'aide' is not in codebook 'small' 1 (did you mean 'aid'?)" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "missing.jsonl: this file does not exist"),
        (["rows.xlsx"], "files in format jsonl have the extension .jsonl, not '.xlsx'"),
        (["rows.jsonl", "--codebook", "nowhere.toml"], "nowhere.toml: cannot read this codebook"),
    ],
)
def test_an_import_that_cannot_begin_leaves_no_store_behind(isolated: Path, arguments: list[str], message: str) -> None:
    (isolated / "rows.xlsx").touch()
    (isolated / "rows.jsonl").write_text("{}\n", encoding="utf-8")

    assert message in refuse("annotations", "import", *arguments)


def test_an_export_from_a_store_that_is_not_there_is_refused() -> None:
    message = refuse("annotations", "export", "out.jsonl", "--store", "absent.db")

    assert "absent.db: this label store does not exist" in message


def test_an_export_to_a_missing_folder_is_refused(filled: Path) -> None:
    assert "the folder missing does not exist" in refuse("annotations", "export", "missing/out.jsonl")


@pytest.mark.parametrize("command", ["codebook", "annotations"])
def test_a_group_without_a_command_lists_its_commands(command: str) -> None:
    result = run(command)

    assert result.exit_code == 2
    assert "Example" not in result.output
    expected = {"codebook": ("show", "check", "infer"), "annotations": ("import", "export")}
    assert all(name in result.output for name in expected[command])
