"""The portal as a process beside the demonstration's hub and nodes, filled before it starts, and how to get in."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from xinqiao.v1 import agent_pb2

from cli.clock import now_ms
from cli.demo.cohort import GOVERNMENT, GOVERNMENT_ITEM
from cli.demo.enterprises import Enterprise
from cli.demo.loans import OWNERS
from cli.demo.network import Network, command
from cli.demo.portal.market import Market, OperatorKey, go_on, make
from cli.demo.portal.past import Clock
from cli.demo.portal.people import PEOPLE
from cli.demo.portal.today import WAYS
from cli.hub_file import read_hub_file
from cli.operator import hub_settings, operator_file
from cli.portal_link import HubLinkByCall
from cli.secret import read_secret, secret_path
from consent.decision import ItemUse
from consent.documents import ItemMode
from portal.server import open_portal
from portal.settings import FILE_NAME, load_settings
from trust.keyfile import write_protected

ACCOUNTS: Final = "portal-accounts.json"
SHOWN: Final = 2
"""Enterprises whose accounts are printed; all others have the same password."""

_ATTEMPTS: Final = 240
"""Logins a minute: whoever looks at a demonstration is many people at one address."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody of the demonstration gets in. `secret`: of the second factor, empty for who needs none."""

    login: str
    role: str
    institution: str
    secret: str = ""


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """How to get in, as it is kept in the demonstration's folder. Everybody has the same password."""

    url: str
    password: str
    accounts: tuple[Account, ...]


def read_accounts(home: Path) -> Accounts:
    """What a running demonstration printed. Raises OSError, msgspec.DecodeError."""
    return msgspec.json.decode((home / ACCOUNTS).read_bytes(), type=Accounts)


@dataclass
class Site:
    """A portal of a network. `enterprises`: registered at the hub, the first `asked` with consents for the bank's queries.

    `share`: how large the past is, see `Lives.plan`.
    """

    network: Network
    enterprises: Sequence[Enterprise]
    say: Callable[[str], None]
    listen: str
    share: float = 1.0
    asked: int = len(WAYS)

    @property
    def home(self) -> Path:
        """The portal's folder."""
        return self.network.portal_home

    def start(self) -> Accounts:
        """Make, fill and start it. Raises DemoFailed."""
        made = command(
            *("portal", "init", "--home", str(self.home), "--hub", str(self.network.hub_home)),
            *("--hub-file", str(self.network.hub_file), "--listen", self.listen),
        )
        with (self.home / FILE_NAME).open("a", encoding="utf-8") as settings:
            settings.write(f"attempts_per_minute = {_ATTEMPTS}\n")
        password = f"demo-{secrets.token_hex(3)}-{secrets.token_hex(3)}"
        self.say(f"{len(self.enterprises)} enterprises register at the portal; two months go by (a minute or two)")
        market = asyncio.run(self._fill(password))
        self._ask_consent(self.enterprises[0])
        accounts = _accounts(str(made["url"]), password, market)
        write_protected(self.network.home / ACCOUNTS, msgspec.json.format(msgspec.json.encode(accounts), indent=2))
        self.network.start_portal()
        self.say(f"The portal answers at {accounts.url}")
        return accounts

    async def _fill(self, password: str) -> Market:
        settings = load_settings(self.home)
        link = HubLinkByCall(read_hub_file(self.network.hub_file), hub_settings(self.network.hub_home).socket)
        clock, began = Clock(0), now_ms()
        portal = open_portal(settings, secret_path(self.home), link, clock)
        try:
            operators = (self._operator("operator"), self._new_operator("operator-2"))
            market = await make(
                portal, clock, self.enterprises, operators, password=password, now_ms=began, share=self.share
            )
            portal.clock = now_ms
            portal.ring = type(portal.ring)(now_ms)
            await go_on(portal, market, market.firms[: self.asked], self._query)
        finally:
            portal.db.close()
        self.say(f"{len(market.firms)} enterprises, two banks and the hub's people have used the portal for 75 days")
        return market

    def _new_operator(self, name: str) -> OperatorKey:
        command("hub", "add-operator", name, "--home", str(self.network.hub_home), "--operator", "operator")
        return self._operator(name)

    def _operator(self, name: str) -> OperatorKey:
        pem = operator_file(self.network.hub_home, name).read_text(encoding="utf-8")
        return OperatorKey(operator=name, pem=pem, secret=read_secret(self.network.hub_home, None).decode())

    def _query(self, uscc: str, application_no: str) -> str:
        """The bank's node asks the government's for one application."""
        with self.network.agent("bank-1") as bank:
            request = agent_pb2.OpenQueryRequest(
                provider=GOVERNMENT,
                product_id=GOVERNMENT_ITEM.replace("_", "-"),
                items_json=_items(),
                purpose="pre_loan",
                reason="贷前核实",
                user="bank-staff",
                application_no=application_no,
            )
            exchange = str(bank.call("OpenQuery", request).exchange_id)
            bank.call("Query", agent_pb2.QueryRequest(exchange_id=exchange, uscc=uscc))
        return exchange

    def _ask_consent(self, enterprise: Enterprise) -> None:
        """The bank asks for something that is not consented to yet: it waits for the enterprise's answer."""
        with self.network.agent("bank-1") as bank:
            bank.call(
                "AskConsent",
                agent_pb2.AskConsentRequest(
                    uscc=enterprise.uscc,
                    provider=GOVERNMENT,
                    purpose="post_loan",
                    items_json=_items(),
                    reason="贷后检查",
                    valid_days=180,
                    max_uses=6,
                    data_life_days=90,
                ),
            )


def _items() -> bytes:
    return msgspec.json.encode((ItemUse(item_id=GOVERNMENT_ITEM, mode=ItemMode.Q, fields=OWNERS[GOVERNMENT_ITEM]),))


def _accounts(url: str, password: str, market: Market) -> Accounts:
    firms = [
        Account(login=firm.enterprise.uscc, role="enterprise", institution=firm.enterprise.name)
        for firm in market.firms[:SHOWN]
    ]
    applicants = [Account(login=code, role="applicant", institution="") for code in market.waiting[:1]]
    staff = [
        Account(
            login=person.login,
            role=person.role.value,
            institution=person.institution,
            secret=market.staff.secrets[person.login],
        )
        for person in PEOPLE
    ]
    return Accounts(url=url, password=password, accounts=(*firms, *applicants, *staff))
