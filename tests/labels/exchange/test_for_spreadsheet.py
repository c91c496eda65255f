"""Exports that are safe to open in a spreadsheet, and come back unchanged."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner

from labels.codebook.schema import dump_codebook
from labels.errors import InputError
from labels.exchange.driver import export_file, import_file
from labels.gold import standing
from labels.output.table_files import APOSTROPHES
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.text.rows import read_rows
from tests.labels.exchange.steps import MULTI, Row, bring_in, export
from tests.labels.exchange.test_round_trips import fill, histories
from trainer.cli import app

Write = Callable[[str, list[Row]], Path]

TEXTS = ["=HYPERLINK(1)", "+1 Oslo pledged fuel.", "-5\rlines", "'quoted' words", "Rain fell."]


@pytest.fixture
def filled(store: Store, write_jsonl: Write) -> Store:
    """Decisions on texts that a spreadsheet would execute, with such notes and a column of the tool's own."""
    rows = [
        {"text": text, "labels": "aid", "annotator": "ana", "note": f"@{text}", "=own": f" ={number}"}
        for number, text in enumerate(TEXTS)
    ]
    with Path("in.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL)
        table.writeheader()
        table.writerows(rows)
    bring_in(store, "csv", Path("in.csv"))
    return store


@pytest.mark.parametrize("format", ["csv", "doccano", "activetigger"])
def test_no_cell_is_executed_and_the_import_recognises_every_decision(filled: Store, format: str) -> None:
    export_file(filled, "safe.csv", MULTI, format, for_spreadsheet=True)
    with Path("safe.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(TEXTS)
    assert not [cell for row in rows for cell in (*row, *row.values()) if cell.lstrip()[:1] in tuple("=+-@")]
    assert [row["text"] for row in rows] == [f"'{text}" for text in TEXTS[:3]] + TEXTS[3:]
    assert [APOSTROPHES in row for row in rows] == [True] * len(rows)
    imported = import_file(filled, "safe.csv", MULTI, format)
    assert (imported.new, imported.known) == (0, len(TEXTS))


def test_a_file_without_its_list_of_apostrophes_adds_no_sentences(filled: Store) -> None:
    export_file(filled, "safe.csv", MULTI, "csv", for_spreadsheet=True)
    kept = ["text", "labels", "state", "annotator", "sentence_id"]
    table = pd.read_csv("safe.csv", dtype=str, keep_default_na=False)[kept]
    table.to_csv("kept.csv", index=False, quoting=csv.QUOTE_ALL)
    before = {sentence.id: sentence.text for sentence in filled.documents.sentences()}

    imported = import_file(filled, "kept.csv", MULTI, "csv")
    assert imported.texts == imported.known_texts == len(TEXTS)
    assert {sentence.id: sentence.text for sentence in filled.documents.sentences()} == before


@pytest.mark.parametrize("format", ["csv", "doccano", "activetigger"])
def test_another_store_gets_the_same_decisions(filled: Store, new_store: Callable[[], Store], format: str) -> None:
    export_file(filled, "safe.csv", MULTI, format, for_spreadsheet=True)
    export_file(filled, "plain.csv", MULTI, format)
    stores = []
    for name in ("safe.csv", "plain.csv"):
        with new_store() as other:
            import_file(other, name, MULTI, format)
            events = other.events.all()
            sentences = [sentence.text for sentence in other.documents.sentences()]
            stores.append((events, sentences, standing(events).event_ids))
    assert stores[0] == stores[1]
    assert sorted(stores[0][1]) == sorted(TEXTS)


@pytest.mark.parametrize("format", ["csv", "doccano", "activetigger"])
def test_other_programs_read_a_plain_export_as_it_is_in_the_store(filled: Store, format: str) -> None:
    export(filled, format, Path("plain.csv"))
    with Path("plain.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert [row["text"] for row in rows] == TEXTS
    assert APOSTROPHES not in rows[0]
    assert pd.read_csv("plain.csv", dtype=str, keep_default_na=False).to_dict("records") == rows
    assert [row for _, row in read_rows(Path("plain.csv"))] == rows


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(MULTI))
def test_any_history_comes_back_from_a_spreadsheet_as_from_a_plain_file(
    new_store: Callable[[], Store], history: tuple[list[Sentence], list[Annotation]]
) -> None:
    stores = []
    for name in ("plain.csv", "safe.csv"):
        with new_store() as store, new_store() as other:
            fill(store, history)
            export_file(store, name, MULTI, "csv", for_spreadsheet=name == "safe.csv")
            import_file(other, name, MULTI, "csv")
            stores.append((other.events.all(), other.documents.sentences()))
    assert stores[0] == stores[1]


@pytest.mark.parametrize(
    ("format", "name"),
    [
        *(("jsonl", "a.jsonl"), ("doccano", "a.jsonl"), ("activetigger", "a.parquet")),
        *(("huggingface", "a"), ("huggingface", "a.csv")),
    ],
)
def test_other_files_refuse_the_option(filled: Store, format: str, name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: --for-spreadsheet is only for CSV files.*--format csv"):
        export_file(filled, name, MULTI, format, for_spreadsheet=True)
    assert [path.name for path in Path().iterdir()] == ["in.csv"]


def test_the_command_takes_the_option(isolated: Path, write_jsonl: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("book.toml").write_text(dump_codebook(MULTI), encoding="utf-8")
    monkeypatch.setenv("COMMUNIQUE_CODEBOOK", "book.toml")
    write_jsonl("in.jsonl", [{"text": "=1+1", "label": "aid", "answer": "accept"}])
    for arguments in (
        ["import", "in.jsonl", "--format", "prodigy", "--annotator", "ana"],
        ["export", "out.csv", "--format", "csv", "--for-spreadsheet"],
    ):
        done = CliRunner().invoke(app, ["annotations", *arguments])
        assert done.exit_code == 0, done.output
    content = Path("out.csv").read_text(encoding="utf-8-sig")
    assert "\n'=1+1," in content
    assert json.dumps('["text"]').replace('\\"', '""') in content
    refused = CliRunner().invoke(app, ["annotations", "export", "out.jsonl", "--for-spreadsheet"])
    assert refused.exit_code == 2
    assert "--for-spreadsheet is only for CSV files" in refused.stderr
