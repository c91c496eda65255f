from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from labels.codebook.schema import Codebook
from labels.errors import DataError, ExperimentError
from labels.records import Example
from labels.store import Store
from labels.text.rows import read_rows
from tests.conftest import make_examples, progress_reports
from tests.trainer.conftest import examples_for, fill_store, plain_codebook
from trainer.active.label_errors import (
    LabelError,
    LabelErrorReport,
    find_label_errors,
    out_of_sample,
    queue_relabelling,
    store_label_errors,
    write_label_errors,
)

MULTI = plain_codebook("aid", "truce")
ONE_OF_OR_NONE = plain_codebook("aid", "truce", "threat", exclusive=True)
ONE_OF = plain_codebook("aid", "truce", "threat", exclusive=True, allow_none=False)
CODEBOOKS_BY_NAME = {"multi-label": MULTI, "exclusive or none": ONE_OF_OR_NONE, "exclusive": ONE_OF}
CODEBOOKS = pytest.mark.parametrize("codebook", CODEBOOKS_BY_NAME.values(), ids=CODEBOOKS_BY_NAME)
NAMES = pytest.mark.parametrize("name", CODEBOOKS_BY_NAME)


def flipped(codebook: Codebook, n: int = 240, share: float = 0.05) -> tuple[list[Example], set[str]]:
    """Examples of which a share has other labels than it should, and their ids."""
    generator = random.Random(11)
    examples = examples_for(codebook, n)
    chosen = {example.id for example in generator.sample(examples, round(share * len(examples)))}
    return [_other(example, codebook, generator) if example.id in chosen else example for example in examples], chosen


def _other(example: Example, codebook: Codebook, generator: random.Random) -> Example:
    name = generator.choice(
        [label for label in codebook.label_names if label not in example.labels or not codebook.exclusive]
    )
    if codebook.exclusive:
        return replace(example, labels=(name,))
    turned = set(example.labels) ^ {name}
    return replace(example, labels=tuple(label for label in codebook.label_names if label in turned))


@cache
def judged(name: str) -> tuple[LabelErrorReport, set[str]]:
    """The doubts in `flipped` examples, and which are wrong; found once for all tests that only look."""
    examples, wrong = flipped(CODEBOOKS_BY_NAME[name])
    return find_label_errors(examples, CODEBOOKS_BY_NAME[name], limit=10_000), wrong


def precision(doubts: Sequence[LabelError], wrong: set[str]) -> float:
    """Share of the first doubts, as many as there are wrong ones, that are wrong."""
    return sum(doubt.sentence_id in wrong for doubt in doubts[: len(wrong)]) / len(wrong)


# -- finding


@NAMES
def test_flipped_labels_are_found_far_more_often_than_by_chance(name: str) -> None:
    report, wrong = judged(name)
    assert report.sentences == len(flipped(CODEBOOKS_BY_NAME[name])[0])
    assert precision(report.errors, wrong) >= 0.6  # chance is 0.05


