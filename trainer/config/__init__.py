"""Define experiments: the settings of `communique train`, from a TOML file and `--set key=value`.

The modules `models` (for `[model]`) and `sections` (for all other sections) define the type, default and limits of
every key. `experiments/default.toml` explains the keys.
"""
