"""The commands that lead from a model to numbers about a corpus."""
