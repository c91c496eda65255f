"""Which folders the outputs of a command may be written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from labels.errors import DataError
from labels.output.folders import output_folder, refuse_occupied


def test_an_occupied_folder_is_refused_with_the_options_that_help(full_folder: Path) -> None:
    with pytest.raises(DataError, match=r"is not empty\. Choose another folder with --out, or add --overwrite\."):
        refuse_occupied(full_folder)
    with output_folder(full_folder, overwrite=True) as draft:
        (draft / "report.json").write_text("new", encoding="utf-8")
    assert (full_folder / "report.json").read_text(encoding="utf-8") == "new"


def test_a_folder_that_no_command_left_is_never_replaced(isolated: Path) -> None:
    (isolated / "out").mkdir()
    (isolated / "out" / "thesis.txt").write_text("precious", encoding="utf-8")
    with (
        pytest.raises(DataError, match=r"none of report\.json, .*--out"),
        output_folder(isolated / "out", overwrite=True),
    ):
        pytest.fail("the block was entered")
    assert [path.name for path in (isolated / "out").iterdir()] == ["thesis.txt"]


def test_a_folder_that_holds_what_is_to_be_read_is_not_replaced(isolated: Path, full_folder: Path) -> None:
    refuse_occupied(full_folder, overwrite=True, reads=["data.jsonl", "diplomatic"])
    for read in ("out/data.jsonl", full_folder / "deep" / "data.jsonl", "out"):
        with pytest.raises(DataError, match=rf"would delete .*{Path(read).name}.*--out"):
            refuse_occupied(full_folder, overwrite=True, reads=["else.jsonl", read])
