"""The figures of a report that are logged to MLflow as metrics, by name."""

from __future__ import annotations

from trainer.evaluation.report import Report


def headline_metrics(report: Report) -> dict[str, float | None]:
    """Return the figures of a report that are logged to MLflow as metrics, by name."""
    # Runs in existing MLflow stores have these names: under a new name, a figure would be missing from leaderboards.
    names = (
        "macro_f1",
        "micro_f1",
        report.exact_match_name,
        "train_seconds",
        "sentences_per_second",
        "validation_macro_f1",
        "artefact_bytes",
        "n_test",
        "n_groups",
        "n_train",
    )
    figures = {name: getattr(report, name) for name in names}
    figures |= {f"f1.{label}": own.f1 for label, own in report.per_label.items()}
    figures |= {
        f"calibration.{name}": getattr(report.calibration, name)
        for name in ("expected_calibration_error", "brier_score", "log_loss")
    }
    if report.intervals:
        bounds = report.intervals.macro_f1
        figures |= {"macro_f1.low": bounds.low, "macro_f1.high": bounds.high}
    return figures
