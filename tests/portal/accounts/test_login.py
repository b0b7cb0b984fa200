from __future__ import annotations

import logging

import pytest

from portal.accounts import passwords, sessions, totp
from portal.forms import Wrong
from portal.permissions import Role
from portal.web.visits import ACCESS, REFRESH
from tests.portal.world import NOW_MS, PASSWORD, Browser, World


async def tries(world: World, login: str, password: str, browser: Browser | None = None) -> int:
    browser = browser or world.browser()
    await browser.get("/login")
    return (await browser.post("/login", login=login, password=password)).status_code


async def test_unknown_name_wrong_password_and_removed_account_get_the_same_answer(world: World) -> None:
    world.account("known", Role.STAFF, "bank-a")
    told = []
    for login, password in (("known", "wrong password"), ("unknown", PASSWORD)):
        browser = world.browser()
        await browser.get("/login")
        answer = await browser.post("/login", login=login, password=password)
        told.append((answer.status_code, answer.text.count("不匹配"), 'value="' + login in answer.text))
        assert password not in answer.text
    assert told == [(401, 2, True)] * 2


async def test_the_fifth_wrong_try_locks_for_a_minute_even_the_right_password_and_even_unknown_names(
    world: World,
) -> None:
    world.account("known", Role.STAFF, "bank-a")
    for login in ("known", "unknown"):
        assert [await tries(world, login, "wrong") for _ in range(6)] == [401] * 5 + [429]
    assert await tries(world, "known", PASSWORD) == 429
    world.later(61)
    assert await tries(world, "known", "wrong") == 401
    world.later(61)
    assert await tries(world, "known", PASSWORD) == 429, "the second lock is twice as long"
    world.later(60)
    assert await tries(world, "known", PASSWORD) == 303


async def test_one_address_tries_only_so_often(world: World) -> None:
    world.portal.attempts = type(world.portal.attempts)(0.001, burst_s=3000)
    browser = world.browser()
    assert [await tries(world, f"name{n}", "wrong", browser) for n in range(4)] == [401, 401, 401, 429]


async def test_a_code_is_used_once_and_only_near_its_time(world: World) -> None:
    account_id = world.account("staff", Role.STAFF, "bank-a")
    first = world.browser()
    assert await tries(world, "staff", PASSWORD, first) == 303
    page = await first.get("/login/code")
    assert "data:image/svg" in page.text
    code = world.code(account_id)
    assert (await first.post("/login/code", code=code)).status_code == 303
    second = world.browser()
    assert await tries(world, "staff", PASSWORD, second) == 303
    page = await second.get("/login/code")
    assert "data:image/svg" not in page.text, "the secret is shown until its first use only"
    assert (await second.post("/login/code", code=code)).status_code == 401
    world.later(31)
    assert (await second.post("/login/code", code=world.code(account_id))).status_code == 303


def test_codes_are_those_of_rfc_6238() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # "12345678901234567890"
    vectors = {59: "94287082", 1111111109: "07081804", 2000000000: "69279037"}
    assert {at: totp.code_at(secret, at) for at in vectors} == {at: code[2:] for at, code in vectors.items()}


async def test_a_session_is_renewed_by_its_refresh_token_and_ends_when_an_old_one_is_shown(world: World) -> None:
    world.account("firm", Role.ENTERPRISE, "firm")
    browser = world.browser()
    assert await tries(world, "firm", PASSWORD, browser) == 303
    first = browser.client.cookies[REFRESH]
    world.later(world.portal.settings.access_s + 1)
    assert (await browser.get("/account")).status_code == 200
    assert browser.client.cookies[REFRESH] != first
    thief = world.browser()
    thief.client.cookies.set(REFRESH, first)
    world.later(31)
    assert (await thief.get("/account")).status_code == 303
    assert (await browser.get("/account")).status_code == 303, "the session of both has ended"


async def test_two_requests_at_once_may_show_the_same_refresh_token(world: World) -> None:
    world.account("firm", Role.ENTERPRISE, "firm")
    browser = world.browser()
    await tries(world, "firm", PASSWORD, browser)
    first = browser.client.cookies[REFRESH]
    world.later(world.portal.settings.access_s + 1)
    other = world.browser()
    other.client.cookies.set(REFRESH, first)
    assert (await browser.get("/account")).status_code == 200
    assert (await other.get("/account")).status_code == 200


