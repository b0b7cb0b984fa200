from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from consent.enterprise_size import EnterpriseSize
from consent.validators import SECTIONS, parse_industry, parse_region
from portal.errors import PortalError
from portal.facts import service
from portal.facts.facts import Facts
from portal.facts.names import industries, industry_name, number, region_name, regions
from portal.facts.tables import enterprise_facts
from portal.permissions import Role
from tests.portal.products.offer import person
from tests.portal.world import ORIGIN, USCC, World

TOLD = {
    "region": "110108",
    "industry": "I65",
    "founded": "2019-05-01",
    "employees": "42",
    "revenue_wan": "1,860.5",
    "assets_wan": "900",
}
FACTS = Facts(
    region="110108",
    industry="I65",
    founded=date(2019, 5, 1),
    employees=42,
    revenue_wan=Decimal("1860.5"),
    assets_wan=Decimal(900),
    version=1,
)


def test_the_size_class_follows_from_what_was_told_and_is_unknown_without_it() -> None:
    assert FACTS.size is EnterpriseSize.SMALL and FACTS.complete
    assert Facts(industry="I65", employees=42).size is None
    assert Facts(industry="P83").size is EnterpriseSize.UNCLASSIFIED
    assert Facts(industry="K70", employees=1, revenue_wan=Decimal(1), assets_wan=Decimal(1)).size is None
    assert not Facts(region="110108").complete


def test_every_region_and_industry_with_a_name_has_a_valid_code_and_no_section_is_left_out() -> None:
    assert [code for code in regions() if parse_region(code) != code] == []
    assert {parse_industry(code).section for code in industries()} == set(SECTIONS)
    divisions = {code for code in industries() if len(code) == 3}
    assert divisions == {f"{letter}{n:02}" for letter, (a, b) in SECTIONS.items() for n in range(a, b + 1)}


def test_a_code_without_a_name_is_called_by_what_it_belongs_to() -> None:
    assert (region_name("110228").zh, region_name("440305").en) == ("北京市（110228）", "Guangdong (440305)")
    assert (industry_name("C3921").en, industry_name("I").zh) == (
        "Computers, communication and electronics (C3921)",
        "信息传输、软件和信息技术服务业",
    )
    assert [number(each) for each in (None, 1500, Decimal("1860.50"), Decimal(0), Decimal("1E+3"))] == [
        "–",
        "1,500",
        "1,860.5",
        "0",
        "1,000",
    ]


def test_figures_are_sealed_and_what_cuts_statistics_is_not(world: World) -> None:
    who = person(world, USCC, Role.ENTERPRISE, USCC)
    portal = world.portal
    portal.db.write_now(lambda c: service.keep(portal, c, who, msgspec.structs.replace(FACTS, version=0)))
    row = portal.db.read_now(lambda c: c.execute(enterprise_facts.select()).one())
    assert (row.region, row.industry, row.size) == ("110108", "I65", "small")
    assert b"1860" not in bytes(row.figures_sealed)
    assert portal.db.read_now(lambda c: service.of(portal, c, USCC)) == FACTS
    assert portal.db.read_now(lambda c: service.of(portal, c, "91310110666007217T")) == Facts()


def test_facts_told_on_an_older_version_or_of_tomorrow_are_refused(world: World) -> None:
    who, portal = person(world, USCC, Role.ENTERPRISE, USCC), world.portal
    portal.db.write_now(lambda c: service.keep(portal, c, who, Facts(region="110108")))
    with pytest.raises(PortalError, match="STALE"):
        portal.db.write_now(lambda c: service.keep(portal, c, who, Facts(region="110105")))
    with pytest.raises(PortalError, match="INVALID_ARGUMENT"):
        portal.db.write_now(lambda c: service.keep(portal, c, who, Facts(founded=date(2027, 1, 1), version=1)))
    assert portal.db.read_now(lambda c: service.of(portal, c, USCC)).region == "110108"


async def test_an_enterprise_tells_once_and_goes_back_to_where_it_was_asked(world: World) -> None:
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    await browser.get("/facts?next=/products/P1")
    wrong = await browser.post("/facts", **TOLD | {"employees": "<b>viele</b>"})
    assert wrong.status_code == 422 and 'href="#employees"' in wrong.text
    assert "&lt;b&gt;viele&lt;/b&gt;" in wrong.text and "1,860.5" in wrong.text, "nothing typed is lost"
    done = await browser.post("/facts", **TOLD)
    assert (done.status_code, done.headers["location"]) == (303, "/products/P1")
    page = (await browser.get("/facts")).text
    assert 'value="1860.5"' in page and "小型" in page


async def test_what_is_typed_on_a_stale_page_stays_on_it_and_can_be_saved_then(world: World) -> None:
    browser, other = await world.logged_in(USCC, Role.ENTERPRISE, USCC), world.browser()
    other.client.cookies = browser.client.cookies
    await browser.get("/facts")
    await other.get("/facts")
    await other.post("/facts", region="110105")
    stale = await browser.post("/facts", **TOLD)
    assert stale.status_code == 409 and 'value="1,860.5"' in stale.text
    assert (await browser.post("/facts", **TOLD)).status_code == 303


async def test_another_site_cannot_be_gone_back_to(world: World) -> None:
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    await browser.get("/facts?next=//evil.example")
    assert (await browser.post("/facts", **TOLD)).headers["location"] == "/"


async def test_the_api_tells_and_keeps_the_same(world: World) -> None:
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    token = (await browser.get("/api/v1/session")).json()["csrf"]
    headers = {"X-CSRF-Token": token, "Origin": ORIGIN}
    kept = await browser.client.put("/api/v1/facts", json=TOLD | {"version": 0}, headers=headers)
    told = (await browser.get("/api/v1/facts")).json()
    assert kept.json() == told
    assert (told["revenue_wan"], told["size"], told["complete"], told["version"]) == ("1860.5", "small", True, 1)
    wrong = await browser.client.put("/api/v1/facts", json={"industry": "Z9", "version": 1}, headers=headers)
    assert wrong.status_code == 422 and list(wrong.json()["faults"]) == ["industry"]
