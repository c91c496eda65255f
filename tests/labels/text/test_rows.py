from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labels.errors import DataError
from labels.text.rows import Row, read_rows

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=12)


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(read_rows(path))
    return str(caught.value)


def read_and_reject(path: Path) -> tuple[list[tuple[int, Row]], list[str]]:
    rejected: list[str] = []
    return list(read_rows(path, rejected.append)), rejected


def test_jsonl_rows_are_numbered_as_lines() -> None:
    path = write("a.jsonl", '{"text": "one"}\n\n   \n{"text": "two", "n": [1, null]}')
    assert list(read_rows(path)) == [(1, {"text": "one"}), (4, {"text": "two", "n": [1, None]})]


def test_a_line_separator_inside_a_json_string_does_not_end_the_row() -> None:
    row = {"text": "one\u2028two\x85three\x0cfour"}
    assert list(read_rows(write("a.jsonl", json.dumps(row, ensure_ascii=False) + "\n"))) == [(1, row)]


def test_csv_rows_are_counted_from_one_without_the_header() -> None:
    path = write("a.csv", 'text,label\n"one, two\nthree",aid\n"say ""no""",\n')
    assert list(read_rows(path)) == [
        (1, {"text": "one, two\nthree", "label": "aid"}),
        (2, {"text": 'say "no"', "label": ""}),
    ]


def test_a_csv_cell_may_be_as_long_as_an_article() -> None:
    text = "word " * 60_000
    assert list(read_rows(write("a.csv", f'text\n"{text}"\n'))) == [(1, {"text": text})]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_csv_and_jsonl_give_back_what_was_written(cells: list[tuple[str, str]]) -> None:
    rows = [{"text": text, "note": note} for text, note in cells]
    table = io.StringIO()
    writer = csv.DictWriter(table, ["text", "note"], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    assert [row for _, row in read_rows(write("a.csv", table.getvalue()))] == rows
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    assert [row for _, row in read_rows(write("a.jsonl", lines))] == rows


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", '{"text": "one"}\n'), ("A.CSV", "text\none\n")])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_and_the_case_of_the_ending_do_not_matter(name: str, content: str, mark: bytes) -> None:
    assert list(read_rows(write(name, mark + content.encode()))) == [(1, {"text": "one"})]


def test_parquet_rows_come_in_order_with_their_values() -> None:
    rows = [{"text": "one", "labels": ["a", "b"], "n": 1}, {"text": "two", "labels": [], "n": None}]
    pq.write_table(pa.Table.from_pylist(rows), "a.parquet")
    assert list(read_rows(Path("a.parquet"))) == [(1, rows[0]), (2, rows[1])]


def test_class_labels_of_a_hugging_face_dataset_are_read_as_names() -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["aid", "truce"])})
    data = {"text": ["one", "two", "three", "four"], "label": [1, 0, None, -1]}
    Dataset.from_dict(data, features=features).to_parquet("a.parquet")
    assert [row["label"] for _, row in read_rows(Path("a.parquet"))] == ["truce", "aid", None, None]


def test_a_parquet_file_is_found_whatever_its_name() -> None:
    pq.write_table(pa.table({"text": ["one"]}), "data[1].parquet")
    assert list(read_rows(Path("data[1].parquet"))) == [(1, {"text": "one"})]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", "text", "not '.txt'"),
        ("a", "text", "not ''"),
        ("absent.jsonl", None, "this file does not exist"),
        ("a.csv", "", "the file is empty"),
        ("a.jsonl", "", "the file is empty"),
        ("a.parquet", "", "the file is empty"),
        ("a.jsonl", '{"text": "Élysée"}\n'.encode("latin-1"), "not UTF-8 text (byte 10)"),
        ("a.csv", "text\nÉlysée\n".encode("latin-1"), "not UTF-8 text (byte 5)"),
        ("a.parquet", "not a table", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    name: str, content: str | bytes | None, problem: str
) -> None:
    if content is not None:
        write(name, content)
    message = refusal(Path(name))
    assert message.startswith(f"{name}: ")
    assert problem in message


