"""Writing an entry into a provider's consent log: verified by the very rules that every node applies.

Rules:
1. An entry is countersigned and then checked by `consent.book.ConsentBook.check_entry` over the record that it touches. What
   a node would refuse (and take for an attack) therefore never reaches a log.
2. An entry is not dated ahead of the hub's clock by more than the setting allows: the dates of a log go forward only, and one
   from the future would shut out everybody after it. Nor behind it by more than the grace of the log: otherwise a stolen key could,
   after its end, still sign into its own time while the log is quiet (CLOCK_SKEW).
3. Entry, rows and inboxes are one transaction, and a checkpoint over them is signed in it: whoever hears of the entry can
   prove it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, text

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
    "ON CONFLICT (provider) DO UPDATE SET newest_ms = excluded.newest_ms"
)

ConsentsRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An entry of a consent log with a checkpoint that covers it (encoded) and the path in it.

    `fresh` is False where the very document had been recorded before.
    """

    provider: str
    origin: str
    log_index: int
    checkpoint: bytes
    path: tuple[bytes, ...]
    entry: bytes
    fresh: bool = True


def write_entry(
    hub: Hub, connection: Connection, provider: str, document: SignedDocument, *, about: Iterable[ConsentRow] = ()
) -> tuple[int, Change]:
    """Countersign, check and append an entry; returns its index and what it changed. Only inside `Database.write`.

    `about`: the record that it touches, as it stands. Raises SignatureInvalid, DocumentMalformed, ConsentConflict; HubError
    CLOCK_SKEW.
    """
    index, signed, change = check_entry(hub, connection, provider, document, about=about)
    if change.dated_ms and not hub.clock() - DATING_GRACE_MS <= change.dated_ms <= hub.clock():
        check_clock(hub, change.dated_ms, "the document")
    newest_ms = _newest(connection, provider)
    if change.dated_ms > newest_ms:
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


def proven(hub: Hub, connection: Connection, provider: str, index: int, *, fresh: bool = True) -> Recorded:
    """The entry with its proof under a checkpoint of now. Only inside `Database.write`."""
    origin = logs.consent_origin(provider)
    # An unchanged log needs no new signature: whatever is current covers the entry.
    age_ms = 0 if fresh else int(hub.settings.checkpoint_interval_s * 1000)
    checkpoint = checkpoints.refresh(connection, origin, hub.keys.log_key, now_ms=hub.clock(), max_age_ms=age_ms)
    size = open_checkpoint(checkpoint, hub.keys.public).size
    return Recorded(
        provider=provider,
        origin=origin,
        log_index=index,
        checkpoint=checkpoint.encode(),
        path=logs.inclusion_proof(connection, origin, index, size),
        entry=logs.read_leaf(connection, origin, index),
        fresh=fresh,
    )


def newest_version(connection: Connection, record_id: str) -> ConsentsRow | None:
    """The row of a record's newest version, or None."""
    wanted = select(consents).where(consents.c.record_id == record_id).order_by(consents.c.version.desc()).limit(1)
    return connection.execute(wanted).first()


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
    wanted = select(consent_heads.c.newest_ms).where(consent_heads.c.provider == provider)
    return connection.execute(wanted).scalar() or 0
