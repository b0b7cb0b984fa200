"""A loan in Chromium from the contract to its settlement, and what the supervisor sees of the market: statistics and alerts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser
from sqlalchemy import Connection, insert

from cli.clock import now_ms
from cli.demo.cohort import BANK
from consent.validators import SECTIONS
from portal.accounts import service as accounts
from portal.accounts.passwords import hash_password
from portal.applications.moving import seal
from portal.applications.tables import applications, grants, moves
from portal.credit import clock as credit
from portal.permissions import Role
from portal.state import Portal
from portal.statistics import alerts, clock
from portal.today import today
from tests.e2e.test_portal_applications_in_a_browser import (
    SECRET_WORDS,
    Person,
    Site,
    chromium,
    opened,
    process,
    site,
    works,
)
from tests.portal.applications.firm import FACTS
from trust.keyfile import encode_private_key, secret_from_passphrase
from trust.sm2 import PrivateKey

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]
__all__ = ["chromium", "process", "site"]

NAME = "北京样例机械有限公司"
DAY_MS = 24 * 3600 * 1000
MARKET = 400
DISTRICTS = ("110101", "110102", "110105", "110106", "110108", "110115")


def account(portal: Portal, connection: Connection, login: str, role: Role, institution: str, password: str) -> str:
    pem = b""
    if role is Role.ENTERPRISE:
        pem = encode_private_key(PrivateKey.generate(), secret_from_passphrase(SECRET_WORDS))
    new = accounts.NewAccount(
        login=login, role=role, institution=institution, name="王小明", password_hash=password, key_pem=pem
    )
    return accounts.create(portal, connection, new)


def applied(portal: Portal, connection: Connection, firm: str, number: str, at_ms: int, **changed: Any) -> None:
    """An application that was accepted and granted, with its moves."""
    texts = ("demand_id", "reviewer", "investigator", "refusal")
    row = {
        "application_no": number, "account_id": firm, "ent_name": NAME, "product_code": "tax-loan", "product_name": "税易贷",
        "product_version": 1, "amount_fen": 80_000_000, "term": 12, "term_unit": "M", "purpose": "turnover",
        "guarantee": "credit", "state": "granted", "in_flight": 1, "version": 1, "institution": BANK, "uscc": number,
        **dict.fromkeys(texts, ""), **dict.fromkeys(("created_ms", "submitted_ms", "pushed_ms", "moved_ms"), at_ms),
        "due_ms": 0, **seal(portal, number, FACTS), **changed,
    }  # fmt: skip
    connection.execute(insert(applications), row)
    granted = row["state"] == "granted"
    acts = ("submit", "accept", "grant" if granted else "refuse")
    for place, act in enumerate(acts):
        move = {"application_no": number, "move_no": place + 1, "act": act, "state": "", "mover": "", "actor": "x"}
        time_ms = min(now_ms(), at_ms + place * DAY_MS)
        connection.execute(insert(moves), move | {"institution": "", "reason": "", "time_ms": time_ms})
    terms = {"annual_rate": f"{3.65 + random.Random(number).random():.2f}", "penalty_rate": "6", "term": 12}  # noqa: S311
    if granted:
        limit = {"limit_fen": row["amount_fen"], "granted_by": "x", "granted_ms": at_ms}
        connection.execute(insert(grants), terms | limit | {"application_no": number, "term_unit": "M"})


@pytest.fixture(scope="module")
def granted(site: Site) -> Iterator[str]:
    """Everybody's accounts, a market of some months, and an application that the bank has granted."""
    password, uscc, number = hash_password(SECRET_WORDS), site.uscc, "A20261130CREDIT"
    chance = random.Random(7)  # noqa: S311

    def write(connection: Connection) -> None:
        firm = account(portal, connection, uscc, Role.ENTERPRISE, uscc, password)
        for login, role in (("credit-staff", Role.STAFF), ("credit-approver", Role.APPROVER)):
            account(portal, connection, login, role, BANK, password)
        account(portal, connection, "credit-watcher", Role.SUPERVISOR, "hub", password)
        for each in range(MARKET):
            bank = chance.choice((BANK, BANK, "secondbank", "thirdbank"))
            at_ms = now_ms() - chance.randrange(1, 85) * DAY_MS
            cut = {
                "district": chance.choice(DISTRICTS),
                "industry": chance.choice(list(SECTIONS)[:8]),
                "size": chance.choice(("small", "small", "micro", "medium")),
                "guarantee": chance.choice(("credit", "mortgage")),
                "state": chance.choice(("granted", "granted", "refused")),
                "amount_fen": 1_000_000 * chance.randrange(20, 300),
                "institution": bank,
                "product_code": chance.choice(("tax-loan", "order-loan")),
                "in_flight": 0,
            }
            applied(portal, connection, firm, f"M{each:04}", at_ms, **cut)
        for bank in ("firstbank", "secondbank", "thirdbank"):
            own = {"uscc": "91310110666007217T", "institution": bank, "product_code": bank}
            applied(portal, connection, firm, f"R-{bank}", now_ms() - DAY_MS, **own)
        applied(portal, connection, firm, number, now_ms() - DAY_MS, uscc=uscc, product_code="")

    with opened(site) as portal:
        portal.db.write_now(write)
        yield number


def later(site: Site) -> None:
    """What the portal's process does by itself, now; on a thread, since the browser's loop runs on this one."""
    with opened(site) as portal, ThreadPoolExecutor(1) as thread:
        for act in (credit.tick, clock.tick, alerts.tick):
            thread.submit(lambda act=act: asyncio.run(act(portal))).result()  # type: ignore[misc]


