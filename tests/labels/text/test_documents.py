from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labels.errors import DataError
from labels.records import Document, former_document_id
from labels.text.documents import find_files, read_documents, read_file

WriteJsonl = Callable[[str, list[dict[str, Any]]], Path]

FRONT_MATTER = """---
source: Valley Radio
title: "Guns: silent"
date: 2024-05-01
url: https://radio.example/1
language: fr
synthetic: true
region: north
---

"""

PARAGRAPHS = [
    "The envoy called on both sides to lay down their arms before the harvest begins in the upper valley this summer.",
    "A spokesman for the northern command said that the offer would be studied over the coming days by its council.",
    "Farmers in the border villages have asked for safe passage to the mill, which has stood idle since early March.",
    "The governor promised forty lorries of seed grain to the displaced families camped along the southern river bank.",
]


def page(heading: str, head: str = "") -> str:
    """A news page with menus, an article and a footer."""
    article = heading + "".join(f"<p>{paragraph}</p>" for paragraph in PARAGRAPHS)
    return (
        f'<!DOCTYPE html><html lang="en"><head><title>Envoy asks for a truce</title>{head}</head><body>'
        '<nav><a href="/">Home</a> <a href="/world">World</a></nav>'
        f"<article>{article}</article><footer>All rights reserved</footer></body></html>"
    )


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path) -> tuple[list[Document], list[str]]:
    rejected: list[str] = []
    return list(read_file(path, rejected.append)), rejected


def read_one(path: Path) -> Document:
    documents, rejected = read(path)
    assert rejected == []
    assert len(documents) == 1
    return documents[0]


def test_folders_are_searched_through_in_order_without_hidden_or_other_files() -> None:
    for name in ("b/2.TXT", "b/1.md", "b/deep/3.jsonl", "b/.hidden/4.txt", "b/.5.txt", "b/6.odt", "b/7", "a.html"):
        write(name, "x")
    found = find_files([Path("b"), Path("a.html")])
    assert found.files == (Path("b/1.md"), Path("b/2.TXT"), Path("b/deep/3.jsonl"), Path("a.html"))
    assert found.notes == ()


def test_a_hidden_file_or_folder_that_is_named_is_read() -> None:
    write(".notes/1.txt", "x")
    named = find_files([Path(".notes/1.txt")])
    assert find_files([Path(".notes")]).files == named.files == (Path(".notes/1.txt"),)


def test_files_about_a_folder_are_skipped_unless_named() -> None:
    for name in ("b/README.md", "b/deep/license.txt", "b/readme-of-oslo.txt"):
        write(name, "x")
    found = find_files([Path("b")])
    assert found.files == (Path("b/readme-of-oslo.txt"),)
    assert found.notes == (
        "not read as documents, because they are about the folder, not articles: b/README.md, b/deep/license.txt",
    )
    assert find_files([Path("b/README.md")]).files == (Path("b/README.md"),)


def test_unfinished_output_and_logs_of_other_programs_are_skipped_and_named() -> None:
    for name in ("b/1.txt", "b/_temporary/0/task/1.txt", "b/_delta_log/0.jsonl", "b/_spark_metadata/0.jsonl"):
        write(name, "x")
    found = find_files([Path("b")])
    assert found.files == (Path("b/1.txt"),)
    assert found.notes == (
        "not read as documents, because they are the log of a Delta table, whose folder can also have rows of earlier "
        "versions (export the table to read only its current rows): b/_delta_log",
        "not read as documents, because they are the log of a Spark stream: b/_spark_metadata",
        "not read as documents, because they are unfinished output of Spark or Hadoop: b/_temporary",
    )
    assert find_files([Path("b/_temporary")]).files == (Path("b/_temporary/0/task/1.txt"),)


def test_a_folder_named_like_a_file_is_searched() -> None:
    write("b/notes.txt/1.md", "x")
    assert find_files([Path("b")]).files == (Path("b/notes.txt/1.md"),)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("absent", "this file or folder does not exist"),
        ("a.odt", "documents can only be read from"),
        ("empty", "no documents found"),
    ],
)
def test_a_path_with_nothing_to_read_is_refused_by_name(name: str, problem: str) -> None:
    write("a.odt", "x")
    Path("empty").mkdir()
    with pytest.raises(DataError) as caught:
        find_files([Path(name)])
    assert str(caught.value).startswith(f"{name}: ")
    assert problem in str(caught.value)


