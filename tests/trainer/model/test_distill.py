"""Students of a model: what they learn, what is compared, what is saved, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import communique
from labels.codebook.schema import dump_codebook
from labels.errors import DataError, ExperimentError
from tests.conftest import make_examples
from tests.trainer.conftest import (
    disturbed,
    fill_store,
    make_experiment,
    plain_codebook,
    texts_of,
    tiny_section,
    write_examples,
)
from trainer.classifiers.finetune import FinetuneClassifier
from trainer.cli import app
from trainer.model.distill import distill
from trainer.model.model import Model, read_manifest
from trainer.runs.run import RunResult, run_experiment

CODEBOOK = plain_codebook("aid", "truce")
UNLABELLED = texts_of(make_examples(900)[400:])


@dataclass(frozen=True)
class Taught:
    """A run of a tiny `finetune`, and the folder that it lies in."""

    run: RunResult
    folder: Path


@pytest.fixture(scope="module")
def taught(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    folder = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "codebook.toml").write_text(dump_codebook(CODEBOOK), encoding="utf-8")
        write_examples(folder / "data.jsonl", disturbed(make_examples(400)))
        model = tiny_section(tiny_encoder, min_steps=120).model_dump()
        return Taught(run_experiment(make_experiment(folder, "finetune", model=model), folder / "run"), folder)


def test_a_student_has_the_first_layers_of_its_teacher(taught: Taught, isolated: Path) -> None:
    before = {path: path.read_bytes() for path in taught.run.artefact.rglob("*") if path.is_file()}
    report = communique.distill(taught.run.folder, UNLABELLED, isolated / "small", layers=1, epochs=3)
    teacher, student = Model.load(taught.run.artefact), Model.load(report.folder)
    assert {path: path.read_bytes() for path in before} == before
    assert isinstance(student.classifier, FinetuneClassifier)
    assert student.classifier.network_ is not None
    assert student.classifier.network_.encoder.config.num_hidden_layers == 1
    assert student.classifier.describe()["parameters"] < teacher.classifier.describe()["parameters"]
    np.testing.assert_array_equal(student.calibration.thresholds, teacher.calibration.thresholds)
    assert {label.method for label in student.calibration.labels} == {"none"}
    assert report.agreeing > 0.8
    assert report.comparison.macro_f1.low is not None
    assert report.origin == "the run's validation rows"


def test_a_static_student_needs_no_encoder(taught: Taught, isolated: Path) -> None:
    (isolated / "more.txt").write_text("\n".join(UNLABELLED), encoding="utf-8")
    report = distill(taught.run.artefact, isolated / "more.txt", isolated / "small", static=True)
    assert report.agreeing > 0.8
    assert report.texts == len(set(UNLABELLED))
    manifest = read_manifest(report.folder)
    assert (manifest.kind, manifest.details["distilled_from"]) == ("static", Model.load(taught.run.artefact).id)
    assert manifest.training_ids == read_manifest(taught.run.artefact).training_ids
    assert manifest.profile is None
    assert manifest.details["check"]["agreeing"] == report.agreeing


def test_texts_of_the_labelled_rows_are_left_out(taught: Taught, isolated: Path) -> None:
    rows = make_examples(400)[:40]
    data = write_examples(isolated / "rows.jsonl", rows)
    report = distill(taught.run.artefact, [*UNLABELLED, *texts_of(rows)], isolated / "out", static=True, data=data)
    assert report.texts == len(set(UNLABELLED) - set(texts_of(rows)))
    assert report.comparison.n == 40


def test_a_command_learns_from_the_store_and_prints_the_loss(taught: Taught, isolated: Path) -> None:
    fill_store(isolated / "team.db", CODEBOOK, make_examples(900)[400:], annotate=False)
    arguments = ["distill", str(taught.run.artefact), "--store", "team.db", "--static", "--out", "small"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "F1 model student difference 95% interval positives macro" in said
    assert f"The student learned from {len(set(UNLABELLED)):,} texts." in said
    assert "Next: communique predict small" in said
    content = json.loads(Path("small/manifest.json").read_text("utf-8"))
    assert content["details"]["texts"] == len(set(UNLABELLED))


def test_few_texts_are_refused(taught: Taught, isolated: Path) -> None:
    with pytest.raises(ExperimentError, match=r"^99 texts to learn from, but a student needs at least 100"):
        distill(taught.run.artefact, [f"Rain fell on day {i}." for i in range(99)], isolated / "out")
    assert not (isolated / "out").exists()


def test_more_layers_than_the_teacher_has_are_refused(taught: Taught, isolated: Path) -> None:
    with pytest.raises(ExperimentError, match="the encoder has only 3 layers"):
        distill(taught.run.artefact, UNLABELLED, isolated / "out", layers=4)
    assert not (isolated / "out").exists()


def test_without_labelled_rows_nothing_is_compared(taught: Taught, isolated: Path) -> None:
    copied = Model.load(taught.run.artefact)
    assert copied.manifest is not None
    (isolated / "artefact").mkdir()
    for path in taught.run.artefact.rglob("*"):
        if path.is_file():
            target = isolated / "artefact" / path.relative_to(taught.run.artefact)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="but a comparison needs labelled rows"):
        distill(isolated / "artefact", UNLABELLED, isolated / "out")


def test_texts_or_a_store_must_be_named(taught: Taught, isolated: Path) -> None:
    result = CliRunner().invoke(app, ["distill", str(taught.run.artefact), "--out", "small"])
    assert result.exit_code == 2
    assert "either with --texts or with --store" in " ".join(result.stderr.split())


def test_a_static_student_with_layers_is_refused(taught: Taught, isolated: Path) -> None:
    (isolated / "texts.txt").write_text("\n".join(UNLABELLED), encoding="utf-8")
    arguments = ["distill", str(taught.run.artefact), "--out", "small", "--texts", "texts.txt"]
    result = CliRunner().invoke(app, [*arguments, "--static", "--layers", "1"])
    assert result.exit_code == 2
    assert "--static and --layers" in result.output
    assert not (isolated / "small").exists()
