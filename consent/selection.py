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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt

from consent.catalogue import Catalogue
from consent.columns import NEVER, ConsentColumns
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
_NO_END: Final = np.iinfo(np.int64).max

_Number = TypeVar("_Number", np.int32, np.int64)

Codes = npt.NDArray[np.int8]
Rows = npt.NDArray[np.int64]


class SelectedSubject(NamedTuple):
    """One subject that the use is allowed for, and the consents to charge one use each (none for public items)."""

    uscc: str
    record_ids: tuple[str, ...]
    delete_by_ms: int


@dataclass(frozen=True, slots=True)
class SelectedSubjects(Sequence[SelectedSubject]):
    """The subjects that are allowed, in columns: a million objects would take longer to make than the decision."""

    usccs: Sequence[str]
    record_ids: Sequence[tuple[str, ...]]
    delete_by_ms: Sequence[int]

    def __len__(self) -> int:
        return len(self.usccs)

    def __iter__(self) -> Iterator[SelectedSubject]:
        return map(SelectedSubject, self.usccs, self.record_ids, self.delete_by_ms)

    @overload
    def __getitem__(self, at: int) -> SelectedSubject: ...

    @overload
    def __getitem__(self, at: slice) -> SelectedSubjects: ...

    def __getitem__(self, at: int | slice) -> SelectedSubject | SelectedSubjects:
        if isinstance(at, slice):
            return SelectedSubjects(self.usccs[at], self.record_ids[at], self.delete_by_ms[at])
        return SelectedSubject(self.usccs[at], self.record_ids[at], self.delete_by_ms[at])


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The outcome for all subjects of a book: those allowed in the order of their first consent, and how many not, and why."""

    subjects: SelectedSubjects
    refused: Counter[Reason]


def select_subjects(
    book: ConsentColumns,
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
        return Selection(subjects=SelectedSubjects((), (), ()), refused=Counter({early: book.subject_count}))
    longest_days = rules.longest_life_days(purpose, max(catalogue.item(use.item_id).level for use in items))
    if all(use.mode is ItemMode.P for use in items):
        usccs = list(dict.fromkeys(islice(book.subjects, len(book))))
        public = SelectedSubjects(usccs, [()] * len(usccs), [at_ms + longest_days * DAY_MS] * len(usccs))
        return Selection(subjects=public, refused=Counter())
    codes = _codes(book, asked)
    groups = book.subjects_with_several()
    alone, refused_alone = _decide_single(book, codes, groups)
    several = _decide_several(book, codes, groups, rules)
    refused = Counter({_ORDER[code]: n for code, n in enumerate((refused_alone + several.refused).tolist()) if n})
    life_ms = [min(terms.data_life_days, longest_days) * DAY_MS for terms in book.terms]
    allowed = _Allowed(book, np.concatenate([alone, several.rows]), [at_ms + each for each in life_ms])
    firsts = [alone, several.firsts]
    for first in several.undecided:
        outcome = asked.decide(book, book.subjects[first])
        if isinstance(outcome, Denial):
            refused[outcome.reason] += 1
        else:
            allowed.add(book.subjects[first], outcome)
            firsts.append(np.array([first]))
    return Selection(subjects=allowed.ordered(np.concatenate(firsts)), refused=refused)


class _Allowed:
    """The columns of the outcome while they are put together."""

    def __init__(self, book: ConsentColumns, rows: Rows, delete_by_of_terms: list[int]) -> None:
        """Begin with the subjects of these rows, each allowed by its row alone."""
        places = rows.tolist()
        self._usccs = [book.subjects[row] for row in places]
        self._record_ids: list[tuple[str, ...]] = list(zip([book.record_ids[row] for row in places], strict=True))
        self._delete_by = [delete_by_of_terms[book.terms_column[row]] for row in places]

    def add(self, uscc: str, permit: Permit) -> None:
        """Add a subject on which `decide` decided."""
        self._usccs.append(uscc)
        self._record_ids.append(permit.spends)
        self._delete_by.append(permit.delete_by_ms)

    def ordered(self, keys: Rows) -> SelectedSubjects:
        """The columns in the order of the keys, one a subject."""
        order = np.argsort(keys, kind="stable").tolist()
        return SelectedSubjects(
            [self._usccs[at] for at in order],
            [self._record_ids[at] for at in order],
            [self._delete_by[at] for at in order],
        )


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

    def decide(self, book: ConsentColumns, uscc: str) -> Permit | Denial:
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
    """A column of the book without a copy; as long as it lives the book cannot grow (but a snapshot of it does not)."""
    return np.frombuffer(numbers, dtype=kind) if len(numbers) else np.empty(0, kind)


def _codes(book: ConsentColumns, asked: _Asked) -> list[Codes]:
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


def _terms_codes(book: ConsentColumns, asked: _Asked, use: ItemUse) -> tuple[Codes, Codes]:
    """What lies in the distinct terms: rule 5a, and rules 5d to 5f."""
    each = asked.template
    level = asked.catalogue.item(use.item_id).level
    separate = asked.rules.separate_consent_needed(level)
    parties = [refuse_by_parties(each.requester, each.provider, terms) for terms in book.terms]
    scope = [refuse_by_scope(each.purpose, use, terms, separate=separate) for terms in book.terms]
    return _code_array(parties), _code_array(scope)


def _code_array(reasons: Iterable[Reason | None]) -> Codes:
    return np.array([_PERMIT if reason is None else PROGRESS[reason] for reason in reasons], dtype=np.int8)


def _times_codes(book: ConsentColumns, asked: _Asked) -> Codes:
    """What lies in the single consent: rule 5c, the first check that fails."""
    at_ms = asked.template.at_ms
    begins, ended = _column(book.valid_from, np.int64), at_ms >= _ends(book, asked.rules)
    codes = np.full(len(book), _PERMIT, np.int8)
    codes[ended] = PROGRESS[Reason.CONSENT_EXPIRED]
    codes[_column(book.revoked, np.int64) != NEVER] = PROGRESS[Reason.CONSENT_REVOKED]
    codes[at_ms < begins] = PROGRESS[Reason.CONSENT_NOT_YET_VALID]
    return codes


def _ends(book: ConsentColumns, rules: UsageRules) -> Rows:
    """When each consent ends: by its own limit, or by the longest validity of its purpose."""
    longest = np.array([rules.latest_end_ms(terms.purpose, 0) for terms in book.terms], dtype=np.int64)
    latest = _column(book.valid_from, np.int64) + longest[_column(book.terms_column, np.int32)]
    ends: Rows = np.minimum(_column(book.valid_to, np.int64), latest)
    return ends


def _spent_codes(book: ConsentColumns, asked: _Asked, open_rows: npt.NDArray[np.bool_]) -> Codes:
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


def _decide_single(book: ConsentColumns, codes: list[Codes], groups: list[list[int]]) -> tuple[Rows, Rows]:
    """The subjects with one consent: their rows if allowed, and how many are refused by code."""
    single = np.ones(len(book), dtype=bool)
    single[_flat(groups)] = False
    first = _first_refusal(codes)
    refused = np.bincount(first[single], minlength=_PERMIT + 1)[:_PERMIT]
    return np.flatnonzero(single & (first == _PERMIT)), refused


class _Several(NamedTuple):
    """The subjects with several consents: those with one plain choice, those that `decide` has to look at, the refused."""

    rows: Rows
    firsts: Rows
    undecided: list[int]
    refused: Rows


def _decide_several(book: ConsentColumns, codes: list[Codes], groups: list[list[int]], rules: UsageRules) -> _Several:
    if not groups:
        return _Several(np.empty(0, np.int64), np.empty(0, np.int64), [], np.zeros(_PERMIT, np.int64))
    rows = _flat(groups)
    lengths = np.fromiter(map(len, groups), dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    first = _first_refusal([np.maximum.reduceat(each[rows], starts) for each in codes])
    refused = np.bincount(first, minlength=_PERMIT + 1)[:_PERMIT]
    # Rule 6, where one consent is the first to end for every item. Ties, and choices that differ, are left to `decide`.
    plain = first == _PERMIT
    chosen: Rows | None = None
    all_ends = _ends(book, rules)[rows]
    for each in codes:
        ends = np.where(each[rows] == _PERMIT, all_ends, _NO_END)
        best = ends == np.repeat(np.minimum.reduceat(ends, starts), lengths)
        row = np.add.reduceat(rows * best, starts)
        plain &= np.add.reduceat(best.astype(np.int64), starts) == 1
        plain &= row == (row if chosen is None else chosen)
        chosen = row
    firsts = rows[starts]
    return _Several(row[plain], firsts[plain], firsts[(first == _PERMIT) & ~plain].tolist(), refused)


def _flat(groups: list[list[int]]) -> Rows:
    return np.fromiter(chain.from_iterable(groups), dtype=np.int64)
