from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labels.codebook.schema import Codebook
from labels.errors import CommuniqueError, DataError
from labels.records import Document, Origin, Sentence, sentence_id
from labels.store import Store
from labels.store.ingestion import ingest
from labels.text.rows import read_rows
from labels.text.sentences import split_sentences, whole_sentence
from tests.conftest import progress_reports
from tests.labels.test_unwritable import read_only
from tests.trainer.conftest import TrackedRun
from trainer.model.model import Model
from trainer.predict import SAID, Progress, bulk, predict_files, predict_rows

WriteJsonl = Callable[[str, list[dict[str, Any]]], Path]

ARTICLE = "Oslo pledged winter fuel. The envoy called for a truce.\n\nRain fell in the valley.\n\nShare this article\n"
SENTENCES = ["Oslo pledged winter fuel.", "The envoy called for a truce.", "Rain fell in the valley."]
LABELS = [["aid"], ["truce"], []]
COLUMNS = [
    "document_id",
    "sentence_id",
    "source",
    "start",
    "end",
    "text",
    "labels",
    "probabilities",
    "model_id",
    "codebook_hash",
    "splitter",
    "heading",
]
SUFFIXES = [".jsonl", ".csv", ".parquet"]


@pytest.fixture
def article(isolated: Path) -> Path:
    path = isolated / "article.txt"
    path.write_text(ARTICLE, encoding="utf-8")
    return path


