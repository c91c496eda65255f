"""Adjust a saved model to a labelled sample: probabilities, thresholds, and rules for abstaining."""
