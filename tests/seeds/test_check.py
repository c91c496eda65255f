from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import corpus as module
from check import Check, CorpusReport, Targets, check_corpus, main
from corpus import (
    balance,
    moving_type_token_ratio,
    read_labelled_corpus,
    reading_f1,
    repeated_ngram_share,
    surface_area,
)
from labels.codebook.schema import load_codebook
from labels.errors import CodebookError, DataError
from labels.exchange.lines import Line, format_line
from labels.records import Annotation, Sentence, sentence_id
from labels.text.documents import read_documents
from tests.conftest import make_examples
from tests.trainer.conftest import plain_codebook
from trainer.environment import STARTER_CODEBOOK

Text = tuple[str, tuple[str, ...]]
"""A sentence and its labels."""
BOOK = plain_codebook("aid", "truce")
SMALL = Targets(
    documents=30, sentences=240, each_label=20, several_labels=3, hard_negatives=20, without_label=(0.6, 0.9)
)
SEEDS = Path(__file__).parents[2] / "seeds"
RARE = replace(SMALL, each_label=0, several_labels=0, hard_negatives=0, without_label=(0.92, 0.95), surface_from=100)
"""Targets for a natural part of thirty documents."""
FRONT_MATTER = 'source: "made up {number}"\nform: {form}\nregion: {region}\nsynthetic: true\n{part}'


# -- small corpora: words that mean nothing and never recur, so that each corpus breaks what its test breaks


def made_up_documents(labels: Sequence[str], n: int = 30) -> list[list[Text]]:
    """`n` documents of eight sentences, labelled at random: by a seed with which chance looks like nothing else."""
    generator = random.Random(2)
    return [[(made_up_sentence(generator), random_labels(generator, labels)) for _ in range(8)] for _ in range(n)]


def made_up_sentence(generator: random.Random, n_words: int = 14) -> str:
    words = ("".join(generator.choices("abdefgiklmnoprstu", k=7)) for _ in range(n_words))
    return " ".join(words).capitalize() + "."


