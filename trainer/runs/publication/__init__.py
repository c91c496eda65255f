"""What readers get of a run: a self-contained report, a model card, paragraphs and tables for a paper, changes."""
