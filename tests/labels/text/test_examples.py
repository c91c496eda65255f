from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labels.codebook.inferred import infer_codebook
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError, InputError
from labels.records import Example
from labels.text.examples import infer_codebook_of, read_examples

WriteJsonl = Callable[[str, list[dict[str, Any]]], Path]

ROWS: list[dict[str, Any]] = [
    {"example_id": "e1", "document_id": "d1", "text": "Help came.", "labels": ["truce", "aid"], "date": "2024-05-01"},
    {"example_id": "e2", "document_id": "d1", "text": "It rained.", "labels": [], "date": ""},
    {"example_id": "e3", "document_id": "", "text": "Guns fell silent.", "labels": ["truce"], "date": ""},
]


def write(name: str, content: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def refusal(path: Path, codebook: Codebook) -> str:
    with pytest.raises(DataError) as caught:
        read_examples(path, codebook)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_form_gives_the_same_examples_in_order(codebook: Codebook, suffix: str) -> None:
    path = Path(f"a{suffix}")
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif suffix == ".csv":
        cells = [{**row, "labels": " | ".join(row["labels"]) or "none"} for row in ROWS]
        write("a.csv", "\n".join([",".join(ROWS[0]), *(",".join(row.values()) for row in cells)]))
    else:
        write("a.jsonl", "\n".join(map(json.dumps, ROWS)))
    assert read_examples(path, codebook) == [
        Example("e1", "d1", "Help came.", ("aid", "truce"), "2024-05-01"),
        Example("e2", "d1", "It rained.", ()),
        Example("e3", "e3", "Guns fell silent.", ("truce",)),
    ]


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"label": "aid"}, ("aid",)),
        ({"label": "none"}, ()),
        ({"labels": []}, ()),
        ({"label": "", "state": "reviewed"}, ()),
        ({"label": None, "state": "reviewed"}, ()),
        ({"labels": "truce|aid"}, ("aid", "truce")),
        ({"labels": " aid |"}, ("aid",)),
        ({"labels": ["aid", "aid"]}, ("aid",)),
    ],
)
def test_labels_are_read_from_one_value_a_list_or_a_cell(
    codebook: Codebook, write_jsonl: WriteJsonl, row: dict[str, Any], labels: tuple[str, ...]
) -> None:
    assert read_examples(write_jsonl("a.jsonl", [{"text": "x", **row}]), codebook)[0].labels == labels


def test_a_number_is_the_name_of_a_label(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl("a.jsonl", [{"text": "x", "label": 0}, {"text": "y", "label": 1}])
    book = infer_codebook_of([path])
    assert book.label_names == ("0", "1")
    assert [example.labels for example in read_examples(path, book)] == [("0",), ("1",)]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"label": "aid"}, "this row has no column `text`. Its columns: label"),
        ({"text": "  ", "label": "aid"}, "`text` is empty. Add the text or remove the row."),
        ({"text": None, "label": "aid"}, "`text` is empty. Add the text or remove the row."),
        ({"text": "NA", "label": "aid"}, "`text` is 'NA', which stands for a missing value."),
        ({"text": 3, "label": "aid"}, "`text` is 3, not a string. Put the text in quotes"),
        ({"text": "x"}, "the row has neither `label` nor `labels`"),
        ({"text": "x", "label": "aid", "labels": []}, "the row has both `label` and `labels`, with different labels"),
        ({"text": "x", "label": "trucee"}, "label 'trucee' is not in codebook 'small' 1 (did you mean 'truce'?)"),
        ({"text": "x", "label": True}, "a label cell must contain the name of a label or a list of names, not True"),
        ({"text": "x", "label": 1.5}, "label '1.5' is not in codebook"),
        ({"text": "x", "labels": [0, 1]}, "label '0' is not in codebook"),
        ({"text": "x", "labels": [0, 0]}, "the list [0, 0] looks like one 0 or 1 per label"),
        ({"text": "x", "labels": {"aid": 1, "truce": 0}}, "a label cell must contain the name of a label"),
        ({"text": "x", "labels": ["none", "aid"]}, "the labels are 'none' and also aid"),
        ({"text": "x", "labels": ["aid"], "state": "skipped"}, "`state` skipped allows no labels"),
    ],
)
def test_a_row_that_is_not_an_example_is_refused_by_file_and_row(
    codebook: Codebook, write_jsonl: WriteJsonl, row: dict[str, Any], problem: str
) -> None:
    path = write_jsonl("a.jsonl", [{"text": "fine", "labels": []}, row])
    message = refusal(path, codebook)
    assert message.startswith(f"{path}:2: ")
    assert problem in message


def test_an_exclusive_codebook_refuses_two_labels_and_takes_none(
    exclusive_codebook: Codebook, write_jsonl: WriteJsonl
) -> None:
    path = write_jsonl("a.jsonl", [{"text": "x", "labels": []}, {"text": "y", "labels": ["aid", "truce"]}])
    assert f"{path}:2: " in refusal(path, exclusive_codebook)
    path = write_jsonl("b.jsonl", [{"text": "x", "label": "none"}, {"text": "y", "label": "threat"}])
    assert [example.labels for example in read_examples(path, exclusive_codebook)] == [(), ("threat",)]


