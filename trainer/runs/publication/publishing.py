"""The pages of a run, written to a folder: a report, a model card, and a paragraph and a table for a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labels.errors import DataError
from labels.output.drafts import write_whole
from labels.output.folders import make_folder
from trainer.config.sections import EvaluationSection
from trainer.evaluation.failures.mistakes import find_mistakes
from trainer.evaluation.failures.slices import OTHER, describe_examples
from trainer.evaluation.figures import SliceFigures
from trainer.evaluation.report import Report
from trainer.evaluation.report_tables import FOLD_HEADINGS, agreement_text, fold_rows, remarks
from trainer.model.model import MANIFEST, package_versions
from trainer.runs.evaluate import outcome_slices
from trainer.runs.publication import facts
from trainer.runs.publication.charts import PREVALENCES, confusion_table, draw_charts, precision_at_prevalence
from trainer.runs.publication.escapes import markdown, tex
from trainer.runs.publication.material import Contents
from trainer.runs.publication.rendering import render
from trainer.runs.publication.svg import interval_chart

MOST_ERRORS = 500
"""Maximum number of errors on the page; the most confident ones are shown."""
PAGES = {"report.html": "report.html", "MODEL_CARD.md": "card.md", "methods.md": "methods.md", "table.tex": "table.tex"}
"""The files that are written, and their templates."""


def refuse_artefact(folder: Path) -> None:
    """Raise DataError if a folder is, or lies in, an artefact: added files would make the model unreadable."""
    for place in (folder, *folder.absolute().parents):
        if (place / MANIFEST).is_file():
            raise DataError(f"{folder}: {place} is a saved model, which must not be changed. Choose another --out.")


def publish(contents: Contents, folder: Path) -> list[Path]:
    """Write all `PAGES` into a folder, which is created if it does not exist; returns their paths.

    Raises:
        DataError: a file cannot be written.
    """
    make_folder(folder)
    values = page_values(contents)
    written = []
    for name, template in PAGES.items():
        write_whole(folder / name, [render(template, **values)])
        written.append(folder / name)
    return written


def write_page(contents: Contents, path: Path) -> None:
    """Write the page of a report alone.

    Raises:
        DataError: the file cannot be written.
    """
    write_whole(path, [render("report.html", **page_values(contents))])


def page_values(contents: Contents) -> dict[str, Any]:
    """Return the values that the templates fill in."""
    outcome, report = contents.outcome, contents.report
    columns = describe_examples(contents.data.examples)
    mistakes = find_mistakes(outcome, contents.data.examples, columns)
    # Reports of older versions have no slices.
    slices = report.slices or outcome_slices(outcome, contents.data.examples, EvaluationSection())
    sliced = facts.slice_rows(slices)
    names, matrix = confusion_table(outcome)
    rows = [(own["label"], *_interval_ends(contents, own["label"])) for own in facts.label_rows(contents)]
    return {
        "contents": contents,
        "report": report,
        "design": facts.design(report),
        "cross_validation": facts.cross_validation(report),
        "headline": facts.headline(contents),
        "label_rows": facts.label_rows(contents),
        "label_headings": facts.label_headings(report),
        "label_cells": facts.label_cells(contents),
        "slice_rows": sliced,
        "n_worse": sum(own.worse for own in slices),
        "check_rows": facts.check_rows(report),
        "fold_headings": FOLD_HEADINGS,
        "fold_rows": fold_rows(report),
        "fold_thresholds": facts.fold_thresholds(report),
        "sections": _sections(contents, sliced=bool(sliced)),
        "filters": _filters(slices),
        "identity": facts.identity(contents),
        "remarks": [agreement_text(report), *remarks(report)],
        "forest": interval_chart("F1 by label with its interval", rows),
        "charts": draw_charts(outcome, _dots(report)),
        "prevalences": [f"{share:.0%}" for share in PREVALENCES],
        "prevalence_headings": [f"at {share:.0%}" for share in PREVALENCES],
        "prevalence_rows": _prevalence_rows(contents),
        "corpus_rows": facts.corpus_rows(report),
        "confusion_names": names,
        "confusion": matrix,
        "mistakes": mistakes[:MOST_ERRORS],
        "n_mistakes": len(mistakes),
        "card": _metadata(contents),
        "version": package_versions()["communique"],
        "md": markdown,
        "tex": tex,
    }


def _sections(contents: Contents, *, sliced: bool) -> list[tuple[str, str]]:
    """The id and title of each part of the page."""
    report = contents.report
    parts = [
        ("labels", "Labels", True),
        ("folds", "Folds", bool(report.folds)),
        ("curves", "Curves", True),
        ("slices", "Slices", sliced),
        ("checks", "Behavioural checks", report.checks is not None),
        ("prevalence", "Precision in other corpora", True),
        ("corpus", "Prevalence of the corpus", report.prevalence is not None),
        ("confusion", "Confusion", True),
        ("errors", "Errors", True),
        ("codebook", "Codebook", contents.codebook is not None),
        ("identity", "Identity", True),
    ]
    return [(name, title) for name, title, there in parts if there]


def _dots(report: Report) -> str:
    """What the dots in the chart of thresholds are."""
    if report.folds:
        return "the F1 of the folds, each with thresholds of its own, at the threshold of the saved model"
    return "the threshold of the model" + (", tuned on validation" if report.n_validation else "")


def _filters(slices: Sequence[SliceFigures]) -> list[tuple[str, list[str]]]:
    """The columns by which errors can be filtered, with their values."""
    found: dict[str, list[str]] = {}
    for own in slices:
        found.setdefault(own.by, []).append(own.value)
    return [(name, [value for value in values if not value.startswith(OTHER)]) for name, values in found.items()]


def _interval_ends(contents: Contents, label: str) -> tuple[float | None, float | None, float | None]:
    intervals = contents.report.intervals
    found = intervals.per_label_f1.get(label) if intervals else None
    return contents.report.per_label[label].f1, found.low if found else None, found.high if found else None


def _prevalence_rows(contents: Contents) -> list[tuple[str, ...]]:
    """Each label, the precision in these data, and at each of `PREVALENCES`."""
    return [
        (
            label,
            f"{contents.outcome.gold[:, i].mean():.1%}",
            facts.shown(contents.report.per_label[label].precision),
            *(facts.shown(precision_at_prevalence(contents.outcome, i, share)) for share in PREVALENCES),
        )
        for i, label in enumerate(contents.report.labels)
    ]


def _metadata(contents: Contents) -> str:
    """Return the metadata block of a model card, as YAML in the form of the Hugging Face hub."""
    import yaml

    report, book = contents.report, contents.report.codebook
    metrics: list[Mapping[str, Any]] = [
        {"type": kind, "name": name, "value": round(value, 4)}
        for kind, name, value in (
            ("f1", "macro-F1", report.macro_f1),
            ("f1", "micro-F1", report.micro_f1),
            ("accuracy", report.exact_match_name.replace("_", " "), report.exact_match),
        )
        if value is not None
    ]
    name = f"{book.name if book else 'communique'}-{report.kind}"
    result = {
        "task": {"type": "text-classification", "name": "Text classification"},
        "dataset": {
            "type": "custom",
            "name": report.data or "unknown",
            "split": report.basis,
            "revision": contents.test_hash,
        },
        "metrics": metrics,
    }
    block = {
        "library_name": "communique",
        "pipeline_tag": "text-classification",
        "tags": ["communique", report.kind, *(["synthetic"] if report.synthetic else [])],
        "metrics": ["f1", "accuracy"],
        "model-index": [{"name": name, "results": [result]}],
    }
    return str(yaml.safe_dump(block, sort_keys=False, allow_unicode=True))
