from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from sqlalchemy import text

from consent.directory import (
    MEMBER_SUSPENDED_TYPE,
    NODE_REVOKED_TYPE,
    DirectoryRule,
    MemberSuspended,
    NodeRevoked,
)
from consent.documents import encode
from hub.errors import HubError
from hub.logs import service as logs
from hub.members import certificates, service
from hub.members.tokens import Token
from tests.hub.world import World
from trust.certificates import make_csr, parse_identity, verify_issued_by
from trust.document import SignedDocument, countersign, sign_document, verify_document
from trust.errors import CertificateRejected, SignatureInvalid
from trust.sm2 import PrivateKey


def invite(world: World, member_id: str = "bank-a", node_id: str = "bank-a-1") -> Token:
    token = world.hub.db.write_now(lambda c: service.invite(world.hub, c, member_id, node_id))
    assert isinstance(token, Token)
    return token


def enrol(world: World, token: Token, **changes: object) -> service.Enrolled:
    key = PrivateKey.generate()
    given = {
        "secret": token.secret,
        "csr_pem": make_csr(token.node_id)[1],
        "document": world.statement(token.node_id, token.member_id, key),
        "time_ms": world.clock(),
    }
    done = world.hub.db.write_now(lambda c: service.enrol(world.hub, c, **(given | changes)))
    assert isinstance(done, service.Enrolled)
    return done


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(HubError) as caught:
        call()
    return caught.value.code


def revocation(world: World, node_id: str, operator: PrivateKey | None = None) -> SignedDocument:
    entry = NodeRevoked(node_id=node_id, reason="lost", time_ms=world.clock(), operator="alice")
    return sign_document(NODE_REVOKED_TYPE, encode(entry), operator or world.operator)


def revoke(world: World, document: SignedDocument) -> int:
    index = world.hub.db.write_now(lambda c: service.revoke(world.hub, c, document))
    assert isinstance(index, int)
    return index


def test_an_invited_node_enrols_and_stands_in_the_directory_log(world: World) -> None:
    world.admit("bank-a")
    enrolled = enrol(world, invite(world))
    identity = parse_identity(enrolled.certificate_pem)
    assert (identity.member_id, identity.node_id) == ("bank-a", "bank-a-1")
    verify_issued_by(enrolled.certificate_pem, world.hub.keys.authority_cert)
    assert world.hub.db.read_now(lambda c: certificates.is_known(c, identity.fingerprint, "bank-a-1"))
    node = world.hub.directory.current.node("bank-a-1")
    assert node is not None and not node.revoked
    leaf = world.hub.db.read_now(lambda c: logs.read_leaf(c, "directory", enrolled.directory_index))
    document = SignedDocument.decode(leaf)
    verify_document(document, document.payload_type, world.hub.keys.public)
    verify_document(document, document.payload_type, node.identity_key)


def test_the_token_carries_what_the_node_pins_and_reads_back(world: World) -> None:
    world.admit("bank-a")
    token = invite(world)
    assert Token.decode(token.encode()) == token
    assert token.hub_key == world.hub.keys.public.encode()
    assert token.expires_ms == world.clock() + 3_600_000


@pytest.mark.parametrize("text_", ["", "x", "e30", "=", "é", "A" * 10_000, secrets.token_urlsafe(200)])
def test_what_is_no_token_is_refused_as_such(text_: str) -> None:
    assert code_of(lambda: Token.decode(text_)) == "TOKEN_INVALID"


def test_the_secret_is_not_in_the_database(world: World) -> None:
    world.admit("bank-a")
    token = invite(world)
    rows = world.hub.db.read_now(lambda c: c.execute(text("SELECT * FROM invitations")).all())
    assert len(rows) == 1
    assert token.secret not in repr(rows)


def test_a_token_used_twice_is_refused(world: World) -> None:
    world.admit("bank-a")
    token = invite(world)
    enrol(world, token)
    assert code_of(lambda: enrol(world, token)) == "TOKEN_INVALID"


def test_an_expired_token_is_refused(world: World) -> None:
    world.admit("bank-a")
    token = invite(world)
    world.clock.advance(3600)
    assert code_of(lambda: enrol(world, token)) == "TOKEN_INVALID"


def test_a_token_works_until_its_last_millisecond(world: World) -> None:
    world.admit("bank-a")
    token = invite(world)
    world.clock.now_ms = token.expires_ms - 1
    enrol(world, token)


def test_a_wrong_secret_is_refused(world: World) -> None:
    world.admit("bank-a")
    token = invite(world)
    assert code_of(lambda: enrol(world, token, secret=token.secret[:-1] + "x" + token.secret[-1])) == "TOKEN_INVALID"


def test_a_later_invitation_voids_the_earlier_one_for_the_same_node(world: World) -> None:
    world.admit("bank-a")
    first, second = invite(world), invite(world)
    assert code_of(lambda: enrol(world, first)) == "TOKEN_INVALID"
    enrol(world, second)


@pytest.mark.parametrize("off_s", [-61, 61, 86_400])
def test_a_clock_that_is_off_by_more_than_a_minute_is_named_and_the_token_stays_unused(
    world: World, off_s: int
) -> None:
    world.admit("bank-a")
    token = invite(world)
    assert code_of(lambda: enrol(world, token, time_ms=world.clock() + off_s * 1000)) == "CLOCK_SKEW"
    enrol(world, token)


@pytest.mark.parametrize("off_s", [-60, 0, 60])
def test_a_clock_within_a_minute_is_good_enough(world: World, off_s: int) -> None:
    world.admit("bank-a")
    enrol(world, invite(world), time_ms=world.clock() + off_s * 1000)


