"""Databases for the hub's tests: every contract test runs over SQLite and over PostgreSQL."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from hub.database import Database, open_database
from hub.keys import HubKeys
from tests.hub.live import LiveHub, running_hub
from tests.hub.world import World, make_world
from trust.certificates import create_authority
from trust.sm2 import PrivateKey

DIALECTS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def hub_postgresql(postgresql_server: str) -> str:
    """A database of the hub's alone: others' tests have their tables elsewhere."""
    server = make_url(postgresql_server).set(drivername="postgresql+psycopg")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE hub"))
    engine.dispose()
    return server.set(database="hub").render_as_string(hide_password=False)


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hub.db'}"
        return
    url: str = request.getfixturevalue("hub_postgresql")
    engine = create_engine(url)
    with engine.begin() as connection:
        names = [name for name in inspect(connection).get_table_names() if name != "alembic_version"]
        if names:
            connection.execute(text(f"TRUNCATE {', '.join(names)}"))
    engine.dispose()
    yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open, empty database of each kind."""
    db = open_database(database_url)
    yield db
    db.close()


@pytest.fixture(scope="session")
def hub_keys() -> HubKeys:
    """The hub's keys, made once; the authority is of today, for TLS itself looks at the machine's clock."""
    key, certificate = create_authority("test authority", lambda: datetime.now(UTC))
    return HubKeys(log_key=PrivateKey.generate(), authority_key=key, authority_cert=certificate)


@pytest.fixture
def world(database: Database, hub_keys: HubKeys, tmp_path: Path) -> World:
    """A hub over each kind of database."""
    return make_world(database, hub_keys, tmp_path)


@pytest.fixture
def sqlite_world(tmp_path: Path, hub_keys: HubKeys) -> Iterator[World]:
    """A hub over SQLite only, for tests in which the database plays no part."""
    db = open_database(f"sqlite:///{tmp_path / 'hub.db'}")
    yield make_world(db, hub_keys, tmp_path)
    db.close()


@pytest.fixture
async def live(database_url: str, hub_keys: HubKeys) -> AsyncIterator[LiveHub]:
    """A hub that listens on loopback with TLS, over each kind of database."""
    home = Path(tempfile.mkdtemp(prefix="xqhub"))  # short: its socket lies below it
    try:
        async with running_hub(home, hub_keys, database_url) as hub:
            yield hub
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def sqlite_live(hub_keys: HubKeys) -> AsyncIterator[LiveHub]:
    """The same over SQLite only."""
    home = Path(tempfile.mkdtemp(prefix="xqhub"))
    try:
        async with running_hub(home, hub_keys) as hub:
            yield hub
    finally:
        shutil.rmtree(home, ignore_errors=True)
