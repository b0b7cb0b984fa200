"""From what is wanted to what is to be signed: which provider, which mode, what stands already. Pure.

Rules:
1. An item that the purpose may use as public needs no consent.
2. A mode is one that catalogue and usage rules allow, and that a provider publishes at the hub; where none is named, the catalogue's
   first. Of several providers the first by name is taken. What nobody offers is missing, and is told as that.
3. A consent in force covers an item for this bank, provider, purpose, mode and at least these fields by the very functions of the
   decision (`consent.decision`); one that names another application does not count.
4. What is left is grouped by provider; items whose level demands a consent of their own are a group of their own.
5. Validity and retention are cut to what the usage rules allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from consent.book import terms_of
from consent.catalogue import Catalogue, Item
from consent.decision import ItemUse, refuse_by_parties, refuse_by_rules, refuse_by_scope
from consent.directory import ProductPublished
from consent.documents import (
    ConsentDocument,
    ConsentRequest,
    ItemMode,
    ItemScope,
    Limits,
    NoticePart,
    Purpose,
    PurposePart,
    Recipients,
    SubjectPart,
)
from consent.rules import DAY_MS, UsageRules
from portal.consents.wanted import Draft, Needed, Wanted, WantedItem
from portal.hub_link import Standing

ACTIVE = "active"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What everything is held against."""

    catalogue: Catalogue
    usage: UsageRules


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """A wanted item with its mode and provider."""

    item: Item
    use: ItemUse
    provider: str


def plan(
    wanted: Wanted, standing: Iterable[Standing], offers: Sequence[ProductPublished], rules: Rules, now_ms: int
) -> Needed:
    """What stands, and what is to be signed (rules above)."""
    in_force = [each for each in standing if each.state == ACTIVE and each.consent.limits.valid_to_ms > now_ms]
    covering: dict[str, Standing] = {}
    public, missing, left = list[str](), list[str](), list[_Placed]()
    for each in wanted.items:
        placed = _place(each, wanted.purpose, offers, rules)
        if placed is None:
            missing.append(each.item_id)
        elif placed.use.mode is ItemMode.P:
            public.append(each.item_id)
        elif (found := _covering(placed, wanted, in_force, rules)) is not None:
            covering[found.consent.record_id] = found
        else:
            left.append(placed)
    return Needed(
        standing=tuple(covering.values()),
        to_sign=_drafts(left, wanted, rules.usage),
        public=tuple(public),
        missing=tuple(missing),
    )


def covers(
    standing: Standing, user: str, purpose: Purpose, use: ItemUse, provider: str, application_no: str, rules: Rules
) -> bool:
    """Whether a consent allows a use of an item (rule 3)."""
    terms, named = terms_of(standing.consent), standing.consent.purpose.application_no
    item = rules.catalogue.find(use.item_id)
    part = terms.scope_of.get((use.item_id, use.mode))
    if item is None or part is None or (named and named != application_no):
        return False
    if part.fields and not (use.fields and set(use.fields) <= set(part.fields)):
        return False
    separate = rules.usage.separate_consent_needed(item.level)
    refused = refuse_by_parties(user, provider, terms) or refuse_by_scope(purpose, use, terms, separate=separate)
    return refused is None


