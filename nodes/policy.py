"""The policy enforcement point of a provider's node: nothing leaves without passing through here.

For each query, in this order:
1. A repeated request key gets its first outcome again, for a short time, and spends nothing; it must be the same question, and it
   is refused if the consent ended meanwhile.
2. What is asked must lie within what the exchange was opened for, and be for this provider.
3. `consent.decision.decide` says yes with obligations, or no with one reason.
4. In one transaction, before anything leaves: the counts are read, the decision is made, the uses are spent, the records are
   looked up and put under their obligations, and the receipt is written. Functions of the store run one after another, so two
   requests never spend the last use twice; a crash before the commit spends nothing and sends nothing, one after it is answered
   under the same request key.
5. After the commit the verified replica is looked at once more: a consent that was withdrawn in between refuses.

A refusal is recorded like a use.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from consent.catalogue import Catalogue
from consent.decision import ConsentView, Denial, Freshness, ItemUse, Permit, Reason, UseCounts, UseRequest, decide
from consent.documents import ItemMode
from consent.masking import apply_to_record
from consent.rules import UsageRules
from consent.usage import Receipt
from nodes.exchanges.frames import QueryRequest
from nodes.exchanges.terms import ExchangeTerms
from nodes.outbox import write_receipt
from nodes.replica import Replica
from nodes.store import Store
from trust.suite import sm3

log = logging.getLogger(__name__)

REPEAT_MS: Final = 600_000
"""How long a request key gets its first outcome again."""


class Records(Protocol):
    """The node's own data, as far as a query needs it."""

    def lookup(self, item_id: str, uscc: str) -> Sequence[dict[str, Any]]:
        """The subject's records of an item, checked and typed; none if there are none."""
        ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What leaves the node: records (JSON {item: [record]}), or None with a reason."""

    records: bytes | None
    record_count: int = 0
    consent_ids: tuple[str, ...] = ()
    delete_by_ms: int = 0
    remaining_uses: int | None = None
    receipt_id: str = ""
    reason: str = ""
    detail: str = ""


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the query log keeps of a permit: never a value."""

    receipt_id: str
    consent_ids: tuple[str, ...]
    delete_by_ms: int
    remaining_uses: int | None