@pytest.mark.parametrize("content", ["text,label\n", "\n"])
def test_a_file_without_any_row_is_refused(codebook: Codebook, content: str) -> None:
    assert refusal(write("a.csv", content), codebook).startswith("a.csv: the file has no rows")


@pytest.mark.parametrize("name", ["absent.csv", "a.txt"])
def test_a_file_that_cannot_be_read_is_refused(codebook: Codebook, name: str) -> None:
    write("a.txt", "x")
    assert refusal(Path(name), codebook).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("row", "identifier", "document"),
    [
        ({"example_id": "e", "sentence_id": "s", "document_id": "d"}, "e", "d"),
        ({"sentence_id": "s", "document_id": "d"}, "d:s", "d"),
        ({"sentence_id": "s"}, "s", "s"),
        ({"example_id": "", "sentence_id": "s", "document_id": None}, "s", "s"),
        ({"example_id": 0, "document_id": 0}, "0", "0"),
        ({"sentence_id": 2, "document_id": 1}, "1:2", "1"),
        ({"sentence_id": 2.0, "document_id": 1.0}, "1:2", "1"),
        ({"sentence_id": 2, "document_id": float("nan")}, "2", "2"),
        ({"example_id": " ", "sentence_id": "s", "document_id": float("nan")}, "s", "s"),
    ],
)
def test_ids_are_those_of_the_row(
    codebook: Codebook, write_jsonl: WriteJsonl, row: dict[str, Any], identifier: str, document: str
) -> None:
    (example,) = read_examples(write_jsonl("a.jsonl", [{"text": "x", "label": "aid", **row}]), codebook)
    assert (example.id, example.document_id) == (identifier, document)


def test_the_same_sentence_number_in_two_documents_is_two_examples(codebook: Codebook, write_jsonl: WriteJsonl) -> None:
    rows = [{"text": "x", "label": "aid", "sentence_id": 1, "document_id": document} for document in ("d1", "d2")]
    assert [example.id for example in read_examples(write_jsonl("a.jsonl", rows), codebook)] == ["d1:1", "d2:1"]


def test_rows_without_ids_get_ids_that_do_not_depend_on_the_file_name(
    codebook: Codebook,
) -> None:
    content = "text,label\nsame,aid\nsame,aid\nother,aid\n"
    here = read_examples(write("a.csv", content), codebook)
    there = read_examples(write("deep/b.csv", content), codebook)
    assert here == there
    assert len({example.id for example in here}) == 3
    assert all(example.document_id == example.id and len(example.id) == 16 for example in here)


def test_equal_rows_of_two_files_have_different_ids(codebook: Codebook) -> None:
    path = write("a.csv", "text,label\nsame,aid\n")
    train, test = (read_examples(path, codebook, part)[0] for part in ("train", "test"))
    assert train.id != test.id


def test_an_unpaired_surrogate_is_refused(codebook: Codebook) -> None:
    path = write("a.jsonl", '{"text": "broken \\ud83d", "label": "aid"}')
    assert refusal(path, codebook).startswith(f"{path}:1: `text` contains an unpaired surrogate")


def test_the_same_id_twice_is_refused_with_both_rows(codebook: Codebook, write_jsonl: WriteJsonl) -> None:
    rows = [{"text": "x", "label": "aid", "example_id": name} for name in ("e1", "e2", "e1")]
    path = write_jsonl("a.jsonl", rows)
    assert refusal(path, codebook).startswith(f"{path}:3: {path.name}:1 already has the id 'e1'")


@pytest.mark.parametrize(
    ("value", "synthetic"), [(True, True), ("true", True), ("True", True), (False, False), ("", False), (None, False)]
)
def test_synthetic_text_keeps_its_mark(
    codebook: Codebook, write_jsonl: WriteJsonl, value: object, synthetic: bool
) -> None:
    (example,) = read_examples(write_jsonl("a.jsonl", [{"text": "x", "label": "aid", "synthetic": value}]), codebook)
    assert example.synthetic is synthetic


@pytest.mark.parametrize(
    ("value", "date"), [(2024, "2024"), (None, ""), (float("nan"), ""), ("2024-05-01", "2024-05-01")]
)
def test_a_date_is_kept_as_text(codebook: Codebook, write_jsonl: WriteJsonl, value: object, date: str) -> None:
    (example,) = read_examples(write_jsonl("a.jsonl", [{"text": "x", "label": "aid", "date": value}]), codebook)
    assert example.date == date


