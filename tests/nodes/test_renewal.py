"""Certificates renew themselves in time, and only by what is really this node's."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from xinqiao.v1 import node_pb2

from nodes.credentials import load_tls
from nodes.errors import CredentialsInvalid, NodeError
from nodes.hub_channel import rpc
from nodes.renewal import Renewal
from nodes.store import Store
from tests.nodes.connected_node import World, connected_node
from tests.nodes.hub_server import NODE, utc_now
from tests.nodes.hub_simulator import PROVIDER
from trust.certificates import create_authority
from trust.errors import CertificateRejected
from trust.keyfile import write_protected


@pytest_asyncio.fixture
async def world(store: Store) -> AsyncIterator[World]:
    async with connected_node(store) as made:
        yield made


def make_renewal(world: World, home: Path, age: datetime.timedelta) -> Renewal:
    (home / "keys").mkdir()
    pair = world.served.pair()
    write_protected(home / "keys" / "tls.key", pair.key_pem)
    write_protected(home / "keys" / "tls.crt", pair.certificate_pem)
    return Renewal(
        home=home,
        hub=world.served.facts(),
        connection=world.connection,
        member_id=PROVIDER,
        node_id=NODE,
        clock=lambda: int((utc_now() + age).timestamp() * 1000),
    )


@pytest.mark.parametrize(("age_days", "renewed"), [(0, False), (9, False), (11, True)])
async def test_a_certificate_is_renewed_after_a_third_of_its_life(
    world: World, tmp_path: Path, age_days: int, renewed: bool
) -> None:
    renewal = make_renewal(world, tmp_path, datetime.timedelta(days=age_days))
    before = load_tls(tmp_path)
    assert await renewal.renew_if_due() is renewed
    assert (load_tls(tmp_path) != before) is renewed
    reply = await rpc(world.connection.stubs.control.Ping(node_pb2.PingRequest(payload=b"p"), timeout=5))
    assert reply.payload == b"p"  # the connection goes on, with the new certificate


@pytest.mark.parametrize(
    ("node_id", "member_id"), [("taxoffice-2", PROVIDER), (NODE, "firstbank")], ids=["another node", "another member"]
)
async def test_a_certificate_of_somebody_else_is_not_used(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node_id: str, member_id: str
) -> None:
    renewal = make_renewal(world, tmp_path, datetime.timedelta(days=11))
    before, other = load_tls(tmp_path), world.served.pair(node_id, member_id).certificate_pem
    monkeypatch.setattr(world.served, "certify", lambda csr: other)
    with pytest.raises(CredentialsInvalid, match=f"a certificate of {member_id}/{node_id}"):
        await renewal.renew_if_due()
    assert load_tls(tmp_path) == before


async def test_a_certificate_for_another_key_is_not_used(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewal = make_renewal(world, tmp_path, datetime.timedelta(days=11))
    other = world.served.pair().certificate_pem
    monkeypatch.setattr(world.served, "certify", lambda csr: other)
    with pytest.raises(CredentialsInvalid, match="another key"):
        await renewal.renew_if_due()


async def test_a_certificate_of_another_authority_is_not_used(world: World, tmp_path: Path) -> None:
    renewal = make_renewal(world, tmp_path, datetime.timedelta(days=11))
    world.served.authority_key, world.served.authority_pem = create_authority("impostor", utc_now)
    with pytest.raises((CertificateRejected, NodeError)):
        await renewal.renew_if_due()
