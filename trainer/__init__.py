"""Models and their quality: experiments, classifiers, calibration, evaluation, artefacts, prediction, serving.

`communique` is the package to import from: it offers the public names of this package and of `labels`.
"""
