"""Which subjects of a book a use is allowed for: the decision over all consents at once.

Gives for every subject exactly what `decision.decide` gives one by one. What depends on the shared terms is decided once for each
distinct terms; what depends on the single consent is compared in columns; only consents with limited uses are looked at singly.
A million subjects take about a second.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from consent.book import NEVER, ConsentBook
from consent.catalogue import Catalogue
from consent.decision import (
    PROGRESS,
    Counts,
    Freshness,
    ItemUse,
    Permit,
    Reason,
    Terms,
    UseRequest,
    decide,
    no_counts,
    refuse_by_counts,
    refuse_by_freshness,
    refuse_by_rules,
    refuse_by_terms,
    window_of,
)
from consent.documents import ItemMode, Purpose
from consent.rules import UsageRules

DAY_MS: Final = 86_400_000
_PERMIT: Final = len(Reason)
_ORDER: Final = tuple(Reason)

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class SelectedSubject:
    """One subject that the use is allowed for, with the consents that allow it."""

    uscc: str
    record_ids: tuple[str, ...]
    delete_by_ms: int


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The outcome for all subjects of a book: those allowed in the order of their first consent, and how many not, and why."""

    subjects: tuple[SelectedSubject, ...]
    refused: Counter[Reason]


def select_subjects(
    book: ConsentBook,
    *,
    requester: str,
    provider: str,
    purpose: Purpose,
    items: tuple[ItemUse, ...],
    at_ms: int,
    freshness: Freshness,
    catalogue: Catalogue,
    rules: UsageRules,
    counts: Counts = no_counts,
) -> Selection:
    """Decide for every subject of the book. Public items alone select every subject that has any consent here."""
    request = UseRequest(subject="", requester=requester, provider=provider, purpose=purpose, items=items, at_ms=at_ms)
    early = _refuse_all(request, freshness, catalogue, rules)
    if early is not None:
        return Selection(subjects=(), refused=Counter({early: len(set(book.subjects))}))
    codes = [_codes(book, request, use, catalogue, counts) for use in items if use.mode is not ItemMode.P]
    level = max(catalogue.item(use.item_id).level for use in items)
    longest_days = rules.longest_life_days(purpose, level)
    life_ms = np.array([min(terms.data_life_days, longest_days) * DAY_MS for terms in book.terms] or [0], dtype=np.int64)
    terms_column = np.frombuffer(book.terms_column, dtype=np.int32) if len(book) else np.empty(0, np.int32)
    delete_by = (at_ms + life_ms[terms_column]).tolist() if len(book) else []
    rows = [column.tolist() for column in codes]
    chosen: list[SelectedSubject] = []
    refused: Counter[Reason] = Counter()
    seen: set[str] = set()
    for row, uscc in enumerate(book.subjects):
        own = book.rows_of(uscc)
        if len(own) == 1:
            worst = _first_refusal(rows, row)
            if worst is None:
                chosen.append(SelectedSubject(uscc=uscc, record_ids=(book.record_ids[row],), delete_by_ms=delete_by[row]))
            else:
                refused[worst] += 1
        elif uscc not in seen:
            seen.add(uscc)
            outcome = decide(
                UseRequest(
                    subject=uscc, requester=requester, provider=provider, purpose=purpose, items=items, at_ms=at_ms
                ),
                book.consents_of(uscc),
                freshness,
                catalogue,
                rules,
                counts,
            )
            if isinstance(outcome, Permit):
                chosen.append(SelectedSubject(uscc=uscc, record_ids=outcome.spends, delete_by_ms=outcome.delete_by_ms))
            else:
                refused[outcome.reason] += 1
    return Selection(subjects=tuple(chosen), refused=refused)


def _refuse_all(request: UseRequest, freshness: Freshness, catalogue: Catalogue, rules: UsageRules) -> Reason | None:
    """Rules 1 to 4 of the decision, the same for every subject."""
    for use in request.items:
        refused = refuse_by_rules(use, catalogue.find(use.item_id), request.purpose, rules)
        if refused is not None:
            return refused
    if any(use.mode is not ItemMode.P for use in request.items):
        return refuse_by_freshness(freshness, request.at_ms)
    return None


def _first_refusal(columns: list[list[int]], row: int) -> Reason | None:
    for column in columns:
        if column[row] != _PERMIT:
            return _ORDER[column[row]]
    return None


def _codes(book: ConsentBook, request: UseRequest, use: ItemUse, catalogue: Catalogue, counts: Counts) -> Codes:
    """For one item and each row of the book: the place of the first reason against it, or _PERMIT."""
    size = len(book)
    if size == 0:
        return np.empty(0, np.int8)
    level = catalogue.item(use.item_id).level
    before, after = _terms_codes(book.terms, request, use, level)
    terms_column = np.frombuffer(book.terms_column, dtype=np.int32)
    valid_from = np.frombuffer(book.valid_from, dtype=np.int64)
    valid_to = np.frombuffer(book.valid_to, dtype=np.int64)
    revoked = np.frombuffer(book.revoked, dtype=np.int64)
    codes = before[terms_column]
    for against, reason in (
        (request.at_ms < valid_from, Reason.CONSENT_NOT_YET_VALID),
        (revoked != NEVER, Reason.CONSENT_REVOKED),
        (request.at_ms >= valid_to, Reason.CONSENT_EXPIRED),
    ):
        codes = np.where((codes == _PERMIT) & against, np.int8(PROGRESS[reason]), codes)
    codes = np.where(codes == _PERMIT, after[terms_column], codes)
    limited = np.array([terms.limit is not None or terms.frequency is not None for terms in book.terms])
    for row in np.flatnonzero((codes == _PERMIT) & limited[terms_column]).tolist():
        terms = book.terms[book.terms_column[row]]
        spent = refuse_by_counts(terms, counts(book.record_ids[row], window_of(terms, request.at_ms)))
        if spent is not None:
            codes[row] = PROGRESS[spent]
    return codes


def _terms_codes(terms: list[Terms], request: UseRequest, use: ItemUse, level: int) -> tuple[Codes, Codes]:
    """The reasons that lie in the terms, split into those checked before and after the consent's own times."""
    before, after = np.full(len(terms), _PERMIT, np.int8), np.full(len(terms), _PERMIT, np.int8)
    for place, each in enumerate(terms):
        checks = refuse_by_terms(request.requester, request.provider, request.purpose, use, level, each)
        early = next((reason for reason in checks[:2] if reason is not None), None)
        late = next((reason for reason in checks[2:] if reason is not None), None)
        if early is not None:
            before[place] = PROGRESS[early]
        if late is not None:
            after[place] = PROGRESS[late]
    return before, after

