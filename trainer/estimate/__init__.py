"""Shares and counts of labels in a corpus, from predictions and a labelled probability sample."""
