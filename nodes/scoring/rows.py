"""The bank's side of the rows: which consents name them, what the providers permitted, and the record of it.

The bank decides first, on its own verified copy: an enterprise without a consent is not asked about. What a provider answers is held
against its record (the root over whom it recorded) and against the bank's copy once more, before a score is opened.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from consent.decision import Denial, Freshness, Permit, Reason, UseRequest, decide
from consent.documents import encode
from consent.model_state import Model
from consent.models import ModelPart
from consent.usage import BatchCommitment, Receipt, SubjectTree, SubjectUse
from nodes.errors import ExchangeFailed
from nodes.exchanges.charging import batch_receipt
from nodes.exchanges.context import ExchangeContext
from nodes.outbox import write_receipt
from nodes.scoring.messages import CONSENT_BYTES, SEED_BYTES
from nodes.scoring.panel import Panel
from nodes.scoring.question import Part, Replies
from nodes.scoring.verdict import SINCE, salt_of

Flags = npt.NDArray[np.bool_]
_NOT_HANDED_ON: Final = "This node's own copy of the consents does not allow it any more. The score was not opened."


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why an enterprise has no score. `member`: who says so."""

    code: str
    sentence: str
    member: str


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Enterprises that may be asked about, with 16 bytes for each that name its consent at each provider; and the others."""

    subjects: tuple[str, ...]
    consents: Mapping[str, bytes]
    refused: Mapping[str, Refused]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What came of a question: `kept` bool[rows] may be opened; why the others may not; what this node records of it."""

    kept: Flags
    refused: Mapping[str, Refused]
    receipts: tuple[Receipt, ...]


def choose(context: ExchangeContext, model: Model, subjects: Sequence[str]) -> Chosen:
    """Decide on each enterprise for each provider, on this node's own copy, without counts."""
    named: dict[str, list[bytes]] = {part.provider: [] for part in model.version.parts}
    refused: dict[str, Refused] = {}
    kept: list[str] = []
    for uscc in dict.fromkeys(subjects):
        consents: dict[str, bytes] = {}
        for part in model.version.parts:
            decision = _decision(context, model, part, uscc)
            if isinstance(decision, Denial):
                refused[uscc] = Refused(code=decision.reason.value, sentence=decision.sentence, member=part.provider)
                break
            consents[part.provider] = uuid.UUID(decision.spends[0]).bytes
        else:
            kept.append(uscc)
            for provider, consent_id in consents.items():
                named[provider].append(consent_id)
    return Chosen(subjects=tuple(kept), consents={name: b"".join(ids) for name, ids in named.items()}, refused=refused)


def _decision(context: ExchangeContext, model: Model, part: ModelPart, uscc: str) -> Permit | Denial:
    book = context.replica.granted_book(part.provider)
    now_ms = context.clock()
    return decide(
        UseRequest(
            subject=uscc,
            requester=context.settings.member_id,
            provider=part.provider,
            purpose=model.version.purpose,
            items=part.items,
            at_ms=now_ms,
        ),
        book.consents_of(uscc) if book is not None else (),
        Freshness(checkpoint_ms=now_ms, consistent=context.replica.alarm is None),
        context.catalogue,
        context.rules,
    )


def check(
    context: ExchangeContext, panel: Panel, subjects: Sequence[str], replies: Replies, *, single: bool
) -> Checked:
    """Hold each provider's answer against what it recorded and what this node knows. Raises ExchangeFailed."""
    kept = np.ones(replies.rows, np.bool_)
    refused: dict[str, Refused] = {}
    receipts: list[Receipt] = []
    for member, part in replies.of.items():
        codes = np.frombuffer(part.codes, np.uint8)
        uses = _uses(member, subjects, codes, part)
        receipts.append(_receipt(context, panel, member, part, uses, subjects[0] if single else ""))
        for row in np.flatnonzero(codes).tolist():
            refused.setdefault(subjects[row], _reason(member, part, int(codes[row])))
        kept &= codes == 0
        for row in _ended(context, member, uses, np.flatnonzero(_recorded(codes))):
            kept[row] = False
            why = Refused(code=Reason.CONSENT_REVOKED.value, sentence=_NOT_HANDED_ON, member=context.settings.member_id)
            refused.setdefault(subjects[row], why)
    return Checked(kept=kept, refused=refused, receipts=tuple(receipts))


