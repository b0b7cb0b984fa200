from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from sqlalchemy import insert

from consent.registration import SUBJECT_REGISTRATION_TYPE, parse_registration
from portal.accounts import service as accounts
from portal.errors import PortalError
from portal.hub_link import hub_away
from portal.permissions import Role
from portal.registration import checks
from portal.registration.tables import registrations
from portal.states import MACHINES, REGISTRATION
from portal.web.listing import ROWS
from tests.portal.world import ORIGIN, PASSWORD, USCC, Browser, World, registered
from trust.document import verify_document
from trust.keyfile import decode_private_key, encode_private_key, secret_from_passphrase
from trust.sm2 import PrivateKey

ANSWERS = {
    "code": {"uscc": USCC},
    "name": {"ent_name": "北京样例科技有限公司"},
    "contact": {"contact": "张三丰", "phone": "138 0013 8000"},
}


async def register(world: World, **changed: str) -> Browser:
    browser = world.browser()
    for slug, answers in ANSWERS.items():
        await browser.get(f"/register/{slug}")
        assert (
            await browser.post(f"/register/{slug}", **(answers | {k: v for k, v in changed.items() if k in answers}))
        ).status_code == 303
    await browser.get("/register-send")
    await browser.post("/register-send", password=changed.get("password", PASSWORD))
    await checks.ask_due(world.portal)
    return browser


async def reviewer(world: World, login: str) -> tuple[Browser, PrivateKey]:
    """A reviewer with an operator key that was pasted into the portal."""
    browser = await world.logged_in(login, Role.REVIEWER)
    key = PrivateKey.generate()
    pem = encode_private_key(key, secret_from_passphrase("the operator's secret"), cost=2**14).decode()
    await browser.get("/account/operator-key")
    fields = {"operator": f"op-{login}", "pem": pem, "secret": "the operator's secret", "password": PASSWORD}
    answer = await browser.post("/account/operator-key", **fields)
    assert key.public.key_id in answer.text
    return browser, key


def waiting(world: World, codes: Sequence[str]) -> None:
    """Registrations that nobody has looked at."""
    rows = [registered(world.account(code, Role.APPLICANT, code), code) | {"state": "submitted"} for code in codes]
    world.portal.db.write_now(lambda connection: connection.execute(insert(registrations), rows))


async def first_queue(world: World) -> str:
    return (await (await world.logged_in("looker", Role.REVIEWER)).get("/registrations")).text


async def first(browser: Browser) -> str:
    page = (await browser.get("/registrations")).text
    found = re.search(r"/registrations/([0-9a-f-]{36})", page)
    assert found is not None
    return found[0]


async def test_an_enterprise_registers_two_reviewers_look_the_hub_gets_the_key_and_the_enterprise_logs_in(
    world: World,
) -> None:
    await register(world)
    one, _ = await reviewer(world, "first")
    two, key = await reviewer(world, "second")
    path = await first(one)
    assert "13800138000" not in one.page.text and "****8000" in one.page.text  # type: ignore[union-attr]
    assert "13800138000" in (await one.get(path)).text
    assert (await one.post(f"{path}/opinion", act="endorse", reason="执照已核对")).status_code == 303
    assert "须由另一位" in (await one.get(path)).text
    assert (await one.post(f"{path}/decision", act="approve", reason="x", password=PASSWORD)).status_code == 403
    assert world.hub.approved == []
    await two.get(path)
    assert (
        await two.post(f"{path}/decision", act="approve", reason="电话已核实", password=PASSWORD)
    ).status_code == 303
    ((document, operator, used),) = world.hub.approved
    assert (operator, used.public) == ("op-second", key.public)
    statement = parse_registration(document.payload)
    assert (statement.uscc, statement.ent_name) == (USCC, "北京样例科技有限公司")
    assert "138" not in statement.contact and "张" not in statement.contact
    firm = world.browser()
    await firm.get("/login")
    assert (await firm.post("/login", login=USCC.lower(), password=PASSWORD)).headers["location"] == "/consents"
    page = (await firm.get("/registration")).text
    assert "已通过" in page and "第 41 条" in page
    assert "注册已通过审核" in (await firm.get("/account")).text
    row = world.portal.db.read_now(lambda c: accounts._by_login(c, USCC.casefold()))
    assert row is not None and row.role == Role.ENTERPRISE
    own = decode_private_key(bytes(row.key_pem), secret_from_passphrase(PASSWORD))
    assert own.public.encode() == statement.public_key
    verify_document(document, SUBJECT_REGISTRATION_TYPE, own.public)


