"""The documents of the directory log: what may be entered about members, nodes, keys and products.

Who may make which one, and what it has to fit, stands in `consent.directory`. Payload types are
``application/vnd.xinqiao.<name>+json``; times are milliseconds since the epoch (UTC); keys are in the text form of
`trust.sm2.PublicKey`, and only their form is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from consent.documents import (
    Document,
    FieldName,
    FreeText,
    ItemId,
    ItemMode,
    MemberId,
    ShortText,
    Sm3Hex,
    TimeMs,
    UsccText,
    payload_type,
)
from trust.sm2 import PublicKey

NodeId = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{1,40}\Z")]
KeyText = Annotated[str, msgspec.Meta(pattern=r"^04[0-9a-f]{128}\Z")]
MemberKind = Literal["government", "bank", "platform", "management"]


class MemberAdmitted(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation takes part."""

    member_id: MemberId
    name: ShortText
    kind: MemberKind
    uscc: UsccText | None = None
    time_ms: TimeMs
    operator: ShortText


class MemberSuspended(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation is excluded until it is admitted anew."""

    member_id: MemberId
    reason: FreeText
    time_ms: TimeMs
    operator: ShortText


class NodeEnrolled(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node's identity key, stated by itself."""

    node_id: NodeId
    member_id: MemberId
    identity_key: KeyText
    certificate_sm3: Sm3Hex | None = None
    time_ms: TimeMs


class NodeRevoked(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node is cut off for ever."""

    node_id: NodeId
    reason: FreeText
    time_ms: TimeMs
    operator: ShortText


class SubjectKey(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An enterprise's key, bound to its code by the operator who approved it."""

    uscc: UsccText
    ent_name: ShortText
    public_key: KeyText
    version: Annotated[int, msgspec.Meta(ge=1)]
    prev_key_id: ShortText | None = None
    time_ms: TimeMs
    operator: ShortText


class SubjectKeyRevoked(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An enterprise's key is lost or stolen."""

    uscc: UsccText
    key_id: ShortText
    reason: FreeText
    time_ms: TimeMs
    operator: ShortText


class OperatorKey(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator of the hub and the key that approves in the operator's name; `signer` let it in (None: the hub)."""

    operator: ShortText
    public_key: KeyText
    time_ms: TimeMs
    signer: ShortText | None = None


class OperatorRevoked(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator's key approves nothing any more; `signer` says so."""

    operator: ShortText
    key_id: ShortText
    reason: FreeText
    time_ms: TimeMs
    signer: ShortText


class ProductItem(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of a product: its modes and fields (none named: all)."""

    item_id: ItemId
    modes: Annotated[tuple[ItemMode, ...], msgspec.Meta(min_length=1, max_length=6)]
    fields: tuple[FieldName, ...] = ()

    def offers(self, item_id: str, mode: ItemMode, fields: Iterable[str]) -> bool:
        """Whether it lets this item be used in this mode, with these fields."""
        return item_id == self.item_id and mode in self.modes and (not self.fields or set(fields) <= set(self.fields))


class ProductPublished(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data product: items and modes that a provider offers."""

    product_id: NodeId
    provider: MemberId
    title: ShortText
    description: FreeText = ""
    items: Annotated[tuple[ProductItem, ...], msgspec.Meta(min_length=1, max_length=200)]
    version: Annotated[int, msgspec.Meta(ge=1)] = 1
    time_ms: TimeMs


class ProductWithdrawn(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider no longer offers a product."""

    product_id: NodeId
    provider: MemberId
    reason: FreeText = ""
    time_ms: TimeMs


MEMBER_ADMITTED_TYPE: Final = payload_type("member-admitted")
MEMBER_SUSPENDED_TYPE: Final = payload_type("member-suspended")
NODE_ENROLLED_TYPE: Final = payload_type("node-enrolled")
NODE_REVOKED_TYPE: Final = payload_type("node-revoked")
SUBJECT_KEY_TYPE: Final = payload_type("subject-key")
SUBJECT_KEY_REVOKED_TYPE: Final = payload_type("subject-key-revoked")
OPERATOR_KEY_TYPE: Final = payload_type("operator-key")
OPERATOR_REVOKED_TYPE: Final = payload_type("operator-revoked")
PRODUCT_PUBLISHED_TYPE: Final = payload_type("product-published")
PRODUCT_WITHDRAWN_TYPE: Final = payload_type("product-withdrawn")


# -- what the directory keeps of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An organisation in the directory."""

    member_id: str
    name: str
    kind: str
    uscc: str | None = None
    suspended_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A member's node and its identity key."""

    node_id: str
    member_id: str
    identity_key: PublicKey
    enrolled_ms: int
    revoked_ms: int | None = None
    index: int = 0

    @property
    def revoked(self) -> bool:
        """Whether it was cut off."""
        return self.revoked_ms is not None

    def active_at(self, at_ms: int) -> bool:
        """Whether it was not yet cut off at a time (milliseconds since the epoch)."""
        return self.revoked_ms is None or at_ms < self.revoked_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKeyVersion:
    """One key of an enterprise, valid from `from_ms` to `to_ms` (None: still)."""

    uscc: str
    ent_name: str
    key: PublicKey
    version: int
    from_ms: int
    to_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A published product."""

    published: ProductPublished
    withdrawn_ms: int | None = None
