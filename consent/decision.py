"""The consent decision: one pure function from a request and what is known to a permit or one reason why not.

It runs in the provider's node, where it counts, and again in the requester's. Rules, in the order in which they are
checked:

 1. There must be an item, and every item and field must be in the catalogue (ITEM_UNKNOWN) and be provided at all
    (ITEM_NOT_PROVIDED: its only mode is X).
 2. An item that is asked for in mode P must be public in the catalogue; it needs no consent and is still recorded.
 3. For every other item the mode must be one that the catalogue allows for it, and the usage rules for the purpose
    (MODE_NOT_ALLOWED).
 4. If any item needs consent: the log must be consistent (LOG_INCONSISTENT), and its newest verified checkpoint younger
    than `max_staleness_ms` (CONSENT_STALE); one that is dated as far ahead proves nothing either. A node that cannot
    know of revocations refuses.
 5. There must be a consent of this subject (NO_CONSENT); then, for each consent, in this order:
    a. it is for this provider (WRONG_PROVIDER) and names this requester (WRONG_GRANTEE);
    b. its signature was verified (SIGNATURE_INVALID);
    c. it has begun (CONSENT_NOT_YET_VALID), is not revoked (CONSENT_REVOKED), and has not ended (CONSENT_EXPIRED),
       neither by its own limit nor by the longest validity that the usage rules give its purpose; valid in [from, to);
    d. its purpose is the request's (PURPOSE_NOT_COVERED);
    e. it covers the item (ITEM_NOT_COVERED), in this mode (MODE_NOT_ALLOWED), with these fields (FIELD_NOT_COVERED);
    f. an item whose level demands it (4) was consented to separately (SEPARATE_CONSENT_REQUIRED);
    g. uses are left (USES_EXHAUSTED; "once" means one use in all), and the frequency is kept (FREQUENCY_EXCEEDED).
 6. Of several consents that pass, the one that ends first is used, then the smaller identifier; if none passes, the
    reason is that of the consent that got furthest, then of the smaller identifier.
 7. All items or nothing: the first item that is refused refuses the request.

A permit carries its obligations: the fields, the masking of each, the bounds on the record's period, and when the data
must be deleted. Every distinct consent of a permit is charged one use. Source: guideline 6.6.1; protocols.md 2;
dictionary.md 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from consent.catalogue import Catalogue, Item
from consent.documents import Document, FieldName, Frequency, ItemId, ItemMode, ItemScope, Purpose
from consent.identifiers import window_start_ms
from consent.reasons import PROGRESS, REASONS, Reason
from consent.rules import UsageRules

__all__ = [
    "DAY_MS",
    "DEFAULT_MAX_STALENESS_MS",
    "PROGRESS",
    "REASONS",
    "ConsentView",
    "Counts",
    "Denial",
    "Freshness",
    "ItemGrant",
    "ItemUse",
    "Permit",
    "Reason",
    "Terms",
    "UseCounts",
    "UseRequest",
    "decide",
    "no_counts",
    "refuse_by_counts",
    "refuse_by_freshness",
    "refuse_by_parties",
    "refuse_by_rules",
    "refuse_by_scope",
    "window_of",
]

DAY_MS: Final = 86_400_000
DEFAULT_MAX_STALENESS_MS: Final = 60_000


class ItemUse(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of one item. Mode Q for a query, V for a yes/no or band, R raw, J joint modelling or scoring, P public."""

    item_id: ItemId
    mode: ItemMode
    fields: tuple[FieldName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRequest:
    """A use that somebody asks for. No fields of an item means all that are consented to."""

    subject: str
    requester: str
    provider: str
    purpose: Purpose
    items: tuple[ItemUse, ...]
    at_ms: int


@dataclass(frozen=True, eq=True, kw_only=True)
class Terms:
    """The part of a consent that many consents share; kept once (see `consent.book`)."""

    provider: str
    data_users: tuple[str, ...]
    purpose: Purpose
    separate_consent: bool
    scope: tuple[ItemScope, ...]
    fetch: str
    frequency: Frequency | None
    max_uses: int | None
    data_life_days: int

    @cached_property
    def limit(self) -> int | None:
        """The most uses in all, or None."""
        return 1 if self.fetch == "once" else self.max_uses

    @cached_property
    def scope_of(self) -> dict[tuple[str, ItemMode], ItemScope]:
        """The scope by item and mode; made once for the many consents that share these terms."""
        return {(part.item_id, part.mode): part for part in self.scope}

    @cached_property
    def item_ids(self) -> frozenset[str]:
        """The items that are named, in whatever mode."""
        return frozenset(part.item_id for part in self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentView:
    """What the decision needs of one consent. `revoked_ms` is set for a consent that was withdrawn or superseded."""

    record_id: str
    uscc: str
    terms: Terms
    valid_from_ms: int
    valid_to_ms: int
    revoked_ms: int | None = None
    signature_ok: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How well the consent log is known: time of the newest verified checkpoint, and whether it contradicted itself."""

    checkpoint_ms: int | None
    max_staleness_ms: int = DEFAULT_MAX_STALENESS_MS
    consistent: bool = True


@dataclass(frozen=True, slots=True)
class UseCounts:
    """Uses already spent: in all, and in the present frequency window."""

    total: int = 0
    in_window: int = 0


Counts = Callable[[str, int | None], UseCounts]
"""(record id, start of the present frequency window or None) -> uses spent."""


def no_counts(record_id: str, window_start: int | None) -> UseCounts:
    """Nothing was ever used: for checks in advance, where the provider's count is not known."""
    return UseCounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemGrant:
    """One item of a permit with its obligations."""

    item_id: str
    mode: ItemMode
    fields: tuple[str, ...]
    masking: tuple[tuple[str, str], ...]
    record_id: str | None
    range_from: str | None = None
    range_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """The use is allowed. `spends`: the consents to charge one use each. `remaining_uses` after this use, None: unlimited."""

    grants: tuple[ItemGrant, ...]
    spends: tuple[str, ...]
    delete_by_ms: int
    remaining_uses: int | None
    windows: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """The use is refused, for exactly one reason."""

    reason: Reason
    item_id: str | None = None
    record_id: str | None = None

    @property
    def sentence(self) -> str:
        """What happened and what to do."""
        return REASONS[self.reason]


def decide(
    request: UseRequest,
    consents: Sequence[ConsentView],
    freshness: Freshness,
    catalogue: Catalogue,
    rules: UsageRules,
    counts: Counts = no_counts,
) -> Permit | Denial:
    """Decide on a request. `consents`: every consent known of the subject. Pure; see the rules above."""
    if not request.items:
        return Denial(reason=Reason.ITEM_UNKNOWN)
    items: list[Item] = []
    for use in request.items:
        item = catalogue.find(use.item_id)
        refused = refuse_by_rules(use, item, request.purpose, rules)
        if refused is not None or item is None:
            return Denial(reason=refused or Reason.ITEM_UNKNOWN, item_id=use.item_id)
        items.append(item)
    if any(use.mode is not ItemMode.P for use in request.items):
        unsure = refuse_by_freshness(freshness, request.at_ms)
        if unsure is not None:
            return Denial(reason=unsure)
    grants: list[ItemGrant] = []
    used: dict[str, ConsentView] = {}
    for use, item in zip(request.items, items, strict=True):
        if use.mode is ItemMode.P:
            grants.append(_grant(use, item, None, rules))
            continue
        chosen = _choose(request, use, item, consents, rules, counts)
        if isinstance(chosen, Denial):
            return chosen
        used[chosen.record_id] = chosen
        grants.append(_grant(use, item, chosen, rules))
    return _permit(request, tuple(grants), used, items, rules, counts)


def refuse_by_rules(use: ItemUse, item: Item | None, purpose: Purpose, rules: UsageRules) -> Reason | None:
    """Rules 1 to 3: what the catalogue and the usage rules say, whatever was consented to."""
    if item is None or not item.has_fields(use.fields):
        return Reason.ITEM_UNKNOWN
    if not item.provided:
        return Reason.ITEM_NOT_PROVIDED
    if use.mode not in item.modes:
        return Reason.MODE_NOT_ALLOWED
    if use.mode is not ItemMode.P and not rules.mode_allowed(purpose, use.mode):
        return Reason.MODE_NOT_ALLOWED
    return None


def refuse_by_freshness(freshness: Freshness, at_ms: int) -> Reason | None:
    """Rule 4."""
    if not freshness.consistent:
        return Reason.LOG_INCONSISTENT
    if freshness.checkpoint_ms is None or abs(at_ms - freshness.checkpoint_ms) >= freshness.max_staleness_ms:
        return Reason.CONSENT_STALE
    return None


def refuse_by_parties(requester: str, provider: str, terms: Terms) -> Reason | None:
    """Rule 5a: what the terms say of the parties."""
    if terms.provider != provider:
        return Reason.WRONG_PROVIDER
    if requester not in terms.data_users:
        return Reason.WRONG_GRANTEE
    return None


def refuse_by_scope(purpose: Purpose, use: ItemUse, terms: Terms, *, separate: bool) -> Reason | None:
    """Rules 5d to 5f: what the terms say of purpose and item. `separate`: the item's level demands a separate consent."""
    if terms.purpose is not purpose:
        return Reason.PURPOSE_NOT_COVERED
    part = terms.scope_of.get((use.item_id, use.mode))
    if part is None:
        return Reason.MODE_NOT_ALLOWED if use.item_id in terms.item_ids else Reason.ITEM_NOT_COVERED
    if part.fields and use.fields and not set(use.fields) <= set(part.fields):
        return Reason.FIELD_NOT_COVERED
    if separate and not terms.separate_consent:
        return Reason.SEPARATE_CONSENT_REQUIRED
    return None


def window_of(terms: Terms, at_ms: int) -> int | None:
    """Start of the frequency window that a time lies in, or None without a frequency."""
    return window_start_ms(terms.frequency.unit, at_ms) if terms.frequency is not None else None


def refuse_by_counts(terms: Terms, spent: UseCounts) -> Reason | None:
    """Rule 5g."""
    if terms.limit is not None and spent.total >= terms.limit:
        return Reason.USES_EXHAUSTED
    if terms.frequency is not None and spent.in_window >= terms.frequency.count:
        return Reason.FREQUENCY_EXCEEDED
    return None


def _choose(
    request: UseRequest, use: ItemUse, item: Item, consents: Sequence[ConsentView], rules: UsageRules, counts: Counts
) -> ConsentView | Denial:
    """Rules 5 and 6 for one item."""
    best: ConsentView | None = None
    furthest: tuple[int, str, Reason] | None = None
    for consent in consents:
        if consent.uscc != request.subject:
            continue
        reason = _refuse(request, use, item, consent, rules, counts)
        if reason is None:
            if best is None or (_end_ms(consent, rules), consent.record_id) < (_end_ms(best, rules), best.record_id):
                best = consent
        elif furthest is None or (-PROGRESS[reason], consent.record_id) < furthest[:2]:
            furthest = (-PROGRESS[reason], consent.record_id, reason)
    if best is not None:
        return best
    if furthest is None:
        return Denial(reason=Reason.NO_CONSENT, item_id=use.item_id)
    return Denial(reason=furthest[2], item_id=use.item_id, record_id=furthest[1])


def _refuse(
    request: UseRequest, use: ItemUse, item: Item, consent: ConsentView, rules: UsageRules, counts: Counts
) -> Reason | None:
    """Rule 5 for one item and one consent: the first reason against it, or None."""
    terms = consent.terms
    reason = refuse_by_parties(request.requester, request.provider, terms)
    if reason is not None:
        return reason
    if not consent.signature_ok:
        return Reason.SIGNATURE_INVALID
    if request.at_ms < consent.valid_from_ms:
        return Reason.CONSENT_NOT_YET_VALID
    if consent.revoked_ms is not None:
        return Reason.CONSENT_REVOKED
    if request.at_ms >= _end_ms(consent, rules):
        return Reason.CONSENT_EXPIRED
    separate = rules.separate_consent_needed(item.level)
    reason = refuse_by_scope(request.purpose, use, terms, separate=separate)
    if reason is not None or (terms.limit is None and terms.frequency is None):
        return reason
    return refuse_by_counts(terms, counts(consent.record_id, window_of(terms, request.at_ms)))


def _end_ms(consent: ConsentView, rules: UsageRules) -> int:
    """When a consent ends by rule 5c: the time from which on it does not hold."""
    return min(consent.valid_to_ms, rules.latest_end_ms(consent.terms.purpose, consent.valid_from_ms))


def _grant(use: ItemUse, item: Item, consent: ConsentView | None, rules: UsageRules) -> ItemGrant:
    """The obligations of one item: fields in the order of the catalogue, masking by level, bounds on the period."""
    scope = consent.terms.scope_of[use.item_id, use.mode] if consent is not None else None
    allowed = set(scope.fields) if scope is not None and scope.fields else None
    wanted = set(use.fields) if use.fields else None
    fields = tuple(
        field.name
        for field in item.fields
        if (allowed is None or field.name in allowed) and (wanted is None or field.name in wanted)
    )
    return ItemGrant(
        item_id=use.item_id,
        mode=use.mode,
        fields=fields,
        masking=item.masking(fields, rules),
        record_id=consent.record_id if consent is not None else None,
        range_from=scope.range_from if scope is not None else None,
        range_to=scope.range_to if scope is not None else None,
    )


def _permit(
    request: UseRequest,
    grants: tuple[ItemGrant, ...],
    used: dict[str, ConsentView],
    items: Sequence[Item],
    rules: UsageRules,
    counts: Counts,
) -> Permit:
    level = max(item.level for item in items)
    longest = rules.longest_life_days(request.purpose, level)
    days = min([longest, *(consent.terms.data_life_days for consent in used.values())])
    remaining: int | None = None
    windows: list[tuple[str, int]] = []
    for consent in used.values():
        window = window_of(consent.terms, request.at_ms)
        if window is not None:
            windows.append((consent.record_id, window))
        if consent.terms.limit is not None:
            left = consent.terms.limit - counts(consent.record_id, window).total - 1
            remaining = left if remaining is None else min(remaining, left)
    return Permit(
        grants=grants,
        spends=tuple(used),
        delete_by_ms=request.at_ms + days * DAY_MS,
        remaining_uses=remaining,
        windows=tuple(windows),
    )
