"""The months before: from an empty portal to one with people, enterprises, products and applications in every state."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection, select

from cli.demo.enterprises import Enterprise
from cli.demo.portal import people, products
from cli.demo.portal.firms import TOGETHER, WAITING, Door, Firm
from cli.demo.portal.lives import Lives
from cli.demo.portal.past import DAY_MS, HOUR_MS, Clock, Past
from cli.demo.portal.people import FIRST, SECOND, Staff
from cli.demo.portal.today import Ask, Today
from portal.accounts import keys, notices
from portal.accounts.passwords import hash_password
from portal.accounts.tables import accounts
from portal.products import service
from portal.products.tables import versions
from portal.state import Portal

BEGIN_MS: Final = 75 * DAY_MS
"""So long ago the market began."""

_REGISTERED_MS: Final = 30 * DAY_MS
_LAST_MS: Final = 2 * HOUR_MS
_BETWEEN_PRODUCTS_MS: Final = 7 * HOUR_MS
_UNREAD_MS: Final = DAY_MS


@dataclass(frozen=True, kw_only=True)
class OperatorKey:
    """An operator's key file, for a reviewer. `secret`: what opens it."""

    operator: str
    pem: str
    secret: str


@dataclass(frozen=True, kw_only=True)
class Market:
    """What came of it. `waiting`: codes of enterprises whose registration waits for a decision."""

    staff: Staff
    firms: tuple[Firm, ...]
    waiting: tuple[str, ...]


async def make(
    portal: Portal,
    clock: Clock,
    enterprises: Sequence[Enterprise],
    operators: tuple[OperatorKey, OperatorKey],
    *,
    password: str,
    now_ms: int,
    share: float = 1.0,
) -> Market:
    """Let the past happen, from `BEGIN_MS` ago to `now_ms`. `portal`: empty, with this clock; `share`: see `Lives.plan`."""
    clock.go(now_ms - BEGIN_MS)
    kept = await asyncio.to_thread(hash_password, password)
    staff = await asyncio.to_thread(people.employ, portal, kept)
    for person, operator in zip((FIRST, SECOND), operators, strict=True):
        await keys.keep_operator_key(
            portal,
            staff[person],
            operator=operator.operator,
            pem=operator.pem,
            secret=operator.secret,
            password=password,
        )
    clock.go(clock() + DAY_MS)
    codes = []
    for bank, answers in products.OFFERED:
        codes.append(await portal.db.write(partial(_publish, portal, staff, bank, answers)))
        clock.go(clock() + _BETWEEN_PRODUCTS_MS)
    door = Door(portal, clock, staff, password, kept)
    rounds = max(1, -(-len(enterprises) // TOGETHER))
    firms = await door.let_in(enterprises, max(0, _REGISTERED_MS // rounds - 3 * HOUR_MS))
    offered = await portal.db.read(lambda connection: [service.get(connection, code) for code in codes])
    past = Past(portal, clock)
    plain = [product for product in offered if not product.required_items]
    Lives(past, staff, firms, plain, now_ms - _LAST_MS).plan(share)
    past.at(now_ms - 2 * _UNREAD_MS, lambda connection: products.leave_others(portal, connection, staff))
    past.at(now_ms - _UNREAD_MS, lambda connection: _read_all(connection, clock()))
    await asyncio.to_thread(past.play)
    waiting = await door.leave_waiting(max(0, now_ms - clock()) // (len(WAITING) + 1))
    return Market(staff=staff, firms=tuple(firms), waiting=tuple(waiting))


async def go_on(portal: Portal, market: Market, firms: Sequence[Firm], ask: Ask) -> None:
    """What happens now, under the real clock, for the product that wants data."""
    code = await portal.db.read(_with_data)
    product = await portal.db.read(lambda connection: service.get(connection, code))
    chance = random.Random("today")  # noqa: S311 (invented data)
    await Today(portal, market.staff, product, ask, chance).apply(firms)


def _publish(portal: Portal, staff: Staff, bank: str, answers: products.Answers, connection: Connection) -> str:
    return products.publish(portal, connection, staff, bank, answers)


def _with_data(connection: Connection) -> str:
    wanted = select(versions.c.product_code).where(versions.c.product_name == products.WITH_DATA)
    return str(connection.execute(wanted).scalar_one())


def _read_all(connection: Connection, now_ms: int) -> None:
    """Everybody has read what came until now."""
    for account_id in connection.execute(select(accounts.c.account_id)).scalars().all():
        notices.mark_read(connection, account_id, now_ms)
