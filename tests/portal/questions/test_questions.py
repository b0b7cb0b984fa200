"""An enterprise asks, an expert answers; nobody else reads it."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select

from portal.accounts.tables import accounts
from portal.errors import PortalError
from portal.permissions import Role
from portal.questions import seats, service
from portal.questions.seats import FEWEST_RATINGS
from portal.questions.tables import messages, questions
from portal.questions.tables import seats as seat_rows
from portal.registration.tables import registrations
from tests.portal.world import USCC, Browser, World

SEAT = {"name": "陈专家", "title": "高级会计师", "fields": "融资规划、财务报表", "hours": "工作日", "taking": "yes"}
OTHER = "92110108Y000000247"


@pytest.fixture
async def expert(world: World) -> Browser:
    browser = await world.logged_in("expert", Role.EXPERT)
    await browser.get("/seat")
    assert (await browser.post("/seat", **SEAT)).headers["location"] == "/experts"
    return browser


@pytest.fixture
async def firm(world: World, expert: Browser) -> Browser:
    return await world.logged_in(USCC, Role.ENTERPRISE, USCC)


def account(world: World, login: str) -> str:
    own = select(accounts.c.account_id).where(accounts.c.login == login.casefold())
    return str(world.portal.db.read_now(lambda c: c.execute(own).scalar_one()))


async def asks(firm: Browser, subject: str = "应收账款能否质押", text: str = "我们有三笔应收账款。") -> str:
    page = (await firm.get("/experts")).text
    found = re.search(r'href="(/experts/[^"]+/ask)"', page)
    assert found is not None, page
    await firm.get(found[1])
    answer = await firm.post(found[1], subject=subject, text=text)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def says(browser: Browser, path: str, text: str) -> int:
    await browser.get(path)
    return (await browser.post(f"{path}/messages", text=text)).status_code


async def test_a_question_goes_to_and_fro_until_the_enterprise_closes_and_rates_it(
    world: World, expert: Browser, firm: Browser
) -> None:
    path = await asks(firm)
    assert "等待专家答复" in (await firm.get(path)).text
    assert "有企业向您提问" in (await expert.get("/account")).text
    assert "应收账款能否质押" in (await expert.get("/questions?state=waiting")).text
    assert await says(expert, path, "可以，须先确权。") == 303
    assert "专家已答复" in (await firm.get("/account")).text
    assert "可以，须先确权。" in (await firm.get(path)).text and "陈专家" in (firm.page.text if firm.page else "")
    assert await says(firm, path, "怎样确权？") == 303
    assert await says(expert, path, "请买方书面确认。") == 303
    await firm.get(path)
    assert (await firm.post(f"{path}/end", stars="5")).status_code == 303
    assert "5 分（满分 5 分）" in (await firm.get(path)).text and "结束咨询" not in (
        firm.page.text if firm.page else ""
    )
    assert await says(firm, path, "还有一问") == 409


async def test_nobody_but_the_two_reads_it_and_the_audit_s_look_is_on_record(
    world: World, expert: Browser, firm: Browser
) -> None:
    path = await asks(firm)
    other = await world.logged_in(OTHER, Role.ENTERPRISE, OTHER)
    colleague = await world.logged_in("second-expert", Role.EXPERT)
    for stranger in (other, colleague):
        assert (await stranger.get(path)).status_code == 404
        assert (await stranger.get(path.replace("/questions", "/api/v1/questions"))).status_code == 404
        assert "应收账款" not in (await stranger.get("/questions")).text
        assert (await stranger.post(f"{path}/messages", text="x")).status_code == 404
    assert (await other.post(f"{path}/end", stars="1")).status_code == 404
    assert (await colleague.get(f"{path}/offer")).status_code == 404
    for role in (Role.REVIEWER, Role.EDITOR, Role.SECURITY_ADMIN):
        assert (await (await world.logged_in(f"some-{role}", role)).get(path)).status_code == 403
    auditor = await world.logged_in("audit", Role.AUDIT_ADMIN)
    assert path in (await auditor.get("/questions")).text
    assert "应收账款" not in (await auditor.get("/questions")).text
    assert "question_read_for_audit" not in (await auditor.get("/events")).text
    assert "我们有三笔应收账款。" in (await auditor.get(path)).text and "<textarea" not in auditor.page.text  # type: ignore[union-attr]
    events = (await auditor.get("/events")).text
    assert "question_read_for_audit" in events and "question_asked" in events and "应收账款" not in events


async def test_what_is_said_is_sealed_at_rest_each_message_in_its_place(
    world: World, expert: Browser, firm: Browser
) -> None:
    path = await asks(firm, text="秘密内容")
    await says(expert, path, "第二条")
    kept = world.portal.db.read_now(lambda c: c.execute(select(messages).order_by(messages.c.place)).all())
    subject = world.portal.db.read_now(lambda c: c.execute(select(questions.c.subject_sealed)).scalar_one())
    assert all("秘密".encode() not in bytes(row.text_sealed) for row in kept)
    assert "应收".encode() not in bytes(subject)
    swapped = bytes(kept[1].text_sealed)
    world.portal.db.write_now(
        lambda c: c.execute(messages.update().where(messages.c.place == 1).values(text_sealed=swapped))
    )
    assert (await firm.get(path)).status_code == 500, "a message that was moved does not open"


async def test_the_expert_is_not_told_who_asks(world: World, expert: Browser, firm: Browser) -> None:
    path = await asks(firm)
    for page in (path, "/questions", path.replace("/questions", "/api/v1/questions")):
        text = (await expert.get(page)).text
        assert USCC not in text.upper() and "王小明" not in text and account(world, USCC) not in text


async def test_an_answer_becomes_an_editor_s_draft_without_names_and_without_a_way_back(
    world: World, expert: Browser, firm: Browser
) -> None:
    path = await asks(firm)
    assert (await expert.get(f"{path}/offer")).status_code == 200
    assert (await expert.post(f"{path}/offer", title="a", body="b")).status_code == 409, "nothing was answered yet"
    await says(expert, path, "北京样例公司可以先确权。")
    enterprise = account(world, USCC)
    row = dict.fromkeys(("first_reviewer", "first_reason", "second_reviewer", "second_reason"), "") | {
        "registration_id": "r",
        "account_id": enterprise,
        "uscc": USCC,
        "ent_name": "北京样例公司",
        "check_mismatch": 0,
        "state": "approved",
        "document": b"",
        "submitted_ms": 0,
    }
    world.portal.db.write_now(lambda c: c.execute(registrations.insert(), row))
    offered = (await expert.get(f"{path}/offer")).text
    assert "应收账款能否质押" in offered and "北京样例公司可以先确权" in offered
    for left in ("北京样例公司可以先确权。", f"代码 {USCC.lower()}", "致电13800138000", "代码92110108Y000000247。"):
        answer = await expert.post(f"{path}/offer", title="应收账款能否质押？", body=left)
        assert answer.status_code == 422 and "能看出提问者的内容" in answer.text and left in answer.text, left
    editor = await world.logged_in("editor", Role.EDITOR)
    sent = await expert.post(f"{path}/offer", title="应收账款能否质押？", body="可以，须先确权。")
    assert sent.headers["location"] == path
    assert (await expert.post(f"{path}/offer", title="应收账款能否质押？", body="可以，须先确权。")).status_code == 303
    assert "专家提供了常见问题“应收账款能否质押？”" in (await editor.get("/account")).text
    drafts = re.findall(r'href="(/content/[0-9a-f-]{36})', (await editor.get("/content?state=draft")).text)
    assert len(drafts) == 1
    page = (await editor.get(drafts[0])).text
    assert "可以，须先确权。" in page and path.rpartition("/")[2] not in page
    assert (await editor.get(f"{drafts[0]}/edit")).status_code == 200


async def test_ratings_are_shown_from_five_on_and_a_seat_shows_whether_it_takes_questions(
    world: World, expert: Browser, firm: Browser
) -> None:
    for number in range(FEWEST_RATINGS):
        assert "满分" not in (await firm.get("/experts")).text, number
        path = await asks(firm)
        await firm.get(path)
        await firm.post(f"{path}/end", stars="4" if number else "5")
    assert "4.2 分（满分 5 分），共 5 次评价" in (await firm.get("/experts")).text
    await expert.get("/seat")
    await expert.post("/seat", **(SEAT | {"taking": ""}))
    visitor = world.browser()
    assert "目前不接受新的咨询" in (await visitor.get("/experts")).text
    path = f"/experts/{account(world, 'expert')}/ask"
    await firm.get(path)
    refused = await firm.post(path, subject="问", text="写了很久的问题")
    assert refused.status_code == 409 and "写了很久的问题" in refused.text


async def test_the_seat_of_an_expert_who_left_is_gone(world: World, expert: Browser, firm: Browser) -> None:
    expert_id = account(world, "expert")
    world.portal.db.write_now(
        lambda c: c.execute(accounts.update().where(accounts.c.account_id == expert_id).values(state="disabled"))
    )
    assert "陈专家" not in (await firm.get("/experts")).text
    assert (await firm.get(f"/experts/{expert_id}/ask")).status_code == 404


async def test_bad_input_is_told_beside_the_field_and_nothing_is_lost(
    world: World, expert: Browser, firm: Browser
) -> None:
    path = f"/experts/{account(world, 'expert')}/ask"
    for given, told in [
        ({"subject": "", "text": "正文"}, "请填写咨询事项"),
        ({"subject": "题", "text": ""}, "请填写内容"),
        ({"subject": "x" * 81, "text": "正文"}, "最多 80 个"),
        ({"subject": "题", "text": "x" * 4001}, "最多 4000 个"),
    ]:
        await firm.get(path)
        answer = await firm.post(path, **given)
        assert answer.status_code == 422 and told in answer.text and given["text"] in answer.text
    asked = await asks(firm, subject="<script>alert(1)</script>", text="<b>x</b>'; DROP TABLE questions; --")
    for reader in (firm, expert):
        text = (await reader.get(asked)).text
        assert "<script>alert" not in text and "<b>x" not in text and "DROP TABLE" in text
    await firm.get(asked)
    assert (await firm.post(f"{asked}/end", stars="9")).status_code == 422
    assert (await firm.post(f"{asked}/messages", text="")).status_code == 422
    assert (await firm.get("/experts/nobody/ask")).status_code == 404
    await expert.get("/seat")
    assert (await expert.post("/seat", **(SEAT | {"name": ""}))).status_code == 422
    await expert.get("/seat")
    stale = await expert.post("/seat", **(SEAT | {"revision": "0", "hours": "改了的时间"}))
    assert stale.status_code == 409 and "改了的时间" in stale.text


async def test_a_question_that_is_sent_twice_is_asked_once_and_only_so_many_stay_open(
    world: World, expert: Browser, firm: Browser
) -> None:
    path = f"/experts/{account(world, 'expert')}/ask"
    await firm.get(path)
    first = await firm.post(path, subject="问", text="内容")
    assert (await firm.post(path, subject="问", text="内容")).headers["location"] == first.headers["location"]
    for _ in range(service.MOST_OPEN - 1):
        await asks(firm)
    await firm.get(path)
    refused = await firm.post(path, subject="问", text="再问一次")
    assert refused.status_code == 429 and "请先结束其中一个" in refused.text and "再问一次" in refused.text


async def test_the_api_asks_answers_and_closes(world: World, expert: Browser, firm: Browser) -> None:
    async def post(browser: Browser, path: str, **body: object) -> dict[str, object]:
        token = (await browser.client.get("/api/v1/session")).json()["csrf"]
        answer = await browser.client.post(f"/api/v1/{path}", json=body, headers={"X-CSRF-Token": token})
        return dict(answer.json()) | {"status": answer.status_code}

    (seat,) = (await world.browser().client.get("/api/v1/experts")).json()
    asked = await post(firm, "questions", expert=seat["account_id"], subject="问", text="内容")
    path = f"questions/{asked['question_id']}"
    assert (await post(firm, path + "/messages", text=""))["status"] == 422
    assert (await post(expert, path + "/messages", text="答"))["status"] == 200
    found = (await firm.client.get(f"/api/v1/{path}")).json()
    assert [one["text"] for one in found["messages"]] == ["内容", "答"]
    assert (await post(expert, path + "/end", stars=5))["status"] == 403
    assert (await post(firm, path + "/end", stars=6))["status"] == 422
    assert (await post(firm, path + "/end", stars=4))["status"] == 200
    assert (await post(firm, path + "/end", stars=4))["status"] == 409
    listed = (await firm.client.get("/api/v1/questions?state=ended")).json()
    assert [one["stars"] for one in listed["questions"]] == [4]
    rated = world.portal.db.read_now(lambda c: c.execute(select(seat_rows.c.ratings, seat_rows.c.stars)).one())
    assert tuple(rated) == (1, 4)


def test_a_seat_that_was_never_taken_is_nobody_s(world: World) -> None:
    with pytest.raises(PortalError, match="NOT_FOUND"):
        world.portal.db.read_now(lambda c: seats.get(c, "nobody"))