def random_labels(generator: random.Random, labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(label for label in labels if generator.random() < 0.15)


def write_corpus(
    documents: Sequence[Sequence[Text]],
    forms: Sequence[str] = ("wire", "feature", "readout"),
    parts: Sequence[str] = ("",),
) -> Path:
    """The folder `made` in the layout of the seeds, read twice by readers who agree; every third none is a hard one."""
    folder = Path("made")
    for name in ("documents", "annotations"):
        (folder / name).mkdir(parents=True)
    lines: dict[str, list[Line]] = {"one": [], "two": []}
    for number, texts in enumerate(documents):
        path = folder / "documents" / f"{number:03d}.txt"
        matter = FRONT_MATTER.format(
            number=number,
            form=forms[number % len(forms)],
            region=("asia", "europe")[number % 2],
            part=parts[number % len(parts)],
        )
        path.write_text(f"---\n{matter}---\n\n" + "\n\n".join(text for text, _ in texts) + "\n", encoding="utf-8")
        (document,) = read_documents([path], reject=pytest.fail)
        for position, (text, labels) in enumerate(texts):
            start = document.text.index(text)
            sentence = Sentence(document.id, start, start + len(text), text, synthetic=True)
            note = "hard negative: thanks" if not labels and position % 3 == 0 else ""
            for reader, own in lines.items():
                own.append(Line(decision(sentence, reader, labels, note if reader == "one" else ""), sentence))
    for reader, own in lines.items():
        write_lines(reader, [format_line(line) for line in own])
    return folder


def decision(sentence: Sentence, annotator: str, labels: tuple[str, ...], note: str) -> Annotation:
    identifier, when = f"{sentence.id}-{annotator}", "2026-01-01T00:00:00.000000+00:00"
    event = Annotation(identifier, sentence.id, annotator, "annotate", "reviewed", labels, "", when, note)
    return replace(event, inclusion_probability=1.0)


def read_lines(reader: str) -> list[dict[str, Any]]:
    content = (Path("made/annotations") / f"{reader}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in content.splitlines()]


def write_lines(reader: str, rows: Sequence[dict[str, Any]]) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows)
    (Path("made/annotations") / f"{reader}.jsonl").write_text(content, encoding="utf-8")


def alter_line(**changes: Any) -> None:
    """Change the second reader's first line."""
    rows = read_lines("two")
    write_lines("two", [rows[0] | changes, *rows[1:]])


def alter_document(old: str, new: str, number: int = 3) -> None:
    path = Path(f"made/documents/{number:03d}.txt")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def missed(report: CorpusReport) -> dict[str, Check]:
    return {check.what: check for check in report.missed}


# -- the shipped corpus


@pytest.fixture(scope="module")
def shipped_report() -> CorpusReport:
    return check_corpus(SEEDS, load_codebook(STARTER_CODEBOOK))


@pytest.mark.slow
def test_the_shipped_corpus_meets_its_targets(shipped_report: CorpusReport) -> None:
    assert missed(shipped_report) == {}


# -- each violation is caught, and nothing else with it


def test_a_corpus_without_faults_meets_every_target() -> None:
    report = check_corpus(write_corpus(made_up_documents(BOOK.label_names)), BOOK, SMALL)
    assert report.missed == ()


def test_a_corpus_that_is_too_small_misses_every_size() -> None:
    report = check_corpus(write_corpus(made_up_documents(BOOK.label_names)), BOOK, Targets(without_label=(0.1, 0.2)))
    sizes = [
        "documents",
        "sentences to label",
        "sentences with aid",
        "sentences with truce",
        "sentences with two or more labels",
    ]
    assert list(missed(report)) == [*sizes, "share of sentences without a label", "hard negatives"]


def nearly_repeated(documents: list[list[Text]]) -> None:
    text = documents[0][2][0].split()
    documents[20][5] = (" ".join([*text[:-1], "otherwise."]), ())


def told_by_position(documents: list[list[Text]]) -> None:
    for own in documents:
        truce = [tuple(label for label in labels if label == "truce") for _, labels in own]
        own[:] = [(text, ("aid", *truce[i]) if i == 0 else truce[i]) for i, (text, _) in enumerate(own)]


def told_by_length(documents: list[list[Text]]) -> None:
    generator = random.Random(5)
    for own in documents:
        own[:] = [
            (made_up_sentence(generator, 22), labels) if "truce" in labels else (text, labels) for text, labels in own
        ]


def told_by_form(documents: list[list[Text]]) -> None:
    """Every third document is of the first form."""
    for number, own in enumerate(documents):
        own[:] = [(text, labels if number % 3 == 0 else ()) for text, labels in own]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (nearly_repeated, {"near-duplicates across documents"}),
        (told_by_position, {"surface AUC, aid"}),
        (told_by_length, {"surface AUC, truce"}),
        (told_by_form, {"surface AUC, aid", "surface AUC, truce"}),
    ],
)
def test_repetition_and_surface_cues_are_caught(spoil: Callable[[list[list[Text]]], None], what: set[str]) -> None:
    documents = made_up_documents(BOOK.label_names)
    spoil(documents)
    targets = replace(SMALL, each_label=1, several_labels=0, without_label=(0, 1))
    assert set(missed(check_corpus(write_corpus(documents), BOOK, targets))) == what


def rare_documents(n: int = 30) -> list[list[Text]]:
    """Documents in which one sentence in sixteen has a label; all of them are the first of their document."""
    documents = made_up_documents(BOOK.label_names, 2 * n)[n:]
    return [
        [(text, ("aid",) if place == 0 and number % 2 else ()) for place, (text, _) in enumerate(texts)]
        for number, texts in enumerate(documents)
    ]


