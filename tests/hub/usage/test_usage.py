from __future__ import annotations

import asyncio
import secrets
from typing import Any

import msgspec
import pytest
from xinqiao.v1 import admin_pb2, node_pb2, public_pb2

from consent.directory import NODE_ENROLLED_TYPE, NodeEnrolled
from consent.documents import ExchangeMode, Purpose, encode, parse
from consent.usage import (
    DELETION_TYPE,
    DeletionAttestation,
    Receipt,
    SignedReceipt,
    SubjectTree,
    SubjectUse,
    make_batch,
    verify_receipt,
    verify_subject_use,
)
from hub.logs import service as logs
from tests.hub.live import (
    BANK,
    ITEM,
    OTHER_USCC,
    USCC,
    LiveHub,
    Node,
    admin_stub,
    fresh_id,
    now_ms,
    refused_with,
)
from trust.checkpoint import open_checkpoint
from trust.document import SignedDocument, sign_document, verify_document
from trust.merkle import leaf_hash, verify_consistency, verify_inclusion
from trust.sm2 import PublicKey


def receipt(node: Node, side: str = "provider", **changes: Any) -> Receipt:
    made = Receipt(
        receipt_id=fresh_id(),
        side=side,  # type: ignore[arg-type]
        exchange_id=fresh_id(),
        request_no=1,
        user="clerk",
        institution=node.member_id,
        node_id=node.node_id,
        time_ms=now_ms(),
        reason="loan application",
        items=(ITEM,),
        subject=USCC,
        purpose=Purpose.PRE_LOAN,
        consent_id=fresh_id(),
        mode=ExchangeMode.QUERY,
        record_count=1,
        digest="ab" * 32,
        decision="permit",
    )
    return msgspec.structs.replace(made, **changes)


def batch(node: Node, receipts: list[Receipt]) -> list[bytes]:
    return [one.encode() for one in make_batch(receipts, node.key, node_id=node.node_id, time_ms=now_ms())]


async def send(node: Node, leaves: list[bytes]) -> list[int]:
    reply = await node.usage.SubmitReceipts(node_pb2.SubmitReceiptsRequest(signed_receipts=leaves))
    return list(reply.indexes)


async def submit(node: Node, *receipts: Receipt) -> list[int]:
    return await send(node, batch(node, list(receipts)))


async def uses(live: LiveHub, uscc: str = USCC, after: int = 0, limit: int = 0) -> public_pb2.ListUsesReply:
    """A page of uses, once the checkpoint covers everything that is there."""
    size = await live.hub.db.read(lambda read: logs.size(read, logs.USAGE))
    while True:
        request = public_pb2.ListUsesRequest(
            access_request=live.access(uscc, "list-uses"), after_index=after, limit=limit
        )
        page = await live.subjects.ListUses(request)
        if open_checkpoint(SignedDocument.decode(page.checkpoint), live.hub.keys.public).size == size:
            return page
        await asyncio.sleep(0.05)


def check_page(live: LiveHub, page: public_pb2.ListUsesReply) -> list[Receipt]:
    """What an enterprise verifies of a page, from the hub's key and the page alone."""
    hub_key = live.hub.keys.public
    head = open_checkpoint(SignedDocument.decode(page.checkpoint), hub_key)
    keys: dict[str, PublicKey] = {}
    for encoded in page.nodes:
        document = SignedDocument.decode(encoded)
        verify_document(document, NODE_ENROLLED_TYPE, hub_key)
        entry = parse(document.payload, NodeEnrolled)
        keys[entry.node_id] = PublicKey.decode(entry.identity_key)
    found = []
    for use in page.uses:
        verify_inclusion(leaf_hash(use.signed_receipt), use.log_index, head.size, tuple(use.path), head.root)
        node_id = msgspec.json.decode(parse(use.signed_receipt, SignedReceipt).receipt)["node_id"]
        found.append(verify_receipt(use.signed_receipt, keys[node_id]))
    return found


async def test_an_enterprise_sees_every_use_of_its_data_with_proofs_and_nothing_of_others(live: LiveHub) -> None:
    mine = [receipt(live.provider, request_no=number) for number in range(3)]
    indexes = await submit(live.provider, mine[0], receipt(live.provider, subject=OTHER_USCC), *mine[1:])
    assert indexes == [0, 1, 2, 3]
    page = await uses(live)
    assert check_page(live, page) == mine
    assert (page.more, [use.log_index for use in page.uses]) == (False, [0, 2, 3])


