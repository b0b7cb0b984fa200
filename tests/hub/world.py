"""A hub over a test database, and what operators, nodes and enterprises do to it; imported by the tests of the hub."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from hub.database import Database
from hub.keys import HubKeys
from hub.logs import service as logs
from hub.members import service as members
from hub.members.directory import LiveDirectory
from hub.settings import Settings
from hub.state import Hub
from trust.certificates import make_csr
from trust.document import SignedDocument, sign_document
from trust.sm2 import PrivateKey

START_MS = 1_900_000_000_000
OPERATOR = "alice"


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

    def version_of(self, node_id: str) -> str:
        return ""

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

    def write(self, function: Callable[..., Any], *arguments: object) -> Any:
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


async def in_one_group(database: Database, *writes: Coroutine[Any, Any, Any]) -> list[Any]:
    """What writes come to that are all queued while the writer is busy; an error stands where one failed."""
    begun, free = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        begun.set()
        free.wait(10)

    busy = asyncio.ensure_future(database.write(wait))
    await asyncio.to_thread(begun.wait, 10)
    tasks = [asyncio.ensure_future(write) for write in writes]
    async with asyncio.timeout(10):
        while database.writer.queued < len(tasks):
            await asyncio.sleep(0.001)
    free.set()
    await busy
    return await asyncio.gather(*tasks, return_exceptions=True)
