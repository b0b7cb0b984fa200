"""The demonstration's portal as a process: everybody whose account is printed logs in and opens every page of their menu."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path

import httpx
import pytest

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM, OTHER_BANK, scope
from cli.demo.names import name_of
from cli.demo.network import wait_until
from cli.demo.portal.site import Account, Accounts, Site, read_accounts
from consent.documents import ItemMode
from portal.accounts.totp import code_at
from tests.cli.running import run_json
from tests.e2e.conftest import running

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
FIRMS, CONSENTING = 14, 4
LINK = re.compile(r"<nav[^>]*>.*?</nav>", re.DOTALL)


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Accounts]]:
    with running(tmp_path_factory.mktemp("demo") / "net", {}) as live:
        network = live.network
        network.admit(OTHER_BANK, "bank", "演示第二银行")
        firms = [live.registry.register(live.loans.codes[at], name_of(at)) for at in range(FIRMS)]
        for firm in firms[:CONSENTING]:
            live.registry.consent(firm, GOVERNMENT, (BANK,), scope(GOVERNMENT_ITEM, ItemMode.Q))
        wait_until("the node holds the consents", lambda: live.status("tax-1").consents >= CONSENTING)
        site = Site(network, firms, lambda _told: None, "127.0.0.1:8392", share=0.05, asked=CONSENTING)
        yield network.home, site.start()


def filled(page: httpx.Response, **given: str) -> dict[str, str]:
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
    return {name: unescape(value) for name, value in hidden} | given


def logged_in(found: Accounts, account: Account) -> httpx.Client:
    client = httpx.Client(base_url=found.url, headers={"Origin": found.url}, follow_redirects=True, timeout=30)
    page = client.post("/login", data=filled(client.get("/login"), login=account.login, password=found.password))
    assert page.status_code == 200, (account.login, page.text)
    if account.secret:
        page = client.post("/login/code", data=filled(page, code=code_at(account.secret, int(time.time()))))
        assert page.status_code == 200, (account.login, page.text)
    return client


def test_everybody_logs_in_and_every_page_of_their_menu_opens(accounts: tuple[Path, Accounts]) -> None:
    home, found = accounts
    assert read_accounts(home) == found and (home / "portal-accounts.json").stat().st_mode & 0o77 == 0
    opened: dict[str, list[str]] = {}
    for account in found.accounts:
        with closing(logged_in(found, account)) as client:
            (menu,) = LINK.findall(client.get("/account").text)[:1]
            paths = re.findall(r'href="(/[^"?]*)"', menu)
            for path in paths:
                page = client.get(path)
                assert page.status_code == 200, (account.login, path, page.text)
            opened.setdefault(account.role, paths)
    assert {"/applications", "/consents", "/uses", "/financing"} <= set(opened["enterprise"])
    assert {"/lending", "/demands"} <= set(opened["staff"])
    assert {"/registrations", "/application-reviews"} <= set(opened["reviewer"])
    assert len(opened) == 12, "every role, and one who applied"


def test_the_command_tells_the_code_of_a_second_factor(accounts: tuple[Path, Accounts]) -> None:
    home, found = accounts
    secret = next(each.secret for each in found.accounts if each.login == "audit")
    before = int(time.time())
    told = run_json("demo-code", "audit", "--home", home).data
    assert told["code"] in {code_at(secret, before), code_at(secret, int(time.time()))}
