from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from labels.errors import DataError
from tests.trainer.conftest import TrackedRun, write_examples
from trainer.cli import app
from trainer.data.predicted import write_predictions
from trainer.evaluation.failures.mistakes import find_mistakes
from trainer.evaluation.report import Outcome
from trainer.runs.choice.sides import read_side
from trainer.runs.publication.charts import confusion_table, precision_at_prevalence
from trainer.runs.publication.escapes import markdown, tex
from trainer.runs.publication.material import Contents, read_contents
from trainer.runs.publication.publishing import PAGES, publish
from trainer.runs.run import RunResult

HOSTILE = '<script>alert("x")</script></title><img src=x onerror=alert(1)> | \\input{/etc/passwd} %\u202e'


@pytest.fixture(scope="module")
def contents(tracked_run: TrackedRun) -> Contents:
    return read_contents(str(tracked_run.result.folder))


def written(contents: Contents, folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in publish(contents, folder)}


def test_all_pages_have_the_figures_of_the_report(contents: Contents, isolated: Path) -> None:
    pages = written(contents, isolated / "pages")
    assert set(pages) == set(PAGES)
    macro = f"{contents.report.macro_f1:.3f}"
    assert all(macro in page for page in pages.values())
    assert contents.test_hash in pages["report.html"]
    assert pages["report.html"].count("<svg") == 5
    assert "report.json: macro_f1, intervals.macro_f1" in pages["table.tex"]
    assert re.search(r"\| macro-F1 \| .* \| report.json: macro\\_f1", pages["methods.md"])


def test_the_page_needs_no_network(contents: Contents, isolated: Path) -> None:
    page = written(contents, isolated / "pages")["report.html"]
    assert re.findall(r"src=|href=\"(?!#)|@import|url\(", page) == []
    assert "default-src 'none'" in page


def test_the_metadata_block_is_the_hubs(contents: Contents, isolated: Path) -> None:
    card = written(contents, isolated / "pages")["MODEL_CARD.md"]
    block = yaml.safe_load(card.split("---\n")[1])
    (result,) = block["model-index"][0]["results"]
    assert block["pipeline_tag"] == result["task"]["type"] == "text-classification"
    assert result["metrics"][0] == {"type": "f1", "name": "macro-F1", "value": round(contents.report.macro_f1 or 0, 4)}


def test_hostile_texts_are_shown_as_text(contents: Contents, isolated: Path) -> None:
    examples = [replace(example, text=HOSTILE, document_id=HOSTILE) for example in contents.data.examples]
    report = contents.report.extended(experiment=HOSTILE, data=HOSTILE, kind=HOSTILE, notes=[HOSTILE])
    data = replace(contents.data, examples=examples)
    pages = written(replace(contents, data=data, report=report), isolated / "pages")
    assert find_mistakes(contents.outcome, contents.data.examples) != []
    for name in ("report.html", "MODEL_CARD.md", "methods.md"):
        assert not re.search(r"<script>alert|<img", pages[name].split("---\n")[-1]), name
    assert pages["report.html"].count("<script>") == 1
    assert "&lt;script&gt;alert" in pages["report.html"]
    assert "\u202e" not in "".join(pages.values())
    assert yaml.safe_load(pages["MODEL_CARD.md"].split("---\n")[1])["tags"][1] == HOSTILE.replace("\u202e", "\\u202e")


@pytest.mark.parametrize("reference", ["RUN", "ARTEFACT", "ID", "MODEL"])
def test_a_run_is_found_in_every_way(tracked_store: str, tracked_run: TrackedRun, reference: str) -> None:
    result = tracked_run.result
    named = {"RUN": result.folder, "ARTEFACT": result.artefact, "ID": result.run_id, "MODEL": result.model_uri}
    found = read_contents(str(named[reference]))
    assert found.manifest is not None
    assert (found.manifest.digest, found.report.macro_f1) == (result.model.id, result.report.macro_f1)
    assert found.codebook == tracked_run.codebook


def test_a_model_is_evaluated_on_new_rows(tracked_run: TrackedRun, contents: Contents, isolated: Path) -> None:
    data = write_examples(isolated / "new.jsonl", contents.data.examples)
    found = read_contents(str(tracked_run.result.artefact), data)
    assert found.report.macro_f1 == contents.report.macro_f1
    assert found.test_hash == contents.test_hash


