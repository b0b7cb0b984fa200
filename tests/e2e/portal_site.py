"""The portal in Chromium for the tests of its journeys: the site that runs, and people who count what they do and take pictures."""

from __future__ import annotations

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
        self, browser: Browser, url: str, name: str, *, scripts: bool = True, phone: bool = False, dark: bool = False
    ) -> None:
        size = {"width": 390, "height": 844} if phone else {"width": 1200, "height": 800}
        self.context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            base_url=url,
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
