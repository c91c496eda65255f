"""`communique agreement` as it is mounted on the root command."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import parse_codebook
from labels.records import Annotation, Sentence
from labels.store import CodebookMigration, Store
from tests.labels.agreement.builders import review
from trainer.cli import app

BOOK = """name = "small"
[[labels]]
name = "aid"
[[labels]]
name = "truce"
"""
SENTENCES = [Sentence(f"d{number:02}", 0, 20, f"Sentence [b]{number}[/b].") for number in range(24)]


@pytest.fixture
def book(isolated: Path) -> Path:
    """The codebook that the working folder's settings name."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    (isolated / "communique.toml").write_text('codebook = "book.toml"\n', encoding="utf-8")
    return isolated / "book.toml"


def says(annotator: str, sentence: int, *labels: str, **fields: Any) -> Annotation:
    return review(annotator, SENTENCES[sentence], labels, **({"strategy": "random"} | fields))


def fill(events: Iterable[Annotation]) -> None:
    with Store("communique.db") as store:
        store.add_annotated(SENTENCES, [])
        store.events.add(list(events))


def two_readers(n: int = 24) -> list[Annotation]:
    """They differ on the first sentence."""
    return [
        event
        for number in range(n)
        for event in (
            says("ana", number, *["aid"] * (number % 2)),
            says("ben", number, *["aid"] * (number % 2 or number == 0)),
        )
    ]


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["agreement", *arguments])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return str(result.stdout)


def cells(text: str, row: str) -> list[str]:
    """The first line that starts with `row`, cut into words after it."""
    line = next(line for line in text.splitlines() if line.startswith(row))
    return line.removeprefix(row).split()


def test_the_table_has_prevalence_kappa_and_alpha_with_intervals(book: Path) -> None:
    fill(two_readers())

    text = printed()

    codebook = parse_codebook(BOOK, "book")
    assert text.startswith(f"small 1 ({codebook.hash}). Intervals: 95%, 1000 bootstrap draws of documents, seed 13.")
    assert "Randomly drawn sentences, no suggestion shown." in text
    assert "24 sentences of 24 documents, 48 decisions (ana, ben)." in text
    assert cells(text, "label") == ["n", "prevalence", "kappa", "interval", "alpha", "interval", "AC1", "interval"]
    n, prevalence, kappa, low, to, high, alpha, *_ = cells(text, "aid ")
    assert (n, prevalence, kappa, alpha) == ("24", "0.521", "0.917", "0.918")
    assert (float(low) < 0.917, to, float(high)) == (True, "to", 1.0)
    assert cells(text, "truce ") == ["24", "0.000", "undefined", "–", "undefined", "–", "1.000", "–"]
    assert "Undefined (no variation: all annotators gave the same value throughout): alpha of truce." in text
    assert "Exact agreement 0.958" in text
    assert "Other items" not in text


def test_the_confused_sentences_are_shown_with_who_said_what(book: Path) -> None:
    fill(two_readers())

    text = printed()

    assert "  1 x aid / none\n" in text
    assert "“Sentence [b]0[/b].”" in text
    assert f"{SENTENCES[0].id}  ana: none; ben: aid" in text


def test_other_items_are_shown_apart_and_called_biased(book: Path) -> None:
    fill([says("ana", 0, "aid", strategy=""), says("ben", 0, strategy="")])

    text = printed()

    assert (
        "Randomly drawn sentences, no suggestion shown: no sentence has decisions of this kind by two annotators."
        in text
    )
    assert "Other sentences (not drawn at random, or with a suggestion): biased." in text
    assert "No interval (fewer than 20 documents: 1)" in text


def test_pairs_of_three_annotators_are_listed_worst_first(book: Path) -> None:
    fill([*two_readers(), *(says("cleo", number, *["aid"] * (number % 3 == 0)) for number in range(24))])

    lines = printed().splitlines()

    pairs = [line.split("  ")[0] for line in lines if " / " in line and " x " not in line]
    assert pairs == ["ana / cleo", "ben / cleo", "ana / ben"]


def test_of_many_pairs_only_the_worst_are_listed(book: Path) -> None:
    fill(says(annotator, number, *["aid"] * (number % 2)) for number in range(4) for annotator in "abcdef")

    text = printed()

    assert sum(" / " in line for line in text.splitlines()) == 12
    assert "3 pairs with a higher kappa not shown; --json writes all pairs." in text


def test_draws_that_leave_a_figure_undefined_are_counted(book: Path) -> None:
    book.write_text(BOOK.replace("[[labels]]", "exclusive = true\n[[labels]]", 1), encoding="utf-8")
    fill(says(annotator, number, *["truce"] * (not number)) for number in range(24) for annotator in "ab")

    assert "Draws dropped because the figure was undefined in them: kappa of all classes (" in printed()


def test_a_label_in_few_documents_has_no_interval(book: Path) -> None:
    fill(says(annotator, number, *["truce"] * (not number)) for number in range(24) for annotator in "ab")

    assert cells(printed(), "truce ")[2:] == ["1.000", "–"] * 3
    assert "given in fewer than 10 documents: 1" in printed()


def test_skips_are_printed_per_annotator(book: Path) -> None:
    fill([says("ana", 0), says("ana", 1), says("ana", 2), says("ana", 3, state="skipped")])

    text = printed()

    assert "ana: 3 reviewed, 1 skipped (25.0%)" in text
    assert "Agreement needs sentences that two annotators reviewed" in text