def test_any_iterable_of_paths_is_accepted() -> None:
    Path("empty").mkdir()
    with pytest.raises(DataError, match=r"^empty: no documents found"):
        find_files(path for path in [Path("empty")])


def test_documents_of_all_files_come_in_order_and_bad_ones_are_left_out(write_jsonl: WriteJsonl) -> None:
    write("in/1.txt", "One.")
    write("in/2.txt", "  \n")
    write_jsonl("in.jsonl", [{"text": "Three."}, {"no": 1}, {"text": "Four."}]).rename("in/3.jsonl")
    write("in/4.md", "Five.")
    rejected: list[str] = []
    documents = list(read_documents([Path("in")], rejected.append))
    assert [document.text for document in documents] == ["One.", "Three.", "Four.", "Five."]
    assert [message.split(": ")[0] for message in rejected] == [str(Path("in/2.txt")), f"{Path('in/3.jsonl')}:2"]


def test_a_plain_file_is_its_text_and_its_name_the_source() -> None:
    document = read_one(write("deep/a.txt", "  Guns fell silent.\n\nThen it rained.\n"))
    assert document == Document(source="a.txt", text="  Guns fell silent.\n\nThen it rained.\n")


@pytest.mark.parametrize("suffix", [".txt", ".md"])
def test_front_matter_becomes_provenance_not_text(suffix: str) -> None:
    assert read_one(write(f"a{suffix}", FRONT_MATTER + "Guns fell silent.")) == Document(
        source="Valley Radio",
        text="Guns fell silent.",
        url="https://radio.example/1",
        title="Guns: silent",
        date="2024-05-01",
        language="fr",
        synthetic=True,
    )


def test_empty_keys_of_front_matter_are_ignored() -> None:
    document = read_one(write("a.txt", "---\nsource:\ntitle: ''\nlanguage:\nsynthetic: false\n---\nGuns fell silent."))
    assert document == Document(source="a.txt", text="Guns fell silent.")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("language: no", "language", "no"),
        ("source: off", "source", "off"),
        ("source: Yes", "source", "Yes"),
        ("title: 12:30", "title", "12:30"),
        ("title: 007", "title", "007"),
        ("title: 1_000", "title", "1_000"),
        ("title: 1e3", "title", "1e3"),
        ("title: 0x1F", "title", "0x1F"),
        ("title: .inf", "title", ".inf"),
        ("title: 'no'", "title", "no"),
        ("date: 2024-06-08", "date", "2024-06-08"),
        ("date: 2024-06-08T10:15:00Z", "date", "2024-06-08T10:15:00Z"),
        ("title: |\n  Two\n  lines", "title", "Two\nlines"),
        ("title: null", "title", ""),
        ("title: 'null'", "title", "null"),
        ("title: ~", "title", ""),
    ],
)
def test_values_of_front_matter_are_text_as_written(line: str, name: str, value: str) -> None:
    assert getattr(read_one(write("a.txt", f"---\n{line}\n---\nGuns fell silent.")), name) == value


@pytest.mark.parametrize(
    ("value", "synthetic"),
    [("true", True), ("True", True), ("yes", True), ("on", True), ("'true'", True), ("false", False), ("no", False)],
)
def test_the_mark_of_synthetic_text_is_read_as_yaml_writes_it(value: str, synthetic: bool) -> None:
    assert read_one(write("a.txt", f"---\nsynthetic: {value}\n---\nGuns fell silent.")).synthetic is synthetic


@pytest.mark.parametrize("value", ["[[BBC]]", "\n  name: BBC", "{name: BBC}"])
def test_a_list_or_an_object_is_not_taken_for_a_source(value: str) -> None:
    assert read(write("a.txt", f"---\nsource: {value}\n---\nGuns fell silent."))[1] == [
        "a.txt: `source` must be one value, but it is a list or an object. Put text with brackets in quotes."
    ]


