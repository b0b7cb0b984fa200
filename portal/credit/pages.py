"""The ledger's pages for banks and the supervisor, and the enterprise's own credit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import Connection, Row, select

from portal.accounts.fields import REASON
from portal.applications import covering
from portal.applications.moving import By, by, grant_of, visible
from portal.applications.shown import as_typed, tried
from portal.credit import export, ledger, words
from portal.credit.acts import DECIDED, ENTERED, Act, act_of
from portal.credit.keeping import RUNNING, entries_of, figures, line_of
from portal.credit.shown import choices, context
from portal.credit.tables import lines
from portal.errors import PortalError, not_found
from portal.forms import Field, Filled
from portal.parsers import edition
from portal.permissions import Action, Need, Subject
from portal.states import GRANTED
from portal.today import today
from portal.web.authorize import Who, only
from portal.web.doing import do_once
from portal.web.pages import form_page, page, portal_of
from portal.web.sent import read_form


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_ledger(app)
    _add_line(app)
    _add_own(app)


def _add_ledger(app: FastAPI) -> None:
    @app.get("/credit")
    async def listed(request: Request, who: Who) -> Response:
        """List lines of credit."""
        return await _ledger(request, who)

    @app.post("/credit-export")
    async def exported(request: Request, who: Who) -> Response:
        """Give the lines that the query asks for as a file."""
        portal, asked, bank = portal_of(request), ledger.LEDGER.asked(request.query_params), only(request, who)

        async def act(given: Mapping[str, Any]) -> Response:
            asked.filled.require()
            one = await export.begin(portal, who, request.url.query, given["reason"])
            rows = ledger.wanted(bank, asked, today(one.time_ms))
            named = {"Content-Disposition": f'attachment; filename="{one.file_name}"', "X-Request-Id": one.request_id}
            return StreamingResponse(
                export.pieces(portal, one, rows), media_type="text/csv; charset=utf-8", headers=named
            )

        sent = await read_form(request)
        return await tried((REASON,), sent, act, lambda filled, status: _ledger(request, who, filled, status))


async def _ledger(request: Request, who: Who, filled: Filled | None = None, status: int = 200) -> Response:
    portal, asked, bank = portal_of(request), ledger.LEDGER.asked(request.query_params), only_of(who)
    now = today(portal.clock())
    found = await portal.db.read(lambda connection: ledger.page(connection, bank, asked, now))
    return form_page(
        request,
        "credit/ledger.html",
        (REASON,),
        filled,
        status=status,
        listing=ledger.LEDGER,
        asked=asked,
        found=found,
        choices=choices(),
        query=request.url.query,
        now=now,
        **context(),
    )


def _add_line(app: FastAPI) -> None:
    @app.get("/credit/{application_no}")
    async def one(request: Request, who: Who, application_no: str) -> Response:
        """Show a line, or a grant that has none yet, and what may be done with it."""
        return await _one(request, who, application_no)

    @app.post("/credit/{application_no}/entries/{name}")
    async def entered(request: Request, who: Who, application_no: str, name: str) -> Response:
        """Enter what a form of the line's page says."""
        return await _do(request, who, application_no, name, act_of(ENTERED, name))

    @app.post("/credit/{application_no}/decisions/{name}")
    async def decided(request: Request, who: Who, application_no: str, name: str) -> Response:
        """Confirm, send back, or end."""
        return await _do(request, who, application_no, name, act_of(DECIDED, name))


def _add_own(app: FastAPI) -> None:
    @app.get("/my-credit")
    async def own(request: Request, who: Who) -> Response:
        """List one's own credit."""
        portal, asked = portal_of(request), ledger.OWN.asked(request.query_params)
        found = await portal.db.read(lambda connection: ledger.own(connection, who.institution, asked))
        return page(request, "credit/own.html", found=found, **context())

    @app.get("/my-credit/{application_no}")
    async def own_line(request: Request, who: Who, application_no: str) -> Response:
        """Show one of one's own lines: what is drawn, repaid and due."""
        portal = portal_of(request)
        row, happened = await portal.db.read(lambda connection: own_of(connection, who.institution, application_no))
        now = today(portal.clock())
        return page(request, "credit/own_line.html", one=row, entries=happened, now=now, **context())


