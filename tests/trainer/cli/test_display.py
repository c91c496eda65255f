from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from labels.environment.settings import Settings
from labels.records import Document
from labels.store.counts import TextCounts
from tests.trainer.conftest import TrackedRun
from trainer.active.label_errors import LabelError, LabelErrorReport
from trainer.active.scoring import ScoreReport
from trainer.cli.choice.leaderboard import print_board, print_results
from trainer.cli.counting.score import print_scored
from trainer.cli.demo import print_champion, print_corpus, print_next_steps, print_split, print_tagged
from trainer.cli.doubts import print_doubts
from trainer.cli.evaluate import print_report
from trainer.cli.predict import print_predicted
from trainer.cli.train import print_saved
from trainer.data.splits import Split
from trainer.evaluation.report import Report
from trainer.model.model import Model
from trainer.predict import PredictReport
from trainer.runs.demo import Champion, Corpus
from trainer.runs.run import RunResult
from trainer.runs.tracking.leaderboard import Board, RunRow
from trainer.runs.tracking.record import UNTRACKED

CALIBRATION = ("expected_calibration_error", "brier_score", "log_loss")
SHIPPED = ("aid_pledge", "ceasefire_call", "weapons_request", "dismissal")
LONG = ("threatening", "negotiation", "condemnation", "cooperation", "mobilisation", "recognition")


def bounds(low: float | None, high: float | None) -> dict[str, Any]:
    return {"low": low, "high": high, "undefined_draws": 0}


def content_on(labels: Sequence[str], **changes: Any) -> dict[str, Any]:
    """The content of a report in which the figures of the i-th label end in i."""
    return {
        "kind": "tfidf",
        "labels": list(labels),
        "exclusive": False,
        "n_test": 2000,
        "n_groups": 40,
        "macro_f1": 0.8125,
        "micro_f1": 0.7,
        "subset_accuracy": 0.6,
        "validation_macro_f1": 0.91,
        "calibration": {
            "bins": 15,
            "expected_calibration_error": 0.0312,
            "brier_score": 0.1,
            "log_loss": 0.2,
            "per_label": {label: dict.fromkeys(CALIBRATION, 0.1) for label in labels},
        },
        "per_label": {
            label: {
                "precision": 0.51 + i / 1000,
                "recall": 0.61 + i / 1000,
                "f1": 0.41 + i / 100,
                "support": 1000 - i,
                "predicted": 900,
                "threshold": 0.31,
                "average_precision": 0.9,
            }
            for i, label in enumerate(labels)
        },
        "intervals": {
            "method": "percentile bootstrap over groups",
            "draws": 1000,
            "confidence": 0.95,
            "macro_f1": bounds(0.712, 0.889),
            "micro_f1": bounds(0.611, 0.777),
            "subset_accuracy": bounds(0.5, 0.75),
            "per_label_f1": {label: bounds(0.1, 0.2) for label in labels},
        },
        "intervals_reason": "",
        "train_seconds": 123.45,
        "sentences_per_second": 1310.4,
        "artefact_bytes": 91_040_000,
    } | changes


def report_on(labels: Sequence[str], **changes: Any) -> Report:
    return Report.model_validate(content_on(labels, **changes))


def row(name: str, labels: Sequence[str] = SHIPPED, *, status: str = "FINISHED", champion: bool = False) -> RunRow:
    """A run as the leaderboard gets it; a failed one has no figures."""
    figures: Mapping[str, float] = {
        "validation_macro_f1": 0.79,
        "macro_f1": 0.81,
        "macro_f1.low": 0.71,
        "macro_f1.high": 0.88,
        "train_seconds": 123.45,
        "sentences_per_second": 1310.4,
        "artefact_bytes": 91_040_000,
        **{f"f1.{label}": 0.41 + i / 100 for i, label in enumerate(labels)},
    }
    started = int(datetime(2026, 5, 4, 13, 7).timestamp() * 1000)
    return RunRow(RUN_ID, name, status, {}, figures if status == "FINISHED" else {}, {}, champion, started)


RUN_ID = "0a1b2c3d" + "9" * 24
IDENTITY = ["0a1b2c3d", "2026-05-04", "13:07"]


def board_of(*rows: RunRow, labels: Sequence[str] = SHIPPED, **changes: Any) -> Board:
    board = Board("b28cec4b52a15f9e", "", "corpus.jsonl", tuple(labels), False, 0.95, rows)
    return replace(board, **changes)


