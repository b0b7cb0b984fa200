"""A hub that can lie: real keys, real documents, real Merkle trees, and no scruples.

Honest by default. Every lie of the tests is one call of this class: `leave_out`, `replace_leaf`, `checkpoint(size=…)`,
`checkpoint(key=…)`, `entry(…, key=…)`. The leaves that the hub *signs over* (`logs`) and those that it *sends* are
chosen by the test separately, which is what a lying hub does.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Final

import msgspec

from consent.directory import MemberAdmitted, MemberKind, NodeEnrolled, OperatorKey, SubjectKey, SubjectKeyRevoked
from consent.documents import (
    ConsentDocument,
    ConsentExpiry,
    ConsentRevocation,
    ItemMode,
    ItemScope,
    Limits,
    NoticePart,
    Purpose,
    PurposePart,
    Recipients,
    SubjectPart,
    encode,
    payload_type,
)
from trust.checkpoint import Checkpoint, make_checkpoint
from trust.document import countersign, sign_document
from trust.merkle import consistency_path, inclusion_path, leaf_hash, root_of
from trust.sm2 import PrivateKey

NOW_MS: Final = 1_760_000_000_000
DAY_MS: Final = 86_400_000
DIRECTORY: Final = "directory"
PROVIDER: Final = "taxoffice"
BANK: Final = "firstbank"
OTHER_PROVIDER: Final = "platform"
CONSENTS: Final = f"consent/{PROVIDER}"
OTHER_CONSENTS: Final = f"consent/{OTHER_PROVIDER}"

_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORGANISATION_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def make_uscc(number: int) -> str:
    """Return a made-up unified social credit code with right check characters (GB 32100, GB 11714)."""
    organisation = f"{number:08d}"
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    rest = 11 - sum(int(c) * w for c, w in zip(organisation, weights, strict=True)) % 11
    organisation += {10: "X", 11: "0"}.get(rest, str(rest))
    body = "91110000" + organisation
    total = sum(_ALPHABET.index(c) * pow(3, at, 31) for at, c in enumerate(body))
    return body + _ALPHABET[(31 - total % 31) % 31]


@dataclass
class Enterprise:
    """A subject with its key."""

    uscc: str
    name: str
    key: PrivateKey
    version: int = 1


@dataclass
class HubSimulator:
    """Logs in memory, and the keys to sign whatever a test wants signed."""

    time_ms: int = NOW_MS
    key: PrivateKey = field(default_factory=PrivateKey.generate)
    operator: PrivateKey = field(default_factory=PrivateKey.generate)
    logs: dict[str, list[bytes]] = field(default_factory=lambda: {DIRECTORY: [], CONSENTS: [], OTHER_CONSENTS: []})

    def __post_init__(self) -> None:
        operator = OperatorKey(operator="op", public_key=self.operator.public.encode(), time_ms=self.time_ms)
        self.append(DIRECTORY, self.entry("operator-key", operator, self.key))
        kinds: dict[str, MemberKind] = {PROVIDER: "government", BANK: "bank", OTHER_PROVIDER: "platform"}
        for member, kind in kinds.items():
            self.append(DIRECTORY, self.member(member, kind))

    # -- entries -------------------------------------------------------------------------------------------

    def entry(self, name: str, document: msgspec.Struct, key: PrivateKey, *, countersigned: bool = True) -> bytes:
        """Sign a document and, unless the hub is to be left out, countersign it."""
        signed = sign_document(payload_type(name), encode(document), key)
        return (countersign(signed, self.key) if countersigned else signed).encode()

    def append(self, origin: str, leaf: bytes) -> int:
        """Put a leaf into a log; returns its index."""
        self.logs.setdefault(origin, []).append(leaf)
        return len(self.logs[origin]) - 1

    def member(self, member_id: str, kind: MemberKind) -> bytes:
        """Return an operator's admission of a member."""
        admitted = MemberAdmitted(
            member_id=member_id, name=member_id, kind=kind, uscc=None, time_ms=self.time_ms, operator="op"
        )
        return self.entry("member-admitted", admitted, self.operator)

    def enrol_node(self, node_id: str, member_id: str, key: PrivateKey) -> int:
        """Append a node to the directory."""
        enrolled = NodeEnrolled(
            node_id=node_id,
            member_id=member_id,
            identity_key=key.public.encode(),
            time_ms=self.time_ms,
        )
        return self.append(DIRECTORY, self.entry("node-enrolled", enrolled, key))

    def subject_key(
        self, enterprise: Enterprise, *, previous: str | None = None, signer: PrivateKey | None = None
    ) -> bytes:
        """Return the approval of an enterprise's key; by somebody else than the operator if `signer` is given."""
        document = SubjectKey(
            uscc=enterprise.uscc,
            ent_name=enterprise.name,
            public_key=enterprise.key.public.encode(),
            version=enterprise.version,
            prev_key_id=previous,
            time_ms=self.time_ms,
            operator="op",
        )
        return self.entry("subject-key", document, signer or self.operator)

    def subject_key_revoked(self, enterprise: Enterprise, *, signer: PrivateKey | None = None) -> bytes:
        """Return the withdrawal of an enterprise's key."""
        document = SubjectKeyRevoked(
            uscc=enterprise.uscc,
            key_id=enterprise.key.public.key_id,
            reason="lost",
            time_ms=self.time_ms,
            operator="op",
        )
        return self.entry("subject-key-revoked", document, signer or self.operator)

    def register(self, number: int) -> Enterprise:
        """Append a new enterprise's key to the directory."""
        enterprise = Enterprise(uscc=make_uscc(number), name=f"enterprise {number}", key=PrivateKey.generate())
        self.append(DIRECTORY, self.subject_key(enterprise))
        return enterprise

    def consent(self, enterprise: Enterprise, *, provider: str = PROVIDER, record_id: str = "") -> ConsentDocument:
        """Return a consent of an enterprise to the bank, for a month."""
        return ConsentDocument(
            record_id=record_id or str(uuid.uuid4()),
            subject=SubjectPart(
                uscc=enterprise.uscc,
                ent_name=enterprise.name,
                signatory_name="Li Ming",
                signatory_role="legal_rep",
            ),
            notice=NoticePart(notice_id="n1", version="1", sm3="00" * 32),
            purpose=PurposePart(purpose_code=Purpose.PRE_LOAN),
            scope=(ItemScope(item_id="tax_payment", mode=ItemMode.Q),),
            recipients=Recipients(data_source=provider, data_users=(BANK,)),
            limits=Limits(
                valid_from_ms=self.time_ms - DAY_MS, valid_to_ms=self.time_ms + 30 * DAY_MS, data_life_days=30
            ),
            given_ms=self.time_ms,
        )

    def grant(self, enterprise: Enterprise, *, provider: str = PROVIDER) -> ConsentDocument:
        """Append a consent to its provider's log."""
        document = self.consent(enterprise, provider=provider)
        self.append(f"consent/{provider}", self.entry("consent", document, enterprise.key))
        return document

    def revocation(self, enterprise: Enterprise, consent: ConsentDocument) -> bytes:
        """Return the enterprise's withdrawal of a consent."""
        document = ConsentRevocation(
            record_id=consent.record_id,
            provider=consent.recipients.data_source,
            uscc=enterprise.uscc,
            time_ms=self.time_ms,
        )
        return self.entry("consent-revocation", document, enterprise.key)

    def revoke(self, enterprise: Enterprise, consent: ConsentDocument) -> int:
        """Append a withdrawal."""
        origin = f"consent/{consent.recipients.data_source}"
        return self.append(origin, self.revocation(enterprise, consent))

    def expire(self, consent: ConsentDocument) -> int:
        """Append the hub's note that a consent is over."""
        document = ConsentExpiry(
            record_id=consent.record_id,
            provider=consent.recipients.data_source,
            uscc=consent.subject.uscc,
            time_ms=consent.limits.valid_to_ms,
        )
        origin = f"consent/{consent.recipients.data_source}"
        return self.append(origin, self.entry("consent-expiry", document, self.key))

    # -- heads and proofs ----------------------------------------------------------------------------------

    def checkpoint(
        self,
        origin: str,
        *,
        size: int | None = None,
        leaves: list[bytes] | None = None,
        time_ms: int | None = None,
        key: PrivateKey | None = None,
    ) -> bytes:
        """Return a signed checkpoint over the first `size` leaves of the log, or of another history."""
        history = (self.logs[origin] if leaves is None else leaves)[:size]
        checkpoint = Checkpoint(
            origin=origin,
            size=len(history),
            root=root_of(leaf_hash(leaf) for leaf in history),
            time_ms=self.time_ms if time_ms is None else time_ms,
        )
        return make_checkpoint(checkpoint, key or self.key).encode()

    def inclusion(self, origin: str, index: int, size: int) -> tuple[bytes, ...]:
        """Return the inclusion path of an entry."""
        return inclusion_path([leaf_hash(leaf) for leaf in self.logs[origin]], index, size)

    def consistency(self, origin: str, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """Return the consistency path between two sizes."""
        return consistency_path([leaf_hash(leaf) for leaf in self.logs[origin]], old_size, new_size)
