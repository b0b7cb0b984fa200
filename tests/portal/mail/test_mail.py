"""Notices by e-mail, through a real SMTP server on this machine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP

from hub.settings import SettingsInvalid
from portal.accounts import passwords
from portal.accounts.notices import KINDS, inbox, notify
from portal.mail import outbox, sender
from portal.mail.topics import TITLES, Topic, topic_of
from portal.permissions import Role
from portal.settings import Settings, check
from tests.portal.world import CHEAP, PASSWORD, USCC, Browser, World, running_portal

HOUR_S = 3600


class Post:
    """A mail server: takes what it is given, or says `answer` instead."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        return "250 OK"


@asynccontextmanager
async def post_office() -> AsyncIterator[tuple[Post, int]]:
    post = Post()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(post), "127.0.0.1", 0)
    async with server:
        yield post, server.sockets[0].getsockname()[1]


@pytest.fixture
async def mailing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, Post]]:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    passwords._nobodys.cache_clear()
    async with post_office() as (post, port):
        mail = {"mail_host": "127.0.0.1", "mail_port": port, "mail_security": "none", "mail_from": "hub@example.com"}
        async with running_portal(tmp_path, **mail) as world:
            yield world, post


async def send(world: World) -> int:
    return await sender.send_due(world.portal)


async def confirmed(world: World, post: Post, address: str = "boss@example.com") -> tuple[Browser, str]:
    """An enterprise that has confirmed its address, and its account."""
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    await browser.get("/account/mail")
    assert (await browser.post("/account/mail", address=address)).status_code == 303
    await send(world)
    await browser.get(link_in(post.mails[-1]))
    assert (await browser.post(browser.path)).status_code == 303
    return browser, account_of(world)


def account_of(world: World) -> str:
    return world.portal.db.read_now(
        lambda connection: str(connection.exec_driver_sql("SELECT account_id FROM accounts").scalar())
    )


def link_in(mail: EmailMessage) -> str:
    found = re.search(r"http://127.0.0.1:8080(/account/mail/\S+)", mail.get_content())
    assert found is not None
    return found[1]


def tell(world: World, account_id: str, kind: str, detail: str = "") -> None:
    world.portal.db.write_now(lambda connection: notify(connection, account_id, kind, detail, world.portal.clock()))


async def test_no_notice_is_mailed_before_the_owner_opened_the_link(mailing: tuple[World, Post]) -> None:
    world, post = mailing
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    await browser.get("/account/mail")
    await browser.post("/account/mail", address="boss@example.com")
    tell(world, account_of(world), "registration_approved")
    assert await send(world) == 1, "the link alone"
    assert "确认电子邮箱" in str(post.mails[0]["subject"])
    page = await browser.get("/account/mail")
    assert "已向 boss@example.com 发送确认邮件" in page.text
    await browser.get(link_in(post.mails[0]))
    await browser.post(browser.path)
    tell(world, account_of(world), "registration_approved")
    assert await send(world) == 1
    assert post.mails[1]["to"] == "boss@example.com"


async def test_a_mail_says_what_a_notice_is_about_and_nothing_of_it(mailing: tuple[World, Post]) -> None:
    world, post = mailing
    _, account_id = await confirmed(world, post)
    tell(world, account_id, "registration_rejected", "王小明 owes 5 million")
    await send(world)
    text = post.mails[-1].get_content() + str(post.mails[-1]["subject"])
    assert "注册申请已有结果" in text
    assert "王小明" not in text and "million" not in text and USCC not in text


async def test_a_link_of_another_account_an_old_or_an_altered_one_confirms_nothing(
    mailing: tuple[World, Post],
) -> None:
    world, post = mailing
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    await browser.get("/account/mail")
    await browser.post("/account/mail", address="boss@example.com")
    await send(world)
    link = link_in(post.mails[0])
    other = await world.logged_in("other", Role.STAFF, "bank-a")
    await other.get("/account/mail")
    assert (await other.post(link)).status_code == 404
    await browser.get(link)
    assert (await browser.post(link[:-1] + ("0" if link[-1] != "0" else "1"))).status_code == 404
    world.later(25 * HOUR_S)
    late = world.browser()
    await late.get("/login")
    await late.post("/login", login=USCC, password=PASSWORD)
    await late.get(link)
    assert (await late.post(link)).status_code == 404
    page = await late.get("/account/mail")
    assert "已向 boss@example.com 发送确认邮件" in page.text, "still not confirmed"


