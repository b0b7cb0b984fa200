from __future__ import annotations

import re

import pytest

from portal.accounts import service
from portal.permissions import Role
from tests.portal.world import PASSWORD, USCC, Browser, World
from trust.keyfile import decode_private_key, secret_from_passphrase

NEW = "sieben zebras trinken tee"


async def login(world: World, name: str, password: str) -> tuple[int, Browser]:
    browser = world.browser()
    await browser.get("/login")
    return (await browser.post("/login", login=name, password=password)).status_code, browser


async def test_a_changed_password_opens_the_same_key_and_ends_all_other_sessions(world: World) -> None:
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    _, elsewhere = await login(world, USCC, PASSWORD)
    before = kept(world)
    await browser.get("/account/password")
    assert (await browser.post("/account/password", old=PASSWORD, password=NEW)).status_code == 303
    assert (await browser.get("/consents")).status_code == 200, "the key is open in the session that goes on"
    assert (await elsewhere.get("/account")).status_code == 303
    assert (await login(world, USCC, PASSWORD))[0] == 401
    assert (await login(world, USCC, NEW))[0] == 303
    assert opened(before, PASSWORD) == opened(kept(world), NEW)
    assert "密码已修改" in (await browser.get("/account")).text


async def test_a_wrong_present_password_changes_nothing_and_locks_after_five_tries(world: World) -> None:
    browser = await world.logged_in("staff", Role.STAFF, "bank-a")
    await browser.get("/account/password")
    told = [(await browser.post("/account/password", old="wrong", password=NEW)).status_code for _ in range(6)]
    assert told == [422] * 5 + [429]
    assert (await login(world, "staff", PASSWORD))[0] == 303


@pytest.mark.parametrize("password", ["", "short", "password123456", "x" * 200, f"{USCC}2024"])
async def test_a_new_password_must_be_good(world: World, password: str) -> None:
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    await browser.get("/account/password")
    answer = await browser.post("/account/password", old=PASSWORD, password=password)
    assert answer.status_code == 422 and 'id="password-fault"' in answer.text and PASSWORD not in answer.text


async def test_staff_who_lost_a_password_set_a_new_one_by_a_link_that_works_once(world: World) -> None:
    await world.logged_in("lost", Role.STAFF, "bank-a")
    lost = by_login(world, "lost")
    chief = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    await chief.get("/staff")
    page = await chief.post(f"/staff/{lost}/password-link", reason="forgot it")
    link = re.search(r"/passwords/[\w-]+", page.text)
    assert link is not None
    visitor = world.browser()
    assert "lost" in (await visitor.get(link[0])).text
    assert (await visitor.post(link[0], password="short")).status_code == 422
    assert (await visitor.post(link[0], password=NEW)).status_code == 303
    assert (await visitor.get(link[0])).status_code == 404
    status, browser = await login(world, "lost", NEW)
    assert status == 303
    assert (await browser.get("/account")).headers["location"] == "/login/code", "the second factor is asked for"


async def test_a_link_expires(world: World) -> None:
    await world.logged_in("lost", Role.STAFF, "bank-a")
    lost = by_login(world, "lost")
    chief = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    await chief.get("/staff")
    link = re.search(r"/passwords/[\w-]+", (await chief.post(f"/staff/{lost}/password-link", reason="x")).text)
    assert link is not None
    world.later(world.portal.settings.invitation_s)
    assert (await world.browser().get(link[0])).status_code == 404


async def test_a_lost_authenticator_is_set_up_anew_by_an_administrator_with_a_reason(world: World) -> None:
    browser = await world.logged_in("lost", Role.STAFF, "bank-a")
    account_id = by_login(world, "lost")
    old = world.code(account_id)
    chief = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    await chief.get("/staff")
    assert (await chief.post(f"/staff/{account_id}/second-factor", reason="")).status_code == 422
    assert (await chief.post(f"/staff/{account_id}/second-factor", reason="phone lost")).status_code == 303
    assert (await browser.get("/account")).status_code == 303, "its session has ended"
    _, again = await login(world, "lost", PASSWORD)
    assert "data:image/svg" in (await again.get("/login/code")).text
    assert (await again.post("/login/code", code=old)).status_code == 401
    assert (await again.post("/login/code", code=world.code(account_id))).status_code == 303


async def test_no_administrator_takes_an_account_over_by_renewing_both_factors(world: World) -> None:
    await world.logged_in("victim", Role.STAFF, "bank-a")
    account_id = by_login(world, "victim")
    chief = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    await chief.get("/staff")
    page = await chief.post(f"/staff/{account_id}/password-link", reason="x")
    link = re.search(r"/passwords/[\w-]+", page.text)
    assert link is not None
    await chief.get("/staff")
    assert (await chief.post(f"/staff/{account_id}/second-factor", reason="x")).status_code == 409, "the link is open"
    world.later(60)
    visitor = world.browser()
    await visitor.get(link[0])
    assert (await visitor.post(link[0], password=NEW)).status_code == 303
    await chief.get("/staff")
    assert (await chief.post(f"/staff/{account_id}/second-factor", reason="x")).status_code == 409, "the link was used"
    world.later(60)
    _, owner = await login(world, "victim", NEW)
    await owner.get("/login/code")
    assert (await owner.post("/login/code", code=world.code(account_id))).status_code == 303
    await chief.get("/staff")
    assert (await chief.post(f"/staff/{account_id}/second-factor", reason="x")).status_code == 303
    await chief.get("/staff")
    assert (await chief.post(f"/staff/{account_id}/password-link", reason="x")).status_code == 409, (
        "the other way round"
    )


async def test_a_code_of_the_next_step_given_before_the_link_was_used_proves_no_owner(world: World) -> None:
    account_id = world.account("victim", Role.STAFF, "bank-a")
    _, owner = await login(world, "victim", PASSWORD)
    await owner.get("/login/code")
    world.later(30)
    ahead = world.code(account_id)
    world.later(-30)
    assert (await owner.post("/login/code", code=ahead)).status_code == 303
    chief = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    await chief.get("/staff")
    link = re.search(r"/passwords/[\w-]+", (await chief.post(f"/staff/{account_id}/password-link", reason="x")).text)
    assert link is not None
    visitor = world.browser()
    await visitor.get(link[0])
    assert (await visitor.post(link[0], password=NEW)).status_code == 303
    await chief.get("/staff")
    assert (await chief.post(f"/staff/{account_id}/second-factor", reason="x")).status_code == 409


@pytest.mark.parametrize("act", ["password-link", "second-factor"])
async def test_nobody_helps_strangers_or_themselves(world: World, act: str) -> None:
    stranger = world.account("stranger", Role.STAFF, "bank-b")
    chief = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    await chief.get("/staff")
    assert (await chief.post(f"/staff/{stranger}/{act}", reason="x")).status_code == 404
    assert (await chief.post(f"/staff/{by_login(world, 'chief')}/{act}", reason="x")).status_code == 409


def by_login(world: World, login: str) -> str:
    return world.portal.db.read_now(
        lambda connection: str(
            connection.exec_driver_sql("SELECT account_id FROM accounts WHERE login = ?", (login,)).scalar()
        )
    )


def kept(world: World) -> bytes:
    account_id = by_login(world, USCC.casefold())
    return bytes(world.portal.db.read_now(lambda connection: service.get(connection, account_id)).key_pem)


def opened(pem: bytes, password: str) -> str:
    return decode_private_key(pem, secret_from_passphrase(password)).public.encode()