def test_missing_numbers_in_rows_are_missing_provenance() -> None:
    document = read_one(write("a.jsonl", '{"text": "Guns fell silent.", "source": "radio", "date": NaN, "title": NaN}'))
    assert (document.date, document.title) == ("", "")


@pytest.mark.parametrize("text", ["---\nA rule opened this.\n---\nGuns fell silent.", "---\nno end of it", "--- x"])
def test_a_text_that_begins_with_a_rule_is_kept_whole(text: str) -> None:
    assert read_one(write("a.txt", text)).text == text


@pytest.mark.parametrize(
    ("matter", "place"),
    [
        ("title: one\ndate: [2024\n", "a.txt:"),
        ("title: one\nsource: a: b", "a.txt:3"),
        ("title: one\nbad: \x01", "a.txt"),
        ("title: one\ndate: 2024-02-30", "a.txt"),
        ("title: " + "[" * 2000 + "]" * 2000, "a.txt"),
        ("title: one\ndate: 2024\ntitle: two", "a.txt:4"),
    ],
    ids=["open bracket", "two colons", "control character", "no such day", "nested too deeply", "key twice"],
)
def test_front_matter_that_is_not_yaml_is_rejected_with_its_place(matter: str, place: str) -> None:
    documents, rejected = read(write("a.txt", f"---\n{matter}\n---\nGuns fell silent."))
    assert documents == []
    assert rejected[0].startswith(place)
    assert "front matter" in rejected[0]


def test_byte_order_mark_and_line_ends_are_normalised() -> None:
    assert read_one(write("a.txt", b"\xef\xbb\xbfOne.\r\nTwo.\rThree.\n")).text == "One.\nTwo.\nThree.\n"
    assert read_one(write("a.txt", "One.\r\nÉlan.\n".encode("utf-16"))).text == "One.\nÉlan.\n"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", "Élysée".encode("latin-1"), "not UTF-8 text (byte 0)"),
        ("a.txt", b"", "the file contains no text"),
        ("a.md", b"![only a picture](x.png)\n", "the file contains no text"),
        ("a.txt", FRONT_MATTER.encode(), "the file contains no text"),
        ("a.html", b"<html><body></body></html>", "this page contains no article text"),
        ("a.csv", b"", "the file is empty"),
        ("a.parquet", b"x", "cannot be read as Parquet"),
    ],
)
def test_a_file_without_usable_text_is_rejected_by_name(name: str, content: bytes, problem: str) -> None:
    documents, rejected = read(write(name, content))
    assert documents == []
    assert len(rejected) == 1
    assert rejected[0].startswith(f"{name}: ")
    assert problem in rejected[0]


def test_a_folder_in_place_of_a_file_is_rejected() -> None:
    Path("a.txt").mkdir()
    assert read(Path("a.txt"))[1][0].startswith("a.txt: the file cannot be read")


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("# Talks resume\n\nGuns fell silent.", "Talks resume\n\nGuns fell silent."),
        ("Guns *fell* **silent** in [the valley](https://v.example).", "Guns fell silent in the valley."),
        ("![A ferry](ferry.png) Guns fell silent.", "Guns fell silent."),
        ("Guns fell silent.\n\n```\nx = 1\n```\n\nIt rained.", "Guns fell silent.\n\nIt rained."),
        ("Guns fell.\n\n    Oslo pledged\n    aid.\n\nIt rained.", "Guns fell.\n\nOslo pledged\naid.\n\nIt rained."),
        ("- One came.\n- Two went.\n\n> They met.", "One came.\n\nTwo went.\n\nThey met."),
        ("Guns fell\nsilent  \nat noon.", "Guns fell silent\nat noon."),
        ("Guns fell<br>silent <br/> at\nnoon.", "Guns fell\nsilent\nat noon."),
        ("> Guns\n> fell\n\n- One\n  more", "Guns fell\n\nOne more"),
        ("<p>Guns\n  fell\nsilent.</p>", "Guns fell silent."),
        ("Arms &amp; men, 2 \\* 3.", "Arms & men, 2 * 3."),
        ("Guns <b>fell</b> silent <!-- check -->at noon.", "Guns fell silent at noon."),
        ("<p>Guns <b>fell</b> silent.</p><p>R&amp;D.</p>\nIt rained.", "Guns fell silent.\n\nR&D.\n\nIt rained."),
        ("<div><!-- check --><![if x]><style>p {}</style>\nOne<br>Two\n</div>\n\nThree.", "One\n\nTwo\n\nThree."),
        ("<script>\nx = 1\n\ny = 2\n</script>\n\nGuns fell silent.", "Guns fell silent."),
    ],
    ids=[
        "heading",
        "marks",
        "picture",
        "code",
        "indented block",
        "list",
        "breaks",
        "breaks of html",
        "breaks in quotations and lists",
        "breaks in a block of html",
        "signs",
        "tags",
        "block of html",
        "comment and style",
        "script",
    ],
)
def test_markdown_is_read_as_its_words_one_block_a_paragraph(markdown: str, text: str) -> None:
    assert read_one(write("a.md", markdown)).text == text


