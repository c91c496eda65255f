"""Regressions whose outcome is a label, corrected by a labelled sample."""
