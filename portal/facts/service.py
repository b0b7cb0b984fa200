"""Facts are told by the enterprise and kept under its code, whichever of its accounts told them.

of(portal, connection, uscc)                    what is known, with nothing in it before anything was told
keep(portal, connection, who, facts)            told anew; `facts.version` is the one that was shown
know(portal, connection, uscc, …)               what its registration says: kept beside, and as told where nothing was told before
registered(connection, uscc)                    which of its fields the registration fills, and how
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select

from portal import events
from portal.errors import PortalError, form_fault
from portal.facts.facts import Facts
from portal.facts.fields import FROM_REGISTRATION
from portal.facts.tables import enterprise_facts, registered_facts
from portal.forms import fill
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text
from portal.today import today


class _Figures(msgspec.Struct, frozen=True, kw_only=True):
    employees: int | None
    revenue_wan: Decimal | None
    assets_wan: Decimal | None


def of(portal: Portal, connection: Connection, uscc: str) -> Facts:
    """What an enterprise told."""
    row = _row(connection, uscc)
    if row is None:
        return Facts()
    text = portal.keys.open("enterprise_facts", "figures", uscc, bytes(row.figures_sealed))
    figures = msgspec.json.decode(text, type=_Figures)
    return Facts(
        region=row.region,
        industry=row.industry,
        founded=date.fromisoformat(row.founded) if row.founded else None,
        employees=figures.employees,
        revenue_wan=figures.revenue_wan,
        assets_wan=figures.assets_wan,
        version=row.version,
    )


def keep(portal: Portal, connection: Connection, who: Principal, facts: Facts) -> Facts:
    """Tell the facts of one's own enterprise anew; returns them with their new version. Only inside `Database.write`.

    Raises PortalError STALE if they were told anew since `facts.version`, INVALID_ARGUMENT for an enterprise of tomorrow.
    """
    row, now_ms = _row(connection, who.institution), portal.clock()
    if facts.founded is not None and facts.founded > today(now_ms):
        raise form_fault("founded", Text("This day has not come yet."))
    if facts.version != (row.version if row is not None else 0):
        raise PortalError(
            "STALE",
            Text("Somebody else of your enterprise changed this meanwhile. Compare with what is there now, then save."),
        )
    kept = msgspec.structs.replace(facts, version=facts.version + 1)
    _write(portal, connection, who.institution, kept)
    events.record(connection, now_ms, who.login, "facts_told", who.institution)
    return kept


def know(portal: Portal, connection: Connection, uscc: str, region: str, industry: str, founded: date | None) -> None:
    """Keep what an enterprise's registration says, as far as it can be read. Only inside `Database.write`."""
    given = {"region": region, "industry": industry, "founded": founded.isoformat() if founded else ""}
    read = {name: value for name, value in fill(FROM_REGISTRATION, given).values.items() if value}
    day = read.get("founded")
    row = {"uscc": uscc, "region": read.get("region", ""), "industry": read.get("industry", "")}
    row |= {"founded": day.isoformat() if day else "", "checked_ms": portal.clock()}
    connection.execute(delete(registered_facts).where(registered_facts.c.uscc == uscc))
    connection.execute(insert(registered_facts), row)
    own = of(portal, connection, uscc)
    new = {name: value for name, value in read.items() if not getattr(own, name)}
    if new:
        _write(portal, connection, uscc, msgspec.structs.replace(own, **new, version=own.version + 1))


def registered(connection: Connection, uscc: str) -> Mapping[str, str]:
    """What is registered, by the form's names of fields; what is not known is left out."""
    row = connection.execute(select(registered_facts).where(registered_facts.c.uscc == uscc)).first()
    if row is None:
        return {}
    found = {"region": row.region, "industry": row.industry, "founded": row.founded}
    return {name: value for name, value in found.items() if value}


def _write(portal: Portal, connection: Connection, uscc: str, kept: Facts) -> None:
    figures = _Figures(employees=kept.employees, revenue_wan=kept.revenue_wan, assets_wan=kept.assets_wan)
    text = msgspec.json.encode(figures).decode()
    connection.execute(delete(enterprise_facts).where(enterprise_facts.c.uscc == uscc))
    values = {
        "uscc": uscc,
        "region": kept.region,
        "industry": kept.industry,
        "founded": kept.founded.isoformat() if kept.founded else "",
        "size": kept.size.value if kept.size else "",
        "figures_sealed": portal.keys.seal("enterprise_facts", "figures", uscc, text),
        "version": kept.version,
        "changed_ms": portal.clock(),
    }
    connection.execute(insert(enterprise_facts), values)


def _row(connection: Connection, uscc: str) -> Row[Any] | None:
    return connection.execute(select(enterprise_facts).where(enterprise_facts.c.uscc == uscc)).first()