def read_back(path: Path) -> list[dict[str, Any]]:
    """The rows of an output of any form, in the shape of JSONL."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    with path.open(encoding="utf-8", newline="") as file:
        return [_from_csv(row) for row in csv.DictReader(file)]


def _from_csv(row: dict[str, str]) -> dict[str, Any]:
    probabilities = {key.removeprefix("p:"): float(value) for key, value in row.items() if key.startswith("p:")}
    plain = {key: value for key, value in row.items() if not key.startswith("p:")}
    return plain | {
        "start": int(row["start"]),
        "end": int(row["end"]),
        "labels": row["labels"].split("|") if row["labels"] else [],
        "probabilities": probabilities,
        "heading": row["heading"] == "true",
    }


# -- rows


@pytest.mark.parametrize(
    ("keep_quotes", "texts"),
    [
        (False, ["“Oslo pledged winter fuel.", "We want a truce now,” he said."]),
        (True, ["“Oslo pledged winter fuel. We want a truce now,” he said."]),
    ],
)
def test_a_quotation_is_cut_unless_quotations_are_kept(
    model: Model, isolated: Path, keep_quotes: bool, texts: list[str]
) -> None:
    (isolated / "quote.txt").write_text("“Oslo pledged winter fuel. We want a truce now,” he said.", encoding="utf-8")
    predict_files(model, [isolated / "quote.txt"], isolated / "out.jsonl", keep_quotes=keep_quotes)
    assert [row["text"] for _, row in read_rows(isolated / "out.jsonl")] == texts


def test_a_row_holds_provenance_labels_and_the_probability_of_each_label(model: Model, codebook: Codebook) -> None:
    document = Document("wire", ARTICLE)
    rows = predict_rows(model, [(document, sentence) for sentence in split_sentences(document)[:3]])
    assert [list(row) for row in rows] == [COLUMNS] * 3
    assert [row["text"] for row in rows] == SENTENCES
    assert [row["labels"] for row in rows] == LABELS
    raw = model.predict_proba(SENTENCES)
    for row, expected in zip(rows, raw, strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-6)
        assert list(row["probabilities"]) == ["aid", "truce"]
        assert ARTICLE[row["start"] : row["end"]] == row["text"]
        assert row["document_id"] == Document("wire", ARTICLE).id
        assert row["sentence_id"] == sentence_id(row["document_id"], row["start"], row["end"])
        assert (row["source"], row["model_id"], row["codebook_hash"]) == ("wire", model.id, codebook.hash)


# -- files


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".JSONL"])
def test_every_sentence_of_a_file_gets_a_row_and_boilerplate_is_set_aside(
    model: Model, article: Path, suffix: str
) -> None:
    output = Path(f"out{suffix}")
    report = predict_files(model, [article], output)
    rows = read_back(output.rename(f"out{suffix.lower()}"))
    assert [row["text"] for row in rows] == SENTENCES
    assert [row["labels"] for row in rows] == LABELS
    assert (report.documents, report.sentences, report.rejected) == (1, 3, [])
    assert report.boilerplate == Counter({"share line": 1})
    assert report.assigned == Counter({"aid": 1, "truce": 1})


def test_all_three_forms_say_the_same(model: Model, article: Path) -> None:
    awkward = Document("wire", 'He said: "We, the |undersigned|, pledged it."\nÉté 🕊 …').text
    Path("awkward.txt").write_text(awkward, encoding="utf-8")
    tables = []
    for suffix in SUFFIXES:
        predict_files(model, [article, Path("awkward.txt")], Path(f"out{suffix}"), split=False)
        tables.append(read_back(Path(f"out{suffix}")))
    assert len(tables[0]) == 2
    for table in tables[1:]:
        for row, expected in zip(table, tables[0], strict=True):
            assert row["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
            assert row | {"probabilities": 0} == expected | {"probabilities": 0}


def test_a_csv_has_a_column_for_each_probability_and_joins_labels(model: Model) -> None:
    Path("both.txt").write_text("Oslo pledged fuel and called for a truce.", encoding="utf-8")
    predict_files(model, [Path("both.txt")], Path("out.csv"))
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    assert header == [*COLUMNS[:7], "p:aid", "p:truce", *COLUMNS[8:]]
    assert row[6] == "aid|truce"


def test_a_parquet_file_has_typed_columns_even_when_nothing_is_assigned(model: Model) -> None:
    Path("plain.txt").write_text("Rain fell.", encoding="utf-8")
    predict_files(model, [Path("plain.txt")], Path("out.parquet"))
    schema = pq.read_schema("out.parquet")
    assert schema.names == COLUMNS
    assert str(schema.field("labels").type) in ("list<element: string>", "list<item: string>")
    assert str(schema.field("probabilities").type) == "struct<aid: float, truce: float>"
    assert str(schema.field("start").type) == "int64"


def test_boilerplate_is_predicted_too_when_it_is_asked_for(model: Model, article: Path) -> None:
    report = predict_files(model, [article], Path("out.jsonl"), keep_boilerplate=True)
    assert [row["text"] for row in read_back(Path("out.jsonl"))] == [*SENTENCES, "Share this article"]
    assert report.sentences == 4
    assert not report.boilerplate


def test_rows_that_are_sentences_already_are_not_cut(model: Model, write_jsonl: WriteJsonl) -> None:
    texts = ["Oslo pledged fuel. It was cold. ", "Share this article"]
    path = write_jsonl("rows.jsonl", [{"text": text, "document_id": f"row-{i}"} for i, text in enumerate(texts)])
    predict_files(model, [path], Path("out.jsonl"), split=False)
    rows = read_back(Path("out.jsonl"))
    assert [row["text"] for row in rows] == [text.strip() for text in texts]
    document = Document("row-0", texts[0], origin=Origin(identifier="row-0"))
    assert (rows[0]["source"], rows[0]["sentence_id"]) == ("row-0", whole_sentence(document).id)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_corpus_larger_than_one_chunk_is_predicted_whole_and_in_order(
    model: Model, write_jsonl: WriteJsonl, suffix: str
) -> None:
    texts = [f"Oslo pledged item {i}." if i % 3 else f"Rain fell on day {i}." for i in range(2500)]
    path = write_jsonl("many.jsonl", [{"text": text} for text in texts])
    report = predict_files(model, [path], Path(f"out{suffix}"), split=False)
    rows = read_back(Path(f"out{suffix}"))
    assert [row["text"] for row in rows] == texts
    assert [row["labels"] for row in rows] == [["aid"] if i % 3 else [] for i in range(2500)]
    assert (report.documents, report.sentences) == (2500, 2500)
    assert report.assigned == Counter({"aid": sum(1 for i in range(2500) if i % 3)})


def test_predicting_twice_writes_the_same_bytes(model: Model, article: Path) -> None:
    outputs = []
    for _ in range(2):
        predict_files(model, [article], Path("out.jsonl"))
        outputs.append(Path("out.jsonl").read_bytes())
    assert outputs[0] == outputs[1]


def test_progress_counts_files_up_to_all(model: Model, article: Path) -> None:
    Path("second.txt").write_text("Rain fell.", encoding="utf-8")
    with progress_reports() as reports:
        predict_files(model, [article, Path("second.txt")], Path("out.jsonl"))
    assert reports == [("Predicting", done, 2) for done in (0, 1, 2)]


# -- offsets and texts


def text_of(folder: Path, row: dict[str, Any]) -> str:
    with (folder / f"{row['document_id']}.txt").open(encoding="utf-8", newline="") as file:
        return file.read()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_offsets_index_the_written_texts(model: Model, write_jsonl: WriteJsonl, suffix: str) -> None:
    Path("plain.txt").write_bytes(ARTICLE.replace("\n", "\r\n").encode())
    Path("page.md").write_text("---\ntitle: A title\n---\n# Oslo pledged\n\n*Rain* fell.\n", encoding="utf-8")
    cell = "Oslo pledged fuel.\r\nThe envoy called for a truce.\rRain 🕊 fell."
    rows = write_jsonl("rows.jsonl", [{"text": cell, "source": "wire"}])
    predict_files(model, [Path("plain.txt"), Path("page.md"), rows], Path(f"out{suffix}"), texts=Path("texts"))
    predicted = read_back(Path(f"out{suffix}"))
    assert [row["text"] for row in predicted][:3] == SENTENCES
    assert [text_of(Path("texts"), row)[row["start"] : row["end"]] for row in predicted] == [
        row["text"] for row in predicted
    ]
    in_cell = [row for row in predicted if row["source"] == "wire"]
    assert [cell[row["start"] : row["end"]] for row in in_cell] == [
        "Oslo pledged fuel.",
        "The envoy called for a truce.",
        "Rain 🕊 fell.",
    ]
    assert len({row["document_id"] for row in predicted}) == 3
    index = json.loads(Path("texts/texts.json").read_text(encoding="utf-8"))
    assert [(entry["source"], entry["title"]) for entry in index] == [
        ("plain.txt", ""),
        ("page.md", "A title"),
        ("wire", ""),
    ]
    assert {entry["file"] for entry in index} | {"texts.json"} == {path.name for path in Path("texts").iterdir()}


def test_a_folder_of_texts_is_replaced_by_the_next_call_but_never_read_or_mixed_with_other_files(
    model: Model, isolated: Path
) -> None:
    (isolated / "news").mkdir()
    (isolated / "news" / "one.txt").write_text(ARTICLE, encoding="utf-8")
    for _ in range(2):
        report = predict_files(model, [Path("news")], Path("out.jsonl"), texts=Path("news/texts"))
        assert report.documents == 1
        assert len(list(Path("news/texts").iterdir())) == 2
    (isolated / "news" / "texts" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match=r"texts: this folder is not empty\. Choose another folder with --texts\."):
        predict_files(model, [Path("news/one.txt")], Path("out.jsonl"), texts=Path("news/texts"))
    assert Path("news/texts/mine.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("output", "texts"),
    [("texts/out.jsonl", "texts"), ("a.jsonl", "a.jsonl"), ("out.jsonl", "news"), ("out.jsonl", "news/one")],
)
def test_outputs_that_overlap_with_each_other_or_the_inputs_are_refused(
    model: Model, isolated: Path, output: str, texts: str
) -> None:
    (isolated / "news" / "one").mkdir(parents=True)
    (isolated / "news" / "one" / "a.txt").write_text(ARTICLE, encoding="utf-8")
    with pytest.raises(DataError, match="Choose another place with "):
        predict_files(model, [Path("news/one")], Path(output), texts=Path(texts))
    assert sorted(str(path) for path in Path().rglob("*")) == ["news", "news/one", "news/one/a.txt"]


def test_one_text_with_two_line_ends_is_written_once(model: Model, write_jsonl: WriteJsonl) -> None:
    texts = ["Oslo pledged.\nRain fell.", "Oslo pledged.\nRain fell.", "Oslo pledged.\r\nRain fell."]
    rows = write_jsonl("rows.jsonl", [{"text": text, "source": "wire"} for text in texts])
    report = predict_files(model, [rows], Path("out.jsonl"), texts=Path("texts"))
    assert report.left_out == 1
    assert "the same text with other line ends" in report.rejected[0]
    assert all(text_of(Path("texts"), row) == texts[0] for row in read_back(Path("out.jsonl")))


def test_pandas_reads_a_csv_as_it_was_predicted(model: Model, write_jsonl: WriteJsonl) -> None:
    texts = ["Oslo\rpledged", 'say "no",\r\nthen go', "\u2028=1+1 \ufeff", "'quoted'"]
    path = write_jsonl("rows.jsonl", [{"text": text, "source": "a\rb"} for text in texts])
    predict_files(model, [path], Path("out.csv"), split=False)
    frame = pd.read_csv("out.csv", dtype=str, keep_default_na=False)
    assert frame.text.tolist() == [text.strip() for text in texts]
    assert frame.source.tolist() == ["a\rb"] * 4


# -- files for spreadsheets


def test_predictions_for_a_spreadsheet_have_apostrophes_and_plain_numbers(
    model: Model, write_jsonl: WriteJsonl
) -> None:
    texts = ["=1+1 pledged.", "Rain fell."]
    path = write_jsonl("rows.jsonl", [{"text": text} for text in texts])
    predict_files(model, [path], Path("out.csv"), split=False, for_spreadsheet=True)
    with Path("out.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["'=1+1 pledged.", "Rain fell."]
    assert all(0 <= float(row["p:aid"]) <= 1 for row in rows)
    assert [row["text"] for _, row in read_rows(Path("out.csv"))] == texts


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_other_files_are_not_written_for_spreadsheets(model: Model, article: Path, suffix: str) -> None:
    with pytest.raises(DataError, match=rf"out\{suffix}: --for-spreadsheet is only for \.csv files"):
        predict_files(model, [article], Path(f"out{suffix}"), for_spreadsheet=True)
    assert [path.name for path in Path().iterdir()] == ["article.txt"]


# -- what cannot be read or written


def test_a_bad_file_or_row_is_reported_and_the_rest_predicted(
    model: Model, article: Path, write_jsonl: WriteJsonl
) -> None:
    Path("latin.txt").write_bytes(b"caf\xe9 pledged")
    rows = write_jsonl("rows.jsonl", [{"title": "no text"}, {"text": "Oslo pledged fuel."}])
    report = predict_files(model, [Path("latin.txt"), rows, article], Path("out.jsonl"))
    assert len(read_back(Path("out.jsonl"))) == 4
    assert report.documents == 2
    assert [message.split(": ")[0] for message in report.rejected] == ["latin.txt", f"{rows}:1"]


def test_a_text_with_a_lone_surrogate_does_not_stop_the_rest(model: Model, article: Path) -> None:
    Path("rows.jsonl").write_text('{"text": "Half a \\ud83d pledged."}\n', encoding="utf-8")
    predict_files(model, [Path("rows.jsonl"), article], Path("out.jsonl"))
    assert [row["text"] for row in read_back(Path("out.jsonl"))][-3:] == SENTENCES


@pytest.mark.parametrize("earlier", [None, "earlier results"])
def test_where_nothing_can_be_read_nothing_is_written(model: Model, earlier: str | None) -> None:
    Path("latin.txt").write_bytes(b"caf\xe9")
    if earlier is not None:
        Path("out.jsonl").write_text(earlier, encoding="utf-8")
    with pytest.raises(
        DataError, match=r"^Nothing could be read, so out\.jsonl was not written:\n  latin\.txt: the file is not UTF"
    ):
        predict_files(model, [Path("latin.txt")], Path("out.jsonl"))
    assert {path.name for path in Path().iterdir()} == {"latin.txt"} | ({"out.jsonl"} if earlier else set())
    if earlier is not None:
        assert Path("out.jsonl").read_text(encoding="utf-8") == earlier


def test_a_document_of_boilerplate_alone_gives_a_file_without_rows(model: Model) -> None:
    Path("page.txt").write_text("Share this article\n", encoding="utf-8")
    report = predict_files(model, [Path("page.txt")], Path("out.parquet"))
    assert (report.documents, report.sentences) == (1, 0)
    assert pq.read_table("out.parquet").num_rows == 0


@pytest.mark.parametrize("name", ["out.xlsx", "out"])
def test_an_output_of_another_ending_is_refused_before_work(model: Model, article: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"^{name}: predictions can be written to \.jsonl, \.csv, \.parquet"):
        predict_files(model, [article], Path(name))
    assert [path.name for path in Path().iterdir()] == ["article.txt"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_output_in_a_missing_folder_raises_with_the_repair(model: Model, article: Path, suffix: str) -> None:
    with pytest.raises(DataError, match=r"the folder absent does not exist\. Create the folder first"):
        predict_files(model, [article], Path(f"absent/out{suffix}"))


@pytest.mark.parametrize(("engine", "output"), [("local", "out.csv"), ("ray", "out")])
def test_a_folder_without_rights_is_refused_before_the_model_is_opened(
    article: Path, isolated: Path, engine: Any, output: str
) -> None:
    (isolated / "locked").mkdir()
    with read_only(isolated / "locked"), pytest.raises(DataError) as caught:
        predict_files("no-model", [article], f"locked/{output}", engine=engine)
    assert str(caught.value) == (
        f"locked/{output}: cannot be written (Permission denied). Nothing was changed. Choose a folder in which you "
        "may write."
    )
    assert {path.name for path in Path().rglob("*")} == {"article.txt", "locked"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "head:6379"}, "--address head:6379: only --engine ray uses a cluster"),
        ({"engine": "spark"}, "engine='spark': unknown value. Use one of 'local', 'ray'"),
        ({"by": "article"}, "by='article': unknown value"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(
    model: Model, article: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        predict_files(model, [article], "out.csv", **options)


def test_an_input_that_does_not_exist_raises(model: Model) -> None:
    with pytest.raises(DataError, match="absent: this file or folder does not exist"):
        predict_files(model, [Path("absent")], Path("out.jsonl"))
    assert list(Path().iterdir()) == []


def test_of_many_bad_rows_the_first_are_told_and_all_are_counted(model: Model, write_jsonl: WriteJsonl) -> None:
    rows = [{"text": ""} for _ in range(SAID + 5)]
    path = write_jsonl("rows.jsonl", [*rows, {"text": "Oslo pledged winter fuel."}])
    report = predict_files(model, [path], Path("out.jsonl"), split=False)
    assert (report.left_out, len(report.rejected), report.sentences) == (SAID + 5, SAID, 1)
    assert report.rejected[0].startswith(f"{path}:1: ")


def test_what_is_read_is_never_written_over(model: Model, write_jsonl: WriteJsonl) -> None:
    path = write_jsonl("mine.jsonl", [{"text": "Oslo pledged winter fuel.", "labels": ["aid"]}])
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"mine\.jsonl: .*--out\."):
        predict_files(model, [path], path.parent / "." / "mine.jsonl", split=False)
    assert path.read_bytes() == before


def test_what_an_earlier_call_left_in_a_folder_is_not_read_again(model: Model, isolated: Path) -> None:
    (isolated / "news").mkdir()
    (isolated / "news" / "one.txt").write_text(ARTICLE, encoding="utf-8")
    reports = [predict_files(model, [Path("news")], Path("news/tagged.jsonl")) for _ in range(2)]
    assert [(report.documents, report.sentences) for report in reports] == [(1, 3), (1, 3)]


# -- inputs


def test_a_pattern_finds_files_in_folders_once(model: Model, isolated: Path) -> None:
    for name in ("a.txt", "deep/b.txt", "deep/c.md"):
        (isolated / "news" / name).parent.mkdir(parents=True, exist_ok=True)
        (isolated / "news" / name).write_text(f"Oslo pledged {name}.", encoding="utf-8")
    predict_files(model, ["news/**/*.txt", "news/a.t?t"], "out.jsonl")
    assert [row["source"] for row in read_back(Path("out.jsonl"))] == ["a.txt", "b.txt"]
    with pytest.raises(DataError, match=r"^news/\*\.csv: no file or folder matches this pattern"):
        predict_files(model, ["news/*.csv"], "out.jsonl")


def test_a_single_path_instead_of_a_list_is_refused(model: Model, article: Path) -> None:
    with pytest.raises(DataError, match="inputs is a single path"):
        predict_files(model, article, "out.jsonl")  # type: ignore[arg-type]


def test_a_folder_of_parquet_parts_is_read_but_for_the_broken_part(model: Model, isolated: Path) -> None:
    (isolated / "set").mkdir()
    for part in range(3):
        pq.write_table(pa.table({"text": [f"Oslo pledged item {part}."]}), f"set/part-{part}.parquet")
    Path("set/part-1.parquet").write_bytes(Path("set/part-1.parquet").read_bytes()[:-7])
    Path("set/_SUCCESS").touch()
    report = predict_files(model, ["set"], "out.parquet")
    assert [row["text"] for row in read_back(Path("out.parquet"))] == ["Oslo pledged item 0.", "Oslo pledged item 2."]
    assert report.left_out == 1
    assert "set/part-1.parquet: the file cannot be read as Parquet" in report.rejected[0]


def test_a_part_that_is_damaged_inside_is_read_up_to_there(model: Model, isolated: Path) -> None:
    (isolated / "set").mkdir()
    for part in range(2):
        texts = [f"Oslo pledged item {part} {number}." for number in range(4000)]
        pq.write_table(pa.table({"text": texts}), f"set/{part}.parquet", use_dictionary=False, data_page_size=9000)
    damaged = bytearray(Path("set/0.parquet").read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 64] = bytes(64)
    Path("set/0.parquet").write_bytes(damaged)
    report = predict_files(model, ["set"], "out.jsonl")
    rows = read_back(Path("out.jsonl"))
    (line,) = [json.loads(line) for line in Path("out.jsonl.rejects.jsonl").read_text("utf-8").splitlines()]
    read = sum(row["text"].startswith("Oslo pledged item 0") for row in rows)
    assert 0 < read < 4000 == len(rows) - read
    assert line["reason"].startswith(f"the file is damaged after row {read:,} (")
    assert report.left_out == 1


def write_part(folder: str, **columns: object) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: [value] for name, value in columns.items()}), f"{folder}/part.parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_keys_of_a_partitioned_data_set_are_columns(model: Model, isolated: Path, suffix: str) -> None:
    write_part("set/year=2023/lang=a%20b", text="Oslo pledged fuel.")
    write_part("set/year=2024/lang=__HIVE_DEFAULT_PARTITION__", text="Oslo pledged trucks.", year="own")
    Path("set/year=2024/notes.txt").write_text("Oslo pledged tents.", encoding="utf-8")
    predict_files(model, ["set"], f"out{suffix}", columns=["lang", "year"])
    rows = read_back(Path(f"out{suffix}"))
    nothing = "" if suffix == ".csv" else None
    assert [(row["lang"], row["year"]) for row in rows] == [("a b", "2023"), (nothing, "own"), (nothing, "2024")]
    with pytest.raises(DataError, match=r"no input has a column `yaer`.*year"):
        predict_files(model, ["set"], "other.csv", columns=["yaer"])


@pytest.mark.parametrize("given", ["set", "set/**/*.parquet", "set/*"])
def test_unfinished_output_of_spark_is_not_read_and_is_named(model: Model, isolated: Path, given: str) -> None:
    write_part("set/year=2024", text="Oslo pledged fuel.")
    write_part("set/_temporary/0/_temporary/attempt_1/year=2024", text="Oslo pledged half of it.")
    report = predict_files(model, [given], "out.jsonl")
    assert [row["text"] for row in read_back(Path("out.jsonl"))] == ["Oslo pledged fuel."]
    why = "not read as documents, because they are unfinished output of Spark or Hadoop: set/_temporary"
    assert report.notes == [why]
    with pytest.raises(DataError, match="unfinished output of Spark or Hadoop: set/_temporary"):
        predict_files(model, ["set/_temporary/**/*.parquet", "set/_temp*"], "other.jsonl", restart=True)


@pytest.mark.parametrize("given", ["set", "set/**/*.parquet", "s*", "set/**"])
def test_a_delta_table_is_noted(model: Model, isolated: Path, given: str) -> None:
    write_part("set/year=2024", text="Oslo pledged fuel.")
    Path("set/_delta_log").mkdir()
    [note] = predict_files(model, [given], "out.jsonl").notes
    assert note.startswith("not read as documents, because they are the log of a Delta table, whose folder can also")
    assert note.endswith(": set/_delta_log")


def test_what_is_left_out_is_listed_in_a_file(model: Model, corpus: Path) -> None:
    report = predict_files(model, [corpus], "out.jsonl")
    lines = [json.loads(line) for line in Path("out.jsonl.rejects.jsonl").read_text("utf-8").splitlines()]
    assert [(line["file"], line["row"]) for line in lines] == [(f"{corpus}/a.jsonl", 8), (f"{corpus}/a.jsonl", 24)]
    assert lines[0]["reason"].startswith("this line is not valid JSON")
    assert lines[1]["reason"] == "`text` is empty. Add the text or remove the row."
    assert report.left_out == 2
    (corpus / "a.jsonl").unlink()
    predict_files(model, [corpus], "out.jsonl")
    assert not Path("out.jsonl.rejects.jsonl").exists()


def test_outputs_in_the_input_folder_are_not_read(model: Model, corpus: Path) -> None:
    reports = [predict_files(model, [corpus], corpus / "out.jsonl", by="document") for _ in range(2)]
    first, second = (report.to_json() | {"notes": []} for report in reports)
    assert first == second
    found = predict_files(model, [corpus], "other.jsonl")
    assert found.documents == reports[0].documents
    assert any("rows that `predict` left out" in note for note in found.notes)


# -- repeats, columns, documents


def test_repeated_sentences_are_predicted_once(model: Model, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    predict = Model.predict_proba
    monkeypatch.setattr(Model, "predict_proba", lambda self, texts: asked.extend(texts) or predict(self, texts))
    report = predict_files(model, [corpus], "out.jsonl")
    rows = read_back(Path("out.jsonl"))
    assert len(asked) == len(set(asked)) == report.sentences - report.repeated
    assert sorted(set(asked)) == sorted({row["text"] for row in rows})
    assert all(row["labels"] == (["aid"] if "pledged" in row["text"] else row["labels"]) for row in rows)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_are_kept(model: Model, corpus: Path, suffix: str) -> None:
    predict_files(model, [corpus], f"out{suffix}", columns=["speaker", "page"])
    rows = read_back(Path(f"out{suffix}"))
    as_text = suffix != ".jsonl"
    assert [name for name in rows[0] if name != "probabilities"][-2:] == ["speaker", "page"]
    assert (rows[0]["speaker"], rows[0]["page"]) == ("Speaker 0", "0" if as_text else 0)
    assert rows[-1]["speaker"] == ("" if suffix == ".csv" else None)  # of an article, which has no columns


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_dates_and_titles_of_articles_are_kept(model: Model, article: Path, suffix: str) -> None:
    article.write_text('---\ntitle: "Talks"\ndate: "2026-03-04"\n---\n' + ARTICLE, encoding="utf-8")
    Path("page.html").write_text(
        '<html><head><meta property="article:published_time" content="2026-04-05"></head>'
        f"<body><article><p>{'Oslo pledged winter fuel to the region. ' * 8}</p></article></body></html>",
        encoding="utf-8",
    )
    Path("rows.jsonl").write_text('{"text": "Oslo pledged fuel.", "date": "2026-05-06"}\n', encoding="utf-8")
    predict_files(model, [article, "page.html", "rows.jsonl"], f"out{suffix}", columns=["date", "title"])
    found = {row["source"]: row for row in read_back(Path(f"out{suffix}"))}
    assert {name: row["date"][:10] for name, row in found.items()} == {
        "article.txt": "2026-03-04", "page.html": "2026-04-05", "rows.jsonl": "2026-05-06"
    }  # fmt: skip
    assert found["article.txt"]["title"] == "Talks"


def test_columns_of_parquet_files_keep_their_types(model: Model) -> None:
    day = datetime(2024, 5, 1, tzinfo=UTC).date()
    table = {"text": ["Oslo pledged fuel."], "n": [3], "day": [day], "tags": [["a", "b"]]}
    pq.write_table(pa.table(table), "in.parquet")
    predict_files(model, ["in.parquet"], "out.parquet", columns=["n", "day", "tags"])
    predict_files(model, ["in.parquet"], "out.jsonl", columns=["n", "day", "tags"])
    (row,) = read_back(Path("out.parquet"))
    assert (row["n"], row["day"], row["tags"]) == (3, day, '["a", "b"]')
    (row,) = read_back(Path("out.jsonl"))
    assert (row["n"], row["day"], row["tags"]) == (3, "2024-05-01", ["a", "b"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("speeker", r"--columns speeker: no input has a column `speeker` \(did you mean 'speaker'\?\)\. The columns"),
        ("text", "--columns text: the output has a column `text` of its own"),
    ],
)
def test_columns_that_cannot_be_kept_are_refused_before_work(
    model: Model, corpus: Path, name: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        predict_files(model, [corpus], "out.csv", columns=["page", name])
    assert [path.name for path in Path().iterdir()] == ["news"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_documents_get_a_row_each(model: Model, suffix: str) -> None:
    Path("news").mkdir()
    Path("news/a.txt").write_text(f"---\ntitle: Fuel\ndate: 2024-05-01\n---\n{ARTICLE}", encoding="utf-8")
    Path("news/b.txt").write_text("Share this article\n", encoding="utf-8")
    predict_files(model, ["news"], f"out{suffix}", by="document")
    first, second = read_documents(Path(f"out.documents{suffix}"))
    rows = read_back(Path(f"out{suffix}"))
    assert first["document_id"] == rows[0]["document_id"]
    assert (first["title"], first["date"], first["sentences"], first["labels"]) == (
        *("Fuel", "2024-05-01", 3),
        ["aid", "truce"],
    )
    assert first["shares"] == pytest.approx({"aid": 1 / 3, "truce": 1 / 3}, abs=1e-6)
    highest = {label: max(row["probabilities"][label] for row in rows) for label in ("aid", "truce")}
    assert first["probabilities"] == pytest.approx(highest, abs=1e-6)
    assert (second["sentences"], second["labels"]) == (0, [])
    assert second["shares"] == second["probabilities"] == {"aid": None, "truce": None}


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The rows of a file with one row per document, in the shape of JSONL."""
    if path.suffix != ".csv":
        return read_back(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row["sentences"], row["labels"] = int(row["sentences"]), row["labels"].split("|") if row["labels"] else []
        for name, prefix in (("shares", "share:"), ("probabilities", "p:")):
            own = {key.removeprefix(prefix): value for key, value in row.items() if key.startswith(prefix)}
            row[name] = {label: float(value) if value else None for label, value in own.items()}
    return rows


def test_progress_tells_share_rate_and_time_left(model: Model, corpus: Path) -> None:
    seen: list[Progress] = []
    report = predict_files(model, [corpus], "out.csv", watch=seen.append)
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert 0 < shares[0] < 0.5
    assert (seen[-1].sentences, seen[-1].seconds_left) == (report.sentences, 0)
    assert all(progress.rate > 0 and progress.seconds_left > 0 for progress in seen[:-1])


# -- a store


def test_a_store_is_predicted_document_by_document(model: Model, corpus: Path, isolated: Path) -> None:
    with Store(isolated / "s.db") as store:
        ingest(store, [corpus])
        removed = next(iter(store.documents.sentences())).document_id
        store.removals.remove([removed])
        expected = [one for one in store.documents.sentences() if not one.boilerplate]
    report = predict_files(model, [], "out.jsonl", store=isolated / "s.db", by="document", texts=Path("texts"))
    rows = read_back(Path("out.jsonl"))
    assert [row["sentence_id"] for row in rows] == [one.id for one in expected]
    assert removed not in {row["document_id"] for row in rows}
    assert (report.sentences, report.documents) == (len(expected), len(read_documents(Path("out.documents.jsonl"))))
    assert all(text_of(Path("texts"), row)[row["start"] : row["end"]] == row["text"] for row in rows)


def test_sentences_of_an_import_without_documents_are_predicted_too(model: Model, isolated: Path) -> None:
    with Store(isolated / "s.db") as store:
        store.add_annotated([Sentence("d1", 5, 23, "Oslo pledged fuel.")], [])
    predict_files(model, [], "out.jsonl", store=isolated / "s.db")
    (row,) = read_back(Path("out.jsonl"))
    assert (row["document_id"], row["start"], row["text"], row["labels"]) == ("d1", 5, "Oslo pledged fuel.", ["aid"])


def test_a_store_with_files_or_without_sentences_is_refused(model: Model, article: Path, isolated: Path) -> None:
    with pytest.raises(DataError, match="Leave out the input files"):
        predict_files(model, [article], "out.jsonl", store="s.db")
    Store(isolated / "s.db").close()
    with pytest.raises(DataError, match=r"s\.db: this store has no sentences to label"):
        predict_files(model, [], "out.jsonl", store=isolated / "s.db")


# -- processes


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_write_the_same_bytes(
    corpus: Path, tracked_run: TrackedRun, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    artefact = tracked_run.result.artefact
    alone = predict_files(artefact, [corpus], "alone.csv", by="document")
    monkeypatch.setattr(bulk, "PROCESS_FROM", 0)
    together = predict_files(artefact.parent, [corpus], "out.csv", by="document", workers=workers)
    assert Path("out.csv").read_bytes() == Path("alone.csv").read_bytes()
    assert Path("out.documents.csv").read_bytes() == Path("alone.documents.csv").read_bytes()
    assert together.repeated == alone.repeated > 0


def test_an_error_in_a_process_is_one_line(model: Model, isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PROCESS_FROM", 0)
    bad = {"text": "Oslo pledged fuel.", "speaker": "a\0b"}
    Path("in.jsonl").write_text(json.dumps(bad) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^out\.csv:1: the cell 'a\\x00b' contains a NUL character"):
        predict_files(model, ["in.jsonl"], "out.csv", columns=["speaker"])


def test_a_process_that_is_killed_is_one_line(model: Model, article: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PROCESS_FROM", 0)
    predict = Model.predict_proba

    def kill(self: Model, texts: Sequence[str]) -> Any:
        for child in psutil.Process().children():
            if "trainer.predict.pool" in " ".join(child.cmdline()):  # other tests leave helpers of libraries
                child.kill()
                child.wait()
        return predict(self, texts)

    monkeypatch.setattr(Model, "predict_proba", kill)
    with pytest.raises(CommuniqueError, match="A worker process ended unexpectedly"):
        predict_files(model, [article], "out.csv")
    assert [path.name for path in Path().iterdir()] == ["article.txt"]


@pytest.mark.parametrize(("workers", "message"), [(0, "at least one process"), (2, "Save the model, and pass its")])
def test_a_number_of_workers_that_cannot_be_is_refused(model: Model, article: Path, workers: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predict_files(model, [article], "out.csv", workers=workers)
