"""A portal over a database of its own, a simulator of the hub, a clock that stands still, and browsers without a screen."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any, TypeVar

import httpx
from argon2 import PasswordHasher
from sqlalchemy import Connection, insert

from consent.audit_uses import UsePage, VerifiedPage
from consent.directory import Member, ProductPublished
from consent.documents import (
    CONSENT_REFUSAL_TYPE,
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    ConsentDocument,
    ConsentRequest,
    parse_consent,
    parse_refusal,
    parse_revocation,
)
from portal.accounts import service, totp
from portal.hub_link import (
    Author,
    Confirmed,
    Entered,
    KnownModel,
    Operations,
    Registered,
    RegisteredFacts,
    Signer,
    Standing,
    Verified,
)
from portal.permissions import SECOND_FACTOR, Role
from portal.registration.tables import registrations
from portal.server import open_portal
from portal.settings import Settings
from portal.state import Portal
from portal.web.app import application
from trust.document import SignedDocument, verify_document
from trust.keyfile import encode_private_key, secret_from_passphrase
from trust.sm2 import PrivateKey

ORIGIN = "http://127.0.0.1:8080"
PASSWORD = "korrekt pferd batterie"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # the real cost has a test of its own
HASH = CHEAP.hash(PASSWORD)
USCC = "91110000802100433B"
T = TypeVar("T")
NOW_MS = 1_790_000_000_000


REGISTERED = RegisteredFacts(
    ent_name="北京样例科技有限公司", status="存续", region="110108", industry="I65", founded=date(2019, 5, 1)
)


class HubSimulator:
    """Takes approvals and what enterprises sign, and remembers it; or is away. `confirming`: nodes that have seen everything."""

    def __init__(self) -> None:
        self.approved: list[tuple[SignedDocument, str, PrivateKey]] = []
        self.refuses: Exception | None = None
        self.running = Operations(time_ms=NOW_MS, version="1.0", logs=(), members=(), exchanges=())
        self.watched: list[str | None] = []
        self.standing: list[tuple[ConsentDocument, str]] = []
        self.signed: list[Signer] = []
        self.asked: list[ConsentRequest] = []
        self.apart = False  # whether each enterprise gets its own only, as of the hub
        self.entries: list[SignedDocument] = []
        self.confirming: tuple[str, ...] = ("tax-1",)
        self.waiting: tuple[str, ...] = ("tax-2",)
        self.offered: list[ProductPublished] = []
        self.known_models: list[KnownModel] = []
        self.hub_key = PrivateKey.generate().public
        self.page: UsePage | None = None
        self.verified: VerifiedPage | None = None
        self.registrations: dict[str, RegisteredFacts | None] = {}
        self.away: Exception | None = None
        self.queried: list[str] = []
        self.admitted = [
            Member(member_id="firstbank", name="第一银行", kind="bank"),
            Member(member_id="taxoffice", name="税务局", kind="government"),
        ]

    def consents(self, who: Signer) -> Sequence[Standing]:
        self.signed.append(who)
        own = [each for each in self.standing if not self.apart or each[0].subject.uscc == who.uscc]
        return self._answer([Standing(consent=one, state=state, ended_ms=0) for one, state in own])

    def requests(self, who: Signer) -> Sequence[ConsentRequest]:
        return self._answer([each for each in self.asked if not self.apart or each.uscc == who.uscc])

    def offers(self) -> Sequence[ProductPublished]:
        return self._answer(list(self.offered))

    def members(self) -> Sequence[Member]:
        return self._answer(self.admitted)

    def enter(self, author: Author, document: SignedDocument, provider: str, *, wait_ms: int = 0) -> Entered:
        verify_document(document, document.payload_type, author.key)
        if self.refuses is None and document not in self.entries:
            self.entries.append(document)
            self._take(document)
        confirmed = tuple(Confirmed(node_id=node, after_ms=17) for node in self.confirming)
        index = 9 if document not in self.entries else self.entries.index(document)
        return self._answer(
            Entered(log_index=index, confirmed=confirmed, pending=self.waiting, seen=author.seen + b"entered;")
        )

    def _take(self, document: SignedDocument) -> None:
        if document.payload_type == CONSENT_TYPE:
            consent = parse_consent(document.payload)
            self.standing.insert(0, (consent, "active"))
            self.asked = [each for each in self.asked if each.request_id != consent.request_id]
        elif document.payload_type == CONSENT_REVOCATION_TYPE:
            ended = parse_revocation(document.payload).record_id
            self.standing = [(one, "withdrawn" if one.record_id == ended else state) for one, state in self.standing]
        elif document.payload_type == CONSENT_REFUSAL_TYPE:
            refused = parse_refusal(document.payload).request_id
            self.asked = [each for each in self.asked if each.request_id != refused]

    def uses(self, who: Signer) -> Verified:
        self.signed.append(who)
        found = Verified(
            uses=self.verified.uses if self.verified else (),
            pages=(self.page,) if self.page else (),
            hub_key=self.hub_key,
            size=self.verified.head.size if self.verified else 7,
            time_ms=NOW_MS,
            witnesses=(),
            seen=who.seen + b"uses;",
        )
        return self._answer(found)

    def registered(self, uscc: str) -> Registered:
        """As the provider's node answers; it is `away` while it has something to raise."""
        if self.away is not None:
            raise self.away
        self.queried.append(uscc)
        facts = self.registrations.get(uscc, REGISTERED)
        return Registered(provider="marketoffice", exchange_id=f"exchange-{len(self.queried)}", facts=facts)

    def models(self) -> Sequence[KnownModel]:
        return self._answer(list(self.known_models))

    def _answer(self, answer: T) -> T:
        if self.refuses is not None:
            raise self.refuses
        return answer

    def operations(self, member_id: str | None) -> Operations:
        self.watched.append(member_id)
        return self._answer(self.running)

    def alive(self) -> bool:
        return self.refuses is None

    def approve_enterprise(self, registration: SignedDocument, operator: str, key: PrivateKey) -> int:
        if self.refuses is not None:
            raise self.refuses
        self.approved.append((registration, operator, key))
        return 40 + len(self.approved)