def own_of(connection: Connection, uscc: str, application_no: str) -> tuple[Row[Any], list[Any]]:
    """An enterprise's confirmed line and what it may read of its history. Raises PortalError NOT_FOUND."""
    row = line_of(connection, application_no, None)
    if row.uscc != uscc or not row.opened_ms:
        raise not_found()
    entries = entries_of(connection, application_no, names=False)
    return row, [each for each in entries if each.kind not in words.INTERNAL]


async def _do(request: Request, who: Who, application_no: str, name: str, act: Act) -> Response:
    portal, sent = portal_of(request), await read_form(request)
    version, mover, before = edition(sent, "version"), by(who), prefix(name)

    async def doing(given: Mapping[str, Any]) -> Response:
        plain = {each.removeprefix(before): value for each, value in given.items()}

        def write(connection: Connection) -> str:
            act.do(portal, connection, mover, application_no, version, plain)
            return f"/credit/{application_no}"

        try:
            return await do_once(request, sent, write)
        except PortalError as error:
            faults = {each if each == "version" else before + each: text for each, text in error.faults.items()}
            raise PortalError(error.code, error.text, faults=faults) from error

    return await tried(
        on_page(name, act), sent, doing, lambda filled, status: _one(request, who, application_no, filled, status)
    )


def on_page(name: str, act: Act) -> Sequence[Field]:
    """An act's fields beside those of other acts: with its name before theirs, since a page has each once."""
    return [replace(each, name=prefix(name) + each.name) for each in act.asks]


def prefix(name: str) -> str:
    """What stands before the names of an act's fields."""
    return f"{name.replace('-', '_')}_"


async def _one(
    request: Request, who: Who, application_no: str, filled: Filled | None = None, status: int = 200
) -> Response:
    portal = portal_of(request)
    bank = only_of(who)

    def read(connection: Connection) -> dict[str, Any]:
        wanted = select(lines).where(lines.c.application_no == application_no)
        row = connection.execute(wanted).first()
        if row is not None and bank is not None and row.institution != bank:
            raise not_found()
        return {
            "one": row if row is not None else _granted(connection, application_no, by(who)),
            "line": row,
            "grant": grant_of(connection, application_no),
            "entries": entries_of(connection, application_no),
            "consents": covering.ended(connection, application_no, portal.clock()),
        }

    shown = await portal.db.read(read)
    row, one = shown["line"], shown["one"]
    enters, decides = (who.may(Need(action, Subject.CREDIT)) for action in (Action.ENTRY, Action.APPROVE))
    pending = row.pending if row is not None else ""
    acts = {**ENTERED, **DECIDED}
    asked = {name: on_page(name, act) for name, act in acts.items()}
    free = enters and not pending
    return form_page(
        request,
        "credit/line.html",
        [each for several in asked.values() for each in several],
        filled or Filled(given=_first(row, shown["grant"], one)),
        status=status,
        asked=asked,
        version=row.version if row is not None else 0,
        contracting=enters and one.state == GRANTED and not pending,
        drawing=free and one.state in {"contracted", "drawn", "repaying"},
        running=free and one.state in RUNNING,
        confirming=bool(decides and pending and row.pending_by != who.login),
        own_work=bool(decides and pending and row.pending_by == who.login),
        ending=decides and one.state in {GRANTED, "contracted"} and not pending,
        figures=figures(row) if row is not None else None,
        choices={
            "contract_first_loan": [("0", words.YES_NO["0"]), ("1", words.YES_NO["1"])],
            "class5_class5": choices()["class5"],
        },
        now=today(portal.clock()),
        **shown,
        **context(),
    )


def only_of(who: Who) -> str | None:
    """The institution that a reader of credit must keep to, None for all."""
    return who.only(Need(Action.QUERY, Subject.CREDIT))


def _granted(connection: Connection, application_no: str, mover: By) -> Row[Any]:
    row = visible(connection, application_no, mover)
    if grant_of(connection, application_no) is None:
        raise not_found()
    return row


def _first(row: Row[Any] | None, grant: Any, one: Row[Any]) -> dict[str, str]:  # noqa: ANN401 (a Grant)
    """What the contract's form begins with: the grant, or what was entered before."""
    if row is None or one.state != GRANTED:
        return {"contract_amount": as_typed(grant.limit_fen) if grant and one.state == GRANTED else ""}
    names = ("contract_no", "branch", "signed_on", "begins_on", "ends_on")
    typed = {f"contract_{name}": getattr(row, name) for name in names}
    return typed | {"contract_amount": as_typed(row.limit_fen), "contract_first_loan": str(row.first_loan)}