def test_a_folder_is_refused() -> None:
    Path("a.jsonl").mkdir()
    assert refusal(Path("a.jsonl")).startswith("a.jsonl: this file does not exist")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_the_byte_that_is_not_utf_8_is_counted_from_the_start_of_the_file(name: str) -> None:
    before = b'{"text": "ab"}\n' * 3000 if name.endswith("l") else b"text\n" + b"ab\n" * 15_000
    assert f"byte {len(before)}" in refusal(write(name, before + b"\xff\n"))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_table_of_columns_alone_has_no_rows_and_nothing_is_printed(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write("a.csv", "text,label\n")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), "a.parquet")
    assert list(read_rows(Path(name))) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", "a.jsonl:2: this line is not valid JSON ("),
        ("[" * 100_000, "a.jsonl:2: this line is not valid JSON (nested too deeply)"),
        ('{"n": ' + "1" * 5000 + "}", "a.jsonl:2: this line is not valid JSON ("),
        ("[1]", 'a.jsonl:2: a line must be a JSON object such as {"text": ...}, not list'),
        ("null", 'a.jsonl:2: a line must be a JSON object such as {"text": ...}, not NoneType'),
    ],
    ids=["broken", "deep", "long number", "list", "null"],
)
def test_a_bad_line_is_rejected_by_file_and_row_and_the_rest_is_read(line: str, problem: str) -> None:
    path = write("a.jsonl", f'{{"text": "one"}}\n{line}\n{{"text": "two"}}\n')
    rows, rejected = read_and_reject(path)
    assert rows == [(1, {"text": "one"}), (3, {"text": "two"})]
    assert len(rejected) == 1
    assert rejected[0].startswith(problem)
    assert refusal(path).startswith(problem)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("one,aid,more", "a.csv:3: the header has 2 fields, but this row has more or fewer"),
        ("one", "a.csv:3: the header has 2 fields, but this row has more or fewer"),
        ('"one"more,aid', "a.csv:3: this row is not valid CSV ("),
    ],
)
def test_a_bad_csv_row_is_rejected_by_file_and_row_and_the_rest_is_read(row: str, problem: str) -> None:
    path = write("a.csv", f"text,label\nfirst,aid\n{row}\nlast,aid\n")
    rows, rejected = read_and_reject(path)
    assert rows == [(1, {"text": "first", "label": "aid"}), (3, {"text": "last", "label": "aid"})]
    assert len(rejected) == 1
    assert rejected[0].startswith(problem)
    assert refusal(path).startswith(problem)


def test_a_quote_that_is_never_closed_is_rejected() -> None:
    rows, rejected = read_and_reject(write("a.csv", 'text,label\nfirst,aid\n"open,aid\nlast,aid\n'))
    assert rows == [(1, {"text": "first", "label": "aid"})]
    assert rejected[0].startswith("a.csv:3: this row is not valid CSV (")


def test_a_broken_header_is_refused() -> None:
    path = write("a.csv", '"text"x,label\nfirst,aid\nsecond,truce\nthird,aid\n')
    rows: list[tuple[int, Row]] = []
    with suppress(DataError):
        rows.extend(read_rows(path, lambda message: None))
    assert rows == []
    assert refusal(path).startswith("a.csv:")


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", '{"text": "one"}\nbroken'), ("a.csv", 'text\none\n"broken')])
def test_rows_are_read_as_they_are_asked_for(name: str, content: str) -> None:
    rows = read_rows(write(name, content))
    assert next(rows) == (1, {"text": "one"})
    with pytest.raises(DataError):
        next(rows)


def test_a_row_that_repeats_the_header_is_refused() -> None:
    Path("a.csv").write_text("text,label\none,aid\ntext,label\ntwo,truce\n", encoding="utf-8")
    rejected: list[str] = []
    assert [row["text"] for _, row in read_rows(Path("a.csv"), rejected.append)] == ["one", "two"]
    assert rejected == ["a.csv:3: this row repeats the header. Remove the row."]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("declared", "separator"), [("", ","), ("sep=;", ";")])
def test_csv_rows_are_placed_where_an_editor_shows_them(end: str, declared: str, separator: str) -> None:
    lines = [
        *filter(None, [declared]),
        "text,label",
        "",
        "one,aid",
        '"two',
        "",
        'lines",aid',
        "",
        "",
        "bad",
        "last,aid",
    ]
    content = end.join(line.replace(",", separator) for line in [*lines, ""])
    Path("a.csv").write_bytes(content.encode())
    rows, rejected = read_and_reject(Path("a.csv"))
    assert [int(number) for number, _ in rows] == [1, 2, 4]
    places = [*(DataError.place("a.csv", number) for number, _ in rows), rejected[0].split(": ")[0]]
    first = lines.index("one,aid") + 1
    assert places == [f"a.csv:{first + more}" for more in (0, 1, 7, 6)]
