from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from xinqiao.v1 import node_pb2, public_pb2

from consent.audit_entries import EntryProof, verify_acknowledgement, verify_entry
from consent.book import DATING_GRACE_MS
from consent.documents import (
    CONSENT_REFUSAL_TYPE,
    ConsentRefusal,
    ItemMode,
    ItemScope,
    Limits,
    Recipients,
    encode,
    parse_consent,
    parse_request,
)
from hub.consents import rpc, service
from hub.logs import service as logs
from tests.hub.live import (
    BANK,
    DAY_MS,
    OTHER_USCC,
    PROVIDER,
    PROVIDER_NODE,
    USCC,
    LiveHub,
    consent,
    consent_request,
    fresh_id,
    now_ms,
    refused_with,
)
from trust.checkpoint import open_checkpoint
from trust.document import SignedDocument, sign_document, verify_document
from trust.merkle import leaf_hash, verify_inclusion
from trust.sm2 import PrivateKey
from trust.suite import sm3


async def standing(live: LiveHub, uscc: str = USCC) -> list[tuple[int, str]]:
    call = public_pb2.SubjectCall(access_request=live.access(uscc, "list-consents"))
    reply = await live.subjects.ListConsents(call)
    found = []
    for one in reply.consents:
        document = parse_consent(SignedDocument.decode(one.document).payload)
        found.append((document.record_version, one.state))
    return found


async def waiting(live: LiveHub, uscc: str = USCC) -> list[str]:
    call = public_pb2.SubjectCall(access_request=live.access(uscc, "list-consent-requests"))
    reply = await live.subjects.ListConsentRequests(call)
    return [parse_request(SignedDocument.decode(one).payload).request_id for one in reply.requests]


async def ask(live: LiveHub, **changes: Any) -> str:
    document = consent_request(live.bank, **changes)
    reply = await live.bank.consents.RequestConsent(node_pb2.RequestConsentRequest(document=document.encode()))
    return str(reply.request_id)


async def asked(live: LiveHub) -> dict[str, str]:
    reply = await live.bank.consents.ListRequested(node_pb2.ListRequestedRequest())
    return {one.request_id: one.state for one in reply.requests}


def refusal(live: LiveHub, request_id: str, uscc: str = USCC) -> SignedDocument:
    entry = ConsentRefusal(request_id=request_id, provider=PROVIDER, uscc=uscc, time_ms=now_ms())
    return sign_document(CONSENT_REFUSAL_TYPE, encode(entry), live.subject_keys[uscc])


async def log_size(live: LiveHub) -> int:
    return await live.hub.db.read(lambda read: logs.size(read, logs.consent_origin(PROVIDER)))


async def test_a_consent_is_countersigned_proved_and_listed(live: LiveHub) -> None:
    document = consent()
    reply = await live.submit(live.sign_consent(document))
    head = open_checkpoint(SignedDocument.decode(reply.checkpoint), live.hub.keys.public)
    leaf = await live.hub.db.read(lambda read: logs.read_leaf(read, head.origin, reply.log_index))
    verify_inclusion(leaf_hash(leaf), reply.log_index, head.size, tuple(reply.path), head.root)
    signed = SignedDocument.decode(leaf)
    for key in (live.subject_keys[USCC].public, live.hub.keys.public):
        verify_document(signed, signed.payload_type, key)
    assert signed.payload == encode(document)
    assert (await standing(live), await standing(live, OTHER_USCC)) == ([(1, "active")], [])


async def test_the_same_document_again_gets_the_same_entry(live: LiveHub) -> None:
    given = consent()
    signed = live.sign_consent(given)
    first, again = await live.submit(signed), await live.submit(signed)
    revoked = live.sign_revocation(given)
    third, fourth = await live.submit(revoked), await live.submit(revoked)
    assert (first.log_index, again.log_index, third.log_index, fourth.log_index) == (0, 0, 1, 1)
    assert await log_size(live) == 2
    async with refused_with("SIGNATURE_INVALID"):
        await live.submit(sign_document(signed.payload_type, signed.payload, live.subject_keys[OTHER_USCC]))
    async with refused_with("SIGNATURE_INVALID"):
        await live.submit(sign_document(revoked.payload_type, revoked.payload, live.subject_keys[OTHER_USCC]))


