"""What a provider decides about the rows of one request, in one transaction, before anything is computed.

1. A repeated request key gets its first outcome again, and spends nothing of a consent; rows whose consent has ended meanwhile are
   refused now. It counts against the limits once more if what is computed with is not the same, byte for byte: of an honest requester
   it says the same under another key, but nobody here can know, and it could as well be another question.
2. Each row names a consent. Its subject is decided on with all of its consents, on this node's own copy (`consent.decision`).
3. What the requester has spent on the subject and today is held against the limits (`limits`).
4. A use is charged, a score is counted, and the receipt written: of the one enterprise, or of the batch that is permitted.
5. After the commit the copy is looked at once more: a consent that was withdrawn in between refuses its row.

A row's code is 0 if it is permitted, the place of its reason from 1 if it is refused; `SINCE` is added where the receipt has it all the
same, for it was permitted when that was written.
"""

from __future__ import annotations

import secrets
import sqlite3
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from consent.decision import (
    REASONS,
    ConsentView,
    Denial,
    Freshness,
    ItemUse,
    Permit,
    Reason,
    UseRequest,
    decide,
    refuse_by_freshness,
)
from consent.documents import encode
from consent.usage import BatchCommitment, Receipt, SubjectTree, SubjectUse
from nodes.errors import NodeError, UseRefused
from nodes.exchanges.charging import batch_receipt
from nodes.exchanges.terms import ExchangeTerms
from nodes.outbox import write_receipt
from nodes.policy import counts_reader, spend
from nodes.scoring import spent
from nodes.scoring.limits import refusals, sentence_of, served_scores
from nodes.scoring.messages import CONSENT_BYTES, SEED_BYTES, Ask
from nodes.scoring.node import ScoringNode
from trust.suite import hmac_sm3, sm3

SINCE: Final = 0x80
SALT_BYTES: Final = 16
REPEAT_MS: Final = 7 * 86_400_000
"""How long a request key gets its first outcome again: a batch that was broken off is gone on with."""
LIMIT: Final = "SCORE_LIMIT_REACHED"