def test_a_markdown_file_in_an_old_store_is_recognised() -> None:
    matter = "---\nsource: Hill Almanac\n---\n"
    document = read_one(write("a.md", f"{matter}The snow is deep, and the post takes\nnine days.\n\nIt rained.\n"))
    former = "The snow is deep, and the post takes\nnine days.\n\nIt rained."
    assert document.text == former.replace("takes\nnine", "takes nine")
    assert former_document_id("Hill Almanac", former) in document.former_ids


def test_a_page_is_read_as_its_article_with_provenance() -> None:
    head = (
        '<meta property="og:site_name" content="Valley News">'
        '<link rel="canonical" href="https://news.example/truce">'
        '<meta property="article:published_time" content="2024-05-01">'
    )
    document = read_one(write("a.html", page("<h1>Envoy asks for a truce</h1>", head)))
    assert document.text.splitlines() == ["Envoy asks for a truce", *PARAGRAPHS]
    assert (document.source, document.title) == ("Valley News", "Envoy asks for a truce")
    assert (document.url, document.date) == ("https://news.example/truce", "2024-05-01")


def test_a_missing_title_is_put_before_the_article() -> None:
    document = read_one(write("a.htm", page("")))
    assert document.text == "\n".join(["Envoy asks for a truce\n", *PARAGRAPHS])
    assert document.source == "a.htm"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_rows_of_every_form_give_the_same_documents(suffix: str) -> None:
    rows = [
        {"text": "One.\nTwo.", "source": "radio", "title": "T", "url": "u", "date": "2024", "language": "fr"},
        {"text": "Three.", "source": "", "title": "", "url": "", "date": "", "language": ""},
    ]
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), "a.parquet")
    elif suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
        write("a.csv", "\n".join(lines))
    else:
        write("a.jsonl", "\n".join(map(json.dumps, rows)))
    documents, rejected = read(Path(f"a{suffix}"))
    assert rejected == []
    assert documents == [
        Document("radio", "One.\nTwo.", url="u", title="T", date="2024", language="fr"),
        Document(f"a{suffix}", "Three."),
    ]


@pytest.mark.parametrize(
    ("row", "source"),
    [
        ({"source": "radio", "document_id": "d1", "id": 7}, "radio"),
        ({"document_id": "d1", "id": 7}, "d1"),
        ({"id": 7}, "7"),
        ({"id": 0}, "0"),
        ({"document_id": None, "id": 7}, "7"),
        ({"document_id": "", "id": 7}, "7"),
        ({"source": "", "document_id": "", "id": ""}, "a.jsonl"),
        ({}, "a.jsonl"),
    ],
)
def test_a_rows_source_is_its_own_else_its_id_else_the_files_name(
    write_jsonl: WriteJsonl, row: dict[str, Any], source: str
) -> None:
    assert read_one(write_jsonl("a.jsonl", [{"text": "Guns fell silent.", **row}])).source == source


