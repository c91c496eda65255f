"""Where a model fails: slices of the test set, confident mistakes, and behavioural checks."""
