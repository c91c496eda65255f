"""Import and export of annotations in several file formats; `formats` finds a format by name."""
