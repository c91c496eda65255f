"""The header of a table: separators, columns named twice, columns with almost our names, columns named by the user."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labels.errors import DataError
from labels.text.headers import ColumnNames
from labels.text.rows import NamedRows, Row, read_rows


def write(name: str, content: str) -> Path:
    Path(name).write_bytes(content.encode())
    return Path(name)


def read(path: Path, text: str = "", label: str = "") -> tuple[list[Row], tuple[str, ...]]:
    rows = NamedRows(path, ColumnNames(text, label))
    found = [row for _, row in rows]
    return found, rows.notes


def refusal(path: Path, text: str = "", label: str = "") -> str:
    with pytest.raises(DataError) as caught:
        read(path, text, label)
    return str(caught.value)


# -- separators


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("text;label\none, two;aid\n", "semicolons"),
        ("text\tlabel\none, two\taid\n", "tabs"),
        ("sep=;\r\ntext;label\r\none, two;aid\r\n", "semicolons"),
        ('\ufeff"sep=;"\ntext;label\none, two;aid\n', "semicolons"),
        ("sep=;,,\ntext;label\none, two;aid\n", "semicolons"),
        ("sep=|\ntext|label\none, two|aid\n", "`|`"),
        ("Text;LABEL\none, two;aid\n", "semicolons"),
    ],
)
def test_another_separator_is_found_and_reported(content: str, name: str) -> None:
    rows, notes = read(write("a.csv", content))
    assert rows == [{"text": "one, two", "label": "aid"}]
    assert f"a.csv: the columns are separated by {name}" in notes


def test_unknown_columns_are_separated_by_the_only_separator_in_the_header() -> None:
    rows, _ = read(write("a.csv", "Tweet;Kategorie\none, two;aid\n"), "Tweet", "Kategorie")
    assert rows == [{"text": "one, two", "label": "aid"}]


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ("text,label\n1;2,aid\n", {"text": "1;2", "label": "aid"}),
        ("sep=,\ntext,label\none,aid\n", {"text": "one", "label": "aid"}),
        ("text\none;two\n", {"text": "one;two"}),
        ("a;b,text\n1,one\n", {"a;b": "1", "text": "one"}),
        ("a;b\tc\n1\n", {"a;b\tc": "1"}),
    ],
)
def test_commas_stay_the_separator_where_they_fit_the_header(content: str, row: Row) -> None:
    path = write("a.csv", content)
    assert list(read_rows(path)) == [(1, row)]
    assert NamedRows(path).notes == ()


def test_the_advice_for_a_row_of_another_width_names_the_separator() -> None:
    assert "Put fields that contain semicolons in quotes" in refusal(write("a.csv", "text;label\na;b;c\n"))


# -- columns


@pytest.mark.parametrize("header", ["text,label,label", " label,text,label", "label,\ufefflabel,text"])
def test_a_header_that_names_a_column_twice_is_refused(header: str) -> None:
    assert refusal(write("a.csv", f"{header}\na,b,c\n")).startswith(
        "a.csv: the header names the column `label` 2 times. Rename or remove all but one"
    )


def test_columns_without_a_name_are_allowed() -> None:
    rows, _ = read(write("a.csv", ",text,label,\n0,one,aid,\n"))
    assert (rows[0]["text"], rows[0]["label"]) == ("one", "aid")


def test_a_parquet_file_with_a_column_twice_is_refused() -> None:
    pq.write_table(pa.table([["one"], ["a"], ["b"]], names=["text", "label", "label"]), "a.parquet")
    assert "names the column `label` 2 times" in refusal(Path("a.parquet"))


@pytest.mark.parametrize(
    "line", ['{"text": "one", "label": "a", "label": "b"}', '{"text": "x", "n": {"a": 1, "a": 2}}']
)
def test_a_json_object_with_a_key_twice_is_refused(line: str) -> None:
    assert refusal(write("a.jsonl", f'{{"text": "fine"}}\n{line}\n')).startswith("a.jsonl:2: an object has the key '")


@pytest.mark.parametrize("name", ["Text", " text", "TEXT ", "\ufefftext", "te\u200bxt".replace("\u200b", "")])
def test_a_column_with_almost_our_name_is_found_and_reported(name: str) -> None:
    rows, notes = read(write("a.csv", f"id,{name}\n1,one\n"))
    assert rows == [{"id": "1", "text": "one"}]
    assert notes == (() if name == "text" else (f"a.csv: the column `{name}` is read as `text`",))


def test_our_exact_name_wins_and_the_other_column_is_reported() -> None:
    rows, notes = read(write("a.csv", "text,Label,label\none,A,b\n"))
    assert rows == [{"text": "one", "Label": "A", "label": "b"}]
    assert notes == ("a.csv: the column `Label` is not read (its name is not exactly `label`)",)


def test_two_columns_that_could_be_ours_are_refused() -> None:
    message = refusal(write("a.csv", "Text,TEXT\none,two\n"))
    assert message == "a.csv:1: the columns `Text` and `TEXT` could both be `text`. Choose one with --text-column."


def test_a_file_that_was_readable_keeps_its_ids_and_dates() -> None:
    rows, notes = read(write("a.csv", "text,label,Date,Sentence_ID,State\none,aid,2024,s1,skipped\n"))
    assert rows == [{"text": "one", "label": "aid", "Date": "2024", "Sentence_ID": "s1", "state": "skipped"}]
    assert notes == (
        "a.csv: the column `Date` is not read (its name is not exactly `date`)",
        "a.csv: the column `Sentence_ID` is not read (its name is not exactly `sentence_id`)",
        "a.csv: the column `State` is read as `state`",
    )


def test_all_columns_of_a_file_that_was_not_readable_are_found() -> None:
    rows, _ = read(write("a.csv", "id, text, label, document_id\n1,one,aid,d1\n"))
    assert rows == [{"id": "1", "text": "one", "label": "aid", "document_id": "d1"}]


def test_other_columns_that_differ_only_in_case_are_left_alone() -> None:
    assert read(write("a.csv", "Text,Date,DATE\none,1,2\n"))[0] == [{"text": "one", "Date": "1", "DATE": "2"}]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_the_user_names_the_columns(name: str) -> None:
    row = {"Tweet": "one", "Kategorie": "aid", "text": "old", "label": "old"}
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist([row]), name)
    else:
        write("a.csv", "Tweet,Kategorie,text,label\none,aid,old,old\n")
        write("a.jsonl", str(row).replace("'", '"'))
    assert read(Path(name), "Tweet", "Kategorie")[0] == [{"text": "one", "label": "aid"}]


def test_of_two_label_columns_the_named_one_is_kept() -> None:
    path = write("a.csv", "text,label,labels\none,a,b\n")
    assert read(path, label="label")[0] == [{"text": "one", "label": "a"}]
    assert read(path, label="labels")[0] == [{"text": "one", "labels": "b"}]


def test_a_named_column_that_does_not_exist_is_refused_with_the_nearest() -> None:
    message = refusal(write("a.csv", "Tweet,label\none,aid\n"), text="Twet")
    assert message == (
        "a.csv:1: there is no column `Twet` (did you mean 'Tweet'?). The columns are: Tweet, label. "
        "Fix --text-column (in an experiment: data.text_column)."
    )


@pytest.mark.parametrize("column", ["label2", "label_2", "Labels 3"])
def test_a_column_with_a_second_label_is_reported(column: str) -> None:
    notes = read(write("a.csv", f"text,label,{column}\none,aid,truce\n"))[1]
    assert notes == (
        f"a.csv: the column `{column}` is not read. Write all labels of a row into one cell, separated by `|`",
    )
