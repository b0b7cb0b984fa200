"""Writing an entry into a provider's consent log: verified by the very rules that every node applies.

Rules:
1. An entry is countersigned and then checked by `consent.book.ConsentBook.check_entry` over the record that it touches. What
   a node would refuse (and take for an attack) therefore never reaches a log.
2. An entry is not dated ahead of the hub's clock by more than the setting allows: the dates of a log go forward only, and one
   from the future would shut out everybody after it. Nor behind it by more than the grace of the log: otherwise a stolen key could,
   after its end, still sign into its own time while the log is quiet (CLOCK_SKEW).
3. Entry, rows and inboxes are one transaction, and a checkpoint over them is signed in it: whoever hears of the entry can
   prove it at once. One checkpoint of a log serves all entries of the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select, text

from consent.book import DATING_GRACE_MS, Change, ConsentBook, ConsentRow, Status, terms_of
from consent.documents import parse_consent
from hub.consents.tables import consent_heads, consents
from hub.errors import HubError
from hub.logs import checkpoints
from hub.logs import service as logs
from hub.members.service import check_clock
from hub.state import Hub
from trust.checkpoint import open_checkpoint
from trust.document import SignedDocument, countersign
from trust.suite import sm3

ACTIVE, WITHDRAWN, EXPIRED, SUPERSEDED = "active", "withdrawn", "expired", "superseded"
_STATUS = {ACTIVE: Status.ACTIVE, WITHDRAWN: Status.WITHDRAWN, EXPIRED: Status.EXPIRED, SUPERSEDED: Status.SUPERSEDED}
_SET_NEWEST = text(
    "INSERT INTO consent_heads (provider, newest_ms) VALUES (:provider, :newest_ms) "
    "ON CONFLICT (provider) DO UPDATE SET newest_ms = excluded.newest_ms "
    "WHERE excluded.newest_ms > consent_heads.newest_ms"
)
_NEWEST: Final = select(consent_heads.c.newest_ms).where(consent_heads.c.provider == bindparam("provider"))
_NEWEST_VERSION: Final = (
    select(consents).where(consents.c.record_id == bindparam("record_id")).order_by(consents.c.version.desc()).limit(1)
)

ConsentsRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where an entry stands in a provider's consent log: just written, or found there."""

    provider: str
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An entry of a consent log (encoded) with a checkpoint that covers it (encoded) and the path in it."""

    provider: str
    origin: str
    log_index: int
    checkpoint: bytes
    path: tuple[bytes, ...]
    entry: bytes


def write_entry(
    hub: Hub, connection: Connection, provider: str, document: SignedDocument, *, about: Iterable[ConsentRow] = ()
) -> tuple[int, Change]:
    """Countersign, check and append an entry; returns its index and what it changed. Only inside `Database.write`.

    `about`: the record that it touches, as it stands. Raises SignatureInvalid, DocumentMalformed, ConsentConflict; HubError
    CLOCK_SKEW.
    """
    index, signed, change = check_entry(hub, connection, provider, document, about=about)
    if change.dated_ms:
        if not hub.clock() - DATING_GRACE_MS <= change.dated_ms <= hub.clock():
            check_clock(hub, change.dated_ms, "the document")
        connection.execute(_SET_NEWEST, {"provider": provider, "newest_ms": change.dated_ms})
    logs.append(connection, logs.consent_origin(provider), [signed.encode()])
    return index, change


def check_entry(
    hub: Hub, connection: Connection, provider: str, document: SignedDocument, *, about: Iterable[ConsentRow] = ()
) -> tuple[int, SignedDocument, Change]:
    """Check an entry without writing it; returns the index it would have and the countersigned document. Raises as above."""
    if len(document.signatures) != 1:
        raise HubError("INVALID_ARGUMENT", "a document of consent carries its author's signature only; sign it once")
    signed = countersign(document, hub.keys.log_key)
    book = ConsentBook(provider)
    book.load(about)
    book.newest_ms = _newest(connection, provider)
    index = logs.size(connection, logs.consent_origin(provider))
    directory = hub.directory.in_write(connection)
    return index, signed, book.check_entry(index, signed, directory, hub.keys.public)


def proven(hub: Hub, connection: Connection, written: Sequence[Written]) -> list[Recorded]:
    """Each entry with its proof, those of one log under one checkpoint of now. Only inside `Database.write`."""
    proofs: dict[Written, Recorded] = {}
    for provider in dict.fromkeys(each.provider for each in written):
        own = [each for each in dict.fromkeys(written) if each.provider == provider]
        proofs |= zip(own, _proven_in(hub, connection, provider, [each.log_index for each in own]), strict=True)
    return [proofs[each] for each in written]


def _proven_in(hub: Hub, connection: Connection, provider: str, indexes: Sequence[int]) -> list[Recorded]:
    origin = logs.consent_origin(provider)
    # A log that has not grown needs no new signature: whatever is current covers the entries.
    age_ms = int(hub.settings.checkpoint_interval_s * 1000)
    checkpoint = checkpoints.refresh(connection, origin, hub.keys.log_key, now_ms=hub.clock(), max_age_ms=age_ms)
    size = open_checkpoint(checkpoint, hub.keys.public).size
    return [
        Recorded(
            provider=provider,
            origin=origin,
            log_index=index,
            checkpoint=checkpoint.encode(),
            path=path,
            entry=logs.read_leaf(connection, origin, index),
        )
        for index, (_, path) in zip(indexes, logs.inclusion_proofs(connection, origin, indexes, size), strict=True)
    ]


def newest_version(connection: Connection, record_id: str) -> ConsentsRow | None:
    """The row of a record's newest version, or None."""
    return connection.execute(_NEWEST_VERSION, {"record_id": record_id}).first()


def book_row(connection: Connection, row: ConsentsRow) -> ConsentRow:
    """A stored version as the book of consents takes it."""
    leaf = logs.read_leaf(connection, logs.consent_origin(row.provider), row.log_index)
    payload = SignedDocument.decode(leaf).payload
    consent = parse_consent(payload)
    return ConsentRow(
        record_id=row.record_id,
        uscc=row.uscc,
        terms=terms_of(consent),
        record_version=row.version,
        payload_sm3=sm3(payload),
        valid_from_ms=consent.limits.valid_from_ms,
        valid_to_ms=consent.limits.valid_to_ms,
        status=_STATUS[row.state],
        revoked_ms=row.ended_ms if row.state == WITHDRAWN else None,
        log_index=row.log_index,
    )


def _newest(connection: Connection, provider: str) -> int:
    return connection.execute(_NEWEST, {"provider": provider}).scalar() or 0