def test_each_part_is_held_to_its_own_targets() -> None:
    pairs = zip(made_up_documents(BOOK.label_names), rare_documents(), strict=True)
    mixed = [document for pair in pairs for document in pair]
    folder = write_corpus(mixed, parts=("", "part: natural\n"))

    report = check_corpus(folder, BOOK, SMALL, RARE)
    shares = [check for check in report.checks if check.what.endswith("share of sentences without a label")]
    assert [check.what.partition(": ")[0] for check in shares] == ["rich", "natural"]
    assert report.missed == ()
    # The position tells the label, which counts once the label is frequent enough for the figure to be reliable.
    assert set(missed(check_corpus(folder, BOOK, SMALL, replace(RARE, surface_from=15)))) == {
        "natural: surface AUC, aid"
    }
    assert set(missed(check_corpus(folder, BOOK, SMALL, replace(RARE, documents=31, without_label=(0.95, 0.97))))) == {
        "natural: documents",
        "natural: share of sentences without a label",
    }


def test_a_part_that_does_not_exist_is_refused_with_its_file() -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names, 3), parts=("part: ritch\n",))
    with pytest.raises(DataError, match=r"000\.txt: `part: ritch` is not a part of a corpus\. Write rich or natural\."):
        check_corpus(folder, BOOK, SMALL)


def test_a_near_duplicate_is_shown_with_both_files() -> None:
    documents = made_up_documents(BOOK.label_names)
    nearly_repeated(documents)
    check = missed(check_corpus(write_corpus(documents), BOOK, SMALL))["near-duplicates across documents"]
    assert check.measured == 1
    (place,) = check.places
    assert place.startswith(f"000.txt and 020.txt: “{documents[0][2][0][:20]}")


def test_text_from_a_template_is_caught() -> None:
    """Three sentences a document, a handful of phrases in all of them."""
    examples = make_examples(90)
    documents = [[(example.text, example.labels) for example in examples[i : i + 3]] for i in range(0, 90, 3)]
    report = check_corpus(write_corpus(documents), BOOK, SMALL)
    measured = missed(report)["4-grams in more than one document, share"].measured
    assert measured is not None
    assert measured > 0.5


def shifted() -> dict[str, Any]:
    """The second reader's first line, a character later, its id that of the new span."""
    row = read_lines("two")[0]
    identifier = sentence_id(row["document_id"], row["start"] + 1, row["end"])
    return {"start": row["start"] + 1, "text": row["text"][1:], "sentence_id": identifier}


@pytest.mark.parametrize(
    ("spoil", "what", "place"),
    [
        (
            lambda: alter_line(**shifted()),
            "annotated spans that match no sentence",
            "made/annotations/two.jsonl:1",
        ),
        (
            lambda: alter_line(text="Another text."),
            "annotated texts that differ from their span",
            "made/annotations/two.jsonl:1",
        ),
        (lambda: alter_line(synthetic=False), "lines not marked synthetic", "made/annotations/two.jsonl:1"),
        (lambda: alter_document("synthetic: true", ""), "documents not marked synthetic", "003.txt"),
        (lambda: alter_document("true", "false"), "documents not marked synthetic", "003.txt"),
        (lambda: alter_line(labels=["aid", "truce"]), "sentences to label without gold", "000.txt: “"),
    ],
    ids=["offset", "text", "line not synthetic", "document unmarked", "document not synthetic", "readings differ"],
)
def test_a_fault_in_a_file_is_caught_with_its_place(spoil: Callable[[], None], what: str, place: str) -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names))
    spoil()
    (check,) = missed(check_corpus(folder, BOOK, SMALL)).values()
    assert (check.what, check.measured) == (what, 1)
    assert check.places[0].startswith(place)


def test_an_unread_sentence_has_no_gold() -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names))
    for reader in ("one", "two"):
        write_lines(reader, read_lines(reader)[3:])
    (check,) = missed(check_corpus(folder, BOOK, SMALL)).values()
    assert (check.what, check.measured) == ("sentences to label without gold", 3)


def test_a_document_that_was_edited_has_lost_its_annotations() -> None:
    documents = made_up_documents(BOOK.label_names)
    folder = write_corpus(documents)
    alter_document(documents[3][0][0], documents[3][0][0][:-1] + ", and more.")
    found = missed(check_corpus(folder, BOOK, SMALL))
    assert {what: check.measured for what, check in found.items()} == {
        "annotated spans that match no sentence": 8,
        "annotated texts that differ from their span": 16,
        "sentences to label without gold": 8,
    }


