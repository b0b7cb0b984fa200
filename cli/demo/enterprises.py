"""Hundreds of enterprises with their own keys: they register, are approved by the operator, consent and withdraw.

What an enterprise does by `xinqiao enterprise` and `xinqiao consent`, done here many times over one connection.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from xinqiao.v1 import admin_pb2, admin_pb2_grpc, public_pb2, public_pb2_grpc

from consent.directory import SUBJECT_KEY_TYPE, SubjectKey
from consent.documents import (
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    ConsentDocument,
    ConsentRevocation,
    ItemScope,
    Limits,
    Purpose,
    PurposePart,
    Recipients,
    SubjectPart,
    encode,
)
from consent.notice import NOTICE
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration
from nodes.credentials import HubFacts
from trust.document import sign_document
from trust.sm2 import PrivateKey

DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class Enterprise:
    """A synthetic enterprise and its key."""

    uscc: str
    name: str
    key: PrivateKey


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Registry:
    """The hub as enterprises and its operator reach it."""

    def __init__(self, hub: HubFacts, admin_socket: str, operator: str, operator_key: PrivateKey) -> None:
        credentials = grpc.ssl_channel_credentials(root_certificates=hub.authority_pem)
        self._public = grpc.secure_channel(hub.public_address, credentials)
        self._admin = grpc.insecure_channel(f"unix:{admin_socket}")
        self._subjects = public_pb2_grpc.SubjectsStub(self._public)
        self._operator_stub = admin_pb2_grpc.AdminStub(self._admin)
        self._operator = operator
        self._operator_key = operator_key

    def close(self) -> None:
        """Close the connections."""
        self._public.close()
        self._admin.close()

    def register(self, uscc: str, name: str) -> Enterprise:
        """An enterprise makes a key and registers; the operator approves it."""
        enterprise = Enterprise(uscc, name, PrivateKey.generate())
        registration = SubjectRegistration(
            uscc=uscc,
            ent_name=name,
            contact="demo@example.invalid",
            public_key=enterprise.key.public.encode(),
            time_ms=now_ms(),
        )
        signed = sign_document(SUBJECT_REGISTRATION_TYPE, encode(registration), enterprise.key)
        self._subjects.Register(public_pb2.RegisterRequest(registration=signed.encode()), timeout=30)
        self.approve(uscc, name, registration.public_key)
        return enterprise

    def approve(self, uscc: str, name: str, public_key: str) -> None:
        """The operator binds the key to the code, in the directory for all to see."""
        document = SubjectKey(
            uscc=uscc, ent_name=name, public_key=public_key, version=1, time_ms=now_ms(), operator=self._operator
        )
        signed = sign_document(SUBJECT_KEY_TYPE, encode(document), self._operator_key)
        self._operator_stub.ApproveSubject(admin_pb2.DirectoryDocument(document=signed.encode()), timeout=30)

    def consent(
        self,
        enterprise: Enterprise,
        provider: str,
        users: Sequence[str],
        scope: tuple[ItemScope, ...],
        *,
        purpose: Purpose = Purpose.PRE_LOAN,
        limits: Limits | None = None,
    ) -> str:
        """Sign and submit a consent; its identifier."""
        at = now_ms()
        document = ConsentDocument(
            record_id=str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)),
            subject=SubjectPart(
                uscc=enterprise.uscc, ent_name=enterprise.name, signatory_name="演示", signatory_role="legal_rep"
            ),
            notice=NOTICE,
            purpose=PurposePart(purpose_code=purpose),
            scope=scope,
            recipients=Recipients(data_source=provider, data_users=tuple(users)),
            limits=limits or Limits(valid_from_ms=at, valid_to_ms=at + 90 * DAY_MS, data_life_days=30),
            given_ms=at,
        )
        signed = sign_document(CONSENT_TYPE, encode(document), enterprise.key)
        self._submit(signed.encode(), 0)
        return document.record_id

    def revoke(self, enterprise: Enterprise, provider: str, record_id: str) -> public_pb2.SubmitConsentEntryReply:
        """Withdraw a consent and wait for the acknowledgements."""
        document = ConsentRevocation(
            record_id=record_id, provider=provider, uscc=enterprise.uscc, method="demo", time_ms=now_ms()
        )
        signed = sign_document(CONSENT_REVOCATION_TYPE, encode(document), enterprise.key)
        return self._submit(signed.encode(), 5000)

    def _submit(self, document: bytes, wait_ms: int) -> public_pb2.SubmitConsentEntryReply:
        message = public_pb2.SubmitConsentEntryRequest(document=document, wait_ms=wait_ms)
        return self._subjects.SubmitConsentEntry(message, timeout=30)