async def record(context: ExchangeContext, receipts: Sequence[Receipt]) -> None:
    """Write this node's receipts: before a score is opened."""

    def keep(connection: sqlite3.Connection) -> None:
        for receipt in receipts:
            write_receipt(connection, receipt)

    await context.store.write(keep)
    context.outbox.wake()


def _recorded(codes: npt.NDArray[np.uint8]) -> Flags:
    """bool[rows]: whom the provider's receipt has."""
    return np.asarray((codes == 0) | (codes >= SINCE))


def _reason(member: str, part: Part, code: int) -> Refused:
    place = (code & ~SINCE) - 1
    if not 0 <= place < len(part.answer.reasons):
        raise ExchangeFailed(f"{member} refused an enterprise without a reason.", code="PROTOCOL_VIOLATION")
    reason, sentence = part.answer.reasons[place]
    return Refused(code=reason, sentence=sentence, member=member)


def _uses(member: str, subjects: Sequence[str], codes: npt.NDArray[np.uint8], part: Part) -> list[SubjectUse]:
    """Whom the provider recorded, in the order of the rows."""
    rows = np.flatnonzero(_recorded(codes)).tolist()
    sizes = (len(codes), len(part.used), len(part.seed))
    if sizes != (len(subjects), CONSENT_BYTES * len(rows), SEED_BYTES):
        raise ExchangeFailed(f"{member} answered about other rows than were asked.", code="PROTOCOL_VIOLATION")
    return [
        SubjectUse(
            uscc=subjects[row],
            consent_id=str(uuid.UUID(bytes=part.used[at * CONSENT_BYTES : (at + 1) * CONSENT_BYTES])),
            record_count=1,
            salt=salt_of(part.seed, at),
        )
        for at, row in enumerate(rows)
    ]


def _ended(context: ExchangeContext, member: str, uses: Sequence[SubjectUse], rows: npt.NDArray[np.int64]) -> list[int]:
    """Rows whose consent this node knows to have ended, or does not know at all."""
    book = context.replica.granted_book(member)
    now_ms, found = context.clock(), []
    for use, row in zip(uses, rows.tolist(), strict=True):
        view = book.view(use.consent_id) if book is not None else None
        if view is None or view.uscc != use.uscc or view.revoked_ms is not None or view.valid_to_ms <= now_ms:
            found.append(row)
    return found


def _receipt(
    context: ExchangeContext, panel: Panel, member: str, part: Part, uses: list[SubjectUse], subject: str
) -> Receipt:
    commitment = BatchCommitment(root="0" * 64, size=0)
    if uses:
        commitment = SubjectTree([encode(use) for use in uses]).commitment
    if not subject and uses and commitment.root != part.answer.root:
        raise ExchangeFailed(f"{member} recorded other enterprises than it answers about.", code="PROTOCOL_VIOLATION")
    reasons = part.answer.reasons
    receipt = batch_receipt(
        panel.terms_of(member).request,
        side="requester",
        receipt_id=context.new_id(),
        node_id=context.settings.node_id,
        time_ms=context.clock(),
        record_count=len(uses),
        commitment=commitment,
        decision="permit" if uses else (reasons[0][0] if reasons else Reason.NO_CONSENT.value),
        request_no=part.answer.recorded_no,
        digest=panel.model.version.commitment,
    )
    if not subject:
        return receipt
    consent_id = uses[0].consent_id if uses else None
    return msgspec.structs.replace(receipt, subject=subject, consent_id=consent_id, batch=None)
