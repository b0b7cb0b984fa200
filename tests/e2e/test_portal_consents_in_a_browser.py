"""Consents and my data in Chromium, against a hub, nodes and a portal that run as processes. Pictures go to var/screenshots."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser
from sqlalchemy import insert
from xinqiao.v1 import agent_pb2

from cli.clock import now_ms
from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM
from cli.demo.network import wait_until
from cli.secret import secret_path
from consent.decision import ItemUse
from consent.documents import ItemMode
from consent.outside import read_signed
from portal.accounts import service as accounts
from portal.accounts.passwords import hash_password
from portal.permissions import Role
from portal.registration.tables import registrations
from portal.server import open_portal
from portal.settings import load_settings
from tests.cli.running import run_json
from tests.e2e.conftest import Live
from tests.e2e.portal_site import SECRET_WORDS, Person, Site, chromium, process, site
from tests.portal.world import HubSimulator, registered
from trust.keyfile import encode_private_key, secret_from_passphrase

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]
__all__ = ["chromium", "process", "site"]


@pytest.fixture(scope="module")
def firm_code(site: Site) -> str:
    """An enterprise that was approved, with an account: what the other journeys do by pages."""
    enterprise = site.live.registry.register(site.live.loans.codes[next(site.live.numbers)], "北京样例科技有限公司")
    pem = encode_private_key(enterprise.key, secret_from_passphrase(SECRET_WORDS))
    account_of(site, enterprise.uscc, enterprise.name, pem, b"")
    return enterprise.uscc


def account_of(site: Site, code: str, name: str, pem: bytes, document: bytes) -> None:
    portal = open_portal(load_settings(site.home), secret_path(site.home), HubSimulator(), now_ms)
    new = accounts.NewAccount(
        login=code,
        role=Role.ENTERPRISE,
        institution=code,
        name="王小明",
        password_hash=hash_password(SECRET_WORDS),
        key_pem=pem,
    )
    account_id = portal.db.write_now(lambda connection: accounts.create(portal, connection, new))
    row = registered(account_id, code) | {"ent_name": name, "document": document}
    portal.db.write_now(lambda connection: connection.execute(insert(registrations), row))
    portal.db.close()


def logged_in(firm: Person, code: str, path: str) -> Person:
    firm.go(f"/login?next={path}")
    firm.fill(login=code, password=SECRET_WORDS)
    firm.page.get_by_role("button", name="登录").click()
    firm.clicks, firm.fields = 0, 0
    return firm


def test_a_consent_is_signed_after_a_page_that_tells_everything(site: Site, firm_code: str, chromium: Browser) -> None:
    before = site.live.status("tax-1").consents
    firm = logged_in(Person(chromium, site.url, "consent-by-hand"), firm_code, "/consents")
    firm.sees("您尚未作出授权")
    firm.page.get_by_role("link", name="作出授权").click()
    firm.page.select_option("[name=user]", BANK)
    firm.page.select_option("[name=purpose]", "pre_loan")
    firm.picture("new")
    firm.click("继续")
    firm.picture("items")
    firm.page.locator(f"[value='{GOVERNMENT_ITEM}:Q:{GOVERNMENT}']").check()
    firm.click("继续")
    firm.sees("对方看过的东西无法收回")
    firm.fill(signatory="张三")
    firm.page.select_option("[name=role]", "legal_rep")
    firm.picture("check")
    firm.click("用我的密钥签署")
    firm.sees("已签署")
    firm.picture("signed")
    assert (firm.clicks, firm.fields) == (3, 1), "beside two choices, a tick and who signs"
    wait_until("the node holds the consent", lambda: site.live.status("tax-1").consents > before)
    again = f"/consents/grant?user={BANK}&purpose=pre_loan&items={GOVERNMENT_ITEM}:Q"
    firm.go(again)
    firm.sees("没有需要再签署的内容")
    assert firm.said == []


def test_a_use_is_proved_step_by_step_and_taken_along(
    site: Site, firm_code: str, chromium: Browser, tmp_path: Path
) -> None:
    with site.live.network.agent("bank-1") as bank:
        site.live.query(bank, site.live.open_query(bank, "贷前核实"), firm_code)
    firm = logged_in(Person(chromium, site.url, "my-data"), firm_code, "/uses")

    def recorded() -> bool:
        firm.go("/uses")
        return "贷前核实" in firm.page.inner_text("main")

    wait_until("the use is in the log", recorded)
    firm.picture("uses")
    firm.page.locator("main table a").first.click()
    firm.sees("全部成立")
    firm.sees("贷前核实")
    firm.page.locator("main details summary").first.click()
    firm.sees(firm_code)
    firm.picture("proof")
    firm.go("/uses")
    with firm.page.expect_download() as file:
        firm.click("签名文件（JSON）")
    mine = tmp_path / "mine.json"
    file.value.save_as(mine)
    told = run_json("audit", "my-data", mine, "--hub", hub_file(site))
    assert (told.data["uscc"], told.data["vouched"]) == (firm_code, 1) and told.data["uses"] >= 1
    with firm.page.expect_download() as file:
        firm.click("打印件（PDF）")
    printed = tmp_path / "mine.pdf"
    file.value.save_as(printed)
    assert printed.read_bytes().startswith(b"%PDF-")
    assert firm.said == []


def hub_file(site: Site) -> Path:
    return site.home.parent / "hub.json"


def asks(live: Live, code: str) -> str:
    items = msgspec.json.encode((ItemUse(item_id=GOVERNMENT_ITEM, mode=ItemMode.R),))
    request = agent_pb2.AskConsentRequest(
        uscc=code,
        provider=GOVERNMENT,
        purpose="pre_loan",
        items_json=items,
        reason="核实贷款申请",
        valid_days=20,
        data_life_days=10,
    )
    with live.network.agent("bank-1") as bank:
        return str(bank.call("AskConsent", request).request_id)


def test_a_bank_asks_is_granted_and_its_consent_is_withdrawn_while_the_page_shows_who_knows(
    site: Site, firm_code: str, chromium: Browser
) -> None:
    asks(site.live, firm_code)
    firm = logged_in(Person(chromium, site.url, "request"), firm_code, "/consents")
    firm.page.get_by_role("link", name="等待您答复").click()
    firm.picture("requests")
    firm.page.locator("main h2 a").click()
    firm.sees("核实贷款申请")
    firm.picture("one")
    firm.click("用我的密钥签署")
    firm.sees("已签署")
    assert (firm.clicks, firm.fields) == (1, 0), "who signs is known by now"
    node = site.live.network.processes["tax-1"].popen
    assert node is not None
    firm.page.locator("main .list a").first.click()
    node.send_signal(signal.SIGSTOP)
    try:
        firm.click("撤回")
        firm.sees("tax-1 尚未确认")
        firm.picture("not-yet")
    finally:
        node.send_signal(signal.SIGCONT)
    firm.page.get_by_text("tax-1 在").wait_for(timeout=20_000)
    firm.picture("confirmed")
    assert firm.said == []


@pytest.fixture
def fresh(site: Site, firm_code: str) -> Iterator[str]:
    yield asks(site.live, firm_code)


def test_on_a_phone_without_scripts_every_page_fits_and_a_withdrawal_is_followed(
    site: Site, firm_code: str, fresh: str, chromium: Browser
) -> None:
    firm = Person(chromium, site.url, "phone-consents", scripts=False, phone=True, dark=True)
    logged_in(firm, firm_code, "/consents")
    firm.go("/language/en?next=/consents")
    entry = f"/consents/grant?user={BANK}&purpose=post_loan&items={GOVERNMENT_ITEM}:Q"
    for path in ("/consents", "/consents/new", f"/consents/new/items?user={BANK}&purpose=pre_loan", entry, "/uses"):
        firm.go(path)
        wide = firm.page.locator("body").bounding_box()
        assert wide is not None and wide["width"] <= 390, path
        firm.picture(path.partition("?")[0].replace("/", "-").strip("-"))
    firm.go(f"/consents/requests/{fresh}")
    firm.click("Refuse")
    firm.sees("Nobody waits for your answer.")
    firm.go("/consents")
    firm.page.locator("main li", has_text="In force").first.locator("h2 a").click()
    firm.click("Withdraw")
    firm.sees("tax-1 has confirmed within")
    firm.picture("withdrawn")


def test_a_key_that_is_kept_outside_signs_questions_and_a_consent(
    site: Site, chromium: Browser, tmp_path: Path
) -> None:
    live, home = site.live, tmp_path / "enterprise"
    code, name = live.loans.codes[next(live.numbers)], "自持密钥有限公司"
    run_json("enterprise", "init", "--home", home, "--hub", hub_file(site), "--uscc", code, "--name", name)
    statement = tmp_path / "registration.json"
    run_json("enterprise", "register", "--home", home, "--contact", "a@b", "--out", statement)
    run_json("enterprise", "register", "--home", home, "--contact", "a@b")
    run_json("hub", "approve-enterprise", code, "--home", live.network.hub_home)
    account_of(site, code, name, b"", read_signed(statement.read_bytes())[0].encode())
    firm = logged_in(Person(chromium, site.url, "outside"), code, "/consents")

    def signs(link: str, to: str) -> None:
        """Download, sign by the command, upload."""
        with firm.page.expect_download() as file:
            firm.click(link)
        waiting, signed = tmp_path / f"{to}.json", tmp_path / f"{to}-signed.json"
        file.value.save_as(waiting)
        run_json("enterprise", "sign", waiting, "--home", home, "--out", signed)
        firm.page.set_input_files("[name=file]", signed)
        firm.click("上传")

    firm.sees("在密钥所在之处签署")
    firm.picture("questions")
    signs("下载待签查询", "first")
    firm.sees("您尚未作出授权")
    firm.go(f"/consents/grant?user={BANK}&purpose=pre_loan&items={GOVERNMENT_ITEM}:Q&back=/consents")
    firm.fill(signatory="李四")
    firm.page.select_option("[name=role]", "agent")
    firm.picture("check")
    signs("下载待签文件", "consent")
    firm.sees("已核验")
    firm.picture("recorded")
    firm.click("继续")
    signs("下载待签查询", "second")
    firm.page.locator("main h2 a").first.click()
    firm.sees("李四")
    signs("下载待签的撤回文件", "withdrawal")
    firm.sees("tax-1 在")
    assert firm.said == []