def draft_of(asked: ConsentRequest, rules: Rules) -> Draft:
    """What a bank asks for, in the form that a page shows. Days are rounded up."""
    limits = asked.limits
    return Draft(
        provider=asked.provider,
        user=asked.requester,
        purpose=asked.purpose.purpose_code,
        scope=asked.scope,
        application_no=asked.purpose.application_no or "",
        valid_days=-(-(limits.valid_to_ms - limits.valid_from_ms) // DAY_MS),
        keep_days=limits.data_life_days,
        max_uses=1 if limits.fetch == "once" else limits.max_uses,
        separate=any(_separate(part.item_id, rules) for part in asked.scope),
    )


def document(draft: Draft, subject: SubjectPart, notice: NoticePart, *, record_id: str, now_ms: int) -> ConsentDocument:
    """The consent that a draft becomes when it is signed now."""
    return ConsentDocument(
        record_id=record_id,
        subject=subject,
        notice=notice,
        purpose=PurposePart(
            purpose_code=draft.purpose, application_no=draft.application_no or None, separate_consent=draft.separate
        ),
        scope=draft.scope,
        recipients=Recipients(data_source=draft.provider, data_users=(draft.user,)),
        limits=Limits(
            valid_from_ms=now_ms,
            valid_to_ms=now_ms + draft.valid_days * DAY_MS,
            data_life_days=draft.keep_days,
            max_uses=draft.max_uses,
        ),
        given_ms=now_ms,
    )


def answer(
    asked: ConsentRequest, subject: SubjectPart, notice: NoticePart, *, separate: bool, record_id: str, now_ms: int
) -> ConsentDocument:
    """The consent that grants a request, on the very terms that were asked for."""
    return ConsentDocument(
        record_id=record_id,
        subject=subject,
        notice=notice,
        purpose=PurposePart(
            purpose_code=asked.purpose.purpose_code,
            application_no=asked.purpose.application_no,
            separate_consent=separate,
        ),
        scope=asked.scope,
        recipients=Recipients(data_source=asked.provider, data_users=(asked.requester,)),
        limits=asked.limits,
        request_id=asked.request_id,
        given_ms=now_ms,
    )


def _place(wanted: WantedItem, purpose: Purpose, offers: Sequence[ProductPublished], rules: Rules) -> _Placed | None:
    item = rules.catalogue.find(wanted.item_id)
    if item is None:
        return None
    for mode in item.modes if wanted.mode is None else (wanted.mode,):
        use = ItemUse(item_id=item.id, mode=mode, fields=wanted.fields)
        if refuse_by_rules(use, item, purpose, rules.usage) is not None:
            continue
        if mode is ItemMode.P:
            return _Placed(item=item, use=use, provider=wanted.provider)
        for provider in sorted(_providers(use, offers)):
            if wanted.provider in {"", provider}:
                return _Placed(item=item, use=use, provider=provider)
    return None


def _providers(use: ItemUse, offers: Sequence[ProductPublished]) -> set[str]:
    return {
        offer.provider
        for offer in offers
        if any(part.offers(use.item_id, use.mode, use.fields) for part in offer.items)
    }


def _covering(placed: _Placed, wanted: Wanted, in_force: Sequence[Standing], rules: Rules) -> Standing | None:
    for each in in_force:
        if covers(each, wanted.user, wanted.purpose, placed.use, placed.provider, wanted.application_no, rules):
            return each
    return None


def _drafts(left: Sequence[_Placed], wanted: Wanted, usage: UsageRules) -> tuple[Draft, ...]:
    def group(placed: _Placed) -> tuple[str, bool]:
        return placed.provider, usage.separate_consent_needed(placed.item.level)

    drafts = []
    for (provider, separate), parts in groupby(sorted(left, key=group), key=group):
        placed = list(parts)
        scope = {(each.use.item_id, each.use.mode): each.use for each in placed}
        kept = min(usage.longest_life_days(wanted.purpose, each.item.level) for each in placed)
        drafts.append(
            Draft(
                provider=provider,
                user=wanted.user,
                purpose=wanted.purpose,
                scope=tuple(ItemScope(item_id=use.item_id, mode=use.mode, fields=use.fields) for use in scope.values()),
                application_no=wanted.application_no,
                valid_days=min(wanted.valid_days, usage.purposes[wanted.purpose].longest_validity_days),
                keep_days=min(wanted.keep_days, kept),
                max_uses=wanted.max_uses,
                separate=separate,
            )
        )
    return tuple(drafts)


def _separate(item_id: str, rules: Rules) -> bool:
    item = rules.catalogue.find(item_id)
    return item is not None and rules.usage.separate_consent_needed(item.level)