def test_annotations_of_another_corpus_are_reported_as_such() -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names))
    for reader in ("one", "two"):
        own = [row for row in read_lines(reader) if row["document_id"] == read_lines(reader)[0]["document_id"]]
        write_lines(reader, own)
    (folder / "documents" / "000.txt").unlink()
    found = missed(check_corpus(folder, BOOK, SMALL))
    assert found["annotated spans that match no sentence"].measured == 8
    assert found["sentences to label without gold"].measured == 29 * 8


def test_an_id_that_is_not_its_spans_is_refused_with_its_line() -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names, 6))
    alter_line(start=1)
    with pytest.raises(DataError, match=r"two\.jsonl:1: sentence_id '\w+' does not match"):
        read_labelled_corpus(folder, BOOK)


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("documents", "documents: this file or folder does not exist"),
        ("annotations", r"annotations: this folder contains no \.jsonl files"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused(lacking: str, message: str) -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names, 6))
    (folder / lacking).rename("elsewhere")
    with pytest.raises(DataError, match=message):
        read_labelled_corpus(folder, BOOK)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9", "not UTF-8"),
        (b"---\nform: [wire\n---\n\nText.\n", "front matter is not valid YAML"),
        (b"", "contains no text"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(content: bytes, message: str) -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names, 6))
    (folder / "documents" / "004.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"004\.txt.*{message}"):
        read_labelled_corpus(folder, BOOK)


def test_a_document_without_a_form_is_of_form_unknown() -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names, 2))
    alter_document("form: wire\n", "", number=0)
    assert [own.form for own in read_labelled_corpus(folder, BOOK).documents] == ["unknown", "feature"]


def test_the_rules_around_the_front_matter_may_have_blanks_after_them() -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names, 2))
    alter_document("---\n", "--- \n", number=0)
    assert [own.form for own in read_labelled_corpus(folder, BOOK).documents] == ["wire", "feature"]


def test_labels_of_another_codebook_are_refused() -> None:
    folder = write_corpus(made_up_documents(BOOK.label_names, 6))
    with pytest.raises((CodebookError, DataError), match=r"aid|truce"):
        read_labelled_corpus(folder, plain_codebook("threat"))


# -- figures


@pytest.mark.parametrize(
    ("check", "ok"),
    [
        (Check("reported", 3), None),
        (Check("least", 3, at_least=3), True),
        (Check("least", 2, at_least=3), False),
        (Check("most", 0.6, at_most=0.6), True),
        (Check("most", 0.61, at_most=0.6), False),
        (Check("between", 0.5, 0.6, 0.7), False),
        (Check("between", 0.65, 0.6, 0.7), True),
        (Check("between", 0.8, 0.6, 0.7), False),
        (Check("undefined", None, at_most=0.6), False),
        (Check("undefined", None), None),
    ],
)
def test_a_check_compares_its_figure_with_its_target(check: Check, ok: bool | None) -> None:
    assert check.ok is ok


def test_only_ngrams_of_two_documents_are_repeated() -> None:
    sentences = [["a", "b", "c"], ["a", "b", "c"], ["b", "c", "d"], ["x", "y"]]
    assert repeated_ngram_share(sentences, ["one", "one", "two", "two"], n=2) == pytest.approx(3 / 7)
    assert repeated_ngram_share(sentences, ["one"] * 4, n=2) == 0
    assert repeated_ngram_share(sentences, ["one"] * 4, n=4) is None


@given(st.lists(st.sampled_from("abcdef"), max_size=30), st.integers(1, 8))
def test_the_moving_ratio_is_the_mean_over_all_windows(words: list[str], window: int) -> None:
    windows = [words[i : i + window] for i in range(len(words) - window + 1)]
    expected = pytest.approx(sum(len(set(own)) for own in windows) / len(windows) / window) if windows else None
    assert moving_type_token_ratio(words, window) == expected


