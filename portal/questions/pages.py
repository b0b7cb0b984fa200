"""Pages of experts' seats and of questions."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.content.kinds import PATHS, TITLES
from portal.errors import PortalError
from portal.forms import Filled, fill
from portal.permissions import Role
from portal.questions import fields, seats, service
from portal.states import ENDED
from portal.web.authorize import Who, only
from portal.web.once import once
from portal.web.pages import form_id, form_page, page, portal_of, see
from portal.web.sent import read_form


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_seats(app)
    _add_asking(app)
    _add_threads(app)
    _add_offer(app)


def _add_seats(app: FastAPI) -> None:
    @app.get("/experts")
    async def experts(request: Request) -> Response:
        """Show the experts' seats."""
        found = await portal_of(request).db.read(seats.listed)
        return page(request, "questions/experts.html", found=found, kinds=TITLES, paths=PATHS)

    @app.get("/seat")
    async def seat(request: Request, who: Who) -> Response:
        """Show one's own seat in its form."""
        found = await portal_of(request).db.read(lambda connection: seats.own(connection, who))
        given = {each.name: getattr(found, each.name) for each in fields.SEAT}
        return await _seat(request, who, Filled(given=given))

    @app.post("/seat")
    async def save(request: Request, who: Who) -> Response:
        """Take or change one's own seat."""
        portal, sent = portal_of(request), await read_form(request)
        filled, revision = fill(fields.SEAT, sent), sent.get("revision", "")
        try:
            given = filled.require()
            number = int(revision) if revision.isdecimal() and len(revision) < 10 else -1
            taken = seats.Seat(account_id=who.account_id, revision=number, **given)
            await portal.db.write(lambda connection: seats.save(portal, connection, who, taken))
        except PortalError as error:
            return await _seat(request, who, filled.with_faults(error.faults or {"": error.text}), error.status)
        return see("/experts")


async def _seat(request: Request, who: Who, filled: Filled, status: int = 200) -> Response:
    own = await portal_of(request).db.read(lambda connection: seats.own(connection, who))
    return form_page(request, "questions/seat.html", fields.SEAT, filled, status=status, revision=own.revision)


def _add_asking(app: FastAPI) -> None:
    @app.get("/experts/{account_id}/ask")
    async def asking(request: Request, account_id: str) -> Response:
        """Ask for a question."""
        return await _ask(request, account_id)

    @app.post("/experts/{account_id}/ask")
    async def ask(request: Request, who: Who, account_id: str) -> Response:
        """Send a question."""
        portal, sent = portal_of(request), await read_form(request)
        filled, form = fill(fields.ASK, sent), form_id(request, sent)
        if filled.faults:
            return await _ask(request, account_id, filled)
        given = filled.values

        def write(connection: Connection) -> str:
            asked = service.ask(portal, connection, who, account_id, given["subject"], given["text"])
            return f"/questions/{asked}"

        try:
            return see(await portal.db.write(lambda c: once(c, form, portal.clock(), lambda: write(c))))
        except PortalError as error:
            if error.code == "NOT_FOUND":
                raise
            return await _ask(request, account_id, filled.with_faults({"": error.text}), error.status)


async def _ask(request: Request, account_id: str, filled: Filled | None = None, status: int = 0) -> Response:
    seat = await portal_of(request).db.read(lambda connection: seats.get(connection, account_id))
    code = status or (422 if filled and filled.faults else 200)
    return form_page(request, "questions/ask.html", fields.ASK, filled, status=code, seat=seat)


def _add_threads(app: FastAPI) -> None:
    @app.get("/questions")
    async def listed(request: Request, who: Who) -> Response:
        """List one's own questions, or all for the audit."""
        portal, asked, everything = portal_of(request), service.LISTING.asked(request.query_params), _all(request, who)
        found = await portal.db.read(lambda c: service.listed(portal, c, who, asked, everything=everything))
        return page(
            request,
            "questions/list.html",
            found=found,
            listing=service.LISTING,
            asked=asked,
            choices=fields.CHOICES,
            states=fields.STATES,
            expert=who.role is Role.EXPERT,
            everything=everything,
        )

    @app.get("/questions/{question_id}")
    async def one(request: Request, who: Who, question_id: str) -> Response:
        """Show a question with all that was said."""
        return await _thread(request, who, question_id)

    @app.post("/questions/{question_id}/messages")
    async def write(request: Request, who: Who, question_id: str) -> Response:
        """Answer, or ask on."""
        portal, sent = portal_of(request), await read_form(request)
        filled, form, here = fill(fields.WRITE, sent), form_id(request, sent), f"/questions/{question_id}"
        if filled.faults:
            return await _thread(request, who, question_id, filled)
        text = filled.values["text"]

        def said(connection: Connection) -> str:
            service.write(portal, connection, who, question_id, text)
            return here

        return see(await portal.db.write(lambda c: once(c, form, portal.clock(), lambda: said(c))))

    @app.post("/questions/{question_id}/end")
    async def end(request: Request, who: Who, question_id: str) -> Response:
        """Close one's own question, and rate."""
        portal, filled = portal_of(request), fill(fields.END, await read_form(request))
        if filled.faults:
            return await _thread(request, who, question_id, filled)
        stars = filled.values["stars"]
        await portal.db.write(lambda connection: service.end(portal, connection, who, question_id, stars))
        return see(f"/questions/{question_id}")


async def _thread(request: Request, who: Who, question_id: str, filled: Filled | None = None) -> Response:
    portal, audit = portal_of(request), _all(request, who)
    if audit:
        found = await portal.db.write(lambda connection: service.audit(portal, connection, who, question_id))
    else:
        found = await portal.db.read(lambda connection: service.read(portal, connection, who, question_id))
    return form_page(
        request,
        "questions/thread.html",
        (*fields.WRITE, *fields.END),
        filled,
        one=found,
        states=fields.STATES,
        stars=fields.STARS,
        audit=audit,
        expert=who.role is Role.EXPERT,
        open=found.question.state != ENDED,
        answered=any(each.by_expert for each in found.messages),
    )


def _add_offer(app: FastAPI) -> None:
    @app.get("/questions/{question_id}/offer")
    async def offering(request: Request, who: Who, question_id: str) -> Response:
        """Ask for the text of a frequent question, with what was said to begin from."""
        portal = portal_of(request)
        found = await portal.db.read(lambda connection: service.read(portal, connection, who, question_id))
        answers = [each.text for each in found.messages if each.by_expert]
        given = {"title": found.question.subject, "body": answers[-1] if answers else ""}
        return _offer(request, question_id, Filled(given=given))

    @app.post("/questions/{question_id}/offer")
    async def offer(request: Request, who: Who, question_id: str) -> Response:
        """Hand the text to the editors."""
        portal, sent = portal_of(request), await read_form(request)
        filled, form = fill(fields.OFFER, sent), form_id(request, sent)

        def write(connection: Connection) -> str:
            service.offer(portal, connection, who, question_id, **filled.values)
            return f"/questions/{question_id}"

        try:
            filled.require()
            return see(await portal.db.write(lambda c: once(c, form, portal.clock(), lambda: write(c))))
        except PortalError as error:
            if not error.faults:
                raise
            return _offer(request, question_id, filled.with_faults(error.faults))


def _offer(request: Request, question_id: str, filled: Filled) -> Response:
    return form_page(request, "questions/offer.html", fields.OFFER, filled, question_id=question_id)


def _all(request: Request, who: Who) -> bool:
    """Whether the call reaches everybody's questions: the audit's does."""
    return only(request, who) is None
