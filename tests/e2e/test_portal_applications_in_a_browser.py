"""An application in Chromium, from the landing page to the grant, against a hub, nodes and a portal that run as processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal

import msgspec
import pytest
from playwright.sync_api import Browser
from sqlalchemy import insert

from cli.clock import now_ms
from cli.demo.cohort import BANK, GOVERNMENT_ITEM
from cli.demo.network import wait_until
from cli.secret import secret_path
from consent.documents import ItemMode
from portal.accounts import service as accounts
from portal.accounts.passwords import hash_password
from portal.accounts.totp import code_at
from portal.permissions import Role
from portal.products import search
from portal.products.product import Product, RequiredItem
from portal.products.tables import versions
from portal.registration.tables import registrations
from portal.server import open_portal
from portal.settings import load_settings
from portal.state import Portal
from tests.e2e.portal_site import SECRET_WORDS, Person, Site, chromium, process, site
from tests.portal.applications.firm import product, version_row
from tests.portal.world import HubSimulator, registered
from trust.keyfile import encode_private_key, secret_from_passphrase

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]
__all__ = ["chromium", "process", "site"]

NAME = "北京样例科技有限公司"
MOST_CLICKS, MOST_FIELDS = 11, 14
"""From the landing page to the submitted application, for an approved enterprise: the first time, facts included."""


@contextmanager
def opened(site: Site) -> Iterator[Portal]:
    """The portal's database beside the process that serves it."""
    portal = open_portal(load_settings(site.home), secret_path(site.home), HubSimulator(), now_ms)
    try:
        yield portal
    finally:
        portal.db.close()


def offered() -> Product:
    """A bank's product that wants the government's item."""
    items = (RequiredItem(item_id=GOVERNMENT_ITEM, mode=ItemMode.Q),)
    plain = product(institution=BANK, required_items=items, valid_from=date(2020, 1, 1))
    return msgspec.structs.replace(plain, summary="凭纳税记录申请的流动资金贷款，五个工作日内答复", branch="第一银行")


@pytest.fixture(scope="module")
def firm_code(site: Site) -> str:
    """An approved enterprise, a product of a bank, and everybody's accounts: what other journeys do by pages."""
    enterprise = site.live.registry.register(site.live.loans.codes[next(site.live.numbers)], NAME)
    pem, one = encode_private_key(enterprise.key, secret_from_passphrase(SECRET_WORDS)), offered()
    people = [(enterprise.uscc, Role.ENTERPRISE, enterprise.uscc, pem)]
    people += [(f"app-reviewer-{number}", Role.REVIEWER, "hub", b"") for number in (1, 2)]
    people += [("app-staff", Role.STAFF, BANK, b""), ("app-approver", Role.APPROVER, BANK, b"")]
    with opened(site) as portal:
        for login, role, institution, key in people:
            new = accounts.NewAccount(
                login=login,
                role=role,
                institution=institution,
                name="王小明",
                password_hash=hash_password(SECRET_WORDS),
                key_pem=key,
            )
            account_id = portal.db.write_now(lambda c, new=new: accounts.create(portal, c, new))  # type: ignore[misc]
            if role is Role.ENTERPRISE:
                row = registered(account_id, enterprise.uscc)
                portal.db.write_now(lambda c, row=row: c.execute(insert(registrations), row))  # type: ignore[misc]
        portal.db.write_now(lambda c: c.execute(insert(versions), version_row(one)))
        portal.db.write_now(lambda c: search.put(c, one, now_ms()))
    return enterprise.uscc


def chooses(person: Person, **values: str) -> None:
    """Choose in lists; each counts as a field."""
    for name, value in values.items():
        person.page.select_option(f"[name={name}]", value)
        person.fields += 1


def works(chromium: Browser, site: Site, login: str) -> Person:
    """Somebody of the staff, logged in for the first time."""
    person = Person(chromium, site.url, login)
    person.go("/login")
    person.fill(login=login, password=SECRET_WORDS)
    person.page.get_by_role("button", name="登录").click()
    secret = person.page.locator("main code").inner_text().replace(" ", "")
    person.fill(code=code_at(secret, int(time.time())))
    person.click("继续")
    return person


