"""`communique estimate` and `communique.estimate`: from files and stores, with what can be wrong about them."""

from __future__ import annotations

import csv
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from typer.testing import CliRunner

from labels.codebook.schema import codebook_from_dict, load_codebook
from labels.errors import DataError, InputError, counted
from labels.exchange.driver import export_file, import_file
from labels.records import Document, Sentence
from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import next_assignment
from labels.store import Draw, Store, now
from tests.labels.store.builders import decision, model
from tests.lazy import Lazy
from trainer.cli import app
from trainer.estimate.given.domains import period_of
from trainer.estimate.given.opening import Sources
from trainer.estimate.plans import confidence_sequence
from trainer.estimate.published import saving
from trainer.estimate.published.saving import load_estimate, save_estimate
from trainer.estimate.sources import estimate, plan_audit, watched_shares

Classifier = Lazy("communique:Classifier")

LABELS = ("aid", "truce")
N, DRAWN = 600, 120
BOOK = codebook_from_dict({"name": "small", "labels": [{"name": "aid"}, {"name": "truce"}]}, "small")


def corpus() -> tuple[list[dict[str, Any]], np.ndarray]:
    """Predictions of 600 sentences of 60 documents in three months, and their gold."""
    generator = np.random.default_rng(4)
    gold = generator.random((N, 2)) < [0.4, 0.05]
    chance = np.clip(0.6 * gold + 0.4 * generator.random((N, 2)), 0, 1).round(3)
    rows = [
        {
            "document_id": f"d{i // 10}", "sentence_id": f"s{i}", "date": f"2026-0{1 + i % 3}-05",
            "source": "wire" if i % 2 else "daily", "text": f"Sentence number {i}.",
            "labels": "|".join(label for label, p in zip(LABELS, chance[i], strict=True) if p >= 0.5),
            "p:aid": chance[i, 0], "p:truce": chance[i, 1], "model_id": "m", "codebook_hash": "h",
        }
        for i in range(N)
    ]  # fmt: skip
    return rows, gold


def sampled(gold: np.ndarray) -> list[dict[str, Any]]:
    """A simple random sample with its gold."""
    places = np.random.default_rng(9).choice(N, DRAWN, replace=False)
    return [
        {
            "sentence_id": f"s{i}",
            "labels": "|".join(label for label, own in zip(LABELS, gold[i], strict=True) if own),
            "inclusion_probability": DRAWN / N,
        }
        for i in places
    ]


def write(path: str, rows: Sequence[dict[str, Any]]) -> Path:
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)


@pytest.fixture
def files() -> tuple[Path, Path]:
    rows, gold = corpus()
    return write("predictions.csv", rows), write("sample.csv", sampled(gold))


def test_a_sample_in_a_file_gives_shares_of_every_month(files: tuple[Path, Path]) -> None:
    found = estimate(files[0], sample=files[1], by="month")
    _, gold = corpus()

    assert found.groups == ("2026-01", "2026-02", "2026-03")
    for i, label in enumerate(LABELS):
        cell = found.cell(label)
        assert cell.published.low is not None
        assert cell.published.high is not None
        assert cell.published.low <= gold[:, i].mean() <= cell.published.high
        assert sum(found.cell(label, group).size for group in found.groups) == cell.size == N
        assert sum(found.cell(label, group).labelled for group in found.groups) == DRAWN
    assert [(one.reference, one.group) for one in found.changes if one.label == "aid"] == [
        ("2026-01", "2026-02"),
        ("2026-02", "2026-03"),
    ]
    assert found.cell("truce").small


