"""How results look on a terminal: tables and lines that `cli` prints. No work is done here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from labels.terminal import console

if TYPE_CHECKING:
    from labels.records import Document
    from trainer.corpus.check import Balance, Check, CorpusReport
    from trainer.demo import Corpus
    from trainer.doubts import DoubtReport
    from trainer.export import ExportReport
    from trainer.leaderboard import Board
    from trainer.model import Model
    from trainer.predict import PredictReport
    from trainer.run import RunResult
    from trainer.score import ScoreReport
    from trainer.splits import Split

_MANY_LABELS = 12
_LABEL_COLUMNS_WIDTH = 36


def print_report(report: Mapping[str, Any]) -> None:
    """The main figures of a report, then a row for each label (the twelve most frequent, if there are more)."""
    exact = "accuracy" if report["exclusive"] else "subset_accuracy"
    intervals = report["intervals"] or {}
    summary = Table(box=None, pad_edge=False)
    for heading in ("", "value", _interval_heading(report)):
        summary.add_column(heading, justify="left" if not heading else "right")
    for name in ("macro_f1", "micro_f1", exact):
        summary.add_row(name, _number(report[name]), _bounds(intervals.get(name)))
    summary.add_row("calibration error", _number(report["calibration"]["expected_calibration_error"]), "")
    console.print(summary)
    console.print(_label_table(report))
    if "certificate" in report:
        console.print(_certificate_table(report["certificate"]))
    if not report["intervals"]:
        console.print(f"No intervals: {report['intervals_reason']}.")
    for label, reason in list(report.get("uncalibrated", {}).items())[:_MANY_LABELS]:
        console.print(f"Not calibrated: {label} ({reason}).")
    for note in report.get("notes", ()):
        console.print(f"Note: {note}.")
    if report.get("synthetic"):
        console.print(
            "Note: this model learned from text written for a corpus (synthetic); check it on your own labels."
        )


def print_saved(result: RunResult) -> None:
    """Where a run's outputs are, and what to type next."""
    report = result.report
    console.print(
        f"Trained in {report['train_seconds']:.1f} s, predicts {report['sentences_per_second']:.0f} sentences/s, "
        f"{report['artefact_bytes'] / 1e6:.1f} MB."
    )
    console.print(f"Saved in {result.folder}: artefact/, report.json, predictions.parquet, split.json, plots/")
    if result.run_id:
        console.print(f"MLflow run {result.run_id}, model {result.model_uri}")
    console.print(f"Next: communique predict {result.artefact} ARTICLES --output tagged.csv", soft_wrap=True)
    console.print(f"      communique serve {result.artefact}", soft_wrap=True)


def print_results(results: Sequence[RunResult]) -> None:
    """A leaderboard of runs just made, best on validation first."""
    ordered = sorted(results, key=lambda result: -_or_last(result.report["validation_macro_f1"]))
    labels = ordered[0].report["labels"]
    table = _board_table(labels)
    for result in ordered:
        report = result.report
        table.add_row(
            *_board_cells(
                name=str(report["kind"]),
                validation=report["validation_macro_f1"],
                test=report["macro_f1"],
                bounds=(report["intervals"] or {}).get("macro_f1"),
                per_label={label: report["per_label"][label]["f1"] for label in labels},
                seconds=report["train_seconds"],
                speed=report["sentences_per_second"],
                size=report["artefact_bytes"],
            )
        )
    console.print(table)


def print_board(board: Board) -> None:
    """The runs of one split."""
    title = f"{board.data}, split {board.split_hash or 'unknown'}" + (", synthetic" if board.synthetic else "")
    table = _board_table(board.labels, title)
    for row in board.rows:
        metrics = row.metrics
        bounds = {"low": metrics.get("macro_f1.low"), "high": metrics.get("macro_f1.high")}
        name = (
            row.name + (" *" if row.champion else "") + ("" if row.status == "FINISHED" else f" ({row.status.lower()})")
        )
        table.add_row(
            *_board_cells(
                name=name,
                validation=row.metric("validation_macro_f1"),
                test=row.metric("macro_f1"),
                bounds=bounds,
                per_label={label: row.metric(f"f1.{label}") for label in board.labels},
                seconds=row.metric("train_seconds"),
                speed=row.metric("sentences_per_second"),
                size=row.metric("artefact_bytes"),
            )
        )
    console.print(table)
    if any(row.champion for row in board.rows):
        console.print("* champion")


