"""Cascades whose expensive model runs on onnxruntime: what changes, what stays to the bit, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from labels.codebook.schema import codebook_from_dict, dump_codebook
from labels.errors import ArtefactError, DataError
from labels.records import Example
from tests.trainer.conftest import make_experiment, texts_of, tiny_section, write_examples
from trainer.classifiers import onnx as network_graph
from trainer.classifiers.cascades.cascade import CascadeClassifier
from trainer.classifiers.onnx import OnnxNetwork
from trainer.cli import app
from trainer.model.export import ExportReport, export_artefact
from trainer.model.model import Model, read_manifest
from trainer.runs.run import RunResult, run_experiment

CODEBOOK = codebook_from_dict(
    {"name": "cues", "labels": [{"name": "aid", "cues": ["trucks"]}, {"name": "truce", "cues": ["truce"]}]}, "cues"
)
GRAPH = "classifier/expensive/onnx/model.onnx"


def sentence(i: int) -> tuple[str, tuple[str, ...]]:
    """Where there are no trucks, there may be aid without a cue: of that the cheap model is not sure."""
    who, week = ("Norway", "Japan", "Chile", "Ghana")[i // 10 % 4], i * 7919 % 10007
    said, labels = (
        ("pledged trucks", ("aid",)),
        ("promised a loan", ("aid",)),
        ("urged a truce", ("truce",)),
        ("had rain", ()),
    )[(0, 0, 0, 1, 1, 2, 2, 3, 3, 3)[i % 10]]
    return f"{who} {said} in week {week}.", labels


def sentences(n: int) -> list[Example]:
    """Different sentences, each a document of its own."""
    return [Example(f"e{i:04d}", f"d{i:04d}", *sentence(i)) for i in range(n)]


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cascade_of(model: Model) -> CascadeClassifier:
    assert isinstance(model.classifier, CascadeClassifier)
    return model.classifier


def train(folder: Path, expensive: dict[str, Any]) -> RunResult:
    """A cascade of cues and this model, trained in `folder`."""
    (folder / "codebook.toml").write_text(dump_codebook(CODEBOOK), encoding="utf-8")
    write_examples(folder / "data.jsonl", sentences(800))
    model = {"cheap": {"kind": "keywords"}, "expensive": expensive, "max_disagreement": 0.05}
    split = {"train": 0.4, "validation": 0.5, "test": 0.1}
    return run_experiment(make_experiment(folder, "cascade", model=model, split=split), folder / "run")


@dataclass(frozen=True)
class Exported:
    """A run of a cascade, its artefact as it was before the export, what the export reports, and both models."""

    run: RunResult
    before: dict[str, bytes]
    report: ExportReport
    source: Model
    model: Model


@pytest.fixture(scope="module")
def exported(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """`keywords` before a tiny `finetune`, checked on the run's validation rows."""
    folder = tmp_path_factory.mktemp("cascade")
    expensive = tiny_section(tiny_encoder, keep_layers=1, min_steps=80).model_dump()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = train(folder, expensive)
        before = everything_in(run.artefact)
        report = export_artefact(run.artefact, folder / "exported")
    return Exported(run, before, report, Model.load(run.artefact), Model.load(report.folder))