def test_csv_jsonl_and_parquet_say_the_same(files: tuple[Path, Path]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, _ = corpus()
    nested = [
        {name: value for name, value in row.items() if name[:2] != "p:"}
        | {"labels": row["labels"].split("|") if row["labels"] else []}
        | {"probabilities": {label: float(row[f"p:{label}"]) for label in LABELS}}
        for row in rows
    ]
    Path("p.jsonl").write_text("\n".join(map(json.dumps, nested)), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(nested), "p.parquet")

    first, *others = (estimate(one, sample=files[1]).cells for one in (files[0], "p.jsonl", "p.parquet"))

    assert all(other == first for other in others)


def test_a_column_of_each_label_and_strata(files: tuple[Path, Path]) -> None:
    _, gold = corpus()
    rows = [
        {"sentence_id": f"s{i}", "aid": int(gold[i, 0]), "truce": int(gold[i, 1]), "stratum": "a" if i < 200 else "b",
         "inclusion_probability": 0.25 if i < 200 else 0.1, "stratum_size": 200 if i < 200 else 400}
        for i in [*range(0, 200, 4), *range(200, 600, 10)]
    ]  # fmt: skip
    found = estimate(files[0], sample=write("strata.csv", rows))

    assert found.provenance["strata"] == "a: 50 of 200; b: 40 of 400"
    low, high = found.cell("aid").published.low, found.cell("aid").published.high
    assert low is not None
    assert high is not None
    assert low <= gold[:, 0].mean() <= high


def stratified(gold: np.ndarray) -> list[dict[str, Any]]:
    """A sample of each fourth of 200 sentences and each tenth of 400."""
    return [
        {"sentence_id": f"s{i}", "labels": "|".join(one for one, own in zip(LABELS, gold[i], strict=True) if own),
         "state": "reviewed", "stratum": "a" if i < 200 else "b", "stratum_size": 200 if i < 200 else 400,
         "inclusion_probability": 0.25 if i < 200 else 0.1}
        for i in [*range(0, 200, 4), *range(200, 600, 10)]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [row for row in rows if row["stratum"] == "a"], "drawn from 200 sentences, but .* has 600"),
        (lambda rows: rows[3:], "'a' has 47 of 200 .* 0.235, but its `inclusion_probability` is 0.25"),
        (lambda rows: [row | {"inclusion_probability": 0.5} for row in rows], "`inclusion_probability` is 0.5"),
        (lambda rows: [row | {"stratum_size": "", "inclusion_probability": 0.5} for row in rows], "from 180 sentences"),
        (lambda rows: [rows[0] | {"stratum_size": 300}, *rows[1:]], "another `stratum_size`"),
        (lambda rows: [row | {"codebook_hash": "other"} for row in rows], "coded with codebook other"),
        (
            lambda rows: [row | {"state": "unfinished"} for row in rows],
            "although `state` is unseen or unfinished",
        ),
    ],
)
def test_a_sample_that_contradicts_itself_or_the_corpus_is_refused(
    files: tuple[Path, Path], change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], message: str
) -> None:
    sample = write("wrong.csv", change(stratified(corpus()[1])))
    with pytest.raises(InputError, match=message):
        estimate(files[0], sample=sample)


def test_a_corpus_with_missing_predictions_is_refused(files: tuple[Path, Path]) -> None:
    rows, gold = corpus()
    sample = stratified(gold)
    drawn = {row["sentence_id"] for row in sample}
    fewer = [row for row in rows if row["sentence_id"] in drawn or row["source"] == "wire"]
    with pytest.raises(InputError, match=r"600 sentences, but fewer\.csv has 390"):
        estimate(write("fewer.csv", fewer), sample=write("sample.csv", sample))


def test_none_and_filled_unfinished_rows_are_decisions(files: tuple[Path, Path]) -> None:
    rows = stratified(corpus()[1])
    expected = estimate(files[0], sample=write("blank.csv", rows)).cells
    filled = [row | {"labels": row["labels"] or "none", "state": "unfinished"} for row in rows]

    assert estimate(files[0], sample=write("none.csv", filled)).cells == expected
    half = [*filled[:-2], *(row | {"labels": ""} for row in filled[-2:])]
    assert estimate(files[0], sample=write("half.csv", half)).missing == {"unfinished": 2}


def test_strata_that_were_left_out_are_found_by_probability(files: tuple[Path, Path]) -> None:
    rows = stratified(corpus()[1])
    bare = [{name: row[name] for name in ("sentence_id", "labels", "inclusion_probability")} for row in rows]
    whole, found = (estimate(files[0], sample=write("s.csv", one)) for one in (rows, bare))

    assert found.cells == whole.cells
    assert any("no column `stratum`" in note for note in found.notes)


def test_a_sample_without_rows_says_so(files: tuple[Path, Path]) -> None:
    Path("empty.csv").write_text("sentence_id,labels,inclusion_probability\n", encoding="utf-8")
    with pytest.raises(DataError, match="there are no rows"):
        estimate(files[0], sample="empty.csv")


def test_the_command_writes_tables_plot_and_methods(files: tuple[Path, Path]) -> None:
    arguments = ["estimate", str(files[0]), "--sample", str(files[1]), "--by", "source", "--out", "out"]
    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0, done.output
    assert {path.name for path in Path("out").iterdir()} == {
        "estimate.json", "estimates.csv", "differences.csv", "estimate.png", "methods.md", "sample.csv", "corpus.csv",
    }  # fmt: skip
    rows = list(csv.DictReader(Path("out/estimates.csv").read_text(encoding="utf-8").splitlines()))
    assert {(row["label"], row["group"]) for row in rows} == {(x, g) for x in LABELS for g in ("", "daily", "wire")}
    assert load_estimate(Path("out")).groups == ("daily", "wire")
    text = Path("out/methods.md").read_text(encoding="utf-8")
    assert "120 sentences was drawn" in text
    assert "All 600 sentences of 60 documents" in text
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    assert "--overwrite" in again.output


