"""Serving a saved model over HTTP."""