class PolicyEnforcementPoint:
    """Answers queries for this provider."""

    def __init__(
        self,
        *,
        store: Store,
        replica: Replica,
        records: Records,
        catalogue: Catalogue,
        rules: UsageRules,
        member_id: str,
        node_id: str,
        max_staleness_ms: int,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        written: Callable[[], None],
    ) -> None:
        self._store = store
        self._replica = replica
        self._records = records
        self._catalogue = catalogue
        self._rules = rules
        self._member_id = member_id
        self._node_id = node_id
        self._max_staleness_ms = max_staleness_ms
        self._clock = clock
        self._new_id = new_id
        self._written = written

    def freshness(self) -> Freshness:
        """How well consents are known now."""
        return self._replica.freshness(self._clock(), self._max_staleness_ms)

    async def answer_query(self, terms: ExchangeTerms, query: QueryRequest) -> Answer:
        """Rules 1 to 5. Raises StoreFailed if the node's disk refuses; then nothing was spent and nothing leaves."""
        consents = self._replica.own_book.consents_of(query.uscc)
        freshness = self.freshness()

        def work(connection: sqlite3.Connection) -> Answer:
            return self._decide_and_record(connection, terms, query, consents, freshness)

        answer = await self._store.write(work)
        self._written()
        if answer.records is not None and self._withdrawn(answer.consent_ids):
            return _refusal(Denial(reason=Reason.CONSENT_REVOKED), answer.receipt_id)
        return answer

    def _withdrawn(self, consent_ids: tuple[str, ...]) -> bool:
        views = [self._replica.own_book.view(record_id) for record_id in consent_ids]
        return any(view is None or view.revoked_ms is not None for view in views)

    def _decide_and_record(
        self,
        connection: sqlite3.Connection,
        terms: ExchangeTerms,
        query: QueryRequest,
        consents: Sequence[ConsentView],
        freshness: Freshness,
    ) -> Answer:
        now_ms = self._clock()
        key = f"{terms.request.requester}/{query.request_key}"
        digest = sm3(msgspec.json.encode((query.uscc, query.items, terms.request.product_id, terms.request.purpose)))
        request = UseRequest(
            subject=query.uscc,
            requester=terms.request.requester,
            provider=self._member_id,
            purpose=terms.request.purpose,
            items=query.items,
            at_ms=now_ms,
        )
        before = connection.execute(
            "SELECT request_digest, outcome, at_ms FROM query_log WHERE request_key = ?", (key,)
        ).fetchone()
        if before is not None:
            return self._repeat(before, digest, request, consents, freshness)
        decision = _outside(terms, query.items) or decide(
            request, consents, freshness, self._catalogue, self._rules, counts_reader(connection)
        )
        receipt_id = self._new_id()
        if isinstance(decision, Denial):
            answer = _refusal(decision, receipt_id)
        else:
            spend(connection, decision)
            records, count = self._look_up(decision, query.uscc)
            answer = _permitted(decision, records, count, receipt_id)
        write_receipt(connection, self._receipt(terms, query, receipt_id, now_ms, decision, answer))
        if isinstance(decision, Permit):
            self._remember(connection, key, terms, query, digest, answer, now_ms)
        return answer

    def _repeat(
        self,
        before: tuple[bytes, bytes, int],
        digest: bytes,
        request: UseRequest,
        consents: Sequence[ConsentView],
        freshness: Freshness,
    ) -> Answer:
        """Rule 1: the same question under the same key; its use was counted, so nothing is counted now."""
        first_digest, encoded, at_ms = before
        outcome = msgspec.json.decode(encoded, type=_Outcome)
        if first_digest != digest or request.at_ms - at_ms > REPEAT_MS:
            return Answer(
                records=None,
                reason="REQUEST_KEY_USED",
                detail="This request key was used for another question, or long ago. Ask with a new one.",
                receipt_id=outcome.receipt_id,
            )
        used = [view for view in consents if view.record_id in outcome.consent_ids]
        decision = decide(request, used, freshness, self._catalogue, self._rules)
        if isinstance(decision, Denial):
            return _refusal(decision, outcome.receipt_id)
        records, count = self._look_up(decision, request.subject)
        return Answer(
            records=records,
            record_count=count,
            consent_ids=outcome.consent_ids,
            delete_by_ms=outcome.delete_by_ms,
            remaining_uses=outcome.remaining_uses,
            receipt_id=outcome.receipt_id,
        )

    def _look_up(self, permit: Permit, uscc: str) -> tuple[bytes, int]:
        """The permitted records under their obligations, as JSON, and their number."""
        found: dict[str, list[dict[str, object]]] = {}
        for grant in permit.grants:
            item = self._catalogue.item(grant.item_id)
            masking = dict(grant.masking)
            found[grant.item_id] = [
                apply_to_record(item, record, grant.fields, masking, verification=grant.mode is ItemMode.V)
                for record in self._records.lookup(grant.item_id, uscc)
                if in_range(record, item.period_field, grant.range_from, grant.range_to)
            ]
        return msgspec.json.encode(found), sum(map(len, found.values()))

    def _receipt(
        self,
        terms: ExchangeTerms,
        query: QueryRequest,
        receipt_id: str,
        now_ms: int,
        decision: Permit | Denial,
        answer: Answer,
    ) -> Receipt:
        asked = terms.request
        return Receipt(
            receipt_id=receipt_id,
            side="provider",
            exchange_id=asked.exchange_id,
            request_no=query.request_no,
            user=asked.user,
            institution=asked.requester,
            node_id=self._node_id,
            time_ms=now_ms,
            reason=asked.reason,
            items=tuple(item.item_id for item in query.items),
            fields=tuple(f"{item.item_id}.{name}" for item in query.items for name in item.fields),
            subject=query.uscc,
            purpose=asked.purpose,
            consent_id=answer.consent_ids[0] if answer.consent_ids else None,
            mode=asked.mode,
            record_count=answer.record_count,
            digest=sm3(answer.records).hex() if answer.records is not None else "",
            decision="permit" if isinstance(decision, Permit) else decision.reason.value,
        )

    def _remember(
        self,
        connection: sqlite3.Connection,
        key: str,
        terms: ExchangeTerms,
        query: QueryRequest,
        digest: bytes,
        answer: Answer,
        now_ms: int,
    ) -> None:
        outcome = _Outcome(
            receipt_id=answer.receipt_id,
            consent_ids=answer.consent_ids,
            delete_by_ms=answer.delete_by_ms,
            remaining_uses=answer.remaining_uses,
        )
        connection.execute(
            "INSERT INTO query_log (request_key, exchange_id, request_no, request_digest, decision, outcome, receipt_id, at_ms)"
            " VALUES (?, ?, ?, ?, 'permit', ?, ?, ?)",
            (key, terms.exchange_id, query.request_no, digest, msgspec.json.encode(outcome), answer.receipt_id, now_ms),
        )


