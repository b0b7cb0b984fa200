from __future__ import annotations

import secrets

import pytest

from consent.directory import SUBJECT_KEY_REVOKED_TYPE, SUBJECT_KEY_TYPE, DirectoryRule, SubjectKey, SubjectKeyRevoked
from consent.documents import encode
from consent.errors import DocumentMalformed, UsccInvalid
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration
from consent.usage import ACCESS_TYPE, AccessRequest
from hub.errors import HubError
from hub.members import service as members
from hub.subjects import service
from tests.hub.world import World
from trust.document import SignedDocument, countersign, sign_document
from trust.errors import SignatureInvalid
from trust.sm2 import PrivateKey
from trust.suite import sm3

USCC = "91110000MA01ABCD1A"
NAME = "Example Trading Co., Ltd."


def registration(world: World, key: PrivateKey, **changes: object) -> SignedDocument:
    given = {
        "uscc": USCC,
        "ent_name": NAME,
        "contact": "mail@example.cn",
        "public_key": key.public.encode(),
        "time_ms": world.clock(),
    }
    return sign_document(SUBJECT_REGISTRATION_TYPE, encode(SubjectRegistration(**(given | changes))), key)


def approval(
    world: World, key: PrivateKey, version: int = 1, previous: PrivateKey | None = None, **changes: object
) -> SignedDocument:
    given = {
        "uscc": USCC,
        "ent_name": NAME,
        "public_key": key.public.encode(),
        "version": version,
        "prev_key_id": previous and previous.public.key_id,
        "time_ms": world.clock(),
        "operator": "alice",
    }
    return sign_document(SUBJECT_KEY_TYPE, encode(SubjectKey(**(given | changes))), world.operator)


def access(world: World, key: PrivateKey, body: bytes = b"", **changes: object) -> bytes:
    given = {
        "uscc": USCC,
        "action": "list-consents",
        "body_sm3": sm3(body).hex(),
        "time_ms": world.clock(),
        "nonce": secrets.token_hex(16),
    }
    return sign_document(ACCESS_TYPE, encode(AccessRequest(**(given | changes))), key).encode()


def approved(world: World) -> PrivateKey:
    key = PrivateKey.generate()
    world.write(service.register, registration(world, key))
    world.write(service.approve, approval(world, key))
    return key


def code_of(caught: pytest.ExceptionInfo[HubError]) -> str:
    return caught.value.code


def test_a_registration_waits_until_an_operator_approves_it(world: World) -> None:
    key = PrivateKey.generate()
    document = registration(world, key)
    assert world.write(service.register, document).state == "pending"
    assert world.write(service.register, document).state == "pending"
    assert world.hub.db.read_now(service.pending) == [document]
    assert world.hub.directory.current.subject_key(USCC) is None
    index = world.write(service.approve, approval(world, key))
    found = world.hub.db.read_now(lambda c: service.registration(c, USCC))
    assert (found.state, found.directory_index) == ("approved", index)
    assert world.hub.directory.current.subject_key(USCC) == key.public
    assert world.hub.db.read_now(service.pending) == []


def test_a_rejected_registration_tells_why_and_may_be_made_again(world: World) -> None:
    key = PrivateKey.generate()
    world.write(service.register, registration(world, key))
    world.hub.db.write_now(lambda c: service.reject(c, USCC, "name differs"))
    found = world.hub.db.read_now(lambda c: service.registration(c, USCC))
    assert (found.state, found.reason) == ("rejected", "name differs")
    with pytest.raises(HubError) as caught:
        world.write(service.approve, approval(world, key))
    assert code_of(caught) == "NOT_FOUND"
    assert world.write(service.register, registration(world, PrivateKey.generate())).state == "pending"


def test_a_second_key_cannot_push_aside_the_one_that_waits(world: World) -> None:
    world.write(service.register, registration(world, PrivateKey.generate()))
    with pytest.raises(HubError) as caught:
        world.write(service.register, registration(world, PrivateKey.generate()))
    assert code_of(caught) == "ALREADY_EXISTS"


def test_a_registration_signed_by_another_key_than_it_states_is_refused(world: World) -> None:
    honest = registration(world, PrivateKey.generate())
    forged = sign_document(honest.payload_type, honest.payload, PrivateKey.generate())
    with pytest.raises(SignatureInvalid):
        world.write(service.register, forged)


@pytest.mark.parametrize("uscc", ["short", "91110000MA01ABCD1I", "9111000OMA01ABCD1A"])
def test_a_malformed_code_is_refused(world: World, uscc: str) -> None:
    with pytest.raises((UsccInvalid, DocumentMalformed)):
        world.write(service.register, registration(world, PrivateKey.generate(), uscc=uscc))