def print_corpus(corpus: Corpus) -> None:
    """Step 1 of the demo."""
    report = corpus.report
    console.print(
        f"1. Read {report.documents_added} documents into {corpus.store}: {report.sentences_added} sentences, "
        f"{sum(report.boilerplate.values())} of them set aside as page furniture; {corpus.events} annotations."
    )


def print_split(split: Split, path: Path) -> None:
    """Step 2 of the demo."""
    console.print(
        f"2. Froze a split of {len(split.train)} / {len(split.validation)} / {len(split.test)} sentences "
        f"(train / validation / test), whole documents together: {path}"
    )
    console.print("3. Training majority, keywords, tfidf and finetune; each is one MLflow run.")


def print_champion(best: RunResult, uri: str) -> None:
    """Step 4 of the demo."""
    console.print(f"4. Best on validation: {best.report['kind']}. Registered; {uri} points at it.")


def print_tagged(document: Document, rows: Sequence[Mapping[str, Any]]) -> None:
    """Step 5 of the demo: each sentence with its labels, and its probabilities."""
    console.print(f"5. An article it has never seen: “{document.title}” ({document.source})")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column("labels", style="bold", no_wrap=True)
    table.add_column("sentence")
    for row in rows:
        likeliest = max(row["probabilities"], key=row["probabilities"].__getitem__)
        shown = row["labels"] or [likeliest]
        said = [f"{row['probabilities'][label]:.2f} {label if row['labels'] else f'({label})'}" for label in shown]
        table.add_row("\n".join(said), row["text"], style="" if row["labels"] else "dim")
    console.print(table, soft_wrap=False)
    console.print("In brackets: the likeliest label where none reaches its threshold.")


def print_next_steps(uri: str) -> None:
    """What to type after the demo."""
    console.print("Next, with your own articles:")
    for command, what in (
        (f"communique predict {uri} ARTICLES --output tagged.csv", "label every sentence"),
        (f"communique serve {uri}", "the same over HTTP, with a page"),
        ("communique ingest ARTICLES", "read them into a store"),
        ("communique label --annotator YOUR_NAME", "label them yourself"),
        ("communique train finetune --set data.source=store", "train on your labels"),
        ("communique leaderboard --experiment communique-demo", "these runs again"),
        ("mlflow ui --backend-store-uri sqlite:///mlflow.db", "everything that was recorded"),
    ):
        console.print(f"  {command}   # {what}", soft_wrap=True)


def print_predicted(report: PredictReport, model: Model, output: Path) -> None:
    """What bulk prediction did."""
    for message in report.rejected:
        console.print(f"Left out: {message}", style="yellow")
    furniture = ", ".join(f"{reason} {count}" for reason, count in sorted(report.boilerplate.items()))
    console.print(
        f"{report.documents} documents, {report.sentences} sentences labelled; "
        f"{sum(report.boilerplate.values())} set aside as page furniture" + (f" ({furniture})." if furniture else ".")
    )
    for label in model.labels:
        if report.assigned[label]:
            console.print(
                f"  {label:<24} {report.assigned[label]:>6}  {report.assigned[label] / report.sentences:6.1%}"
            )
    console.print(f"Written to {output}.")


def print_exported(report: ExportReport) -> None:
    """How an exported model compares with the one it was made from, and what to type next."""
    check = report.agreement
    console.print(_export_table(report))
    console.print(
        f"{check.agreeing:.2%} of the label sets agree on {check.rows:,} rows ({check.origin}); "
        f"largest difference of a probability {check.largest_difference:.2g}."
    )
    if check.unjudged:
        console.print(f"Recall not judged, no such label in these rows: {', '.join(check.unjudged)}.")
    console.print(f"Saved in {report.folder}: model {report.model_id}, {report.precision}, on onnxruntime.")
    console.print(f"Next: communique serve {report.folder}", soft_wrap=True)


def _export_table(report: ExportReport) -> Table:
    table = _figure_table("", ["before", "after", "rows"])
    for label, recall in report.agreement.recalls.items():
        table.add_row(f"recall {label}", _number(recall.before), _number(recall.after), f"{recall.positives:,}")
    table.add_row("sentences/s", _number(report.speed_before, 0), _number(report.speed_after, 0), "")
    table.add_row("MB", _number(report.bytes_before / 1e6, 1), _number(report.bytes_after / 1e6, 1), "")
    return table


