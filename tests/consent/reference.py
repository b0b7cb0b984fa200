"""The consent decision once more, slow and obvious: one generator of complaints per consent, written from the numbered rules.

It shares with `consent.decision` only the documents, the data files and the names of the reasons, and it looks at everything
before it answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from consent.catalogue import Catalogue, Item
from consent.decision import ConsentView, Counts, Freshness, ItemUse, Reason, Terms, UseRequest
from consent.documents import Frequency, ItemMode, ItemScope
from consent.rules import UsageRules

DAY_MS = 24 * 60 * 60 * 1000
ORDER = list(Reason)


@dataclass(frozen=True)
class Answer:
    """What both deciders must agree on. `reason` None: permitted."""

    reason: Reason | None
    item_id: str | None = None
    record_id: str | None = None
    record_ids: tuple[str | None, ...] = ()
    fields: tuple[tuple[str, ...], ...] = ()
    masked: tuple[frozenset[str], ...] = ()
    ranges: tuple[tuple[str | None, str | None], ...] = ()
    spends: frozenset[str] = frozenset()
    delete_by_ms: int = 0
    remaining: int | None = None


def window(frequency: Frequency | None, at_ms: int) -> int | None:
    """Return the start of the calendar hour, day or month in Beijing, by cutting the time's text."""
    if frequency is None:
        return None
    local = datetime.fromtimestamp(at_ms / 1000, tz=UTC) + timedelta(hours=8)
    text = {"hour": "%Y-%m-%dT%H:00", "day": "%Y-%m-%dT00:00", "month": "%Y-%m-01T00:00"}[frequency.unit]
    start = datetime.fromisoformat(local.strftime(text)) - timedelta(hours=8)
    return round(start.replace(tzinfo=UTC).timestamp() * 1000)


def limit(terms: Terms) -> int | None:
    """Return the most uses in all."""
    if terms.fetch == "once":
        return 1
    return terms.max_uses


def part_of(terms: Terms, use: ItemUse) -> ItemScope | None:
    """Return the part of the scope that names this item in this mode."""
    found = [part for part in terms.scope if part.item_id == use.item_id and part.mode == use.mode]
    return found[0] if found else None


def complaints(
    request: UseRequest, use: ItemUse, item: Item, consent: ConsentView, rules: UsageRules, counts: Counts
) -> Iterator[Reason]:
    """Yield everything that stands against a consent for one item."""
    terms, now = consent.terms, request.at_ms
    longest = rules.purposes[terms.purpose].longest_validity_days * DAY_MS
    part = part_of(terms, use)
    spent = counts(consent.record_id, window(terms.frequency, now))
    most = limit(terms)
    if terms.provider != request.provider:
        yield Reason.WRONG_PROVIDER
    if request.requester not in terms.data_users:
        yield Reason.WRONG_GRANTEE
    if not consent.signature_ok:
        yield Reason.SIGNATURE_INVALID
    if now < consent.valid_from_ms:
        yield Reason.CONSENT_NOT_YET_VALID
    if consent.revoked_ms is not None:
        yield Reason.CONSENT_REVOKED
    if now >= consent.valid_to_ms or now - consent.valid_from_ms >= longest:
        yield Reason.CONSENT_EXPIRED
    if terms.purpose != request.purpose:
        yield Reason.PURPOSE_NOT_COVERED
    if use.item_id not in [each.item_id for each in terms.scope]:
        yield Reason.ITEM_NOT_COVERED
    elif part is None:
        yield Reason.MODE_NOT_ALLOWED
    elif part.fields and any(name not in part.fields for name in use.fields):
        yield Reason.FIELD_NOT_COVERED
    if item.level == 4 and not terms.separate_consent:
        yield Reason.SEPARATE_CONSENT_REQUIRED
    if most is not None and spent.total >= most:
        yield Reason.USES_EXHAUSTED
    if terms.frequency is not None and spent.in_window >= terms.frequency.count:
        yield Reason.FREQUENCY_EXCEEDED


