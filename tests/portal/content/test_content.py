"""How content comes about, as editors and reviewers do it, and what visitors see meanwhile."""

from __future__ import annotations

import re

import pytest

from portal.content import seed
from portal.content.kinds import PATHS, Kind
from portal.content.markdown import render
from portal.permissions import Role
from tests.portal.world import Browser, World

BODY = "## 何时可以申请\n\n首贷户可以申请**贴息**，详见[原文](https://example.org/a)。"
NASTY = "<script>alert(1)</script>'; DROP TABLE contents; --"


@pytest.fixture
async def editor(world: World) -> Browser:
    return await world.logged_in("editor", Role.EDITOR)


@pytest.fixture
async def reviewer(world: World) -> Browser:
    return await world.logged_in("reviewer", Role.REVIEWER)


async def enters(editor: Browser, kind: str = "faq", **given: str) -> str:
    """The path of a new draft."""
    await editor.get(f"/content/new/{kind}")
    answer = await editor.post(f"/content/new/{kind}", **({"title": "首贷贴息怎么申请？", "body": BODY} | given))
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def acts(browser: Browser, path: str, act: str, **given: str) -> int:
    await browser.get(path)
    kind = "decision" if "reason" in given else "act"
    return (await browser.post(f"{path}/{kind}", act=act, **given)).status_code


async def published(editor: Browser, reviewer: Browser, kind: str = "faq", **given: str) -> str:
    path = await enters(editor, kind, **given)
    assert await acts(editor, path, "submit") == 303
    assert await acts(reviewer, path, "approve", reason="已核对") == 303
    return path


def text_of(browser: Browser) -> str:
    assert browser.page is not None
    return browser.page.text


async def test_what_is_entered_is_seen_by_all_once_a_reviewer_has_published_it(
    world: World, editor: Browser, reviewer: Browser
) -> None:
    visitor = world.browser()
    path = await enters(editor)
    public = path.replace("/content", "/faq")
    preview = (await editor.get(path)).text
    assert "<h2>何时可以申请</h2>" in preview and "<strong>贴息</strong>" in preview
    assert (await visitor.get(public)).status_code == 404
    assert await acts(editor, path, "submit") == 303
    assert (await visitor.get(public)).status_code == 404 and "找到 0 篇" in (await visitor.get("/search?q=贴息")).text
    assert "待您审核" in (await reviewer.get("/account")).text
    assert "首贷贴息怎么申请？" in (await reviewer.get("/content?state=pending_review")).text
    assert await acts(reviewer, path, "approve", reason="已核对") == 303
    assert "<strong>贴息</strong>" in (await visitor.get(public)).text
    assert "首贷贴息怎么申请？" in (await visitor.get("/faq")).text
    assert "<mark>贴息</mark>" in (await visitor.get("/search?q=贴息")).text
    assert "“首贷贴息怎么申请？”已发布。" in (await editor.get("/account")).text
    auditor = await world.logged_in("audit", Role.AUDIT_ADMIN)
    assert "content_approve" in (await auditor.get("/events")).text and "已核对" in text_of(auditor)


async def test_a_new_version_is_seen_only_when_it_is_published_and_then_replaces_the_old_one_also_in_the_search(
    world: World, editor: Browser, reviewer: Browser
) -> None:
    visitor, path = world.browser(), await published(editor, reviewer)
    public = path.replace("/content", "/faq")
    assert await acts(editor, path, "next_version") == 303
    await editor.get(f"{path}/edit")
    assert (await editor.post(f"{path}/edit", title="首贷补助怎么申请？", body="改为**补助**。")).status_code == 303
    assert await acts(editor, path, "next_version") == 409, "one version at a time"
    assert await acts(editor, path, "submit") == 303
    assert "贴息" in (await visitor.get(public)).text and "补助" not in text_of(visitor)
    assert await acts(reviewer, path, "approve", reason="ok") == 303
    assert "补助" in (await visitor.get(public)).text and "贴息" not in text_of(visitor)
    assert "找到 0 篇" in (await visitor.get("/search?q=贴息")).text
    assert "找到 1 篇" in (await visitor.get("/search?q=补助")).text
    assert "第 1 版" in (await editor.get(path)).text and "已下线" in text_of(editor)
    assert "贴息" in (await editor.get(f"{path}?version=1")).text


