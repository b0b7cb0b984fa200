"""A registration beside what is registered, asked of the simulator; differences, retries, the reviewer's express word, facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Row, select

from portal.events import events
from portal.facts import service as facts
from portal.hub_link import RegisteredFacts, node_away
from portal.permissions import Role
from portal.registration import checks
from portal.registration.checks import differences
from portal.registration.tables import registrations
from portal.state import Portal
from tests.portal.registration.test_registration import first, register, reviewer
from tests.portal.world import PASSWORD, REGISTERED, USCC, Browser, World

NAME = REGISTERED.ent_name


@pytest.mark.parametrize(
    ("told", "found", "differing"),
    [
        (NAME, REGISTERED, ()),
        ("北京样例（集团）有限公司", replace(REGISTERED, ent_name="北京样例(集团) 有限公司"), ()),
        (NAME, None, ("uscc",)),
        ("北京别的公司", REGISTERED, ("ent_name",)),
        (NAME, replace(REGISTERED, status="注销"), ("status",)),
        (NAME, replace(REGISTERED, status=""), ("status",)),
        ("别", replace(REGISTERED, status="吊销"), ("ent_name", "status")),
    ],
)
def test_code_name_and_status_are_compared(
    told: str, found: RegisteredFacts | None, differing: tuple[str, ...]
) -> None:
    assert differences(told, found) == differing


@given(st.text(min_size=1))
def test_a_name_agrees_with_itself(name: str) -> None:
    assert differences(name, replace(REGISTERED, ent_name=name)) == ()


def known(portal: Portal) -> checks.Check:
    def read(connection: Connection) -> checks.Check:
        (row,) = connection.execute(select(registrations).where(registrations.c.state == "submitted")).all()
        return checks.of(connection, row.registration_id, row.ent_name)

    return portal.db.read_now(read)


def acts_of(world: World) -> Sequence[Row[Any]]:
    return world.portal.db.read_now(lambda connection: connection.execute(select(events)).all())


async def endorsed(world: World) -> tuple[Browser, str]:
    """A second reviewer before a registration that the first endorsed."""
    one, _ = await reviewer(world, "first")
    two, _ = await reviewer(world, "second")
    path = await first(one)
    await one.get(path)
    await one.post(f"{path}/opinion", act="endorse", reason="ok")
    await two.get(path)
    return two, path


async def test_an_answer_is_kept_with_its_exchange_and_asked_for_once(world: World) -> None:
    await register(world)
    found = known(world.portal)
    assert found.agrees and found.facts == REGISTERED
    assert (found.provider, found.exchange_id) == ("marketoffice", "exchange-1")
    await checks.ask_due(world.portal)
    assert world.hub.queried == [USCC]


async def test_a_provider_that_is_away_is_asked_again_ever_later_and_the_page_says_why(world: World) -> None:
    world.hub.away = node_away("UNAVAILABLE")
    await register(world)
    one = await world.logged_in("first", Role.REVIEWER)
    assert "数据源单位节点尚未应答" in (await one.get(await first(one))).text
    world.hub.away = None
    assert await checks.ask_due(world.portal) == 0, "not before ten seconds are over"
    world.later(10)
    assert await checks.ask_due(world.portal) == 1 and known(world.portal).agrees


async def test_without_an_answer_only_an_express_word_approves_and_it_is_recorded(world: World) -> None:
    world.hub.away = node_away("UNAVAILABLE")
    await register(world)
    two, path = await endorsed(world)
    refused = await two.post(f"{path}/decision", act="approve", reason="已看执照", password=PASSWORD)
    assert refused.status_code == 422 and "已看执照" in refused.text and "请勾选" in refused.text
    assert world.hub.approved == []
    done = await two.post(f"{path}/decision", act="approve", reason="已看执照", password=PASSWORD, despite="yes")
    assert done.status_code == 303 and len(world.hub.approved) == 1
    acts = {each.action: each.reason for each in acts_of(world)}
    assert acts["registration_approved_despite"] == "not checked: 已看执照"


async def test_differences_are_marked_and_stop_an_approval_but_nothing_else(world: World) -> None:
    world.hub.registrations[USCC] = replace(REGISTERED, ent_name="<b>别的公司</b>", status="吊销")
    await register(world)
    two, path = await endorsed(world)
    page = (await two.get(path)).text
    assert "名称与所填不一致" in page and "<strong>吊销</strong>" in page and "<b>别" not in page
    assert (await two.post(f"{path}/decision", act="approve", reason="x", password=PASSWORD)).status_code == 422
    assert (await two.post(f"{path}/decision", act="return", reason="已吊销", password=PASSWORD)).status_code == 303
    acts = {each.action for each in acts_of(world)}
    assert "registration_approved_despite" not in acts


async def test_a_code_that_is_not_registered_is_told(world: World) -> None:
    world.hub.registrations[USCC] = None
    await register(world)
    one = await world.logged_in("first", Role.REVIEWER)
    page = (await one.get(await first(one))).text
    assert "该代码下无登记信息" in page and "<strong>无登记</strong>" in page


async def test_what_was_sent_back_is_asked_anew(world: World) -> None:
    await register(world)
    two, path = await endorsed(world)
    await two.post(f"{path}/decision", act="return", reason="再查", password=PASSWORD)
    world.hub.registrations[USCC] = replace(REGISTERED, status="注销")
    assert await checks.ask_due(world.portal) == 1
    assert known(world.portal).differences == ("status",)


async def test_who_is_let_in_finds_its_facts_filled_and_marked_and_may_correct_them(world: World) -> None:
    world.hub.registrations[USCC] = replace(REGISTERED, industry="nonsense")
    await register(world)
    two, path = await endorsed(world)
    assert (await two.post(f"{path}/decision", act="approve", reason="ok", password=PASSWORD)).status_code == 303
    own = world.portal.db.read_now(lambda c: facts.of(world.portal, c, USCC))
    assert (own.region, own.industry, own.founded, own.version) == ("110108", "", date(2019, 5, 1), 1)
    firm = world.browser()
    await firm.get("/login")
    await firm.post("/login", login=USCC, password=PASSWORD)
    page = (await firm.get("/facts")).text
    assert "登记信息：2019-05-01" in page and 'value="2019-05-01"' in page
    assert (await firm.post("/facts", region="110105", founded="2019-05-01")).status_code == 303
    own = world.portal.db.read_now(lambda c: facts.of(world.portal, c, USCC))
    assert own.region == "110105", "what the enterprise says is kept"


async def test_an_answer_that_comes_after_the_approval_fills_what_was_not_told(world: World) -> None:
    world.hub.away = node_away("UNAVAILABLE")
    await register(world)
    two, path = await endorsed(world)
    await two.post(f"{path}/decision", act="approve", reason="x", password=PASSWORD, despite="yes")
    world.hub.away = None
    world.later(10)
    assert await checks.ask_due(world.portal) == 1
    assert world.portal.db.read_now(lambda c: facts.of(world.portal, c, USCC)).industry == "I65"


async def test_reviewers_hear_of_a_registration_and_the_second_one_of_the_first_opinion(world: World) -> None:
    one, two = await world.logged_in("first", Role.REVIEWER), await world.logged_in("second", Role.REVIEWER)
    await register(world)
    for browser in (one, two):
        assert (await browser.get("/account")).text.count(f"有企业注册待审核：{NAME}") == 1
    path = await first(one)
    await one.get(path)
    await one.post(f"{path}/opinion", act="endorse", reason="ok")
    assert (await one.get("/account")).text.count("有企业注册待审核") == 1
    assert (await two.get("/account")).text.count("有企业注册待审核") == 2


async def test_the_api_shows_the_check(world: World) -> None:
    await register(world)
    one = await world.logged_in("first", Role.REVIEWER)
    found = (await one.client.get(f"/api/v1{await first(one)}")).json()
    assert found["check"]["facts"]["status"] == "存续" and found["check"]["differences"] == []
