"""What waits for an operator: enterprises' registrations, and whether the key that each had before signed the new one.

The hub is not believed: a registration is shown if its own key signed it, and counts as continued only if the key that stands
in the directory signed it too. A directory that the hub made up for this command makes the operator's entry not fit the real
one (its version, the key before it), and every node refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from xinqiao.v1 import admin_pb2, admin_pb2_grpc

from cli import rpc
from cli.clock import now_ms
from cli.operator import WHOM, Operator, message
from consent.directory import SUBJECT_KEY_REVOKED_TYPE, SUBJECT_KEY_TYPE, SubjectKey, SubjectKeyRevoked
from consent.documents import parse
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration, parse_registration
from trust.document import SignedDocument, verify_document
from trust.sm2 import PublicKey


class Continuity(Enum):
    """How a registered key follows what the enterprise had."""

    FIRST = "first"
    OLD_KEY = "old-key"
    WITHOUT_OLD_KEY = "without-old-key"

    @property
    def sentence(self) -> str:
        """What the reviewer reads."""
        return _SENTENCES[self]


_SENTENCES = {
    Continuity.FIRST: "its first key",
    Continuity.OLD_KEY: "signed by the old key",
    Continuity.WITHOUT_OLD_KEY: "WITHOUT the old key",
}


@dataclass(frozen=True, kw_only=True)
class LastKey:
    """An enterprise's newest key in the directory."""

    version: int
    key: PublicKey
    revoked: bool = False


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A registration that waits; `version` and `prev_key_id` are those that an approval states."""

    statement: SubjectRegistration
    key_id: str
    version: int
    prev_key_id: str | None
    continuity: Continuity


def read_registrations(stub: admin_pb2_grpc.AdminStub) -> list[Waiting]:
    """What waits, each proved to be by the holder of the key that it names. Raises SignatureInvalid, DocumentMalformed."""
    reply = rpc.call(stub.ListRegistrations, admin_pb2.ListRegistrationsRequest(), whom=WHOM)
    keys = read_keys(stub) if reply.registrations else {}
    return [_waiting(SignedDocument.decode(encoded), keys) for encoded in reply.registrations]


def read_keys(stub: admin_pb2_grpc.AdminStub) -> dict[str, LastKey]:
    """The newest key of every enterprise, by the directory log."""
    request = admin_pb2.ExportLogRequest(origin="directory")
    newest: dict[str, LastKey] = {}
    for chunk in rpc.stream(lambda: stub.ExportLog(request), whom=WHOM):
        if chunk.WhichOneof("part") != "leaf":
            continue
        document = SignedDocument.decode(chunk.leaf)
        if document.payload_type == SUBJECT_KEY_TYPE:
            entry = parse(document.payload, SubjectKey)
            newest[entry.uscc] = LastKey(version=entry.version, key=PublicKey.decode(entry.public_key))
        elif document.payload_type == SUBJECT_KEY_REVOKED_TYPE:
            ended = parse(document.payload, SubjectKeyRevoked).uscc
            newest[ended] = replace(newest[ended], revoked=True)
    return newest


def approve_key(stub: admin_pb2_grpc.AdminStub, who: Operator, waiting: Waiting) -> int:
    """Bind an enterprise's key to its code by the operator's signature; returns the index of the directory's entry."""
    entry = SubjectKey(
        uscc=waiting.statement.uscc,
        ent_name=waiting.statement.ent_name,
        public_key=waiting.statement.public_key,
        version=waiting.version,
        prev_key_id=waiting.prev_key_id,
        time_ms=now_ms(),
        operator=who.name,
    )
    return rpc.call(stub.ApproveSubject, message(who.sign(SUBJECT_KEY_TYPE, entry)), whom=WHOM).directory_index


def _waiting(document: SignedDocument, keys: dict[str, LastKey]) -> Waiting:
    statement = parse_registration(document.payload)
    own = PublicKey.decode(statement.public_key)
    verify_document(document, SUBJECT_REGISTRATION_TYPE, own)
    last = keys.get(statement.uscc)
    return Waiting(
        statement=statement,
        key_id=own.key_id,
        version=1 if last is None else last.version + 1,
        prev_key_id=None if last is None else last.key.key_id,
        continuity=_continuity(document, last),
    )


def _continuity(document: SignedDocument, last: LastKey | None) -> Continuity:
    """A key that was revoked proves nothing, even if it signed: a thief has it too."""
    if last is None:
        return Continuity.FIRST
    if last.revoked or all(signature.key_id != last.key.key_id for signature in document.signatures):
        return Continuity.WITHOUT_OLD_KEY
    verify_document(document, SUBJECT_REGISTRATION_TYPE, last.key)
    return Continuity.OLD_KEY