async def test_what_is_taken_off_is_gone_for_visitors_with_its_reason_on_record(
    world: World, editor: Browser, reviewer: Browser
) -> None:
    visitor, path = world.browser(), await published(editor, reviewer)
    assert await acts(editor, path, "next_version") == 303
    await reviewer.get(f"{path}?version=1")
    assert (await reviewer.post(f"{path}/decision", act="withdraw", reason="政策已废止")).status_code == 303
    assert (await visitor.get(path.replace("/content", "/faq"))).status_code == 404
    assert "找到 0 篇" in (await visitor.get("/search?q=贴息")).text
    assert "已下线。" in (await editor.get("/account")).text
    assert "政策已废止" in (await editor.get(f"{path}?version=1")).text


async def test_what_was_sent_back_is_revised_and_sent_again(world: World, editor: Browser, reviewer: Browser) -> None:
    path = await enters(editor)
    assert await acts(editor, path, "submit") == 303
    assert await acts(reviewer, path, "reject", reason="缺少出处") == 303
    assert "缺少出处" in (await editor.get(path)).text
    assert (await editor.get(f"{path}/edit")).status_code == 409, "only a draft is edited"
    assert await acts(editor, path, "revise") == 303
    assert await acts(editor, path, "submit") == 303
    assert await acts(editor, path, "recall") == 303
    assert await acts(reviewer, path, "approve", reason="ok") == 409, "what was taken back cannot be decided"


async def test_nobody_decides_about_what_they_entered_even_in_another_role(world: World, editor: Browser) -> None:
    path = await enters(editor)
    assert await acts(editor, path, "submit") == 303
    world.portal.db.write_now(
        lambda c: c.exec_driver_sql("UPDATE accounts SET role = 'reviewer' WHERE login = 'editor'")
    )
    same = world.browser()
    await same.get("/login")
    await same.post("/login", login="editor", password="korrekt pferd batterie")
    world.later(60)
    account = world.portal.db.read_now(
        lambda c: c.exec_driver_sql("SELECT account_id FROM accounts WHERE login = 'editor'").scalar_one()
    )
    await same.get("/login/code")
    assert (await same.post("/login/code", code=world.code(account))).status_code == 303
    assert "须由另一位审核员决定" in (await same.get(path)).text
    assert (await same.post(f"{path}/decision", act="approve", reason="x", revision="2")).status_code == 403


async def test_who_saves_over_what_another_one_saved_is_told_first_and_loses_nothing(
    world: World, editor: Browser
) -> None:
    path = await enters(editor)
    await editor.get(f"{path}/edit")
    other = await world.logged_in("second-editor", Role.EDITOR)
    await other.get(f"{path}/edit")
    assert (await other.post(f"{path}/edit", title="另一位改的", body="另一位")).status_code == 303
    answer = await editor.post(f"{path}/edit", title="我改的", body="我写的正文")
    assert answer.status_code == 409 and "其间已有他人保存" in answer.text
    assert "我改的" in answer.text and "我写的正文" in answer.text
    assert (await editor.post(f"{path}/edit", title="我改的", body="我写的正文")).status_code == 303
    assert "我改的" in (await editor.get(path)).text
    assert "editor, second-editor" in text_of(editor)


async def test_a_reviewer_decides_about_the_version_that_was_read_and_no_other(
    editor: Browser, reviewer: Browser
) -> None:
    path = await enters(editor)
    await acts(editor, path, "submit")
    await reviewer.get(path)
    await acts(editor, path, "recall")
    await acts(editor, path, "submit")
    answer = await reviewer.post(f"{path}/decision", act="approve", reason="ok")
    assert answer.status_code == 409