async def test_a_rejection_needs_two_as_well_is_told_and_lets_the_enterprise_register_again(world: World) -> None:
    await register(world)
    one, _ = await reviewer(world, "first")
    two, _ = await reviewer(world, "second")
    path = await first(one)
    await one.get(path)
    await one.post(f"{path}/opinion", act="object", reason="名称不符")
    await two.get(path)
    assert (await two.post(f"{path}/decision", act="approve", reason="x", password=PASSWORD)).status_code == 409
    assert (
        await two.post(f"{path}/decision", act="reject", reason="名称与登记不符", password=PASSWORD)
    ).status_code == 303
    firm = world.browser()
    await firm.get("/login")
    await firm.post("/login", login=USCC, password=PASSWORD)
    assert "名称与登记不符" in (await firm.get("/registration")).text
    again = await register(world, password="noch ein anderes wort")
    assert again.page is not None and again.path == "/register-send" and again.page.status_code == 200
    assert (await firm.get("/registration")).status_code == 303, "the account of the rejected one is set aside"


async def test_what_was_sent_back_can_be_looked_at_by_anybody_again(world: World) -> None:
    await register(world)
    one, _ = await reviewer(world, "first")
    two, _ = await reviewer(world, "second")
    path = await first(one)
    await one.get(path)
    await one.post(f"{path}/opinion", act="endorse", reason="ok")
    await two.get(path)
    assert (await two.post(f"{path}/decision", act="return", reason="call them", password=PASSWORD)).status_code == 303
    assert (await two.post(f"{path}/opinion", act="endorse", reason="called")).status_code == 303
    assert (await two.post(f"{path}/decision", act="approve", reason="x", password=PASSWORD)).status_code == 403


async def test_a_wrong_password_signs_nothing_and_locks_after_five(world: World) -> None:
    await register(world)
    one, _ = await reviewer(world, "first")
    two, _ = await reviewer(world, "second")
    path = await first(one)
    await one.get(path)
    await one.post(f"{path}/opinion", act="endorse", reason="ok")
    await two.get(path)
    answers = [await two.post(f"{path}/decision", act="approve", reason="保留", password="wrong") for _ in range(6)]
    assert [each.status_code for each in answers] == [422] * 5 + [429]
    assert "保留" in answers[0].text and "密码不正确" in answers[0].text
    assert world.hub.approved == []


async def test_while_the_hub_is_away_nothing_changes_and_the_decision_can_be_sent_again(world: World) -> None:
    await register(world)
    one, _ = await reviewer(world, "first")
    two, _ = await reviewer(world, "second")
    path = await first(one)
    await one.get(path)
    await one.post(f"{path}/opinion", act="endorse", reason="ok")
    await two.get(path)
    shown = two.page
    world.hub.refuses = hub_away()
    assert (await two.post(f"{path}/decision", act="approve", reason="ok", password=PASSWORD)).status_code == 503
    two.page, world.hub.refuses = shown, None
    assert (await two.post(f"{path}/decision", act="approve", reason="ok", password=PASSWORD)).status_code == 303


async def test_a_registration_that_is_sent_twice_is_made_once(world: World) -> None:
    browser = await register(world)
    assert (await browser.post("/register-send", password=PASSWORD)).headers["location"] == "/registered"
    assert (await first_queue(world)).count("<tr><td>") == 1


async def test_a_code_that_is_taken_is_told_beside_the_password_and_nothing_is_lost(world: World) -> None:
    await register(world)
    other = await register(world)
    assert other.page is not None and other.page.status_code == 422 and "已有人注册" in other.page.text
    assert USCC in (await other.get("/register-check")).text


@pytest.mark.parametrize(
    ("slug", "field", "typed", "told"),
    [
        ("code", "uscc", "", "统一社会信用代码为 18 位"),
        ("code", "uscc", "9111000080210043", "您输入了 16 个字符"),
        ("code", "uscc", "911100008021004330", "最后一位应为 B"),
        ("code", "uscc", "x" * 41, "最多 40 个"),
        ("name", "ent_name", "   ", "请输入登记名称"),
        ("name", "ent_name", "a\x00b", "不可显示"),
        ("contact", "phone", "12345", "11 位手机号"),
    ],
)
async def test_what_is_wrong_is_told_beside_the_field_and_what_was_typed_stays(
    world: World, slug: str, field: str, typed: str, told: str
) -> None:
    browser = world.browser()
    await browser.get(f"/register/{slug}")
    answer = await browser.post(f"/register/{slug}", **({"contact": "张三丰"} | {field: typed}))
    assert answer.status_code == 422 and told in answer.text
    assert f'href="#{field}"' in answer.text and f'aria-describedby="{field}-' in answer.text
    assert slug != "contact" or "张三丰" in answer.text


async def test_an_early_pilot_code_passes_if_the_licence_shows_it_and_reviewers_are_told(world: World) -> None:
    browser = world.browser()
    await browser.get("/register/code")
    answer = await browser.post("/register/code", uscc="91350211M00013FA1N")
    assert answer.status_code == 422 and 'name="mismatch"' in answer.text
    assert (await browser.post("/register/code", uscc="91350211M00013FA1N", mismatch="yes")).status_code == 303


