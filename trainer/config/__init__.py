"""An experiment: what `communique train` is told by a TOML file and `--set key=value`.

Types, defaults and limits of every key stand in `experiment`, `models` and `sweep` and nowhere else;
`experiments/default.toml` explains them.
"""
