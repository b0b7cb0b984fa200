"""What stands, what is to be signed, and what cannot be had: as pure values."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.book import terms_of
from consent.decision import ConsentView, Freshness, ItemUse, Permit, UseRequest, decide
from consent.directory import ProductItem, ProductPublished
from consent.documents import (
    ConsentDocument,
    ItemMode,
    ItemScope,
    Limits,
    Purpose,
    PurposePart,
    Recipients,
    encode,
    parse_consent,
)
from portal.consents.fields import wanted_of
from portal.consents.granting import rules
from portal.consents.notice import NOTICES
from portal.consents.planning import document, plan
from portal.consents.wanted import Needed, Wanted, WantedItem, grant_path
from portal.hub_link import Standing
from tests.hub.signed import DAY_MS
from tests.hub.signed import consent as made
from tests.portal.world import NOW_MS, USCC

TAX, RATING, PUBLIC, SENSITIVE = "tax_registration", "tax_credit_rating", "registration_basic", "platform_repayment"


def offer(provider: str, *items: str, mode: ItemMode = ItemMode.Q) -> ProductPublished:
    parts = tuple(ProductItem(item_id=item, modes=(mode,)) for item in items)
    return ProductPublished(product_id=f"{provider}-1", provider=provider, title="t", items=parts, time_ms=1)


OFFERS = [offer("taxoffice", TAX, RATING), offer("zoffice", TAX), offer("platform", SENSITIVE)]


def wanted(*items: WantedItem | str, **changes: Any) -> Wanted:
    parts = tuple(WantedItem(item_id=each) if isinstance(each, str) else each for each in items)
    return Wanted(**({"user": "firstbank", "purpose": Purpose.PRE_LOAN, "items": parts} | changes))


def standing_consent(**changes: Any) -> ConsentDocument:
    limits = Limits(valid_from_ms=NOW_MS - DAY_MS, valid_to_ms=NOW_MS + DAY_MS, data_life_days=30)
    return made(USCC, **({"limits": limits} | changes))


def planned(of: Wanted, *standing: ConsentDocument, state: str = "active") -> Needed:
    found = [Standing(consent=each, state=state, ended_ms=0) for each in standing]
    return plan(of, found, OFFERS, rules(), NOW_MS)


def test_what_nothing_covers_is_one_draft_a_provider() -> None:
    needed = planned(wanted(TAX, RATING, WantedItem(item_id=TAX, provider="zoffice")))
    assert [(draft.provider, [part.item_id for part in draft.scope]) for draft in needed.to_sign] == [
        ("taxoffice", [TAX, RATING]),
        ("zoffice", [TAX]),
    ]
    assert needed.standing == needed.missing == needed.public == () and not needed.complete


def test_a_public_item_needs_no_consent() -> None:
    needed = planned(wanted(PUBLIC))
    assert (needed.public, needed.to_sign, needed.complete) == ((PUBLIC,), (), True)


@pytest.mark.parametrize(
    "item",
    [WantedItem(item_id="nothing_such"), WantedItem(item_id=TAX, mode=ItemMode.R), WantedItem(item_id="annual_report")],
    ids=["unknown", "mode not allowed", "nobody offers it"],
)
def test_what_nobody_offers_is_missing(item: WantedItem) -> None:
    needed = planned(wanted(item))
    assert (needed.missing, needed.to_sign, needed.complete) == ((item.item_id,), (), False)


def test_a_consent_in_force_covers_and_is_not_signed_again() -> None:
    before = standing_consent()
    needed = planned(wanted(TAX, RATING), before)
    assert [each.consent for each in needed.standing] == [before]
    assert [part.item_id for draft in needed.to_sign for part in draft.scope] == [RATING]
    assert planned(wanted(TAX), before).complete


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "withdrawn"),
        ({"limits": Limits(valid_from_ms=1, valid_to_ms=NOW_MS, data_life_days=30)}, "active"),
        ({"recipients": Recipients(data_source="taxoffice", data_users=("otherbank",))}, "active"),
        ({"recipients": Recipients(data_source="zoffice", data_users=("firstbank",))}, "active"),
        ({"purpose": PurposePart(purpose_code=Purpose.POST_LOAN)}, "active"),
        ({"purpose": PurposePart(purpose_code=Purpose.PRE_LOAN, application_no="A2")}, "active"),
        ({"scope": (ItemScope(item_id=RATING, mode=ItemMode.Q),)}, "active"),
        ({"scope": (ItemScope(item_id=TAX, mode=ItemMode.Q, fields=("tax_authority",)),)}, "active"),
    ],
    ids=[
        "ended",
        "over",
        "other bank",
        "other provider",
        "other purpose",
        "other application",
        "other item",
        "fewer fields",
    ],
)
def test_a_consent_to_something_else_does_not_cover(changes: dict[str, Any], state: str) -> None:
    needed = planned(wanted(TAX, application_no="A1"), standing_consent(**changes), state=state)
    assert needed.standing == () and len(needed.to_sign) == 1


def test_a_consent_for_the_same_application_covers_it() -> None:
    before = standing_consent(purpose=PurposePart(purpose_code=Purpose.PRE_LOAN, application_no="A1"))
    assert planned(wanted(TAX, application_no="A1"), before).complete


def test_an_item_of_the_highest_level_has_a_consent_of_its_own_and_days_are_cut_to_the_rules() -> None:
    needed = planned(wanted(TAX, SENSITIVE, valid_days=3000, keep_days=3000))
    assert [(draft.provider, draft.separate) for draft in needed.to_sign] == [("platform", True), ("taxoffice", False)]
    assert {(draft.valid_days, draft.keep_days) for draft in needed.to_sign} == {(180, 365)}


def test_an_address_tells_the_same_as_what_it_was_made_of() -> None:
    of = wanted(
        WantedItem(item_id=TAX, mode=ItemMode.Q, provider="taxoffice", fields=("tax_authority", "status")),
        RATING,
        application_no="A 1",
        valid_days=20,
        keep_days=10,
        max_uses=3,
    )
    query = dict(parse_qsl(urlsplit(grant_path(of, "/applications/A 1?x=1")).query))
    assert wanted_of(query)[1] == of and query["back"] == "/applications/A 1?x=1"


def test_a_notice_once_shown_never_changes() -> None:
    assert {language: notice.part.sm3[:16] for language, notice in NOTICES.items()} == {
        "zh": "19e163f1decd7530",
        "en": "4932d723d28aee68",
    }
    assert all(set(notice.modes) == {ItemMode.Q, ItemMode.R, ItemMode.V, ItemMode.J} for notice in NOTICES.values())


EVERYTHING = [
    offer("taxoffice", *(item.id for item in rules().catalogue.items.values()), mode=mode)
    for mode in (ItemMode.Q, ItemMode.R, ItemMode.V, ItemMode.J)
]


@given(
    st.sampled_from(list(Purpose)),
    st.lists(st.sampled_from(sorted(rules().catalogue.items)), min_size=1, max_size=8, unique=True),
    st.sampled_from(["", "A1"]),
)
def test_what_is_signed_by_the_plan_leaves_nothing_to_sign_and_the_decision_permits_it(
    purpose: Purpose, items: list[str], application: str
) -> None:
    of, law = wanted(*items, purpose=purpose, application_no=application), rules()
    first = plan(of, [], EVERYTHING, law, NOW_MS)
    subject, notice = made(USCC).subject, NOTICES["zh"].part
    signed = [
        document(draft, subject, notice, record_id=str(uuid.UUID(int=number)), now_ms=NOW_MS)
        for number, draft in enumerate(first.to_sign)
    ]
    second = plan(of, [Standing(consent=each, state="active", ended_ms=0) for each in signed], EVERYTHING, law, NOW_MS)
    assert second.to_sign == () and second.missing == first.missing and len(second.standing) == len(signed)
    views = [
        ConsentView(
            record_id=each.record_id, uscc=USCC, terms=terms_of(each), valid_from_ms=NOW_MS, valid_to_ms=NOW_MS + 1
        )
        for each in (parse_consent(encode(one)) for one in signed)
    ]
    for part in (part for draft in first.to_sign for part in draft.scope):
        asked = UseRequest(
            subject=USCC,
            requester="firstbank",
            provider="taxoffice",
            purpose=purpose,
            items=(ItemUse(item_id=part.item_id, mode=part.mode),),
            at_ms=NOW_MS,
        )
        found = decide(asked, views, Freshness(checkpoint_ms=NOW_MS), law.catalogue, law.usage)
        assert isinstance(found, Permit), found
