from __future__ import annotations

from typing import Any

import httpx

from portal.permissions import Role
from tests.portal.products.offer import ANSWERS, person, published
from tests.portal.world import ORIGIN, USCC, Browser, World

API = "/api/v1/product-versions"


async def call(browser: Browser, method: str, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    token = (await browser.client.get("/api/v1/session")).json()["csrf"]
    return await browser.client.request(
        method, path, json=body, headers={"X-CSRF-Token": token, "Origin": ORIGIN, **headers}
    )


async def test_a_product_is_entered_decided_on_and_found_without_a_page(world: World) -> None:
    staff, reviewer = await world.logged_in("s", Role.STAFF, "bank-a"), await world.logged_in("r", Role.REVIEWER)
    body = {"answers": dict(ANSWERS)}
    begun = (await call(staff, "POST", API, body, **{"Idempotency-Key": "1"})).json()
    again = (await call(staff, "POST", API, body, **{"Idempotency-Key": "1"})).json()
    assert begun == again and (begun["state"], begun["edition"]) == ("draft", 1)
    path = f"{API}/{begun['product_code']}/1"
    named = await call(staff, "PATCH", path, {"edition": 1, "answers": {"product_name": "流水贷", "unknown": "x"}})
    assert named.json()["product_name"] == "流水贷" and "unknown" not in named.json()["answers"]
    stale = await call(staff, "POST", f"{path}/entry", {"edition": 1, "act": "submit"})
    assert (stale.status_code, stale.json()["title"]) == (409, "STALE")
    assert (await call(staff, "POST", f"{path}/entry", {"edition": 2, "act": "submit"})).json()["edition"] == 3
    assert (await call(reviewer, "POST", f"{path}/decision", {"edition": 3, "act": "approve"})).status_code == 422
    decided = await call(reviewer, "POST", f"{path}/decision", {"edition": 3, "act": "approve", "reason": "清楚"})
    assert decided.json()["state"] == "published"
    found = (await staff.get("/api/v1/products?amount=20&sort=-rate")).json()
    assert [each["product_name"] for each in found["products"]] == ["流水贷"] and found["following"] == ""
    one = (await staff.get(f"/api/v1/products/{begun['product_code']}")).json()
    assert one["rate_min"] == "3.45" and set(one["learns"]) == {"J", "V", "Q", "P"}
    listed = (await reviewer.get(f"{API}?state=published")).json()["versions"]
    assert [each["version_id"] for each in listed] == [f"{begun['product_code']}/1"]
    following = (await call(staff, "POST", f"{path}/next", {})).json()
    assert (following["version"], following["state"]) == (2, "draft")


async def test_what_is_wrong_is_told_by_field(world: World) -> None:
    staff = await world.logged_in("s", Role.STAFF, "bank-a")
    begun = (await call(staff, "POST", API, {"answers": dict(ANSWERS) | {"rate_max": "1"}})).json()
    refused = await call(staff, "POST", f"{API}/{begun['product_code']}/1/entry", {"edition": 1, "act": "submit"})
    assert refused.status_code == 422 and list(refused.json()["faults"]) == ["rate_max"]
    searched = await staff.get("/api/v1/products?amount=viel")
    assert searched.status_code == 422 and list(searched.json()["faults"]) == ["amount"]


async def test_the_rules_are_answered_by_ones_own_facts(world: World) -> None:
    found = published(world.portal, person(world, "s", Role.STAFF, "bank-a"), person(world, "r", Role.REVIEWER))
    firm = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    path = f"/api/v1/products/{found.product_code}/eligibility"
    assert (await firm.get(path)).json()["answer"] == "unknown"
    await call(firm, "PUT", "/api/v1/facts", {"region": "310000", "version": 0})
    answer = (await firm.get(path)).json()
    assert answer["answer"] == "no"
    assert answer["findings"][0] == {
        "answer": "no",
        "demand": "注册地：北京市",
        "fact": "region",
        "told": "上海市",
    }


async def test_another_banks_version_is_not_there(world: World) -> None:
    found = published(world.portal, person(world, "s", Role.STAFF, "bank-a"), person(world, "r", Role.REVIEWER))
    stranger = await world.logged_in("b", Role.STAFF, "bank-b")
    path = f"{API}/{found.product_code}/1"
    chief = await world.logged_in("c", Role.APPROVER, "bank-b")
    tried = [
        await stranger.get(path),
        await call(stranger, "PATCH", path, {"edition": 3, "answers": {}}),
        await call(stranger, "POST", f"{path}/entry", {"edition": 3, "act": "recall"}),
        await call(stranger, "POST", f"{path}/next", {}),
        await call(chief, "POST", f"{path}/withdrawal", {"edition": 3, "reason": "x"}),
    ]
    assert [answer.status_code for answer in tried] == [404] * 5
    assert (await stranger.get(API)).json()["versions"] == []
