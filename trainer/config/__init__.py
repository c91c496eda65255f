"""An experiment: the settings of `communique train`, from a TOML file and `--set key=value`.

The module `models` defines the type, default and limits of every key of `[model]`; the module `experiment` those of all
other keys. `experiments/default.toml` explains the keys.
"""