def at_80_columns(function: Callable[..., None], *arguments: Any) -> list[str]:
    """The lines that a function of `display` prints on a terminal 80 columns wide."""
    code = "import pickle, sys; function, arguments = pickle.load(sys.stdin.buffer); function(*arguments)"
    environment = os.environ | {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((function, arguments)),
        stdout=subprocess.PIPE,
        env=environment | {"PYTHONIOENCODING": "utf-8"},
        check=True,
    )
    return [line.rstrip() for line in done.stdout.decode("utf-8").splitlines()]


def words(lines: Sequence[str], start: str) -> list[str]:
    """The words of the one line that starts so."""
    [line] = [line for line in lines if line.startswith(start)]
    return line.split()


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """The lines printed since last asked."""
    return lambda: [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_report_shows_each_figure_with_its_interval(said: Any) -> None:
    print_report(report_on(SHIPPED))
    lines = said()
    assert words(lines, "macro_f1") == ["macro_f1", "0.812", "0.712–0.889"]
    assert words(lines, "micro_f1") == ["micro_f1", "0.700", "0.611–0.777"]
    assert words(lines, "subset_accuracy") == ["subset_accuracy", "0.600", "0.500–0.750"]
    assert words(lines, "calibration error") == ["calibration", "error", "0.031"]
    assert words(lines, "weapons_request") == [
        "weapons_request",
        "0.512",
        "0.612",
        "0.430",
        "0.100–0.200",
        "998",
        "0.31",
    ]


def test_report_of_an_exclusive_codebook_shows_accuracy_and_no_thresholds(said: Any) -> None:
    report = content_on(("aid", "truce"), exclusive=True, accuracy=0.9)
    report["per_label"]["aid"]["threshold"] = None
    report["intervals"]["accuracy"] = bounds(0.85, 0.95)
    del report["subset_accuracy"]
    print_report(Report.model_validate(report))
    lines = said()
    assert words(lines, "accuracy") == ["accuracy", "0.900", "0.850–0.950"]
    assert words(lines, "aid")[-1] == "–"


def test_report_shows_undefined_figures_as_a_dash(said: Any) -> None:
    report = content_on(("aid", "truce"), macro_f1=None)
    report["per_label"]["aid"] |= {"precision": None, "f1": None}
    report["intervals"]["per_label_f1"]["aid"] = bounds(None, None)
    print_report(Report.model_validate(report))
    lines = said()
    assert words(lines, "macro_f1")[1] == "–"
    assert words(lines, "aid") == ["aid", "–", "0.610", "–", "–", "1000", "0.31"]


def test_report_without_intervals_says_why(said: Any) -> None:
    print_report(report_on(SHIPPED, intervals=None, intervals_reason="4 test groups, fewer than 20"))
    lines = said()
    assert words(lines, "macro_f1") == ["macro_f1", "0.812", "–"]
    assert "No intervals: 4 test groups, fewer than 20." in lines


def test_heading_names_the_confidence_of_the_intervals(said: Any) -> None:
    report = content_on(SHIPPED)
    report["intervals"]["confidence"] = 0.9
    print_report(Report.model_validate(report))
    shown = "\n".join(said())
    assert "90% interval" in shown
    assert "95%" not in shown


def test_report_says_what_a_reader_must_know(said: Any) -> None:
    print_report(
        report_on(SHIPPED, uncalibrated={"dismissal": "12 validation positives"}, notes=["3 left out"], synthetic=True)
    )
    shown = " ".join(said())
    assert "Not calibrated: dismissal (12 validation positives)." in shown
    assert "Note: 3 left out." in shown
    assert "Evaluate it on your own labels" in shown
    print_report(report_on(SHIPPED))
    assert not re.search("Note|Not calibrated|No intervals", " ".join(said()))


def test_labels_that_are_not_calibrated_for_the_same_reason_share_a_line(said: Any) -> None:
    few = {f"label{i:02d}": "9 positives" for i in range(14)}
    print_report(report_on(SHIPPED, uncalibrated=few | {"other": "no negatives"}))
    shown = " ".join(said())
    assert "Not calibrated: label00, label01, " in shown
    assert "label11 and 2 more (9 positives)." in shown
    assert "Not calibrated: other (no negatives)." in shown
    assert shown.count("Not calibrated") == 2


def test_of_many_labels_the_twelve_most_frequent_are_shown_in_codebook_order(said: Any) -> None:
    labels = [f"label{i:02d}" for i in range(15)]
    report = content_on(labels)
    report["per_label"]["label14"]["support"] = 5000
    print_report(Report.model_validate(report))
    lines = said()
    assert [line.split()[0] for line in lines if line.startswith("label") and line[5].isdigit()] == [
        *labels[:11],
        "label14",
    ]
    assert any("3 rarer labels are in report.json" in line for line in lines)


def test_report_fits_80_columns_with_every_figure() -> None:
    lines = at_80_columns(print_report, report_on(SHIPPED, notes=["x" * 60]))
    assert max(map(len, lines)) <= 80
    assert words(lines, "ceasefire_call")[1:] == ["0.511", "0.611", "0.420", "0.100–0.200", "999", "0.31"]


def test_report_keeps_figures_whole_beside_a_long_label_at_80_columns() -> None:
    lines = at_80_columns(print_report, report_on(("aid", "a_label_with_a_name_of_many_words_that_goes_on")))
    assert max(map(len, lines)) <= 80
    figures = ["0.511", "0.611", "0.420", "0.100–0.200", "999", "0.31"]
    assert any(line.split()[-6:] == figures for line in lines)


@pytest.fixture
def result(tracked_run: TrackedRun) -> RunResult:
    return replace(tracked_run.result, folder=Path("my runs/words"))


def test_saved_run_says_where_it_is_and_what_to_type(said: Any, result: RunResult) -> None:
    print_saved(result)
    shown = " ".join(said())
    assert re.search(r"Trained in \d+\.\d s, predicts \d+ sentences/s, \d+\.\d MB\.", shown)
    assert (
        "Saved in my runs/words: artefact/, report.html, report.json, predictions.parquet, split.json, plots/" in shown
    )
    assert f"MLflow run {result.run_id}, model {result.model_uri}" in shown
    assert "communique predict 'my runs/words' ARTICLES" in shown
    assert "communique serve 'my runs/words'" in shown


def test_untracked_run_names_no_mlflow_run(said: Any, result: RunResult) -> None:
    print_saved(replace(result, tracked=UNTRACKED))
    assert "MLflow" not in " ".join(said())


def test_results_are_ranked_by_validation(said: Any, result: RunResult) -> None:
    results = [
        replace(result, report=report_on(("aid", "truce"), kind=kind, validation_macro_f1=score))
        for kind, score in (("second", 0.5), ("first", 0.75), ("third", 0.25))
    ]
    print_results(results)
    lines = said()
    assert [line.split()[:2] for line in lines[-3:]] == [["first", "0.75"], ["second", "0.50"], ["third", "0.25"]]
    assert words(lines, "first")[2:] == ["0.81", "0.71–0.89", "0.41", "0.42", "123.5", "1310", "91.0"]


def test_results_without_intervals_show_a_dash(said: Any, result: RunResult) -> None:
    print_results([replace(result, report=report_on(("aid",), intervals=None))])
    assert words(said(), "tfidf")[1:4] == ["0.91", "0.81", "–"]


def test_results_with_an_undefined_validation_figure_come_last(said: Any, result: RunResult) -> None:
    results = [
        replace(result, report=report_on(("aid",), kind=kind, validation_macro_f1=score))
        for kind, score in (("undefined", None), ("zero", 0.0))
    ]
    print_results(results)
    assert [line.split()[:2] for line in said()[-2:]] == [["zero", "0.00"], ["undefined", "–"]]


def test_board_shows_runs_with_their_figures(said: Any) -> None:
    print_board(board_of(row("words"), row("cut off", status="KILLED")))
    lines = said()
    assert "corpus.jsonl, split b28cec4b52a15f9e" in lines[0]
    above, below = (line.split() for line in lines if line.startswith("words"))
    assert above[1:] == [*IDENTITY, "0.79", "0.81", "0.71–0.88"]
    assert below[2:] == ["0.41", "0.42", "0.43", "0.44", "123.5", "1310", "91.0"]
    above, below = (line.split() for line in lines if line.startswith("cut off"))
    assert above == ["cut", "off", "(killed)", *IDENTITY, "–", "–", "–"]
    assert "* champion" not in lines


@pytest.mark.parametrize(("confidence", "heading"), [(0.95, "95%"), (0.5, "50%"), (None, "")])
def test_board_names_what_judges_and_the_confidence_of_the_intervals(
    said: Any, confidence: float | None, heading: str
) -> None:
    print_board(board_of(row("words"), evaluation_hash="77aa", confidence=confidence))
    title, *lines = said()
    assert title.endswith("split b28cec4b52a15f9e, evaluated on 77aa")
    assert re.findall(r"\d+%", " ".join(lines)) == [heading] * bool(heading)
    assert "interval" in " ".join(lines)


def test_board_marks_champion_and_synthetic_data(said: Any) -> None:
    print_board(board_of(row("words", champion=True), row("floor"), synthetic=True, split_hash=""))
    lines = said()
    assert "split unknown, synthetic" in lines[0]
    assert {tuple(line.split()[:2]) for line in lines if line.startswith("words")} == {("words", "*")}
    assert {line.split()[1] for line in lines if line.startswith("floor")} == {"0a1b2c3d"}
    assert lines[-1] == "* champion"


def test_board_of_many_labels_leaves_their_columns_out(said: Any) -> None:
    labels = [f"label{i}" for i in range(9)]
    print_board(board_of(row("words", labels), labels=labels))
    lines = said()
    assert "label0" not in " ".join(lines)
    assert len(words(lines, "words")) == 1 + 3 + 3 + 3


def test_names_and_paths_are_never_read_as_markup(said: Any) -> None:
    print_board(board_of(row("[red]words[/red]"), data="data/[final]/corpus.jsonl"))
    shown = "\n".join(said())
    assert "[red]words[/red]" in shown
    assert "data/[final]/corpus.jsonl" in shown


def test_board_is_one_table_if_there_is_room(said: Any) -> None:
    labels = ("one", "two")
    print_board(board_of(row("words", labels), labels=labels))
    header = said()[1].split()
    assert header[:3] + header[-6:] == ["name", "run", "started", "one", "two", "train", "s", "sent./s", "MB"]


def test_board_fits_80_columns_with_every_figure() -> None:
    lines = at_80_columns(print_board, board_of(row("words"), row("floor")))
    assert max(map(len, lines)) <= 80
    scores, labels, costs = (line.split() for line in lines if line.startswith("words"))
    assert scores[1:] == [*IDENTITY, "0.79", "0.81", "0.71–0.88"]
    assert labels[1:] == [IDENTITY[0], "0.41", "0.42", "0.43", "0.44"]
    assert costs[1:] == [IDENTITY[0], "123.5", "1310", "91.0"]


def test_board_of_long_labels_keeps_names_and_main_figures_at_80_columns() -> None:
    lines = at_80_columns(print_board, board_of(row("words", LONG), row("floor", LONG), labels=LONG))
    assert max(map(len, lines)) <= 80
    for start in ("words", "floor"):
        scores, costs = (line.split() for line in lines if line.startswith(start))
        assert scores[-3:] == ["0.79", "0.81", "0.71–0.88"]
        assert costs[-3:] == ["123.5", "1310", "91.0"]


def test_names_of_runs_are_not_cut_at_80_columns() -> None:
    lines = at_80_columns(print_board, board_of(row("words-and-bigrams-1"), row("words-and-bigrams-2")))
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)


