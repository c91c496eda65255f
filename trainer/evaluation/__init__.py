"""Honest figures: metrics, intervals, reports and plots, from arrays alone."""

from trainer.evaluation.report import Outcome, build_report

__all__ = ["Outcome", "build_report"]