BAD = [
    ("faq", {"title": "", "body": ""}, "请填写标题"),
    ("faq", {"title": "x" * 121, "body": "y"}, "最多 120 个"),
    ("faq", {"title": "x", "body": "y" * 30_001}, "最多 30000 个"),
    ("faq", {"title": "x", "body": "y", "title_en": "z"}, "还没有英文正文"),
    ("faq", {"title": "x", "body": "y", "body_en": "z"}, "还没有英文标题"),
    ("faq", {"title": "a\x07b", "body": "y"}, "不可显示的字符"),
    ("policy", {"title": "x", "body": "y"}, "请填写发文机关"),
    ("policy", {"title": "x", "body": "y", "authority": "z", "region": "990000"}, "行政区划代码为六位数字"),
    ("policy", {"title": "x", "body": "y", "authority": "z", "effective": "2026-02-30"}, "请按年-月-日填写日期"),
    ("policy", {"title": "x", "body": "y", "authority": "z", "source": "javascript:alert(1)"}, "https://"),
]


async def test_what_is_wrong_in_the_form_is_told_and_what_was_typed_stays(editor: Browser) -> None:
    for kind, given, told in BAD:
        await editor.get(f"/content/new/{kind}")
        answer = await editor.post(f"/content/new/{kind}", **given)
        assert answer.status_code == 422 and told in answer.text, told
        if given["body"]:
            assert f">\n{given['body']}</textarea>" in answer.text


async def test_html_and_sql_in_every_field_are_text(world: World, editor: Browser, reviewer: Browser) -> None:
    given = dict.fromkeys(("title", "body", "title_en", "body_en", "authority", "document_no"), NASTY)
    path = await published(editor, reviewer, "policy", **given)
    visitor = world.browser()
    for page in ("/policies", path.replace("/content", "/policies"), "/search?q=alert", "/language/en"):
        assert "<script>alert" not in (await visitor.get(page)).text
    assert "<script>" not in (await reviewer.get(path)).text


async def test_a_reviewer_sees_both_languages_whichever_is_chosen(editor: Browser, reviewer: Browser) -> None:
    path = await enters(editor, title_en="How to apply", body_en="With the **form**.")
    page = (await reviewer.get(path)).text
    assert (
        "<strong>贴息</strong>" in page
        and "<strong>form</strong>" in page
        and 'lang="en"><h1>' in page.replace("\n", "")
    )


async def test_a_form_that_is_sent_twice_makes_one_text(editor: Browser) -> None:
    await editor.get("/content/new/faq")
    first = await editor.post("/content/new/faq", title="a", body="b")
    second = await editor.post("/content/new/faq", title="a", body="b")
    assert first.headers["location"] == second.headers["location"]


async def test_policies_are_filtered_by_region_and_day(world: World, editor: Browser, reviewer: Browser) -> None:
    for title, region, day in [
        ("甲", "110108", "2026-01-01"),
        ("乙", "310000", "2026-06-01"),
        ("丙", "", "2025-01-01"),
    ]:
        await published(editor, reviewer, "policy", title=title, region=region, effective=day, authority="财政局")
    visitor = world.browser()

    async def shown(query: str) -> str:
        rows = re.findall(r'<td lang="zh-CN"><a [^>]*>(.)</a>', (await visitor.get(f"/policies?{query}")).text)
        return "".join(rows)

    assert await shown("") == "乙甲丙"
    assert await shown("sort=effective") == "丙甲乙"
    assert await shown("region=11") == "甲" and "北京市（110108）" in text_of(visitor)
    assert await shown("region=00") == "丙"
    assert "找到 3 篇" in (await visitor.get("/search?q=财政局")).text, "also by who issued it"
    assert await shown("since=2026-01-01&until=2026-03-01") == "甲"
    assert await shown("region=99") == "乙甲丙" and "请从列表中选择" in text_of(visitor)