async def test_a_server_that_is_away_gets_it_later_and_later_and_a_refusal_for_good_ends_it(
    mailing: tuple[World, Post],
) -> None:
    world, post = mailing
    _, account_id = await confirmed(world, post)
    tell(world, account_id, "new_source", "Firefox")
    post.answer = "451 come back"
    assert await send(world) == 1
    assert await send(world) == 0, "not before a minute"
    world.later(61)
    assert await send(world) == 1
    world.later(61)
    assert await send(world) == 0, "the second wait is twice as long"
    post.answer = "250 OK"
    world.later(60)
    assert await send(world) == 1
    assert len(post.mails) == 2
    tell(world, account_id, "new_source", "Firefox")
    post.answer = "550 no such user"
    assert await send(world) == 1
    world.later(30 * HOUR_S)
    assert await send(world) == 0


async def test_a_server_that_offers_no_tls_gets_nothing(mailing: tuple[World, Post]) -> None:
    world, post = mailing
    _, account_id = await confirmed(world, post)
    tell(world, account_id, "new_source", "Firefox")
    world.portal.settings = msgspec.structs.replace(world.portal.settings, mail_security="starttls")
    assert await send(world) == 1
    assert len(post.mails) == 1, "the link alone"


async def test_a_mail_that_never_gets_through_is_given_up(mailing: tuple[World, Post]) -> None:
    world, post = mailing
    _, account_id = await confirmed(world, post)
    tell(world, account_id, "new_source", "Firefox")
    post.answer = "451 come back"
    tries = 0
    for _ in range(3 * outbox.MOST_TRIES):
        tries += await send(world)
        world.later(12 * HOUR_S)
    assert tries == outbox.MOST_TRIES


async def test_many_notices_of_one_topic_make_one_mail(mailing: tuple[World, Post]) -> None:
    world, post = mailing
    _, account_id = await confirmed(world, post)
    for _ in range(5):
        tell(world, account_id, "new_source", "Firefox")
    assert await send(world) == 1
    tell(world, account_id, "new_source", "Firefox")
    assert await send(world) == 1, "what came after the mail is told by another one"


async def test_each_topic_is_switched_off_in_both_places_but_logins_never_in_the_inbox(
    mailing: tuple[World, Post],
) -> None:
    world, post = mailing
    browser, account_id = await confirmed(world, post)
    await browser.get("/account/mail")
    assert (await browser.post("/account/switches", **{"inbox-application": "on"})).status_code == 303
    tell(world, account_id, "registration_approved")
    tell(world, account_id, "new_source", "Firefox")
    assert await send(world) == 0
    shown = world.portal.db.read_now(lambda connection: inbox(connection, account_id))
    assert ["Firefox" in str(one.text) for one in shown] == [True]
    page = await browser.get("/account/mail")
    assert page.text.count(" checked>") == 1


@pytest.mark.parametrize(
    "typed", ["boss", "boss@", "@example.com", "a b@example.com", "x@example.com\r\nBcc: y@z.com", "x" * 300]
)
async def test_what_is_no_address_is_told_beside_the_field(mailing: tuple[World, Post], typed: str) -> None:
    world, _ = mailing
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    await browser.get("/account/mail")
    answer = await browser.post("/account/mail", address=typed)
    assert answer.status_code == 422 and 'id="address-fault"' in answer.text


def test_every_kind_of_notice_belongs_to_a_topic_with_a_title() -> None:
    assert {topic_of(kind) for kind in KINDS} <= set(Topic) and set(TITLES) == set(Topic)
    with pytest.raises(KeyError):
        topic_of("weather")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mail_host": "mail.example.com"}, "mail_from"),
        ({"mail_host": "mail.example.com", "mail_from": "a@b.cn", "mail_security": "none"}, "in the clear"),
        ({"mail_host": "mail.example.com", "mail_from": "a@b.cn", "mail_user": "a"}, "belong together"),
    ],
)
def test_half_a_mail_server_stops_the_start(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsInvalid, match=told):
        check(Settings(home=tmp_path, **changes))