@pytest.mark.parametrize(
    ("name", "content", "synthetic"),
    [
        ("a.jsonl", '{"text": "x", "synthetic": true}', True),
        ("a.jsonl", '{"text": "x", "synthetic": false}', False),
        ("a.csv", "text,synthetic\nx,true\n", True),
        ("a.csv", "text,synthetic\nx,True\n", True),
        ("a.csv", "text,synthetic\nx,TRUE\n", True),
        ("a.csv", "text,synthetic\nx,False\n", False),
        ("a.csv", "text,synthetic\nx,\n", False),
    ],
)
def test_the_mark_of_synthetic_text_is_read_as_tables_write_it(name: str, content: str, synthetic: bool) -> None:
    assert read_one(write(name, content)).synthetic is synthetic


def test_rows_without_text_are_rejected_with_their_columns(write_jsonl: WriteJsonl) -> None:
    rows = [{"txt": "x", "id": 1}, {"text": 3}, {}, {"text": " \n"}, {"text": "Guns fell silent.\r\nIt rained."}]
    documents, rejected = read(write_jsonl("a.jsonl", rows))
    assert [document.text for document in documents] == ["Guns fell silent.\r\nIt rained."]
    assert [message.split(": ")[0] for message in rejected] == [
        f"{Path.cwd() / 'a.jsonl'}:{row}" for row in (1, 2, 3, 4)
    ]
    assert "Its columns: txt, id." in rejected[0]
    assert "Its columns: none." in rejected[2]
    assert "`text` is empty" in rejected[3]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"title": "cut in an emoji \ud83d"}, "`title` contains an unpaired surrogate"),
        ({"source": "\udce9"}, "`source` contains an unpaired surrogate"),
        ({"id": "\udce9"}, "`source` contains an unpaired surrogate"),
        ({"text": "Rain\0fell."}, "`text` contains a NUL character"),
        ({"url": "u\0"}, "`url` contains a NUL character"),
        ({"date": "1" * 41}, "`date` has 41 characters, but at most 40 are allowed"),
        ({"language": "English (United States)"}, "`language` has 23 characters, but at most 16 are allowed"),
    ],
)
def test_a_row_that_no_store_could_hold_is_rejected_by_row_and_the_rest_goes_in(
    row: dict[str, Any], problem: str
) -> None:
    rows = [{"text": "One."}, {"text": "Two."} | row, {"text": "Three.", "date": "1" * 40, "language": "x" * 16}]
    documents, rejected = read(write("a.jsonl", "\n".join(map(json.dumps, rows))))
    assert [document.text for document in documents] == ["One.", "Three."]
    assert len(rejected) == 1
    assert rejected[0].startswith(f"a.jsonl:2: {problem}")


def test_a_file_that_no_store_could_hold_is_rejected_by_name() -> None:
    assert read(write("a.txt", "Guns fell silent.\0"))[1][0].startswith("a.txt: `text` contains a NUL character")
    matter = '---\ntitle: "\\ud83d"\n---\nGuns fell silent.'
    assert read(write("a.md", matter))[1][0].startswith("a.md: `title` contains an unpaired surrogate")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file's name is Unicode")
def test_a_file_whose_name_is_not_utf8_needs_another_source() -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    documents, rejected = read(write(name, "Guns fell silent."))
    assert documents == []
    assert rejected[0].startswith(f"{name}: the file name is not UTF-8 text. Rename the file")
    assert read_one(write(name, FRONT_MATTER + "Guns fell silent.")).source == "Valley Radio"


def test_paths_may_be_strings_but_not_one_string(isolated: Path) -> None:
    (isolated / "a.txt").write_text("Rain fell.")
    assert find_files(["a.txt"]) == find_files([Path("a.txt")])
    assert find_files(["a.txt"]).files == (Path("a.txt"),)
    with pytest.raises(DataError, match="paths is a single string, but a list is needed"):
        find_files("a.txt")


@pytest.mark.parametrize(("names", "told"), [(["one", "one", "one"], 1), (["one", "two", ""], 0), (["", "", ""], 0)])
def test_rows_of_one_document_are_noted_once(tmp_path: Path, names: list[str], told: int) -> None:
    rows = [{"document_id": name, "text": f"This is sentence {i}."} for i, name in enumerate(names)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    notes: list[str] = []
    assert len(list(read_file(path, pytest.fail, note=notes.append))) == 3
    assert sum("rows with the same `document_id` are read as separate documents" in note for note in notes) == told
