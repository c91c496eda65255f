"""Adjust a saved model to a labelled sample: new probabilities, thresholds, and when to abstain."""