def print_scored(report: ScoreReport, store: str) -> None:
    """What a model left in the store, and what to type next."""
    console.print(f"Model {report.model_id}: {report.scored} sentences of {store} scored.")
    if report.encoder:
        console.print(f"{report.embedded} sentence vectors kept, by encoder {report.encoder}.", soft_wrap=True)
    if not report.scored and not report.embedded:
        console.print("There was nothing that this model had not scored already.")
    console.print("Next: communique label --annotator YOUR_NAME --strategy uncertainty", soft_wrap=True)


def print_doubts(report: DoubtReport, out: Path | None, queued: int | None) -> None:
    """The doubtful sentences, worst first, and what became of them."""
    for note in report.notes:
        console.print(f"Note: {note}.")
    if report.doubts:
        console.print(_doubt_table(report))
        console.print("p: what a model that had not seen the document gives the label in doubt.")
    shown = len(report.doubts)
    console.print(
        f"{report.found} of {report.sentences} labelled sentences are in doubt"
        + (f"; the {shown} most doubtful are listed." if shown < report.found else ".")
    )
    if report.unjudged:
        console.print(f"{report.unjudged} labels could not be judged: the other folds had no example to learn from.")
    if out is not None:
        console.print(f"Written to {out}.")
    if queued is not None:
        console.print(f"{queued} sentences were put up for labelling again, {shown - queued} waited for it already.")
        console.print("Next: communique label --annotator YOUR_NAME --strategy relabel", soft_wrap=True)
    elif report.doubts:
        console.print("Add --queue to have them labelled again.")


