"""Data products: published by their provider, reviewed by an operator, withdrawn by the provider.

Rules:
1. A provider publishes its own products only, signed by the calling node (PERMISSION_DENIED, SIGNATURE_INVALID); an
   identifier belongs to whoever used it first (CONSENT_CONFLICT).
2. A version is higher than every one before (CONSENT_CONFLICT); the same document again changes nothing. A version that waits
   for review is replaced by a newer one.
3. A product is on offer once an operator has approved it: then its entry is in the directory, checked by the directory's own
   rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, insert, select, update

from consent.directory import PRODUCT_PUBLISHED_TYPE, PRODUCT_WITHDRAWN_TYPE, ProductPublished, ProductWithdrawn
from consent.documents import parse
from hub.auth import Caller
from hub.errors import HubError
from hub.logs import service as logs
from hub.products.tables import products
from hub.state import Hub
from trust.document import SignedDocument, verify_document
from trust.suite import sm3

PENDING, PUBLISHED, REJECTED, WITHDRAWN = "pending_review", "published", "rejected", "withdrawn"
MAX_REASON: Final = 1000
D = TypeVar("D", ProductPublished, ProductWithdrawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A version of a product (the signed document, encoded) and where it stands."""

    product_id: str
    document: bytes
    state: str
    reason: str


def publish(hub: Hub, connection: Connection, who: Caller, document: SignedDocument) -> Listed:
    """Leave a version of a product for review. Only inside `Database.write`.

    Raises HubError INVALID_ARGUMENT, PERMISSION_DENIED, CONSENT_CONFLICT; SignatureInvalid, DocumentMalformed.
    """
    entry = _own(hub, connection, who, document, PRODUCT_PUBLISHED_TYPE, ProductPublished)
    digest = sm3(document.payload).hex()
    newest = _newest(connection, entry.product_id)
    if newest is not None and newest.payload_sm3 == digest:
        return _listed(newest)
    if newest is not None and newest.provider != entry.provider:
        raise HubError("CONSENT_CONFLICT", f"product {entry.product_id} is another provider's; choose another name")
    if newest is not None and entry.version <= newest.version:
        raise HubError(
            "CONSENT_CONFLICT", f"product {entry.product_id} has version {newest.version} already; raise the version"
        )
    same = products.c.product_id == entry.product_id
    replaced = {"state": REJECTED, "reason": f"replaced by version {entry.version}"}
    connection.execute(update(products).where(same, products.c.state == PENDING).values(**replaced))
    row = {
        "product_id": entry.product_id,
        "version": entry.version,
        "provider": entry.provider,
        "state": PENDING,
        "reason": "",
        "payload_sm3": digest,
        "document": document.encode(),
        "time_ms": hub.clock(),
    }
    connection.execute(insert(products), row)
    return Listed(product_id=entry.product_id, document=document.encode(), state=PENDING, reason="")


def review(hub: Hub, connection: Connection, product_id: str, *, approve: bool, reason: str = "") -> int | None:
    """Publish or reject the version that waits; returns the directory index of a published one.

    Only inside `Database.write`. Raises HubError NOT_FOUND, WRONG_STATE; DirectoryRule, SignatureInvalid.
    """
    newest = _newest(connection, product_id)
    if newest is None:
        raise HubError("NOT_FOUND", f"there is no product {product_id[:60]!r}; list those that wait")
    if newest.state != PENDING:
        raise HubError("WRONG_STATE", f"product {product_id} is {newest.state}; only one that waits can be reviewed")
    if not approve:
        _set(connection, newest, state=REJECTED, reason=reason[:MAX_REASON])
        return None
    index = hub.directory.append(connection, SignedDocument.decode(bytes(newest.document)))
    same = products.c.product_id == product_id
    connection.execute(update(products).where(same, products.c.state == PUBLISHED).values(state=WITHDRAWN))
    entry = logs.read_leaf(connection, logs.DIRECTORY, index)
    _set(connection, newest, state=PUBLISHED, reason=reason[:MAX_REASON], document=entry)
    return index


def withdraw(hub: Hub, connection: Connection, who: Caller, document: SignedDocument) -> Listed:
    """Take a product off offer, or back from review. Only inside `Database.write`.

    Raises HubError NOT_FOUND, PERMISSION_DENIED; SignatureInvalid, DocumentMalformed.
    """
    entry = _own(hub, connection, who, document, PRODUCT_WITHDRAWN_TYPE, ProductWithdrawn)
    newest = _newest(connection, entry.product_id)
    if newest is None or newest.provider != who.member_id:
        raise HubError("NOT_FOUND", f"there is no product {entry.product_id} of yours; list your products")
    on_offer = hub.directory.in_write(connection).product(entry.product_id)
    if on_offer is not None and on_offer.withdrawn_ms is None:
        hub.directory.append(connection, document)
    same = products.c.product_id == entry.product_id
    values = {"state": WITHDRAWN, "reason": entry.reason}
    connection.execute(update(products).where(same, products.c.state.in_([PENDING, PUBLISHED])).values(**values))
    return _listed(_newest(connection, entry.product_id) or newest)


def visible_to(connection: Connection, member_id: str) -> list[Listed]:
    """Published products, and the newest version of a member's own in every state."""
    newest: dict[str, Row[*tuple[Any, ...]]] = {}
    seen = (products.c.state == PUBLISHED) | (products.c.provider == member_id)
    for row in connection.execute(select(products).where(seen).order_by(products.c.product_id, products.c.version)):
        newest[row.product_id if row.state != PUBLISHED else f"{row.product_id}/{PUBLISHED}"] = row
    return [_listed(row) for row in newest.values()]


def published(connection: Connection) -> list[bytes]:
    """The directory's entries of the products on offer."""
    wanted = select(products.c.document).where(products.c.state == PUBLISHED).order_by(products.c.product_id)
    return [bytes(document) for document in connection.execute(wanted).scalars()]


def pending(connection: Connection) -> list[bytes]:
    """The documents that wait for review, oldest first."""
    wanted = select(products.c.document).where(products.c.state == PENDING).order_by(products.c.time_ms)
    return [bytes(document) for document in connection.execute(wanted).scalars()]


def _own(
    hub: Hub, connection: Connection, who: Caller, document: SignedDocument, payload_type: str, kind: type[D]
) -> D:
    """Rule 1: the document is of this type, of the caller's member, and signed by the calling node alone."""
    if document.payload_type != payload_type or len(document.signatures) != 1:
        raise HubError("INVALID_ARGUMENT", f"send a {payload_type} with the signature of the calling node alone")
    entry = parse(document.payload, kind)
    if entry.provider != who.member_id:
        raise HubError("PERMISSION_DENIED", f"the product is of {entry.provider}; a provider publishes its own only")
    node = hub.directory.in_write(connection).node(who.node_id)
    if node is None:
        raise HubError("UNAUTHENTICATED")
    verify_document(document, payload_type, node.identity_key)
    return entry


def _newest(connection: Connection, product_id: str) -> Row[*tuple[Any, ...]] | None:
    wanted = select(products).where(products.c.product_id == product_id).order_by(products.c.version.desc()).limit(1)
    return connection.execute(wanted).first()


def _set(connection: Connection, row: Row[*tuple[Any, ...]], **values: object) -> None:
    own = (products.c.product_id == row.product_id) & (products.c.version == row.version)
    connection.execute(update(products).where(own).values(**values))


def _listed(row: Row[*tuple[Any, ...]]) -> Listed:
    return Listed(product_id=row.product_id, document=bytes(row.document), state=row.state, reason=row.reason)