def test_demo_says_what_it_read_and_froze(said: Any) -> None:
    read = TextCounts(documents=3, sentences=40, boilerplate=7)
    print_corpus(Corpus(Path("demo/communique.db"), read, 77))
    assert said() == [
        "1. Read 3 documents into demo/communique.db: 40 sentences, 7 of them set aside as boilerplate; 77 annotations."
    ]
    print_split(Split(("a", "b", "c"), ("d",), ("e", "f")), Path("demo/split.json"))
    shown = " ".join(said())
    assert "a split of 3 / 1 / 2 sentences" in shown
    assert "demo/split.json" in shown


def test_demo_says_which_model_was_crowned_and_how_to_go_on(said: Any, result: RunResult) -> None:
    print_champion(Champion(result, "models:/small@champion"))
    assert re.search(r"Best on validation: tfidf, registered as models:/small@champion", " ".join(said()))
    print_champion(Champion(result, "demo/runs/tfidf", "the server is down."))
    assert "saved in demo/runs/tfidf, but not registered: the server is down." in " ".join(said())
    print_next_steps("models:/small@champion")
    shown = " ".join(said())
    for command in (
        "communique predict models:/small@champion ARTICLES --out tagged.csv",
        "communique serve models:/small@champion",
        "communique ingest ARTICLES",
        "communique label --annotator YOUR_NAME",
        "mlflow ui --backend-store-uri sqlite:///mlflow.db",
    ):
        assert command in shown


