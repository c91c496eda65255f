"""Parts of the commands `label` and `agreement`: options, the list of one's own decisions, tables about coders."""
