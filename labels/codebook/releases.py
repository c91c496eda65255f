"""The versions of a shipped codebook: the steps between them, and which of them a label store keeps."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable
from importlib import resources
from itertools import pairwise

from labels.codebook.changes import Step
from labels.codebook.schema import Codebook, load_codebook, shipped_codebooks, shipped_versions

_STEPS = resources.files("labels.codebook") / "shipped" / "steps"


def shipped_steps(old: Codebook, new: Codebook) -> tuple[Step, ...]:
    """Return the shipped steps from one shipped version to a later one; empty if there are none.

    Over several versions, a label is named once if any of the versions between revised its rules.
    """
    name, line = _line_of(old)
    hashes = [book.hash for book in line]
    if new.hash not in hashes:
        return ()
    passed = line[hashes.index(old.hash) : hashes.index(new.hash) + 1]
    steps = [step for before, after in pairwise(passed) for step in _recorded(name, before, after)]
    return tuple(dict.fromkeys(steps))


def later_versions(codebook: Codebook) -> frozenset[str]:
    """Return the hashes of the shipped versions that follow this shipped version; empty for any other codebook."""
    hashes = [book.hash for book in _line_of(codebook)[1]]
    return frozenset(hashes[hashes.index(codebook.hash) + 1 :]) if hashes else frozenset()


def shipped_version(codebook_hash: str) -> str:
    """Return the shipped version with this hash as NAME@VERSION; empty if none has it."""
    versions = (version for version in shipped_codebooks() if "@" in version)
    return next((version for version in versions if load_codebook(version).hash == codebook_hash), "")


def _line_of(codebook: Codebook) -> tuple[str, list[Codebook]]:
    """Return the shipped name of a codebook and all its shipped versions, oldest first; empty if it is not shipped."""
    for name in (shipped for shipped in shipped_codebooks() if "@" not in shipped):
        line = [load_codebook(version) for version in shipped_versions(name)]
        if codebook.hash in (book.hash for book in line):
            return name, line
    return "", []


def _recorded(name: str, old: Codebook, new: Codebook) -> list[Step]:
    content = tomllib.loads((_STEPS / f"{name}.toml").read_text(encoding="utf-8"))
    changes = (change for change in content["changes"] if (change["old"], change["new"]) == (old.version, new.version))
    return [Step("revise", (label,), (label,)) for change in changes for label in change["revise"]]


def kept_version(name: str, stored: Collection[str], changes: Iterable[tuple[str, str]]) -> str:
    """Return which version of the shipped codebook `name` a store uses, as NAME@VERSION.

    A store keeps the oldest shipped version in it, until a recorded change leads from there to a later version.

    Args:
        stored: the hashes of the versions in the store.
        changes: the recorded changes, as pairs of hashes.
    """
    versions = {load_codebook(version).hash: version for version in shipped_versions(name)}
    kept = next((known for known in versions if known in stored), list(versions)[-1])
    following = {old: new for old, new in changes if new in versions and old != new}
    while kept in following:
        kept = following.pop(kept)
    return versions[kept]
