"""A saved model over HTTP."""
