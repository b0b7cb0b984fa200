"""Receipts and their proofs: what was signed verifies, what was touched does not, and neighbours stay unseen."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.decision import ItemUse
from consent.documents import ExchangeMode, ItemMode, Purpose, encode
from consent.errors import ConsentError, DocumentMalformed
from consent.usage import (
    BATCH_TYPE,
    AccessRequest,
    BatchCommitment,
    BatchHead,
    DeletionAttestation,
    ExchangeRequest,
    Receipt,
    SignedReceipt,
    SubjectTree,
    SubjectUse,
    Ticket,
    make_batch,
    parse_access_request,
    parse_deletion,
    parse_exchange_request,
    parse_receipt,
    parse_signed_receipt,
    parse_ticket,
    policy_digest,
    verify_basis,
    verify_head,
    verify_in_batch,
    verify_receipt,
    verify_subject_use,
)
from tests.consent.builders import BANK, NOW, OTHER_USCC, PROVIDER, USCC, key, record_id
from trust.document import sign_document
from trust.errors import LogInconsistent, SignatureInvalid, TrustError
from trust.suite import sm3

EXCHANGE = record_id(77)
NODE = "taxoffice-1"


def receipt(number: int = 1, **changes: object) -> Receipt:
    """Return a receipt of one query."""
    made = Receipt(
        receipt_id=record_id(number),
        side="provider",
        exchange_id=EXCHANGE,
        request_no=number,
        user="wang",
        institution=BANK,
        node_id=NODE,
        time_ms=NOW,
        reason="loan application 7",
        items=("tax_registration",),
        fields=("tax_registration.status",),
        subject=USCC,
        purpose=Purpose.PRE_LOAN,
        consent_id=record_id(5),
        mode=ExchangeMode.QUERY,
        record_count=1,
        digest="ab" * 32,
        decision="permit",
    )
    return msgspec.structs.replace(made, **changes)


def batch(size: int) -> list[SignedReceipt]:
    return make_batch([receipt(n) for n in range(size)], key(NODE), node_id=NODE, time_ms=NOW)


EXCHANGE_REQUEST = ExchangeRequest(
    exchange_id=EXCHANGE,
    mode=ExchangeMode.QUERY,
    requester=BANK,
    requester_node="firstbank-1",
    provider=PROVIDER,
    product_id="tax-basics",
    items=(ItemUse(item_id="tax_registration", mode=ItemMode.Q),),
    purpose=Purpose.PRE_LOAN,
    reason="loan application 7",
    user="wang",
    time_ms=NOW,
    expires_ms=NOW + 60_000,
)
TICKET = Ticket(
    exchange_id=EXCHANGE,
    requester_node="firstbank-1",
    provider_node=NODE,
    mode=ExchangeMode.QUERY,
    policy_digest="ab" * 32,
    relay_address="localhost:1",
    expires_ms=NOW,
)
DELETION = DeletionAttestation(
    exchange_id=EXCHANGE,
    institution=BANK,
    node_id="firstbank-1",
    digest="ab" * 32,
    record_count=3,
    due_ms=NOW,
    deleted_ms=NOW,
    method="unlink",
)
ACCESS = AccessRequest(uscc=USCC, action="list-uses", body_sm3="ab" * 32, time_ms=NOW, nonce="cd" * 16)
Parser = Callable[[bytes], msgspec.Struct]
DOCUMENTS: list[tuple[msgspec.Struct, Parser]] = [
    (EXCHANGE_REQUEST, parse_exchange_request),
    (TICKET, parse_ticket),
    (receipt(), parse_receipt),
    (DELETION, parse_deletion),
    (ACCESS, parse_access_request),
]


@pytest.mark.parametrize(("document", "parser"), DOCUMENTS)
def test_a_document_comes_back_as_it_was_encoded(document: msgspec.Struct, parser: Parser) -> None:
    assert parser(encode(document)) == document


@pytest.mark.parametrize(("document", "parser"), DOCUMENTS)
@pytest.mark.parametrize("garbage", [b"", b"{}", b"null", b"\xff", b'{"surprise":1}'])
def test_garbage_ends_in_our_error(document: msgspec.Struct, parser: Parser, garbage: bytes) -> None:
    with pytest.raises(DocumentMalformed):
        parser(garbage)


@pytest.mark.parametrize(
    ("document", "parser", "changes"),
    [
        (EXCHANGE_REQUEST, parse_exchange_request, {"expires_ms": NOW}),
        (EXCHANGE_REQUEST, parse_exchange_request, {"items": ()}),
        (EXCHANGE_REQUEST, parse_exchange_request, {"reason": ""}),
        (EXCHANGE_REQUEST, parse_exchange_request, {"user": ""}),
        (EXCHANGE_REQUEST, parse_exchange_request, {"exchange_id": "7"}),
        (TICKET, parse_ticket, {"policy_digest": "xy"}),
        (receipt(), parse_receipt, {"subject": ""}),
        (receipt(), parse_receipt, {"subject": "someone"}),
        (receipt(), parse_receipt, {"subject": USCC + "\n"}),
        (receipt(), parse_receipt, {"batch": BatchCommitment(root="ab" * 32, size=2)}),
        (receipt(), parse_receipt, {"side": "hub"}),
        (receipt(), parse_receipt, {"digest": "plaintext value"}),
        (receipt(), parse_receipt, {"user": ""}),
        (receipt(), parse_receipt, {"reason": ""}),
        (receipt(), parse_receipt, {"record_count": -1}),
        (receipt(), parse_receipt, {"items": ("a b",)}),
        (DELETION, parse_deletion, {"deleted_ms": -1}),
        (ACCESS, parse_access_request, {"nonce": "cd"}),
        (ACCESS, parse_access_request, {"uscc": "me"}),
        (ACCESS, parse_access_request, {"body_sm3": "AB" * 32}),
    ],
)
def test_a_value_out_of_bounds_is_refused(document: msgspec.Struct, parser: Parser, changes: dict[str, object]) -> None:
    with pytest.raises(DocumentMalformed):
        parser(encode(msgspec.structs.replace(document, **changes)))


@pytest.mark.parametrize(
    ("mode", "decision", "basis", "good"),
    [
        (ExchangeMode.PSI_ROWS, "permit", "PIPL art. 13 (3)", True),
        (ExchangeMode.PSI_SIZE, "permit", None, False),
        (ExchangeMode.PSI_SIZE, "PSI_NOT_PERMITTED", None, True),
        (ExchangeMode.PSI_SIZE, "PSI_NOT_PERMITTED", "PIPL art. 13 (3)", False),
        (ExchangeMode.JOINT, "permit", "PIPL art. 13 (3)", False),
        (ExchangeMode.JOINT, "permit", None, True),
    ],
)
def test_a_receipt_names_a_legal_basis_where_sets_were_compared_and_nowhere_else(
    mode: ExchangeMode, decision: str, basis: str | None, good: bool
) -> None:
    payload = encode(receipt(mode=mode, decision=decision, legal_basis=basis))
    if good:
        assert parse_receipt(payload).legal_basis == basis
    else:
        with pytest.raises(DocumentMalformed, match="legal basis"):
            parse_receipt(payload)


@pytest.mark.parametrize("consent", [record_id(5), ""])
@pytest.mark.parametrize("basis", [None, "PIPL art. 13 (3)"])
def test_a_part_of_a_batch_stands_on_a_consent_or_on_another_legal_basis(consent: str, basis: str | None) -> None:
    part = SubjectUse(uscc=USCC, consent_id=consent, record_count=1, salt="0f" * 16)
    told = receipt(legal_basis=basis)
    if bool(consent) != (basis is not None):
        verify_basis(part, told)
    else:
        with pytest.raises(DocumentMalformed):
            verify_basis(part, told)


def test_the_policy_digest_is_of_the_bytes_as_they_were_signed() -> None:
    payload = encode(EXCHANGE_REQUEST)
    assert policy_digest(payload) == sm3(payload)
    assert policy_digest(payload + b" ") != policy_digest(payload)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 257])
def test_every_receipt_of_a_batch_verifies_alone(size: int) -> None:
    signed = batch(size)
    assert [verify_receipt(each.encode(), key(NODE).public) for each in signed] == [receipt(n) for n in range(size)]


def test_one_signature_serves_the_whole_batch() -> None:
    signed = batch(5)
    assert len({each.head for each in signed}) == 1
    head = verify_head(signed[0].head, key(NODE).public)
    assert head.size == 5
    for each in signed:
        verify_in_batch(*parse_signed_receipt(each.encode()), head)


@pytest.mark.parametrize("receipts", [[], [receipt()] * 100_001])
def test_a_batch_out_of_bounds_is_refused_before_anything_is_signed(receipts: list[Receipt]) -> None:
    with pytest.raises(ValueError, match="1 to 100000"):
        make_batch(receipts, key(NODE), node_id=NODE, time_ms=NOW)


def test_the_receipt_of_another_key_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        verify_receipt(batch(2)[0].encode(), key("thief").public)


def test_a_node_cannot_sign_a_receipt_in_the_name_of_another() -> None:
    forged = make_batch([receipt(node_id="firstbank-1")], key(NODE), node_id=NODE, time_ms=NOW)[0]
    with pytest.raises(DocumentMalformed, match="firstbank-1"):
        verify_receipt(forged.encode(), key(NODE).public)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda one, other: msgspec.structs.replace(one, receipt=other.receipt),
        lambda one, other: msgspec.structs.replace(one, receipt=encode(receipt(1, record_count=2))),
        lambda one, other: msgspec.structs.replace(one, index=other.index),
        lambda one, other: msgspec.structs.replace(one, index=1000),
        lambda one, other: msgspec.structs.replace(one, path=other.path),
        lambda one, other: msgspec.structs.replace(one, path=()),
        lambda one, other: msgspec.structs.replace(one, path=(*one.path, b"\x00" * 32)),
        lambda one, other: msgspec.structs.replace(one, path=(b"short", *one.path[1:])),
        lambda one, other: msgspec.structs.replace(one, head=batch(3)[0].head),
    ],
)
def test_a_receipt_that_was_touched_is_refused(tamper: Callable[[SignedReceipt, SignedReceipt], SignedReceipt]) -> None:
    one, other, *_ = batch(4)
    with pytest.raises(LogInconsistent):
        verify_receipt(tamper(one, other).encode(), key(NODE).public)


def test_a_head_under_another_type_is_refused() -> None:
    head = sign_document(
        "application/vnd.xinqiao.something+json",
        encode(BatchHead(node_id=NODE, size=1, root="ab" * 32, time_ms=NOW)),
        key(NODE),
    )
    assert head.payload_type != BATCH_TYPE
    with pytest.raises(SignatureInvalid):
        verify_head(head.encode(), key(NODE).public)


LEAF = batch(3)[1].encode()


@given(at=st.integers(0, len(LEAF) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_leaf_is_refused_or_changes_nothing(at: int, bit: int) -> None:
    damaged = bytearray(LEAF)
    damaged[at] ^= 1 << bit
    try:
        verified = verify_receipt(bytes(damaged), key(NODE).public)
    except (ConsentError, TrustError):
        return
    assert verified == receipt(1)  # only spare bits of a base64 end can be flipped unseen


def uses(count: int) -> list[bytes]:
    """Return the encoded parts of `count` subjects, each with its own salt."""
    return [
        encode(
            SubjectUse(uscc=USCC if n % 2 else OTHER_USCC, consent_id=record_id(n), record_count=n, salt=f"{n:032x}")
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 5, 300])
def test_every_subject_of_a_batch_proves_its_own_part(count: int) -> None:
    parts = uses(count)
    tree = SubjectTree(parts)
    assert tree.commitment.size == count
    for index, part in enumerate(parts):
        assert verify_subject_use(part, index, tree.path(index), tree.commitment).record_count == index


def test_a_part_that_was_changed_moved_or_of_another_batch_is_refused() -> None:
    parts = uses(5)
    tree = SubjectTree(parts)
    changed = parts[2].replace(b'"record_count":2', b'"record_count":9')
    assert changed != parts[2]
    for part, index, commitment in (
        (changed, 2, tree.commitment),
        (parts[2], 3, tree.commitment),
        (parts[2], 2, SubjectTree(uses(6)).commitment),
        (parts[2], 2, msgspec.structs.replace(tree.commitment, size=9)),
    ):
        with pytest.raises(LogInconsistent):
            verify_subject_use(part, index, tree.path(2), commitment)


def test_a_proof_shows_hashes_only() -> None:
    parts = uses(5)
    shown = b"".join(SubjectTree(parts).path(2))
    assert len(shown) % 32 == 0
    assert USCC.encode() not in shown and OTHER_USCC.encode() not in shown