@pytest.fixture
def same_graph(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are copies of the one that was written: writing one takes long."""

    def copy(_network: object, path: Path, *, int8: bool) -> None:
        assert not int8
        shutil.copyfile(exported.report.folder / GRAPH, path)

    monkeypatch.setattr(network_graph, "write_graph", copy)


# -- what an exported cascade says


def test_it_says_what_the_cascade_says_that_it_was_made_from(exported: Exported) -> None:
    texts = texts_of(sentences(1100)[-300:])
    before, after = exported.source.predict_proba(texts), exported.model.predict_proba(texts)
    assert before.std(axis=0).min() > 0.1  # so that a difference would show
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert exported.model.label_sets(after) == exported.source.label_sets(before)
    answered = cascade_of(exported.model).answered(texts)
    np.testing.assert_array_equal(answered, ["trucks" in text for text in texts])  # so that both models are asked
    np.testing.assert_array_equal(cascade_of(exported.source).answered(texts), answered)
    np.testing.assert_array_equal(after[answered], before[answered])


def test_predicting_imports_neither_torch_nor_transformers(exported: Exported) -> None:
    code = (
        "import sys; from trainer.model.model import Model; "
        f"Model.load({str(exported.report.folder)!r}).predict_proba(['Japan had rain.']); "
        "print(*{'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert cascade_of(exported.model).read_by_exported(["Japan had rain."]).all()
    assert done.stdout.strip() == ""


# -- what is written


def test_the_expensive_model_alone_is_another(exported: Exported) -> None:
    files = everything_in(exported.report.folder)
    apart = {name for name in {*files, *exported.before} if files.get(name) != exported.before.get(name)}
    assert {GRAPH, "manifest.json"} <= apart
    assert {name for name in apart if not name.startswith("classifier/expensive/")} == {"manifest.json"}
    assert {"classifier/cascade.json", "classifier/cheap/rates.json"} <= set(files)
    assert {name for name in apart if name not in files} == {"classifier/expensive/encoder/model.safetensors"}


def test_the_artefact_it_was_made_from_stays_as_it_is(exported: Exported) -> None:
    assert everything_in(exported.run.artefact) == exported.before


def test_the_manifest_keeps_certificate_and_calibration(exported: Exported) -> None:
    old, new = read_manifest(exported.run.artefact), read_manifest(exported.report.folder)
    assert new.model_copy(update={"details": old.details, "files": old.files, "packages": old.packages}) == old
    assert new.details.items() >= old.details.items()
    assert new.details["certificate"] == exported.run.report.to_dict()["certificate"]
    assert (new.details["precision"], new.details["exported_from"]) == ("float32", old.digest)
    assert exported.report.model_id == new.digest != old.digest
    assert exported.model.classifier.describe() == exported.source.classifier.describe()


def test_it_is_checked_on_the_runs_validation_rows(exported: Exported) -> None:
    check = exported.report.agreement
    assert (check.origin, check.agreeing, check.apart) == ("the run's validation rows", 1, 0)
    assert check.rows == pytest.approx(400, abs=4)
    assert 0 < check.largest_difference < 1e-4  # so that some rows were read by the graph


def test_saving_a_loaded_one_changes_nothing(exported: Exported, isolated: Path) -> None:
    (isolated / "again").mkdir()
    exported.model.classifier.save(isolated / "again")
    assert everything_in(isolated / "again") == everything_in(exported.report.folder / "classifier")


@pytest.mark.usefixtures("same_graph")
def test_a_cheap_model_stays_as_it_is_whatever_its_kind(exported: Exported, isolated: Path) -> None:
    """The rule was chosen on what it said of single rows: its last digit decides who answers these."""
    cascade = cascade_of(Model.load(exported.run.artefact))
    assert cascade.fitted_ is not None
    cascade.fitted_ = cascade.fitted_.model_copy(update={"cheap": cascade.fitted_.expensive})
    (isolated / "model").mkdir()
    cascade.save_exported(isolated / "model", int8=False)
    files = everything_in(isolated / "model")
    assert {"cheap/encoder/model.safetensors", "expensive/onnx/model.onnx"} <= set(files)
    assert not {"expensive/encoder/model.safetensors", "cheap/onnx/model.onnx"} & set(files)


# -- what is refused


@pytest.mark.usefixtures("same_graph")
def test_one_that_says_something_else_is_refused(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = OnnxNetwork.encode
    monkeypatch.setattr(OnnxNetwork, "encode", lambda network, *inputs: encode(network, *inputs) + np.float32(0.1))
    with pytest.raises(ArtefactError, match=r"artefact: float32 is refused: on \d+ rows .* Nothing was written\."):
        export_artefact(exported.run.artefact, Path("out"))
    assert not Path("out").exists()


def test_eight_bits_are_refused_for_the_certificate(exported: Exported) -> None:
    """Before the 400 check rows are counted: more of them would not help."""
    result = CliRunner().invoke(app, ["export", str(exported.run.artefact), "--onnx", "--int8", "--out", "out"])
    said = " ".join(result.stderr.split())
    assert result.exit_code == 2
    assert "a cascade cannot be exported in int8, because its certificate holds for finetune in float32. " in said
    assert said.endswith('or train finetune alone (model.kind = "finetune") and export this model.')
    assert not Path("out").exists()


def test_the_classifier_itself_refuses_eight_bits(exported: Exported, isolated: Path) -> None:
    with pytest.raises(ArtefactError, match="cannot be exported in int8"):
        cascade_of(exported.source).save_exported(isolated, int8=True)
    assert not list(isolated.iterdir())


@pytest.mark.parametrize("int8", [False, True])
def test_an_exported_cascade_is_not_exported_again(exported: Exported, int8: bool) -> None:
    with pytest.raises(ArtefactError, match=f"is already an export.*{exported.source.id}"):
        export_artefact(exported.report.folder, Path("out"), int8=int8)


@pytest.mark.parametrize("int8", [False, True])
def test_a_cascade_without_an_encoder_of_its_own_is_refused(words: RunResult, int8: bool) -> None:
    with pytest.raises(
        ArtefactError, match=r"expensive model is of kind tfidf cannot be exported.* without exporting it\."
    ):
        export_artefact(words.artefact, Path("out"), int8=int8)
    assert not Path("out").exists()


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A cascade of `keywords` and `tfidf`."""
    folder = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return train(folder, {"kind": "tfidf", "word_ngrams": 2})


def test_rows_that_the_cheap_model_answers_check_nothing(exported: Exported, isolated: Path) -> None:
    rows = sentences(200)
    answered = cascade_of(exported.source).answered(texts_of(rows))
    easy = [row for row, sure in zip(rows, answered, strict=True) if sure]
    data = write_examples(isolated / "easy.jsonl", easy)
    with pytest.raises(DataError, match=rf"none of the {len(easy)} check rows \(easy.jsonl\).*--data"):
        export_artefact(exported.run.artefact, Path("out"), data=data)
    assert not Path("out").exists()
