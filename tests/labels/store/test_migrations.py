from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from labels.errors import InputError, StoreError
from labels.gold import standing
from labels.records import Annotation, Document, EventKind, Sentence, State
from labels.store import Draw, DrawItem, Store, TextCounts, tables
from labels.store.database import HEAD, schema_version
from labels.store.revisions import REVISIONS
from tests.labels.store.builders import make_first_store, stored_document

Shape = dict[str, dict[str, Any]]


@pytest.fixture
def engine(empty_url: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(empty_url)
    yield made
    made.dispose()


def shape(connection: sa.Connection) -> Shape:
    """Tables with all that the database knows of their columns, keys and indexes; the order of columns is free."""
    inspector = sa.inspect(connection)
    return {
        table: {
            "columns": {column["name"]: _described(column) for column in inspector.get_columns(table)},
            "primary key": inspector.get_pk_constraint(table)["constrained_columns"],
            "indexes": sorted((str(index["name"]), index["column_names"]) for index in inspector.get_indexes(table)),
            "unique": sorted(found["column_names"] for found in inspector.get_unique_constraints(table)),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def _described(column: Any) -> dict[str, Any]:
    # Both databases say of a number that counts itself how they do it, and PostgreSQL after which table.
    return {"type": str(column["type"]), "nullable": column["nullable"], "counts": bool(column.get("autoincrement"))}


def drop_everything(connection: sa.Connection) -> None:
    found = sa.MetaData()
    found.reflect(connection)
    found.drop_all(connection)


def run_sql(path: str, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def dump(path: str) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_head_is_the_one_newest_revision() -> None:
    assert list(REVISIONS)[-1] == max(REVISIONS) == HEAD


def test_the_first_store_upgraded_has_exactly_the_tables_of_a_new_one(empty_url: str, engine: sa.Engine) -> None:
    make_first_store(engine)
    with Store(empty_url) as store:
        assert store.counts.texts().documents == 0
    with engine.begin() as connection:
        assert schema_version(connection) == HEAD
        upgraded = shape(connection)
        drop_everything(connection)
    Store(empty_url).close()
    with engine.connect() as connection:
        assert schema_version(connection) == HEAD
        new = shape(connection)

    assert upgraded.keys() == new.keys()
    assert upgraded == new


def test_an_empty_database_has_no_version(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert schema_version(connection) is None


# -- a store of the first revision with a day's work in it

MOMENT = "2026-05-05T12:00:00.000000+00:00"
OLD_SENTENCES = [("d2", 0, "s-d2"), ("d1", 20, "s-late"), ("d1", 0, "s-early"), ("d1", 10, "s-mark")]
OLD_EVENTS: list[tuple[str, str, EventKind, State | None, list[str]]] = [
    ("s-early", "ana", "annotate", "reviewed", ["aid"]),
    ("s-early", "ben", "annotate", "skipped", []),
    ("s-late", "ana", "annotate", "reviewed", []),
    ("s-early", "ana", "annotate", "reviewed", ["truce", "aid"]),
    ("s-late", "ana", "undo", None, []),
    ("s-early", "eva", "adjudicate", "reviewed", ["aid"]),
    ("s-early", "ana", "undo", None, []),
    ("elsewhere", "ana", "undo", None, []),
    ("elsewhere", "ana", "annotate", "reviewed", ["Frieden “ü”"]),
]


def old_rows() -> dict[str, list[dict[str, Any]]]:
    """What the tables of the first revision held, by table."""
    document = {"source": "paper", "url": "", "title": "T", "date": "2026-01-01", "language": "en", "synthetic": False}
    sentence = {"splitter": "sentencex/1", "synthetic": True}
    draw = {"strategy": "random", "annotator": "ana", "frame_hash": "f", "model_id": "", "created_at": MOMENT}
    return {
        "documents": [{"id": "d1", "text": "One. Mark. Two.", **document}],
        "codebooks": [{"hash": "h", "name": "small", "version": "1", "content": 'name = "small"'}],
        "sentences": [
            {
                "id": identifier,
                "document_id": document_id,
                "start": start,
                "end": start + 9,
                "text": f"Text of {identifier} “ü”",
                "boilerplate": "mark" if identifier == "s-mark" else "",
                **sentence,
            }
            for document_id, start, identifier in OLD_SENTENCES
        ],
        "events": [
            {
                "event_id": f"e{number}",
                "sentence_id": identifier,
                "annotator": annotator,
                "event": event,
                "state": state,
                "labels": labels,
                "codebook_hash": "h",
                "draw_id": "old" if annotator == "ana" else "",
                "suggestion": ["aid"] if number == 0 else None,
                "blind": number == 0,
                "seconds": 1.5,
                "note": "a note",
                "created_at": MOMENT,
            }
            for number, (identifier, annotator, event, state, labels) in enumerate(OLD_EVENTS)
        ],
        "draws": [{"id": "old", "frame_size": 3, "seed": 13, **draw}],
        "draw_items": [
            {
                "draw_id": "old",
                "sentence_id": identifier,
                "position": position,
                "stratum": "",
                "inclusion_probability": 0.5,
            }
            for position, identifier in enumerate(["s-late", "s-early"])
        ],
        "reservations": [
            {"sentence_id": "s-late", "annotator": "ana", "draw_id": "old", "expires_at": "2999-01-01T00:00:00+00:00"}
        ],
    }


@pytest.fixture
def upgraded(empty_url: str, engine: sa.Engine) -> Iterator[Store]:
    """A store of the first revision with all of that, opened by the code of today."""
    make_first_store(engine)
    with engine.begin() as connection:
        reflected = sa.MetaData()
        reflected.reflect(connection)
        for column in reflected.tables["events"].columns:
            if isinstance(column.type, sa.JSON):
                column.type = sa.JSON(none_as_null=True)
        for name, rows in old_rows().items():
            connection.execute(sa.insert(reflected.tables[name]), rows)
    with Store(empty_url) as opened:
        yield opened


def test_sentences_of_the_first_revision_are_numbered(upgraded: Store, engine: sa.Engine) -> None:
    assert upgraded.counts.texts() == TextCounts(documents=1, sentences=4, boilerplate=1)
    assert [(row.document_id, row.start, row.end, row.text) for row in upgraded.documents.sentences()] == [
        (document, start, start + 9, f"Text of {identifier} “ü”")
        for document, start, identifier in sorted(OLD_SENTENCES)
    ]
    table = tables.sentences
    with engine.connect() as connection:
        numbered = connection.execute(sa.select(table.c.number, table.c.id).order_by(table.c.number)).all()
    assert [tuple(row) for row in numbered] == [(1, "s-early"), (2, "s-mark"), (3, "s-late"), (4, "s-d2")]
    upgraded.add_annotated([Sentence("d3", 0, 4, "New.")], [])
    assert [sentence.number for sentence in upgraded.scores.unscored("m")] == [1, 3, 4, 5]


def test_events_of_the_first_revision_keep_their_order(upgraded: Store) -> None:
    events = upgraded.events.all()

    assert [(e.sentence_id, e.annotator, e.event, e.state, list(e.labels)) for e in events] == OLD_EVENTS
    assert [e.event_id for e in events] == [f"e{number}" for number in range(9)]
    first = Annotation(
        "e0", "s-early", "ana", "annotate", "reviewed", ("aid",), "h", MOMENT, "a note", 1.5, ("aid",), True,
        "random", 0.5, "old",
    )  # fmt: skip
    assert events[0] == first
    assert events[1].suggestion is None
    later = replace(first, event_id="later", suggestion=None, blind=False)
    upgraded.events.add([later])
    assert upgraded.events.all()[-1] == later


def test_decisions_of_the_first_revision_are_folded(upgraded: Store, engine: sa.Engine) -> None:
    table = tables.decisions
    with engine.connect() as connection:
        rows = connection.execute(sa.select(table)).all()
    assert sorted((row.sentence_id, row.annotator, row.event, row.seq, row.state) for row in rows) == [
        ("elsewhere", "ana", "annotate", 9, "reviewed"),
        ("s-early", "ana", "annotate", 1, "reviewed"),
        ("s-early", "ben", "annotate", 2, "skipped"),
        ("s-early", "eva", "adjudicate", 6, "reviewed"),
    ]
    stands = standing(upgraded.events.all())
    assert len(stands.annotations) + len(stands.adjudications) == 4
    assert upgraded.counts.reviewed() == (2, 0)


def test_draws_and_reservations_of_the_first_revision_are_kept(upgraded: Store) -> None:
    (made,) = upgraded.draws.last("ana", ("random",))

    items = (DrawItem("s-late", 0.5, position=0), DrawItem("s-early", 0.5, position=1))
    assert made == Draw("old", "random", "ana", "f", 3, 13, MOMENT, items)
    assert upgraded.unseen.ids() == ["s-d2"]
    assert upgraded.draws.hold_pending([made], expires_at="2999-01-01T00:00:00+00:00") == {"s-late"}


def test_opening_again_keeps_what_is_there() -> None:
    document = Document("paper", "Oslo pledged aid.")
    sentence = Sentence(document.id, 0, 17, "Oslo pledged aid.")
    with Store("store.db") as store:
        store.documents.add([(document, [sentence])])
    before = dump("store.db")

    with Store("store.db") as store:
        assert stored_document(store.url, document.id) == document
    assert dump("store.db") == before


def test_a_newer_store_is_refused_untouched(empty_url: str, engine: sa.Engine) -> None:
    Store(empty_url).close()
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        before = shape(connection)

    with pytest.raises(StoreError, match=rf": .*version 9999.*up to {HEAD}.*Upgrade communique"):
        Store(empty_url)
    with engine.connect() as connection:
        assert shape(connection) == before
        assert schema_version(connection) == "9999"


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(["CREATE TABLE documents (id INTEGER)"], id="a table of the same name"),
        pytest.param(["CREATE TABLE users (id INTEGER)"], id="other tables"),
        pytest.param(
            [
                "CREATE TABLE runs (id INTEGER)",
                "CREATE TABLE alembic_version (version_num VARCHAR(32))",
                "INSERT INTO alembic_version VALUES ('1b5f0d9ad7c1')",
            ],
            id="another tool's later revision",
        ),
        pytest.param(
            [
                "CREATE TABLE runs (id INTEGER)",
                "CREATE TABLE alembic_version (version_num VARCHAR(32))",
                "INSERT INTO alembic_version VALUES ('00000ad7c1')",
            ],
            id="another tool's earlier revision",
        ),
    ],
)
def test_a_foreign_database_is_refused_untouched(statements: list[str]) -> None:
    run_sql("foreign.db", *statements)
    before = dump("foreign.db")

    with pytest.raises(StoreError, match=r"foreign\.db: .*not a communique store"):
        Store("foreign.db")
    assert dump("foreign.db") == before


def test_a_file_of_another_kind_is_refused_untouched(isolated: Path) -> None:
    notes = isolated / "notes.db"
    notes.write_text("These are my notes.\n" * 50, encoding="utf-8")

    with pytest.raises(StoreError, match=r"notes\.db: the store could not be opened"):
        Store(notes)
    assert notes.read_text(encoding="utf-8") == "These are my notes.\n" * 50


@pytest.mark.parametrize("place", ["missing/store.db", "nonsense://host/store"])
def test_an_impossible_place_for_a_store_is_named(isolated: Path, place: str) -> None:
    with pytest.raises(StoreError, match=r"could not be opened \(.+\).*Check that the path or URL") as caught:
        Store(place)
    assert place in str(caught.value)


def test_a_folder_is_no_store(isolated: Path) -> None:
    (isolated / "archive").mkdir()
    with pytest.raises(InputError, match=r"archive: this is a folder\. Name a file in it"):
        Store("archive")


def test_a_password_is_never_shown() -> None:
    with pytest.raises(StoreError, match=r"nonsense://ana:\*\*\*@host/store") as caught:
        Store("nonsense://ana:secret@host/store")
    assert "secret" not in str(caught.value)
