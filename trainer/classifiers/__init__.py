"""Define the classifiers, one module per kind; `base` finds the class of a kind."""
