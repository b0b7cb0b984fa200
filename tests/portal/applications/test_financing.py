"""Financing requests: masked, open to all banks, taken by one."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from portal.applications import clock
from portal.applications.tables import applications, demands
from portal.permissions import Role
from tests.portal.applications.firm import BANK, FACTS, OTHER_USCC, Case, case
from tests.portal.world import USCC, World

WANTED = {"amount": "150", "term": "12", "term_unit": "M", "purpose": "equipment", "guarantee": "credit"}
NAME = "北京样例科技有限公司"


@pytest.fixture
async def one(world: World) -> Case:
    return await case(world)


async def stated(one: Case) -> str:
    await one.firm.get("/financing")
    assert (await one.firm.post("/financing", **WANTED)).status_code == 303
    return str(one.world.portal.db.read_now(lambda c: c.execute(select(demands.c.demand_id)).scalar_one()))


async def test_banks_see_a_request_without_who_asks_and_the_one_that_takes_it_learns_it(one: Case) -> None:
    demand_id = await stated(one)
    staff, other = await one.staff(), await one.person("other", Role.STAFF, "bank-b")
    for text in ((await staff.get("/demands")).text, (await staff.client.get("/api/v1/demands")).text):
        assert "150" in text or "150000000" in text
        assert NAME not in text and USCC not in text
    await staff.get("/demands")
    answer = await staff.post(f"/demands/{demand_id}/take")
    one.number = answer.headers["location"].split("/")[-1]
    page = await staff.get(f"/lending/{one.number}")
    assert NAME in page.text and one.state() == "accepted"
    assert "150" not in (await other.get("/demands")).text.partition("<tbody>")[2]
    assert (await other.get(f"/lending/{one.number}")).status_code == 404
    assert one.number in (await one.firm.get("/financing")).text
    assert await one.does(staff, "investigation") == 409, "no consent of the enterprise for this bank stands"
    assert "尚未就本申请授权" in staff.page.text or "本申请尚无授权" in staff.page.text  # type: ignore[union-attr]


async def test_of_two_banks_that_take_it_at_once_one_gets_it(one: Case) -> None:
    demand_id = await stated(one)
    banks = [await one.person(f"staff-{n}", Role.STAFF, f"bank-{n}") for n in range(4)]
    for bank in banks:
        await bank.get("/demands")
    answers = await asyncio.gather(*(bank.post(f"/demands/{demand_id}/take") for bank in banks))
    assert sorted(answer.status_code for answer in answers) == [303, 409, 409, 409]
    assert any("其他银行承接" in answer.text for answer in answers)
    rows = one.world.portal.db.read_now(lambda c: c.execute(select(applications.c.institution)).scalars().all())
    taken = one.world.portal.db.read_now(lambda c: c.execute(select(demands.c.taken_by)).scalar_one())
    assert list(rows) == [taken]


async def test_one_request_is_open_at_a_time_sent_twice_is_stated_once_and_it_can_be_taken_back(one: Case) -> None:
    demand_id = await stated(one)
    page = one.firm.page
    assert (await one.firm.post("/financing", **WANTED)).status_code == 303, "the same form again"
    one.firm.page = page
    await one.firm.get("/account")
    await one.firm.get("/financing")
    assert (await one.firm.post("/financing", **WANTED, once="another")).status_code == 409
    await one.firm.get("/financing")
    assert (await one.firm.post(f"/financing/{demand_id}/withdraw")).status_code == 303
    assert (await one.firm.post(f"/financing/{demand_id}/withdraw")).status_code == 409
    staff = await one.staff()
    await staff.get("/demands")
    assert (await staff.post(f"/demands/{demand_id}/take")).status_code == 409


async def test_another_enterprise_cannot_take_it_back_and_nobody_takes_what_is_not_there(one: Case) -> None:
    demand_id = await stated(one)
    other = await one.person("stranger", Role.ENTERPRISE, OTHER_USCC)
    await other.get("/financing")
    assert (await other.post(f"/financing/{demand_id}/withdraw")).status_code == 404
    staff = await one.staff()
    await staff.get("/demands")
    assert (await staff.post("/demands/none/take")).status_code == 404
    approver = await one.approver()
    await approver.get("/lending")
    assert (await approver.post(f"/demands/{demand_id}/take")).status_code == 403


async def test_a_request_that_nobody_takes_lapses_and_the_enterprise_is_told(one: Case) -> None:
    await stated(one)
    one.world.later(31 * 86400)
    assert await clock.tick(one.world.portal) == 1
    state = one.world.portal.db.read_now(lambda c: c.execute(select(demands.c.state)).scalar_one())
    assert state == "lapsed"


UNREADABLE: list[dict[str, str]] = [
    {"amount": "0"},
    {"amount": ""},
    {"amount": "-5"},
    {"amount": "1e9"},
    {"term": "x"},
    {"term_unit": ""},
    {"purpose": "<b>"},
    {"guarantee": "'; DROP TABLE financing_demands; --"},
    {"amount": "9" * 2000},
]


async def test_a_request_that_cannot_be_read_is_refused_beside_its_field(one: Case) -> None:
    wrong = []
    for changed in UNREADABLE:
        await one.firm.get("/financing")
        answer = await one.firm.post("/financing", **(WANTED | changed))
        (name,) = changed
        if answer.status_code != 422 or f'id="{name}-fault"' not in answer.text or "<b>" in answer.text:
            wrong.append(changed)
    assert wrong == []


async def test_without_facts_banks_could_not_look_so_they_are_asked_for_first(world: World) -> None:
    assert FACTS.complete
    firm = await world.logged_in("firm", Role.ENTERPRISE, OTHER_USCC)
    assert "/facts?next=/financing" in (await firm.get("/financing")).text
    assert (await firm.post("/financing", **WANTED, once="x")).status_code == 409
    staff = await world.logged_in("staff", Role.STAFF, BANK)
    assert "目前没有" in (await staff.get("/demands")).text
