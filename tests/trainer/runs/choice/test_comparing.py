from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labels.errors import ArtefactError, DataError, InputError
from tests.trainer.conftest import TrackedRun, write_examples
from trainer.cli import app
from trainer.runs.choice.comparing import compare_models, compare_sides
from trainer.runs.choice.sides import Side, read_side
from trainer.runs.publication.changes_page import write_changes
from trainer.runs.run import RunResult


@pytest.fixture
def sides(both: RunResult, tracked_run: TrackedRun) -> tuple[Side, Side]:
    return read_side(str(both.folder)), read_side(str(tracked_run.result.folder))


def test_runs_are_compared_on_validation_by_default(sides: tuple[Side, Side]) -> None:
    floor, words = sides
    found = compare_sides(floor, words)
    assert (found.place, found.comparison.n) == ("validation", len(floor.parts["validation"].examples))
    assert found.comparison.macro_f1.second == pytest.approx(words.report.validation_macro_f1)
    assert (found.comparison.macro_f1.effect or 0) > 0.3
    assert sum(change.fixed for change in found.changes) > sum(change.broken for change in found.changes)
    assert compare_sides(floor, words, "test").comparison.macro_f1.second == pytest.approx(words.report.macro_f1)


@pytest.mark.parametrize("reference", ["{id}", "runs:/{id}", "models:/small-model/1", "{model}"])
def test_a_logged_run_reads_like_its_folder(both: RunResult, tracked_run: TrackedRun, reference: str) -> None:
    result = tracked_run.result
    found = read_side(reference.format(id=result.run_id, model=result.model_uri))
    here = read_side(str(result.artefact))
    assert found.report == here.report
    assert [example.id for example in found.parts["test"].examples] == [e.id for e in here.parts["test"].examples]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("models:/small-modle/1", r"no registered model 'small-modle' \(did you mean 'small-model'\?\)"),
        ("models:/small-model@best", "has no alias 'best'"),
        ("0" * 32, "does not have this model"),
    ],
)
def test_references_to_nothing_are_refused(both: RunResult, reference: str, message: str) -> None:
    with pytest.raises(ArtefactError, match=message):
        read_side(reference)


def changed(side: Side, **values: object) -> Side:
    return replace(side, report=side.report.extended(**values))


def test_other_splits_and_codebooks_are_refused(sides: tuple[Side, Side]) -> None:
    floor, words = sides
    with pytest.raises(DataError, match=r"different splits.*split\.manifest"):
        compare_sides(floor, changed(words, split_hash="0123456789abcdef"))
    codebook = {"name": "other", "version": "2", "hash": "f" * 64}
    with pytest.raises(DataError, match=r"different codebooks.*--data FILE"):
        compare_sides(floor, changed(words, codebook=codebook))


def test_other_ids_or_gold_are_refused(sides: tuple[Side, Side]) -> None:
    floor, words = sides
    part = words.parts["validation"]
    fewer = replace(
        part, examples=part.examples[1:], predicted=part.predicted[1:], probabilities=part.probabilities[1:]
    )
    lacking = part.examples[0].id
    for one, other in ((floor, replace(words, parts={"validation": fewer})),):
        with pytest.raises(DataError, match=f"1 example id of validation is missing in .*'{lacking}'"):
            compare_sides(one, other)
        with pytest.raises(DataError, match=f"1 example id of validation is missing in .*'{lacking}'"):
            compare_sides(other, one)
    disputed = [replace(part.examples[0], labels=("truce",) * (not part.examples[0].labels)), *part.examples[1:]]
    with pytest.raises(DataError, match=f"'{lacking}' has different gold labels"):
        compare_sides(floor, replace(words, parts={"validation": replace(part, examples=disputed)}))
    with pytest.raises(DataError, match="no part in common"):
        compare_sides(floor, replace(words, parts={}))


def test_models_are_compared_on_a_labelled_file(both: RunResult, tracked_run: TrackedRun, isolated: Path) -> None:
    examples = read_side(str(both.folder)).parts["test"].examples
    data = write_examples(isolated / "held.jsonl", examples)
    found = compare_models(str(both.folder), str(tracked_run.result.artefact), data)
    on_test = compare_sides(read_side(str(both.folder)), read_side(str(tracked_run.result.folder)), "test")
    assert found.place == "held.jsonl"
    assert found.comparison.macro_f1 == on_test.comparison.macro_f1
    (isolated / "empty.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"empty\.jsonl"):
        compare_models(str(both.folder), str(tracked_run.result.folder), isolated / "empty.jsonl")


def test_learned_sentences_in_the_file_are_named_for_each_model(tracked_run: TrackedRun, isolated: Path) -> None:
    run, data = tracked_run.result.folder, tracked_run.experiment.data.train
    done = CliRunner().invoke(app, ["compare", str(run), str(run / "artefact"), "--data", data])
    assert done.exit_code == 0, done.output
    output = " ".join(done.output.split())
    for name in (run, run / "artefact"):
        assert f"were in the training data of {name} (train or validation)" in output


def test_the_page_shows_hostile_texts_as_text(sides: tuple[Side, Side], isolated: Path) -> None:
    found = compare_sides(*sides)
    hostile = '<script>alert("x")</script>\u202e<img src=x onerror=alert(1)>'
    change = replace(found.changes[0], example=replace(found.changes[0].example, text=hostile))
    write_changes(replace(found, first="<b>A</b>", changes=(change,)), isolated / "changes.html")
    page = (isolated / "changes.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "<b>A" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_command_prints_and_writes(both: RunResult, tracked_run: TrackedRun, isolated: Path) -> None:
    arguments = ["compare", str(both.folder), str(tracked_run.result.folder)]
    done = CliRunner().invoke(app, [*arguments, "--html", "a.html", "--json", "a.json", "--show", "2"])
    assert done.exit_code == 0, done.output
    assert "B is better" in done.stdout
    assert "Note: the thresholds were tuned on these sentences" in done.stdout
    figures = json.loads((isolated / "a.json").read_text(encoding="utf-8"))
    assert figures["on"] == "validation"
    assert figures["changed"] >= figures["fixed"] + figures["broken"]
    assert "only the second labels correctly" in (isolated / "a.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "nowhere"], "nowhere: no such folder"),
        (["RUN", "RUN", "--part", "train"], "no predictions of the part 'train'"),
        (["RUN", "RUN", "--part", "test", "--data", "x.jsonl"], "cannot be combined"),
        (["RUN", "RUN", "--html", "absent/x.html"], "the folder absent does not exist"),
        (["damaged", "damaged"], "not the predictions of a run"),
    ],
)
def test_bad_input_is_one_message(tracked_run: TrackedRun, isolated: Path, arguments: list[str], message: str) -> None:
    run = tracked_run.result.folder
    (isolated / "damaged").mkdir()
    shutil.copy(run / "report.json", "damaged/report.json")
    Path("damaged/predictions.parquet").write_bytes(b"nothing")
    done = CliRunner().invoke(app, ["compare", *(str(run) if own == "RUN" else own for own in arguments)])
    assert done.exit_code == 2
    assert message in done.output
