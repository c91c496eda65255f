from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import labels.store
from labels.errors import StoreError
from labels.records import Document, Sentence
from labels.store import Store, schema
from labels.store.migrations import HEAD, schema_version

Shape = dict[str, dict[str, Any]]


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(labels.store.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


REVISIONS = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    made = sa.create_engine("sqlite:///store.db")
    yield made
    made.dispose()


def shape(connection: sa.Connection) -> Shape:
    """Tables with all that SQLite knows of their columns, keys and indexes."""
    inspector = sa.inspect(connection)
    return {
        table: {
            "columns": [column | {"type": str(column["type"])} for column in inspector.get_columns(table)],
            "primary key": inspector.get_pk_constraint(table)["constrained_columns"],
            "indexes": sorted((str(index["name"]), index["column_names"]) for index in inspector.get_indexes(table)),
            "unique": sorted(found["column_names"] for found in inspector.get_unique_constraints(table)),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def run_sql(path: str, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def dump(path: str) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_head_is_the_one_newest_revision() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]


def test_migrations_create_exactly_the_tables_of_the_schema(engine: sa.Engine) -> None:
    Store("store.db").close()
    with engine.connect() as connection:
        migrated = shape(connection)
    described = sa.create_engine("sqlite:///described.db")
    with described.begin() as connection:
        schema.metadata.create_all(connection)
        expected = shape(connection)
    described.dispose()

    assert migrated.keys() == expected.keys()
    assert migrated == expected


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_store_of_every_revision_is_brought_to_head(engine: sa.Engine, revision: str) -> None:
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    with Store("store.db") as store:
        assert store.counts().documents == 0
    with engine.connect() as connection:
        assert schema_version(connection) == HEAD


def test_an_empty_database_has_no_version(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert schema_version(connection) is None


def test_opening_again_keeps_what_is_there() -> None:
    document = Document("paper", "Oslo pledged aid.")
    sentence = Sentence(document.id, 0, 17, "Oslo pledged aid.")
    with Store("store.db") as store:
        store.add_documents([(document, [sentence])])
    before = dump("store.db")

    with Store("store.db") as store:
        assert store.document(document.id) == document
    assert dump("store.db") == before


def test_a_newer_store_is_refused_untouched() -> None:
    Store("store.db").close()
    run_sql("store.db", "UPDATE alembic_version SET version_num = '9999'")
    before = dump("store.db")

    with pytest.raises(StoreError, match=rf"store\.db: .*version 9999.*up to {HEAD}.*Upgrade communique"):
        Store("store.db")
    assert dump("store.db") == before


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

    with pytest.raises(StoreError, match=r"foreign\.db: .*no communique store"):
        Store("foreign.db")
    assert dump("foreign.db") == before


def test_a_file_that_is_no_database_is_refused_untouched(isolated: Path) -> None:
    notes = isolated / "notes.db"
    notes.write_text("These are my notes.\n" * 50, encoding="utf-8")

    with pytest.raises(StoreError, match=r"notes\.db: the store could not be opened"):
        Store(notes)
    assert notes.read_text(encoding="utf-8") == "These are my notes.\n" * 50


@pytest.mark.parametrize("place", ["missing/store.db", "archive", "nonsense://host/store"])
def test_a_place_where_no_store_can_be_is_named(isolated: Path, place: str) -> None:
    (isolated / "archive").mkdir()

    with pytest.raises(StoreError, match=r"could not be opened \(.+\).*Check that the path or URL") as caught:
        Store(place)
    assert place in str(caught.value)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(StoreError, match=r"nonsense://ana:\*\*\*@host/store") as caught:
        Store("nonsense://ana:secret@host/store")
    assert "secret" not in str(caught.value)