Codes = npt.NDArray[np.uint8]
Reasons = tuple[tuple[str, str], ...]
Bounds = dict[str, tuple[str | None, str | None]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided first, as it is kept: never a value."""

    receipt_id: str
    request_no: int
    root: str
    seed: bytes
    codes: bytes
    reasons: Reasons
    used: bytes


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`subjects`: for each row the subject that may be computed for, None if it is refused. `bounds`: by item, periods by subject."""

    outcome: Outcome
    subjects: tuple[str | None, ...]
    bounds: dict[str, Bounds]

    @property
    def hidden(self) -> npt.NDArray[np.bool_]:
        """bool[n]: rows whose part nobody may learn."""
        return np.asarray(np.frombuffer(self.outcome.codes, np.uint8) != 0)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The request with what this node knew when it came. `brought`: digest of all ciphertexts that it is computed with."""

    ask: Ask
    brought: bytes
    terms: ExchangeTerms
    items: tuple[ItemUse, ...]
    model: spent.Model
    ids: tuple[str, ...]
    views: tuple[ConsentView | None, ...]
    consents: tuple[Sequence[ConsentView], ...]
    freshness: Freshness

    def digest(self) -> bytes:
        """Of the question."""
        return sm3(msgspec.json.encode((self.ids, self.model.model, self.ask.single)))


@dataclass
class _Row:
    """A row while it is decided on: a permit, or why not."""

    permit: Permit | None = None
    refused: tuple[str, str] | None = None


def consent_ids(blob: bytes, rows: int) -> tuple[str, ...]:
    """The consents that a request names. Raises NodeError if they are not one for each row, or one comes twice."""
    if len(blob) != CONSENT_BYTES * rows:
        raise NodeError("The request does not name a consent for each of its rows.", code="PROTOCOL_VIOLATION")
    ids = tuple(str(uuid.UUID(bytes=blob[at : at + CONSENT_BYTES])) for at in range(0, len(blob), CONSENT_BYTES))
    if len(set(ids)) != rows:
        raise NodeError("The request names a consent twice.", code="PROTOCOL_VIOLATION")
    return ids


async def judge(
    node: ScoringNode,
    terms: ExchangeTerms,
    items: tuple[ItemUse, ...],
    model: spent.Model,
    ask: Ask,
    named: bytes,
    brought: bytes,
) -> Verdict:
    """Rules 1 to 5. `brought`: digest of what the requester sent to compute with, when it opened the session and now.

    Raises NodeError; then nothing was spent. A node that cannot know refuses the question, not its rows.
    """
    freshness = node.replica.freshness(node.clock(), node.max_staleness_ms)
    unknown = refuse_by_freshness(freshness, node.clock())
    if unknown is not None:
        raise UseRefused(REASONS[unknown], reason=unknown.value)
    book = node.replica.own_book
    ids = consent_ids(named, ask.rows)
    views = tuple(book.view(each) for each in ids)
    asked = _Asked(
        ask=ask,
        brought=brought,
        terms=terms,
        items=items,
        model=model,
        ids=ids,
        views=views,
        consents=tuple(() if view is None else book.consents_of(view.uscc) for view in views),
        freshness=freshness,
    )
    outcome, rows = await node.store.write(lambda connection: _decide_and_record(connection, node, asked))
    node.written()
    return _once_more(node, asked, outcome, rows)


def _decide_and_record(connection: sqlite3.Connection, node: ScoringNode, asked: _Asked) -> tuple[Outcome, list[_Row]]:
    now_ms = node.clock()
    key = f"{asked.terms.request.requester}/{asked.ask.request_key}"
    known = connection.execute(
        "SELECT digest, outcome, at_ms, brought FROM score_log WHERE request_key = ?", (key,)
    ).fetchone()
    if known is not None:
        outcome, rows = _repeat(node, asked, known[:3], now_ms)
        if known[3] != asked.brought:
            _count_again(connection, node, asked, rows, now_ms)
            connection.execute("UPDATE score_log SET brought = ? WHERE request_key = ?", (asked.brought, key))
        return outcome, rows
    rows = _decide(connection, node, asked, now_ms)
    permitted = [(place, row.permit) for place, row in enumerate(rows) if row.permit is not None]
    spend(connection, *(permit for _, permit in permitted))
    subjects = [_uscc(asked, place) for place, _ in permitted]
    spent.spend(connection, asked.model, subjects, now_ms)
    seed = secrets.token_bytes(SEED_BYTES)
    uses = [_use(asked, place, permit, at, seed) for at, (place, permit) in enumerate(permitted)]
    encoded = [encode(use) for use in uses]
    commitment = SubjectTree(encoded).commitment if uses else BatchCommitment(root="0" * 64, size=0)
    outcome = _outcome(node, rows, uses, seed, "" if asked.ask.single else commitment.root, asked)
    receipt = _receipt(node, asked, outcome, rows, uses, commitment, now_ms)
    write_receipt(connection, receipt, encoded if receipt.batch is not None else ())
    connection.execute(
        "INSERT INTO score_log (request_key, digest, outcome, at_ms, brought) VALUES (?, ?, ?, ?, ?)",
        (key, asked.digest(), msgspec.msgpack.encode(outcome), now_ms, asked.brought),
    )
    return outcome, rows


def _decide(connection: sqlite3.Connection, node: ScoringNode, asked: _Asked, now_ms: int) -> list[_Row]:
    """Rules 2 and 3."""
    counts = counts_reader(connection)
    rows = [_by_consent(node, asked, place, now_ms, counts) for place in range(len(asked.ids))]
    _one_row_each(asked, rows)
    used_today = spent.spent_today(connection, asked.terms.request.requester, now_ms)
    _hold_limits(connection, node, asked, rows, now_ms, used_today)
    return rows


def _hold_limits(
    connection: sqlite3.Connection,
    node: ScoringNode,
    asked: _Asked,
    rows: list[_Row],
    now_ms: int,
    used_today: int,
) -> None:
    """Rule 3: refuse what is beyond. `used_today`: scores of the day before this question."""
    requester, served_left = asked.terms.request.requester, None
    if asked.model.asked:
        served_left = served_scores(node.limits, asked.model.asked) - spent.spent_on_model(connection, asked.model)
    open_rows = [place for place, row in enumerate(rows) if row.permit is not None]
    found, _ = refusals(
        node.limits,
        asked.model.model if asked.model.fields else None,
        (spent.spent_on(connection, requester, _uscc(asked, place), now_ms) for place in open_rows),
        used_today,
        served_left=served_left,
    )
    for place, limit in zip(open_rows, found, strict=True):
        if limit is not None:
            words = f"{sentence_of(node.limits, limit)} (limit {limit}, set by the provider)"
            rows[place] = _Row(refused=(LIMIT, words))


def _count_again(
    connection: sqlite3.Connection, node: ScoringNode, asked: _Asked, rows: list[_Row], now_ms: int
) -> None:
    """Rule 1: the answer counts against the limits of its enterprises and its model; the day's scores have it already."""
    _hold_limits(connection, node, asked, rows, now_ms, used_today=0)
    subjects = [_uscc(asked, place) for place, row in enumerate(rows) if row.permit is not None]
    spent.spend(connection, asked.model, subjects, now_ms, again=True)


def _by_consent(node: ScoringNode, asked: _Asked, place: int, now_ms: int, counts: Any) -> _Row:  # noqa: ANN401
    view = asked.views[place]
    if view is None:
        return _Row(refused=_words(Denial(reason=Reason.NO_CONSENT)))
    decision = decide(
        _request(node, asked, view.uscc, now_ms),
        asked.consents[place],
        asked.freshness,
        node.catalogue,
        node.rules,
        counts,
    )
    return _Row(permit=decision) if isinstance(decision, Permit) else _Row(refused=_words(decision))


def _one_row_each(asked: _Asked, rows: list[_Row]) -> None:
    """Two consents of one subject are two rows: the second is refused, for a subject is scored once in a request."""
    seen: set[str] = set()
    for place, row in enumerate(rows):
        if row.permit is not None and (uscc := _uscc(asked, place)) in seen:
            rows[place] = _Row(refused=("INVALID_ARGUMENT", "The enterprise is in the request twice."))
        elif row.permit is not None:
            seen.add(uscc)


def _repeat(
    node: ScoringNode, asked: _Asked, known: tuple[bytes, bytes, int], now_ms: int
) -> tuple[Outcome, list[_Row]]:
    """Rule 1. The consents that were charged then are decided on as things are now, without counts."""
    digest, encoded, at_ms = known
    if digest != asked.digest() or now_ms - at_ms > REPEAT_MS:
        raise UseRefused(
            "This request key was used for another question, or long ago. Ask with a new one.",
            reason="REQUEST_KEY_USED",
        )
    outcome = msgspec.msgpack.decode(encoded, type=Outcome)
    codes = np.frombuffer(outcome.codes, np.uint8)
    rows = [_Row() for _ in asked.ids]
    for place in np.flatnonzero(codes == 0).tolist():
        view = asked.views[place]
        if view is None:
            rows[place] = _Row(refused=_words(Denial(reason=Reason.NO_CONSENT)))
            continue
        request = _request(node, asked, view.uscc, now_ms)
        decision = decide(request, asked.consents[place], asked.freshness, node.catalogue, node.rules)
        rows[place] = _Row(permit=decision) if isinstance(decision, Permit) else _Row(refused=_words(decision))
    return outcome, rows


def _once_more(node: ScoringNode, asked: _Asked, outcome: Outcome, rows: list[_Row]) -> Verdict:
    """Rule 5, and what a repetition refuses now."""
    book = node.replica.own_book
    codes = np.frombuffer(outcome.codes, np.uint8).copy()
    reasons = list(outcome.reasons)
    bounds: dict[str, Bounds] = {use.item_id: {} for use in asked.items}
    subjects: list[str | None] = []
    for place, row in enumerate(rows):
        refused = row.refused
        if row.permit is not None:
            views = [book.view(record_id) for record_id in row.permit.spends]
            if any(view is None or view.revoked_ms is not None for view in views):
                refused = _words(Denial(reason=Reason.CONSENT_REVOKED))
        if codes[place] == 0 and refused is not None:
            codes[place] = SINCE | _place_of(reasons, refused)
        if codes[place] != 0 or row.permit is None:
            subjects.append(None)
            continue
        subjects.append(uscc := _uscc(asked, place))
        for grant in row.permit.grants:
            if grant.range_from is not None or grant.range_to is not None:
                bounds[grant.item_id][uscc] = (grant.range_from, grant.range_to)
    told = msgspec.structs.replace(outcome, codes=codes.tobytes(), reasons=tuple(reasons))
    return Verdict(outcome=told, subjects=tuple(subjects), bounds=bounds)


def _outcome(
    node: ScoringNode, rows: list[_Row], uses: list[SubjectUse], seed: bytes, root: str, asked: _Asked
) -> Outcome:
    reasons: list[tuple[str, str]] = []
    codes = bytes(0 if row.refused is None else _place_of(reasons, row.refused) for row in rows)
    return Outcome(
        receipt_id=node.new_id(),
        request_no=asked.ask.request_no,
        root=root,
        seed=seed,
        codes=codes,
        reasons=tuple(reasons),
        used=b"".join(uuid.UUID(use.consent_id).bytes for use in uses),
    )


def _receipt(
    node: ScoringNode,
    asked: _Asked,
    outcome: Outcome,
    rows: list[_Row],
    uses: list[SubjectUse],
    commitment: BatchCommitment,
    now_ms: int,
) -> Receipt:
    """Rule 4: who is recorded, and with which digest: the model's commitment leads from the use to the model."""
    refused = Counter(row.refused[0] for row in rows if row.refused is not None)
    decision = "permit" if uses else refused.most_common(1)[0][0]
    view = asked.views[0]
    subject = view.uscc if asked.ask.single and view is not None else ""
    receipt = batch_receipt(
        asked.terms.request,
        side="provider",
        receipt_id=outcome.receipt_id,
        node_id=node.node_id,
        time_ms=now_ms,
        record_count=len(uses),
        commitment=commitment,
        decision=decision,
        request_no=outcome.request_no,
        digest=asked.model.model,
    )
    if not subject:
        return receipt
    consent_id = uses[0].consent_id if uses else None
    return msgspec.structs.replace(receipt, subject=subject, consent_id=consent_id, batch=None)


def salt_of(seed: bytes, place: int) -> str:
    """Hex: the salt of the recorded row at this place among the recorded. Who knows one knows no other."""
    return hmac_sm3(seed, b"xinqiao/score-salt/v1/%d" % place)[:SALT_BYTES].hex()


def _use(asked: _Asked, place: int, permit: Permit, at: int, seed: bytes) -> SubjectUse:
    return SubjectUse(uscc=_uscc(asked, place), consent_id=permit.spends[0], record_count=1, salt=salt_of(seed, at))


def _request(node: ScoringNode, asked: _Asked, uscc: str, now_ms: int) -> UseRequest:
    return UseRequest(
        subject=uscc,
        requester=asked.terms.request.requester,
        provider=node.member_id,
        purpose=asked.terms.request.purpose,
        items=asked.items,
        at_ms=now_ms,
    )


def _uscc(asked: _Asked, place: int) -> str:
    view = asked.views[place]
    if view is None:
        raise AssertionError
    return view.uscc


def _words(denial: Denial) -> tuple[str, str]:
    return denial.reason.value, denial.sentence


def _place_of(reasons: list[tuple[str, str]], reason: tuple[str, str]) -> int:
    """The place of a reason from 1, put behind if it is new; there are far fewer than 127."""
    if reason not in reasons:
        reasons.append(reason)
    return reasons.index(reason) + 1
