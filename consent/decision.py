"""The consent decision: one pure function from a request and what is known to a permit or one reason why not.

It runs in the provider's node, where it counts, and again in the requester's. Rules, in the order in which they are checked:

 1. Every item must be in the catalogue (ITEM_UNKNOWN) and be provided at all (ITEM_NOT_PROVIDED: its only mode is X).
 2. An item that is asked for in mode P must be public in the catalogue; it needs no consent and is still recorded.
 3. For every other item the mode must be one that the catalogue allows for it, and the usage rules for the purpose
    (MODE_NOT_ALLOWED).
 4. If any item needs consent: the log must be consistent (LOG_INCONSISTENT), and its newest verified checkpoint younger than
    `max_staleness_ms` (CONSENT_STALE). A node that cannot know of revocations refuses.
 5. There must be a consent of this subject (NO_CONSENT); then, for each consent, in this order:
    a. it is for this provider (WRONG_PROVIDER) and names this requester (WRONG_GRANTEE);
    b. its signature was verified (SIGNATURE_INVALID);
    c. it has begun (CONSENT_NOT_YET_VALID), is not revoked (CONSENT_REVOKED), and has not ended (CONSENT_EXPIRED);
    d. its purpose is the request's (PURPOSE_NOT_COVERED);
    e. it covers the item (ITEM_NOT_COVERED), in this mode (MODE_NOT_ALLOWED), with these fields (FIELD_NOT_COVERED);
    f. an item of level 4 was consented to separately (SEPARATE_CONSENT_REQUIRED);
    g. uses are left (USES_EXHAUSTED), and the frequency is kept (FREQUENCY_EXCEEDED).
 6. Of several consents that pass, the one that ends first is used, then the smaller identifier; if none passes, the reason is
    that of the consent that got furthest.
 7. All items or nothing: the first item that is refused refuses the request.

A permit carries its obligations: the fields, the masking of each, the bounds on the record's period, and when the data must be
deleted. Every distinct consent of a permit is charged one use. Source: guideline 6.6.1; protocols.md 2; dictionary.md 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consent.catalogue import Catalogue, Item
from consent.documents import Document, FieldName, Frequency, ItemId, ItemMode, ItemScope, Purpose
from consent.identifiers import window_start_ms
from consent.rules import UsageRules

DAY_MS: Final = 86_400_000
DEFAULT_MAX_STALENESS_MS: Final = 60_000


class Reason(StrEnum):
    """Why a use is refused. The values are stable; REASONS has a sentence for each."""

    ITEM_UNKNOWN = "ITEM_UNKNOWN"
    ITEM_NOT_PROVIDED = "ITEM_NOT_PROVIDED"
    LOG_INCONSISTENT = "LOG_INCONSISTENT"
    CONSENT_STALE = "CONSENT_STALE"
    NO_CONSENT = "NO_CONSENT"
    WRONG_PROVIDER = "WRONG_PROVIDER"
    WRONG_GRANTEE = "WRONG_GRANTEE"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    CONSENT_NOT_YET_VALID = "CONSENT_NOT_YET_VALID"
    CONSENT_REVOKED = "CONSENT_REVOKED"
    CONSENT_EXPIRED = "CONSENT_EXPIRED"
    PURPOSE_NOT_COVERED = "PURPOSE_NOT_COVERED"
    ITEM_NOT_COVERED = "ITEM_NOT_COVERED"
    MODE_NOT_ALLOWED = "MODE_NOT_ALLOWED"
    FIELD_NOT_COVERED = "FIELD_NOT_COVERED"
    SEPARATE_CONSENT_REQUIRED = "SEPARATE_CONSENT_REQUIRED"
    USES_EXHAUSTED = "USES_EXHAUSTED"
    FREQUENCY_EXCEEDED = "FREQUENCY_EXCEEDED"


REASONS: Final[dict[Reason, str]] = {
    Reason.ITEM_UNKNOWN: "The catalogue has no such item or field. Choose one that `xinqiao node products` lists.",
    Reason.ITEM_NOT_PROVIDED: "The catalogue says that this item is never provided. Leave it out.",
    Reason.LOG_INCONSISTENT: "The provider's node saw the hub contradict itself and refuses until its operator has looked. Ask the provider.",
    Reason.CONSENT_STALE: "The provider's node has no fresh proof of which consents are revoked. It refuses until it reaches the hub again.",
    Reason.NO_CONSENT: "The enterprise has given no consent for data of this provider. Ask it for one: `xinqiao consent request`.",
    Reason.WRONG_PROVIDER: "The consent is for another provider's data. Ask for one that names this provider.",
    Reason.WRONG_GRANTEE: "The consent names other institutions, not this one. Ask the enterprise for one that names it.",
    Reason.SIGNATURE_INVALID: "The consent's signature does not verify. Do not rely on it; ask the enterprise for a new one.",
    Reason.CONSENT_NOT_YET_VALID: "The consent begins later. Wait until then, or ask for one that begins now.",
    Reason.CONSENT_REVOKED: "The enterprise has withdrawn its consent. Stop using its data; ask again if there is a reason to.",
    Reason.CONSENT_EXPIRED: "The consent has ended. Ask the enterprise for a new one.",
    Reason.PURPOSE_NOT_COVERED: "The consent is for another purpose. Ask for one that names this purpose.",
    Reason.ITEM_NOT_COVERED: "The consent does not cover this item. Ask for it, or leave the item out.",
    Reason.MODE_NOT_ALLOWED: "The item may not be used in this way. Choose a mode that the catalogue, the purpose and the consent allow.",
    Reason.FIELD_NOT_COVERED: "The consent does not cover every field asked for. Ask only for the fields that it names.",
    Reason.SEPARATE_CONSENT_REQUIRED: "The item is of the highest level and needs a separate, explicit consent. Ask the enterprise for one.",
    Reason.USES_EXHAUSTED: "All uses that the consent allows are spent. Ask the enterprise for a new one.",
    Reason.FREQUENCY_EXCEEDED: "The consent allows no further use in this hour, day or month. Wait, or ask for a higher frequency.",
}
"""What happened, and what to do."""

PROGRESS: Final[dict[Reason, int]] = {reason: place for place, reason in enumerate(Reason)}
"""How far a consent got before it was refused: the order of the checks."""


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

    @property
    def limit(self) -> int | None:
        """The most uses in all, or None."""
        return 1 if self.fetch == "once" else self.max_uses


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
    items: list[Item] = []
    for use in request.items:
        item = catalogue.find(use.item_id)
        refused = refuse_by_rules(use, item, request.purpose, rules)
        if refused is not None or item is None:
            return Denial(reason=refused or Reason.ITEM_UNKNOWN, item_id=use.item_id)
        items.append(item)
    if any(use.mode is not ItemMode.P for use in request.items):
        stale = refuse_by_freshness(freshness, request.at_ms)
        if stale is not None:
            return Denial(reason=stale)
    grants: list[ItemGrant] = []
    used: dict[str, ConsentView] = {}
    for use, item in zip(request.items, items, strict=True):
        if use.mode is ItemMode.P:
            grants.append(grant(use, item, None, rules))
            continue
        chosen = _choose(request, use, item, consents, counts)
        if isinstance(chosen, Denial):
            return chosen
        used[chosen.record_id] = chosen
        grants.append(grant(use, item, chosen, rules))
    return _permit(request, tuple(grants), used, tuple(items), rules, counts)


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
    if freshness.checkpoint_ms is None or at_ms - freshness.checkpoint_ms >= freshness.max_staleness_ms:
        return Reason.CONSENT_STALE
    return None


def refuse_by_terms(request_requester: str, request_provider: str, purpose: Purpose, use: ItemUse, level: int, terms: Terms) -> tuple[Reason | None, ...]:
    """Rules 5a, 5d, 5e, 5f in that order, each None where it passes: what depends on the shared terms only."""
    return (
        Reason.WRONG_PROVIDER if terms.provider != request_provider else None,
        Reason.WRONG_GRANTEE if request_requester not in terms.data_users else None,
        Reason.PURPOSE_NOT_COVERED if terms.purpose != purpose else None,
        _scope_refusal(use, terms),
        Reason.SEPARATE_CONSENT_REQUIRED if level >= 4 and not terms.separate_consent else None,
    )


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
    request: UseRequest, use: ItemUse, item: Item, consents: Sequence[ConsentView], counts: Counts
) -> ConsentView | Denial:
    """Rules 5 and 6 for one item."""
    best: ConsentView | None = None
    furthest = Denial(reason=Reason.NO_CONSENT, item_id=use.item_id)
    for consent in consents:
        if consent.uscc != request.subject:
            continue
        reason = _refuse(request, use, item, consent, counts)
        if reason is None:
            if best is None or (consent.valid_to_ms, consent.record_id) < (best.valid_to_ms, best.record_id):
                best = consent
        elif PROGRESS[reason] > PROGRESS[furthest.reason]:
            furthest = Denial(reason=reason, item_id=use.item_id, record_id=consent.record_id)
    return best if best is not None else furthest


def _refuse(request: UseRequest, use: ItemUse, item: Item, consent: ConsentView, counts: Counts) -> Reason | None:
    terms = consent.terms
    wrong_provider, wrong_grantee, wrong_purpose, out_of_scope, not_separate = refuse_by_terms(
        request.requester, request.provider, request.purpose, use, item.level, terms
    )
    reason = (
        wrong_provider
        or wrong_grantee
        or (None if consent.signature_ok else Reason.SIGNATURE_INVALID)
        or (Reason.CONSENT_NOT_YET_VALID if request.at_ms < consent.valid_from_ms else None)
        or (Reason.CONSENT_REVOKED if consent.revoked_ms is not None else None)
        or (Reason.CONSENT_EXPIRED if request.at_ms >= consent.valid_to_ms else None)
        or wrong_purpose
        or out_of_scope
        or not_separate
    )
    if reason is not None or (terms.limit is None and terms.frequency is None):
        return reason
    return refuse_by_counts(terms, counts(consent.record_id, window_of(terms, request.at_ms)))


def _scope_refusal(use: ItemUse, terms: Terms) -> Reason | None:
    named = False
    for part in terms.scope:
        if part.item_id != use.item_id:
            continue
        named = True
        if part.mode is use.mode:
            return None if not part.fields or set(use.fields) <= set(part.fields) else Reason.FIELD_NOT_COVERED
    return Reason.MODE_NOT_ALLOWED if named else Reason.ITEM_NOT_COVERED


def grant(use: ItemUse, item: Item, consent: ConsentView | None, rules: UsageRules) -> ItemGrant:
    """The obligations of one item: fields in the order of the catalogue, masking by level, bounds on the period."""
    scope = _scope_of(use, consent.terms) if consent is not None else None
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


def _scope_of(use: ItemUse, terms: Terms) -> ItemScope | None:
    return next((part for part in terms.scope if part.item_id == use.item_id and part.mode is use.mode), None)


def _permit(
    request: UseRequest,
    grants: tuple[ItemGrant, ...],
    used: dict[str, ConsentView],
    items: tuple[Item, ...],
    rules: UsageRules,
    counts: Counts,
) -> Permit:
    level = max(item.level for item in items)
    days = min([consent.terms.data_life_days for consent in used.values()] + [rules.longest_life_days(request.purpose, level)])
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
