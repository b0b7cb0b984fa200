"""What the tests of consent build on: valid documents to vary, and a small world of real keys and signed entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Final

import msgspec

from consent.book import Change, ConsentBook
from consent.directory import (
    Directory,
    MemberAdmitted,
    NodeEnrolled,
    OperatorKey,
    SubjectKey,
)
from consent.documents import (
    ConsentDocument,
    ConsentRequest,
    ItemMode,
    ItemScope,
    Limits,
    NoticePart,
    Purpose,
    PurposePart,
    Recipients,
    SubjectPart,
    encode,
    payload_type,
)
from trust.document import SignedDocument, countersign, sign_document
from trust.sm2 import PrivateKey

NOW: Final = 1_760_000_000_000
DAY: Final = 86_400_000
USCC: Final = "91110000Y00000016N"
OTHER_USCC: Final = "92110108Y000000247"
PROVIDER: Final = "taxoffice"
BANK: Final = "firstbank"
RECORD: Final = "00000000-0000-4000-8000-000000000001"
REQUEST: Final = "00000000-0000-4000-8000-0000000000aa"
NOTICE: Final = NoticePart(notice_id="n-1", version="1", sm3="ab" * 32)


@cache
def key(name: str) -> PrivateKey:
    """Return the key of this name, the same one every time it is asked for."""
    return PrivateKey.generate()


def record_id(number: int) -> str:
    """Return the number as a UUID."""
    return f"00000000-0000-4000-8000-{number:012x}"


def consent(**changes: object) -> ConsentDocument:
    """Return a valid first version of a consent, with the given parts replaced."""
    document = ConsentDocument(
        record_id=RECORD,
        subject=SubjectPart(uscc=USCC, ent_name="测试企业", signatory_name="张三", signatory_role="legal_rep"),
        notice=NOTICE,
        purpose=PurposePart(purpose_code=Purpose.PRE_LOAN),
        scope=(ItemScope(item_id="tax_registration", mode=ItemMode.Q),),
        recipients=Recipients(data_source=PROVIDER, data_users=(BANK,)),
        limits=Limits(valid_from_ms=NOW, valid_to_ms=NOW + 30 * DAY, data_life_days=30),
        given_ms=NOW,
    )
    return msgspec.structs.replace(document, **changes)


def request(**changes: object) -> ConsentRequest:
    """Return a valid request for a consent, with the given parts replaced."""
    document = ConsentRequest(
        request_id=REQUEST,
        requester=BANK,
        node_id="firstbank-1",
        provider=PROVIDER,
        uscc=USCC,
        purpose=PurposePart(purpose_code=Purpose.PRE_LOAN),
        scope=(ItemScope(item_id="tax_registration", mode=ItemMode.Q),),
        limits=Limits(valid_from_ms=NOW, valid_to_ms=NOW + 30 * DAY, data_life_days=30),
        notice=NOTICE,
        reason="loan application 7",
        time_ms=NOW,
    )
    return msgspec.structs.replace(document, **changes)


def signed(name: str, document: msgspec.Struct, signer: str, *, hub: str | None = "hub") -> SignedDocument:
    """Sign a document by the key of that name, countersigned by the hub unless `hub` is None."""
    made = sign_document(payload_type(name), encode(document), key(signer))
    return made if hub is None else countersign(made, key(hub))


@dataclass
class World:
    """A directory with an operator, a provider, a bank with a node, and two enterprises: the honest beginning."""

    directory: Directory = field(default_factory=Directory)
    entries: list[SignedDocument] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.enter("operator-key", OperatorKey(operator="op", public_key=public("operator"), time_ms=NOW), "hub")
        for member, kind in ((PROVIDER, "government"), (BANK, "bank")):
            self.enter("member-admitted", admitted(member, kind), "operator")
        for node, member in (("taxoffice-1", PROVIDER), ("firstbank-1", BANK)):
            self.enter("node-enrolled", enrolled(node, member), node)
        for uscc in (USCC, OTHER_USCC):
            self.enter("subject-key", subject_key(uscc), "operator")

    def enter(self, name: str, document: msgspec.Struct, signer: str, *, hub: str | None = "hub") -> None:
        """Apply the next entry of the directory log."""
        entry = signed(name, document, signer, hub=hub)
        self.directory.apply(self.directory.size, entry, key("hub").public)
        self.entries.append(entry)


def public(name: str) -> str:
    """Return the text form of a named key's public half."""
    return key(name).public.encode()


def admitted(member_id: str, kind: str) -> MemberAdmitted:
    """Return an admission."""
    return MemberAdmitted(member_id=member_id, name=member_id, kind=kind, time_ms=NOW, operator="op")  # type: ignore[arg-type]


def enrolled(node_id: str, member_id: str, key_name: str | None = None) -> NodeEnrolled:
    """Return an enrolment of a node with the key of its name."""
    return NodeEnrolled(node_id=node_id, member_id=member_id, identity_key=public(key_name or node_id), time_ms=NOW)


def subject_key(uscc: str, **changes: object) -> SubjectKey:
    """Return the first key of an enterprise, the one named like its code."""
    document = SubjectKey(
        uscc=uscc, ent_name="测试企业", public_key=public(uscc), version=1, time_ms=NOW, operator="op"
    )
    return msgspec.structs.replace(document, **changes)


class Log:
    """A consent log as it grows, and the book that follows it."""

    def __init__(self) -> None:
        self.world = World()
        self.book = ConsentBook(PROVIDER)
        self.size = 0

    def enter(self, name: str, document: msgspec.Struct, signer: str = USCC, *, hub: str | None = "hub") -> Change:
        return self.apply(signed(name, document, signer, hub=hub))

    def apply(self, entry: SignedDocument) -> Change:
        change = self.book.apply_entry(self.size, entry, self.world.directory, key("hub").public)
        self.size += 1
        return change
