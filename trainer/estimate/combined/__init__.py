"""Estimates that combine codings: before and after a change of model or codebook, and of several coders."""
