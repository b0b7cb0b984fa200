"""Content, search and questions in Chromium, over a portal in this process with a simulator of the hub: none of it needs one."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn
from playwright.sync_api import Browser

from cli.demo.network import wait_until
from hub.server import _free_port
from portal.content import seed
from portal.permissions import Role
from tests.e2e.portal_site import SECRET_WORDS, Person, chromium
from tests.portal.world import USCC, World, running_portal

__all__ = ["chromium"]
pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


@dataclass
class Served:
    """A portal that answers, and its insides."""

    url: str
    world: World

    def person(self, chromium: Browser, login: str, role: Role, **how: bool) -> Person:
        """Somebody who is logged in, with the second factor where the role needs one."""
        institution = USCC if role is Role.ENTERPRISE else "hub"
        account_id = self.world.account(login, role, institution)
        person = Person(chromium, self.url, f"content-{role}", **how)
        person.go("/login")
        person.fill(login=login, password=SECRET_WORDS)
        person.page.get_by_role("button", name="登录").click()
        if role is not Role.ENTERPRISE:
            person.page.locator("[name=code]").fill(self.world.code(account_id))
            person.click("继续")
        return person


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    port, home = _free_port("127.0.0.1"), tmp_path_factory.mktemp("content")
    running: queue.Queue[tuple[World, uvicorn.Server]] = queue.Queue()

    async def serve() -> None:
        async with running_portal(home, listen=f"127.0.0.1:{port}") as world:
            config = uvicorn.Config(world.app, port=port, http="h11", ws="none", lifespan="off", log_config=None)
            server = uvicorn.Server(config)
            running.put((world, server))
            await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    world, server = running.get(timeout=30)
    world.portal.db.write_now(lambda connection: seed.load(world.portal, connection, examples=True))
    wait_until("the portal answers", lambda: server.started)
    yield Served(f"http://127.0.0.1:{port}", world)
    server.should_exit = True
    thread.join()


def test_an_editor_enters_a_reviewer_publishes_and_a_visitor_finds_it(served: Served, chromium: Browser) -> None:
    visitor = Person(chromium, served.url, "content-visitor")
    editor = served.person(chromium, "editor", Role.EDITOR)
    editor.picture("work")
    editor.click("新建政策")
    editor.fill(title="小微企业设备更新贷款贴息办法", body="## 标准\n\n按**贷款**利息的一半贴息。")
    editor.picture("form")
    editor.click("保存并预览")
    editor.sees("请填写发文机关")
    editor.picture("faults")
    editor.fill(authority="样例局", document_no="样例〔2026〕3号", effective="2026-10-01", region="110000")
    editor.click("保存并预览")
    editor.sees("按贷款利息的一半贴息")
    editor.picture("preview")
    editor.click("提交审核")

    reviewer = served.person(chromium, "reviewer", Role.REVIEWER)
    reviewer.go("/content?state=pending_review")
    reviewer.picture("queue")
    reviewer.click("小微企业设备更新贷款贴息办法")
    reviewer.fill(reason="与原文一致")
    reviewer.picture("decision")
    reviewer.click("发布")
    reviewer.sees("已发布")

    visitor.go("/")
    visitor.page.get_by_role("link", name="帮助与政策").click()
    visitor.picture("knowledge")
    visitor.fill(q="贴息")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**/search?*")
    visitor.sees("小微企业设备更新贷款贴息办法")
    assert visitor.page.locator("main mark").first.inner_text() == "贴息"
    visitor.picture("search")
    visitor.go("/policies")
    visitor.page.select_option("[name=region]", "11")
    visitor.click("筛选")
    visitor.picture("policies")
    visitor.click("小微企业设备更新贷款贴息办法")
    visitor.sees("样例〔2026〕3号")
    visitor.picture("policy")
    visitor.go("/faq")
    visitor.page.locator("summary").first.click()
    visitor.picture("faq")
    visitor.go("/knowledge/knowledge.what-each-mode-shows")
    visitor.picture("article")
    assert len(editor.said) == 1 and "422" in editor.said[0], "only Chromium's own remark about the form"
    assert reviewer.said == visitor.said == []


def test_an_enterprise_asks_an_expert_who_answers_and_offers_the_answer(served: Served, chromium: Browser) -> None:
    expert = served.person(chromium, "expert", Role.EXPERT)
    expert.go("/seat")
    expert.fill(name="陈立", title="高级会计师", fields="融资规划、应收账款、财务报表", hours="工作日，一日之内")
    expert.page.check("[name=taking]")
    expert.picture("seat")
    expert.click("保存")

    firm = served.person(chromium, USCC, Role.ENTERPRISE)
    firm.go("/experts")
    firm.picture("experts")
    firm.page.locator("main .button").first.click()
    firm.fill(subject="应收账款能否质押", text="我们有三笔应收账款，能否质押？")
    firm.picture("ask")
    firm.click("提交咨询")
    firm.sees("等待专家答复")

    expert.go("/questions")
    expert.picture("questions")
    expert.click("应收账款能否质押")
    expert.fill(text="可以，须先由买方书面确认。")
    expert.click("答复")
    expert.sees("可以，须先由买方书面确认。")
    expert.picture("thread")
    expert.click("将答复提供为常见问题")
    expert.picture("offer")
    expert.click("交给内容编辑")

    firm.go("/questions")
    firm.click("应收账款能否质押")
    firm.picture("thread")
    firm.page.select_option("[name=stars]", "5")
    firm.click("结束")
    firm.sees("已结束")
    assert expert.said == firm.said == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone_without_scripts_in_english_every_page_fits(served: Served, chromium: Browser, dark: bool) -> None:
    name = f"content-phone-{'dark' if dark else 'light'}"
    person = Person(chromium, served.url, name, scripts=False, phone=True, dark=dark)
    person.go("/language/en?next=/")
    for path in (
        "/knowledge",
        "/knowledge/knowledge.what-each-mode-shows",
        "/policies",
        "/policies/policy.example-guarantee-fee",
        "/faq",
        "/announcements",
        "/experts",
        "/search?q=consent",
    ):
        person.go(path)
        width = person.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, path
        person.picture(re.sub(r"\W+", "-", path).strip("-"))
    person.go("/search?q=withdraw")
    person.sees("How do I withdraw a consent?")


def test_the_keyboard_alone_searches_and_opens_an_answer(served: Served, chromium: Browser) -> None:
    person = Person(chromium, served.url, "content-keyboard")
    person.go("/faq")
    person.page.keyboard.press("Tab")
    person.page.keyboard.press("Enter")
    while person.page.evaluate("document.activeElement.tagName") != "SUMMARY":
        person.page.keyboard.press("Tab")
    person.page.keyboard.press("Enter")
    assert person.page.locator("details[open]").count() == 1
    assert person.said == []