def test_noise_has_area_one_half_and_a_copy_of_the_label_one() -> None:
    generator = np.random.default_rng(2)
    gold = generator.random(400) < 0.3
    documents = np.repeat([f"d{i}" for i in range(40)], 10)
    chance = surface_area(generator.random((400, 2)), gold, documents)
    assert chance == pytest.approx(0.5, abs=0.08)
    assert surface_area(gold[:, None].astype(float), gold, documents) == 1


def test_a_label_in_too_few_documents_has_no_area() -> None:
    documents = np.repeat([f"d{i}" for i in range(8)], 5)
    gold = documents == "d0"
    assert surface_area(np.zeros((40, 1)), gold, documents) is None


def test_folds_keep_documents_together() -> None:
    """A label for whole documents, and features that name the document: folds keep documents together."""
    names = np.repeat(np.arange(40), 10)
    gold = np.random.default_rng(3).random(40)[names] < 0.5
    area = surface_area(np.eye(40)[names], gold, names.astype(str))
    assert area is not None
    assert area < 0.65


def test_shares_and_ratios_are_by_form_and_leave_small_forms_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEWEST_SENTENCES", 16)
    documents = made_up_documents((), 5)
    documents[0] = [(text, ("aid",)) for text, _ in documents[0]]
    documents[1] = [(text, ("aid",)) for text, _ in documents[1]]
    found = balance(
        read_labelled_corpus(write_corpus(documents, ("wire", "feature", "wire", "wire", "wire")), BOOK), BOOK, "form"
    )
    assert [(row.value, row.n_documents, row.n_sentences, row.shares) for row in found.rows] == [
        ("wire", 4, 32, {"aid": 0.25, "truce": 0.0}),
        ("feature", 1, 8, {"aid": 1.0, "truce": 0.0}),
    ]
    assert found.whole.shares["aid"] == pytest.approx(0.4)
    assert found.largest == {"aid": ("wire", pytest.approx(0.25 / 0.4))}


def test_the_readings_are_compared_before_adjudication() -> None:
    texts = made_up_documents((), 1)[0]
    labelled = [(text, ("aid",) if number < 4 else ()) for number, (text, _) in enumerate(texts)]
    folder = write_corpus([labelled])
    rows = read_lines("two")
    write_lines("two", [rows[0] | {"labels": []}, *rows[1:]])
    verdict = rows[0] | {"event": "adjudicate", "annotator": "judge", "event_id": "verdict", "labels": ["truce"]}
    write_lines("verdicts", [verdict])
    corpus = read_labelled_corpus(folder, BOOK)
    assert reading_f1(corpus, BOOK) == {"aid": pytest.approx(2 * 3 / (2 * 3 + 1)), "truce": None}
    assert corpus.gold[rows[0]["sentence_id"]] == ("truce",)


# -- the script


def test_the_script_prints_each_check_and_ends_with_1_where_one_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(made_up_documents(load_codebook(STARTER_CODEBOOK).label_names, 4))
    alter_document("synthetic: true", "")
    assert main(["made"]) == 1
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    assert ["what", "measured", "target", "ok"] in lines
    assert ["documents", "4", "at", "least", "160", "no"] in lines
    assert ["lines", "not", "marked", "synthetic", "0", "none", "yes"] in lines
    assert ["surface", "AUC,", "dismissal", "–", "at", "most", "0.6", "no"] in lines
    assert ["hard", "negatives:", "thanks"] in [line[:3] for line in lines]
    assert "documents not marked synthetic: 003.txt" in printed.splitlines()


def test_the_script_ends_with_0_where_every_target_is_met(capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(made_up_documents(load_codebook(STARTER_CODEBOOK).label_names))
    assert main(["made"], replace(SMALL, sentences=200, without_label=(0.4, 0.8), surface_auc=0.7)) == 0
    printed = capsys.readouterr().out
    assert "All targets are met." in printed
    assert " no\n" not in printed


def test_the_script_runs_from_any_folder_and_refuses_one_that_is_not_there() -> None:
    command = [sys.executable, str(SEEDS / "check.py"), "nowhere"]
    environment = os.environ | {"PYTHONPATH": str(SEEDS.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: nowhere/documents: this file or folder does not exist")
