"""Programs that act for an account, by tokens that they sign."""

from __future__ import annotations

import base64
import json

import httpx
import jwt
import pytest

from portal.clients import token as tokens
from portal.clients.token import MOST_S, TokenInvalid
from portal.permissions import Role
from tests.portal.world import NOW_MS, ORIGIN, USCC, Browser, World
from trust.sm2 import PrivateKey, sign

NOW_S = NOW_MS // 1000
KEY = PrivateKey.generate()


async def let_in(browser: Browser, key: PrivateKey = KEY) -> str:
    await browser.get("/account/clients")
    assert (await browser.post("/account/clients", name="core bank", key=key.public.encode())).status_code == 303
    page = await browser.get("/account/clients")
    return page.text.split("<code>")[1].split("<")[0]


async def call(world: World, token: str, path: str = "/api/v1/session", method: str = "GET") -> httpx.Response:
    return await world.browser().client.request(method, path, headers={"Authorization": f"Bearer {token}"})


async def test_a_program_does_what_its_account_may_without_cookies_and_form_tokens(world: World) -> None:
    browser = await world.logged_in("staff", Role.REVIEWER)
    client_id = await let_in(browser)
    token = tokens.make(client_id, KEY, ORIGIN, NOW_S)
    answer = await call(world, token)
    assert answer.json()["who"]["login"] == "staff" and "set-cookie" not in answer.headers
    assert (await call(world, token, "/api/v1/registrations")).status_code == 200
    assert (await call(world, token, "/api/v1/registrations/x/opinion", "POST")).status_code == 422, (
        "past the form token"
    )
    assert (await call(world, token, "/api/v1/consents")).status_code == 403, "not this role's"


async def test_a_token_opens_no_page(world: World) -> None:
    client_id = await let_in(await world.logged_in("staff", Role.REVIEWER))
    answer = await call(world, tokens.make(client_id, KEY, ORIGIN, NOW_S), "/registrations")
    assert answer.status_code == 303 and answer.headers["location"].startswith("/login")


async def test_an_ended_program_a_removed_account_and_an_old_token_are_refused_with_the_reason(world: World) -> None:
    browser = await world.logged_in("staff", Role.STAFF, "bank-a")
    client_id = await let_in(browser)
    token = tokens.make(client_id, KEY, ORIGIN, NOW_S)
    world.later(MOST_S + 31)
    answer = await call(world, token)
    assert answer.status_code == 401 and "expired" in answer.text
    fresh = tokens.make(client_id, KEY, ORIGIN, world.now_ms[0] // 1000)
    assert (await call(world, fresh)).status_code == 200
    await browser.get("/account/clients")
    assert (await browser.post(f"/account/clients/{client_id}/end")).status_code == 303
    assert (await call(world, fresh)).status_code == 401
    again = await let_in(browser)
    fresh = tokens.make(again, KEY, ORIGIN, world.now_ms[0] // 1000)
    assert (await call(world, fresh)).status_code == 200
    world.portal.db.write_now(lambda connection: connection.exec_driver_sql("UPDATE accounts SET state = 'disabled'"))
    assert (await call(world, fresh)).status_code == 401


async def test_nobody_ends_anothers_program(world: World) -> None:
    client_id = await let_in(await world.logged_in("one", Role.STAFF, "bank-a"))
    other = await world.logged_in("two", Role.STAFF, "bank-a")
    await other.get("/account/clients")
    assert (await other.post(f"/account/clients/{client_id}/end")).status_code == 404


@pytest.mark.parametrize("typed", ["", "04", "zz", "04" + "00" * 64, KEY.public.encode().upper(), "x" * 500])
async def test_what_is_no_public_key_is_told_beside_the_field(world: World, typed: str) -> None:
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    await browser.get("/account/clients")
    answer = await browser.post("/account/clients", name="n", key=typed)
    assert answer.status_code == 422 and 'id="key-fault"' in answer.text and 'value="n"' in answer.text


async def test_a_form_that_is_sent_twice_lets_in_one_program(world: World) -> None:
    browser = await world.logged_in("staff", Role.STAFF, "bank-a")
    await browser.get("/account/clients")
    for _ in range(2):
        await browser.post("/account/clients", name="core", key=KEY.public.encode())
    assert (await browser.get("/account/clients")).text.count('/end"') == 1


def written(header: dict[str, object], claims: dict[str, object], key: PrivateKey = KEY) -> str:
    """A token written by hand: the second way to make one."""
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (header, claims)]
    signed = base64.urlsafe_b64encode(sign(key, b".".join(parts))).rstrip(b"=")
    return b".".join([*parts, signed]).decode()


CLAIMS: dict[str, object] = {"iss": "c", "aud": ORIGIN, "iat": NOW_S, "exp": NOW_S + 60}


def test_a_token_by_hand_and_one_of_ours_hold_alike() -> None:
    for token in (written({"alg": "SM2"}, CLAIMS), tokens.make("c", KEY, ORIGIN, NOW_S)):
        tokens.verify(token, KEY.public, ORIGIN, NOW_S)
        assert tokens.client_of(token) == "c"


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (written({"alg": "SM2"}, CLAIMS | {"aud": "https://other.example"}), "aud"),
        (written({"alg": "SM2"}, CLAIMS | {"exp": NOW_S + MOST_S + 1}), "longer"),
        (written({"alg": "SM2"}, CLAIMS | {"exp": NOW_S}), "longer"),
        (written({"alg": "SM2"}, CLAIMS | {"iat": NOW_S + 60, "exp": NOW_S + 90}), "future"),
        (written({"alg": "SM2"}, CLAIMS, PrivateKey.generate()), "signature"),
        (written({"alg": "none"}, CLAIMS), "signature"),
        (written({"alg": "HS256"}, CLAIMS), "signature"),
        (jwt.encode(CLAIMS, KEY.public.encode() * 2, algorithm="HS256"), "signature"),
        (jwt.encode(CLAIMS, None, algorithm="none"), "signature"),
        (written({"alg": "SM2"}, {"iss": "c"}), "signature"),
    ],
)
def test_a_token_that_is_not_signed_for_now_and_here_is_refused(token: str, told: str) -> None:
    with pytest.raises(TokenInvalid, match=told):
        tokens.verify(token, KEY.public, ORIGIN, NOW_S)


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "é.é.é", "." * 9000, written({"alg": "SM2"}, {"iss": 5})])
def test_what_is_no_token_names_nobody(token: str) -> None:
    with pytest.raises(TokenInvalid):
        tokens.client_of(token)
