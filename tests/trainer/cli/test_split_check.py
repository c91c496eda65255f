from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.conftest import make_examples
from tests.trainer.conftest import TrackedRun, write_examples
from trainer.cli import app
from trainer.data.leakage import starter_examples
from trainer.data.splits import Split
from trainer.evaluation.report import Report


def check(*arguments: str, code: int) -> str:
    done = CliRunner().invoke(app, ["split", "check", *arguments])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def test_files_without_leaks_are_clean() -> None:
    Path("a.jsonl").write_text('{"text": "Rain fell."}\n', "utf-8")
    Path("b.jsonl").write_text('{"text": "Snow fell."}\n{"text": "Rain fell!"}\n', "utf-8")
    assert "No sentence leaks." in check("a.jsonl", "b.jsonl", code=0)
    assert "50.0%" in check("a.jsonl", "b.jsonl", "--short", code=1)


def test_leaks_are_counted_shown_and_weighed(tracked_run: TrackedRun) -> None:
    train = Path(tracked_run.experiment.data.train)
    learned = make_examples(300)[:40]
    fresh = [
        replace(one, id=f"n{i}", document_id=f"n{i}", text=f"Quite another report, number {i}, arrived.", labels=())
        for i, one in enumerate(learned)
    ]
    test = write_examples(Path("test.jsonl"), [*fresh, *learned])
    output = check(
        str(train), str(test), "--model", str(tracked_run.result.folder), "--json", "found.json", "--show", "1", code=1
    )
    assert "exact: the same text" in output
    found = json.loads(Path("found.json").read_text("utf-8"))
    (pair,) = found["pairs"]
    assert (pair["sentences"], pair["exact"]) == (80, 40)
    assert {own["name"]: own["n"] for own in found["figures"]} == {"all": 80, "without leaks": 40, "leaks only": 40}


def test_the_split_of_a_run_is_checked_with_its_model(tracked_run: TrackedRun) -> None:
    train, folder = tracked_run.experiment.data.train, tracked_run.result.folder
    output = check(train, "--split", str(folder / "split.json"), "--model", str(folder), code=0)
    assert "No sentence leaks." in output
    assert f"all {tracked_run.result.report.n_test}" in output


def test_blank_cells_and_a_label_column_are_read_as_chosen(tracked_run: TrackedRun) -> None:
    rows = "".join(f'{{"text": "Report {i} arrived.", "codes": ""}}\n' for i in range(9))
    Path("b.jsonl").write_text(rows + '{"text": "They called for a truce.", "codes": "truce"}\n', "utf-8")
    Path("a.jsonl").write_text('{"text": "Rain fell."}\n', "utf-8")
    arguments = ["a.jsonl", "b.jsonl", "--label-column", "codes", "--model", str(tracked_run.result.folder)]
    assert "use --blank none" in check(*arguments, code=2)
    assert "all 10" in check(*arguments, "--blank", "none", code=0)
    assert "all 1" in check(*arguments, "--blank", "undecided", code=0)


def test_the_predictions_of_a_run_are_texts_and_gold_but_never_their_own_gold(tracked_run: TrackedRun) -> None:
    run = tracked_run.result.folder
    own = str(run / "predictions.parquet")
    Path("a.jsonl").write_text('{"text": "Rain fell."}\n', "utf-8")
    assert "No sentence leaks." in check("a.jsonl", own, code=0)

    def evaluate(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["evaluate", str(run), own, *arguments])
        return done.exit_code, " ".join(done.output.split())

    code, output = evaluate()
    assert (code, "--label-column gold" in output) == (2, True), output
    code, output = evaluate("--label-column", "gold", "--out", "found")
    assert code == 0, output
    found, gold = Report.read(Path("found/report.json")), pq.read_table(own)["gold"].to_pylist()
    assert found.n_test == len(gold)
    assert {label: sum(label in one for one in gold) for label in found.labels} == {
        label: found.per_label[label].support for label in found.labels
    }


def test_the_split_of_the_starter_corpus_is_checked_by_its_name() -> None:
    examples = starter_examples()
    first = examples[0].document_id
    parts = [[one.id for one in examples if (one.document_id == first) is own] for own in (True, False)]
    Split(tuple(parts[0]), (), tuple(parts[1])).save(Path("split.json"))
    output = check("seeds", "--split", "split.json", code=0)
    assert f"train test {len(parts[1]):,}" in output
    assert "`seeds` for the starter corpus" in check("--split", "split.json", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jsonl"], "name at least two files"),
        (["a.jsonl", "missing.jsonl"], "missing.jsonl: this file does not exist"),
        (["a.jsonl", "--split", "missing.json"], "missing.json: not a split manifest"),
    ],
)
def test_bad_input_is_explained(arguments: list[str], message: str) -> None:
    Path("a.jsonl").write_text('{"text": "Rain fell."}\n', "utf-8")
    assert message in check(*arguments, code=2)