async def test_a_receipt_is_recorded_once_however_often_it_is_sent(live: LiveHub) -> None:
    made = [receipt(live.provider) for _ in range(3)]
    first = await submit(live.provider, *made)
    assert await submit(live.provider, made[2], made[0], receipt(live.provider)) == [first[2], first[0], 3]
    assert await submit(live.provider, *made, *made) == first * 2
    other = msgspec.structs.replace(made[0], decision="NO_CONSENT")
    async with refused_with("ALREADY_EXISTS"):
        await submit(live.provider, other)
    assert await live.hub.db.read(lambda read: logs.size(read, logs.USAGE)) == 4


async def test_a_receipt_without_its_twin_is_shown_to_the_management_institution(live: LiveHub) -> None:
    exchange_id, lonely = fresh_id(), receipt(live.provider)
    await submit(live.provider, receipt(live.provider, exchange_id=exchange_id), lonely)
    await submit(live.bank, receipt(live.bank, "requester", exchange_id=exchange_id))
    page = await uses(live)
    assert [use.twin_present for use in page.uses] == [True, False, True]
    stub, channel = admin_stub(live)
    await asyncio.sleep(0.01)
    reply = await stub.ListUnmatchedReceipts(admin_pb2.ListUnmatchedReceiptsRequest(older_than_s=0))
    assert [verify_receipt(one, live.provider.key.public) for one in reply.signed_receipts] == [lonely]
    recent = await stub.ListUnmatchedReceipts(admin_pb2.ListUnmatchedReceiptsRequest(older_than_s=60))
    assert not recent.signed_receipts
    await channel.close()


async def test_pages_follow_each_other_without_gap_or_repetition(live: LiveHub) -> None:
    made = [receipt(live.provider, request_no=number) for number in range(7)]
    await submit(live.provider, *made)
    seen: list[Receipt] = []
    after, more = 0, True
    while more:
        page = await uses(live, after=after, limit=1)
        seen += check_page(live, page)
        after, more = page.uses[-1].log_index, page.more
    assert seen == made


@pytest.mark.parametrize("spoil", ["signature", "path", "node", "institution", "side", "user", "nonsense"])
async def test_receipts_that_do_not_verify_are_refused_and_none_of_the_call_is_recorded(
    sqlite_live: LiveHub, spoil: str
) -> None:
    live = sqlite_live
    good = receipt(live.provider)
    leaves = batch(live.provider, [good, receipt(live.provider)])
    code = "PERMISSION_DENIED"
    if spoil == "signature":
        leaves[1], code = (
            make_batch([good], live.bank.key, node_id=good.node_id, time_ms=1)[0].encode(),
            "SIGNATURE_INVALID",
        )
    elif spoil == "path":
        signed = msgspec.json.decode(leaves[1], type=SignedReceipt)
        leaves[1], code = msgspec.structs.replace(signed, path=(bytes(32),)).encode(), "INVALID_ARGUMENT"
    elif spoil == "node":
        leaves += batch(live.bank, [receipt(live.bank)])
    elif spoil == "institution":
        leaves += batch(live.provider, [receipt(live.provider, "requester", institution=BANK)])
    elif spoil in {"side", "user"}:
        await live.provider.connect()
        await live.give_consent()
        opened = await live.bank.open_exchange()
        side = "requester" if spoil == "side" else "provider"
        leaves += batch(live.provider, [receipt(live.provider, side, exchange_id=opened.exchange_id)])
    else:
        leaves[1], code = b"{}", "INVALID_ARGUMENT"
    async with refused_with(code):
        await send(live.provider, leaves)
    assert await live.hub.db.read(lambda read: logs.size(read, logs.USAGE)) == 0


