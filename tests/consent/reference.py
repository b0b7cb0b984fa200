"""The decision written down a second time, slowly and obviously, for comparison. Shares no code with `consent.decision`.

It filters: for each item the set of all consents goes through one rule after the other; the first rule that leaves nobody
names the reason. That is the same as "the reason of the consent that got furthest", told the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from consent.catalogue import Catalogue
from consent.decision import ConsentView, Freshness, ItemUse, UseRequest
from consent.documents import ItemScope
from consent.rules import UsageRules


@dataclass(frozen=True)
class Refused:
    """A reason, and the item that it is about."""

    reason: str
    item_id: str | None = None


@dataclass(frozen=True)
class Allowed:
    """Per item (id, consent or None, fields, masked fields, range), the consents to charge, the end of keeping."""

    grants: tuple[tuple[str, str | None, tuple[str, ...], tuple[str, ...], str | None, str | None], ...]
    spends: frozenset[str]
    delete_by_ms: int
    remaining: int | None


def window_start(unit: str, at_ms: int) -> int:
    """Begin of the hour, day or month in Beijing."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC) + timedelta(hours=8)
    begin = moment.replace(minute=0, second=0, microsecond=0)
    if unit in {"day", "month"}:
        begin = begin.replace(hour=0)
    if unit == "month":
        begin = begin.replace(day=1)
    return int((begin - timedelta(hours=8)).timestamp() * 1000)


def judge(  # noqa: PLR0912 (told in one breath, to be compared with the rules line by line)
    request: UseRequest,
    consents: Sequence[ConsentView],
    freshness: Freshness,
    catalogue: Catalogue,
    rules: UsageRules,
    spent: Mapping[tuple[str, int | None], tuple[int, int]],
) -> Allowed | Refused:
    """Decide. `spent`: (record id, window) -> (uses in all, uses in the window); absent means none."""
    if len(request.items) == 0:
        return Refused("ITEM_UNKNOWN")
    for use in request.items:
        if use.item_id not in catalogue.items:
            return Refused("ITEM_UNKNOWN", use.item_id)
        item = catalogue.items[use.item_id]
        if not set(use.fields) <= {field.name for field in item.fields}:
            return Refused("ITEM_UNKNOWN", use.item_id)
        if [mode.value for mode in item.modes] == ["X"]:
            return Refused("ITEM_NOT_PROVIDED", use.item_id)
        if use.mode.value not in [mode.value for mode in item.modes]:
            return Refused("MODE_NOT_ALLOWED", use.item_id)
        if use.mode.value != "P" and use.mode not in rules.purposes[request.purpose].modes:
            return Refused("MODE_NOT_ALLOWED", use.item_id)
    if any(use.mode.value != "P" for use in request.items):
        if not freshness.consistent:
            return Refused("LOG_INCONSISTENT")
        if freshness.checkpoint_ms is None:
            return Refused("CONSENT_STALE")
        if not -freshness.max_staleness_ms < request.at_ms - freshness.checkpoint_ms < freshness.max_staleness_ms:
            return Refused("CONSENT_STALE")

    grants = []
    used: dict[str, ConsentView] = {}
    for use in request.items:
        item = catalogue.items[use.item_id]
        chosen, part = None, None
        if use.mode.value != "P":
            left = [consent for consent in consents if consent.uscc == request.subject]
            for reason, holds in _rules(request, use, item.level, rules, spent):
                if not left:
                    break
                kept = [consent for consent in left if holds(consent)]
                if not kept:
                    return Refused(reason, use.item_id)
                left = kept
            if not left:
                return Refused("NO_CONSENT", use.item_id)
            chosen = sorted(left, key=lambda consent: (_end(consent, rules), consent.record_id))[0]
            used[chosen.record_id] = chosen
            part = next(p for p in chosen.terms.scope if p.item_id == use.item_id and p.mode == use.mode)
        fields = [field.name for field in item.fields]
        if part is not None and part.fields:
            fields = [name for name in fields if name in part.fields]
        if use.fields:
            fields = [name for name in fields if name in use.fields]
        masked = [
            field.name
            for field in item.fields
            if field.name in fields and field.mask is not None and rules.levels[item.level].masked
        ]
        grants.append(
            (
                use.item_id,
                chosen.record_id if chosen else None,
                tuple(fields),
                tuple(masked),
                part.range_from if part else None,
                part.range_to if part else None,
            )
        )

    days = [consent.terms.data_life_days for consent in used.values()]
    days.append(rules.purposes[request.purpose].longest_life_days)
    level = max(catalogue.items[use.item_id].level for use in request.items)
    days.append(rules.levels[level].longest_life_days)
    lefts = []
    for consent in used.values():
        limit = 1 if consent.terms.fetch == "once" else consent.terms.max_uses
        if limit is not None:
            lefts.append(limit - _spent(consent, request.at_ms, spent)[0] - 1)
    return Allowed(
        grants=tuple(grants),
        spends=frozenset(used),
        delete_by_ms=request.at_ms + min(days) * 24 * 3600 * 1000,
        remaining=min(lefts) if lefts else None,
    )


