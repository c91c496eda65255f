"""Artefacts that run on onnxruntime: what they say, what is written, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from labels.codebook.schema import Codebook, dump_codebook
from labels.errors import ArtefactError, DataError
from labels.text.examples import read_examples
from tests.lazy import Lazy
from tests.trainer.conftest import TrackedRun, examples_for, make_experiment, plain_codebook, texts_of, write_examples
from tests.trainer.serving.application import post
from trainer.calibration.calibration import Calibration, LabelCalibration
from trainer.classifiers.transformer import TransformerClassifier
from trainer.cli import app
from trainer.model.export import Agreement, Recall, compare, export_artefact, why_refused
from trainer.model.model import Model, read_manifest, save_artefact
from trainer.predict import predict_files
from trainer.runs.run import RunResult, run_experiment

PythonModelContext = Lazy("mlflow.pyfunc:PythonModelContext")
CommuniqueModel = Lazy("trainer.model.pyfunc:CommuniqueModel")

MULTI = plain_codebook("aid", "truce")
ONE_OF_OR_NONE = plain_codebook("aid", "truce", "threat", exclusive=True)
TEXTS = [
    "Rain fell.",
    f"Norway pledged 40 trucks for homes in the valley.{' Rain fell.' * 9}",
    "Japan promised a new loan and called for a truce.",
]


def run_command(*arguments: str | Path, code: int = 0) -> str:
    """What a command prints, on one line; it must end with this code and no traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return " ".join((result.stderr if code else result.stdout).split())


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Exported:
    """A run with 510 validation rows, its artefact as it was before any export, and the exported one."""

    run: RunResult
    before: dict[str, bytes]
    folder: Path
    printed: str = ""

    @property
    def source(self) -> Model:
        return self.run.model

    @property
    def model(self) -> Model:
        return Model.load(self.folder)