async def test_a_providers_receipt_names_the_requesting_institution_as_user(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    await live.provider.connect()
    await live.give_consent()
    opened = await live.bank.open_exchange()
    made = receipt(live.provider, exchange_id=opened.exchange_id, institution=BANK)
    assert await submit(live.provider, made) == [0]


async def test_too_many_receipts_in_one_call_are_refused(sqlite_live: LiveHub) -> None:
    async with refused_with("TOO_LARGE"):
        await send(sqlite_live.provider, [b"x"] * 1001)


def subject_uses(*usccs: str) -> list[bytes]:
    return [
        encode(SubjectUse(uscc=uscc, consent_id=fresh_id(), record_count=1, salt=secrets.token_hex(16)))
        for uscc in usccs
    ]


def batch_receipt(node: Node, parts: list[bytes], **changes: Any) -> Receipt:
    return receipt(
        node, subject="", consent_id=None, mode=ExchangeMode.RAW, batch=SubjectTree(parts).commitment, **changes
    )


async def name_subjects(node: Node, receipt_id: str, first: int, parts: list[bytes]) -> None:
    request = node_pb2.SubmitBatchSubjectsRequest(receipt_id=receipt_id, first_index=first, subject_uses=parts)
    await node.usage.SubmitBatchSubjects(request)


async def test_a_subject_of_a_batch_is_shown_its_own_part_with_both_proofs(live: LiveHub) -> None:
    parts = subject_uses(*[OTHER_USCC] * 300, USCC, *[OTHER_USCC] * 99)
    made = batch_receipt(live.provider, parts)
    await submit(live.provider, made)
    await name_subjects(live.provider, made.receipt_id, 0, parts[:250])
    assert not (await uses(live)).uses, "an incomplete batch is not shown"
    await name_subjects(live.provider, made.receipt_id, 0, parts[:250])
    await name_subjects(live.provider, made.receipt_id, 200, parts[200:])
    page = await uses(live)
    assert check_page(live, page) == [made]
    (use,) = page.uses
    assert made.batch is not None
    part = verify_subject_use(use.subject_use, use.subject_index, tuple(use.subject_path), made.batch)
    assert (part.uscc, use.subject_index) == (USCC, 300)


async def test_subjects_that_the_receipt_does_not_commit_to_are_dropped_and_can_be_sent_again(live: LiveHub) -> None:
    parts = subject_uses(USCC, OTHER_USCC)
    made = batch_receipt(live.provider, parts)
    await submit(live.provider, made)
    async with refused_with("SIGNATURE_INVALID"):
        await name_subjects(live.provider, made.receipt_id, 0, subject_uses(USCC, USCC))
    assert not (await uses(live)).uses
    await name_subjects(live.provider, made.receipt_id, 0, parts)
    assert len((await uses(live)).uses) == 1


async def test_only_the_node_that_gave_names_the_subjects_and_without_gaps(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    parts = subject_uses(USCC, OTHER_USCC)
    made, single = batch_receipt(live.provider, parts), receipt(live.provider)
    await submit(live.provider, made, single)
    attempts = [
        (live.bank, made.receipt_id, 0, parts, "NOT_FOUND"),
        (live.provider, single.receipt_id, 0, parts, "NOT_FOUND"),
        (live.provider, fresh_id(), 0, parts, "NOT_FOUND"),
        (live.provider, made.receipt_id, 1, parts[1:], "INVALID_ARGUMENT"),
        (live.provider, made.receipt_id, 0, [*parts, parts[0]], "INVALID_ARGUMENT"),
        (live.provider, made.receipt_id, 0, [b"nonsense"], "INVALID_ARGUMENT"),
        (live.provider, made.receipt_id, 0, parts * 2501, "TOO_LARGE"),
    ]
    for node, receipt_id, first, named, code in attempts:
        async with refused_with(code):
            await name_subjects(node, receipt_id, first, named)


def attestation(node: Node, **changes: Any) -> SignedDocument:
    entry = DeletionAttestation(
        exchange_id=fresh_id(),
        institution=node.member_id,
        node_id=node.node_id,
        digest="cd" * 32,
        record_count=3,
        due_ms=now_ms(),
        deleted_ms=now_ms(),
        method="unlink",
    )
    return sign_document(DELETION_TYPE, encode(msgspec.structs.replace(entry, **changes)), node.key)


async def test_a_deletion_is_attested_once_in_the_usage_log(live: LiveHub) -> None:
    document = attestation(live.bank)
    request = node_pb2.SubmitDeletionRequest(attestation=document.encode())
    first, again = await live.bank.usage.SubmitDeletion(request), await live.bank.usage.SubmitDeletion(request)
    assert first.log_index == again.log_index == 0
    assert await live.hub.db.read(lambda read: logs.read_leaf(read, logs.USAGE, 0)) == document.encode()
    async with refused_with("PERMISSION_DENIED"):
        await live.provider.usage.SubmitDeletion(request)
    forged = sign_document(DELETION_TYPE, attestation(live.bank).payload, live.provider.key)
    async with refused_with("SIGNATURE_INVALID"):
        await live.bank.usage.SubmitDeletion(node_pb2.SubmitDeletionRequest(attestation=forged.encode()))


async def test_two_heads_of_the_usage_log_are_proved_consistent(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    await submit(live.provider, *[receipt(live.provider) for _ in range(3)])
    old = open_checkpoint(SignedDocument.decode((await uses(live)).checkpoint), live.hub.keys.public)
    await submit(live.provider, *[receipt(live.provider) for _ in range(4)])
    new = open_checkpoint(SignedDocument.decode((await uses(live)).checkpoint), live.hub.keys.public)
    request = public_pb2.ConsistencyRequest(old_size=old.size, new_size=new.size)
    reply = await live.subjects.GetUsageConsistency(request)
    verify_consistency(old.size, new.size, tuple(reply.path), old.root, new.root)
    async with refused_with("PROOF_OUT_OF_RANGE"):
        await live.subjects.GetUsageConsistency(public_pb2.ConsistencyRequest(old_size=1, new_size=99))
