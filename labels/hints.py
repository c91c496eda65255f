"""Commands to be typed next, as they can be pasted into a shell: quoted, about the same store and codebook."""

from __future__ import annotations

import shlex
from pathlib import Path

from labels.settings import load_settings
from labels.store_url import store_name


def command(*words: str | Path, store: str | Path = "", codebook: str = "") -> str:
    """`communique` with these words, and with `--store` and `--codebook` where the settings lead to others.

    Args:
        store: what the command is to be about, as it was given or is called; no password of it shows.
        codebook: what `--codebook` takes for the codebook.

    Raises:
        InputError: as `labels.settings.load_settings`.
    """
    options = ["--store", store_name(store)] if is_other_store(store) else []
    options += ["--codebook", codebook] if codebook and codebook != load_settings().codebook else []
    return shlex.join(["communique", *map(str, words), *options])


def relabel_command(annotator: str = "YOUR_NAME", *, store: str | Path = "", codebook: str = "") -> str:
    """What to type to label the queue again, under the codebook that is named so."""
    return command("label", "--annotator", annotator, "--strategy", "relabel", store=store, codebook=codebook)


def is_other_store(store: str | Path) -> bool:
    """Whether a store is named and is not that of the settings."""
    return bool(store) and store_name(store) != store_name(load_settings().store)