def counts_reader(connection: sqlite3.Connection) -> Callable[[str, int | None], UseCounts]:
    """Uses spent so far, read in the transaction that spends."""

    def counts(record_id: str, window_start: int | None) -> UseCounts:
        total = connection.execute("SELECT total FROM uses WHERE record_id = ?", (record_id,)).fetchone()
        if window_start is None:
            return UseCounts(total=total[0] if total else 0)
        window = connection.execute(
            "SELECT used FROM use_windows WHERE record_id = ? AND window_start_ms = ?", (record_id, window_start)
        ).fetchone()
        return UseCounts(total=total[0] if total else 0, in_window=window[0] if window else 0)

    return counts


def spend(connection: sqlite3.Connection, *permits: Permit) -> None:
    """Charge one use to every consent of each permit."""
    connection.executemany(
        "INSERT INTO uses (record_id, total) VALUES (?, 1) ON CONFLICT (record_id) DO UPDATE SET total = total + 1",
        [(record_id,) for permit in permits for record_id in permit.spends],
    )
    connection.executemany(
        "INSERT INTO use_windows (record_id, window_start_ms, used) VALUES (?, ?, 1)"
        " ON CONFLICT (record_id, window_start_ms) DO UPDATE SET used = used + 1",
        [window for permit in permits for window in permit.windows],
    )


def in_range(record: dict[str, Any], period_field: str | None, first: str | None, last: str | None) -> bool:
    """Whether a record's period lies in a consent's bounds. A bounded consent shows no record without a period: fail closed."""
    if first is None and last is None:
        return True
    period = str(record.get(period_field, "")) if period_field is not None else ""
    if not period:
        return False
    return (first is None or period >= first[: len(period)]) and (last is None or period <= last[: len(period)])


def _outside(terms: ExchangeTerms, items: tuple[ItemUse, ...]) -> Denial | None:
    """Rule 2: a query stays within the items, modes and fields that its exchange was opened for."""
    opened = {(item.item_id, item.mode): item for item in terms.request.items}
    for use in items:
        asked = opened.get((use.item_id, use.mode))
        if asked is None:
            return Denial(reason=Reason.ITEM_NOT_COVERED, item_id=use.item_id)
        if asked.fields and (not use.fields or not set(use.fields) <= set(asked.fields)):
            return Denial(reason=Reason.FIELD_NOT_COVERED, item_id=use.item_id)
    return None if items else Denial(reason=Reason.ITEM_NOT_COVERED)


def _refusal(denial: Denial, receipt_id: str) -> Answer:
    return Answer(records=None, reason=denial.reason.value, detail=denial.sentence, receipt_id=receipt_id)


def _permitted(permit: Permit, records: bytes, count: int, receipt_id: str) -> Answer:
    return Answer(
        records=records,
        record_count=count,
        consent_ids=permit.spends,
        delete_by_ms=permit.delete_by_ms,
        remaining_uses=permit.remaining_uses,
        receipt_id=receipt_id,
    )