def _end(consent: ConsentView, rules: UsageRules) -> int:
    longest = rules.purposes[consent.terms.purpose].longest_validity_days
    return min(consent.valid_to_ms, consent.valid_from_ms + longest * 24 * 3600 * 1000)


def _spent(
    consent: ConsentView, at_ms: int, spent: Mapping[tuple[str, int | None], tuple[int, int]]
) -> tuple[int, int]:
    frequency = consent.terms.frequency
    window = None if frequency is None else window_start(frequency.unit, at_ms)
    return spent.get((consent.record_id, window), (0, 0))


def _rules(
    request: UseRequest,
    use: ItemUse,
    level: int,
    rules: UsageRules,
    spent: Mapping[tuple[str, int | None], tuple[int, int]],
) -> list[tuple[str, Callable[[ConsentView], bool]]]:
    """Rule 5 as a list: the reason, and what must hold."""
    at = request.at_ms
    day = 24 * 3600 * 1000

    def parts(consent: ConsentView) -> list[ItemScope]:
        return [part for part in consent.terms.scope if part.item_id == use.item_id]

    def fields_covered(consent: ConsentView) -> bool:
        part = next(part for part in parts(consent) if part.mode == use.mode)
        return part.fields == () or all(name in part.fields for name in use.fields)

    def uses_left(consent: ConsentView) -> bool:
        total = _spent(consent, at, spent)[0]
        once_spent = consent.terms.fetch == "once" and total > 0
        return not once_spent and (
            consent.terms.fetch == "once" or consent.terms.max_uses is None or total < consent.terms.max_uses
        )

    return [
        ("WRONG_PROVIDER", lambda c: c.terms.provider == request.provider),
        ("WRONG_GRANTEE", lambda c: request.requester in c.terms.data_users),
        ("SIGNATURE_INVALID", lambda c: c.signature_ok),
        ("CONSENT_NOT_YET_VALID", lambda c: c.valid_from_ms <= at),
        ("CONSENT_REVOKED", lambda c: c.revoked_ms is None),
        (
            "CONSENT_EXPIRED",
            lambda c: (
                at < c.valid_to_ms
                and at < c.valid_from_ms + rules.purposes[c.terms.purpose].longest_validity_days * day
            ),
        ),
        ("PURPOSE_NOT_COVERED", lambda c: c.terms.purpose == request.purpose),
        ("ITEM_NOT_COVERED", lambda c: bool(parts(c))),
        ("MODE_NOT_ALLOWED", lambda c: any(part.mode == use.mode for part in parts(c))),
        ("FIELD_NOT_COVERED", fields_covered),
        ("SEPARATE_CONSENT_REQUIRED", lambda c: c.terms.separate_consent or not rules.levels[level].separate_consent),
        ("USES_EXHAUSTED", uses_left),
        (
            "FREQUENCY_EXCEEDED",
            lambda c: c.terms.frequency is None or _spent(c, at, spent)[1] < c.terms.frequency.count,
        ),
    ]
