"""Choose sentences to label: draws from the store, model suggestions, and the queue for relabelling."""
