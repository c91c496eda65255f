"""The formats of other tools, one a module; `labels.exchange.formats` finds them by name."""