def test_an_approval_of_another_key_or_name_is_refused(world: World) -> None:
    key = PrivateKey.generate()
    world.write(service.register, registration(world, key))
    for document in (approval(world, PrivateKey.generate()), approval(world, key, ent_name="Another Co.")):
        with pytest.raises(HubError) as caught:
            world.write(service.approve, document)
        assert code_of(caught) == "INVALID_ARGUMENT"
    assert world.hub.directory.current.subject_key(USCC) is None


def test_an_approval_that_no_operator_signed_is_refused(world: World) -> None:
    key = PrivateKey.generate()
    world.write(service.register, registration(world, key))
    world.operator = PrivateKey.generate()
    with pytest.raises(SignatureInvalid):
        world.write(service.approve, approval(world, key))
    assert world.hub.db.read_now(lambda c: service.registration(c, USCC)).state == "pending"


def test_a_key_is_replaced_only_with_the_signature_of_the_one_before(world: World) -> None:
    old, new = approved(world), PrivateKey.generate()
    with pytest.raises(HubError) as caught:
        world.write(service.register, registration(world, new))
    assert code_of(caught) == "ALREADY_EXISTS"
    with pytest.raises(HubError):
        world.write(service.register, registration(world, old))
    world.write(service.register, countersign(registration(world, new), old))
    assert world.hub.directory.current.subject_key(USCC) == old.public
    world.write(service.approve, approval(world, new, version=2, previous=old))
    assert world.hub.directory.current.subject_key(USCC) == new.public


def revocation(world: World, key: PrivateKey, **changes: object) -> SignedDocument:
    given = {
        "uscc": USCC,
        "key_id": key.public.key_id,
        "reason": "lost",
        "time_ms": world.clock(),
        "operator": "alice",
    }
    return sign_document(SUBJECT_KEY_REVOKED_TYPE, encode(SubjectKeyRevoked(**(given | changes))), world.operator)


def test_a_forged_signature_of_the_key_before_is_refused(world: World) -> None:
    old, new = approved(world), PrivateKey.generate()
    stranger = countersign(registration(world, new), PrivateKey.generate())
    own, other = stranger.signatures
    named = SignedDocument(
        stranger.payload_type, stranger.payload, (own, type(other)(old.public.key_id, other.suite, other.value))
    )
    with pytest.raises(SignatureInvalid):
        world.write(service.register, named)
    with pytest.raises(SignatureInvalid):  # continuity alone does not show that somebody has the new key
        world.write(service.register, sign_document(stranger.payload_type, stranger.payload, old))


def test_a_registration_tells_for_which_key_it_is(world: World) -> None:
    old, new = approved(world), PrivateKey.generate()
    document = countersign(registration(world, new), old)
    for _ in range(2):  # asked again while it waits
        found = world.write(service.register, document)
        assert (found.state, found.key_id) == ("pending", new.public.key_id)
    assert world.hub.db.read_now(lambda c: service.registration(c, USCC)).key_id == new.public.key_id


def test_an_enterprise_that_lost_its_key_registers_anew_once_it_is_revoked(world: World) -> None:
    old, new = approved(world), PrivateKey.generate()
    with pytest.raises(HubError, match="revoked first"):
        world.write(service.register, registration(world, new))
    world.write(members.revoke, revocation(world, old))
    assert world.hub.directory.current.subject_key(USCC) is None
    world.write(service.register, registration(world, new))
    world.write(service.approve, approval(world, new, version=2, previous=old))
    assert world.hub.directory.current.subject_key(USCC) == new.public


def test_a_key_that_ended_is_not_registered_again(world: World) -> None:
    old, new = approved(world), PrivateKey.generate()
    world.write(members.revoke, revocation(world, old))
    with pytest.raises(HubError, match="it was ended") as caught:
        world.write(service.register, registration(world, old))
    assert code_of(caught) == "ALREADY_EXISTS"
    world.write(service.register, registration(world, new))
    world.write(service.approve, approval(world, new, version=2, previous=old))
    with pytest.raises(HubError, match="it was ended"):
        world.write(service.register, countersign(registration(world, old), new))


def test_an_approval_checks_the_registration_against_the_directory_of_now(world: World) -> None:
    first, second = PrivateKey.generate(), PrivateKey.generate()
    world.write(service.register, registration(world, second))  # the enterprise had no key then
    world.hub.db.write_now(lambda c: world.hub.directory.append(c, approval(world, first)))
    with pytest.raises(HubError) as caught:
        world.write(service.approve, approval(world, second, version=2, previous=first))
    assert code_of(caught) == "ALREADY_EXISTS"
    assert world.hub.directory.current.subject_key(USCC) == first.public