def test_an_enterprise_gets_from_the_landing_page_to_a_grant(site: Site, firm_code: str, chromium: Browser) -> None:
    firm = Person(chromium, site.url, "application")
    firm.go("/")
    firm.page.locator("header").get_by_text("登录").click()
    firm.clicks += 1
    firm.fill(login=firm_code, password=SECRET_WORDS)
    firm.click("登录")
    firm.page.locator("nav").get_by_text("贷款产品").click()
    firm.clicks += 1
    firm.picture("products")
    firm.click("税易贷")
    firm.picture("product")
    firm.click("申请")
    firm.fill(amount="75", term="12")
    firm.click("继续")
    firm.sees("以 10 万元递增")
    firm.picture("loan-wrong")
    firm.clicks, firm.fields = firm.clicks - 1, firm.fields - 2
    firm.fill(amount="80", term="12")
    firm.picture("loan")
    firm.click("继续")
    chooses(firm, purpose="materials", guarantee="credit")
    firm.picture("use")
    firm.click("继续")
    chooses(firm, region="110108", industry="C39")
    firm.fill(founded="2015-03-01", employees="40", revenue_wan="2600", assets_wan="1800")
    firm.picture("facts")
    firm.page.locator("main form button").last.click()
    firm.clicks += 1
    firm.fill(signatory="张三")
    chooses(firm, role="legal_rep")
    firm.picture("authorizations")
    firm.click("用我的密钥签署")
    firm.picture("signed")
    firm.page.locator("main a.button, main .actions a").last.click()
    firm.clicks += 1
    firm.sees("核对申请内容")
    firm.picture("check")
    firm.click("提交申请")
    firm.sees("待平台初审")
    firm.picture("submitted")
    sys.stdout.write(f"landing page to submitted application: {firm.clicks} clicks, {firm.fields} fields\n")
    assert firm.clicks <= MOST_CLICKS and firm.fields <= MOST_FIELDS
    number = firm.page.url.rpartition("/")[2]

    one, two = works(chromium, site, "app-reviewer-1"), works(chromium, site, "app-reviewer-2")
    one.go("/application-reviews")
    one.picture("queue")
    one.click(NAME)
    one.picture("review")
    one.fill(reason="材料齐全")
    one.click("同意")
    one.sees("须由另一位审核员决定")
    two.go(f"/application-reviews/{number}")
    two.sees("1 项授权，最近一次核对时均有效")
    two.fill(reason="符合条件")
    two.click("转交银行")
    two.sees("待银行受理")

    staff, approver = works(chromium, site, "app-staff"), works(chromium, site, "app-approver")
    staff.go("/lending?state=pushed")
    staff.picture("queue")
    staff.click(NAME)
    staff.fill(reason="受理")
    staff.picture("arrived")
    staff.click("受理")
    staff.click("开始尽职调查")
    with site.live.network.agent("bank-1") as bank:
        exchange = site.live.open_query(bank, "贷前核实")
        site.live.query(bank, exchange, firm_code)
    staff.page.select_option("[name=agrees]", "yes")
    staff.fill(exchange_id=exchange)
    staff.picture("investigation")
    staff.click("登记")
    staff.sees(exchange)

    def proved() -> bool:
        firm.go(f"/applications/{number}")
        firm.click("在我的使用记录中核对")
        return "核对属实" in firm.page.inner_text("main")

    wait_until("the use is in the enterprise's record", proved)
    firm.picture("verified")
    approver.go(f"/lending/{number}")
    approver.fill(limit="60", annual_rate="4.35", penalty_rate="6.525")
    approver.picture("decision")
    approver.click("批准")
    approver.sees("已授信")
    approver.picture("granted")
    firm.go(f"/applications/{number}")
    firm.sees("60 万元")
    firm.picture("granted")
    firm.go("/applications")
    firm.picture("list")
    said = firm.said + one.said + two.said + staff.said + approver.said
    assert len(said) == 1 and "422" in said[0], "only Chromium's own remark about the amount that did not fit"


def test_a_request_without_a_product_is_taken_by_a_bank_that_did_not_see_who_asked(
    site: Site, firm_code: str, chromium: Browser
) -> None:
    firm = Person(chromium, site.url, "financing", phone=True)
    firm.go("/login?next=/financing")
    firm.fill(login=firm_code, password=SECRET_WORDS)
    firm.click("登录")
    firm.picture("before")
    firm.fill(amount="150", term="24")
    chooses(firm, term_unit="M", purpose="equipment", guarantee="credit")
    firm.picture("stated")
    firm.click("发布融资需求")
    firm.sees("向所有银行公开")
    staff = Person(chromium, site.url, "financing-staff", dark=True)
    staff.go("/login")
    staff.fill(login="app-staff", password=SECRET_WORDS)
    staff.page.get_by_role("button", name="登录").click()
    with opened(site) as portal:
        row = portal.db.read_now(lambda c: accounts._by_login(c, "app-staff"))
        assert row is not None
        secret = portal.keys.open("accounts", "totp", row.account_id, bytes(row.totp_sealed))
    used = row.totp_step
    wait_until("the next code", lambda: int(time.time()) // 30 > used, 40)
    staff.fill(code=code_at(secret, int(time.time())))
    staff.click("继续")
    staff.go("/demands")
    staff.sees("150")
    assert NAME not in staff.page.inner_text("main")
    staff.picture("demands")
    staff.click("承接")
    staff.sees(NAME)
    staff.picture("taken")
    firm.go("/financing")
    firm.sees("已承接")
    firm.picture("taken")


def test_on_a_phone_in_english_and_in_the_dark_the_pages_fit(site: Site, firm_code: str, chromium: Browser) -> None:
    for dark in (False, True):
        firm = Person(
            chromium, site.url, f"application-phone-{'dark' if dark else 'light'}", scripts=False, phone=True, dark=dark
        )
        firm.go("/language/en?next=/login")
        firm.fill(login=firm_code, password=SECRET_WORDS)
        firm.click("Log in")
        firm.go("/applications")
        firm.picture("list")
        for link in firm.page.locator("main h2 a").all()[-1:]:
            link.click()
        firm.picture("one")
        wide = firm.page.locator("body").bounding_box()
        assert wide is not None and wide["width"] <= 390
        assert Decimal(firm.page.evaluate("document.documentElement.scrollWidth")) <= 390
