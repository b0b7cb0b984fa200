"""The journeys in Chromium, against a hub, nodes and a portal that run as processes. Pictures of each page go to var/screenshots."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import create_engine, select

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM
from cli.demo.enterprises import Enterprise
from cli.demo.network import wait_until
from cli.secret import read_secret
from consent.documents import ItemMode, ItemScope
from hub.server import _free_port
from portal.accounts.tables import accounts
from portal.accounts.totp import code_at
from tests.cli.running import run_json
from tests.conftest import CHROMIUM
from tests.e2e.conftest import Live
from trust.keyfile import decode_private_key, secret_from_passphrase
from trust.sm2 import PrivateKey

PICTURES = Path("var/screenshots")
SECRET_WORDS = "korrekt pferd batterie"
pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


@dataclass
class Site:
    """What runs, and what the first invitation said."""

    home: Path
    url: str
    invitation: str
    live: Live
    uscc: str

    def key(self) -> PrivateKey:
        """The enterprise's key, opened as only its password can."""
        engine = create_engine(f"sqlite:///{self.home / 'portal.db'}")
        with engine.connect() as connection:
            pem = connection.execute(select(accounts.c.key_pem).where(accounts.c.institution == self.uscc)).scalar_one()
        engine.dispose()
        return decode_private_key(bytes(pem), secret_from_passphrase(SECRET_WORDS))


@contextmanager
def process(*arguments: str | Path) -> Iterator[None]:
    """A command that serves; it has said so on stdout."""
    command = [sys.executable, "-m", "cli.main", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        try:
            assert running.stdout is not None and running.stdout.readline(), arguments
            yield
        finally:
            running.terminate()


@pytest.fixture(scope="module")
def site(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home, hub = tmp_path_factory.mktemp("site"), live.network.hub_home
    portal, address = home / "portal", f"127.0.0.1:{_free_port('127.0.0.1')}"
    run_json("hub", "info", "--home", hub, "--out", home / "hub.json")
    made = run_json(
        "portal", "init", "--home", portal, "--hub", hub, "--hub-file", home / "hub.json", "--listen", address
    )
    with process("portal", "serve", "--home", portal, "--json"):
        yield Site(portal, made.data["url"], made.data["invitation"], live, live.loans.codes[next(live.numbers)])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Person:
    """A browser of somebody: counts what they do, keeps what the console said, takes pictures."""

    def __init__(
        self, browser: Browser, site: Site, name: str, *, scripts: bool = True, phone: bool = False, dark: bool = False
    ) -> None:
        size = {"width": 390, "height": 844} if phone else {"width": 1200, "height": 800}
        self.context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            base_url=site.url,
        )
        self.page: Page = self.context.new_page()
        self.name, self.clicks, self.fields, self.said = name, 0, 0, list[str]()
        self.page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)

    def go(self, path: str) -> None:
        self.page.goto(path)

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.locator(f"[name={name}]").last.fill(value)
            self.fields += 1

    def click(self, text: str) -> None:
        self.page.locator("main").get_by_text(text, exact=True).last.click()
        self.clicks += 1

    def picture(self, what: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{self.name}-{what}.png", full_page=True)

    def sees(self, text: str) -> None:
        assert text in self.page.inner_text("main"), self.page.inner_text("main")


def joins(person: Person, invitation: str, name: str) -> None:
    """Accept an invitation, log in, set up the second factor."""
    person.go(invitation)
    person.fill(name=name, password=SECRET_WORDS)
    login = person.page.locator("dd").first.inner_text()
    person.click("建立账户")
    person.fill(login=login, password=SECRET_WORDS)
    person.page.get_by_role("button", name="登录").click()
    secret = person.page.locator("main code").inner_text().replace(" ", "")
    person.picture("second-factor")
    person.fill(code=code_at(secret, int(time.time())))
    person.click("继续")


def invites(person: Person, login: str, role: str) -> str:
    person.go("/staff")
    person.fill(login=login, institution="hub")
    person.page.select_option("[name=role]", role)
    person.click("生成邀请")
    person.picture("staff")
    return person.page.locator("main code").inner_text()


def test_an_enterprise_registers_and_two_reviewers_let_it_in(site: Site, chromium: Browser) -> None:
    firm = Person(chromium, site, "enterprise")
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

    chief, one, two = (Person(chromium, site, name) for name in ("security", "first", "second"))
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
    firm = Person(chromium, site, "enterprise")
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
    person = Person(chromium, site, f"phone-{'dark' if dark else 'light'}", scripts=False, phone=True, dark=dark)
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
    person = Person(chromium, site, "keyboard")
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
