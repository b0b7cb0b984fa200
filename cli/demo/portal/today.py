"""Applications of this hour for a product that wants data: the consents stand in the log, and the bank's node asks for real."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import Connection

from cli.demo.portal.firms import Firm
from cli.demo.portal.lives import draft, grant
from cli.demo.portal.people import APPROVERS, FIRST, SECOND, STAFF, Staff
from portal.applications import covering, lending, review, service
from portal.applications.moving import by, get, visible
from portal.consents import asking
from portal.principal import Principal
from portal.products.product import Product
from portal.state import Portal

T = TypeVar("T")
Ask = Callable[[str, str], str]
"""Queries a bank's node about (code, application_no); the exchange's id."""

WAYS: Final = (
    *("grant", "draft", "push", "grant", "accept", "submit", "find", "refuse"),
    *("endorse", "grant", "push", "submit", "find", "accept", "grant", "find"),
)
"""Up to where each enterprise's application gets, the first enterprise's first. The second one has withdrawn its consent."""

_ORDER: Final = ("submit", "endorse", "push", "accept", "find", "grant")


@dataclass(frozen=True)
class Today:
    """What it takes. `portal`: under the real clock."""

    portal: Portal
    staff: Staff
    product: Product
    ask: Ask
    chance: random.Random

    async def apply(self, firms: Sequence[Firm]) -> None:
        """An application of each enterprise, as far as its way goes, at most as many as there are ways."""
        for firm, way in zip(firms, WAYS, strict=False):
            number = await self._write(lambda c, firm=firm: draft(self.portal, c, firm, self.product, self.chance))  # type: ignore[misc]
            for act in _ORDER[: _ORDER.index("grant" if way == "refuse" else way) + 1] if way != "draft" else ():
                await self._do(firm, number, "refuse" if act == "grant" and way == "refuse" else act)

    async def verify(self, firm: Firm, number: str) -> None:
        """The enterprise looks into its own record for the exchanges that the bank named."""
        self.portal.ring.hold(firm.who.session_id, firm.enterprise.key)
        found = {each.receipt.exchange_id for each in (await asking.uses(self.portal, firm.who)).uses}
        await self._write(lambda c: lending.verify(c, number, found, self.portal.clock()))

    async def _do(self, firm: Firm, number: str, act: str) -> None:
        portal, bank = self.portal, self.product.institution
        match act:
            case "submit":
                await self._submit(firm, number)
            case "endorse":
                await self._by(number, self.staff[FIRST], review.give_opinion, "endorse", "材料齐全，授权有效")
            case "push":
                await self._by(number, self.staff[SECOND], review.decide, "push", "符合产品条件")
            case "accept":
                await self._by(number, self.staff[STAFF[bank]], lending.answer, "accept", "受理")
            case "find":
                await self._find(firm, number)
            case "grant":
                mover = by(self.staff[APPROVERS[bank]])
                await self._write(lambda c: grant(portal, c, mover, number, self.product, self.chance))
            case _:
                approver = self.staff[APPROVERS[bank]]
                await self._by(number, approver, lending.refuse, "history", "近两年逾期次数较多")

    async def _submit(self, firm: Firm, number: str) -> None:
        """Under the consents that the hub shows to the enterprise's own key."""
        portal, mover = self.portal, by(firm.who)
        portal.ring.hold(firm.who.session_id, firm.enterprise.key)
        found = await portal.db.read(lambda c: get(portal, c, number, mover))
        looked = await covering.look(portal, firm.who, found, self.product)
        await self._write(lambda c: service.submit(portal, c, mover, number, found.version, looked.standing))

    async def _find(self, firm: Firm, number: str) -> None:
        portal, mover = self.portal, by(self.staff[STAFF[self.product.institution]])
        exchange = self.ask(firm.enterprise.uscc, number)

        def write(connection: Connection) -> None:
            lending.investigate(portal, connection, mover, number, visible(connection, number, mover).version)
            version = visible(connection, number, mover).version
            said = {"kind": "query", "exchange_id": exchange, "agrees": "yes", "note": ""}
            lending.find(portal, connection, mover, number, version, **said)

        await self._write(write)
        await self.verify(firm, number)

    async def _by(self, number: str, who: Principal, move: Callable[..., None], *said: str) -> None:
        def write(connection: Connection) -> None:
            move(self.portal, connection, by(who), number, *said, visible(connection, number, by(who)).version)

        await self._write(write)

    async def _write(self, function: Callable[[Connection], T]) -> T:
        return await self.portal.db.write(function)