def test_the_process_and_statements(files: tuple[Path, Path]) -> None:
    plain = estimate(files[0], sample=files[1]).cell("aid").published
    process = estimate(files[0], sample=files[1], estimand="process").cell("aid").published
    statements = estimate(files[0], sample=files[1], unit="statements").cell("aid").published

    assert process.share == plain.share
    assert (process.low or 0) < (plain.low or 0)
    assert (process.high or 1) > (plain.high or 0)
    assert statements.share == pytest.approx(plain.share)  # no two of these sentences are near-duplicates


Change = Callable[[list[dict[str, Any]], list[dict[str, Any]]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, s: s[0].update(sentence_id="elsewhere"), "not in predictions.csv"),
        (lambda _, s: s[3].update(inclusion_probability=0),
         r"sample.csv:5, sentence 's\d+': `inclusion_probability` must be in"),
        (lambda _, s: s[3].update(inclusion_probability=""), r"sample.csv:5.*`inclusion_probability`"),
        (lambda _, s: [row.pop("inclusion_probability") for row in s], "--strategy audit"),
        (lambda p, _: p[7].update({"p:aid": ""}), "a missing probability.*'s7'"),
        (lambda p, _: p[7].update({"p:aid": 1.5}), r"not in \[0, 1\]"),
        (lambda p, _: p.append(p[0]), "'s0' occurs twice"),
        (lambda _, s: s.append(s[0]), "occurs twice"),
        (lambda _, s: s[0].update(labels="aide"), r"sample.csv:2.*'aide' is not a label.*did you mean 'aid'"),
        (lambda p, _: p[7].update(model_id="other"), "`model_id` has several values"),
        (lambda _, s: [row.update(stratum="one" if i else "alone") for i, row in enumerate(s)],
         r"stratum 'alone'.*give the rows of both one name in `stratum`"),
        (lambda p, _: [row.pop("document_id") for row in p], "no column `document_id`"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_repair(change: Change, message: str) -> None:
    rows, gold = corpus()
    sample = sampled(gold)
    change(rows, sample)

    with pytest.raises(InputError, match=message):
        estimate(write("predictions.csv", rows), sample=write("sample.csv", sample))


def test_a_period_without_a_labelled_sentence(files: tuple[Path, Path]) -> None:
    rows, gold = corpus()
    for row in rows[:5]:
        row["date"] = "2025-12-31"
    sample = [row for row in sampled(gold) if row["sentence_id"] not in {"s0", "s1", "s2", "s3", "s4"}]
    paths = write("predictions.csv", rows), write("sample.csv", sample)

    with pytest.raises(InputError, match=r"2025-12.*--allow-unaudited"):
        estimate(paths[0], sample=paths[1], by="month")
    found = estimate(paths[0], sample=paths[1], by="month", allow_unaudited=True)
    assert found.cell("aid", "2025-12").published.share is None
    assert not found.cell("aid", "2025-12").small
    assert any("no labelled sentence is in 2025-12" in note for note in found.notes)
    assert any("need not add up" in note for note in found.notes)


def test_shares_from_the_sample_alone_are_named_and_marked(files: tuple[Path, Path]) -> None:
    found = estimate(files[0], sample=files[1], by="month")
    save_estimate(found, Path("out"))

    assert [group for group in ("", *found.groups) if found.cell("truce", group).small] == ["", *found.groups]
    assert not found.cell("aid", "2026-01").small
    methods = Path("out/methods.md").read_text(encoding="utf-8")
    assert "of the sample alone: truce (all, 2026-01, 2026-02, 2026-03)." in methods
    handles = {line.get_label() for axis in found.plot().axes for line in axis.get_lines()}
    assert "few positives or negatives: the sample alone" in handles


def test_dates_that_cannot_be_read_are_listed(files: tuple[Path, Path]) -> None:
    rows, _ = corpus()
    rows[0]["date"] = "1/2/2026"
    found = estimate(write("predictions.csv", rows), sample=files[1], by="month")

    assert any("'1/2/2026' (1)" in note for note in found.notes)
    assert sum(found.cell("aid", group).size for group in found.groups) == N - 1
    for row in rows:
        row["date"] = "soon"
    with pytest.raises(DataError, match="Write dates in the form 2026-01-31"):
        estimate(write("predictions.csv", rows), sample=files[1], by="month")


def test_sentences_without_gold_are_counted_and_bounded(files: tuple[Path, Path]) -> None:
    _, gold = corpus()
    sample = sampled(gold)
    for row in sample[:4]:
        row["state"] = "skipped"
    found = estimate(files[0], sample=write("few.csv", sample))
    cell = found.cell("aid")
    assert found.missing == {"skipped": 4}
    assert cell.all_negative is not None
    assert cell.all_positive is not None
    assert cell.all_negative.share < cell.published.share < cell.all_positive.share  # type: ignore[operator]

    for row in sample[:20]:
        row["state"] = "disputed"
    many = write("many.csv", sample)
    with pytest.raises(InputError, match=r"20 of 120.*20 disputed.*--missing at-random"):
        estimate(files[0], sample=many)
    guess = estimate(files[0], sample=many, missing="at-random").cell("aid").published
    worst = estimate(files[0], sample=many, missing="worst").cell("aid").published
    assert (worst.low or 0) < (guess.low or 0)
    assert (worst.high or 1) > (guess.high or 0)


@pytest.mark.parametrize(
    ("value", "by", "period"),
    [("2026-01-31", "week", "2026-W05"), ("2026-12-31T23:30:00+05:00", "year", "2026"),
     ("March 3, 2026", "month", "2026-03"),
     ("2026-03-31", "quarter", "2026-Q1"), ("2026-10-01", "quarter", "2026-Q4"),
     ("3.2.26", "month", ""), ("", "month", "")],
)  # fmt: skip
def test_dates(value: str, by: str, period: str) -> None:
    assert period_of(value, by) == period


# -- a store


@pytest.fixture
def store() -> Iterator[Store]:
    """Forty documents of ten sentences; a label in the sentences with an even number."""
    with Store("store.db") as opened:
        for number in range(40):
            text = " ".join(f"Sentence {i:02}." for i in range(10))
            document = Document("wire", text, url=f"https://example.org/{number}", date=f"2026-0{1 + number % 2}-01")
            made = [Sentence(document.id, 13 * i, 13 * i + 12, text[13 * i : 13 * i + 12]) for i in range(10)]
            opened.add_annotated(made, [], documents=[document], codebooks=[BOOK])
        yield opened


def assigned(store: Store, size: int, strategy: str, model_id: str = "") -> list[Draw]:
    request = DrawRequest(strategy=strategy, size=size, seed=1, model_id=model_id)
    assignment = next_assignment(store, "ana", request)
    assert assignment is not None
    return list(assignment.draws)


def decide(store: Store, draw: Draw, first: int, last: int | None = None) -> None:
    for item in draw.items[first:last]:
        (sentence,) = store.documents.sentences([item.sentence_id])
        place = sentence.start // 13
        labels = ("aid",) if place % 2 == 0 else ("truce",) if place < 5 else ()
        made = decision(
            item.sentence_id, "ana", draw_id=draw.id, created_at=now(), labels=labels, codebook_hash=BOOK.hash
        )
        store.events.add([made])


def label(store: Store, size: int, strategy: str = "random") -> None:
    for draw in assigned(store, size, strategy):
        decide(store, draw, 0)


def predictions_of(store: Store) -> Path:
    rows = [
        {"document_id": one.document_id, "sentence_id": one.id, "labels": "aid" if i % 3 else "", "p:aid": 0.5,
         "p:truce": 0.1, "model_id": "m", "codebook_hash": BOOK.hash}
        for i, one in enumerate(store.designs.corpus())
    ]  # fmt: skip
    return write("store.csv", rows)


def test_a_store_gives_the_design_and_the_dates(store: Store) -> None:
    label(store, 100)
    found = estimate(predictions_of(store), store=store, by="month")

    cell = found.cell("aid")
    assert (cell.size, cell.labelled) == (400, 100)
    assert found.groups == ("2026-01", "2026-02")
    assert cell.published.low is not None
    assert cell.published.high is not None
    assert cell.published.low <= 0.5 <= cell.published.high
    assert found.provenance["strata"] == "all: 100 of 400"


def test_a_stratum_that_nobody_reached_says_how_many_are_left(store: Store) -> None:
    store.scores.add_model(model(codebook_hash=BOOK.hash))
    found = store.scores.unscored("m", 1000)
    chances = {one.number: (0.01 if i % 10 else 0.95, 0.01) for i, one in enumerate(found)}
    store.scores.add("m", [(number, own, 0.5, 0.5, max(own)) for number, own in chances.items()])
    (draw,) = assigned(store, 60, "audit", model_id="m")
    strata = [item.stratum for item in draw.items]
    left = next(place for place, name in enumerate(strata) if name != strata[0])
    decide(store, draw, 0, 1)

    with pytest.raises(InputError, match=f"Label {counted(left, 'more sentence')} of the draw; its order is random"):
        estimate(store=store)
    decide(store, draw, 1, 40)
    assert estimate(store=store).labelled == 40


def test_documents_are_counted_from_whole_documents(store: Store) -> None:
    label(store, 100, "document")
    found = estimate(predictions_of(store), store=store, unit="documents")

    cell = found.cell("aid")
    assert (cell.size, cell.labelled, cell.positives) == (40, 10, 10)
    assert cell.published.share == 1.0


def test_documents_are_not_counted_from_single_sentences(store: Store) -> None:
    label(store, 100)
    with pytest.raises(InputError, match="--strategy document"):
        estimate(predictions_of(store), store=store, unit="documents")


def test_predictions_must_cover_the_corpus(store: Store) -> None:
    label(store, 100)
    path = predictions_of(store)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:-3]), encoding="utf-8")
    with pytest.raises(InputError, match="no predictions for 3 sentences"):
        estimate(path, store=store)


