"""Agreement between annotators: coefficients, comparisons, reports, and the effect of suggestions."""
