"""Parts of the command `label`: its options, and the list of one's own decisions."""