def test_an_imported_sample_needs_the_whole_corpus(store: Store) -> None:
    label(store, 100)
    path = predictions_of(store)
    export_file(store, Path("out.jsonl"), BOOK)
    with Store("other.db") as other:
        import_file(other, Path("out.jsonl"), BOOK)
        with pytest.raises(InputError, match=r"made from 400 sentences.*only 100 of them.*communique ingest"):
            estimate(path, store=other)


def test_codebook_versions_must_agree(store: Store) -> None:
    label(store, 100)
    path = predictions_of(store)
    path.write_text(path.read_text(encoding="utf-8").replace(BOOK.hash, "another"), encoding="utf-8")
    with pytest.raises(InputError, match="does not have the codebook of the predictions"):
        estimate(path, store=store)
    with pytest.raises(InputError, match="coded with codebook"):
        estimate(path, store=store, codebook=BOOK)


def test_decisions_under_another_version_are_named(store: Store) -> None:
    label(store, 100)
    later = BOOK.model_copy(update={"version": "2.0"})
    path = predictions_of(store)
    path.write_text(path.read_text(encoding="utf-8").replace(BOOK.hash, later.hash), encoding="utf-8")

    found = estimate(path, store=store, codebook=later)

    assert any(
        note.startswith(f"100 sentences of the sample were coded with small@{BOOK.version}") for note in found.notes
    )
    assert found.provenance["codebook of the gold labels"] == f"small@2.0 ({later.hash})"


