"""The figures of a report as text, each with its provenance: the file and key that it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labels.errors import counted
from trainer.evaluation.figures import SliceFigures
from trainer.evaluation.intervals import Interval
from trainer.evaluation.metrics import CALIBRATION_BINS
from trainer.evaluation.report import Report
from trainer.evaluation.report_tables import p_text
from trainer.runs.publication.material import Contents

_MANY_FOLDS = 10
"""Maximum number of folds named in a sentence."""
_FIGURES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Fact:
    """A figure as text, e.g. "0.812", its interval as text (empty if there is none), and where it comes from."""

    name: str
    text: str
    interval: str
    source: str

    @property
    def whole(self) -> str:
        """The figure with its interval."""
        return f"{self.text} ({self.interval})" if self.interval else self.text


def shown(value: float | None, digits: int = 3) -> str:
    """Return a figure as text; "undefined" for None."""
    return "undefined" if value is None else f"{value:.{digits}f}"


def design(report: Report) -> list[str]:
    """Return how the sentences behind the figures were kept from the model, as sentences."""
    if report.folds:
        return _folded(report)
    tested = (
        f"It was tested on {counted(report.n_test, 'sentence')} in {counted(report.n_groups, 'group')}; documents that "
        "share near-duplicate sentences form one group."
    )
    if report.n_train is None or report.n_validation is None:
        unknown = " Whether the model was trained on any of these sentences was not checked."
        return [tested + (unknown if report.n_train is None else "")]
    served = f"{counted(report.n_validation, 'sentence')} served for calibration"
    served += "" if report.exclusive else " and for the threshold of each label"
    return [f"It was fitted to {counted(report.n_train, 'sentence')}; {served}.", tested]


def _folded(report: Report) -> list[str]:
    use = "calibration" if report.exclusive else "calibration and the threshold of each label"
    train, validation, test = (
        _span([getattr(fold, key) for fold in report.folds]) for key in ("n_train", "n_validation", "n_test")
    )
    return [
        f"The figures come from {cross_validation(report)}: each of the {counted(report.n_test, 'sentence')}, in "
        f"{counted(report.n_groups, 'group')}, was predicted by a model fitted without its fold; documents that share "
        "near-duplicate sentences form one group.",
        f"A fold has {test} sentences; its model was fitted to {train} others, and {validation} more served for {use}.",
        f"There is no separate test part: the saved model is made from all {report.n_train} sentences, and was not "
        "tested itself.",
    ]


def cross_validation(report: Report) -> str:
    """Return the kind of a cross-validation, e.g. "5-fold cross-validation by document"; empty without folds."""
    if not report.folds:
        return ""
    names, column = [fold.name for fold in report.folds], report.folds[0].column
    numbered = names == [str(number) for number in range(1, len(names) + 1)]
    if column == "" or (column is None and numbered):  # older reports have no column
        return f"{len(names)}-fold cross-validation" + (" by document" if column == "" else "")
    more = f" and {len(names) - _MANY_FOLDS} more" if len(names) > _MANY_FOLDS else ""
    by = f" by {column}" if column else ""
    return f"leave-one-out cross-validation{by} ({len(names)} folds: {', '.join(names[:_MANY_FOLDS])}{more})"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def headline(contents: Contents) -> list[Fact]:
    """Return the headline figures: macro-F1, micro-F1, exact match and calibration error."""
    report = contents.report
    exact = report.exact_match_name
    names = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", exact: exact.replace("_", " ")}
    facts = [
        Fact(name, shown(getattr(report, key)), interval_of(contents, key), f"report.json: {key}, intervals.{key}")
        for key, name in names.items()
    ]
    error = shown(report.calibration.expected_calibration_error)
    name = f"calibration error ({CALIBRATION_BINS} bins)"
    return [*facts, Fact(name, error, "", "report.json: calibration.expected_calibration_error")]


def interval_of(contents: Contents, key: str) -> str:
    """Return the interval of a headline figure as text; empty if there is none."""
    return bounds_text(getattr(contents.report.intervals, key, None))


def label_interval(contents: Contents, label: str) -> str:
    """Return the interval of a label's F1 as text; empty if there is none."""
    intervals = contents.report.intervals
    return bounds_text(intervals.per_label_f1.get(label) if intervals else None)


def label_rows(contents: Contents) -> list[dict[str, str]]:
    """Return the figures of each label as text."""
    return [
        {
            "label": label,
            "precision": shown(own.precision),
            "recall": shown(own.recall),
            "f1": shown(own.f1),
            "interval": label_interval(contents, label) or "–",
            "average_precision": shown(own.average_precision),
            "support": str(own.support),
            "threshold": "argmax" if own.threshold is None else f"{own.threshold:.2f}",
        }
        for label, own in contents.report.per_label.items()
    ]


def label_cells(contents: Contents) -> list[tuple[str, ...]]:
    """Return the rows of the table of labels."""
    keys = ("label", "precision", "recall", "f1", "interval", "average_precision", "support", "threshold")
    return [tuple(row[key] for key in keys) for row in label_rows(contents)]


