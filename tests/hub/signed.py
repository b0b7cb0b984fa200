"""The members, enterprises and documents of the tests that run a real hub."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from consent.directory import PRODUCT_PUBLISHED_TYPE, ProductItem, ProductPublished
from consent.documents import (
    CONSENT_REQUEST_TYPE,
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
)
from trust.document import SignedDocument, sign_document

if TYPE_CHECKING:
    from tests.hub.live import Node

OPERATOR = "alice"
PROVIDER, BANK = "taxoffice", "firstbank"
PROVIDER_NODE, BANK_NODE = "taxoffice-1", "firstbank-1"
USCC, OTHER_USCC = "91110000Y00000016N", "92110108Y000000247"
ITEM = "tax_registration"
PRODUCT = "tax-basics"
DAY_MS = 86_400_000
NOTICE = NoticePart(notice_id="n-1", version="1", sm3="ab" * 32)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def fresh_id() -> str:
    return str(uuid.uuid4())


def consent(uscc: str = USCC, **changes: Any) -> ConsentDocument:
    document = ConsentDocument(
        record_id=fresh_id(),
        subject=SubjectPart(uscc=uscc, ent_name="测试企业", signatory_name="张三", signatory_role="legal_rep"),
        notice=NOTICE,
        purpose=PurposePart(purpose_code=Purpose.PRE_LOAN),
        scope=(ItemScope(item_id=ITEM, mode=ItemMode.Q),),
        recipients=Recipients(data_source=PROVIDER, data_users=(BANK,)),
        limits=Limits(valid_from_ms=now_ms(), valid_to_ms=now_ms() + 30 * DAY_MS, data_life_days=30),
        given_ms=now_ms(),
    )
    return msgspec.structs.replace(document, **changes)


def consent_request(node: Node, **changes: Any) -> SignedDocument:
    request = ConsentRequest(
        request_id=fresh_id(),
        requester=node.member_id,
        node_id=node.node_id,
        provider=PROVIDER,
        uscc=USCC,
        purpose=PurposePart(purpose_code=Purpose.PRE_LOAN),
        scope=(ItemScope(item_id=ITEM, mode=ItemMode.Q),),
        limits=Limits(valid_from_ms=now_ms(), valid_to_ms=now_ms() + DAY_MS, data_life_days=30),
        notice=NOTICE,
        reason="loan application",
        time_ms=now_ms(),
    )
    return sign_document(CONSENT_REQUEST_TYPE, encode(msgspec.structs.replace(request, **changes)), node.key)


def product(node: Node, *, modes: tuple[ItemMode, ...] = (ItemMode.Q,), **changes: Any) -> SignedDocument:
    entry = ProductPublished(
        product_id=PRODUCT,
        provider=node.member_id,
        title="Tax basics",
        items=(ProductItem(item_id=ITEM, modes=modes),),
        time_ms=now_ms(),
    )
    return sign_document(PRODUCT_PUBLISHED_TYPE, encode(msgspec.structs.replace(entry, **changes)), node.key)