def test_an_exclusive_codebook_has_no_thresholds(exclusive_run: RunResult, isolated: Path) -> None:
    pages = written(read_contents(str(exclusive_run.folder)), isolated / "pages")
    assert "F1 by threshold" not in pages["report.html"]
    assert "argmax" in pages["report.html"]
    assert "at most one label" in pages["MODEL_CARD.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["alone"], "no predictions beside it"),
        (["RUN", "--out", "alone"], "is a saved model, which must not be changed"),
        (["RUN", "--data", "nothing.csv"], "nothing.csv"),
    ],
)
def test_bad_input_is_one_message(tracked_run: TrackedRun, isolated: Path, arguments: list[str], message: str) -> None:
    shutil.copytree(tracked_run.result.artefact, isolated / "alone")
    run = str(tracked_run.result.folder)
    done = CliRunner().invoke(app, ["report", *(run if own == "RUN" else own for own in arguments)])
    assert done.exit_code == 2
    assert message in done.output
    assert not (isolated / "reports").exists()


def test_the_command_names_its_files(tracked_run: TrackedRun, isolated: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tracked_run.result.folder)])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (isolated / "reports" / "out").iterdir()} == set(PAGES)


def outcome(gold: list[list[int]], predicted: list[list[int]]) -> Outcome:
    arrays = np.array(gold, dtype=bool), np.array(predicted, dtype=bool)
    groups = list(range(len(gold)))
    return Outcome(("aid", "truce"), False, *arrays, arrays[1].astype(float), groups, np.array([0.5, 0.5]))


def test_confusion_pairs_missed_labels_with_wrong_ones() -> None:
    gold, predicted = [[1, 0], [1, 0], [0, 0], [0, 0], [1, 1]], [[1, 0], [0, 1], [0, 1], [0, 0], [1, 0]]
    names, matrix = confusion_table(outcome(gold, predicted))
    assert names == ("aid", "truce", "none")
    assert matrix == [[2, 1, 0], [0, 0, 1], [0, 1, 1]]


def test_precision_at_the_own_prevalence_is_the_measured_precision() -> None:
    found = outcome([[1, 0]] * 20 + [[0, 0]] * 80, [[1, 0]] * 15 + [[0, 0]] * 75 + [[1, 0]] * 10)
    assert precision_at_prevalence(found, 0, 0.2) == pytest.approx(15 / 25)
    assert (precision_at_prevalence(found, 0, 0.01) or 1) < 0.1
    assert precision_at_prevalence(found, 1, 0.2) is None


@given(st.text())
def test_escaped_texts_hold_no_markup(text: str) -> None:
    assert not re.search(r"(?<!\\)[%$&#_]", tex(text).replace(r"\\", ""))
    assert not set(markdown(text)) & set("<>\n")


def test_an_empty_test_part_is_refused(contents: Contents, tracked_run: TrackedRun, isolated: Path) -> None:
    shutil.copytree(tracked_run.result.folder, isolated / "run")
    parts = {"validation": read_side("run").parts["validation"]}
    write_predictions(isolated / "run" / "predictions.parquet", contents.report.labels, parts)
    with pytest.raises(DataError, match="no predictions of the part 'test'"):
        read_contents("run")


EDITS = [
    (("macro_f1",), 1.7, "key `macro_f1`: Input should be less than or equal to 1"),
    (("per_label", "aid", "precision"), -0.2, "key `per_label.aid.precision`: Input should be greater than or equal"),
    (("per_label", "aid", "f1"), "good", "key `per_label.aid.f1`: Input should be a valid number"),
    (("per_label", "aid", "f1"), 0.987, "key `per_label.aid.f1` is 0.987, but the predictions beside it give"),
    (("n_test",), 5, "key `n_test` is 5"),
    (("intervals", "macro_f1", "low"), 0.9999, "key `intervals.macro_f1`: 0.9999 to"),
    (("calibration", "brier_score"), 3, "key `calibration.brier_score`"),
    (("confusion", "matrix"), [[1]], "`matrix` must have 3 rows and columns"),
    (("labels",), ["aid", "arms"], "`per_label` and `labels` do not have the same labels: 'arms'"),
    (("model_id",), "0" * 16, "key `model_id` of report.json is '0000000000000000'"),
]


@pytest.mark.parametrize(("keys", "value", "message"), EDITS, ids=[".".join(keys) for keys, *_ in EDITS])
def test_an_edited_report_is_refused_by_its_key(
    tracked_run: TrackedRun, isolated: Path, keys: tuple[str, ...], value: object, message: str
) -> None:
    shutil.copytree(tracked_run.result.folder, isolated / "run")
    content = json.loads((isolated / "run" / "report.json").read_text("utf-8"))
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (isolated / "run" / "report.json").write_text(json.dumps(content), encoding="utf-8")
    done = CliRunner().invoke(app, ["report", "run"])
    assert (done.exit_code, (isolated / "reports").exists()) == (2, False)
    assert message in " ".join(done.output.split())
    assert "report.json" in done.output
