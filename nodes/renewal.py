"""Certificates renew themselves: a third of the way through its life a node's certificate is replaced.

The rules of this module:
1. Renewal makes a new TLS key; the old pair stays in use until the new one is complete on disk.
2. What the hub returns is used only if the pinned authority issued it, for this node and member and this
   very key.
3. A failure is recorded and tried again: there are two thirds of the certificate's life to succeed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from xinqiao.v1 import node_pb2

from nodes.connection import CALL_TIMEOUT_S, HubConnection
from nodes.credentials import HubFacts, TlsPair, fits, load_tls, replace_tls
from nodes.errors import CredentialsInvalid, NodeError
from nodes.hub_channel import rpc
from trust.certificates import NodeIdentity, make_csr, parse_identity, renewal_due, verify_current, verify_issued_by
from trust.errors import TrustError

CHECK_INTERVAL_S: Final = 3600.0
RETRY_INTERVAL_S: Final = 300.0

_log = logging.getLogger(__name__)


class Renewal:
    """Watches over the certificate of one node."""

    def __init__(
        self,
        *,
        home: Path,
        hub: HubFacts,
        connection: HubConnection,
        member_id: str,
        node_id: str,
        clock: Callable[[], int],
    ) -> None:
        self._home = home
        self._hub = hub
        self._connection = connection
        self._member_id = member_id
        self._node_id = node_id
        self._clock = clock
        self.last_error = ""

    def identity(self) -> NodeIdentity:
        """Return what the present certificate says. Raises CredentialsInvalid, trust.errors.CertificateRejected."""
        return parse_identity(load_tls(self._home).certificate_pem)

    async def run(self) -> None:
        """Check every hour until cancelled."""
        while True:
            try:
                await self.renew_if_due()
                self.last_error = ""
                wait_s = CHECK_INTERVAL_S
            except (NodeError, TrustError) as error:
                self.last_error = f"{error.code}: {error}"
                _log.warning("certificate_renewal_failed", extra={"code": error.code})
                wait_s = RETRY_INTERVAL_S
            await asyncio.sleep(wait_s)

    async def renew_if_due(self) -> bool:
        """Renew the certificate if a third of its life has passed; returns whether it was renewed.

        Raises NodeError if the hub refuses or what it returned cannot be used.
        """
        if not renewal_due(self.identity(), self._now()):
            return False
        key_pem, csr_pem = make_csr(self._node_id)
        stub = self._connection.stubs.control
        request = node_pb2.RenewCertificateRequest(csr_pem=csr_pem)
        reply = await rpc(stub.RenewCertificate(request, timeout=CALL_TIMEOUT_S))
        pair = TlsPair(key_pem=key_pem, certificate_pem=reply.certificate_pem)
        verify_certificate(pair, self._hub.authority_pem, self._member_id, self._node_id, self._now())
        await asyncio.to_thread(replace_tls, self._home, pair)
        self._connection.use_certificate(pair)
        _log.info("certificate_renewed")
        return True

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1000, tz=UTC)


def verify_certificate(pair: TlsPair, authority_pem: bytes, member_id: str, node_id: str, now: datetime) -> datetime:
    """Check that a certificate received from the hub is ours (rule 2), and return when it ends.

    Raises trust.errors.CertificateRejected if another authority issued it or it cannot be read,
    CredentialsInvalid if it names another node or another key, or is not valid at `now`.
    """
    verify_issued_by(pair.certificate_pem, authority_pem)
    identity = parse_identity(pair.certificate_pem)
    if (identity.member_id, identity.node_id) != (member_id, node_id):
        raise CredentialsInvalid(
            f"the hub returned a certificate of {identity.member_id}/{identity.node_id} "
            f"where one of {member_id}/{node_id} belongs; it was not used, report it to the hub's operator"
        )
    if not fits(pair):
        raise CredentialsInvalid("the hub returned a certificate for another key; it was not used, report it")
    verify_current(identity, now)
    return identity.not_after