def test_the_shipped_codebook_of_predictions_is_found(store: Store) -> None:
    label(store, 20)
    path = predictions_of(store)
    shipped = load_codebook("diplomatic@1.1.0")
    path.write_text(path.read_text(encoding="utf-8").replace(BOOK.hash, shipped.hash), encoding="utf-8")

    with pytest.raises(InputError, match=r"the label 'aid', which .* 1\.1\.0 does not"):
        estimate(path, store=store)


def test_a_plan_from_scores_needs_no_codebook(store: Store) -> None:
    store.scores.add_model(model(codebook_hash="0" * 16))
    chances = {one.number: (0.7 if i % 2 else 0.1, 0.2) for i, one in enumerate(store.scores.unscored("m", 1000))}
    store.scores.add("m", [(number, own, 0.5, 0.5, max(own)) for number, own in chances.items()])

    first = next(plan_audit(Sources(store=store), width=0.2).rows())
    assert str(first["text"]).startswith("Sentence ")
    assert (first["source"], str(first["date"])[:4]) == ("wire", "2026")
    with pytest.raises(InputError, match=r"no probability sample.*--sample"):
        estimate(store=store)


def test_a_store_or_a_sample_is_needed(files: tuple[Path, Path], store: Store) -> None:
    with pytest.raises(InputError, match="one labelled probability sample"):
        estimate(files[0])
    with pytest.raises(InputError, match="one labelled probability sample"):
        estimate(files[0], store=store, sample=files[1])


