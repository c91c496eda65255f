"""Honest figures: metrics, intervals, reports and plots, from arrays alone."""

from trainer.evaluation.report import Outcome, Report, build_report

__all__ = ["Outcome", "Report", "build_report"]
