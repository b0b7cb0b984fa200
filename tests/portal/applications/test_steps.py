"""The enterprise's forms: bad input is refused beside its field, what was typed stays, and nobody touches another's."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from portal.permissions import Role
from tests.portal.applications.firm import OTHER_USCC, PRODUCT, Case, case, product, publish
from tests.portal.world import World

GOOD = {"amount": "80", "term": "12"}


@pytest.fixture
async def one(world: World) -> Case:
    found = await case(world)
    await found.firm.get("/applications")
    path = (await found.firm.post("/applications", product_code=PRODUCT)).headers["location"]
    found.number = path.split("/")[2]
    return found


UNFIT: list[tuple[dict[str, str], str]] = [
    ({"amount": ""}, "amount"),
    ({"amount": "0"}, "amount"),
    ({"amount": "5"}, "amount"),
    ({"amount": "301"}, "amount"),
    ({"amount": "85"}, "amount"),
    ({"amount": "80.0000001"}, "amount"),
    ({"amount": "八十"}, "amount"),
    ({"amount": "<script>alert(1)</script>"}, "amount"),
    ({"amount": "1' OR '1'='1"}, "amount"),
    ({"amount": "8" * 5000}, "amount"),
    ({"term": "2"}, "term"),
    ({"term": "25"}, "term"),
    ({"term": "1.5"}, "term"),
    ({"term": "12\x00"}, "term"),
]
UNOFFERED = [{"purpose": ""}, {"purpose": "x"}, {"guarantee": "mortgage"}, {"guarantee": "<b>"}]


async def test_an_answer_that_does_not_fit_is_refused_beside_its_field(one: Case) -> None:
    path, wrong = f"/applications/{one.number}/steps/loan", []
    for changed, field in UNFIT:
        await one.firm.get(path)
        answer = await one.firm.post(path, **(GOOD | changed))
        other = "term" if field == "amount" else "amount"
        told = f'id="{field}-fault"' in answer.text and f'value="{GOOD[other]}"' in answer.text
        if answer.status_code != 422 or not told or "<script>" in answer.text:
            wrong.append(changed)
    assert wrong == [], "the fault stands beside its field, and what was right stays typed"


async def test_a_choice_that_the_product_does_not_offer_is_refused(one: Case) -> None:
    path, wrong = f"/applications/{one.number}/steps/use", []
    for changed in UNOFFERED:
        await one.firm.get(path)
        answer = await one.firm.post(path, **({"purpose": "turnover", "guarantee": "credit"} | changed))
        if answer.status_code != 422 or f'id="{next(iter(changed))}-fault"' not in answer.text:
            wrong.append(changed)
    assert wrong == []


async def test_an_answer_to_an_older_draft_is_refused_and_what_was_typed_stays(one: Case) -> None:
    path = f"/applications/{one.number}/steps/loan"
    await one.firm.get(path)
    old = one.firm.page
    assert (await one.firm.post(path, **GOOD)).status_code == 303
    one.firm.page = old
    answer = await one.firm.post(path, amount="90", term="6")
    assert answer.status_code == 409 and 'value="90"' in answer.text and "已被更新" in answer.text
    assert 'value="80"' in (await one.firm.get(path)).text


async def test_another_enterprises_application_does_not_exist(one: Case) -> None:
    stranger = await one.person("stranger", Role.ENTERPRISE, OTHER_USCC)
    await stranger.get("/applications")
    path = f"/applications/{one.number}"
    gets = ("", "/check", "/steps/loan", "/facts", "/authorizations")
    assert [(await stranger.get(path + each)).status_code for each in gets] == [404] * len(gets)
    await stranger.get("/applications")
    posts = ("/steps/loan", "/submit", "/cancel", "/verify")
    sent = GOOD | {"reason": "x", "version": "1"}
    assert [(await stranger.post(path + each, **sent)).status_code for each in posts] == [404] * len(posts)
    assert (await stranger.client.get(f"/api/v1{path}")).status_code == 404
    assert one.number not in (await stranger.get("/applications")).text


async def test_a_product_that_is_not_offered_or_not_there_cannot_be_applied_for(one: Case) -> None:
    publish(one.world, product("gone", publish_state="offline"))
    publish(one.world, product("over", valid_to=date(2026, 2, 1)))
    await one.firm.get("/applications")
    for code in ("gone", "over"):
        assert (await one.firm.post("/applications", product_code=code)).status_code == 409
    for code in ("none", "", "<b>", "'; DROP TABLE applications; --"):
        assert (await one.firm.post("/applications", product_code=code)).status_code == 404


async def test_what_was_submitted_cannot_be_edited_and_what_has_ended_cannot_be_cancelled(one: Case) -> None:
    await one.applied()
    path = f"/applications/{one.number}"
    assert (await one.firm.get(f"{path}/steps/loan")).status_code == 409
    await one.firm.get(path)
    assert (await one.firm.post(f"{path}/cancel", reason="")).status_code == 422
    assert (await one.firm.post(f"{path}/cancel", reason="不需要了")).status_code == 303
    assert one.state() == "cancelled"
    assert (await one.firm.post(f"{path}/cancel", reason="x", version="99")).status_code == 409


async def test_the_api_walks_the_same_way(one: Case) -> None:
    client = one.firm.client
    headers = {"X-CSRF-Token": (await client.get("/api/v1/session")).json()["csrf"]}
    path = f"/api/v1/applications/{one.number}"
    begun = (await client.post("/api/v1/applications", json={"product_code": PRODUCT}, headers=headers)).json()
    assert begun["application_no"] == one.number and begun["state"] == "draft"
    bad = await client.put(path, json={"version": begun["version"], "amount": "85"}, headers=headers)
    assert bad.status_code == 422 and "amount" in bad.json()["faults"]
    answers = {"version": begun["version"], "amount": "80", "term": "12", "purpose": "turnover", "guarantee": "credit"}
    told = (await client.put(path, json=answers, headers=headers)).json()
    assert told["amount_fen"] == 80_000_000
    early = await client.post(f"{path}/submit", json={"version": told["version"]}, headers=headers)
    assert (early.status_code, early.json()["title"]) == (409, "WRONG_STATE")
    await one.signed()
    told = (await client.post(f"{path}/submit", json={"version": told["version"]}, headers=headers)).json()
    assert told["state"] == "submitted" and told["consents"] == {"given": 1, "over": 0}
    told = (
        await client.post(f"{path}/cancel", json={"version": told["version"], "reason": "不需要了"}, headers=headers)
    ).json()
    assert told["state"] == "cancelled" and [each["act"] for each in told["moves"]] == ["submit", "cancel"]


async def test_a_new_version_of_the_product_that_does_not_fit_any_more_is_told_at_the_end(one: Case) -> None:
    await one.answers(f"/applications/{one.number}/steps/loan", amount="80", term="12")
    await one.answers(f"/applications/{one.number}/steps/use", purpose="turnover", guarantee="credit")
    await one.signed()
    await one.firm.get(f"/applications/{one.number}/check")
    publish(one.world, product(version=2, amount_max=Decimal(50)))
    answer = await one.firm.post(f"/applications/{one.number}/submit")
    assert answer.status_code == 422 and "可申请 10 万元至 50 万元" in answer.text and one.state() == "draft"