async def test_the_api_reads_and_works_by_the_same_rules(world: World, editor: Browser, reviewer: Browser) -> None:
    async def post(browser: Browser, path: str, **body: object) -> tuple[int, object]:
        token = (await browser.client.get("/api/v1/session")).json()["csrf"]
        answer = await browser.client.post(f"/api/v1/content/{path}", json=body, headers={"X-CSRF-Token": token})
        return answer.status_code, answer.json()

    status, fault = await post(editor, "new/faq", fields={"title": ""})
    assert status == 422 and isinstance(fault, dict) and set(fault["faults"]) == {"title", "body"}
    _, made = await post(editor, "new/faq", fields={"title": "利率怎么算？", "body": "LPR 加点。"})
    assert isinstance(made, dict)
    content_id = made["content_id"]
    assert (await post(editor, f"{content_id}/edit", fields={"title": "x", "body": "y"}, revision=7))[0] == 409
    assert (await post(editor, f"{content_id}/act", act="submit", revision=1))[0] == 200
    assert (await post(editor, f"{content_id}/decision", act="approve", revision=2, reason="x"))[0] == 403
    assert (await post(reviewer, f"{content_id}/decision", act="approve", revision=2))[0] == 422
    assert (await post(reviewer, f"{content_id}/decision", act="fly", revision=2, reason="x"))[0] == 409
    assert (await post(reviewer, f"{content_id}/decision", act="approve", revision=2, reason="ok"))[0] == 200
    visitor = world.browser().client
    read = (await visitor.get(f"/api/v1/published/faq/{content_id}")).json()
    assert read["title"] == "利率怎么算？" and "entered_by" not in read and "reviewer" not in read
    assert (await visitor.get("/api/v1/search?q=LPR&kind=policy")).json()["total"] == 0
    assert (await visitor.get("/api/v1/search?q=LPR&kind=poem")).status_code == 422
    found = (await visitor.get("/api/v1/search?q=ＬＰＲ&kind=faq")).json()
    assert [hit["content_id"] for hit in found["hits"]] == [content_id] and found["total"] == 1
    assert (await visitor.get("/api/v1/published/poem")).status_code == 404
    assert (await visitor.get("/api/v1/search?q=")).status_code == 422
    assert len((await visitor.get("/api/v1/published/faq")).json()["texts"]) == 1


async def test_the_texts_that_come_with_the_program_are_shown_in_both_languages_and_lead_somewhere(
    world: World,
) -> None:
    load = world.portal.db.write_now
    count = load(lambda c: seed.load(world.portal, c))
    assert count == len(list(seed.read(examples=False))) and load(lambda c: seed.load(world.portal, c)) == 0
    visitor = world.browser()
    for one in seed.read(examples=False):
        assert one.written.title_en and one.written.body_en, one.content_id
        assert one.kind is not Kind.POLICY, "no policy that nobody issued"
        page = await visitor.get(f"{PATHS[one.kind]}/{one.content_id}")
        assert page.status_code == 200 and "示例" not in page.text
        for link in re.findall(r'href="(/[^"]*)"', render(one.written.body) + render(one.written.body_en)):
            assert (await visitor.client.get(link)).status_code in {200, 303}, link
    await visitor.get("/language/en")
    assert "How a consent works" in (await visitor.get("/knowledge")).text
    assert "Table" not in (await visitor.get("/policies")).text and "None at present." in text_of(visitor)


async def test_examples_come_only_when_asked_for_and_say_everywhere_that_they_are_made_up(world: World) -> None:
    world.portal.db.write_now(lambda c: seed.load(world.portal, c, examples=True))
    visitor = world.browser()
    for one in seed.read(examples=True):
        assert "示例" in one.written.title
        assert "演示用的虚构示例" in (await visitor.get(f"{PATHS[one.kind]}/{one.content_id}")).text
    assert (await visitor.get("/api/v1/published/policy")).json()["texts"][0]["example"] is True
    assert "示例" in (await visitor.get("/search?q=贴息")).text
