"""Import and export of annotations, one module a format."""
