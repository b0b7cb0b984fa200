"""Facts are told by the enterprise and kept under its code, whichever of its accounts told them.

of(portal, connection, uscc)                    what is known, with nothing in it before anything was told
keep(portal, connection, who, facts)            told anew; `facts.version` is the one that was shown
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select

from portal import events
from portal.errors import PortalError, form_fault
from portal.facts.facts import Facts
from portal.facts.tables import enterprise_facts
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
    figures = _Figures(employees=kept.employees, revenue_wan=kept.revenue_wan, assets_wan=kept.assets_wan)
    text = msgspec.json.encode(figures).decode()
    connection.execute(delete(enterprise_facts).where(enterprise_facts.c.uscc == who.institution))
    values = {
        "uscc": who.institution,
        "region": kept.region,
        "industry": kept.industry,
        "founded": kept.founded.isoformat() if kept.founded else "",
        "size": kept.size.value if kept.size else "",
        "figures_sealed": portal.keys.seal("enterprise_facts", "figures", who.institution, text),
        "version": kept.version,
        "changed_ms": now_ms,
    }
    connection.execute(insert(enterprise_facts), values)
    events.record(connection, now_ms, who.login, "facts_told", who.institution)
    return kept


def _row(connection: Connection, uscc: str) -> Row[Any] | None:
    return connection.execute(select(enterprise_facts).where(enterprise_facts.c.uscc == uscc)).first()
