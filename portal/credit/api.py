"""The JSON API of credit: the same functions as the pages', the same permissions, the same form token."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection, Row

from portal.applications.moving import by
from portal.credit import ledger
from portal.credit.acts import DECIDED, ENTERED, Act, act_of
from portal.credit.keeping import entries_of, figures, line_of
from portal.credit.pages import only_of, own_of
from portal.forms import fill
from portal.today import today
from portal.web.authorize import Who, only
from portal.web.listing import Found
from portal.web.pages import portal_of

TAG = "credit"
_OF_THE_BANK = frozenset({"account_id", "pending", "pending_by", "pending_reason", "class5", "consent_ids", "version"})


class Entered(BaseModel):
    """What a form of the page says, by the names of its fields (amounts in CNY 10,000). `version`: the one read, 0 for none."""

    version: int = Field(ge=0, le=10**9)
    answers: dict[str, str] = Field(default_factory=dict, max_length=20)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/api/v1/credit", tags=[TAG])
    async def listed(request: Request, who: Who) -> dict[str, Any]:
        """The ledger, by the filters and orders of its page. `following`: the page after, as its query."""
        portal, asked, bank = portal_of(request), ledger.LEDGER.asked(request.query_params), only(request, who)
        now = today(portal.clock())
        return _page(await portal.db.read(lambda c: ledger.page(c, bank, asked, now)))

    @app.get("/api/v1/credit/{application_no}", tags=[TAG])
    async def one(request: Request, who: Who, application_no: str) -> dict[str, Any]:
        """One line and its history."""
        return await _told(request, who, application_no)

    @app.post("/api/v1/credit/{application_no}/entries/{name}", tags=[TAG])
    async def entered(request: Request, who: Who, application_no: str, name: str, body: Entered) -> dict[str, Any]:
        """Enter: contract, drawdown, repayment, overdue, class5, settlement, write-off."""
        return await _do(request, who, application_no, act_of(ENTERED, name), body)

    @app.post("/api/v1/credit/{application_no}/decisions/{name}", tags=[TAG])
    async def decided(request: Request, who: Who, application_no: str, name: str, body: Entered) -> dict[str, Any]:
        """Decide: confirm, send-back, terminate."""
        return await _do(request, who, application_no, act_of(DECIDED, name), body)

    @app.get("/api/v1/my-credit", tags=[TAG])
    async def own(request: Request, who: Who) -> dict[str, Any]:
        """One's own lines: limits, what is drawn, repaid and due."""
        asked = ledger.OWN.asked(request.query_params)
        found = _page(await portal_of(request).db.read(lambda c: ledger.own(c, who.institution, asked)))
        return found | {"rows": [_without(each) for each in found["rows"]]}

    @app.get("/api/v1/my-credit/{application_no}", tags=[TAG])
    async def own_line(request: Request, who: Who, application_no: str) -> dict[str, Any]:
        """One of one's own lines and its history."""
        row, entries = await portal_of(request).db.read(lambda c: own_of(c, who.institution, application_no))
        return _without(_line(row)) | {"entries": [_entry(each) for each in entries]}


async def _do(request: Request, who: Who, application_no: str, act: Act, body: Entered) -> dict[str, Any]:
    portal, given = portal_of(request), fill(act.asks, body.answers).require()
    await portal.db.write(lambda c: act.do(portal, c, by(who), application_no, body.version, given))
    return await _told(request, who, application_no)


async def _told(request: Request, who: Who, application_no: str) -> dict[str, Any]:
    bank = only_of(who)

    def read(connection: Connection) -> dict[str, Any]:
        row = line_of(connection, application_no, bank)
        return _line(row) | {"entries": [_entry(each) for each in entries_of(connection, application_no)]}

    return await portal_of(request).db.read(read)


def _page(found: Found) -> dict[str, Any]:
    return {"rows": [_line(row) for row in found.rows], "following": found.following.partition("?")[2]}


def _line(row: Row[Any]) -> dict[str, Any]:
    line = figures(row)
    return dict(row._mapping) | {"used_fen": line.used_fen, "available_fen": line.available_fen}


def _without(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in _OF_THE_BANK}


def _entry(entry: Any) -> dict[str, Any]:  # noqa: ANN401 (an Entry)
    return {name: getattr(entry, name) for name in entry.__dataclass_fields__}
