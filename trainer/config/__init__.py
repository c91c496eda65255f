"""An experiment: the settings of `communique train`, from a TOML file and `--set key=value`.

Types, defaults and limits of every key are in `experiment` and, for `[model]`, in `models`, and nowhere else;
`experiments/default.toml` explains them.
"""