@pytest.mark.parametrize(
    ("rows", "exclusive", "allow_none"),
    [
        ([{"label": "b"}, {"label": "a"}], True, False),
        ([{"label": "b"}, {"label": "a"}, {"label": "none"}], True, True),
        ([{"labels": ["b"]}, {"labels": ["a", "b"]}], False, True),
    ],
)
def test_an_inferred_codebook_reads_its_own_file(
    write_jsonl: WriteJsonl, rows: list[dict[str, Any]], exclusive: bool, allow_none: bool
) -> None:
    path = write_jsonl("mine.jsonl", [{"text": "x", **row} for row in rows])
    book = infer_codebook_of([path])
    assert (book.name, book.label_names, book.exclusive, book.allow_none) == ("mine", ("a", "b"), exclusive, allow_none)
    assert len(read_examples(path, book)) == len(rows)


def test_a_label_is_given_by_its_name_or_its_title(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl("mine.jsonl", [{"text": "x", "label": "World news"}, {"text": "y", "label": "b"}])
    book = infer_codebook_of([path])
    assert [example.labels for example in read_examples(path, book)] == [("World_news",), ("b",)]
    again = write_jsonl("again.jsonl", [{"text": "x", "label": "World_news"}])
    assert [example.labels for example in read_examples(again, book)] == [("World_news",)]


@pytest.mark.parametrize("name", ["mine.train.jsonl", "mine.test.jsonl", "mine.jsonl"])
def test_the_first_file_names_the_codebook_of_all_files(write_jsonl: WriteJsonl, name: str) -> None:
    first = write_jsonl(name, [{"text": "x", "label": "b"}])
    second = write_jsonl("other.jsonl", [{"text": "x", "label": "c"}, {"text": "y", "label": "a"}])
    book = infer_codebook_of([first, second])
    assert (book.name, book.label_names) == ("mine", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("rows", "error", "problem"),
    [
        ([{"label": "a"}, {"labels": ["b"]}], DataError, "some rows have the column `label`, others `labels`"),
        ([{"label": ""}, {"label": None}], CodebookError, "no row has a label"),
        ([{"label": "a"}, {}], DataError, "mine.jsonl:2: the row has neither"),
        ([{"label": "a"}, {"label": True}], DataError, "mine.jsonl:2: a label cell must contain"),
    ],
)
def test_no_codebook_is_inferred_from_rows_that_do_not_agree(
    write_jsonl: WriteJsonl, rows: list[dict[str, Any]], error: type[InputError], problem: str
) -> None:
    with pytest.raises(error) as caught:
        infer_codebook_of([write_jsonl("mine.jsonl", [{"text": "x", **row} for row in rows])])
    assert "mine" in str(caught.value)
    assert problem in str(caught.value)


# -- a codebook from labels


@pytest.mark.parametrize(
    ("label_sets", "exclusive", "allow_none"),
    [
        ([("b",), ("a",)], True, False),
        ([("b",), (), ("a",)], True, True),
        ([("b", "a"), ("a",)], False, True),
    ],
)
def test_an_inferred_codebook_follows_the_data(
    label_sets: list[tuple[str, ...]], exclusive: bool, allow_none: bool
) -> None:
    book = infer_codebook("mine", label_sets, exclusive=exclusive)
    assert book.label_names == ("a", "b")
    assert (book.name, book.exclusive, book.allow_none) == ("mine", exclusive, allow_none)
    assert all(book.check_labels(labels, "x") is not None for labels in label_sets)


@pytest.mark.parametrize("label_sets", [[], [(), ()]])
def test_no_codebook_is_inferred_from_no_label(label_sets: list[tuple[str, ...]]) -> None:
    with pytest.raises(CodebookError, match="mine: no row has a label"):
        infer_codebook("mine", label_sets, exclusive=False)


def test_values_that_cannot_be_label_names_become_titles_of_names_like_them() -> None:
    values = ["Aid pledge?", "Aid_pledge", "Élysée", "перемирие", "truce", "…"]
    book = infer_codebook("mine", [(value,) for value in values], exclusive=True)
    named = {label.title: label.name for label in book.labels}
    assert list(named) == sorted(values)
    assert [named[value] for value in values] == [
        "Aid_pledge_2",
        "Aid_pledge",
        "Elysee",
        "peremirie",
        "truce",
        "label_6",
    ]
    assert all(book.names_by_value[value] == name for value, name in named.items())


def test_none_is_never_inferred_as_a_label() -> None:
    with pytest.raises(CodebookError, match="'none' cannot be a label"):
        infer_codebook("mine", [("none",), ("truce",)], exclusive=True)


def test_one_label_in_every_row_is_refused_as_an_exclusive_codebook() -> None:
    with pytest.raises(CodebookError, match=r"rows: every row has the label 'a'.*Add rows with other labels"):
        infer_codebook("rows", [("a",), ("a",)], exclusive=True)


def test_missing_texts_are_reported_before_unknown_labels(codebook: Codebook, isolated: Path) -> None:
    path = Path("rows.jsonl")
    path.write_text('{"txt": "a", "label": "bogus"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"rows\.jsonl:1: this row has no column `text`.*txt, label"):
        read_examples(path, codebook)
