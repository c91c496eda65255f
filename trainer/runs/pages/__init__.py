"""Pages for readers of a run: a self-contained report, a model card, and paragraphs and tables for a paper."""
