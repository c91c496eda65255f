"""Labelled files as a whole: which rows count, and what their label cells mean together."""
