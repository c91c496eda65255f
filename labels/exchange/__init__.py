"""Import and export of annotations, one module a format; `formats` knows them by name."""
