"""The definition of statements, and people's decisions on them: codebooks, documents, sentences, annotations and the
store that keeps them.

This package never imports `trainer`. `communique` is the package to import from: it offers the public names of both.
"""
