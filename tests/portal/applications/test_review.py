"""The platform's side: what differs is marked, two look, and each says why."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from portal.applications import review
from portal.applications.moving import CLOCK, get
from portal.facts.facts import Facts
from portal.permissions import Role
from portal.text import Text
from tests.portal.applications.firm import FACTS, Case, case
from tests.portal.world import World

SOURCE = Text("somewhere")


@pytest.fixture
async def one(world: World) -> Case:
    return await case(world)


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({}, []),
        ({"employees": 41}, ["Employees"]),
        ({"region": "110105"}, ["Region"]),
        ({"industry": "F51"}, ["Industry"]),
        ({"revenue_wan": Decimal("2600.00")}, []),
        ({"revenue_wan": Decimal(90000), "employees": 2000}, ["Size", "Employees", "Revenue a year"]),
        ({"founded": None}, []),
    ],
    ids=str,
)
def test_each_fact_that_differs_is_told_and_none_that_is_not_known(
    changed: dict[str, object], fields: list[str]
) -> None:
    found = review.compare(FACTS, msgspec.structs.replace(FACTS, **changed), SOURCE)
    assert [each.field.sentence for each in found] == fields
    assert review.compare(FACTS, Facts(), SOURCE) == []


async def test_a_reviewer_sees_what_differs_from_the_code_the_last_application_and_the_facts_today(one: Case) -> None:
    await one.applied()
    reviewer = await one.person("first", Role.REVIEWER)
    path = f"/application-reviews/{one.number}"
    assert "未发现不一致" in (await reviewer.get(path)).text
    await one.firm.get("/facts")
    changed = {"region": "110108", "industry": "C3921", "founded": "2015-03-01", "assets_wan": "1800"}
    answer = await one.firm.post("/facts", **changed, employees="45", revenue_wan="2600", next="/")
    assert answer.status_code == 303
    page = (await reviewer.get(path)).text
    assert "当前企业基本情况" in page and "45 人" in page and 'class="differs"' in page
    found = one.world.portal.db.read_now(lambda c: get(one.world.portal, c, one.number, CLOCK))
    abroad = msgspec.structs.replace(found.told, region="310000")
    (difference,) = review.compare_registry(replace(found, told=abroad))
    assert difference.source.sentence == "region in its credit code"
    assert review.compare_registry(found) == []


async def test_what_was_returned_is_corrected_and_looked_at_anew(one: Case) -> None:
    await one.applied()
    first, second = [await one.person(login, Role.REVIEWER) for login in ("first", "second")]
    path = f"/application-reviews/{one.number}"
    await first.get(path)
    assert (await first.post(f"{path}/opinion", act="object", reason="期限过长")).status_code == 303
    await second.get(path)
    assert (await second.post(f"{path}/decision", act="return", reason="请缩短期限")).status_code == 303
    page = (await one.firm.get(f"/applications/{one.number}")).text
    assert "请缩短期限" in page and "期限过长" not in page
    assert await one.answers(f"/applications/{one.number}/steps/loan", amount="80", term="6")
    await one.firm.get(f"/applications/{one.number}/check")
    assert (await one.firm.post(f"/applications/{one.number}/submit")).status_code == 303
    assert one.state() == "submitted"
    await second.get(path)
    assert (await second.post(f"{path}/opinion", act="endorse", reason="ok")).status_code == 303, "a new first look"


@pytest.mark.parametrize(("act", "state"), [("reject", "rejected"), ("look_again", "submitted")])
async def test_the_second_reviewer_rejects_or_sends_back_to_a_first_look(one: Case, act: str, state: str) -> None:
    await one.applied()
    first, second = [await one.person(login, Role.REVIEWER) for login in ("first", "second")]
    path = f"/application-reviews/{one.number}"
    await first.get(path)
    await first.post(f"{path}/opinion", act="endorse", reason="ok")
    await first.get(path)
    own = await first.post(f"{path}/decision", act=act, reason="x", version="3")
    assert own.status_code in {403, 409}
    await second.get(path)
    assert (await second.post(f"{path}/decision", act=act, reason="")).status_code == 422
    assert (await second.post(f"{path}/decision", act="grant", reason="x")).status_code == 409
    await second.get(path)
    assert (await second.post(f"{path}/decision", act=act, reason="理由")).status_code == 303
    assert one.state() == state


async def test_a_reviewer_sees_no_draft_and_nothing_that_is_not_there(one: Case) -> None:
    await one.firm.get("/applications")
    path = (await one.firm.post("/applications", product_code="bank-a-tax-loan")).headers["location"]
    number = path.split("/")[2]
    reviewer = await one.person("first", Role.REVIEWER)
    for nothing in (number, "none", "' OR 1=1 --"):
        assert (await reviewer.get(f"/application-reviews/{nothing}")).status_code == 404
    assert (await reviewer.get("/application-reviews?state=draft")).status_code == 200


async def test_the_api_of_reviewers_does_what_the_pages_do(one: Case) -> None:
    await one.applied()
    first = (await one.person("first", Role.REVIEWER)).client
    headers = {"X-CSRF-Token": (await first.get("/api/v1/session")).json()["csrf"]}
    rows = (await first.get("/api/v1/application-reviews")).json()["rows"]
    assert [row["application_no"] for row in rows] == [one.number]
    version = one.world.portal.db.read_now(lambda c: get(one.world.portal, c, one.number, CLOCK)).version
    path = f"/api/v1/application-reviews/{one.number}"
    sent = {"version": version, "act": "endorse", "reason": "ok"}
    told = (await first.post(f"{path}/opinion", json=sent, headers=headers)).json()
    assert told["state"] == "platform_review" and told["reviewer"] == "first"
    sent = {"version": told["version"], "act": "push", "reason": "ok"}
    answer = await first.post(f"{path}/decision", json=sent, headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (403, "PERMISSION_DENIED")
    answer = await first.post(f"{path}/decision", json=sent | {"reason": ""}, headers=headers)
    assert answer.json()["faults"]["reason"]
