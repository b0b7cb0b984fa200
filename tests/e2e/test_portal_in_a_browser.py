"""The journeys of enterprises and reviewers in Chromium, against a hub, nodes and a portal that run as processes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM
from cli.demo.enterprises import Enterprise
from cli.demo.network import wait_until
from cli.secret import read_secret
from consent.documents import ItemMode, ItemScope
from tests.e2e.portal_site import SECRET_WORDS, Person, Site, chromium, invites, joins, site

__all__ = ["chromium", "site"]
pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


def test_an_enterprise_registers_and_two_reviewers_let_it_in(site: Site, chromium: Browser) -> None:
    firm = Person(chromium, site.url, "enterprise")
    firm.go("/")
    firm.picture("start")
    firm.click("注册企业")
    other = "0" if site.uscc[17] != "0" else "1"
    firm.fill(uscc=site.uscc[:17] + other)
    firm.click("继续")
    firm.picture("wrong-code")
    firm.fill(uscc=site.uscc)
    firm.click("继续")
    firm.fill(ent_name="北京样例科技有限公司")
    firm.click("继续")
    firm.fill(contact="张三丰", phone="138 0013 8000")
    firm.picture("contact")
    firm.click("继续")
    firm.picture("check")
    firm.click("无误，继续")
    firm.fill(password=SECRET_WORDS)
    firm.picture("password")
    firm.click("提交注册")
    firm.sees("注册已提交")
    firm.picture("sent")
    assert (firm.clicks, firm.fields) == (7, 6), "one click and one field are the mistake's"

    chief, one, two = (Person(chromium, site.url, name) for name in ("security", "first", "second"))
    joins(chief, site.invitation, "安全管理员")
    joins(one, invites(chief, "reviewer-one", "reviewer"), "李初审")
    joins(two, invites(chief, "reviewer-two", "reviewer"), "赵复审")

    one.sees("北京样例科技有限公司")
    one.picture("queue")
    one.click("北京样例科技有限公司")
    one.picture("review")
    one.fill(reason="执照已核对")
    one.click("同意")
    one.sees("须由另一位审核员决定")

    two.go("/account/operator-key")
    pem = site.live.network.operator_key.read_text()
    secret = read_secret(site.live.network.hub_home, None).decode()
    two.fill(operator="operator", pem=pem, secret=secret, password=SECRET_WORDS)
    two.click("保存密钥")
    two.sees("已用您的密码加密保存")
    two.picture("operator-key")
    two.go("/registrations?state=endorsed")
    two.click("北京样例科技有限公司")
    two.fill(reason="电话已核实", password=SECRET_WORDS)
    two.sees("本门户未配置用于核验登记信息的节点")
    two.page.locator("[name=despite]").check()
    two.picture("decision")
    two.click("通过并签名")
    two.sees("已通过")
    two.picture("approved")

    firm.go("/login")
    firm.fill(login=site.uscc, password=SECRET_WORDS)
    firm.click("登录")
    firm.sees("您尚未作出授权")
    firm.go("/registration")
    firm.sees("已列入枢纽目录")
    firm.picture("registration")
    firm.go("/account")
    firm.picture("account")
    said = firm.said + chief.said + one.said + two.said
    assert len(said) == 1 and "422" in said[0], "only Chromium's own remark about the wrong code"


def test_an_enterprise_sees_who_used_its_data_and_withdraws_in_two_clicks(site: Site, chromium: Browser) -> None:
    live, enterprise = site.live, Enterprise(site.uscc, "北京样例科技有限公司", site.key())
    before = live.status("tax-1").consents
    scope = (ItemScope(item_id=GOVERNMENT_ITEM, mode=ItemMode.Q),)
    live.registry.consent(enterprise, GOVERNMENT, (BANK,), scope)
    wait_until("the node holds the consent", lambda: live.status("tax-1").consents > before)
    with live.network.agent("bank-1") as bank:
        live.query(bank, live.open_query(bank, "贷前核实"), site.uscc)
    firm = Person(chromium, site.url, "enterprise")
    firm.go("/login?next=/uses")
    firm.fill(login=site.uscc, password=SECRET_WORDS)
    firm.click("登录")

    def recorded() -> bool:
        firm.go("/uses")
        return "贷前核实" in firm.page.inner_text("main")

    wait_until("the use is in the log", recorded)
    firm.sees("刚刚核验")
    firm.picture("uses")
    firm.go("/consents")
    firm.picture("consents")
    firm.clicks = 0
    firm.page.locator("main h2 a").click()
    firm.picture("consent")
    firm.click("撤回")
    assert firm.clicks == 1, "and the link before it"
    firm.sees("tax-1 在")
    firm.picture("withdrawn")
    firm.go("/consents")
    firm.sees("已撤回")
    firm.go("/uses")
    firm.sees("无一缺失")
    assert firm.said == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone_without_scripts_in_english_every_page_fits(site: Site, chromium: Browser, dark: bool) -> None:
    person = Person(chromium, site.url, f"phone-{'dark' if dark else 'light'}", scripts=False, phone=True, dark=dark)
    person.go("/language/en?next=/")
    for path in ("/", "/register/code", "/register/contact", "/login", "/nowhere"):
        person.go(path)
        wide = person.page.locator("body").bounding_box()
        assert wide is not None and wide["width"] <= 390, path
        person.picture(re.sub(r"\W", "", path) or "start")
    person.go("/register/contact")
    person.click("Continue")
    person.sees("There is a problem")
    person.picture("faults")


def test_the_keyboard_alone_reaches_the_form_and_the_faults(site: Site, chromium: Browser) -> None:
    person = Person(chromium, site.url, "keyboard")
    person.go("/register/code")
    person.page.keyboard.press("Tab")
    assert person.page.evaluate("document.activeElement.className") == "skip"
    person.page.keyboard.press("Enter")
    person.page.keyboard.press("Tab")
    person.page.keyboard.type("1")
    person.page.keyboard.press("Enter")
    person.page.wait_for_selector("#faults")
    sizes = person.page.evaluate("performance.getEntries().reduce((sum, one) => sum + (one.transferSize || 0), 0)")
    assert sizes <= 150_000
