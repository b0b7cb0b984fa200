"""Products in Chromium: a bank enters one, the hub publishes it, an enterprise finds it and sees whether it may have it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from cli.clock import now_ms
from cli.secret import secret_path
from portal.accounts import service as accounts
from portal.accounts.passwords import hash_password
from portal.permissions import Role
from portal.server import open_portal
from portal.settings import load_settings
from tests.e2e.portal_site import SECRET_WORDS, Person, Site, chromium, joins, site
from tests.portal.products.offer import ANSWERS, published, somebody
from tests.portal.world import HubSimulator
from trust.keyfile import encode_private_key, secret_from_passphrase
from trust.sm2 import PrivateKey

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]
__all__ = ["chromium", "site"]

TICKS = ("purposes", "guarantee_types", "repayment_methods", "regions", "industries_outside", "target_sizes")


def invited(chief: Person, login: str, role: str, institution: str) -> str:
    chief.go("/staff")
    chief.fill(login=login, institution=institution)
    chief.page.select_option("[name=role]", role)
    chief.click("生成邀请")
    return chief.page.locator("main code").inner_text()


def answers(person: Person) -> None:
    """Fill in the section that is shown."""
    for name, text in ANSWERS.items():
        found = person.page.locator(f"main form [name={name}]")
        if not found.count() or not text:
            continue
        if name in TICKS:
            for value in text.split(","):
                found.and_(person.page.locator(f"[value='{value}']")).check()
        elif found.evaluate("one => one.tagName") == "SELECT":
            found.select_option(text)
        elif found.get_attribute("type") == "checkbox":
            found.check()
        else:
            found.fill(text)
        person.fields += 1


def test_a_bank_enters_a_product_the_hub_publishes_it_an_enterprise_finds_it(site: Site, chromium: Browser) -> None:
    chief, staff, reviewer = (
        Person(chromium, site.url, f"product-{name}") for name in ("security", "staff", "reviewer")
    )
    joins(chief, site.invitation, "安全管理员")
    joins(staff, invited(chief, "bank-staff", "staff", "bank-a"), "周录入")
    joins(reviewer, invited(chief, "product-reviewer", "reviewer", "hub"), "李审核")

    staff.go("/product-versions")
    staff.clicks = staff.fields = 0
    staff.click("录入新产品")
    for slug in ("basics", "money", "price", "who", "data", "time"):
        assert staff.page.url.endswith(slug)
        answers(staff)
        staff.picture(slug)
        staff.click("保存并继续")
    staff.sees("企业看到的内容")
    staff.picture("whole")
    staff.click("提交审核")
    staff.sees("待审核")
    assert (staff.clicks, staff.fields) == (8, sum(bool(text) for text in ANSWERS.values()))

    reviewer.go("/product-versions?state=pending_review")
    reviewer.picture("desk")
    reviewer.click("税易贷")
    reviewer.picture("review")
    reviewer.fill(reason="条款清楚，所需数据适当")
    reviewer.click("通过并发布")
    reviewer.sees("已发布")

    firm = Person(chromium, site.url, "product-enterprise")
    firm.go("/products")
    firm.fill(amount="200", months="12", rate="4.0")
    firm.page.select_option("[name=region]", "110108")
    firm.click("筛选")
    assert "amount=200" in firm.page.url and "region=110108" in firm.page.url
    firm.picture("found")
    firm.click("税易贷")
    firm.sees("借 10 万元用满一年，利息约 3,450 至 4,350 元。")
    firm.sees("看不到数值本身")
    firm.picture("open")
    assert firm.clicks == 2 and firm.said + staff.said + reviewer.said == []


@pytest.fixture(scope="module")
def code(site: Site) -> str:
    """A product on offer and an enterprise with an account, made without pages."""
    portal = open_portal(load_settings(site.home), secret_path(site.home), HubSimulator(), now_ms)
    new = accounts.NewAccount(
        login=site.uscc,
        role=Role.ENTERPRISE,
        institution=site.uscc,
        name="王小明",
        password_hash=hash_password(SECRET_WORDS),
        key_pem=encode_private_key(PrivateKey.generate(), secret_from_passphrase(SECRET_WORDS)),
    )
    portal.db.write_now(lambda connection: accounts.create(portal, connection, new))
    staff, reviewer = somebody("staff-b", Role.STAFF, "bank-b"), somebody("reviewer-b", Role.REVIEWER)
    found = published(portal, staff, reviewer, product_name="科技成长贷")
    portal.db.close()
    return found.product_code


def test_an_enterprise_tells_its_facts_once_and_sees_what_it_may_have_and_why(
    site: Site, chromium: Browser, code: str
) -> None:
    firm = Person(chromium, site.url, "product-eligible")
    firm.go(f"/login?next=/products/{code}")
    firm.fill(login=site.uscc, password=SECRET_WORDS)
    firm.click("登录")
    firm.sees("还有情况尚未填写")
    firm.picture("unknown")
    firm.clicks = firm.fields = 0
    firm.click("补充企业概况")
    firm.page.select_option("[name=region]", "110108")
    firm.page.select_option("[name=industry]", "I65")
    firm.fill(founded="2019-05-01", employees="42", revenue_wan="viel")
    firm.click("保存")
    firm.sees("请填写数字")
    firm.picture("fault")
    firm.fill(revenue_wan="860.5")
    firm.click("保存")
    firm.sees("条件全部符合")
    firm.sees("贵企业：860.5 万元")
    firm.picture("eligible")
    assert (firm.clicks, firm.fields) == (3, 4), "one click and one field are the mistake's"
    assert firm.page.locator("[name=product_code]").get_attribute("value") == code, "the button to apply"
    firm.go("/facts")
    firm.sees("小型")
    firm.picture("facts")
    firm.go("/products")
    firm.click("只看适合本企业所在地和行业的")
    firm.sees("科技成长贷")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone_without_scripts_in_english_every_page_fits(
    site: Site, chromium: Browser, code: str, dark: bool
) -> None:
    name = f"product-phone-{'dark' if dark else 'light'}"
    person = Person(chromium, site.url, name, scripts=False, phone=True, dark=dark)
    person.go("/language/en?next=/products")
    pages = {"find": "/products", "faults": "/products?amount=x&rate=99", "one": f"/products/{code}"}
    for what, path in pages.items():
        person.go(path)
        wide = person.page.locator("body").bounding_box()
        assert wide is not None and wide["width"] <= 390, path
        person.picture(what)
    person.sees("Public: anybody can look this up.")


def test_the_keyboard_alone_filters_and_opens_a_product(site: Site, chromium: Browser, code: str) -> None:
    person = Person(chromium, site.url, "product-keyboard")
    person.go("/products")
    person.page.locator("[name=words]").focus()
    person.page.keyboard.type("科技成长")
    person.page.keyboard.press("Enter")
    person.page.wait_for_url("**words=**")
    person.page.locator("main h2 a").first.focus()
    person.page.keyboard.press("Enter")
    person.page.wait_for_url(f"**/products/{code}")
    sizes = person.page.evaluate("performance.getEntries().reduce((sum, one) => sum + (one.transferSize || 0), 0)")
    assert sizes <= 150_000 and person.said == []
