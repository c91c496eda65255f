"""CSV and JSON that others read back: pandas, Python's csv module and our own reader get the values as they were."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from labels.errors import DataError
from labels.output.table_files import (
    APOSTROPHES,
    FoundApostrophes,
    csv_block,
    csv_lines,
    json_lines,
    write_csv,
    write_csv_table,
)
from labels.text.rows import Row, read_rows

COLUMNS = ["text", "note", "=odd", "'quoted'"]
PROBABILITY = "p:aid"
EDGES = (
    "\r",
    "\n",
    "\r\n",
    '"',
    "'",
    ",",
    ";",
    "\t",
    " ",
    "=",
    "+",
    "-",
    "@",
    "＝",
    "\u2028",
    "\x85",
    "\x0b",
    "\ufeff",
    "\u200b",
)
CELLS = st.lists(
    st.sampled_from(EDGES) | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=3),
    max_size=5,
).map("".join)
TABLES = st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, CELLS)), max_size=4)
PATIENT = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_with_csv(path: Path, encoding: str = "utf-8") -> list[dict[str, str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, strict=True))


def read_with_pandas(path: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    return rows


def read_with_ours(path: Path) -> list[Row]:
    return [row for _, row in read_rows(path)]


def cells_for_a_spreadsheet(path: Path) -> list[dict[str, str]]:
    """The cells of a file for spreadsheets, as a spreadsheet sees them."""
    return read_with_csv(path, "utf-8-sig")


# -- files for programs


@PATIENT
@given(TABLES)
@example([dict.fromkeys(COLUMNS, "a\rb")])
@example([dict.fromkeys(COLUMNS, ""), dict.fromkeys(COLUMNS, "\ufeff")])
@example([dict.fromkeys(COLUMNS, 'say ""no""\r\n')])
def test_every_reader_gets_the_values_that_were_written(rows: list[Row]) -> None:
    assume(
        not FoundApostrophes(row.values() for row in rows)
    )  # they are taken for those of a spreadsheet, and reported
    write_csv(Path("a.csv"), rows, COLUMNS)
    assert read_with_csv(Path("a.csv")) == rows
    assert read_with_pandas(Path("a.csv")) == rows
    assert read_with_ours(Path("a.csv")) == rows


@PATIENT
@given(st.lists(CELLS, min_size=1, max_size=4))
def test_a_single_column_loses_no_empty_row(cells: list[str]) -> None:
    assume(not FoundApostrophes([cells]))
    write_csv(Path("a.csv"), [{"text": cell} for cell in cells], ["text"])
    for read in (read_with_csv, read_with_ours):
        assert [row["text"] for row in read(Path("a.csv"))] == cells
    frame = pd.read_csv("a.csv", dtype=str, keep_default_na=False, skip_blank_lines=False)
    assert frame.text.tolist() == cells


@PATIENT
@given(TABLES.filter(bool))
@example([{"text": "half an emoji \ud83d"}])
def test_json_lines_give_back_every_value(rows: list[Row]) -> None:
    text = "".join(json_lines(rows))
    Path("a.jsonl").write_text(text, encoding="utf-8", newline="")
    assert [json.loads(line) for line in text.splitlines()] == rows
    assert read_with_ours(Path("a.jsonl")) == rows


def test_values_that_are_not_text_become_json_and_null_becomes_empty() -> None:
    row = {"text": "x", "n": -0.5, "labels": ["é"], "flag": True, "nothing": None, "other": 1}
    write_csv(Path("a.csv"), [row], ["text", "n", "labels", "flag", "nothing", "missing"])
    assert read_with_csv(Path("a.csv")) == [
        {"text": "x", "n": "-0.5", "labels": '["é"]', "flag": "true", "nothing": "", "missing": ""}
    ]


def test_lines_end_with_a_line_feed() -> None:
    write_csv(Path("a.csv"), [{"a": "1", "b": "2"}], ["a", "b"])
    assert Path("a.csv").read_bytes() == b"a,b\n1,2\n"


@pytest.mark.parametrize(("cell", "what"), [("a\0b", "a NUL character"), ("half \ud83d", "an unpaired surrogate")])
@pytest.mark.parametrize("for_spreadsheet", [False, True])
def test_a_character_that_other_programs_cannot_read_is_refused(cell: str, what: str, for_spreadsheet: bool) -> None:
    Path("a.csv").write_text("older", encoding="utf-8")
    with pytest.raises(DataError, match=rf"^a\.csv:2: the cell .* contains {what}.*\.jsonl") as caught:
        write_csv(Path("a.csv"), [{"text": "fine"}, {"text": cell}], ["text"], for_spreadsheet=for_spreadsheet)
    str(caught.value).encode()
    assert [path.name for path in Path().iterdir()] == ["a.csv"]
    assert Path("a.csv").read_text(encoding="utf-8") == "older"


def test_figures_are_written_as_pandas_writes_them() -> None:
    rows: list[dict[str, Any]] = [
        {"trial": 1, "C": 0.5, "flag": True, "f1": None},
        {"trial": 2, "C": 1, "problem": "line one\nline two", "f1": 1e-06, "sizes": [1, 2]},
        {"trial": 3, "C": math.nan, "f1": 1 / 3},
    ]
    write_csv_table(Path("ours.csv"), rows)
    expected = pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")
    assert Path("ours.csv").read_text(encoding="utf-8") == expected


# -- files for spreadsheets


def is_executed(cell: str) -> bool:
    """Whether a spreadsheet may execute a cell: the first visible character decides."""
    first = next((c for c in cell if not (c.isspace() or c in "\ufeff\u200b")), "")
    return cell[:1] in ("\t", "\r", "\n") or first in tuple("=+-@＝＋－＠")


@PATIENT
@given(TABLES)
@example([dict.fromkeys(COLUMNS, "=1+1")])
@example([dict.fromkeys(COLUMNS, "'=1+1"), dict.fromkeys(COLUMNS, "''")])
def test_a_file_for_spreadsheets_reads_back_as_it_was(rows: list[Row]) -> None:
    write_csv(Path("a.csv"), rows, COLUMNS, for_spreadsheet=True)
    assert read_with_ours(Path("a.csv")) == rows


@PATIENT
@given(TABLES)
def test_a_spreadsheet_executes_no_cell(rows: list[Row]) -> None:
    write_csv(Path("a.csv"), rows, COLUMNS, for_spreadsheet=True)
    assert Path("a.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    for row in cells_for_a_spreadsheet(Path("a.csv")):
        assert not [cell for cell in (*row, *row.values()) if is_executed(cell)]


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-x", "@SUM(A1)", "\tx", "\rx", "\nx", " =1", "\u00a0=1", "\ufeff=1", "\u200b=1", "＝1", "-5"],
)
def test_a_dangerous_cell_gets_an_apostrophe(cell: str) -> None:
    write_csv(Path("a.csv"), [{"text": cell}], ["text"], for_spreadsheet=True)
    assert cells_for_a_spreadsheet(Path("a.csv")) == [{"text": f"'{cell}", APOSTROPHES: '["text"]'}]


@pytest.mark.parametrize("cell", ["", "x=1", "'tis", "1-2", '"=1"', "(-1)"])
def test_a_harmless_cell_stays_as_it_is(cell: str) -> None:
    write_csv(Path("a.csv"), [{"text": cell}], ["text"], for_spreadsheet=True)
    assert cells_for_a_spreadsheet(Path("a.csv")) == [{"text": cell, APOSTROPHES: ""}]


def test_a_negative_number_stays_a_number() -> None:
    write_csv(Path("a.csv"), [{"text": "x", PROBABILITY: -0.5}], ["text", PROBABILITY], for_spreadsheet=True)
    assert cells_for_a_spreadsheet(Path("a.csv"))[0][PROBABILITY] == "-0.5"


def test_the_apostrophes_of_other_files_stay() -> None:
    Path("a.csv").write_text("text,'label\n'=1+1,'a\n=2,b\n", encoding="utf-8")
    assert read_with_ours(Path("a.csv")) == [{"text": "'=1+1", "'label": "'a"}, {"text": "=2", "'label": "b"}]


def test_rows_that_a_person_changed_in_a_spreadsheet_are_read_as_typed() -> None:
    Path("a.csv").write_text(
        f'note,text,{APOSTROPHES}\n'
        '"","=1+1","[""text""]"\n'  # Google Sheets removes the apostrophe
        '"","\'quoted\' words","[""text""]"\n'  # another text was typed
        '"\'=2","\'=1+1",""\n'  # a new row
        '"","\'=3","[""text"", ""removed column""]"\n',
        encoding="utf-8",
    )  # fmt: skip
    rows = [("", "=1+1"), ("", "'quoted' words"), ("'=2", "'=1+1"), ("", "=3")]
    assert read_with_ours(Path("a.csv")) == [{"note": note, "text": text} for note, text in rows]


def test_a_file_that_a_spreadsheet_saved_with_semicolons_is_read_as_it_was() -> None:
    rows: list[Row] = [{"text": "=1+1; a, b", "note": "-x"}, {"text": "plain; text", "note": ""}]
    write_csv(Path("a.csv"), rows, ["text", "note"], for_spreadsheet=True)
    with Path("a.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = list(csv.reader(file))
    with Path("saved.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows(cells)
    assert read_with_ours(Path("saved.csv")) == rows


@pytest.mark.parametrize("cell", ["text", "[1]", "{}"])
def test_a_damaged_list_of_apostrophes_is_refused_with_its_row(cell: str) -> None:
    Path("a.csv").write_text(f"text,{APOSTROPHES}\nfine,\n'=1,{cell}\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"^a\.csv:3: the column `{APOSTROPHES}` must be empty or a list of columns"):
        read_with_ours(Path("a.csv"))
    rejected: list[str] = []
    assert [row for _, row in read_rows(Path("a.csv"), rejected.append)] == [{"text": "fine"}]
    assert len(rejected) == 1


def test_a_column_cannot_have_the_reserved_name() -> None:
    with pytest.raises(DataError, match=rf"a\.csv: the column name `{APOSTROPHES}` is reserved"):
        write_csv(Path("a.csv"), [], ["text", APOSTROPHES])


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)


@PATIENT
@given(st.lists(st.tuples(VALUES, VALUES), max_size=4))
def test_a_block_has_the_lines_of_its_rows(rows: list[tuple[Any, Any]]) -> None:
    named = (dict(zip("ab", row, strict=True)) for row in rows)
    assert outcome(lambda: csv_block(rows, "ab", Path("a.csv"), 7)) == outcome(
        lambda: b"".join(csv_lines(named, "ab", Path("a.csv"), 7))
    )


def outcome(action: Callable[[], bytes]) -> bytes | str:
    """The result, or the message of the error."""
    try:
        return action()
    except DataError as error:
        return str(error)