def test_an_exclusive_codebook_has_a_row_for_all_classes(isolated: Path, book: Path) -> None:
    book.write_text(BOOK.replace("[[labels]]", "exclusive = true\n[[labels]]", 1), encoding="utf-8")
    fill(two_readers())

    text = printed()

    assert cells(text, "all classes")[0] == "24"
    assert "MASI" not in text


def test_suggestions_are_compared_shown_and_withheld(book: Path) -> None:
    fill(
        [
            *(says("ana", number, "aid", suggestion=("aid",)) for number in range(4)),
            *(says("ben", number, *["aid"] * (number % 2), suggestion=("aid",), blind=True) for number in range(4)),
        ]
    )

    text = printed("--suggestions")

    assert "Suggestions: 4 decisions with a shown suggestion, 4 with a withheld suggestion, in 4 documents." in text
    assert cells(text, "equal to the suggestion") == ["4", "4", "1.000", "0.500", "0.500", "–"]
    assert cells(text, "aid given, suggested") == ["4", "4", "1.000", "0.500", "0.500", "–"]
    assert cells(text, "aid given, not suggested") == ["0", "0", "–", "–", "undefined", "–"]


def test_always_blind_decisions_are_left_out_and_counted(book: Path) -> None:
    audited = [says("ben", number, "truce", suggestion=("aid",), blind=True, strategy="audit") for number in range(4)]
    fill([says("ana", 0, "aid", suggestion=("aid",)), *audited])

    text = printed("--suggestions")

    assert "Left out: 4 decisions from audit, overlap or retest draws, which withhold every suggestion" in text
    assert "Suggestions: 1 decision with a shown suggestion, 0 with a withheld suggestion, in 1 document." in text


def test_suggestions_under_an_older_codebook_are_read(book: Path) -> None:
    old = parse_codebook(BOOK.replace('"aid"', '"help"'), "old")
    new = parse_codebook(BOOK, "book")
    then = {"suggestion": ("help",), "codebook_hash": old.hash}
    fill([says("ana", 0, "help", **then), says("ben", 0, blind=True, **then)])
    with Store("communique.db") as store:
        for version in (old, new):
            store.codebooks.add(version)
        renamed = {"kind": "rename", "old": ["help"], "new": ["aid"]}
        store.codebooks.add_migration(CodebookMigration(old.hash, new.hash, (renamed,), "2026-01-02"))

    text = printed("--suggestions")

    assert "Suggestions: 1 decision with a shown suggestion, 1 with a withheld suggestion, in 1 document." in text
    assert cells(text, "aid given, suggested")[:4] == ["1", "1", "1.000", "0.000"]


def test_without_suggestions_or_retests_the_options_say_so(book: Path) -> None:
    fill(two_readers(2))

    text = printed("--suggestions", "--retest")

    assert "Suggestions: there are no decisions with a shown or randomly withheld suggestion." in text
    assert "Retests: no annotator has decided twice on the same sentence yet." in text
    assert "Suggestions" not in printed()


def test_retests_are_printed_per_annotator(book: Path) -> None:
    fill([*two_readers(4), *(says("ana", number, strategy="retest") for number in range(4))])

    text = printed("--retest")

    retest = text[text.index("Retest of ana.") :]
    assert "4 sentences of 4 documents, 8 decisions (before, retest)." in retest
    assert "Exact agreement 0.500, not corrected for chance." in retest


def test_decisions_that_wait_for_relabelling_are_counted(book: Path) -> None:
    old = parse_codebook(BOOK.replace('"truce"', '"call"').replace('"aid"', '"help"'), "old")
    new = parse_codebook(BOOK, "book")
    steps = (
        {"kind": "split", "old": ["help"], "new": ["aid", "truce"]},
        {"kind": "retire", "old": ["call"], "new": []},
    )
    fill([says("ana", 0, "help", codebook_hash=old.hash), says("ben", 0, "help", codebook_hash=old.hash)])
    with Store("communique.db") as store:
        for version in (old, new):
            store.codebooks.add(version)
        store.codebooks.add_migration(CodebookMigration(old.hash, new.hash, steps, "2026-01-02"))

    text = printed()

    assert "Left out: 2 decisions that a codebook change left undecided." in text
    assert "Next: communique label --annotator YOUR_NAME --strategy relabel\n" in text


def test_every_figure_goes_to_the_json_file(book: Path) -> None:
    fill(two_readers())

    text = printed("--json", "agreement.json", "--retest")

    assert "Written to agreement.json." in text
    content = json.loads(Path("agreement.json").read_text(encoding="utf-8"))
    assert (content["codebook"], content["retest"]) == ("small", [])
    assert "suggestions" not in content
    figures = content["agreement"]["unbiased"]["figures"]
    assert figures["pairs"][0]["annotators"] == ["ana", "ben"]
    assert figures["per_label"]["truce"]["alpha"]["value"] is None
    assert content["agreement"]["bootstrap"] == {"draws": 1000, "seed": 13, "confidence": 0.95}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "absent.db"], "absent.db: this label store does not exist."),
        (["--codebook", "absent.toml"], "absent.toml: cannot read this codebook"),
        (["--json", "absent/agreement.json"], "the folder absent does not exist"),
    ],
)
def test_bad_input_is_refused_with_its_place(book: Path, arguments: list[str], message: str) -> None:
    fill(two_readers(2))

    result = CliRunner().invoke(app, ["agreement", *arguments])

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert not Path("absent.db").exists()
