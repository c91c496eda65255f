"""What a statement is, and who said so: codebooks, documents, sentences, annotations and the store that keeps them.

This package never imports `trainer`. `communique` is the package to import from: it offers the public names of both.
"""
