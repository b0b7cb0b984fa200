"""Which subjects of a book a use is allowed for: the decision over all consents at once.

Gives for every subject exactly what `decision.decide` gives one by one:
1. What depends on the shared terms is decided once for each distinct terms, with the same functions.
2. What depends on the single consent (its times, its revocation) is compared in columns; only consents with limited uses
   are looked at singly, and only where all else allows the use.
3. A subject with several consents gets for each item the best that any of them gives. Where the choice among several that
   pass matters, `decide` itself makes it.
A million subjects take about a second.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from consent.book import NEVER, ConsentBook
from consent.catalogue import Catalogue
from consent.decision import (
    DAY_MS,
    PROGRESS,
    Counts,
    Denial,
    Freshness,
    ItemUse,
    Permit,
    Reason,
    UseRequest,
    decide,
    longest_validity_ms,
    no_counts,
    refuse_by_counts,
    refuse_by_freshness,
    refuse_by_parties,
    refuse_by_rules,
    refuse_by_scope,
    window_of,
)
from consent.documents import ItemMode, Purpose
from consent.rules import UsageRules

_PERMIT: Final = len(Reason)
"""The code of a row that nothing is against; above those of the reasons, so that the best code is the greatest."""
_ORDER: Final = tuple(Reason)

_Number = TypeVar("_Number", np.int32, np.int64)

Codes = npt.NDArray[np.int8]
Rows = npt.NDArray[np.int64]


class SelectedSubject(NamedTuple):
    """One subject that the use is allowed for, and the consents to charge one use each (none for public items)."""

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
    """Decide for every subject of the book. Public items alone select every subject that has any consent here. Pure."""
    template = UseRequest(subject="", requester=requester, provider=provider, purpose=purpose, items=items, at_ms=at_ms)
    asked = _Asked(template, freshness, catalogue, rules, counts)
    early = asked.refusal()
    if early is not None:
        return Selection(subjects=(), refused=Counter({early: book.subject_count}))
    longest_days = rules.longest_life_days(purpose, max(catalogue.item(use.item_id).level for use in items))
    if all(use.mode is ItemMode.P for use in items):
        public = (SelectedSubject(uscc, (), at_ms + longest_days * DAY_MS) for uscc in dict.fromkeys(book.subjects))
        return Selection(subjects=tuple(public), refused=Counter())
    codes = _codes(book, asked)
    chosen, refused = _decide_single(book, codes)
    several, fallback, refused_several = _decide_several(book, codes)
    rows = np.concatenate([chosen, several])
    life_days = np.array([min(terms.data_life_days, longest_days) for terms in book.terms] or [0], dtype=np.int64)
    delete_by = at_ms + DAY_MS * life_days[_column(book.terms_column, np.int32)[rows]]
    selected = _selected(book, rows.tolist(), delete_by.tolist())
    # The place of a subject is its first row; for those with several, the chosen one may be later.
    places = [*chosen.tolist(), *(book.rows_of(book.subjects[row])[0] for row in several.tolist())]
    counter = Counter({_ORDER[code]: n for code, n in enumerate((refused + refused_several).tolist()) if n})
    for first in fallback:
        outcome = asked.decide(book, book.subjects[first])
        if isinstance(outcome, Permit):
            selected.append(SelectedSubject(book.subjects[first], outcome.spends, outcome.delete_by_ms))
            places.append(first)
        else:
            counter[outcome.reason] += 1
    if len(places) > len(chosen):
        selected = [selected[at] for at in np.argsort(np.array(places), kind="stable").tolist()]
    return Selection(subjects=tuple(selected), refused=counter)


@dataclass(frozen=True)
class _Asked:
    """What is asked of every subject, and what is known for all of them."""

    template: UseRequest
    freshness: Freshness
    catalogue: Catalogue
    rules: UsageRules
    counts: Counts

    def refusal(self) -> Reason | None:
        """Rules 1 to 4 of the decision, the same for every subject."""
        if not self.template.items:
            return Reason.ITEM_UNKNOWN
        for use in self.template.items:
            refused = refuse_by_rules(use, self.catalogue.find(use.item_id), self.template.purpose, self.rules)
            if refused is not None:
                return refused
        if any(use.mode is not ItemMode.P for use in self.template.items):
            return refuse_by_freshness(self.freshness, self.template.at_ms)
        return None

    def decide(self, book: ConsentBook, uscc: str) -> Permit | Denial:
        """The decision for one subject."""
        each = self.template
        request = UseRequest(
            subject=uscc,
            requester=each.requester,
            provider=each.provider,
            purpose=each.purpose,
            items=each.items,
            at_ms=each.at_ms,
        )
        return decide(request, book.consents_of(uscc), self.freshness, self.catalogue, self.rules, self.counts)


def _column(numbers: array[int], kind: type[_Number]) -> npt.NDArray[_Number]:
    """A column of the book without a copy; it must not outlive the call, or the book could not grow."""
    return np.frombuffer(numbers, dtype=kind) if len(numbers) else np.empty(0, kind)


def _codes(book: ConsentBook, asked: _Asked) -> list[Codes]:
    """For each item that needs consent and each row of the book: the place of the first reason against it, or _PERMIT."""
    terms_column = _column(book.terms_column, np.int32)
    times = _times_codes(book, asked)
    codes = []
    for use in asked.template.items:
        if use.mode is ItemMode.P:
            continue
        parties, scope = _terms_codes(book, asked, use)
        # The codes are in the order of the checks, so the first reason against a row is the least of its codes.
        codes.append(np.minimum(np.minimum(parties[terms_column], times), scope[terms_column]))
    spent = _spent_codes(book, asked, np.logical_or.reduce([each == _PERMIT for each in codes]))
    return [np.minimum(each, spent) for each in codes]


def _terms_codes(book: ConsentBook, asked: _Asked, use: ItemUse) -> tuple[Codes, Codes]:
    """What lies in the distinct terms: rule 5a, and rules 5d to 5f."""
    each = asked.template
    level = asked.catalogue.item(use.item_id).level
    separate = asked.rules.levels[level].separate_consent
    parties = [refuse_by_parties(each.requester, each.provider, terms) for terms in book.terms]
    scope = [refuse_by_scope(each.purpose, use, terms, separate=separate) for terms in book.terms]
    return _code_array(parties), _code_array(scope)


def _code_array(reasons: Iterable[Reason | None]) -> Codes:
    return np.array([_PERMIT if reason is None else PROGRESS[reason] for reason in reasons], dtype=np.int8)


def _times_codes(book: ConsentBook, asked: _Asked) -> Codes:
    """What lies in the single consent: rule 5c, the first check that fails."""
    at_ms = asked.template.at_ms
    begins, ends = _column(book.valid_from, np.int64), _column(book.valid_to, np.int64)
    longest = np.array([longest_validity_ms(terms, asked.rules) for terms in book.terms], dtype=np.int64)
    ended = (at_ms >= ends) | (at_ms >= begins + longest[_column(book.terms_column, np.int32)])
    codes = np.full(len(book), _PERMIT, np.int8)
    codes[ended] = PROGRESS[Reason.CONSENT_EXPIRED]
    codes[_column(book.revoked, np.int64) != NEVER] = PROGRESS[Reason.CONSENT_REVOKED]
    codes[at_ms < begins] = PROGRESS[Reason.CONSENT_NOT_YET_VALID]
    return codes


def _spent_codes(book: ConsentBook, asked: _Asked, open_rows: npt.NDArray[np.bool_]) -> Codes:
    """Rule 5g for the rows that all else allows for some item."""
    codes = np.full(len(book), _PERMIT, np.int8)
    limited = np.array([terms.limit is not None or terms.frequency is not None for terms in book.terms], dtype=bool)
    windows = [window_of(terms, asked.template.at_ms) for terms in book.terms]
    for row in np.flatnonzero(open_rows & limited[_column(book.terms_column, np.int32)]).tolist():
        place = book.terms_column[row]
        reason = refuse_by_counts(book.terms[place], asked.counts(book.record_ids[row], windows[place]))
        if reason is not None:
            codes[row] = PROGRESS[reason]
    return codes


def _first_refusal(codes: list[Codes]) -> Codes:
    """Rule 7: the code of the first item that is refused, or _PERMIT."""
    first = codes[0]
    for later in codes[1:]:
        first = np.where(first == _PERMIT, later, first)
    return first


def _decide_single(book: ConsentBook, codes: list[Codes]) -> tuple[Rows, Rows]:
    """The subjects with one consent: their rows if allowed, and how many are refused by code."""
    single = np.ones(len(book), dtype=bool)
    single[_flat(book.subjects_with_several())] = False
    first = _first_refusal(codes)
    refused = np.bincount(first[single], minlength=_PERMIT + 1)[:_PERMIT]
    return np.flatnonzero(single & (first == _PERMIT)), refused


def _decide_several(book: ConsentBook, codes: list[Codes]) -> tuple[Rows, list[int], Rows]:
    """The subjects with several consents, in three parts.

    The rows that alone allow every item; the first rows of the subjects for which `decide` has to choose; how many are
    refused by code.
    """
    groups = book.subjects_with_several()
    if not groups:
        return np.empty(0, np.int64), [], np.zeros(_PERMIT, np.int64)
    rows = _flat(groups)
    starts = np.cumsum([0, *map(len, groups[:-1])])
    first = _first_refusal([np.maximum.reduceat(each[rows], starts) for each in codes])
    refused = np.bincount(first, minlength=_PERMIT + 1)[:_PERMIT]
    passing = [each[rows] == _PERMIT for each in codes]
    # One consent passes for every item, and no other for any: then the choice is plain.
    by_all = np.add.reduceat(np.logical_and.reduce(passing).astype(np.int64), starts)
    by_any = np.add.reduceat(np.logical_or.reduce(passing).astype(np.int64), starts)
    plain = (first == _PERMIT) & (by_all == 1) & (by_any == 1)
    row = np.add.reduceat(rows * np.logical_and.reduce(passing), starts)
    fallback = rows[starts][(first == _PERMIT) & ~plain]
    return row[plain], fallback.tolist(), refused


def _flat(groups: list[list[int]]) -> Rows:
    return np.fromiter(chain.from_iterable(groups), dtype=np.int64)


def _selected(book: ConsentBook, rows: list[int], delete_by: list[int]) -> list[SelectedSubject]:
    """The outcome of rows that alone allow the use."""
    subjects = map(book.subjects.__getitem__, rows)
    record_ids = zip(map(book.record_ids.__getitem__, rows), strict=True)
    return list(map(SelectedSubject, subjects, record_ids, delete_by))