@pytest.mark.parametrize(
    "typed", ["<script>alert(1)</script>", "'; DROP TABLE accounts; --", "{{ 7*7 }}", "{0.__class__}"]
)
async def test_markup_queries_and_templates_in_a_name_stay_what_they_are(world: World, typed: str) -> None:
    await register(world, ent_name=typed)
    browser = await world.logged_in("first", Role.REVIEWER)
    page = await browser.get(await first(browser))
    assert "<script>" not in page.text and "49" not in page.text.partition("<h1>")[2][:60]
    assert typed.split("<", maxsplit=1)[0].split("'", maxsplit=1)[0][:6] in page.text


async def test_the_last_steps_lead_back_to_the_first_missing_answer(world: World) -> None:
    browser = world.browser()
    for path in ("/register-check", "/register-send"):
        assert (await browser.get(path)).headers["location"] == "/register/code"
    assert (await browser.get("/register/nothing")).status_code == 404


async def test_a_long_queue_comes_in_pages_and_none_is_left_out_or_told_twice(world: World) -> None:
    waiting(world, [f"91110000MA00000{n:03}" for n in range(ROWS + 1)])
    browser = await world.logged_in("first", Role.REVIEWER)
    page = (await browser.get("/registrations")).text
    further = re.search(r'href="(/registrations\?sort=submitted&amp;after=[\w-]+)"', page)
    assert further is not None
    rest = (await browser.get(further[1].replace("&amp;", "&"))).text
    codes = [re.findall(r"<td>(9[0-9A-Z]{17})</td>", each) for each in (page, rest)]
    assert [len(each) for each in codes] == [ROWS, 1] and len({*codes[0], *codes[1]}) == ROWS + 1
    assert "after=" not in rest


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", 2),
        ("uscc=91110000ma00000001", 1),
        ("name=样例", 2),
        ("name=%25", 0),
        ("state=approved", 0),
        ("state=any", 2),
        ("since=2026-09-21", 2),
        ("until=2026-09-20", 0),
        ("since=2026-09-23", 0),
    ],
)
async def test_the_queue_is_cut_by_state_code_name_and_day(world: World, query: str, shown: int) -> None:
    waiting(world, ["91110000MA00000001", "91110000MA00000002"])
    browser = await world.logged_in("first", Role.REVIEWER)
    assert (await browser.get(f"/registrations?{query}")).text.count("<tr><td>") == shown


async def test_a_filter_that_makes_no_sense_is_marked_and_the_api_refuses_it(world: World) -> None:
    browser = await world.logged_in("first", Role.REVIEWER)
    page = await browser.get("/registrations?state=nonsense&since=tomorrow&name=<b>&after=x")
    assert page.status_code == 200 and page.text.count('class="fault"') == 2 and "<b>" not in page.text
    answer = await browser.client.get("/api/v1/registrations?state=nonsense")
    assert answer.status_code == 422 and set(answer.json()["faults"]) == {"state"}


async def test_the_api_gives_reviewers_the_queue_and_takes_an_opinion(world: World) -> None:
    await register(world)
    browser = await world.logged_in("first", Role.REVIEWER)
    token = (await browser.client.get("/api/v1/session")).json()["csrf"]
    (one,) = (await browser.client.get("/api/v1/registrations")).json()["rows"]
    assert one["uscc"] == USCC and one["phone"] == "****8000"
    path = f"/api/v1/registrations/{one['registration_id']}/opinion"
    refused = await browser.client.post(path, json={"act": "endorse", "reason": "ok"}, headers={"Origin": ORIGIN})
    assert (refused.status_code, refused.json()["title"]) == (403, "FORM_EXPIRED")
    headers = {"X-CSRF-Token": token, "Origin": ORIGIN}
    faulty = await browser.client.post(path, json={"act": "endorse", "reason": " "}, headers=headers)
    assert faulty.status_code == 422 and "reason" in faulty.json()["faults"]
    answer = await browser.client.post(path, json={"act": "endorse", "reason": "ok"}, headers=headers)
    assert answer.json()["state"] == "endorsed"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_machine_moves_by_its_table_only_and_every_state_is_reached(machine: type(REGISTRATION)) -> None:  # type: ignore[valid-type]
    acts = {act for _, act in machine.moves}
    for state in machine.states:
        for act in acts | {""}:
            if (state, act) in machine.moves:
                assert machine.after(state, act) in machine.states
            else:
                with pytest.raises(PortalError):
                    machine.after(state, act)
    reached = {machine.initial}
    for _ in machine.states:
        reached |= {to for (source, _), to in machine.moves.items() if source in reached}
    assert reached == set(machine.states) and machine.ends
