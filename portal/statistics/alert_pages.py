"""The pages of alerts: a list that goes on by itself, one alert, the rules' thresholds; and the same as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel
from pydantic import Field as BodyField
from sqlalchemy import Connection, Row, Select, select

from portal.accounts.fields import REASON
from portal.applications.shown import ANY, tried
from portal.facts.names import industry_name
from portal.forms import Field, Filled, fill
from portal.parsers import among, edition, optional, plain, whole
from portal.permissions import Action, Need, Subject
from portal.states import ALERT
from portal.statistics import alerts as service
from portal.statistics.rules import PHASES, RULES
from portal.statistics.tables import alerts
from portal.text import Name, Text
from portal.web.authorize import Who, only
from portal.web.listing import Asked, Found, Listing, Order
from portal.web.live import events_of
from portal.web.pages import form_page, page, piece, portal_of, see
from portal.web.sent import read_form

TAG: Final = "alerts"
LIVE_WAIT_S: float = 5.0
LIVE_TIMES: int = 100
NEWEST: Final = 5
STATES: Final[Mapping[str, Text]] = {"open": Text("Open"), "seen": Text("Seen"), "closed": Text("Closed")}
ACTS: Final[Mapping[str, Text]] = {"see": Text("Mark as seen"), "close": Text("Close it")}
LISTING: Final = Listing(
    path="/alerts",
    filters=(
        Field(name="state", label=Text("State"), parse=optional(among(STATES)), longest=10, kind="choice"),
        Field(name="kind", label=Text("Rule"), parse=optional(among(RULES)), longest=40, kind="choice"),
        Field(name="institution", label=Text("Institution"), parse=plain, longest=60),
    ),
    orders=(Order(name="opened_ms", title=Text("Raised"), column=alerts.c.opened_ms),),
    key=alerts.c.alert_id,
    first="-opened_ms",
)
THRESHOLD: Final = (
    Field(name="threshold", label=Text("Alert from"), parse=whole(1, 10**6), longest=7, kind="digits"),
    Field(name="enabled", label=Text("In use"), parse=among(("1", "0")), longest=1, kind="choice"),
)


class Act(BaseModel):
    """`act`: see or close, with a reason. `version`: the one that was read."""

    version: int
    act: str = BodyField(max_length=10)
    reason: str = BodyField(default="", max_length=500)


class Set(BaseModel):
    """A rule's threshold for one's institution. `version`: the one that was read, 0 while there is none of one's own."""

    version: int
    threshold: int
    enabled: bool = True


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_reading(app)
    _add_acting(app)
    _add_rules(app)
    _add_api(app)


@dataclass(frozen=True)
class _Live:
    """What the list shows of what is open now; equal while nothing has changed."""

    newest: tuple[tuple[str, str, str, str, int, int], ...]
    more: bool


def _add_reading(app: FastAPI) -> None:
    @app.get("/alerts")
    async def listed(request: Request, who: Who) -> Response:
        """List alerts."""
        portal, asked, mine = portal_of(request), LISTING.asked(request.query_params), only(request, who)
        found = await portal.db.read(lambda c: LISTING.page(c, _wanted(mine, asked), asked))
        live = await portal.db.read(lambda c: _open(c, mine))
        choices = {
            "state": [ANY, *STATES.items()],
            "kind": [ANY, *((kind, rule.title) for kind, rule in RULES.items())],
        }
        shown: dict[str, Any] = {"listing": LISTING, "asked": asked, "found": found, "choices": choices, "live": live}
        return page(request, "statistics/alerts.html", **shown, **_context())

    @app.get("/alerts-live")
    async def going_on(request: Request, who: Who) -> Response:
        """Send what is open whenever it has changed (server-sent events)."""
        portal, mine = portal_of(request), only(request, who)

        async def changes() -> AsyncIterator[str]:
            latest = None
            for _ in range(LIVE_TIMES):
                newer = await portal.db.read(lambda c: _open(c, mine))
                if newer != latest:
                    yield piece(request, "statistics/open.html", live=newer, **_context())
                latest = newer
                await asyncio.sleep(LIVE_WAIT_S)

        return events_of(changes())

    @app.get("/alerts/{alert_id}")
    async def one(request: Request, who: Who, alert_id: str) -> Response:
        """Show one alert and what may be done with it."""
        return await _one(request, who, alert_id)


def _add_acting(app: FastAPI) -> None:
    @app.post("/alerts/{alert_id}")
    async def act(request: Request, who: Who, alert_id: str) -> Response:
        """See or close one."""
        portal, sent = portal_of(request), await read_form(request)
        version, name = edition(sent, "version"), sent.get("act", "")

        async def doing(given: Mapping[str, Any]) -> Response:
            await portal.db.write(lambda c: service.act_on(portal, c, who, alert_id, version, name, given["reason"]))
            return see(f"/alerts/{alert_id}")

        return await tried((REASON,), sent, doing, lambda filled, status: _one(request, who, alert_id, filled, status))