def test_a_statement_for_another_node_or_member_is_refused_and_the_token_stays_unused(world: World) -> None:
    world.admit("bank-a")
    world.admit("bank-b")
    token, key = invite(world), PrivateKey.generate()
    for node_id, member_id in (("bank-a-2", "bank-a"), ("bank-a-1", "bank-b")):
        document = world.statement(node_id, member_id, key)
        assert code_of(lambda d=document: enrol(world, token, document=d)) == "INVALID_ARGUMENT"
    with pytest.raises(CertificateRejected):
        enrol(world, token, csr_pem=make_csr("bank-b-1")[1])
    enrol(world, token)


def test_a_statement_that_another_key_signed_is_refused(world: World) -> None:
    world.admit("bank-a")
    token = invite(world)
    honest = world.statement("bank-a-1", "bank-a", PrivateKey.generate())
    forged = sign_document(honest.payload_type, honest.payload, PrivateKey.generate())
    with pytest.raises(SignatureInvalid):
        enrol(world, token, document=forged)
    doubled = countersign(honest, PrivateKey.generate())
    assert code_of(lambda: enrol(world, token, document=doubled)) == "INVALID_ARGUMENT"


def test_a_name_that_was_used_is_not_given_again(world: World) -> None:
    world.admit("bank-a")
    enrol(world, invite(world))
    assert code_of(lambda: invite(world)) == "ALREADY_EXISTS"
    revoke(world, revocation(world, "bank-a-1"))
    assert code_of(lambda: invite(world)) == "ALREADY_EXISTS"


@pytest.mark.parametrize("node_id", ["", "A", "1a", "a" * 60, "bank a", "bank/a", "節点"])
def test_a_name_that_is_none_is_not_invited(world: World, node_id: str) -> None:
    world.admit("bank-a")
    assert code_of(lambda: invite(world, node_id=node_id)) == "INVALID_ARGUMENT"


def test_a_member_is_admitted_once_and_only_by_a_known_operator(world: World) -> None:
    world.admit("bank-a")
    assert code_of(lambda: world.admit("bank-a")) == "ALREADY_EXISTS"
    world.operator = PrivateKey.generate()
    with pytest.raises(SignatureInvalid):
        world.admit("bank-b")
    assert world.hub.directory.current.member("bank-b") is None
    assert code_of(lambda: invite(world, "bank-b", "bank-b-1")) == "NOT_FOUND"


def test_admission_begins_the_members_consent_log(world: World) -> None:
    world.admit("gov", "government")
    assert "consent/gov" in world.hub.db.read_now(logs.origins)


def test_a_revoked_node_loses_its_certificates_and_its_session(world: World) -> None:
    world.admit("bank-a")
    identity = parse_identity(enrol(world, invite(world)).certificate_pem)
    revoke(world, revocation(world, "bank-a-1"))
    assert not world.hub.db.read_now(lambda c: certificates.is_known(c, identity.fingerprint, "bank-a-1"))
    assert world.sessions.ended == [("bank-a-1", "NODE_REVOKED")]
    csr = make_csr("bank-a-1")[1]
    assert code_of(lambda: world.write(service.renew, "bank-a-1", csr)) == "NODE_REVOKED"
    assert code_of(lambda: revoke(world, revocation(world, "bank-a-1"))) == "NOT_FOUND"


def test_a_revocation_that_no_operator_signed_changes_nothing(world: World) -> None:
    world.admit("bank-a")
    enrol(world, invite(world))
    with pytest.raises(SignatureInvalid):
        revoke(world, revocation(world, "bank-a-1", PrivateKey.generate()))
    assert world.sessions.ended == []
    identity_count = world.hub.db.read_now(certificates.expiry_by_node)
    assert set(identity_count) == {"bank-a-1"}


def test_suspending_a_member_ends_the_sessions_of_its_nodes_and_bars_new_ones(world: World) -> None:
    world.admit("bank-a")
    enrol(world, invite(world))
    waiting = invite(world, node_id="bank-a-2")
    entry = MemberSuspended(member_id="bank-a", reason="audit", time_ms=world.clock(), operator="alice")
    revoke(world, sign_document(MEMBER_SUSPENDED_TYPE, encode(entry), world.operator))
    assert world.sessions.ended == [("bank-a-1", "MEMBER_SUSPENDED")]
    assert code_of(lambda: invite(world, node_id="bank-a-3")) == "MEMBER_SUSPENDED"
    assert code_of(lambda: enrol(world, waiting)) == "MEMBER_SUSPENDED"


def test_renewal_gives_a_second_known_certificate_and_expired_ones_are_forgotten(world: World) -> None:
    world.admit("bank-a")
    first = parse_identity(enrol(world, invite(world)).certificate_pem)
    world.clock.advance(11 * 86_400)
    second = parse_identity(world.write(service.renew, "bank-a-1", make_csr("bank-a-1")[1]))
    known = world.hub.db.read_now(
        lambda c: [certificates.is_known(c, one.fingerprint, "bank-a-1") for one in (first, second)]
    )
    assert known == [True, True]
    world.clock.advance(20 * 86_400)
    world.write(service.renew, "bank-a-1", make_csr("bank-a-1")[1])
    assert not world.hub.db.read_now(lambda c: certificates.is_known(c, first.fingerprint, "bank-a-1"))


def test_a_document_of_another_type_is_refused(world: World) -> None:
    world.admit("bank-a")
    document = world.statement("bank-a-1", "bank-a", PrivateKey.generate())
    assert code_of(lambda: revoke(world, document)) == "INVALID_ARGUMENT"
    assert code_of(lambda: world.write(service.admit, document)) == "INVALID_ARGUMENT"
    with pytest.raises(DirectoryRule):
        world.hub.db.write_now(
            lambda c: world.hub.directory.append(c, sign_document("application/x", b"{}", world.operator))
        )