@pytest.mark.parametrize("off_s", [-61, 61])
def test_a_key_begins_and_ends_now(world: World, off_s: int) -> None:
    old, new = approved(world), PrivateKey.generate()
    then = world.clock() + off_s * 1000
    with pytest.raises(HubError) as caught:
        world.write(members.revoke, revocation(world, old, time_ms=then))
    assert code_of(caught) == "CLOCK_SKEW"
    world.write(service.register, countersign(registration(world, new), old))
    with pytest.raises(HubError) as caught:
        world.write(service.approve, approval(world, new, version=2, previous=old, time_ms=then))
    assert code_of(caught) == "CLOCK_SKEW"
    assert world.hub.directory.current.subject_key(USCC) == old.public


def test_a_key_that_does_not_stand_cannot_be_revoked(world: World) -> None:
    old = PrivateKey.generate()
    with pytest.raises(HubError) as caught:
        world.write(members.revoke, revocation(world, old))
    assert code_of(caught) == "NOT_FOUND"
    old = approved(world)
    with pytest.raises(DirectoryRule):
        world.write(members.revoke, revocation(world, PrivateKey.generate()))
    world.write(members.revoke, revocation(world, old))
    with pytest.raises(HubError):
        world.write(members.revoke, revocation(world, old))


async def test_calls_are_signed_by_the_new_key_from_its_approval_on(world: World) -> None:
    old, new = approved(world), PrivateKey.generate()
    world.write(service.register, countersign(registration(world, new), old))
    await service.authenticate(world.hub, access(world, old), "list-consents")
    world.write(service.approve, approval(world, new, version=2, previous=old))
    with pytest.raises(SignatureInvalid):
        await service.authenticate(world.hub, access(world, old), "list-consents")
    await service.authenticate(world.hub, access(world, new), "list-consents")


async def test_a_signed_call_names_its_enterprise_once(world: World) -> None:
    key = approved(world)
    request = access(world, key, body=b"page 1")
    assert await service.authenticate(world.hub, request, "list-consents", b"page 1") == USCC
    with pytest.raises(HubError) as caught:
        await service.authenticate(world.hub, request, "list-consents", b"page 1")
    assert code_of(caught) == "REPLAYED"


@pytest.mark.parametrize("off_s", [-61, 61])
async def test_a_call_whose_time_is_off_by_more_than_a_minute_is_refused(world: World, off_s: int) -> None:
    key = approved(world)
    with pytest.raises(HubError) as caught:
        request = access(world, key, time_ms=world.clock() + off_s * 1000)
        await service.authenticate(world.hub, request, "list-consents")
    assert code_of(caught) == "CLOCK_SKEW"


async def test_a_call_for_another_action_or_body_is_refused(world: World) -> None:
    key = approved(world)
    for action, body in (("list-uses", b""), ("list-consents", b"other")):
        with pytest.raises(HubError) as caught:
            await service.authenticate(world.hub, access(world, key), action, body)
        assert code_of(caught) == "INVALID_ARGUMENT"


async def test_a_call_signed_by_a_stranger_is_refused_and_uses_up_no_nonce(world: World) -> None:
    key = approved(world)
    nonce = secrets.token_hex(16)
    with pytest.raises(SignatureInvalid):
        await service.authenticate(world.hub, access(world, PrivateKey.generate(), nonce=nonce), "list-consents")
    await service.authenticate(world.hub, access(world, key, nonce=nonce), "list-consents")


async def test_an_enterprise_without_a_key_is_told_so(world: World) -> None:
    with pytest.raises(HubError) as caught:
        await service.authenticate(world.hub, access(world, PrivateKey.generate()), "list-consents")
    assert code_of(caught) == "SUBJECT_UNKNOWN"


async def test_a_nonce_is_remembered_for_as_long_as_its_time_would_be_accepted(world: World) -> None:
    key = approved(world)
    ahead = access(world, key, time_ms=world.clock() + 60_000)
    await service.authenticate(world.hub, ahead, "list-consents")
    world.clock.advance(119)
    await service.authenticate(world.hub, access(world, key), "list-consents")  # clears what has expired
    with pytest.raises(HubError) as caught:
        await service.authenticate(world.hub, ahead, "list-consents")
    assert code_of(caught) == "REPLAYED"
