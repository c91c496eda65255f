"""Parts of `label`, `adjudicate` and `agreement`: options, draws, review, open sessions, tables about coders."""
