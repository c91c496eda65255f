"""Figures for labels, or for classes that exclude each other, at the prevalence of a corpus, under label shift."""
