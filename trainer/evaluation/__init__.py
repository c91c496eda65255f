"""Metrics, intervals, reports and plots, computed from arrays alone."""

from trainer.evaluation.report import Outcome, Report, build_report

__all__ = ["Outcome", "Report", "build_report"]
