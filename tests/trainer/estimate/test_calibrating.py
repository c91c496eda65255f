"""`communique calibrate` and `communique.calibrate`: from files and stores, for several kinds of models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from labels.errors import InputError
from labels.records import Example
from tests.conftest import make_examples
from tests.trainer.conftest import TrackedRun, fill_store, write_examples
from trainer.cli import app
from trainer.estimate.adjusting.calibrating import calibrate
from trainer.model.model import Model, read_manifest
from trainer.predict.outcome import predict_rows
from trainer.runs.run import RunResult


def others(n: int, *, exclusive: bool = False) -> list[Example]:
    """Examples of other documents than those of the runs, in which labels are rarer and sometimes missing."""
    made = make_examples(3 * n, exclusive=exclusive)
    kept = [one for i, one in enumerate(made) if not one.labels or i % 3 == 0][:n]
    return [
        replace(one, id=f"x{i}", document_id=f"new{one.document_id}", text=f"Later, {one.text}", labels=one.labels)
        if i % 9
        else replace(one, id=f"x{i}", document_id=f"new{one.document_id}", text=f"Then {one.text}", labels=())
        for i, one in enumerate(kept)
    ]


@pytest.fixture
def data(isolated: Path) -> Path:
    return write_examples(isolated / "sample.jsonl", others(240))


def test_a_file_gives_a_new_artefact_and_leaves_the_old_one(tracked_run: TrackedRun, data: Path) -> None:
    source = tracked_run.result.artefact
    before = (source / "manifest.json").read_bytes()
    found = calibrate(source, data, out="new")

    assert (source / "manifest.json").read_bytes() == before
    old, new = Model.load(source), Model.load("new")
    assert new.id == found.model_id != old.id
    assert new.manifest is not None
    assert new.manifest.details["calibrate"]["calibrated_from"] == old.id
    texts = [one.text for one in others(240)]
    share = np.array([["aid" in one.labels, "truce" in one.labels] for one in others(240)]).mean(axis=0)
    gaps = [np.abs(model.predict_proba(texts).mean(axis=0) - share) for model in (old, new)]
    assert (gaps[1] < gaps[0]).all()
    assert found.after["aid"].log_loss < found.before["aid"].log_loss
    assert found.positives["aid"] == sum("aid" in one.labels for one in others(240))


def test_the_sample_counts_as_training_data_from_then_on(tracked_run: TrackedRun, data: Path) -> None:
    calibrate(tracked_run.result.artefact, data, out="new")
    known = set(read_manifest(Path("new")).training_ids)
    assert f"document:{others(240)[0].document_id}" in known
    with pytest.raises(InputError, match="the model learned from all of these sentences"):
        calibrate("new", data, out="again")


def test_an_exclusive_model(exclusive_run: RunResult, isolated: Path) -> None:
    data = write_examples(isolated / "sample.jsonl", others(240, exclusive=True))
    found = calibrate(exclusive_run.artefact, data, out="new")
    assert found.thresholds == {}
    assert Model.load("new").calibration.exclusive
    with pytest.raises(InputError, match="exclude each other"):
        calibrate(exclusive_run.artefact, data, out="other", objective="cost=2")


def test_inclusion_probabilities_weight_the_rows(tracked_run: TrackedRun, data: Path) -> None:
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    plain = calibrate(tracked_run.result.artefact, data, out="plain").shares["aid"]
    for row in rows:
        row["inclusion_probability"] = 0.5 if "aid" in row["labels"] else 0.1
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert calibrate(tracked_run.result.artefact, data, out="weighted").shares["aid"] < plain / 2
    rows[3]["inclusion_probability"] = 0
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(InputError, match=r"sample\.jsonl:4: `inclusion_probability` must be in \(0, 1\]"):
        calibrate(tracked_run.result.artefact, data, out="wrong")
    assert not Path("wrong").exists()


def test_a_store_gives_its_sample(tracked_run: TrackedRun, isolated: Path) -> None:
    from labels.sampling.drawing import DrawRequest
    from labels.sampling.strategies import next_assignment
    from labels.store import Store, now
    from tests.labels.store.builders import decision

    examples = others(200)
    ids = fill_store(isolated / "store.db", tracked_run.codebook, examples, annotate=False)
    gold = {key: one.labels for key, one in zip(ids, examples, strict=True)}
    with Store(isolated / "store.db") as store:
        assignment = next_assignment(store, "ana", DrawRequest(strategy="random", size=150, seed=1))
        assert assignment is not None
        for draw in assignment.draws:
            store.events.add(
                [
                    decision(
                        item.sentence_id, "ana", draw_id=draw.id, created_at=now(), labels=gold[item.sentence_id],
                        codebook_hash=tracked_run.codebook.hash,
                    )
                    for item in draw.items
                ]
            )  # fmt: skip
        found = calibrate(tracked_run.result.artefact, store=store, out="new")
    assert found.sentences == 150
    assert found.notes == ()


def test_a_prevalence_alone(tracked_run: TrackedRun, isolated: Path) -> None:
    found = calibrate(tracked_run.result.artefact, prior={"aid": 0.02}, out="new")
    old, new = Model.load(tracked_run.result.artefact), Model.load("new")
    texts = [one.text for one in others(100)]
    was, now_ = old.predict_proba(texts), new.predict_proba(texts)
    assert (now_[:, 0] < was[:, 0]).all()
    assert (now_[:, 1] == was[:, 1]).all()
    assert any("label shift" in note for note in found.notes)
    assert new.manifest is not None
    assert new.manifest.profile is None


def test_a_prevalence_from_texts(tracked_run: TrackedRun, isolated: Path) -> None:
    corpus = isolated / "corpus"
    corpus.mkdir()
    for number in range(10):
        own = others(200)[20 * number : 20 * number + 20]
        (corpus / f"{number}.txt").write_text("\n\n".join(one.text for one in own), encoding="utf-8")
    found = calibrate(tracked_run.result.artefact, prior=str(corpus), out="new")
    assert 0 < found.shares["aid"] < 0.5


def test_a_model_that_abstains_says_so_wherever_it_answers(tracked_run: TrackedRun, isolated: Path) -> None:
    data = write_examples(isolated / "sample.jsonl", [replace(one, document_id=one.id) for one in others(600)])
    found = calibrate(tracked_run.result.artefact, data, out="sure", max_error=0.2, error="misses", recall=0.8)
    assert found.abstention is not None
    assert found.screening is not None
    model = Model.load("sure")
    old = Model.load(tracked_run.result.artefact)
    texts = [one.text for one in others(300)]
    probabilities = model.predict_proba(texts)
    assert (probabilities == old.predict_proba(texts)).all()
    abstained = model.abstained(probabilities)
    assert abstained is not None
    assert not (abstained & model.decide(probabilities)).any()
    limits = found.abstention.labels["aid"]
    expected = (probabilities[:, 0] >= limits.low) & (probabilities[:, 0] < limits.high)
    assert (abstained[:, 0] == expected).all()


def test_predict_writes_what_the_model_abstains_from(tracked_run: TrackedRun, isolated: Path) -> None:
    data = write_examples(isolated / "sample.jsonl", [replace(one, document_id=one.id) for one in others(600)])
    calibrate(tracked_run.result.artefact, data, out="sure", max_error=0.2, error="misses", recall=0.8)
    (isolated / "news.txt").write_text("\n\n".join(one.text for one in others(40)), encoding="utf-8")
    for suffix in ("csv", "jsonl", "parquet"):
        done = CliRunner().invoke(app, ["predict", "sure", "news.txt", "--out", f"tagged.{suffix}"])
        assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in Path("tagged.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {"labels", "abstained", "screened"} <= set(rows[0])
    assert (
        Path("tagged.csv")
        .read_text(encoding="utf-8")
        .splitlines()[0]
        .startswith("document_id,sentence_id,source,start,end,text,labels,abstained,screened,p:aid")
    )
    import pyarrow.parquet as pq

    assert pq.read_table("tagged.parquet").column("screened").to_pylist() == [row["screened"] for row in rows]
    assert any("aid" in row["screened"] for row in rows)
    # A model without rules writes the columns of before.
    from labels.text.documents import read_documents
    from labels.text.sentences import split_sentences

    document = next(iter(read_documents([Path("news.txt")], pytest.fail)))
    pairs = [(document, sentence) for sentence in split_sentences(document)]
    assert "abstained" not in predict_rows(Model.load(tracked_run.result.artefact), pairs)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs labels or a prevalence"),
        ({"prior": 0.02, "max_error": 0.05}, "--prior cannot be used with --max-error"),
        ({"prior": 1.5}, "above 0 and below 1"),
        ({"prior": {"ade": 0.1}}, "no label 'ade'"),
        ({"prior": 0.1, "labels": ["aide"]}, "no label 'aide' .did you mean 'aid'"),
        ({"data": True, "max_error": 5}, "Choose a number between 0 and 1"),
        ({"data": True, "store": "team.db"}, "not both"),
        ({"data": True, "max_error": 0.001}, "at least 2995 without"),
        ({"data": True, "error": "wrong", "max_error": 0.1}, "Choose one of"),
        ({"data": True, "recall": 95}, "--recall is 95. Choose a number between 0 and 1, such as 0.95"),
        ({"prior": "aid=0.1,aid=0.2"}, "--prior aid=0.1,aid=0.2: 'aid' is there twice"),
        ({"prior": "aid=few"}, "--prior aid=few: 'few' is not a number"),
        ({"data": True, "joint": True}, "--joint is only for bounds"),
        ({"data": True, "confidence": 0.9}, "--confidence is only for bounds"),
        ({"data": True, "error": "misses"}, "--error names the error that --max-error limits"),
        ({"data": True, "error": "misses", "recall": 0.5}, "--error names the error that --max-error limits"),
        ({"data": True, "recall": 0.5, "objective": "cost=2"}, "thresholds stay as they are"),
        ({"data": True, "draws": ["3"]}, "--draws is only for a store"),
        ({"data": True, "codebook": "book.toml"}, "--codebook is only for a store"),
        ({"prior": 0.1, "draws": ["3"]}, "--draws is only for a store"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    tracked_run: TrackedRun, data: Path, arguments: dict[str, Any], message: str
) -> None:
    if arguments.pop("data", False):
        arguments["data"] = data
    with pytest.raises(InputError, match=message):
        calibrate(
            tracked_run.result.artefact,
            out="new",
            **({"error": "misses"} | arguments if "max_error" in arguments else arguments),
        )
    assert not Path("new").exists()


def test_the_command_prints_figures_and_limits(tracked_run: TrackedRun, data: Path) -> None:
    artefact = str(tracked_run.result.artefact)
    done = CliRunner().invoke(app, ["calibrate", artefact, str(data), "--out", "new"])
    assert done.exit_code == 0, done.output
    assert "240 labelled sentences" in done.output
    assert "→" in done.output
    again = CliRunner().invoke(app, ["calibrate", artefact, str(data), "--out", "new"])
    assert again.exit_code == 2
    rule = CliRunner().invoke(app, ["calibrate", artefact, str(data), "--out", "sure", "--recall", "0.5"])
    assert rule.exit_code == 0, rule.output
    assert "Recall of at least 50.0%" in rule.output