@dataclass
class Browser:
    """Keeps cookies, follows nothing, and sends forms as a page has them."""

    client: httpx.AsyncClient
    page: httpx.Response | None = None
    path: str = ""

    async def get(self, path: str) -> httpx.Response:
        self.page, self.path = await self.client.get(path), path
        return self.page

    async def post(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with the hidden fields of the page that is shown."""
        hidden = dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.page.text if self.page else "")
        )
        sent = {name: unescape(value) for name, value in hidden.items()} | fields
        answer = await self.client.post(path, data=sent, headers={"Origin": ORIGIN})
        if answer.status_code != 303:
            self.page, self.path = answer, path
        return answer


@dataclass
class World:
    """The portal, and how tests look into it."""

    portal: Portal
    hub: HubSimulator
    app: Any
    now_ms: list[int]
    browsers: list[httpx.AsyncClient] = field(default_factory=list)

    def browser(self, agent: str = "Firefox/130", address: str = "198.51.100.7") -> Browser:
        transport = httpx.ASGITransport(self.app, client=(address, 4711))
        client = httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"User-Agent": agent})
        self.browsers.append(client)
        return Browser(client)

    def later(self, seconds: float) -> None:
        self.now_ms[0] += round(1000 * seconds)

    def account(self, login: str, role: Role, institution: str = "hub") -> str:
        pem = b""
        if role is Role.ENTERPRISE:
            pem = encode_private_key(PrivateKey.generate(), secret_from_passphrase(PASSWORD), cost=2**14)
        new = service.NewAccount(
            login=login, role=role, institution=institution, name="王小明", password_hash=HASH, key_pem=pem
        )

        def write(connection: Connection) -> str:
            account_id = service.create(self.portal, connection, new)
            if role is Role.ENTERPRISE:
                connection.execute(insert(registrations), registered(account_id, institution))
            return account_id

        return self.portal.db.write_now(write)

    def code(self, account_id: str) -> str:
        row = self.portal.db.read_now(lambda connection: service.get(connection, account_id))
        secret = self.portal.keys.open("accounts", "totp", account_id, bytes(row.totp_sealed))
        return totp.code_at(secret, self.now_ms[0] // 1000)

    async def logged_in(self, login: str, role: Role, institution: str = "hub") -> Browser:
        """A browser in which a new account is logged in, with its second factor where the role needs one."""
        account_id = self.account(login, role, institution)
        browser = self.browser()
        await browser.get("/login")
        assert (await browser.post("/login", login=login, password=PASSWORD)).status_code == 303
        if role in SECOND_FACTOR:
            await browser.get("/login/code")
            assert (await browser.post("/login/code", code=self.code(account_id))).status_code == 303
        return browser


def registered(account_id: str, uscc: str) -> dict[str, Any]:
    """The row of an enterprise that was approved."""
    texts = dict.fromkeys(("first_reviewer", "first_reason", "second_reviewer", "second_reason"), "")
    times = {"submitted_ms": NOW_MS, "decided_ms": NOW_MS, "directory_index": 7}
    own = {
        "registration_id": str(uuid.uuid4()),
        "account_id": account_id,
        "uscc": uscc,
        "ent_name": "北京样例科技有限公司",
    }
    return own | texts | times | {"check_mismatch": 0, "state": "approved", "document": b""}


@asynccontextmanager
async def running_portal(home: Path, **changes: Any) -> AsyncIterator[World]:
    (home / "secret").write_text("0123456789abcdef" * 4)
    (home / "secret").chmod(0o600)
    now_ms, hub = [NOW_MS], HubSimulator()
    settings = Settings(home=home, **({"attempts_per_minute": 6000, "calls_per_minute": 60_000, "live_s": 0} | changes))
    portal = open_portal(settings, home / "secret", hub, lambda: now_ms[0])
    world = World(portal, hub, application(portal), now_ms)
    try:
        yield world
    finally:
        for client in world.browsers:
            await client.aclose()
        portal.db.close()
