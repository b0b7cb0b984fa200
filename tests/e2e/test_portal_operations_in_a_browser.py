"""Operators in Chromium, over a running hub: a node goes and comes back, an exchange begins, and the page says so by itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

from cli.demo.network import wait_until
from tests.e2e.portal_site import Person, Site, chromium, invites, joins, site

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]
__all__ = ["chromium", "site"]


def test_an_operator_sees_nodes_go_and_come_and_an_exchange_begin(site: Site, chromium: Browser) -> None:
    live = site.live
    chief, operator = Person(chromium, site.url, "operations-security"), Person(chromium, site.url, "operations")
    joins(chief, site.invitation, "安全管理员")
    joins(operator, invites(chief, "system-operator", "system_admin"), "孙运维")

    operator.go("/operations")
    row = operator.page.locator("tbody tr").filter(has_text="bank-1")
    row.get_by_text("在线").wait_for()
    row.get_by_text("不到一分钟").wait_for()
    operator.picture("nodes")
    live.network.processes["bank-1"].kill()
    row.get_by_text("离线").wait_for()
    operator.page.get_by_role("link", name="节点", exact=True).focus()
    live.network.start("bank-1")
    row.get_by_text("在线").wait_for()
    assert operator.page.evaluate("document.activeElement.textContent") == "节点", "the keyboard stays where it was"
    wait_until("bank-1 is connected", lambda: live.status("bank-1").connected)

    operator.go("/operations/exchanges?state=open&node=bank-1")
    live.enterprise()  # a query can be opened once somebody has consented
    with live.network.agent("bank-1") as bank:
        exchange = live.open_query(bank)
    operator.page.locator("tbody tr").filter(has_text=exchange[:8]).get_by_text("查询").wait_for()
    operator.picture("exchanges")

    phone = Person(chromium, site.url, "operations-phone", scripts=False, phone=True, dark=True)
    phone.context.add_cookies(operator.context.cookies())  # type: ignore[arg-type]
    phone.go("/operations?sort=-node")
    phone.sees("tax-1")
    phone.picture("nodes")
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    phone.go("/language/en?next=/operations")
    phone.sees("Members' nodes")
    # Other tests of the network may have left a node of theirs away; those that run have no alarm.
    shown = phone.page.inner_text("main")
    assert not re.search(r"(bank-1|tax-1) has", shown), shown
    phone.picture("nodes-en")
    assert operator.said == phone.said == []
