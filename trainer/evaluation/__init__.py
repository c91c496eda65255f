"""Metrics, intervals, reports and plots, computed from arrays alone."""
