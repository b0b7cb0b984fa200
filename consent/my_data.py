"""My data, as a file: an enterprise's consents and every recorded use of its data, with proofs that anybody can check offline.

    {"format": "xinqiao-my-data-1",
     "readable": {...}     the same for people: consents, uses, heads of the log
     "evidence": {...}     the log's entries, proofs, checkpoints and nodes as the hub gave them
     "statement": "..."}   a signed document (application/vnd.xinqiao.my-data+json) by the enterprise: digest of the evidence, time

Rules, in this order; the first that is broken is the answer (AuditFailed, DocumentMalformed):
1. The statement is signed by the key that it names, and the evidence is the one that it digests.
2. Every consent is of this enterprise and carries the hub's countersignature, by which the hub says that the enterprise signed it.
3. Every use holds by the rules of `consent.audit_uses`, and none stands twice.
4. What is readable says nothing else than the evidence.

What it cannot show: where a consent stands is the hub's word at that time; whether the key is the enterprise's follows only from
consents that it signed (`vouched`); and uses that the hub did not list are not in it (an auditor's export has them).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

from consent.audit import USAGE, AuditFailed
from consent.audit_uses import ListedUse, UsePage, VerifiedPage, VerifiedUse, verify_uses
from consent.directory import KeyText
from consent.documents import (
    CONSENT_TYPE,
    ConsentDocument,
    Document,
    ShortText,
    Sm3Hex,
    TimeMs,
    UsccText,
    encode,
    parse,
    parse_consent,
    payload_type,
)
from consent.errors import ConsentError, DocumentMalformed
from trust.checkpoint import Checkpoint, open_checkpoint
from trust.document import SignedDocument, sign_document, verify_document
from trust.errors import TrustError
from trust.sm2 import PrivateKey, PublicKey
from trust.suite import sm3

MY_DATA_TYPE: Final = payload_type("my-data")
LARGEST: Final = 256 << 20
Index = Annotated[int, msgspec.Meta(ge=0)]


class ConsentEvidence(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consent as it stands in the provider's log, and where the hub says that it stands. `ended_ms`: 0 while in force."""

    entry: bytes
    log_index: Index
    state: ShortText
    ended_ms: TimeMs


