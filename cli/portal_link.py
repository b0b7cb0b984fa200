"""The hub for the portal: `portal.hub_link.HubLink` over the hub's public port and its operator socket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from xinqiao.v1 import admin_pb2, public_pb2

from cli import rpc
from cli.clock import now_ms
from cli.enterprise_client import WAIT_MS, connect
from cli.enterprise_client import Standing as Found
from cli.enterprise_home import Seen, decode_seen, encode_seen
from cli.errors import CliError
from cli.operator import Operator
from cli.registrations import approve_key, read_keys, read_registrations
from consent.documents import CONSENT_REVOCATION_TYPE, ConsentDocument, ConsentRevocation, encode
from consent.errors import ConsentError
from consent.registration import parse_registration
from nodes.credentials import HubFacts
from portal.hub_link import Confirmed, Signer, Standing, Verified, Withdrawn, hub_away, hub_refused, unverified
from trust.document import SignedDocument
from trust.errors import TrustError
from trust.sm2 import PrivateKey, PublicKey

WHOM = "the hub"


class HubLinkByCall:
    """A running hub. `socket`: its operator socket on this machine."""

    def __init__(self, facts: HubFacts, socket: Path) -> None:
        """Nothing is opened before a call."""
        self._facts = facts
        self._socket = socket

    def alive(self) -> bool:
        """See HubLink."""
        try:
            with rpc.admin(self._socket) as stub:
                rpc.call(stub.GetStatus, admin_pb2.GetStatusRequest(), whom=WHOM, timeout_s=3)
        except CliError:
            return False
        return True

    def approve_enterprise(self, registration: SignedDocument, operator: str, key: PrivateKey) -> int:
        """See HubLink."""
        with _as_portal_errors():
            return self._approve(registration, operator, key)

    def consents(self, who: Signer) -> Sequence[Standing]:
        """See HubLink."""
        with _as_portal_errors(), connect(_InPortal(who, self._facts)) as client:
            # In the hub's order, which is: those that stand first, then the newest first.
            newest: dict[str, Found] = {}
            for each in client.consents():
                before = newest.setdefault(each.consent.record_id, each)
                if before.consent.record_version < each.consent.record_version:
                    newest[each.consent.record_id] = each
            return [
                Standing(consent=each.consent, state=each.state, ended_ms=each.ended_ms) for each in newest.values()
            ]

    def withdraw(self, who: Signer, consent: ConsentDocument, reason: str) -> Withdrawn:
        """See HubLink."""
        provider = consent.recipients.data_source
        entry = ConsentRevocation(
            record_id=consent.record_id,
            provider=provider,
            uscc=who.uscc,
            method="portal",
            reason=reason,
            time_ms=now_ms(),
        )
        acting = _InPortal(who, self._facts)
        with _as_portal_errors(), connect(acting) as client:
            done = client.submit(CONSENT_REVOCATION_TYPE, encode(entry), provider, wait_ms=WAIT_MS)
        return Withdrawn(
            log_index=done.log_index,
            confirmed=tuple(Confirmed(node_id=each.node_id, after_ms=each.after_ms) for each in done.acknowledged),
            pending=done.pending,
            seen=acting.kept,
        )

    def uses(self, who: Signer) -> Verified:
        """See HubLink."""
        acting = _InPortal(who, self._facts)
        with _as_portal_errors(), connect(acting) as client:
            *_, audited = client.audit()
            acting.remember(audited.seen)
        return Verified(
            uses=audited.uses,
            size=audited.head.size,
            time_ms=audited.head.time_ms,
            witnesses=audited.witnesses,
            seen=acting.kept,
        )

    def _approve(self, registration: SignedDocument, operator: str, key: PrivateKey) -> int:
        statement = parse_registration(registration.payload)
        own = PublicKey.decode(statement.public_key)
        with rpc.subjects(self._facts) as subjects, rpc.admin(self._socket) as admin:
            last = read_keys(admin).get(statement.uscc)
            if last is not None and last.key == own and not last.revoked:
                # Approved before, and this process died between the hub's answer and its own record of it.
                request = public_pb2.GetRegistrationRequest(uscc=statement.uscc)
                return rpc.call(subjects.GetRegistration, request, whom=WHOM).directory_index
            request_in = public_pb2.RegisterRequest(registration=registration.encode())
            rpc.call(subjects.Register, request_in, whom=WHOM)
            waiting = next(each for each in read_registrations(admin) if each.key_id == own.key_id)
            return approve_key(admin, Operator(name=operator, key=key), waiting)


class _InPortal:
    """An enterprise as `EnterpriseClient` takes it; what it sees is kept by the portal."""

    def __init__(self, who: Signer, hub: HubFacts) -> None:
        self.uscc, self.key, self.hub, self.kept = who.uscc, who.key, hub, who.seen

    def seen(self) -> Seen:
        return decode_seen(self.kept, self.hub.hub_key) if self.kept else Seen()

    def remember(self, seen: Seen) -> None:
        self.kept = encode_seen(seen)


@contextmanager
def _as_portal_errors() -> Iterator[None]:
    try:
        yield
    except CliError as error:
        raise (hub_away() if error.code == "UNAVAILABLE" else hub_refused(error.message)) from error
    except (TrustError, ConsentError) as error:
        raise unverified(str(error)) from error
