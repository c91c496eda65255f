"""Which databases the tests of the store run on."""

from __future__ import annotations

import os

import pytest
import sqlalchemy as sa

SERVERS = [url for url in [os.environ.get("COMMUNIQUE_TEST_POSTGRES")] if url]
"""The same tests run on PostgreSQL too where this names a database that may be emptied."""


@pytest.fixture(params=["sqlite:///store.db", *SERVERS], ids=lambda url: str(url).split(":")[0])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    if request.param in SERVERS:
        engine = sa.create_engine(request.param)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        engine.dispose()
    return str(request.param)
