"""The hub for the portal: `portal.hub_link.HubLink` over the hub's public port and its operator socket."""

from __future__ import annotations

from pathlib import Path

from xinqiao.v1 import admin_pb2, public_pb2

from cli import rpc
from cli.errors import CliError
from cli.operator import Operator
from cli.registrations import approve_key, read_keys, read_registrations
from consent.registration import parse_registration
from nodes.credentials import HubFacts
from portal.hub_link import hub_away, hub_refused
from trust.document import SignedDocument
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
        try:
            return self._approve(registration, operator, key)
        except CliError as error:
            raise (hub_away() if error.code == "UNAVAILABLE" else hub_refused(error.message)) from error

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
