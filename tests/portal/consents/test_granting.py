"""Giving consent in the pages: told in plain words, signed by the enterprise's own key, and once."""

from __future__ import annotations

import asyncio

import pytest

from consent.directory import ProductItem, ProductPublished
from consent.documents import (
    CONSENT_REFUSAL_TYPE,
    CONSENT_REQUEST_TYPE,
    CONSENT_TYPE,
    ConsentRequest,
    ItemMode,
    ItemScope,
    Limits,
    Purpose,
    PurposePart,
    parse_consent,
    parse_refusal,
)
from portal.consents.notice import NOTICES
from portal.consents.wanted import Wanted, WantedItem, grant_path
from portal.hub_link import hub_away
from portal.permissions import Role
from tests.hub.signed import DAY_MS, NOTICE, fresh_id
from tests.portal.world import NOW_MS, USCC, Browser, World

TAX, SENSITIVE = "tax_registration", "platform_repayment"
SIGNATORY = {"signatory": "张三", "role": "legal_rep"}


def offer(provider: str, item: str) -> ProductPublished:
    part = ProductItem(item_id=item, modes=(ItemMode.Q,))
    return ProductPublished(product_id=f"{provider}-1", provider=provider, title="t", items=(part,), time_ms=1)


@pytest.fixture
async def firm(world: World) -> Browser:
    world.hub.offered = [offer("taxoffice", TAX), offer("platform", SENSITIVE)]
    return await world.logged_in(USCC, Role.ENTERPRISE, USCC)


def path(*items: str, back: str = "/applications/A1") -> str:
    parts = tuple(WantedItem(item_id=each) for each in items)
    return grant_path(Wanted(user="firstbank", purpose=Purpose.PRE_LOAN, items=parts, application_no="A1"), back)


async def test_a_page_tells_who_gets_what_why_how_long_and_what_the_mode_lets_out(firm: Browser) -> None:
    told = (await firm.get(path(TAX))).text
    for words in ("第一银行", "税务局", "税务登记", "贷前评估", "90 天", "A1", NOTICES["zh"].modes[ItemMode.Q]):
        assert words in told
    assert all(text in told for text in NOTICES["zh"].general)


async def test_one_button_signs_by_the_enterprises_own_key_and_leads_back(world: World, firm: Browser) -> None:
    await firm.get(path(TAX))
    answer = await firm.post("/consents/grant", **SIGNATORY)
    (entry,) = world.hub.entries
    consent = parse_consent(entry.payload)
    assert entry.payload_type == CONSENT_TYPE
    assert (consent.subject.uscc, consent.subject.ent_name) == (USCC, "北京样例科技有限公司")
    assert (consent.subject.signatory_name, consent.recipients.data_users) == ("张三", ("firstbank",))
    assert consent.notice == NOTICES["zh"].part and consent.purpose.application_no == "A1"
    assert consent.limits.valid_to_ms - consent.limits.valid_from_ms == 90 * DAY_MS
    page = await firm.get(answer.headers["location"])
    assert "已签署" in page.text and 'href="/applications/A1"' in page.text
    auditor = await world.logged_in("audit", Role.AUDIT_ADMIN)
    assert "consent_given" in (await auditor.get("/events")).text


async def test_the_notice_that_is_named_is_the_one_in_the_language_that_was_read(world: World, firm: Browser) -> None:
    await firm.get("/language/en?next=/")
    told = (await firm.get(path(TAX))).text
    assert "What it has seen cannot be taken back" in told
    await firm.post("/consents/grant", **SIGNATORY)
    assert parse_consent(world.hub.entries[0].payload).notice == NOTICES["en"].part


async def test_the_same_page_sent_twice_at_once_signs_once(world: World, firm: Browser) -> None:
    await firm.get(path(TAX))
    twice = await asyncio.gather(*(firm.post("/consents/grant", **SIGNATORY) for _ in range(2)))
    assert [each.status_code for each in twice] == [303, 303]
    assert len(world.hub.entries) == 1
    assert "没有需要再签署的内容" in (await firm.get(path(TAX))).text


async def test_who_signed_is_not_asked_again(firm: Browser) -> None:
    first = await firm.get(path(TAX))
    assert 'value="张三"' not in first.text
    await firm.post("/consents/grant", **SIGNATORY)
    again = await firm.get(path(SENSITIVE))
    assert 'value="张三"' in again.text and 'value="legal_rep" selected' in again.text


async def test_a_missing_answer_is_marked_beside_its_field_and_signs_nothing(world: World, firm: Browser) -> None:
    await firm.get(path(TAX))
    answer = await firm.post("/consents/grant", signatory="", role="boss")
    assert answer.status_code == 422 and 'id="signatory-fault"' in answer.text and 'id="role-fault"' in answer.text
    assert world.hub.entries == []


async def test_an_item_of_the_highest_level_needs_a_word_of_its_own(world: World, firm: Browser) -> None:
    await firm.get(path(SENSITIVE))
    without = await firm.post("/consents/grant", **SIGNATORY)
    assert without.status_code == 422 and 'id="separate-fault"' in without.text and world.hub.entries == []
    assert (await firm.post("/consents/grant", **SIGNATORY, separate="yes")).status_code == 303
    assert parse_consent(world.hub.entries[0].payload).purpose.separate_consent


