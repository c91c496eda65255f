"""Cascades: cheap models label what they are certain of, the last one the rest."""
