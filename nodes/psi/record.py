"""What both nodes record about a comparison of sets.

Receipt 0 of an exchange says that it was allowed to begin (or was refused): about no subject, for nobody knows yet who is common.
Receipt 1, where both learn which are, commits to every common subject, with the legal basis in place of a consent, so that each finds
it in its own list of uses. Both nodes commit to the same subjects in the same order, with the provider's salts. No record of anybody is
shown: each counts none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from consent.documents import encode
from consent.usage import BatchCommitment, ExchangeRequest, Receipt, SubjectTree, SubjectUse
from nodes.exchanges.charging import batch_receipt
from nodes.psi.messages import SALT_BYTES

NOBODY = SubjectTree(()).commitment


@dataclass(frozen=True, kw_only=True)
class Common:
    """The common subjects: encoded uses in their order, and what commits to them."""

    uses: tuple[bytes, ...]
    commitment: BatchCommitment


def common_of(codes: Iterable[str], salts: bytes) -> Common:
    """`salts`: 16 bytes for each code."""
    uses = tuple(
        encode(
            SubjectUse(
                uscc=code, consent_id="", record_count=0, salt=salts[SALT_BYTES * at : SALT_BYTES * (at + 1)].hex()
            )
        )
        for at, code in enumerate(codes)
    )
    return Common(uses=uses, commitment=SubjectTree(uses).commitment)


def receipt(
    request: ExchangeRequest,
    *,
    side: str,
    receipt_id: str,
    node_id: str,
    time_ms: int,
    legal_basis: str | None,
    common: BatchCommitment | None = None,
    decision: str = "permit",
) -> Receipt:
    """Receipt 0, or 1 with the common subjects. A refusal names no legal basis."""
    return batch_receipt(
        request,
        side=side,
        receipt_id=receipt_id,
        node_id=node_id,
        time_ms=time_ms,
        record_count=0,
        commitment=common or NOBODY,
        decision=decision,
        request_no=0 if common is None else 1,
        legal_basis=legal_basis,
    )
