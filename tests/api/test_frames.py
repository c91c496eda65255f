"""Tables for notebooks: the starter corpus, the gold of a store, agreement, sentences of articles, an honest split."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from communique import (
    Codebook,
    InputError,
    Store,
    export_file,
    import_file,
    ingest,
    load_codebook,
    load_gold,
    load_starter_corpus,
    measure_agreement,
    read_sentences,
    train_test_split,
)
from labels.errors import CodebookError, ColumnError, DataError
from trainer.data.corpus import seed_examples
from trainer.environment import shipped


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    """Read the starter corpus once for all these tests: that takes seconds."""
    gold = seed_examples(load_codebook("diplomatic"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.data.corpus.seed_examples", lambda _: gold)
        yield


@pytest.fixture(scope="module")
def corpus(read_once: None) -> pd.DataFrame:
    return load_starter_corpus(documents=20)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store with two documents of the starter corpus and all annotations on them."""
    book = load_codebook("diplomatic")
    path = tmp_path_factory.mktemp("filled") / "communique.db"
    articles = sorted((shipped("seeds") / "documents").glob("*.txt"))[:2]
    with Store(path) as store:
        assert ingest(store, articles).documents_added == 2
        for file in sorted((shipped("seeds") / "annotations").glob("*.jsonl")):
            lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
            ids = [json.loads(line)["sentence_id"] for line in lines]
            known = store.documents.resolve(ids)
            kept = [line for line, identifier in zip(lines, ids, strict=True) if identifier in known]
            if kept:
                own = path.parent / file.name
                own.write_text("".join(kept), encoding="utf-8")
                import_file(store, own, book)
    return path


@pytest.fixture
def filled(template: Path, isolated: Path) -> Iterator[Store]:
    """A copy of that store."""
    shutil.copy(template, isolated / "communique.db")
    with Store("communique.db") as store:
        yield store


def test_the_starter_corpus_is_a_table_of_whole_documents(corpus: pd.DataFrame) -> None:
    assert list(corpus) == ["text", "labels", "document_id", "date", "synthetic"]
    assert corpus.index.name == "id"
    assert corpus.index.is_unique
    assert corpus.document_id.nunique() == 20
    labels = set(corpus.labels.explode().dropna())
    assert labels == set(load_codebook("diplomatic").label_names)


@pytest.mark.parametrize("documents", [0, 10_000])
def test_no_more_documents_than_there_are(documents: int) -> None:
    n = len(list((shipped("seeds") / "documents").glob("*.txt")))
    with pytest.raises(
        InputError, match=rf"documents = {documents}: the starter corpus has {n} documents\. Use 1 to {n}\."
    ):
        load_starter_corpus(documents)


def test_the_gold_of_a_store_is_a_table(filled: Store, caplog: pytest.LogCaptureFixture) -> None:
    gold = load_gold(filled)
    assert list(gold) == ["text", "labels", "document_id", "date", "synthetic"]
    assert gold.document_id.nunique() == 2
    version = load_codebook("diplomatic")
    pd.testing.assert_frame_equal(gold, load_gold(filled, version))
    pd.testing.assert_frame_equal(gold, load_gold(filled, f"{version.name}@{version.version}"))
    with pytest.raises(CodebookError):
        load_gold(filled, "diplomatic-statements@0.0")


def test_what_is_left_out_of_the_gold_is_logged(
    filled: Store, isolated: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = load_codebook("diplomatic")
    assert export_file(filled, "all.jsonl", book).written == len(filled.events.all())
    settled = load_gold(filled).index
    lines = map(json.loads, Path("all.jsonl").read_text().splitlines())
    event = next(line for line in lines if line["sentence_id"] in settled)
    other = event | {"event_id": "f" * 32, "annotator": "ann", "labels": [*{*book.label_names} - {*event["labels"]}]}
    Path("other.jsonl").write_text(json.dumps(other) + "\n")
    assert import_file(filled, "other.jsonl", book).new == 1
    assert set(settled) - set(load_gold(filled).index) == {event["sentence_id"]}
    assert "1 sentence was left out: its annotators disagree" in caplog.text


def test_agreement_is_a_table_with_intervals(filled: Store) -> None:
    found = measure_agreement(filled)
    assert set(found.index.get_level_values("decisions")) == {"unbiased"}
    assert list(found.index.get_level_values("label")) == [*load_codebook("diplomatic").label_names, "all labels"]
    assert found.loc[("unbiased", "all labels"), "kappa"] == pytest.approx(1, abs=0.5)
    assert {"alpha", "alpha_low", "alpha_high", "sentences", "prevalence"} <= set(found)


def test_agreement_of_an_empty_store_is_an_empty_table(isolated: Path, codebook: Codebook) -> None:
    assert measure_agreement(Store("new.db"), codebook).empty


def test_articles_are_read_into_sentences(isolated: Path, caplog: pytest.LogCaptureFixture) -> None:
    Path("one.txt").write_text(
        "---\ntitle: Aid\ndate: 2026-01-02\n---\nOslo pledged aid. Lima thanked it.\n\nShare this:\n"
    )
    Path("two.jsonl").write_text('{"text": "Rain fell.", "source": "wire"}\n{"body": 1}\n')
    found = read_sentences(["one.txt", Path("two.jsonl")])
    assert found.text.tolist() == ["Oslo pledged aid.", "Lima thanked it.", "Rain fell."]
    assert found.source.tolist() == ["one.txt", "one.txt", "wire"]
    assert found[["title", "date"]].iloc[0].tolist() == ["Aid", "2026-01-02"]
    assert "two.jsonl:2" in caplog.text
    pd.testing.assert_frame_equal(read_sentences("one.txt"), found[:2])


def test_a_split_keeps_documents_together_and_every_row(corpus: pd.DataFrame) -> None:
    train, test = train_test_split(corpus, 0.3)
    assert sorted([*train.index, *test.index]) == sorted(corpus.index)
    assert not set(train.document_id) & set(test.document_id)
    assert 0.2 < len(test) / len(corpus) < 0.4
    again, _ = train_test_split(corpus, 0.3)
    other, _ = train_test_split(corpus, 0.3, seed=14)
    assert train.index.equals(again.index)
    assert not train.index.equals(other.index)


def test_rows_without_documents_are_divided_one_by_one() -> None:
    table = pd.DataFrame({"text": [f"Text {n}" for n in range(20)], "label": ["a", "b"] * 10})
    train, test = train_test_split(table)
    assert (len(train), len(test)) == (15, 5)


@pytest.mark.parametrize(
    ("table", "test_size", "message"),
    [
        (
            pd.DataFrame({"body": ["a"], "labels": [()]}),
            0.2,
            "needs the columns `text` and `labels` or `label`, but has body, labels",
        ),
        (pd.DataFrame({"text": ["a"], "gold": [()]}), 0.2, "but has text, gold"),
        (pd.DataFrame({"text": ["a"], "label": ["x"]}), 20, "test_size = 20 is not between 0 and 1"),
    ],
)
def test_a_table_that_cannot_be_divided_is_refused(table: pd.DataFrame, test_size: float, message: str) -> None:
    with pytest.raises(ColumnError, match=message):
        train_test_split(table, test_size)


def test_a_single_path_is_not_a_list_of_paths(isolated: Path) -> None:
    store = Store("new.db")
    for lone in ("articles", Path("articles")):
        with pytest.raises(DataError, match=r"paths is a single (string|path), but a list is needed"):
            ingest(store, lone)