TAGGED = [
    {"text": "Norway pledged fuel [sic].", "labels": ["aid", "truce"], "probabilities": {"aid": 0.92, "truce": 0.6}},
    {"text": "Rain fell " + "again and " * 20 + "again.", "labels": [], "probabilities": {"aid": 0.25, "truce": 0.125}},
]


def test_tagged_article_shows_labels_or_the_likeliest_in_brackets(said: Any) -> None:
    print_tagged(Document("unseen.txt", "text", title="Fuel [live]"), TAGGED)
    lines = said()
    assert "“Fuel [live]” (unseen.txt)" in lines[0]
    assert words(lines, "0.92 aid")[2:] == ["Norway", "pledged", "fuel", "[sic]."]
    assert "0.60 truce" in lines
    assert words(lines, "0.25 (aid)")[2:4] == ["Rain", "fell"]
    assert not any("(truce)" in line for line in lines)


def test_tagged_article_wraps_its_sentences_at_80_columns() -> None:
    lines = at_80_columns(print_tagged, Document("unseen.txt", "text", title="Fuel"), TAGGED)
    assert max(map(len, lines)) <= 80
    shown = " ".join(" ".join(lines).split())
    assert shown.count("again") == 21
    assert "0.25 (aid) Rain fell" in shown


def test_prediction_counts_labels_and_what_was_left_out(said: Any, tfidf_model: Model) -> None:
    report = PredictReport(
        documents=2,
        sentences=8,
        left_out=1300,
        boilerplate=Counter({"share line": 3, "caption": 1}),
        assigned=Counter({"aid": 2}),
        rejected=["bad.html: no text"],
    )
    print_predicted(report, tfidf_model, Path("tagged.csv"))
    lines = said()
    assert lines[:2] == ["Left out: bad.html: no text", "Left out: 1,299 more files or rows, for similar reasons."]
    assert lines[2] == ("2 documents, 8 sentences labelled; 4 set aside as boilerplate (caption 1, share line 3).")
    assert words(lines, "  aid") == ["aid", "2", "25.0%"]
    assert not any("truce" in line for line in lines)
    assert "Written to tagged.csv." in lines


