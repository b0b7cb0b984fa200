"""The consents under which a bank may use data for an application.

A product wants items of the catalogue, in up to two purposes (`portal.products`); what the enterprise signed for them is kept with the
application as its session last saw it at the hub. Reviewers and banks have no key of the enterprise, so for them a consent is in force
if it was then, is not over, and was not withdrawn here since. That is for their information and order of work: the provider's node
decides by the log, and refuses whatever does not stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from consent.documents import Purpose
from portal.applications.application import Application
from portal.applications.tables import covering
from portal.consents import granting
from portal.consents import service as consents
from portal.consents.planning import ACTIVE
from portal.consents.tables import withdrawals
from portal.consents.wanted import Wanted, WantedItem
from portal.errors import PortalError
from portal.hub_link import Standing
from portal.principal import Principal
from portal.products.product import Product
from portal.state import Portal
from portal.text import Text

PURPOSES: Final = (Purpose.PRE_LOAN, Purpose.SCORING)


def wanted(application: Application, product: Product) -> Sequence[Wanted]:
    """What the bank wants to use for it, one for each purpose. Empty for a product that needs no data."""
    items = sorted(product.required_items, key=lambda each: PURPOSES.index(each.purpose))
    return [
        Wanted(
            user=application.institution,
            purpose=purpose,
            items=tuple(WantedItem(item_id=each.item_id, mode=each.mode) for each in together),
            application_no=application.application_no,
        )
        for purpose, together in groupby(items, key=lambda each: each.purpose)
    ]


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What the hub shows of an application's consents. `left`: what is to be signed next, if any; `missing`: what nobody offers."""

    left: Wanted | None
    standing: tuple[Standing, ...]
    missing: tuple[str, ...]


async def look(portal: Portal, who: Principal, application: Application, product: Product | None) -> Looked:
    """Ask the hub which consents stand for an application.

    Without a product, whatever the bank was allowed for this application counts. Raises KeyLocked, PortalError.
    """
    if product is None:
        given = await consents.listed(portal, who)
        meant = tuple(each for each in given if each.state == ACTIVE and _meant(each, application))
        return Looked(left=None, standing=meant, missing=())
    uses = wanted(application, product)
    found = [await granting.needed(portal, who, each) for each in uses]
    return Looked(
        left=next((use for use, each in zip(uses, found, strict=True) if each.to_sign), None),
        standing=tuple(one for each in found for one in each.standing),
        missing=tuple(one for each in found for one in each.missing),
    )


async def refresh(portal: Portal, who: Principal, application: Application, product: Product | None) -> Looked:
    """Look, and keep what was seen: what stands, once everything that is needed does; else what does not stand any more.

    Raises KeyLocked, PortalError.
    """
    looked, number = await look(portal, who, application, product), application.application_no
    standing = [each.consent.record_id for each in looked.standing]

    def write(connection: Connection) -> None:
        if looked.left is None and standing:
            keep(connection, number, looked.standing)
            return
        gone = (covering.c.application_no == number) & covering.c.record_id.not_in(standing)
        over = gone & (covering.c.ended_ms == 0)
        connection.execute(update(covering).where(over).values(ended_ms=portal.clock()))

    await portal.db.write(write)
    return looked


def _meant(each: Standing, application: Application) -> bool:
    purpose, users = each.consent.purpose, each.consent.recipients.data_users
    named = purpose.application_no in {None, application.application_no}
    return named and application.institution in users and purpose.purpose_code in PURPOSES


def keep(connection: Connection, application_no: str, standing: Sequence[Standing]) -> None:
    """Keep which consents cover it, as the hub showed them to the enterprise. Only inside `Database.write`."""
    connection.execute(delete(covering).where(covering.c.application_no == application_no))
    kept = {each.consent.record_id: each for each in standing}
    rows = [
        {
            "application_no": application_no,
            "record_id": record_id,
            "valid_to_ms": each.consent.limits.valid_to_ms,
            "ended_ms": 0 if each.state == ACTIVE else max(1, each.ended_ms),
        }
        for record_id, each in kept.items()
    ]
    if rows:
        connection.execute(insert(covering), rows)


def ended(connection: Connection, application_no: str, now_ms: int) -> tuple[int, int]:
    """How many consents cover it, and how many of them are over or withdrawn."""
    joined = covering.outerjoin(withdrawals, withdrawals.c.record_id == covering.c.record_id)
    columns = (covering.c.valid_to_ms, covering.c.ended_ms, withdrawals.c.time_ms)
    rows = connection.execute(
        select(*columns).select_from(joined).where(covering.c.application_no == application_no)
    ).all()
    over = [row for row in rows if row.ended_ms or row.valid_to_ms <= now_ms or row.time_ms is not None]
    return len(rows), len(over)


def require_live(connection: Connection, application_no: str, now_ms: int, *, some: bool) -> None:
    """Raise PortalError WRONG_STATE if a consent for this application was withdrawn or is over; `some`: or if there is none."""
    count, over = ended(connection, application_no, now_ms)
    if over:
        raise PortalError(
            "WRONG_STATE",
            Text(
                "The enterprise has withdrawn a consent for this application, or its time is over ({over} of {count}): no data may be "
                "used for it. It goes on when the enterprise consents again, or cancels.",
                over=over,
                count=count,
            ),
        )
    if some and not count:
        raise PortalError(
            "WRONG_STATE",
            Text(
                "The enterprise has given no consent for this application yet. Ask for it from your own node, naming the application's "
                "number; the enterprise answers under “My consents”."
            ),
        )