def label_headings(report: Report) -> tuple[str, ...]:
    """Return the headings of the table of labels. The thresholds behind out-of-fold figures are not the model's."""
    threshold = "threshold of the saved model" if report.folds else "threshold"
    return ("label", "precision", "recall", "F1", "interval", "average precision", "support", threshold)


def fold_thresholds(report: Report) -> list[tuple[str, ...]]:
    """Return the thresholds of each fold, in the order of the labels; empty if the report has none."""
    return [
        (fold.name, *(f"{fold.thresholds[label]:.2f}" for label in report.labels))
        for fold in report.folds
        if fold.thresholds
    ]


def slice_rows(slices: Sequence[SliceFigures]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Return the rows of each column by which the test sentences are sliced."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for own in slices:
        cells = (
            own.value,
            str(own.n),
            f"{own.labelled:.0%}",
            shown(own.micro_f1),
            bounds_text(own.intervals.get("micro_f1")) or "–",
            shown(own.exact_match),
            "–" if own.difference is None else f"{own.difference:+.3f}",
            "–" if own.adjusted_p is None else p_text(own.adjusted_p),
            "worse" if own.worse else own.reason,
        )
        found.setdefault(own.by, []).append(cells)
    return list(found.items())


def check_rows(report: Report) -> list[tuple[str, ...]]:
    """Return the failure rates of behavioural checks; empty if the report has none."""
    return [
        (
            own.capability,
            own.kind,
            str(own.n),
            str(own.failed),
            f"{own.rate:.1%}",
            f"{own.interval.low:.1%} to {own.interval.high:.1%}" if own.interval.low is not None else "–",
        )
        for own in (report.checks.rates if report.checks else ())
    ]


def bounds_text(interval: Interval | None) -> str:
    """Return an interval as text; empty if there is none."""
    return "" if interval is None or interval.low is None else f"{interval.low:.3f} to {interval.high:.3f}"


def corpus_rows(report: Report) -> list[tuple[str, ...]]:
    """Return label, share, precision, recall and F1 at the prevalence of the corpus; empty if the report has none."""
    found = report.prevalence
    if found is None:
        return []
    rows = [
        (
            label,
            _with_bounds(own.prevalence, own.low, own.high, "{:.2%}"),
            *(_with_bounds(getattr(own, name), *_bounds(own.intervals.get(name))) for name in _FIGURES),
        )
        for label, own in found.per_label.items()
    ]
    means = [("mean of labels", found.macro), *([("all labels together", found.micro)] if found.micro else [])]
    return [*rows, *((name, "", *(shown(getattr(own, each)) for each in _FIGURES)) for name, own in means)]


def _bounds(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)


def _with_bounds(value: float | None, low: float | None, high: float | None, form: str = "{:.3f}") -> str:
    if value is None:
        return shown(value)
    known = low is not None and high is not None
    return form.format(value) + (f" ({form.format(low)} to {form.format(high)})" if known else "")


def identity(contents: Contents) -> list[Fact]:
    """Return what identifies the data and the model; unknown values are left out."""
    report, manifest = contents.report, contents.manifest
    book, test = report.codebook, f"{report.n_test} in {counted(report.n_groups, 'group')} of documents"
    packages = ", ".join(f"{name} {own}" for name, own in manifest.packages.items()) if manifest else ""
    rows = [
        ("data", report.data, "report.json: data"),
        ("split", report.split_hash, "report.json: split_hash"),
        (f"{report.basis} sentences", f"{test}, hash {contents.test_hash}", f"predictions.parquet: {report.basis}"),
        ("looks at these sentences", _looks(report), "report.json: test_looks, counted in MLflow"),
        ("train, validation", _sizes(contents), "report.json: n_train, n_validation"),
        ("cross-validation", cross_validation(report), "report.json: folds"),
        ("training data", manifest.training_hash if manifest else "", "manifest.json: training_hash"),
        ("codebook", f"{book.name} {book.version}, hash {book.hash}" if book else "", "report.json: codebook"),
        ("model", f"{report.kind}, id {report.model_id}", "report.json: kind, model_id"),
        ("seed", "" if report.seed is None else str(report.seed), "report.json: seed"),
        ("trained at", manifest.created_at if manifest else "", "manifest.json: created_at"),
        ("packages", packages, "manifest.json: packages"),
    ]
    return [Fact(name, value, "", source) for name, value, source in rows if value]


def _looks(report: Report) -> str:
    """How often figures of the test sentences were shown; empty if nobody has counted."""
    return "" if report.test_looks is None else f"{report.test_looks}, this one included"


def _sizes(contents: Contents) -> str:
    train, validation = contents.report.n_train, contents.report.n_validation
    if contents.report.folds:
        return ""
    return "" if train is None or validation is None else f"{train} and {validation} sentences"
