"""The pages of a run, written to a folder: a report, a model card, and a paragraph and a table for a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labels.errors import DataError
from labels.output.drafts import write_whole
from labels.output.folders import make_folder
from trainer.evaluation.plots import remarks
from trainer.model.model import MANIFEST, package_versions
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


@dataclass(frozen=True)
class Mistake:
    """A sentence whose label set is wrong, and how confident the model was: the largest distance of a wrong decision's
    probability from gold, in [0, 1]."""

    text: str
    document_id: str
    gold: tuple[str, ...]
    missed: tuple[str, ...]
    wrong: tuple[str, ...]
    confidence: float


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


def page_values(contents: Contents) -> dict[str, Any]:
    """Return the values that the templates fill in."""
    outcome, report = contents.outcome, contents.report
    mistakes = find_mistakes(contents)
    names, matrix = confusion_table(outcome)
    rows = [(own["label"], *_interval_ends(contents, own["label"])) for own in facts.label_rows(contents)]
    return {
        "contents": contents,
        "report": report,
        "headline": facts.headline(contents),
        "label_rows": facts.label_rows(contents),
        "identity": facts.identity(contents),
        "remarks": remarks(report),
        "forest": interval_chart("F1 by label with its interval", rows),
        "charts": draw_charts(outcome),
        "prevalences": [f"{share:.0%}" for share in PREVALENCES],
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


def find_mistakes(contents: Contents) -> list[Mistake]:
    """Return all sentences whose label set is wrong, the most confident mistakes first."""
    outcome, labels = contents.outcome, contents.report.labels
    wrong = outcome.gold != outcome.predicted
    distance = np.where(wrong, np.abs(outcome.probabilities - outcome.gold), 0).max(axis=1)

    def names(row: int, chosen: Any) -> tuple[str, ...]:
        return tuple(labels[i] for i in np.flatnonzero(chosen[row]))

    return [
        Mistake(
            text=contents.data.examples[row].text,
            document_id=contents.data.examples[row].document_id,
            gold=names(row, outcome.gold),
            missed=names(row, outcome.gold & ~outcome.predicted),
            wrong=names(row, outcome.predicted & ~outcome.gold),
            confidence=float(distance[row]),
        )
        for row in map(int, np.argsort(-distance, kind="stable"))
        if wrong[row].any()
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
            "split": "test",
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