def _doubt_table(report: DoubtReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("labels", "in doubt", "p", "sentence"):
        table.add_column(heading, justify="right" if heading == "p" else "left", overflow="fold")
    for doubt in report.doubts:
        table.add_row(
            "\n".join(doubt.labels) or "none",
            f"{doubt.label} {'wrong' if doubt.label in doubt.labels else 'missing'}?",
            _number(doubt.probability, 2),
            Text(doubt.text),
        )
    return table


def print_corpus_report(report: CorpusReport) -> None:
    """Every check with its target, where targets are missed, then what lies behind the figures."""
    console.print(_check_table(report.checks))
    missed = [check for check in report.checks if check.ok is False]
    for check in missed:
        for place in check.places:
            console.print(f"{check.what}: {place}", soft_wrap=True)
    console.print(f"{len(missed)} targets missed." if missed else "All targets are met.")
    console.print()
    console.print(_surface_table(report.surface))
    for balance in report.balances:
        console.print()
        console.print(_balance_table(balance))


def _check_table(checks: Sequence[Check]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("what", "measured", "target", "ok"):
        table.add_column(heading, justify="right" if heading == "measured" else "left", overflow="fold")
    for check in checks:
        verdict = {True: "yes", False: "no", None: ""}[check.ok]
        table.add_row(
            check.what, _measured(check), _target(check), verdict, style="" if check.ok is not False else "bold"
        )
    return table


def _measured(check: Check) -> str:
    if isinstance(check.measured, int):
        return f"{check.measured:,}"
    interval = f" ({check.interval[0]:.3f}–{check.interval[1]:.3f})" if check.interval else ""
    return _number(check.measured) + interval


def _target(check: Check) -> str:
    low, high = (None if bound is None else f"{bound:,g}" for bound in (check.at_least, check.at_most))
    if low is not None and high is not None:
        return f"{low} to {high}"
    if high is not None:
        return "none" if check.at_most == 0 else f"at most {high}"
    return "" if low is None else f"at least {low}"


def _surface_table(surface: Mapping[str, Mapping[str, float | None]]) -> Table:
    groups = list(next(iter(surface.values()), {}))
    table = _figure_table("surface AUC by", groups)
    for label, areas in surface.items():
        table.add_row(label, *(_number(areas[group]) for group in groups))
    return table


def _balance_table(balance: Balance) -> Table:
    """A row for each form or region, one for the corpus, and the largest ratio to it of each label."""
    table = _figure_table(balance.attribute, ["documents", "sentences", *balance.whole.shares])
    for row in (*balance.rows, balance.whole):
        table.add_row(Text(row.value), str(row.n_documents), f"{row.n_sentences:,}", *map(_number, row.shares.values()))
    found = (balance.largest.get(label) for label in balance.whole.shares)
    table.add_row("largest ratio", "", "", *("–" if one is None else f"{one[1]:.2f} {one[0]}" for one in found))
    return table


def _figure_table(first: str, others: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _interval_heading(report: Mapping[str, Any]) -> str:
    return f"{report['intervals']['confidence']:.0%} interval" if report["intervals"] else "interval"


def _label_table(report: Mapping[str, Any]) -> Table:
    labels = sorted(report["labels"], key=lambda label: -report["per_label"][label]["support"])
    shown = set(labels[:_MANY_LABELS])
    table = Table(box=None, pad_edge=False)
    for heading in ("label", "precision", "recall", "F1", _interval_heading(report), "support", "threshold"):
        table.add_column(heading, justify="left" if heading == "label" else "right")
    for label in report["labels"]:
        if label in shown:
            figures = report["per_label"][label]
            bounds = (report["intervals"] or {}).get("per_label_f1", {}).get(label)
            table.add_row(
                label,
                _number(figures["precision"]),
                _number(figures["recall"]),
                _number(figures["f1"]),
                _bounds(bounds),
                str(figures["support"]),
                _number(figures["threshold"], 2),
            )
    if len(labels) > _MANY_LABELS:
        table.caption = f"{len(labels) - _MANY_LABELS} rarer labels are in report.json"
    return table


def _certificate_table(certificate: Mapping[str, Any]) -> Table:
    """Of a cascade: how much its cheap model answers, and how far it may differ from the expensive one."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in ("what", "figures"):
        table.add_column(name, no_wrap=name == "what")
    table.add_row("cheap model answers", f"{certificate['answered_share']:.1%} of {certificate['cases']} sentences")
    differs = f"{certificate['share']:.2%} (at most {certificate['upper_bound']:.2%} at confidence "
    table.add_row("differs from expensive", f"{differs}{certificate['confidence']:g})")
    losses = [
        f"{label['name']} always expensive"
        if label["upper_bound"] is None
        else f"{label['name']} {label['share']:.1%} (at most {label['upper_bound']:.1%})"
        for label in certificate["labels"]
    ]
    more = f", {len(losses) - _MANY_LABELS} more in report.json" if len(losses) > _MANY_LABELS else ""
    table.add_row("lost of expensive", Text(", ".join(losses[:_MANY_LABELS]) + more))
    return table


def _board_table(labels: Sequence[str], title: str | None = None) -> Table:
    shown = Text(title) if title else None  # a path in brackets is no markup
    table = Table(title=shown, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", vertical="bottom", overflow="fold")
    for heading in ("val.\nF1", "test\nF1", "95%\ninterval", *_label_headings(labels), "train\ns", "sent.\n/s", "MB"):
        table.add_column(heading, justify="right", vertical="bottom", no_wrap=True)
    return table


def _label_headings(labels: Sequence[str]) -> list[str]:
    return [label.replace("_", "\n") for label in labels] if _have_columns(labels) else []


def _have_columns(labels: Sequence[str]) -> bool:
    """Whether a column for each label leaves room for the other figures on 80 columns."""
    width = sum(1 + max(map(len, label.split("_"))) for label in labels)
    return width <= _LABEL_COLUMNS_WIDTH


def _board_cells(
    *,
    name: str,
    validation: float | None,
    test: float | None,
    bounds: Mapping[str, float | None] | None,
    per_label: Mapping[str, float | None],
    seconds: float | None,
    speed: float | None,
    size: float | None,
) -> list[str | Text]:
    return [
        Text(name),
        _number(validation, 2),
        _number(test, 2),
        _bounds(bounds, 2),
        *(_number(value, 2) for value in per_label.values() if _have_columns(list(per_label))),
        _number(seconds, 1),
        _number(speed, 0),
        _number(None if size is None else size / 1e6, 1),
    ]


def _or_last(figure: float | None) -> float:
    """A figure to rank by; undefined ones come after 0."""
    return -1.0 if figure is None else figure


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _bounds(bounds: Mapping[str, float | None] | None, digits: int = 3) -> str:
    if not bounds or bounds.get("low") is None:
        return "–"
    return f"{bounds['low']:.{digits}f}–{bounds['high']:.{digits}f}"
