"""Small students of larger models: soft targets, and the kind `static`."""