def test_prediction_in_which_everything_was_set_aside_is_shown_too(said: Any, tfidf_model: Model) -> None:
    print_predicted(PredictReport(1, 0), tfidf_model, Path("tagged.csv"))
    assert "1 document, 0 sentences labelled; 0 set aside as boilerplate." in said()


def test_scoring_says_what_was_kept_and_what_to_type_next(said: Any) -> None:
    print_scored(ScoreReport("abc", 12, 12, "/models/[mine]"), "mine.db")
    assert said() == [
        "Model abc: 12 sentences of mine.db scored.",
        "12 sentence vectors stored, from encoder /models/[mine].",
        "Next: communique label --annotator YOUR_NAME --strategy uncertainty --store mine.db",
    ]
    print_scored(ScoreReport("abc", 0, 0, ""), "mine.db")
    assert said()[1] == "All sentences were already scored."


WRONG = LabelError(
    "s1", "d1", "Norway pledged fuel [sic].", ("truce",), "truce", 0.04, ("aid",), 0.05, "labelled truce"
)
MISSING = LabelError("s2", "d1", "Oslo sent " + "again and " * 20 + "again.", (), "aid", 0.91, ("aid",), 0.09, "no aid")


def test_doubts_say_what_is_wrong_or_missing(said: Any) -> None:
    print_doubts(LabelErrorReport((WRONG, MISSING), 7, 90, 3, ("2 sentences left out",)), None, None, Settings())
    lines = said()
    assert lines[0] == "Note: 2 sentences left out."
    assert words(lines, "truce") == ["truce", "truce", "wrong?", "0.04", "Norway", "pledged", "fuel", "[sic]."]
    assert words(lines, "none")[:4] == ["none", "aid", "missing?", "0.91"]
    assert lines[-3:] == [
        "7 of 90 labelled sentences are in doubt; the 2 most doubtful are listed.",
        "3 labels could not be checked: the other folds had no example or no counterexample.",
        "Add --queue to queue the listed sentences for labelling again.",
    ]


def test_queued_doubts_say_how_many_were_new(said: Any) -> None:
    print_doubts(LabelErrorReport((WRONG, MISSING), 2, 90, 0), Path("d.csv"), 1, Settings())
    assert said()[-4:] == [
        "2 of 90 labelled sentences are in doubt.",
        "Written to d.csv.",
        "1 sentence was queued for labelling again; 1 other was already queued.",
        "Next: communique label --annotator YOUR_NAME --strategy relabel",
    ]


def test_no_doubt_is_no_table(said: Any) -> None:
    print_doubts(LabelErrorReport((), 0, 90, 0), None, None, Settings())
    assert said() == ["0 of 90 labelled sentences are in doubt."]


def test_doubts_fit_80_columns() -> None:
    lines = at_80_columns(print_doubts, LabelErrorReport((WRONG, MISSING), 2, 90, 0), None, None, Settings())
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()).count("again") == 21 + 1
