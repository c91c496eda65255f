"""Labelling and adjudicating sentences, on a screen or line by line."""
