"""The platform's side: two reviewers look at every application before a bank sees it.

Rules:
1. The first reviewer endorses or objects, another one passes it on, returns it, rejects it, or has it looked at again; each says why.
2. It is passed on only while the bank has every consent that the product needs.
3. The hub sees no data. What is compared with the enterprise's word is what the platform itself knows; comparing with providers'
   data is the bank's, at its own node, and only whether they agree is told here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from portal.applications import covering
from portal.applications.application import Application, Difference
from portal.applications.moving import By, move, shown, visible
from portal.applications.tables import applications
from portal.errors import PortalError
from portal.facts import service as facts
from portal.facts.facts import Facts
from portal.facts.names import MEASURES, SIZES, industry_name, number, region_name
from portal.products import service as products
from portal.products.eligibility import region_within
from portal.state import Portal
from portal.text import Name, Text

OPINIONS: Final = ("endorse", "object")
DECISIONS: Final = ("push", "return", "reject", "look_again")
DAY_MS: Final = 24 * 3600 * 1000
_REGISTRY: Final = Text("region in its credit code")
_BEFORE: Final = Text("its previous application")
_NOW: Final = Text("its facts today")


def give_opinion(
    portal: Portal, connection: Connection, mover: By, application_no: str, act: str, reason: str, version: int
) -> None:
    """The first reviewer endorses or objects. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, STALE."""
    allowed = act if act in OPINIONS else ""
    move(portal, connection, application_no, allowed, mover, reason, version=version, reviewer=mover.login)


def decide(
    portal: Portal, connection: Connection, mover: By, application_no: str, act: str, reason: str, version: int
) -> None:
    """Another reviewer decides. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, PERMISSION_DENIED, STALE."""
    row = visible(connection, application_no, mover, version)
    if row.reviewer == mover.login:
        raise PortalError("PERMISSION_DENIED", Text("You gave the first opinion; another reviewer decides."))
    values = _pushing(portal, connection, row) if act == "push" else {}
    move(
        portal,
        connection,
        application_no,
        act if act in DECISIONS else "",
        mover,
        reason,
        version=version,
        **values,
    )


def _pushing(portal: Portal, connection: Connection, row: Row[Any]) -> dict[str, object]:
    now_ms = portal.clock()
    covering.require_live(connection, row.application_no, now_ms, some=False)
    product = products.version_of(connection, row.product_code, row.product_version)
    return {"pushed_ms": now_ms, "due_ms": now_ms + product.processing_days * DAY_MS}


def differences(portal: Portal, connection: Connection, application: Application) -> Sequence[Difference]:
    """What the enterprise told now, where the platform knows otherwise."""
    found = list(compare_registry(application))
    before = _previous(connection, application)
    if before is not None:
        found += compare(application.told, shown(portal, before).told, _BEFORE)
    found += compare(application.told, facts.of(portal, connection, application.uscc), _NOW)
    return found


def compare_registry(application: Application) -> Sequence[Difference]:
    """The region that was told beside the one in the code (GB 32100: characters 3 to 8 are the registering authority's)."""
    code, told = application.uscc[2:8], application.told.region
    if not told or region_within(told, f"{code[:2]}0000"):
        return []
    return [
        Difference(field=Text("Region"), told=_told(region_name(told)), known=_told(_region(code)), source=_REGISTRY)
    ]


def compare(told: Facts, known: Facts, source: Text) -> Sequence[Difference]:
    """Each fact that differs, where both are known."""
    pairs = [
        (Text("Region"), _region(told.region), _region(known.region)),
        (Text("Industry"), _industry(told.industry), _industry(known.industry)),
        (Text("Founded"), _date(told), _date(known)),
        (Text("Size"), _size(told), _size(known)),
    ]
    for name, (title, unit) in MEASURES.items():
        mine, theirs = (getattr(each, name) for each in (told, known))
        pairs.append((title, _measure(mine, unit), _measure(theirs, unit)))
    return [
        Difference(field=field, told=_told(one), known=_told(other), source=source)
        for field, one, other in pairs
        if one and other and one != other
    ]


def _previous(connection: Connection, application: Application) -> Row[Any] | None:
    mine = (applications.c.uscc == application.uscc) & (applications.c.application_no != application.application_no)
    earlier = mine & (applications.c.submitted_ms > 0) & (applications.c.created_ms < application.created_ms)
    return connection.execute(
        select(applications).where(earlier).order_by(applications.c.created_ms.desc()).limit(1)
    ).first()


def _told(value: Text | Name | str) -> Text:
    return Text("{told}", told=value)


def _region(code: str) -> Name | str:
    try:
        return region_name(code) if code else ""
    except KeyError:
        return code


def _industry(code: str) -> Name | str:
    return industry_name(code) if code else ""


def _size(one: Facts) -> Text | str:
    return SIZES[one.size] if one.size is not None else ""


def _date(one: Facts) -> str:
    return one.founded.isoformat() if one.founded is not None else ""


def _measure(value: Any, unit: Text) -> Text | str:  # noqa: ANN401 (a count or an amount)
    return "" if value is None else Text("{number} {unit}", number=number(value), unit=unit)