def before_any_consent(
    request: UseRequest, freshness: Freshness, catalogue: Catalogue, rules: UsageRules
) -> Answer | None:
    """Return the refusal that no consent could change, if there is one."""
    if len(request.items) == 0:
        return Answer(Reason.ITEM_UNKNOWN)
    for use in request.items:
        item = catalogue.items.get(use.item_id)
        if item is None or not {field.name for field in item.fields}.issuperset(use.fields):
            return Answer(Reason.ITEM_UNKNOWN, use.item_id)
        if set(item.modes) == {ItemMode.X}:
            return Answer(Reason.ITEM_NOT_PROVIDED, use.item_id)
        by_purpose = {*rules.purposes[request.purpose].modes, ItemMode.P}
        if use.mode not in by_purpose.intersection(item.modes):
            return Answer(Reason.MODE_NOT_ALLOWED, use.item_id)
    if {use.mode for use in request.items} == {ItemMode.P}:
        return None
    if not freshness.consistent:
        return Answer(Reason.LOG_INCONSISTENT)
    known = freshness.checkpoint_ms
    limit_ms = freshness.max_staleness_ms
    if known is None or not known - limit_ms < request.at_ms < known + limit_ms:
        return Answer(Reason.CONSENT_STALE)
    return None


def choose(
    request: UseRequest,
    use: ItemUse,
    item: Item,
    consents: Sequence[ConsentView],
    rules: UsageRules,
    counts: Counts,
) -> ConsentView | Answer:
    """Return the consent to use for one item, or why there is none."""
    judged = [
        (each, sorted(complaints(request, use, item, each, rules, counts), key=ORDER.index))
        for each in consents
        if each.uscc == request.subject
    ]
    good = [each for each, against in judged if not against]
    if good:
        return min(good, key=lambda each: (each.valid_to_ms, each.record_id))
    if not judged:
        return Answer(Reason.NO_CONSENT, use.item_id)
    # Backwards by identifier, so that of equals the smallest comes last and stays.
    best = max(
        sorted(judged, key=lambda each: each[0].record_id), key=lambda each: ORDER.index(each[1][0])
    )
    return Answer(best[1][0], use.item_id, best[0].record_id)


def reference_decide(
    request: UseRequest,
    consents: Sequence[ConsentView],
    freshness: Freshness,
    catalogue: Catalogue,
    rules: UsageRules,
    counts: Counts,
) -> Answer:
    """Decide as the numbered rules of `consent.decision` say."""
    early = before_any_consent(request, freshness, catalogue, rules)
    if early is not None:
        return early
    used: list[ConsentView | None] = []
    for use in request.items:
        if use.mode == ItemMode.P:
            used.append(None)
            continue
        chosen = choose(request, use, catalogue.items[use.item_id], consents, rules, counts)
        if isinstance(chosen, Answer):
            return chosen
        used.append(chosen)
    spends = {each.record_id: each for each in used if each is not None}
    levels = [catalogue.items[use.item_id].level for use in request.items]
    days = [rules.levels[level].longest_life_days for level in levels]
    days += [rules.purposes[request.purpose].longest_life_days]
    days += [each.terms.data_life_days for each in spends.values()]
    left = []
    for each in spends.values():
        most = limit(each.terms)
        if most is not None:
            left.append(most - counts(each.record_id, window(each.terms.frequency, request.at_ms)).total - 1)
    fields = [_fields(use, each, catalogue) for use, each in zip(request.items, used, strict=True)]
    parts = [part_of(each.terms, use) if each else None for use, each in zip(request.items, used, strict=True)]
    return Answer(
        reason=None,
        record_ids=tuple(each.record_id if each else None for each in used),
        fields=tuple(fields),
        masked=tuple(
            frozenset(_masked(catalogue.items[use.item_id], names))
            for use, names in zip(request.items, fields, strict=True)
        ),
        ranges=tuple((part.range_from, part.range_to) if part else (None, None) for part in parts),
        spends=frozenset(spends),
        delete_by_ms=request.at_ms + min(days) * DAY_MS,
        remaining=min(left) if left else None,
    )


def _fields(use: ItemUse, consent: ConsentView | None, catalogue: Catalogue) -> tuple[str, ...]:
    names = [field.name for field in catalogue.items[use.item_id].fields]
    part = part_of(consent.terms, use) if consent is not None else None
    if part is not None and part.fields:
        names = [name for name in names if name in part.fields]
    if use.fields:
        names = [name for name in names if name in use.fields]
    return tuple(names)


def _masked(item: Item, names: tuple[str, ...]) -> Iterator[str]:
    """Levels 2 to 4 are masked; the digest of an identity number always."""
    for field in item.fields:
        if field.name in names and field.mask is not None and (item.level >= 2 or field.mask == "digest"):
            yield field.name