def test_a_loan_from_the_contract_to_its_settlement(site: Site, granted: str, chromium: Browser) -> None:
    staff, approver = works(chromium, site, "credit-staff"), works(chromium, site, "credit-approver")
    day = today(now_ms())
    staff.go(f"/lending/{granted}")
    staff.click("合同与授信")
    begins, ends = day.isoformat(), (day + timedelta(days=300)).isoformat()
    staff.fill(contract_contract_no="HT-2026-001", contract_branch="海淀支行", contract_signed_on=begins)
    staff.fill(contract_begins_on=begins, contract_ends_on=(day + timedelta(days=900)).isoformat())
    staff.click("录入并提交复核")
    staff.sees("到期日期应晚于生效日期")
    staff.picture("contract-wrong")
    staff.fill(contract_ends_on=ends)
    staff.page.select_option("[name=contract_first_loan]", "1")
    staff.click("录入并提交复核")
    staff.sees("合同待复核")
    approver.go("/credit?pending=contract")
    approver.picture("ledger")
    approver.click(NAME)
    approver.fill(confirm_reason="与纸质合同一致")
    approver.picture("confirm")
    approver.page.get_by_role("button", name="确认").click()
    approver.sees("已签约")

    staff.go(f"/credit/{granted}")
    staff.fill(drawdown_amount="81", drawdown_day=begins)
    staff.click("登记放款")
    staff.sees("剩余可用额度为 80 万元")
    staff.fill(drawdown_amount="50", drawdown_due_on=begins)
    staff.picture("drawdown")
    staff.click("登记放款")
    staff.fill(repayment_amount="10", repayment_day=begins)
    staff.click("登记还款")
    staff.fill(overdue_amount="40", overdue_day=begins)
    staff.click("标记逾期")
    staff.picture("overdue")
    later(site)
    firm_sees(staff, site, granted)
    staff.go(f"/credit/{granted}")
    staff.fill(repayment_amount="40", repayment_day=begins)
    staff.click("登记还款")
    staff.click("结清")
    staff.sees("已结清")
    staff.picture("settled")
    approver.go("/credit?state=settled")
    approver.fill(reason="季度报送")
    with approver.page.expect_download() as given:
        approver.page.get_by_role("button", name="导出").click()
    text = given.value.path().read_text(encoding="utf-8-sig")
    assert (
        "credit-approver" in given.value.suggested_filename and text.startswith('"# credit-approver') and NAME in text
    )
    approver.go("/statistics")
    approver.picture("statistics")
    approver.go("/language/en?next=/credit")
    approver.picture("ledger-english")
    approver.page.set_viewport_size({"width": 390, "height": 844})
    approver.go(f"/credit/{granted}")
    approver.picture("line-phone")
    assert approver.page.evaluate("document.documentElement.scrollWidth") <= 390
    wrong = [each for each in staff.said + approver.said if "422" not in each]
    assert wrong == []


def firm_sees(person: Person, site: Site, granted: str) -> None:
    """The enterprise's own view, in a browser of its own."""
    context = person.context.browser.new_context(base_url=site.url)  # type: ignore[union-attr]
    page = context.new_page()
    page.goto(f"/login?next=/my-credit/{granted}")
    page.locator("[name=login]").fill(site.uscc)
    page.locator("[name=password]").fill(SECRET_WORDS)
    page.get_by_role("main").get_by_role("button", name="登录").click()
    text = page.inner_text("main")
    assert "40 万元" in text and "逾期" in text and "credit-staff" not in text
    page.screenshot(path="var/screenshots/credit-firm-line.png", full_page=True)
    page.goto("/my-credit")
    page.screenshot(path="var/screenshots/credit-firm.png", full_page=True)
    context.close()


def test_the_supervisor_sees_the_market_and_its_risks(site: Site, granted: str, chromium: Browser) -> None:
    watcher = works(chromium, site, "credit-watcher")
    later(site)
    since = (today(now_ms()) - timedelta(days=100)).replace(day=1).isoformat()
    watcher.go(f"/statistics?since={since}")
    watcher.sees("按区域")
    watcher.picture("statistics")
    assert watcher.page.locator("svg.plot").count() == 3
    watcher.page.emulate_media(color_scheme="dark")
    watcher.picture("statistics-dark")
    watcher.page.emulate_media(color_scheme="light")
    watcher.go("/alerts")
    watcher.sees("30 天内向多家银行申请")
    watcher.picture("alerts")
    watcher.go("/alerts?kind=many_banks")
    watcher.page.locator("main table a[href^='/alerts/']").first.click()
    watcher.fill(reason="已约谈企业")
    watcher.picture("alert")
    watcher.click("标记为已查看")
    watcher.sees("已约谈企业")
    watcher.go("/alert-rules")
    watcher.page.locator("#threshold-many_banks").fill("4")
    watcher.page.locator("form[action='/alert-rules/many_banks'] button").click()
    watcher.picture("rules")
    watcher.go(f"/language/en?next=/statistics%3Fsince%3D{since}")
    watcher.picture("statistics-english")
    watcher.page.set_viewport_size({"width": 390, "height": 844})
    for path in (f"/statistics?since={since}", "/alerts", "/alert-rules", "/credit"):
        watcher.go(path)
        watcher.picture("phone" + path.partition("?")[0].replace("/", "-"))
        assert watcher.page.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert watcher.said == []