def _add_rules(app: FastAPI) -> None:
    @app.get("/alert-rules")
    async def rules(request: Request, who: Who) -> Response:
        """List the rules and their thresholds."""
        return await _rules(request, who)

    @app.post("/alert-rules/{kind}")
    async def set_rule(request: Request, who: Who, kind: str) -> Response:
        """Set a threshold of one's own institution."""
        portal, sent = portal_of(request), await read_form(request)
        version = edition(sent, "version")

        async def doing(given: Mapping[str, Any]) -> Response:
            values = {"threshold": given["threshold"], "enabled": given["enabled"] == "1"}
            await portal.db.write(lambda c: service.set_threshold(portal, c, who, kind, version, **values))
            return see("/alert-rules")

        return await tried(THRESHOLD, sent, doing, lambda filled, status: _rules(request, who, kind, filled, status))


def _add_api(app: FastAPI) -> None:
    @app.get("/api/v1/alerts", tags=[TAG])
    async def listed(request: Request, who: Who) -> dict[str, Any]:
        """The alerts, by the filters of their page."""
        asked, mine = LISTING.asked(request.query_params), only(request, who)
        found: Found = await portal_of(request).db.read(lambda c: LISTING.page(c, _wanted(mine, asked), asked))
        return {"rows": [dict(row._mapping) for row in found.rows], "following": found.following.partition("?")[2]}

    @app.post("/api/v1/alerts/{alert_id}", tags=[TAG])
    async def act(request: Request, who: Who, alert_id: str, body: Act) -> dict[str, Any]:
        """See or close one's own."""
        portal, reason = portal_of(request), fill((REASON,), {"reason": body.reason}).require()["reason"]
        await portal.db.write(lambda c: service.act_on(portal, c, who, alert_id, body.version, body.act, reason))
        row = await portal.db.read(lambda c: service.alert_of(c, alert_id, who.institution))
        return dict(row._mapping)

    @app.put("/api/v1/alert-rules/{kind}", tags=[TAG])
    async def set_rule(request: Request, who: Who, kind: str, body: Set) -> dict[str, Any]:
        """Set a threshold of one's own institution."""
        portal, values = portal_of(request), {"threshold": body.threshold, "enabled": body.enabled}
        await portal.db.write(lambda c: service.set_threshold(portal, c, who, kind, body.version, **values))  # type: ignore[arg-type]
        return {"kind": kind, "version": body.version + 1, **values}


async def _one(request: Request, who: Who, alert_id: str, filled: Filled | None = None, status: int = 200) -> Response:
    mine = who.only(Need(Action.QUERY, Subject.ALERTS))
    row = await portal_of(request).db.read(lambda c: service.alert_of(c, alert_id, mine))
    may = who.may(Need(Action.REVIEW, Subject.ALERTS)) and row.institution == who.institution
    acts = [(act, ACTS[act]) for (state, act) in ALERT.moves if state == row.state] if may else []
    return form_page(
        request, "statistics/alert.html", (REASON,), filled, status=status, one=row, acts=acts, **_context()
    )


async def _rules(
    request: Request, who: Who, kind: str = "", filled: Filled | None = None, status: int = 200
) -> Response:
    found = await portal_of(request).db.read(lambda c: service.rules_for(c, who.institution))
    return form_page(
        request,
        "statistics/rules.html",
        THRESHOLD,
        filled,
        status=status,
        rules=found,
        kind=kind,
        sets=who.may(Need(Action.MODIFY, Subject.ALERTS)),
        **_context(),
    )


def _wanted(mine: str | None, asked: Asked) -> Select[Any]:
    wanted = select(alerts)
    if mine is not None:
        wanted = wanted.where(alerts.c.institution == mine)
    names = ("state", "kind") if mine is not None else ("state", "kind", "institution")
    for name in names:
        if name in asked.values:
            wanted = wanted.where(alerts.c[name] == asked.values[name])
    return wanted


def _open(connection: Connection, mine: str | None) -> _Live:
    wanted = select(alerts).where(alerts.c.state == service.OPEN)
    if mine is not None:
        wanted = wanted.where(alerts.c.institution == mine)
    rows: list[Row[Any]] = list(connection.execute(wanted.order_by(alerts.c.opened_ms.desc()).limit(NEWEST + 1)).all())
    shown = tuple((r.alert_id, r.kind, r.subject, r.label, r.measured, r.opened_ms) for r in rows[:NEWEST])
    return _Live(shown, len(rows) > NEWEST)


def _context() -> dict[str, Any]:
    return {"rules_by_kind": RULES, "phases": PHASES, "alert_states": STATES, "subject_name": _subject_name}


def _subject_name(kind: str, subject: str, label: str) -> str | Name:
    return industry_name(subject) if kind == "concentration" else label or subject
