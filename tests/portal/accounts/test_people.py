"""The list of accounts: whose it is, what it is cut by, and that names are masked."""

from __future__ import annotations

import re

import pytest

from portal.permissions import Role
from tests.portal.world import USCC, World


def logins(page: str) -> list[str]:
    return re.findall(r"<tr><td>([^<]+)</td>", page)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", [USCC.casefold(), "anna", "bert", "chief", "cleo"]),
        ("sort=-login", ["cleo", "chief", "bert", "anna", USCC.casefold()]),
        ("user=ER", ["bert"]),
        ("user=%25", []),
        ("held=staff", ["anna", "bert"]),
        ("at=bank-a", ["anna"]),
        ("state=disabled", ["cleo"]),
        ("held=staff&at=bank-b&state=active", ["bert"]),
        ("held=nonsense&sort=nothing&after=nowhere", [USCC.casefold(), "anna", "bert", "chief", "cleo"]),
    ],
)
async def test_the_security_administrator_finds_every_account(world: World, query: str, shown: list[str]) -> None:
    world.account("anna", Role.STAFF, "bank-a")
    world.account("bert", Role.STAFF, "bank-b")
    gone = world.account("cleo", Role.REVIEWER)
    world.account(USCC, Role.APPLICANT, USCC)
    browser = await world.logged_in("chief", Role.SECURITY_ADMIN)
    await browser.get("/staff")
    await browser.post(f"/staff/{gone}/disable", reason="left")
    page = (await browser.get(f"/staff?{query}")).text
    assert logins(page) == shown
    assert "王小明" not in page and (not shown or "王**" in page)


async def test_a_members_administrator_finds_its_own_only_whatever_the_address_asks(world: World) -> None:
    world.account("anna", Role.STAFF, "bank-a")
    world.account("bert", Role.STAFF, "bank-b")
    browser = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    for query in ("", "at=bank-b", "held=staff&at=bank-b", "user=e"):
        assert "bert" not in logins((await browser.get(f"/staff?{query}")).text)
    assert logins((await browser.get("/staff")).text) == ["anna", "chief"]


async def test_enterprises_have_no_button_that_removes_them(world: World) -> None:
    account_id = world.account(USCC, Role.APPLICANT, USCC)
    browser = await world.logged_in("chief", Role.SECURITY_ADMIN)
    assert account_id not in (await browser.get("/staff")).text
    assert (await browser.post(f"/staff/{account_id}/disable", reason="x")).status_code == 404