async def test_after_logout_a_kept_access_token_opens_nothing(world: World) -> None:
    world.account("firm", Role.ENTERPRISE, "firm")
    browser = world.browser()
    await tries(world, "firm", PASSWORD, browser)
    kept = browser.client.cookies[ACCESS]
    await browser.get("/account")
    assert (await browser.post("/logout")).status_code == 303
    thief = world.browser()
    thief.client.cookies.set(ACCESS, kept)
    assert (await thief.get("/account")).status_code == 303


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
async def test_a_made_up_access_token_is_nobody(world: World, token: str) -> None:
    assert await sessions.recognise(world.portal, token, "") is None


async def test_a_login_from_a_new_place_leaves_a_notice_but_the_first_one_does_not(world: World) -> None:
    world.account("firm", Role.ENTERPRISE, "firm")
    home = world.browser()
    await tries(world, "firm", PASSWORD, home)
    assert "Firefox" in (await home.get("/account")).text and "新的地点" not in home.page.text  # type: ignore[union-attr]
    near = world.browser(address="198.51.100.99")
    await tries(world, "firm", PASSWORD, near)
    assert "新的地点" not in (await near.get("/account")).text
    far = world.browser(agent="Chrome/140", address="203.0.113.1")
    await tries(world, "firm", PASSWORD, far)
    assert "新的地点或浏览器（Chrome）" in (await far.get("/account")).text


async def test_an_invitation_works_once_and_until_it_expires(world: World) -> None:
    chief = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    await chief.get("/staff")
    shown = (await chief.post("/staff/invitations", login="Clerk", role="staff", institution="bank-b")).text
    path = shown.partition("http://127.0.0.1:8080")[2].partition("<")[0]
    guest = world.browser()
    assert "bank-a" in (await guest.get(path)).text, (
        "an administrator invites to its own institution, whatever it sends"
    )
    weak = await guest.post(path, name="李四", password="clerk-bank-a")
    assert weak.status_code == 422 and "李四" in weak.text
    assert (await guest.post(path, name="李四", password=PASSWORD)).status_code == 303
    assert (await guest.get(path)).status_code == 404
    assert await tries(world, "clerk", PASSWORD) == 303
    later = (await chief.post("/staff/invitations", login="late", role="staff")).text
    world.later(world.portal.settings.invitation_s + 1)
    assert (await guest.get(later.partition("http://127.0.0.1:8080")[2].partition("<")[0])).status_code == 404


async def test_who_is_removed_is_out_at_once(world: World) -> None:
    chief = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    clerk = await world.logged_in("clerk", Role.STAFF, "bank-a")
    page = (await chief.get("/staff")).text
    account_id = page.partition("/staff/")[2].partition("/disable")[0]
    if (await chief.post("/staff/invitations", login="x", role="reviewer")).status_code == 303:
        raise AssertionError("an institution's administrator makes no reviewers")
    assert (await clerk.get("/account")).status_code == 200
    assert (await chief.post(f"/staff/{account_id}/disable", reason="left")).status_code == 303
    assert (await clerk.get("/account")).status_code == 303
    assert await tries(world, "clerk", PASSWORD) == 401


@pytest.mark.parametrize("password", ["short", "password123", "qwertyuiop123", "bank-a-clerk", "1234567890"])
def test_a_password_that_is_tried_first_is_refused(password: str) -> None:
    with pytest.raises(Wrong):
        passwords.require_strong(passwords.parse_new(password), ["clerk", "bank-a"])


def test_passwords_are_kept_by_argon2id_at_the_cost_of_rfc_9106() -> None:
    kept = passwords.hash_password(PASSWORD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.matches(kept, PASSWORD)
    assert not passwords.matches(kept, PASSWORD + " ")


async def test_nothing_personal_reaches_log_or_database_file(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser = await world.logged_in("somebody", Role.STAFF, "bank-a")
    await browser.get("/account?secret=12345")
    written = " ".join(str(record.__dict__) for record in caplog.records if record.name.startswith("portal"))
    assert "/account" in written
    assert not any(each in written for each in ("somebody", PASSWORD, "12345", "198.51.100.7"))
    kept = b"".join(file.read_bytes() for file in world.portal.settings.home.glob("portal.db*"))
    assert b"somebody" in kept and "王小明".encode() not in kept
    assert world.now_ms == [NOW_MS]
