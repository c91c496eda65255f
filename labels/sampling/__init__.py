"""What to label next: draws from the store, suggestions, and what waits to be labelled again."""