async def test_a_revocation_is_acknowledged_by_the_providers_nodes_within_tens_of_milliseconds(live: LiveHub) -> None:
    await live.provider.connect()
    await live.bank.connect()
    given = await live.give_consent()
    sent = live.sign_revocation(given)
    reply = await live.submit(sent, wait_ms=3000)
    (acknowledged,) = reply.acknowledgements
    assert (acknowledged.node_id, list(reply.pending_nodes)) == (PROVIDER_NODE, [])
    assert acknowledged.after_ms < 500
    cosigned = SignedDocument.decode(acknowledged.checkpoint)
    assert open_checkpoint(cosigned, live.hub.keys.public).size > reply.log_index
    proof = EntryProof(
        provider=PROVIDER,
        index=reply.log_index,
        leaf=reply.entry,
        path=tuple(reply.path),
        checkpoint=SignedDocument.decode(reply.checkpoint),
    )
    hub_key, nodes = live.hub.keys.public, [SignedDocument.decode(encoded) for encoded in reply.nodes]
    verify_entry(sent, live.subject_keys[USCC].public, proof, hub_key)
    verify_acknowledgement(PROVIDER_NODE, cosigned, nodes, proof, hub_key, {PROVIDER_NODE: live.provider.key.public})
    assert await standing(live) == [(1, "withdrawn")]