def test_scores_in_the_store_are_predictions(store: Store) -> None:
    store.scores.add_model(model(codebook_hash=BOOK.hash))
    found = store.scores.unscored("m", 1000)
    chances = {one.number: (0.7 if i % 2 else 0.1, 0.2) for i, one in enumerate(found)}
    store.scores.add("m", [(number, own, 0.5, 0.5, max(own)) for number, own in chances.items()])
    label(store, 120, "audit")
    made = estimate(store=store, by="month")

    cell = made.cell("aid")
    assert cell.raw == pytest.approx(sum(own[0] > 0.5 for own in chances.values()) / 400)
    assert (made.provenance["model"], cell.size, made.groups) == ("m", 400, ("2026-01", "2026-02"))
    assert (cell.published.low or 0) <= 0.5 <= (cell.published.high or 1)
    with pytest.raises(InputError, match="no scores by model 'n'"):
        estimate(store=store, model="n")


def test_a_store_without_scores_says_so(store: Store) -> None:
    label(store, 100)
    with pytest.raises(InputError, match="communique score ARTEFACT"):
        estimate(store=store)


def test_a_stratum_without_gold_is_refused(files: tuple[Path, Path]) -> None:
    _, gold = corpus()
    sample = sampled(gold)
    for row in sample[:3]:
        row |= {"stratum": "b", "state": "skipped"}
    with pytest.raises(InputError, match="no sentence of stratum 'b' has gold"):
        estimate(files[0], sample=write("few.csv", sample))


# -- replication package


def test_a_replication_package_computes_the_shares_anew(files: tuple[Path, Path]) -> None:
    save_estimate(estimate(files[0], sample=files[1], by="month"), Path("out"))
    done = CliRunner().invoke(app, ["archive", "out", "--out", "package"])

    assert done.exit_code == 0, done.output
    script = [sys.executable, "package/recompute.py"]
    run = subprocess.run(script, capture_output=True, text=True, check=True)
    assert run.stderr == "24 shares compared, 0 differ\n"
    path = Path("package/estimates.csv")
    first = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    write("package/estimates.csv", [row | {"share": "0.9"} for row in first])
    assert subprocess.run(script, capture_output=True, check=False).returncode == 1
    zipped = CliRunner().invoke(app, ["archive", "out", "--out", "package.zip"])
    assert zipped.exit_code == 0
    with ZipFile("package.zip") as archive:
        assert "package/sample.csv" in archive.namelist()


def test_a_damaged_estimate_is_not_packed(files: tuple[Path, Path]) -> None:
    save_estimate(estimate(files[0], sample=files[1]), Path("out"))
    Path("out/sample.csv").unlink()

    done = CliRunner().invoke(app, ["archive", "out", "--out", "package"])

    assert done.exit_code == 2
    assert "communique estimate --out" in done.output
    assert not Path("package").exists()


def test_a_folder_that_is_no_result_is_not_packed(files: tuple[Path, Path]) -> None:
    Path("articles").mkdir()
    done = CliRunner().invoke(app, ["archive", "articles"])

    assert done.exit_code == 2
    assert "articles: there is neither report.json nor estimate.json" in done.output
    assert "`communique estimate --out`" in " ".join(done.output.split())


