"""The formats of other tools, one per module; `labels.exchange.formats` finds them by name."""