async def test_a_node_that_does_not_acknowledge_is_named_when_the_wait_is_over(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    await live.provider.connect(cosigns=False)
    given = await live.give_consent()
    reply = await live.submit(live.sign_revocation(given), wait_ms=100)
    assert (list(reply.acknowledgements), list(reply.pending_nodes)) == ([], [PROVIDER_NODE])


async def test_nobody_signs_into_the_past_of_a_quiet_log(sqlite_live: LiveHub, monkeypatch: pytest.MonkeyPatch) -> None:
    live = sqlite_live
    clock = live.hub.clock
    await live.give_consent()
    object.__setattr__(live.hub, "clock", lambda: clock() + DATING_GRACE_MS + 60_000)  # it is frozen
    async with refused_with("CLOCK_SKEW"):
        await live.submit(live.sign_consent(consent()))
    assert await log_size(live) == 1


async def test_a_later_version_supersedes_and_a_withdrawn_record_stays_withdrawn(live: LiveHub) -> None:
    first = await live.give_consent()
    second = msgspec.structs.replace(first, record_version=2, prev_record_sm3=sm3(encode(first)).hex())
    await live.submit(live.sign_consent(second))
    assert await standing(live) == [(2, "active"), (1, "superseded")]
    await live.submit(live.sign_revocation(second))
    third = msgspec.structs.replace(second, record_version=3, prev_record_sm3=sm3(encode(second)).hex())
    async with refused_with("CONSENT_CONFLICT"):
        await live.submit(live.sign_consent(third))


async def test_what_a_node_would_refuse_never_reaches_the_log(live: LiveHub) -> None:
    given = await live.give_consent()
    before = await log_size(live)
    attempts: list[tuple[SignedDocument, str]] = [
        (live.sign_consent(msgspec.structs.replace(given, given_ms=given.given_ms + 1)), "CONSENT_CONFLICT"),
        (live.sign_consent(consent(record_version=2, prev_record_sm3="00" * 32)), "CONSENT_CONFLICT"),
        (live.sign_consent(consent(given_ms=now_ms() - DAY_MS)), "CONSENT_CONFLICT"),
        (live.sign_consent(consent(given_ms=now_ms() + DAY_MS)), "CLOCK_SKEW"),
        (live.sign_consent(consent(recipients=Recipients(data_source="nobody", data_users=(BANK,)))), "NOT_FOUND"),
        (live.sign_consent(consent(recipients=Recipients(data_source=PROVIDER, data_users=("nobody",)))), "NOT_FOUND"),
        (live.sign_consent(consent(request_id=fresh_id())), "NOT_FOUND"),
        (
            sign_document(live.sign_consent(given).payload_type, encode(consent()), PrivateKey.generate()),
            "SIGNATURE_INVALID",
        ),
        (live.sign_revocation(given, record_id=fresh_id()), "NOT_FOUND"),
        (live.sign_revocation(given, provider=BANK), "NOT_FOUND"),
        (live.sign_revocation(given, time_ms=now_ms() + DAY_MS), "CLOCK_SKEW"),
        (live.sign_revocation(consent(OTHER_USCC, record_id=given.record_id)), "NOT_FOUND"),
        (refusal(live, fresh_id()), "NOT_FOUND"),
        (live.bank.exchange_request(), "INVALID_ARGUMENT"),
    ]
    for document, code in attempts:
        async with refused_with(code):
            await live.submit(document)
    assert await log_size(live) == before


async def test_an_enterprise_without_an_approved_key_is_unknown(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    live.subject_keys["91310000MA1K35XX7A"] = PrivateKey.generate()
    async with refused_with("SUBJECT_UNKNOWN"):
        await live.submit(live.sign_consent(consent("91310000MA1K35XX7A")))
    async with refused_with("SUBJECT_UNKNOWN"):
        await ask(live, uscc="91310000MA1K35XX7A")


async def test_a_later_version_names_no_further_institutions(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    await live.admit("secondbank", "bank")
    first = await live.give_consent()
    wider = msgspec.structs.replace(
        first,
        record_version=2,
        prev_record_sm3=sm3(encode(first)).hex(),
        recipients=Recipients(data_source=PROVIDER, data_users=(BANK, "secondbank")),
    )
    async with refused_with("CONSENT_CONFLICT"):
        await live.submit(live.sign_consent(wider))


async def test_a_request_waits_for_its_enterprise_and_is_granted_by_a_consent_that_names_it(live: LiveHub) -> None:
    request_id = await ask(live)
    assert (await waiting(live), await waiting(live, OTHER_USCC)) == ([request_id], [])
    await live.admit("secondbank", "bank")
    stranger = consent(request_id=request_id, recipients=Recipients(data_source=PROVIDER, data_users=("secondbank",)))
    async with refused_with("CONSENT_CONFLICT"):
        await live.submit(live.sign_consent(stranger))
    await live.give_consent(request_id=request_id)
    assert (await waiting(live), await asked(live)) == ([], {request_id: "granted"})
    async with refused_with("WRONG_STATE"):
        await live.submit(refusal(live, request_id))


async def test_a_refused_request_can_be_refused_again_by_the_same_document_only(live: LiveHub) -> None:
    request_id = await ask(live)
    async with refused_with("NOT_FOUND"):
        await live.submit(refusal(live, request_id, OTHER_USCC))
    document = refusal(live, request_id)
    first, again = await live.submit(document), await live.submit(document)
    assert first.log_index == again.log_index
    assert (await waiting(live), await asked(live)) == ([], {request_id: "refused"})
    other = msgspec.structs.replace(
        ConsentRefusal(request_id=request_id, provider=PROVIDER, uscc=USCC, time_ms=now_ms()), reason="no"
    )
    async with refused_with("WRONG_STATE"):
        await live.submit(sign_document(CONSENT_REFUSAL_TYPE, encode(other), live.subject_keys[USCC]))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"requester": PROVIDER}, "PERMISSION_DENIED"),
        ({"node_id": PROVIDER_NODE}, "PERMISSION_DENIED"),
        ({"provider": BANK}, "PRODUCT_UNAVAILABLE"),
        ({"scope": (ItemScope(item_id="other_item", mode=ItemMode.Q),)}, "PRODUCT_UNAVAILABLE"),
        ({"time_ms": 0}, "CLOCK_SKEW"),
    ],
)
async def test_requests_that_do_not_hold_are_refused(sqlite_live: LiveHub, changes: dict[str, Any], code: str) -> None:
    async with refused_with(code):
        await ask(sqlite_live, **changes)


async def test_a_consents_end_is_noted_by_the_hub_once(live: LiveHub) -> None:
    limits = Limits(valid_from_ms=now_ms(), valid_to_ms=now_ms() + 60_000, data_life_days=1)
    await live.give_consent(limits=limits)
    await live.give_consent()
    later = dataclasses.replace(live.hub, clock=lambda: now_ms() + 120_000)
    assert await rpc.expire_due(later) is False
    assert await rpc.expire_due(later) is False
    assert sorted(await standing(live)) == [(1, "active"), (1, "expired")]
    assert await log_size(live) == 3
    assert await live.hub.db.read(lambda read: service.due(read, now_ms())) == []


async def test_an_enterprises_lists_need_its_own_signature(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    wrong_action = public_pb2.SubjectCall(access_request=live.access(USCC, "list-uses"))
    async with refused_with("INVALID_ARGUMENT"):
        await live.subjects.ListConsents(wrong_action)
    call = public_pb2.SubjectCall(access_request=live.access(USCC, "list-consents"))
    await live.subjects.ListConsents(call)
    async with refused_with("REPLAYED"):
        await live.subjects.ListConsents(call)