def test_an_interrupt_says_that_nothing_was_written(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    # Ctrl-C while the last file of the folder is being made.
    monkeypatch.setattr(saving, "write_plot", lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        done = CliRunner().invoke(app, ["estimate", str(files[0]), "--sample", str(files[1]), "--out", "out"])
    finally:
        signal.signal(signal.SIGINT, before)

    assert done.exit_code == 130
    assert "Interrupted. Nothing was written to out." in done.output
    assert sorted(path.name for path in Path().iterdir()) == ["predictions.csv", "sample.csv"]


# -- plans


def test_a_plan_draws_a_sample_that_estimate_reads(files: tuple[Path, Path]) -> None:
    arguments = ["audit", "plan", str(files[0]), "--width", "0.15", "--labels", "aid", "--out", "plan.csv"]
    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(Path("plan.csv").read_text(encoding="utf-8").splitlines()))
    assert f"Label {len(rows)} sentences" in done.output
    with pytest.raises(InputError, match="no sentence of the sample has gold labels"):
        estimate(files[0], sample="plan.csv")
    _, gold = corpus()
    for row in rows:
        own = gold[int(row["sentence_id"][1:])]
        row |= {"labels": "|".join(one for one, held in zip(LABELS, own, strict=True) if held), "state": "reviewed"}
    found = estimate(files[0], sample=write("done.csv", rows)).cell("aid").published
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low <= 0.2
    assert found.low <= gold[:, 0].mean() <= found.high


def test_a_filled_plan_is_read_by_estimate_and_import(files: tuple[Path, Path]) -> None:
    arguments = ["audit", "plan", str(files[0]), "--width", "0.15", "--labels", "aid", "--out", "plan.csv"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    rows = list(csv.DictReader(Path("plan.csv").read_text(encoding="utf-8").splitlines()))
    assert all(row["text"] == f"Sentence number {row['sentence_id'][1:]}." for row in rows)
    write("plan.csv", [row | {"labels": "none"} for row in rows])

    assert estimate(files[0], sample="plan.csv").cell("aid").positives == 0
    read = [row | {"labels": "aid" if i else "none", "state": "reviewed"} for i, row in enumerate(rows[:-1])]
    with Store("imported.db") as store:
        import_file(store, write("plan.csv", [*read, rows[-1]]), BOOK, "csv", annotator="ana")
        assert len(store.events.all()) == len(read)


def test_a_plan_never_replaces_a_table(files: tuple[Path, Path]) -> None:
    Path("plan.csv").write_text("hand coding", encoding="utf-8")
    arguments = ["audit", "plan", str(files[0]), "--width", "0.2", "--out", "plan.csv"]
    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 2
    assert "--overwrite" in done.output
    assert Path("plan.csv").read_text(encoding="utf-8") == "hand coding"
    assert CliRunner().invoke(app, [*arguments, "--overwrite"]).exit_code == 0


def test_a_pilot_of_useless_predictions_asks_for_more(files: tuple[Path, Path]) -> None:
    rows, _ = corpus()
    generator = np.random.default_rng(3)
    for row in rows:
        row["p:aid"] = round(float(generator.random()), 3)
    useless = write("useless.csv", rows)

    assert plan_audit(Sources(useless, sample=files[1]), width=0.12, labels=["aid"]).plan.size > 1.3 * (
        plan_audit(Sources(files[0], sample=files[1]), width=0.12, labels=["aid"]).plan.size
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, "must be between 0 and 1"),
        ({"width": 0.1, "labels": ["ait"]}, "did you mean 'aid'"),
    ],
)
def test_an_impossible_plan_is_refused(files: tuple[Path, Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_audit(Sources(files[0]), **options)


def test_the_status_shows_widths_and_bounds_for_any_stop(files: tuple[Path, Path]) -> None:
    arguments = ["audit", "status", str(files[0]), "--sample", str(files[1]), "--width", "0.3", "--anytime"]
    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0, done.output
    assert "bounds at any time" in done.output
    watched = watched_shares(Sources(files[0], sample=files[1]))["aid"]
    once = estimate(files[0], sample=files[1]).cell("aid").figures["sample"]
    assert (watched.low or 0) < (once.low or 0)
    assert (watched.high or 1) > (once.high or 0)


def test_a_confidence_sequence_holds_at_all_times_together() -> None:
    generator = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        order = generator.permutation(np.arange(200) < 30)
        times = np.arange(5, 200, 5)
        low, high = confidence_sequence(np.cumsum(order)[times - 1], times, 200, 0.95)
        missed += bool(((low > 0.15) | (high < 0.15)).any())

    assert missed / 200 <= 0.05


# -- models that learned from the sample


@pytest.fixture
def artefact(store: Store) -> Path:
    """A model that learned from half of the labelled sentences in the store."""
    label(store, 100)
    decided = sorted({event.sentence_id: event for event in store.events.all()}.items())[:50]
    texts = {one.id: one for one in store.documents.sentences([key for key, _ in decided])}
    model = Classifier("majority", codebook=BOOK, allow_large_groups=True)
    model.fit(
        [texts[key].text for key, _ in decided],
        [event.labels for _, event in decided],
        groups=[texts[key].document_id for key, _ in decided],
    )
    model.save("artefact")
    return Path("artefact")


def test_a_sample_that_the_model_learned_from_is_refused(store: Store, artefact: Path) -> None:
    with pytest.raises(InputError, match=r"the model learned from.*--crossfit"):
        estimate(predictions_of(store), store=store, artefact=artefact)


def test_cross_fitting_makes_that_sample_valid(store: Store, artefact: Path) -> None:
    found = estimate(store=store, artefact=artefact, crossfit=True, by="month")

    cell = found.cell("aid")
    assert (cell.size, cell.labelled) == (400, 100)
    assert (cell.published.low or 0) <= 0.5 <= (cell.published.high or 1)
    assert found.provenance["model"].endswith("cross-fitted")
    assert any("cross-fitted" in note for note in found.notes)
    assert any("fitted again to 9 texts with gold labels in store.db" in note for note in found.notes)
    assert not any("much weaker" in note for note in found.notes)


def test_a_refit_to_a_small_part_of_the_training_texts_says_so(store: Store) -> None:
    label(store, 100)
    texts = [f"Sentence {i:02}." for i in range(60)]  # 10 of them are in the store
    chosen = [("aid",) if i % 2 == 0 else ("truce",) if i % 3 == 0 else () for i in range(60)]
    model = Classifier("majority", codebook=BOOK, allow_large_groups=True)
    model.fit(texts, chosen, groups=[f"elsewhere {i}" for i in range(60)]).save("artefact")
    found = estimate(store=store, artefact=Path("artefact"), crossfit=True)

    assert any("learned from 60 texts. Most of them are not in this store" in note for note in found.notes)


def test_the_narrowest_plan_reads_everything_and_says_so(files: tuple[Path, Path]) -> None:
    done = CliRunner().invoke(app, ["audit", "plan", str(files[0]), "--width", "0.000001"])

    assert f"Label {N} sentences" in done.output
    assert "That is the whole corpus" in done.output


def test_the_command_after_a_plan_repeats_it(files: tuple[Path, Path]) -> None:
    arguments = ["audit", "plan", str(files[0]), "--width", "0.15", "--labels", "aid", "--seed", "3"]
    done = CliRunner().invoke(app, arguments)
    after = shlex.split(done.output.partition("communique ")[2])

    assert after == [*arguments, "--out", "to_label.csv"]
    assert CliRunner().invoke(app, after).exit_code == 0
    assert f"Label {len(Path('to_label.csv').read_text(encoding='utf-8').splitlines()) - 1} " in done.output
    book = CliRunner().invoke(app, [*arguments, "--out", "plan.xlsx"])
    assert book.exit_code == 2
    assert "ends with .csv" in book.output
    assert not Path("plan.xlsx").exists()


def test_some_labels_in_quarters(files: tuple[Path, Path]) -> None:
    arguments = ["estimate", str(files[0]), "--sample", str(files[1]), "--by", "quarter", "--out", "out"]
    done = CliRunner().invoke(app, [*arguments, "--labels", "aid"])

    assert done.exit_code == 0, done.output
    found, everything = load_estimate(Path("out")), estimate(files[0], sample=files[1], by="quarter")
    assert (found.labels, found.groups) == (("aid",), ("2026-Q1",))
    assert found.cell("aid", "2026-Q1") == everything.cell("aid", "2026-Q1")
    assert "truce" not in done.output + Path("out/methods.md").read_text(encoding="utf-8")
    assert CliRunner().invoke(app, ["archive", "out", "--out", "package"]).exit_code == 0
    script = [sys.executable, "package/recompute.py"]
    run = subprocess.run(script, capture_output=True, text=True, check=True)
    assert run.stderr == "6 shares compared, 0 differ\n"
    wrong = CliRunner().invoke(app, [*arguments, "--labels", "ait", "--overwrite"])
    assert wrong.exit_code == 2
    assert "did you mean 'aid'" in wrong.output


# -- the result in Python


def test_a_result_in_python_says_what_it_has(files: tuple[Path, Path]) -> None:
    found = estimate(files[0], sample=files[1], by="month")

    assert found.cell("aid", "all") == found.cell("aid")
    with pytest.raises(InputError, match=r"no label 'ait' \(did you mean 'aid'\?\)"):
        found.cell("ait")
    with pytest.raises(InputError, match=r"no group '2026-1'.*Groups: all, 2026-01, 2026-02, 2026-03"):
        found.cell("aid", "2026-1")
    table = found.to_frame()
    assert len(table) == len(list(found.rows())) == 2 * 4 * 4
    assert set(table["group"]) == {"", *found.groups}
    first = str(found).splitlines()
    assert len(first) == 2 + 2 * 4
    assert f"{100 * (found.cell('aid').published.share or 0):.2f}" in first[2]
    assert len(repr(found)) < 100
    assert len(found.plot().axes) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "drop"}, "`missing` is 'drop'.*refuse, at-random, worst"),
        ({"unit": "sentense"}, "did you mean 'sentences'"),
        ({"estimand": "world"}, "corpus, process"),
        ({"predictions": {"aid": [0.5]}}, "`predictions` is a dict, but must be the path of a file"),
    ],
)
def test_an_argument_that_is_no_choice_is_refused(
    files: tuple[Path, Path], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        estimate(**({"predictions": files[0], "sample": files[1]} | options))
