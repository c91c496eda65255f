from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from labels.agreement.report import agreement
from labels.codebook.schema import dump_codebook, load_codebook
from labels.exchange.driver import export_file
from labels.records import Annotation
from labels.store import Store, now
from tests.conftest import make_examples
from tests.trainer.conftest import MakeExperiment, TrackedRun, fill_store, plain_codebook, write_examples
from trainer.config.sections import DataSection
from trainer.data.coder_agreement import data_agreement, file_agreement, store_agreement
from trainer.evaluation.report import Report
from trainer.evaluation.report_tables import agreement_text
from trainer.model.model import Model
from trainer.runs.evaluate import evaluate_file
from trainer.runs.run import run_experiment


@pytest.fixture
def coded() -> str:
    """A store in which `ben` codes what `ana` has coded, and overlooks every tenth label."""
    codebook, examples = plain_codebook("aid", "truce"), make_examples(90)
    ids = fill_store(Path("team.db"), codebook, examples)
    second = [
        Annotation(
            event_id=f"ben-{sentence}",
            sentence_id=sentence,
            annotator="ben",
            event="annotate",
            state="reviewed",
            labels=() if i % 10 == 0 else example.labels,
            codebook_hash=codebook.hash,
            created_at=now(),
        )
        for i, (sentence, example) in enumerate(zip(ids, examples, strict=True))
    ]
    with Store("team.db") as store:
        store.events.add(second)
    return "team.db"


def test_a_store_has_the_agreement_that_the_agreement_report_states(coded: str) -> None:
    codebook = plain_codebook("aid", "truce")
    found = store_agreement(coded, codebook)
    with Store(coded) as store:
        events = store.events.all()
        sentences = store.documents.by_first_version({event.sentence_id for event in events})
        stated = agreement(events, sentences, codebook).other.figures.per_label
    assert {label: own.alpha for label, own in found.items()} == {
        label: own.alpha.value for label, own in stated.items()
    }
    assert {own.n_sentences for own in found.values()} == {90}
    assert all(own.low is not None and own.low < (own.alpha or 0) < 1 for own in found.values())


def test_an_export_records_it_too_and_a_table_of_gold_does_not(coded: str) -> None:
    codebook = plain_codebook("aid", "truce")
    Path("codebook.toml").write_text(dump_codebook(codebook), "utf-8")
    with Store(coded) as store:
        export_file(store, "all.jsonl", codebook)
    assert file_agreement(Path("all.jsonl"), codebook) == store_agreement(coded, codebook)
    assert file_agreement(write_examples(Path("gold.jsonl"), make_examples(9)), codebook) == {}
    Path("gold.csv").write_text("text,labels\nRain fell.,none\n", "utf-8")
    assert file_agreement(Path("gold.csv"), codebook) == {}


def test_one_coder_agrees_with_nobody() -> None:
    codebook = plain_codebook("aid", "truce")
    fill_store(Path("alone.db"), codebook, make_examples(30))
    assert store_agreement("alone.db", codebook) == {}


def test_the_starter_corpus_was_coded_by_several() -> None:
    found = data_agreement(DataSection(), load_codebook("diplomatic"))
    assert list(found) == list(load_codebook("diplomatic").label_names)
    assert all((own.alpha or 0) > 0.9 for own in found.values())


def test_a_report_shows_it_beside_the_score(tracked_run: TrackedRun, coded: str) -> None:
    folder = tracked_run.result.artefact
    data = write_examples(Path("held_out.jsonl"), [replace(one, id=f"x{one.id}") for one in make_examples(60)])
    found = evaluate_file(Model.load(folder), folder, data, Path("out"), store=coded, track=False).report
    assert Report.read(Path("out/report.json")).agreement == found.agreement
    alpha = found.agreement["aid"]
    assert f"Agreement of the coders: {alpha.alpha:.2f} ({alpha.low:.2f} to {alpha.high:.2f}) on aid" in agreement_text(
        found
    )
    without = evaluate_file(Model.load(folder), folder, data, None, track=False).report
    assert "is unknown" in agreement_text(without)


def test_a_run_on_an_adjudicated_store_has_it(coded: str, experiment_of: MakeExperiment) -> None:
    data = {"train": "", "source": "store", "store": coded}
    report = run_experiment(experiment_of("majority", data=data), Path("out")).report
    assert list(json.loads(Path("out/report.json").read_text("utf-8"))["agreement"]) == ["aid", "truce"]
    assert report.agreement["aid"].n_sentences == 90
