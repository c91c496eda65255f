"""Files for spreadsheets that lost the column with their apostrophes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from labels.output.table_files import APOSTROPHES, FoundApostrophes, write_csv
from labels.text.rows import csv_notes, read_rows

TEXTS = ["=1+1 is two", "- the workers' call", "@envoy said so", "Rain fell.", "'Tis over", "it's -5"]


def trimmed(path: Path, delimiter: str = ",") -> Path:
    """The file as a person leaves it who deletes the last column."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = [row[:-1] for row in csv.reader(lines)]
    with path.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines, delimiter=delimiter).writerows(rows)
    return path


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_trimmed_file_reads_back_without_apostrophes(tmp_path: Path, delimiter: str) -> None:
    texts = [text for text in TEXTS if "workers" not in text]
    rows = [{"text": text, "seconds": -0.5} for text in texts]
    write_csv(tmp_path / "a.csv", rows, ["text", "seconds"], for_spreadsheet=True)
    path = trimmed(tmp_path / "a.csv", delimiter)
    assert [row["text"] for _, row in read_rows(path)] == texts
    assert 'the apostrophe at the start of 2 cells, such as "\'=1+1 is two", was removed' in csv_notes(path)[-1]


def test_with_its_column_a_file_has_no_note(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"text": text} for text in TEXTS], ["text"], for_spreadsheet=True)
    assert [row["text"] for _, row in read_rows(tmp_path / "a.csv")] == TEXTS
    assert csv_notes(tmp_path / "a.csv") == ()


@pytest.mark.parametrize(
    "cells",
    [
        ["'=1+1", "=2+2"],
        ["'@envoy' was here"],
        ["'- no deal -' he said"],
        ["'Tis over", "it's -5", "-0.5", "- 12,5 %"],
        [],
    ],
    ids=["a bare formula", "quotation", "quotation with a dash", "no formula", "empty"],
)
def test_apostrophes_that_a_person_may_have_written_stay(tmp_path: Path, cells: list[str]) -> None:
    assert not FoundApostrophes([cells])
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([["text", "n"], *([cell, "1"] for cell in cells)])
    assert [row["text"] for _, row in read_rows(tmp_path / "a.csv")] == cells
    assert APOSTROPHES not in "".join(csv_notes(tmp_path / "a.csv"))
