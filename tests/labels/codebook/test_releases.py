from __future__ import annotations

from collections.abc import Collection

import pytest

from labels.codebook.changes import diff
from labels.codebook.releases import kept_version, later_versions, shipped_steps
from labels.codebook.schema import load_codebook, shipped_versions
from tests.trainer.conftest import plain_codebook

FIRST, SECOND = "8b65344ebcd9b7fb", "dcb4321c60a0dcdd"
HASHES = {"diplomatic@1.1.0": FIRST, "diplomatic@1.2.0": SECOND}
OLD, NEW = map(load_codebook, HASHES)


def test_a_shipped_version_never_changes() -> None:
    # A new version is a new file: stores, artefacts and the starter corpus refer to the hashes of the older ones.
    assert {version: load_codebook(version).hash for version in shipped_versions("diplomatic")} == HASHES


def test_the_name_alone_is_the_newest_version() -> None:
    assert load_codebook("diplomatic").hash == list(HASHES.values())[-1]


def test_the_shipped_steps_name_the_labels_whose_rules_changed() -> None:
    changed = {label.name for label in diff(OLD, NEW).labels}
    assert {(step.kind, step.new) for step in shipped_steps(OLD, NEW)} == {("revise", (name,)) for name in changed}
    assert shipped_steps(NEW, OLD) == shipped_steps(OLD, OLD) == ()
    assert shipped_steps(OLD, plain_codebook("aid", "truce")) == ()


def test_versions_after_a_shipped_version_are_known() -> None:
    assert later_versions(OLD) == {SECOND}
    assert later_versions(NEW) == later_versions(plain_codebook("aid")) == frozenset()


@pytest.mark.parametrize(
    ("stored", "changes", "kept"),
    [
        ([], [], "diplomatic@1.2.0"),
        (["0" * 16], [], "diplomatic@1.2.0"),
        ([SECOND], [], "diplomatic@1.2.0"),
        ([FIRST], [], "diplomatic@1.1.0"),
        ([SECOND, FIRST], [], "diplomatic@1.1.0"),
        ([FIRST, SECOND], [(FIRST, SECOND)], "diplomatic@1.2.0"),
        ([FIRST, SECOND], [(FIRST, "0" * 16), (SECOND, FIRST)], "diplomatic@1.1.0"),
    ],
)
def test_a_store_keeps_its_version_until_a_change_is_recorded(
    stored: Collection[str], changes: list[tuple[str, str]], kept: str
) -> None:
    assert kept_version("diplomatic", stored, changes) == kept