async def test_what_nobody_offers_is_told_and_cannot_be_signed(world: World, firm: Browser) -> None:
    page = await firm.get(path("annual_report"))
    assert "企业年报" in page.text and "signatory" not in page.text
    assert (await firm.post("/consents/grant", **SIGNATORY)).status_code == 422
    assert world.hub.entries == []


async def test_by_hand_a_bank_a_purpose_and_items_lead_to_the_same_page(world: World, firm: Browser) -> None:
    assert "第一银行" in (await firm.get("/consents/new")).text
    wrong = await firm.get("/consents/new/items?user=&purpose=")
    assert wrong.status_code == 422 and 'id="user-fault"' in wrong.text
    items = await firm.get("/consents/new/items?user=firstbank&purpose=pre_loan")
    assert f"{TAX}:Q:taxoffice" in items.text
    none = await firm.get("/consents/grant?user=firstbank&purpose=pre_loan&valid_days=0")
    assert none.status_code == 422 and "valid_days-fault" in none.text
    check = await firm.get(f"/consents/grant?user=firstbank&purpose=pre_loan&items={TAX}:Q:taxoffice&valid_days=20")
    assert "20 天" in check.text
    await firm.post("/consents/grant", **SIGNATORY)
    assert len(world.hub.entries) == 1


async def test_a_hub_that_is_away_signs_nothing_and_says_so(world: World, firm: Browser) -> None:
    await firm.get(path(TAX))
    world.hub.refuses = hub_away()
    assert (await firm.post("/consents/grant", **SIGNATORY)).status_code == 503
    assert world.hub.entries == []


def asked(**changes: object) -> ConsentRequest:
    told = {"request_id": fresh_id(), "requester": "firstbank", "node_id": "firstbank-1", "provider": "taxoffice"}
    limits = Limits(valid_from_ms=NOW_MS, valid_to_ms=NOW_MS + 30 * DAY_MS, data_life_days=20, max_uses=2)
    scope = (ItemScope(item_id=TAX, mode=ItemMode.Q),)
    more = {"purpose": PurposePart(purpose_code=Purpose.PRE_LOAN), "scope": scope, "limits": limits, "uscc": USCC}
    return ConsentRequest(**(told | more | {"notice": NOTICE, "reason": "<b>贷款</b>", "time_ms": NOW_MS} | changes))  # type: ignore[arg-type]


async def test_a_bank_that_asks_is_shown_and_granted_on_its_terms(world: World, firm: Browser) -> None:
    request = asked()
    world.hub.asked = [request]
    assert "/consents/requests" in (await firm.get("/consents")).text
    assert request.request_id in (await firm.get("/consents/requests")).text
    page = await firm.get(f"/consents/requests/{request.request_id}")
    assert "&lt;b&gt;贷款" in page.text and "20 天" in page.text
    assert (await firm.post(f"/consents/requests/{request.request_id}/grant", **SIGNATORY)).status_code == 303
    consent = parse_consent(world.hub.entries[0].payload)
    assert (consent.request_id, consent.limits, consent.scope) == (request.request_id, request.limits, request.scope)
    assert consent.notice == NOTICES["zh"].part, "what this enterprise was shown, not what the bank says"
    assert (await firm.get(f"/consents/requests/{request.request_id}")).status_code == 404


async def test_a_request_is_refused_with_a_reason(world: World, firm: Browser) -> None:
    request = asked()
    world.hub.asked = [request]
    await firm.get(f"/consents/requests/{request.request_id}")
    assert (await firm.post(f"/consents/requests/{request.request_id}/refuse", reason="不需要贷款")).status_code == 303
    assert world.hub.entries[0].payload_type == CONSENT_REFUSAL_TYPE
    assert parse_refusal(world.hub.entries[0].payload).reason == "不需要贷款"
    assert world.hub.entries[0].payload_type != CONSENT_REQUEST_TYPE and world.hub.asked == []


async def test_the_api_tells_what_is_needed_and_signs_it(world: World, firm: Browser) -> None:
    token = (await firm.client.get("/api/v1/session")).json()["csrf"]
    headers = {"X-CSRF-Token": token}
    body = {"user": "firstbank", "purpose": "pre_loan", "items": [TAX]}
    needed = (await firm.client.post("/api/v1/consents/needed", json=body, headers=headers)).json()
    assert needed["to_sign"][0]["provider"] == "taxoffice" and needed["standing"] == []
    done = (await firm.client.post("/api/v1/consents", json=body | SIGNATORY, headers=headers)).json()
    assert done["record_ids"] == [world.hub.standing[0][0].record_id]
    wrong = await firm.client.post("/api/v1/consents", json=body | SIGNATORY | {"purpose": "fun"}, headers=headers)
    assert (wrong.status_code, list(wrong.json()["faults"])) == (422, ["purpose"])
    request = asked()
    world.hub.asked = [request]
    assert (await firm.client.get("/api/v1/consent-requests")).json()[0]["request_id"] == request.request_id
    granted = f"/api/v1/consent-requests/{request.request_id}/grant"
    assert len((await firm.client.post(granted, json=SIGNATORY, headers=headers)).json()["record_ids"]) == 1


async def test_a_bank_that_is_no_member_is_told_before_anything_is_signed(world: World, firm: Browser) -> None:
    answer = await firm.get(path(TAX).replace("firstbank", "nobody"))
    assert answer.status_code == 404 and "nobody" in answer.text and world.hub.entries == []
