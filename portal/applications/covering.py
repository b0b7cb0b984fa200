"""The consents under which a bank may use data for an application.

A product wants items of the catalogue, in up to two purposes (`portal.products`); what the enterprise signed for them is kept with the
application as its session last saw it at the hub. Reviewers and banks have no key of the enterprise, so for them a consent is in force
if it was then, is not over, and was not withdrawn here since. That is for their information and order of work: the provider's node
decides by the log, and refuses whatever does not stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import Connection, delete, insert, select, update

from consent.documents import Purpose
from portal.applications.application import Application
from portal.applications.tables import covering
from portal.consents import granting
from portal.consents import service as consents
from portal.consents.planning import ACTIVE
from portal.consents.tables import withdrawals
from portal.consents.wanted import Needed, Wanted, WantedItem
from portal.errors import PortalError
from portal.hub_link import Standing
from portal.principal import Principal
from portal.products.product import Product
from portal.state import Portal
from portal.text import Text

PURPOSES = (Purpose.PRE_LOAN, Purpose.SCORING)


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


async def needed(portal: Portal, who: Principal, uses: Sequence[Wanted]) -> Sequence[Needed]:
    """What stands of them and what is to be signed, in the same order. Raises KeyLocked, PortalError."""
    return [await granting.needed(portal, who, each) for each in uses]


async def refresh(portal: Portal, who: Principal, application: Application, product: Product | None) -> Wanted | None:
    """Look at the hub which consents stand for an application, and keep it; what is still to be signed first, None if nothing.

    Without a product, whatever the bank was allowed for this application counts. Raises KeyLocked, PortalError.
    """
    given = await consents.listed(portal, who)
    left: Wanted | None = None
    if product is None:
        standing = [each for each in given if each.state == ACTIVE and _meant(each, application)]
    else:
        uses = wanted(application, product)
        found = await needed(portal, who, uses)
        left = next((use for use, each in zip(uses, found, strict=True) if each.to_sign), None)
        standing = [one for each in found for one in each.standing]
    number = application.application_no

    def write(connection: Connection) -> None:
        if standing and left is None:
            keep(connection, number, standing)
            return
        for each in given:
            own = (covering.c.application_no == number) & (covering.c.record_id == each.consent.record_id)
            if each.state != ACTIVE:
                connection.execute(update(covering).where(own).values(ended_ms=max(1, each.ended_ms)))

    if application.submitted_ms or product is None:
        await portal.db.write(write)
    return left


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