class UseEvidence(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A use with its proofs: `consent.audit_uses.ListedUse` for a file."""

    log_index: Index
    leaf: bytes
    path: tuple[bytes, ...]
    twin_present: bool
    subject_use: bytes
    subject_index: Index
    subject_path: tuple[bytes, ...]


class PageEvidence(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Uses that are proved under one checkpoint, and the directory's entries of the nodes that signed them."""

    checkpoint: bytes
    nodes: tuple[bytes, ...]
    uses: tuple[UseEvidence, ...]


class Evidence(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is proved."""

    consents: tuple[ConsentEvidence, ...]
    pages: tuple[PageEvidence, ...]


class Statement(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the enterprise signs."""

    uscc: UsccText
    public_key: KeyText
    evidence_sm3: Sm3Hex
    time_ms: TimeMs


class _File(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["xinqiao-my-data-1"] = "xinqiao-my-data-1"
    readable: dict[str, Any]
    evidence: Evidence
    statement: bytes


@dataclass(frozen=True, kw_only=True)
class VerifiedMyData:
    """What a file proves. `vouched`: how many of the consents this very key signed, to which the hub put its name."""

    statement: Statement
    key: PublicKey
    consents: tuple[tuple[ConsentDocument, ConsentEvidence], ...]
    uses: tuple[VerifiedUse, ...]
    heads: tuple[Checkpoint, ...]
    witnesses: tuple[str, ...]
    vouched: int


def page_evidence(page: UsePage) -> PageEvidence:
    """A page of uses, for a file."""
    return PageEvidence(
        checkpoint=page.checkpoint.encode(),
        nodes=tuple(node.encode() for node in page.nodes),
        uses=tuple(
            UseEvidence(
                log_index=use.log_index,
                leaf=use.leaf,
                path=use.path,
                twin_present=use.twin_present,
                subject_use=use.subject_use,
                subject_index=use.subject_index,
                subject_path=use.subject_path,
            )
            for use in page.uses
        ),
    )


def make_my_data(uscc: str, evidence: Evidence, key: PrivateKey, hub_key: PublicKey, now_ms: int) -> bytes:
    """The file, signed. Raises AuditFailed, DocumentMalformed for evidence that does not hold: that is not signed."""
    digest = sm3(encode(evidence)).hex()
    statement = Statement(uscc=uscc, public_key=key.public.encode(), evidence_sm3=digest, time_ms=now_ms)
    found = _verified(statement, key.public, evidence, hub_key)
    signed = sign_document(MY_DATA_TYPE, encode(statement), key)
    file = _File(readable=_readable(found), evidence=evidence, statement=signed.encode())
    return msgspec.json.format(encode(file), indent=1) + b"\n"


def verify_my_data(encoded: bytes, hub_key: PublicKey) -> VerifiedMyData:
    """Check a file by the rules above. Raises AuditFailed, DocumentMalformed, SignatureInvalid."""
    if len(encoded) > LARGEST:
        raise DocumentMalformed(f"A file of {len(encoded)} bytes is over the limit of {LARGEST}; this is no export.")
    file = parse(encoded, _File)
    signed = SignedDocument.decode(file.statement)
    key = PublicKey.decode(parse(signed.payload, Statement).public_key)
    verify_document(signed, MY_DATA_TYPE, key)
    statement = parse(signed.payload, Statement)
    if not hmac.compare_digest(sm3(encode(file.evidence)).hex(), statement.evidence_sm3):
        raise AuditFailed("the evidence is not the one that the enterprise signed", origin=USAGE)
    found = _verified(statement, key, file.evidence, hub_key)
    if msgspec.json.encode(_readable(found), order="deterministic") != msgspec.json.encode(
        file.readable, order="deterministic"
    ):
        raise AuditFailed("what is readable says something else than the evidence proves", origin=USAGE)
    return found


def _verified(statement: Statement, key: PublicKey, evidence: Evidence, hub_key: PublicKey) -> VerifiedMyData:
    consents = [(_consent(each, statement.uscc, hub_key), each) for each in evidence.consents]
    pages = [_page(page, statement.uscc, hub_key) for page in evidence.pages]
    uses = tuple(use for page in pages for use in page.uses)
    if len({use.log_index for use in uses}) != len(uses):
        raise AuditFailed("a use stands in it twice", origin=USAGE)
    return VerifiedMyData(
        statement=statement,
        key=key,
        consents=tuple(consents),
        uses=uses,
        heads=tuple(page.head for page in pages),
        witnesses=tuple(sorted({witness for page in pages for witness in page.witnesses})),
        vouched=sum(_signed_by(each.entry, key) for each in evidence.consents),
    )


def _consent(found: ConsentEvidence, uscc: str, hub_key: PublicKey) -> ConsentDocument:
    try:
        entry = SignedDocument.decode(found.entry)
        verify_document(entry, CONSENT_TYPE, hub_key)
        consent = parse_consent(entry.payload)
    except (TrustError, ConsentError) as problem:
        raise AuditFailed(f"a consent does not hold: {problem}", index=found.log_index) from problem
    if consent.subject.uscc != uscc:
        raise AuditFailed("a consent is of another enterprise", index=found.log_index)
    return consent


def _signed_by(entry: bytes, key: PublicKey) -> bool:
    try:
        verify_document(SignedDocument.decode(entry), CONSENT_TYPE, key)
    except TrustError:
        return False  # signed by an earlier key
    return True


def _page(page: PageEvidence, uscc: str, hub_key: PublicKey) -> VerifiedPage:
    try:
        listed = UsePage(
            checkpoint=SignedDocument.decode(page.checkpoint),
            uses=tuple(ListedUse(**msgspec.structs.asdict(use)) for use in page.uses),
            nodes=tuple(SignedDocument.decode(node) for node in page.nodes),
        )
        open_checkpoint(listed.checkpoint, hub_key)
    except TrustError as problem:
        raise AuditFailed(str(problem), origin=USAGE) from problem
    return verify_uses(uscc, listed, hub_key)


def _readable(found: VerifiedMyData) -> dict[str, Any]:
    """What people read: made of the evidence, and of nothing else."""
    return {
        "uscc": found.statement.uscc,
        "made_ms": found.statement.time_ms,
        "signed_by": found.key.key_id,
        "consents": [
            {
                "state": told.state,
                "ended_ms": told.ended_ms,
                "log_index": told.log_index,
                "consent": msgspec.to_builtins(consent),
            }
            for consent, told in found.consents
        ],
        "uses": [_use(each) for each in found.uses],
        "logs": [
            {"origin": head.origin, "size": head.size, "root": head.root.hex(), "time_ms": head.time_ms}
            for head in _distinct(found.heads)
        ],
        "witnesses": list(found.witnesses),
    }


def _use(use: VerifiedUse) -> dict[str, Any]:
    return {
        "log_index": use.log_index,
        "node": use.signed_by,
        "receipt": msgspec.to_builtins(use.receipt),
        "part": None if use.part is None else msgspec.to_builtins(use.part),
    }


def _distinct(heads: Sequence[Checkpoint]) -> list[Checkpoint]:
    return list(dict.fromkeys(heads))
