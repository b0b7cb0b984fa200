"""Enrolment: an invitation becomes an identity, once, or nothing at all is left behind."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from xinqiao.v1 import errors_pb2, public_pb2

from consent.directory import NODE_ENROLLED_TYPE, NodeEnrolled
from consent.documents import parse
from nodes.credentials import load_hub, load_identity, load_tls
from nodes.enrol import Enrolled, decode_token, enrol
from nodes.errors import AlreadyEnrolled, EnrolmentFailed, HubUnavailable, NodeError, TokenMalformed
from nodes.settings import load_settings
from tests.nodes.hub_server import NODE, ServedHub, serve, utc_now
from tests.nodes.hub_simulator import PROVIDER, HubSimulator
from trust.certificates import create_authority, parse_identity
from trust.document import SignedDocument, verify_document
from trust.sm2 import PrivateKey, PublicKey

SECRET = b"a secret of the node's operator"


@pytest_asyncio.fixture
async def served() -> AsyncIterator[ServedHub]:
    hub = HubSimulator(time_ms=int(utc_now().timestamp() * 1000))
    async with serve(hub) as (served, _):
        yield served


async def run(home: Path, served: ServedHub, token: str) -> Enrolled:
    return await asyncio.to_thread(enrol, home, token, SECRET, lambda: served.hub.time_ms)


def left_behind(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*")) if home.exists() else []


async def test_an_invitation_becomes_an_identity(served: ServedHub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    enrolled = await run(home, served, served.token())
    assert (enrolled.member_id, enrolled.node_id, enrolled.directory_index) == (PROVIDER, NODE, 7)
    assert load_hub(home) == served.facts()
    settings = load_settings(home, {})
    assert (settings.node_id, settings.member_id) == (NODE, PROVIDER)
    identity = parse_identity(load_tls(home).certificate_pem)
    assert (identity.member_id, identity.node_id, identity.not_after) == (PROVIDER, NODE, enrolled.certificate_ends)
    assert load_identity(home, SECRET).public.key_id == enrolled.key_id
    assert left_behind(home) == ["hub.json", "keys", "keys/identity.pem", "keys/tls.crt", "keys/tls.key", "node.toml"]


async def test_the_keys_stay_at_the_node_and_are_its_own(served: ServedHub, tmp_path: Path) -> None:
    await run(tmp_path / "home", served, served.token())
    (request,) = served.enrolments
    key = load_identity(tmp_path / "home", SECRET)
    statement = SignedDocument.decode(request.node_enrolled)
    entry = parse(statement.payload, NodeEnrolled)
    verify_document(statement, NODE_ENROLLED_TYPE, PublicKey.decode(entry.identity_key))
    assert (entry.node_id, entry.member_id, entry.identity_key) == (NODE, PROVIDER, key.public.encode())
    sent = request.SerializeToString()
    assert b"PRIVATE KEY" not in sent
    assert key.secret not in sent
    assert request.token_secret == "s3cret"
    for path in (tmp_path / "home" / "keys").iterdir():
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("what", ["hub.json", "keys"])
async def test_an_identity_is_never_overwritten(served: ServedHub, tmp_path: Path, what: str) -> None:
    await run(tmp_path, served, served.token())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(AlreadyEnrolled):
        await run(tmp_path, served, served.token())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert len(served.enrolments) == 1  # the second token was not spent
    (tmp_path / what).rename(tmp_path / "moved")
    with pytest.raises(AlreadyEnrolled):
        await run(tmp_path, served, served.token())


async def test_settings_that_are_there_are_kept(served: ServedHub, tmp_path: Path) -> None:
    text = f'node_id = "{NODE}"\nmember_id = "{PROVIDER}"\nmax_staleness_s = 5\n'
    (tmp_path / "node.toml").write_text(text, encoding="utf-8")
    await run(tmp_path, served, served.token())
    assert load_settings(tmp_path, {}).max_staleness_s == 5


# -- a hub that answers with something else ----------------------------------------------------------------------------

Forgery = Callable[[ServedHub, public_pb2.EnrolReply], None]


def another_member(served: ServedHub, reply: public_pb2.EnrolReply) -> None:
    reply.member_id = "firstbank"


def another_log_key(served: ServedHub, reply: public_pb2.EnrolReply) -> None:
    reply.hub.hub_key = PrivateKey.generate().public.encode()


def another_authority(served: ServedHub, reply: public_pb2.EnrolReply) -> None:
    reply.hub.authority_pem = create_authority("impostor", utc_now)[1]


def no_authority(served: ServedHub, reply: public_pb2.EnrolReply) -> None:
    reply.hub.authority_pem = b"nothing"


def a_certificate_of_another_node(served: ServedHub, reply: public_pb2.EnrolReply) -> None:
    reply.certificate_pem = served.pair("taxoffice-2").certificate_pem


def a_certificate_of_another_member(served: ServedHub, reply: public_pb2.EnrolReply) -> None:
    reply.certificate_pem = served.pair(NODE, "firstbank").certificate_pem


def a_certificate_for_another_key(served: ServedHub, reply: public_pb2.EnrolReply) -> None:
    reply.certificate_pem = served.pair().certificate_pem


def a_certificate_of_another_authority(served: ServedHub, reply: public_pb2.EnrolReply) -> None:
    impostor = ServedHub(served.hub, *create_authority("impostor", utc_now))
    reply.certificate_pem = impostor.certify(served.enrolments[-1].csr_pem)


def no_certificate(served: ServedHub, reply: public_pb2.EnrolReply) -> None:
    reply.certificate_pem = b""


FORGERIES: list[Forgery] = [
    another_member,
    another_log_key,
    another_authority,
    no_authority,
    a_certificate_of_another_node,
    a_certificate_of_another_member,
    a_certificate_for_another_key,
    a_certificate_of_another_authority,
    no_certificate,
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=[forgery.__name__ for forgery in FORGERIES])
async def test_a_forged_reply_leaves_nothing_behind(served: ServedHub, tmp_path: Path, forgery: Forgery) -> None:
    served.forge_enrolment = forgery
    with pytest.raises(EnrolmentFailed):
        await run(tmp_path / "home", served, served.token())
    assert left_behind(tmp_path / "home") == []


async def test_a_used_token_is_refused_with_the_hubs_words(served: ServedHub, tmp_path: Path) -> None:
    served.refuse = errors_pb2.ErrorDetail(code=errors_pb2.TOKEN_INVALID, message="The token was used.")
    with pytest.raises(NodeError) as caught:
        await run(tmp_path / "home", served, served.token())
    assert (caught.value.code, caught.value.message) == ("TOKEN_INVALID", "The token was used.")
    assert left_behind(tmp_path / "home") == []


async def test_a_hub_with_another_authority_gets_no_token(served: ServedHub, tmp_path: Path) -> None:
    impostor = ServedHub(served.hub, *create_authority("impostor", utc_now))
    impostor.public_address, impostor.node_address = served.public_address, served.node_address
    with pytest.raises(HubUnavailable):
        await run(tmp_path / "home", served, impostor.token())
    assert served.enrolments == []


async def test_an_expired_token_is_not_sent(served: ServedHub, tmp_path: Path) -> None:
    with pytest.raises(TokenMalformed, match="expired"):
        await run(tmp_path, served, served.token(expires_ms=served.hub.time_ms))
    assert served.enrolments == []


async def test_a_full_disk_leaves_nothing_behind(
    served: ServedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(Exception, match="No space"):
        await run(tmp_path / "home", served, served.token())
    monkeypatch.undo()
    assert left_behind(tmp_path / "home") == []
    await run(tmp_path / "home", served, served.token())


# -- tokens ------------------------------------------------------------------------------------------------------------


async def test_a_token_survives_being_wrapped_by_a_mail_program(served: ServedHub) -> None:
    token = served.token()
    wrapped = "\n".join(token[at : at + 60] for at in range(0, len(token), 60)) + " ==\n"
    assert decode_token(wrapped) == decode_token(token)
    assert "s3cret" not in repr(decode_token(token))


def fields_of(token: str) -> dict[str, object]:
    decoded: dict[str, object] = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return decoded


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"extra": 1},
        {"hub_key": "04" + "00" * 64},
        {"hub_key": ""},
        {"authority": "AAAA"},
        {"authority": "?"},
        {"expires_ms": "soon"},
    ],
)
async def test_a_token_with_wrong_content_is_refused(served: ServedHub, change: dict[str, object]) -> None:
    with pytest.raises(TokenMalformed):
        decode_token(served.token(**change))


@pytest.mark.parametrize("text", ["", " ", "!", "AAAA", "ä", "e30", "A" * 20_000])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenMalformed):
        decode_token(text)


async def test_a_shortened_token_is_refused(served: ServedHub) -> None:
    token = served.token()
    assert set(fields_of(token)) >= {"secret", "authority"}
    for length in range(0, len(token), 97):
        with pytest.raises(TokenMalformed):
            decode_token(token[:length])