def train(folder: Path, codebook: Codebook, model: dict[str, Any]) -> RunResult:
    """A tiny model of one layer, trained in `folder` until it tells the labels apart."""
    (folder / "codebook.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    examples = examples_for(codebook, 760)
    parts = {"train": examples[:150], "validation": examples[150:660], "test": examples[660:]}
    data = {part: str(write_examples(folder / f"{part}.jsonl", own)) for part, own in parts.items()}
    settings = {"keep_layers": 1, "min_steps": 60, "learning_rate": 5e-3} | model
    experiment = make_experiment(folder, model["kind"], data=data, model=settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run_experiment(experiment, folder / "run")


@pytest.fixture(scope="module")
def finetuned_run(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, dict[str, bytes]]:
    """A multi-label `finetune` with mean pooling."""
    model = {"kind": "finetune", "encoder": str(tiny_encoder), "pooling": "mean", "epochs": 1}
    result = train(tmp_path_factory.mktemp("finetune"), MULTI, model | {"head_learning_rate": 1e-2})
    return result, everything_in(result.artefact)


@pytest.fixture(scope="module")
def multi(finetuned_run: tuple[RunResult, dict[str, bytes]]) -> Exported:
    """Exported in float32, checked on the run's validation rows."""
    result, before = finetuned_run
    folder = result.folder.parent / "float32"
    export_artefact(result.artefact, folder)
    return Exported(result, before, folder)


@pytest.fixture(scope="module")
def bytewise(finetuned_run: tuple[RunResult, dict[str, bytes]]) -> Exported:
    """Exported in int8 by the command."""
    result, before = finetuned_run
    folder = result.folder.parent / "int8"
    return Exported(result, before, folder, run_command("export", result.artefact, "--onnx", "--int8", "--out", folder))


@pytest.fixture(scope="module")
def exclusive(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """An exclusive `contrastive`, whose vectors have length 1, with the first token's state; checked on a file."""
    model = {"kind": "contrastive", "encoder": str(tiny_encoder), "pooling": "first", "max_steps": 60}
    result = train(tmp_path_factory.mktemp("contrastive"), ONE_OF_OR_NONE, model)
    before, folder = everything_in(result.artefact), result.folder.parent / "exported"
    data = result.folder.parent / "test.jsonl"
    printed = run_command("export", result.artefact, "--onnx", "--out", folder, "--data", data)
    return Exported(result, before, folder, printed)


@pytest.fixture(params=["multi", "exclusive"])
def exported(request: pytest.FixtureRequest) -> Exported:
    """Both float32 exports in turn."""
    found: Exported = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def alone(finetuned_run: tuple[RunResult, dict[str, bytes]], isolated: Path) -> Path:
    """The artefact of `finetuned_run` without the run that it came from."""
    return shutil.copytree(finetuned_run[0].artefact, isolated / "alone")


# -- what an exported model says


def test_it_says_what_the_model_says_that_it_was_made_from(exported: Exported) -> None:
    texts = texts_of(read_examples(exported.run.folder.parent / "test.jsonl", exported.source.codebook))
    before, after = exported.source.predict_proba(texts), exported.model.predict_proba(texts)
    assert before.std(axis=0).min() > 0.1  # so that a difference would show
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert exported.model.label_sets(after) == exported.source.label_sets(before)


@pytest.mark.parametrize(
    "texts",
    [[], ["Rain fell."], TEXTS, TEXTS[::-1] * 15, ["rain " * 300], ["", " "]],
    ids=["none", "one", "three", "more than a batch", "longer than the encoder takes", "empty"],
)
def test_batches_of_any_size_and_length(exported: Exported, texts: list[str]) -> None:
    after = exported.model.predict_proba(texts)
    assert after.dtype == np.float32
    assert after.shape == (len(texts), len(exported.source.labels))
    np.testing.assert_allclose(after, exported.source.predict_proba(texts), atol=1e-4)


def test_vectors_are_pooled_and_scaled_inside_the_graph(exported: Exported) -> None:
    source, classifier = exported.source.classifier, exported.model.classifier
    assert isinstance(source, TransformerClassifier)
    assert isinstance(classifier, TransformerClassifier)
    vectors = classifier.embed(TEXTS)
    np.testing.assert_allclose(vectors, source.embed(TEXTS), atol=1e-4)
    of_length_one = np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-4
    assert of_length_one.all() == (exported.run.report.kind == "contrastive")
    np.testing.assert_allclose(classifier.predict_embedded(vectors), classifier.predict_proba(TEXTS), atol=1e-6)


def test_eight_bits_say_nearly_the_same_in_a_smaller_file(bytewise: Exported, multi: Exported) -> None:
    before, after = bytewise.source.predict_proba(TEXTS * 20), bytewise.model.predict_proba(TEXTS * 20)
    assert 0 < np.abs(after - before).max() < 0.05
    sizes = [(made.folder / "classifier/onnx/model.onnx").stat().st_size for made in (bytewise, multi)]
    assert sizes[0] < sizes[1] / 2


def test_it_predicts_files_and_serves(exported: Exported, isolated: Path) -> None:
    model = exported.model
    (isolated / "article.txt").write_text(TEXTS[2], encoding="utf-8")
    predict_files(model, [isolated / "article.txt"], isolated / "tagged.jsonl")
    [row] = [json.loads(line) for line in (isolated / "tagged.jsonl").read_text("utf-8").splitlines()]
    [served] = post(model, {"texts": [TEXTS[2]]}).json()["predictions"]
    [probabilities] = model.predict_proba(TEXTS[2:])
    assert row["model_id"] == model.id
    for said in (row, served):
        assert list(said["probabilities"].values()) == pytest.approx(probabilities.tolist(), abs=1e-5)


def test_mlflow_opens_it(bytewise: Exported) -> None:
    opened = CommuniqueModel()
    opened.load_context(PythonModelContext({"artefact": str(bytewise.folder)}, None))
    answers = opened.predict(None, pd.DataFrame({"text": TEXTS}))
    assert [tuple(labels) for labels in answers["labels"]] == bytewise.source.label_sets(
        bytewise.source.predict_proba(TEXTS)
    )


def test_predicting_imports_neither_torch_nor_transformers(bytewise: Exported) -> None:
    code = (
        "import sys; from trainer.model.model import Model; "
        f"Model.load({str(bytewise.folder)!r}).predict_proba(['Rain fell.']); "
        "print(*{'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == ""


# -- what is written


def test_the_artefact_it_was_made_from_stays_as_it_is(exported: Exported, bytewise: Exported) -> None:
    for made in (exported, bytewise):
        assert everything_in(made.run.artefact) == made.before


def test_the_manifest_is_the_sources_with_what_was_exported_and_checked(exported: Exported) -> None:
    old, new = read_manifest(exported.run.artefact), read_manifest(exported.folder)
    same = new.model_copy(update={"details": old.details, "files": old.files, "packages": old.packages})
    assert same == old
    assert new.digest != old.digest
    assert new.packages.items() > old.packages.items()
    details = new.details
    assert details.items() >= old.details.items()
    assert (details["engine"], details["precision"], details["exported_from"]) == ("onnxruntime", "float32", old.digest)
    check = details["check"]
    assert (check["agreeing"], check["apart"]) == (1, 0)
    assert 0 <= check["largest_difference"] < 1e-4
    assert list(check["recalls"]) == list(old.labels)


def test_the_check_rows_are_the_validation_rows_or_those_of_a_file(multi: Exported, exclusive: Exported) -> None:
    checks = [read_manifest(made.folder).details["check"] for made in (multi, exclusive)]
    assert [(check["rows"], check["origin"]) for check in checks] == [
        (510, "the run's validation rows"),
        (100, "test.jsonl"),
    ]
    validation = read_examples(multi.run.folder.parent / "validation.jsonl", MULTI)
    positives = {label: sum(label in example.labels for example in validation) for label in MULTI.label_names}
    assert {label: recall["positives"] for label, recall in checks[0]["recalls"].items()} == positives


def test_the_folder_holds_a_graph_and_no_weights_of_torch(exported: Exported) -> None:
    files = {path for path in everything_in(exported.folder) if path.startswith("classifier/")}
    encoder = {path for path in files if path.startswith("classifier/encoder/")}
    assert files - encoder == {
        f"classifier/{name}" for name in ("onnx/model.onnx", "head.safetensors", "settings.json")
    }
    assert {Path(path).suffix for path in encoder} <= {".json", ".txt"}
    assert {"classifier/encoder/config.json", "classifier/encoder/tokenizer.json"} <= encoder
    assert files <= set(read_manifest(exported.folder).files)


def test_the_graph_names_no_folder_of_this_machine(exported: Exported) -> None:
    graph = (exported.folder / "classifier/onnx/model.onnx").read_bytes()
    for name in (str(Path(__file__).parents[3]), "site-packages", "stack_trace"):
        assert name.encode() not in graph


def test_it_describes_itself_as_the_model_did_that_it_was_made_from(exported: Exported) -> None:
    assert exported.model.classifier.describe() == exported.source.classifier.describe()


def test_saving_a_loaded_one_changes_nothing(exported: Exported, isolated: Path) -> None:
    (isolated / "again").mkdir()
    exported.model.classifier.save(isolated / "again")
    assert everything_in(isolated / "again") == everything_in(exported.folder / "classifier")


def test_the_command_prints_what_was_compared(bytewise: Exported) -> None:
    printed, check = bytewise.printed, read_manifest(bytewise.folder).details["check"]
    recall = check["recalls"]["aid"]
    assert f"recall aid {recall['before']:.3f} {recall['after']:.3f} {recall['positives']}" in printed
    assert f"{check['agreeing']:.2%} of the label sets agree on 510 rows (the run's validation rows)" in printed
    assert f"model {bytewise.model.id}, int8, for onnxruntime" in printed
    assert f"communique serve {bytewise.folder}" in printed
    size = sum(map(len, everything_in(bytewise.folder).values())) / 1e6
    assert f" {size:.1f} " in printed


def test_an_altered_graph_is_refused(multi: Exported, isolated: Path) -> None:
    folder = shutil.copytree(multi.folder, isolated / "altered")
    graph = folder / "classifier/onnx/model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtefactError, match=r"model\.onnx: this file was altered"):
        Model.load(folder)


# -- what is refused


def test_without_onnxruntime_it_says_what_to_install(multi: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ArtefactError, match=r'pip install "communique\[onnx\]"'):
        Model.load(multi.folder)
    with pytest.raises(ArtefactError, match=r'pip install "communique\[onnx\]"'):
        export_artefact(multi.run.artefact, Path("out"))
    assert not Path("out").exists()


def hard_to_round(artefact: Path, folder: Path, texts: list[str]) -> Path:
    """The model with weights that 8 bits cannot hold, and label sets that hang on little, as a new artefact.

    One weight of each output becomes huge on an input that is always 0: that changes nothing but the scale of the rest.
    The thresholds lie in the midst of what the model says of `texts`.
    """
    import torch

    model = Model.load(artefact)
    assert isinstance(model.classifier, TransformerClassifier)
    assert model.classifier.network_ is not None
    assert model.manifest is not None
    encoder = model.classifier.network_.encoder
    [layer] = encoder.encoder.layer
    with torch.no_grad():
        for norm in (encoder.embeddings.LayerNorm, layer.attention.output.LayerNorm):
            norm.weight[0] = norm.bias[0] = 0
        for linear in (layer.attention.self.value, layer.intermediate.dense):
            linear.weight[:, 0] = 1e4
    cuts = np.quantile(model.predict_proba(texts), 0.25, axis=0)
    labels = [replace(label, threshold=float(cut)) for label, cut in zip(model.calibration.labels, cuts, strict=True)]
    calibration = replace(model.calibration, labels=tuple(labels))
    folder.mkdir()
    manifest = model.manifest.model_copy(update={"calibration": calibration})
    save_artefact(folder, manifest, model.codebook, model.classifier)
    return folder


def test_eight_bits_that_change_too_many_label_sets_are_refused(alone: Path, isolated: Path) -> None:
    examples = examples_for(MULTI, 600)
    data = write_examples(isolated / "rows.jsonl", examples)
    hard = hard_to_round(alone, isolated / "hard", texts_of(examples))
    said = run_command("export", hard, "--onnx", "--int8", "--out", "out", "--data", data, code=2)
    [share] = re.findall(r"hard: int8 is refused: on 600 rows \(rows.jsonl\), ([\d.]+)% of the label sets agree", said)
    assert float(share) < 99
    assert re.search(r"aid \d\.\d+ -> \d\.\d+", said)
    assert said.endswith("Nothing was written. Export the model in float32, without --int8.")
    assert {path.name for path in isolated.iterdir()} == {"alone", "hard", "rows.jsonl"}


def test_no_model_is_exported_unchecked(alone: Path) -> None:
    with pytest.raises(
        DataError, match=r"alone: 0 validation rows in its run folder, but an export needs check rows.*--data"
    ):
        export_artefact(alone, Path("out"))
    assert not Path("out").exists()


def test_eight_bits_are_checked_on_no_fewer_than_500_rows(alone: Path, isolated: Path) -> None:
    data = write_examples(isolated / "rows.jsonl", examples_for(MULTI, 499))
    with pytest.raises(
        DataError, match=r"rows\.jsonl: 499 labelled rows, but int8 needs at least 500 check rows.*--data"
    ):
        export_artefact(alone, Path("out"), int8=True, data=data)
    assert not Path("out").exists()


@pytest.mark.parametrize("change", ["another model's run", "a run of an older version", "no run's report"])
def test_rows_that_are_not_the_runs_own_validation_rows_do_not_count(
    finetuned_run: tuple[RunResult, dict[str, bytes]], isolated: Path, change: str
) -> None:
    run = shutil.copytree(finetuned_run[0].folder, isolated / "run")
    if change == "another model's run":
        report = json.loads((run / "report.json").read_text("utf-8"))
        (run / "report.json").write_text(json.dumps(report | {"model_id": "another"}), encoding="utf-8")
    elif change == "no run's report":
        (run / "report.json").write_text("[]", encoding="utf-8")
    else:
        drop_validation_rows(run / "predictions.parquet")
    with pytest.raises(DataError, match=r"artefact: 0 validation rows"):
        export_artefact(run / "artefact", Path("out"))


def drop_validation_rows(path: Path) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    pq.write_table(table.filter(pc.equal(table["split"], "test")), path)


def test_kinds_without_an_encoder_of_their_own_are_refused(tracked_run: TrackedRun) -> None:
    with pytest.raises(ArtefactError, match=r"kind tfidf cannot be exported.*contrastive, finetune"):
        export_artefact(tracked_run.result.artefact, Path("out"))


def test_an_exported_model_is_not_exported_again(multi: Exported) -> None:
    with pytest.raises(ArtefactError, match=f"is already an export.*{multi.source.id}"):
        export_artefact(multi.folder, Path("out"), data=multi.run.folder.parent / "test.jsonl")


def test_an_occupied_folder_is_refused_and_left_as_it_is(multi: Exported) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"out: .*--overwrite"):
        export_artefact(multi.run.artefact, Path("out"))
    assert everything_in(Path("out")) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("out", ["alone", ".", "alone/onnx"])
def test_the_artefact_itself_is_no_place_for_its_export(alone: Path, out: str) -> None:
    before = everything_in(alone)
    for overwrite in (False, True):
        with pytest.raises(DataError, match=r"Choose another|Choose a folder inside"):
            export_artefact(alone, Path(out), overwrite=overwrite)
    assert everything_in(alone) == before


def test_the_command_asks_for_a_format(multi: Exported) -> None:
    assert "Add --onnx" in run_command("export", multi.run.artefact, "--out", "out", code=2)


# -- the comparison


def agreement_of(
    before: list[list[float]], after: list[list[float]], gold: list[list[bool]], *, exclusive: bool = False
) -> Agreement:
    codebook = plain_codebook("aid", "truce", exclusive=exclusive)
    label = LabelCalibration("none", 0, 0, threshold=0.4)
    calibration = Calibration(exclusive, (label, label), label if exclusive else None)
    arrays: list[NDArray[np.float32]] = [np.array(rows, dtype=np.float32) for rows in (before, after)]
    return compare(*arrays, np.array(gold), Model(codebook, None, calibration), "rows")  # type: ignore[arg-type]


def test_agreement_counts_label_sets_differences_and_recall() -> None:
    before = [[0.9, 0.1], [0.9, 0.5], [0.1, 0.1], [0.2, 0.9]]
    after = [[0.9, 0.1], [0.3, 0.5], [0.1, 0.1], [0.2, 0.8]]
    found = agreement_of(before, after, [[True, False], [True, True], [True, False], [False, True]])
    assert (found.rows, found.agreeing, found.apart) == (4, 0.75, 1)
    assert found.largest_difference == pytest.approx(0.6)
    assert found.recalls == {"aid": Recall(3, 2 / 3, 1 / 3), "truce": Recall(2, 1, 1)}
    assert found.unjudged == ()


def test_a_label_without_gold_is_not_judged() -> None:
    found = agreement_of([[0.9, 0.9]], [[0.9, 0.1]], [[True, False]])
    assert found.recalls["truce"] == Recall(0, None, None)
    assert found.unjudged == ("truce",)


@pytest.mark.parametrize(
    ("before", "after", "exclusive", "apart"),
    [
        ([0.4005, 0.1], [0.3996, 0.1], False, 0),
        ([0.402, 0.1], [0.399, 0.1], False, 1),
        ([0.4005, 0.7], [0.3996, 0.2], False, 1),
        ([0.4005, 0.3995], [0.3996, 0.4], True, 0),
        ([0.403, 0.397], [0.39, 0.4], True, 1),
        ([0.0, 0.5005], [0.0, 0.4995], True, 0),
    ],
    ids=["at its threshold", "above it", "one of two", "classes alike", "one likelier", "like none"],
)
def test_only_what_the_tolerance_decides_may_differ(
    before: list[float], after: list[float], exclusive: bool, apart: int
) -> None:
    found = agreement_of([before], [after], [[True, False]], exclusive=exclusive)
    assert (found.agreeing, found.apart) == (0, apart)


GOOD = Agreement("rows", 1000, 1.0, 0, 0.0, {"aid": Recall(100, 0.9, 0.9), "truce": Recall(0, None, None)})


@pytest.mark.parametrize(
    ("precision", "changes", "reason"),
    [
        ("float32", {}, ""),
        ("float32", {"largest_difference": 0.001, "agreeing": 0.999}, ""),
        ("float32", {"largest_difference": 0.0011}, "probabilities differ by up to 0.0011"),
        ("float32", {"apart": 1}, "label sets only if such a difference changes the decision"),
        ("int8", {"largest_difference": 0.4, "agreeing": 0.99, "apart": 10}, ""),
        ("int8", {"agreeing": 0.989}, "98.90% of the label sets agree"),
        ("int8", {"recalls": {"aid": Recall(100, 0.9, 0.88)}}, ""),
        ("int8", {"recalls": {"aid": Recall(100, 0.9, 0.87)}}, "aid 0.900 -> 0.870 (too low)"),
        ("int8", {"recalls": {"aid": Recall(100, 0.8, 0.9)}}, ""),
    ],
)
def test_what_is_refused_by_its_figures(precision: str, changes: dict[str, Any], reason: str) -> None:
    said = why_refused(replace(GOOD, **changes), precision)
    assert bool(said) == bool(reason)
    assert reason in said