def test_embeddings_find_them_too(short_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The whole encoder would take seconds.
    monkeypatch.setattr("trainer.encoders.encoder.bundled_encoder", lambda: short_encoder)
    examples, wrong = flipped(MULTI, 160)
    assert precision(find_label_errors(examples, MULTI, kind="embedding").errors, wrong) >= 0.6  # chance is 0.05


def test_a_doubt_says_what_was_given_and_what_is_likelier() -> None:
    examples = make_examples(100)
    at = next(i for i, example in enumerate(examples) if example.labels == ("aid",))
    examples[at] = replace(examples[at], labels=("truce",))
    (found,) = (doubt for doubt in find_label_errors(examples, MULTI).errors if doubt.sentence_id == examples[at].id)
    assert (found.labels, found.suggested) == (("truce",), ("aid",))
    assert found.text == examples[at].text
    assert found.label in ("aid", "truce")
    assert found.probability > 0.5 if found.label == "aid" else found.probability < 0.5
    assert "labelled truce, to which" in found.reason
    assert "not labelled aid, to which" in found.reason


@pytest.mark.parametrize(
    ("given", "true", "label", "suggested"),
    [(("truce",), "aid", "truce", ("aid",)), ((), "aid", "aid", ("aid",)), (("aid",), "", "aid", ())],
    ids=["another label", "none", "a label for none"],
)
def test_an_exclusive_doubt_names_the_given_label_or_the_missing_one(
    given: tuple[str, ...], true: str, label: str, suggested: tuple[str, ...]
) -> None:
    examples = make_examples(100, exclusive=True)
    at = next(i for i, example in enumerate(examples) if example.labels == ((true,) if true else ()))
    examples[at] = replace(examples[at], labels=given)
    (found,) = (
        doubt for doubt in find_label_errors(examples, ONE_OF_OR_NONE).errors if doubt.sentence_id == examples[at].id
    )
    assert (found.labels, found.label, found.suggested) == (given, label, suggested)
    assert found.reason.startswith(f"labelled {given[0] if given else 'none'}; a model that had not seen the document")


@NAMES
def test_doubts_are_ranked_from_the_worst(name: str) -> None:
    report, _ = judged(name)
    scores = [doubt.score for doubt in report.errors]
    assert scores == sorted(scores)
    assert 0 <= min(scores) <= max(scores) <= 1
    assert report.found == len(scores)


def test_a_limit_cuts_the_list_and_the_same_seed_finds_the_same() -> None:
    everything, _ = judged("multi-label")
    some = find_label_errors(flipped(MULTI)[0], MULTI, limit=3)
    assert some.errors == everything.errors[:3]
    assert some.found == everything.found > 3


def test_progress_counts_folds() -> None:
    with progress_reports() as reports:
        find_label_errors(make_examples(60), MULTI, folds=3)
    assert reports == [("Cross-validating", fold, 3) for fold in (1, 2, 3)]


def test_fewer_documents_than_folds_are_refused() -> None:
    with pytest.raises(ExperimentError, match=r"too few to split into 5 parts\..*divide into fewer parts"):
        find_label_errors(make_examples(9), MULTI)


# -- out of sample


def with_secret(codebook: Codebook) -> tuple[list[Example], Codebook, int]:
    """Examples of which only the first document's bear a further label, the last; and how many those are."""
    wider = plain_codebook(
        *codebook.label_names, "secret", exclusive=codebook.exclusive, allow_none=codebook.allow_none
    )
    examples = examples_for(codebook, 90)
    first = examples[0].document_id
    marked = [
        replace(example, text=f"Xylophone {example.text}", labels=("secret",))
        if example.document_id == first
        else example
        for example in examples
    ]
    return marked, wider, sum(example.document_id == first for example in examples)


@CODEBOOKS
def test_no_sentence_is_judged_by_a_model_that_knew_its_document(codebook: Codebook) -> None:
    examples, wider, n_secret = with_secret(codebook)
    found = out_of_sample(examples, wider, kind="tfidf", folds=3, seed=1)
    column = len(codebook.labels)
    assert np.isnan(found[:n_secret, column]).all()  # no other document could teach it
    others = np.delete(np.arange(found.shape[1]), column)
    assert not np.isnan(found[:, others]).any()


@CODEBOOKS
def test_what_cannot_be_judged_is_counted_and_not_doubted(codebook: Codebook) -> None:
    examples, wider, n_secret = with_secret(codebook)
    report = find_label_errors(examples, wider, folds=3)
    # Multi-label: nobody in that document's fold can be judged for the label. Exclusive: those that bear it.
    assert report.unchecked == n_secret if codebook.exclusive else report.unchecked > n_secret
    assert not any("secret" in doubt.labels for doubt in report.errors if codebook.exclusive)
    assert not any(doubt.label == "secret" for doubt in report.errors)


def test_gold_of_one_class_alone_gives_no_doubt() -> None:
    examples = [replace(example, labels=("aid",)) for example in make_examples(30)]
    report = find_label_errors(examples, ONE_OF)
    assert (report.found, report.unchecked) == (0, 30)


# -- the store


def test_doubts_of_a_store_are_those_of_its_gold(isolated: Path) -> None:
    examples, wrong = flipped(MULTI, 150)
    ids = fill_store(isolated / "s.db", MULTI, examples)
    with Store(isolated / "s.db") as store:
        report = store_label_errors(store, MULTI, limit=5)
    flipped_ids = {ids[i] for i, example in enumerate(examples) if example.id in wrong}
    assert report.sentences == 150
    assert len(flipped_ids & {doubt.sentence_id for doubt in report.errors}) >= 4


def test_a_store_without_gold_is_refused_with_the_repair(isolated: Path) -> None:
    fill_store(isolated / "s.db", MULTI, make_examples(9), annotate=False)
    label = rf"communique label --annotator YOUR_NAME --store {isolated / 's.db'} --codebook my\.toml`"
    with Store(isolated / "s.db") as store, pytest.raises(ExperimentError, match=label):
        store_label_errors(store, MULTI, reference="my.toml")


def test_queued_doubts_wait_to_be_labelled_again_once(isolated: Path) -> None:
    examples, _ = flipped(MULTI, 90)
    fill_store(isolated / "s.db", MULTI, examples)
    with Store(isolated / "s.db") as store:
        doubts = store_label_errors(store, MULTI, limit=3).errors
        assert queue_relabelling(store, doubts) == 3
        assert queue_relabelling(store, doubts) == 0
        waiting = [(entry.sentence_id, entry.reason, entry.previous) for entry in store.relabelling.waiting()]
    assert waiting == [(doubt.sentence_id, doubt.reason, doubt.labels) for doubt in doubts]


# -- what is written


DOUBT = LabelError("s1", "d1", 'He said "no".', ("aid", "truce"), "aid", 0.02, ("truce",), 0.1, "labelled aid")


def test_doubts_are_written_as_jsonl(isolated: Path) -> None:
    write_label_errors(isolated / "d.jsonl", [DOUBT])
    (line,) = (isolated / "d.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "sentence_id": "s1",
        "document_id": "d1",
        "text": 'He said "no".',
        "labels": ["aid", "truce"],
        "label": "aid",
        "probability": 0.02,
        "suggested": ["truce"],
        "score": 0.1,
        "reason": "labelled aid",
    }


def test_doubts_are_written_as_a_table(isolated: Path) -> None:
    write_label_errors(isolated / "d.csv", [DOUBT, replace(DOUBT, labels=())])
    with (isolated / "d.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == ["aid|truce", ""]
    assert rows[0]["text"] == DOUBT.text
    assert rows[0]["suggested"] == "truce"


def test_doubts_for_a_spreadsheet_read_back_as_they_were(isolated: Path) -> None:
    doubt = replace(DOUBT, text="=1+1")
    write_label_errors(isolated / "d.csv", [doubt], for_spreadsheet=True)
    assert "'=1+1" in (isolated / "d.csv").read_text(encoding="utf-8-sig")
    [(_, row)] = read_rows(isolated / "d.csv")
    assert (row["text"], row["probability"]) == ("=1+1", "0.02")
    with pytest.raises(DataError, match=r"d\.jsonl: --for-spreadsheet is only for \.csv files"):
        write_label_errors(isolated / "d.jsonl", [doubt], for_spreadsheet=True)


def test_another_ending_is_refused(isolated: Path) -> None:
    with pytest.raises(DataError, match=r"d\.txt: the list can be written to \.jsonl or \.csv"):
        write_label_errors(isolated / "d.txt", [DOUBT])
