"""The characters of texts: how files encode them, how people type them, how screens show them."""
