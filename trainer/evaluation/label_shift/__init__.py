"""Figures at the prevalence of a corpus, under label shift: of labels, and of classes that exclude each other."""
