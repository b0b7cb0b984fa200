"""Pages of registration: the enterprise's questions one a page, its state, and the reviewers' queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.accounts.passwords import require_strong
from portal.errors import PortalError, not_found
from portal.facts.names import industry_name, region_name
from portal.forms import Filled, Wrong, fill
from portal.parsers import industry, region
from portal.registration import checks, fields, queue, service
from portal.states import REGISTRATION, SUBMITTED
from portal.text import Name, Text
from portal.web.authorize import Who
from portal.web.once import once, was_sent
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import read_file, read_form
from portal.web.visits import visit_of

STATES: Final = {
    "submitted": Text("Waits for the first reviewer"),
    "endorsed": Text("Endorsed, waits for the second reviewer"),
    "objected": Text("Objected to, waits for the second reviewer"),
    "approved": Text("Approved"),
    "rejected": Text("Rejected"),
}
ACTS: Final = {
    "endorse": Text("Endorse"),
    "object": Text("Object"),
    "approve": Text("Approve and sign"),
    "reject": Text("Reject"),
    "return": Text("Send back to a first look"),
}
_TOTAL: Final = len(fields.STEPS) + 2


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_questions(app)
    _add_submission(app)
    _add_review(app)


def _add_questions(app: FastAPI) -> None:
    @app.get("/register")
    async def begin() -> Response:
        """Begin with the first question."""
        return see(f"/register/{fields.STEPS[0].slug}")

    @app.get("/register/{slug}")
    async def question(request: Request, slug: str) -> Response:
        """Ask one question, with what was answered before."""
        step, answers = _step(slug), await _answers(request)
        return _question(request, step, Filled(given=answers))

    @app.post("/register/{slug}")
    async def answer(request: Request, slug: str) -> Response:
        """Keep an answer and go on."""
        portal, visitor, step = portal_of(request), visit_of(request).visitor, _step(slug)
        filled = fields.fill_step(step, await read_form(request))
        if filled.faults:
            return _question(request, step, filled)
        answers = {name: str(value) for name, value in filled.values.items()}
        await portal.db.write(lambda connection: service.answer(portal, connection, visitor, answers))
        missing = fields.first_open(await _answers(request))
        return see(f"/register/{missing}" if missing else "/register-check")


def _add_submission(app: FastAPI) -> None:
    @app.get("/register-check")
    async def check(request: Request) -> Response:
        """Show all answers before anything is sent."""
        answers = await _answers(request)
        missing = fields.first_open(answers)
        if missing:
            return see(f"/register/{missing}")
        return page(
            request, "registration/check.html", steps=fields.STEPS, answers=answers, number=_TOTAL - 1, total=_TOTAL
        )

    @app.get("/register-send")
    async def ask_password(request: Request) -> Response:
        """Ask for the password that will protect account and key."""
        missing = fields.first_open(await _answers(request))
        return see(f"/register/{missing}") if missing else _password(request)

    @app.post("/register-send")
    async def send(request: Request) -> Response:
        """Make key and account, leave the registration for review."""
        portal, visit, sent = portal_of(request), visit_of(request), await read_form(request)
        portal.attempt(visit.address)
        answers, filled = await _answers(request), fill(fields.PASSWORD_FIELDS, sent)
        form = portal.keys.digest(f"{visit.visitor}|{sent.get('once', '')}")
        if await portal.db.read(lambda connection: was_sent(connection, form)):
            return see("/registered")
        missing = fields.first_open(answers)
        if missing:
            return see(f"/register/{missing}")
        try:
            password = filled.require()["password"]
            require_strong(password, list(answers.values()))
            file = await read_file(request, "file")
            if file:
                made = await asyncio.to_thread(service.prepare_outside, answers, password, file)
            else:
                made = await asyncio.to_thread(service.prepare, answers, password, portal.clock())

            def write(connection: Connection) -> str:
                service.submit(portal, connection, answers, made)
                service.forget(portal, connection, visit.visitor)
                return "/registered"

            return see(await portal.db.write(lambda c: once(c, form, portal.clock(), lambda: write(c))))
        except Wrong as wrong:
            return _password(request, filled.with_faults({"password": wrong.text}))
        except PortalError as error:
            if not error.faults:
                raise
            return _password(request, filled.with_faults(error.faults))

    @app.get("/registered")
    async def registered(request: Request) -> Response:
        """Say what happens next."""
        return page(request, "registration/registered.html")

    @app.get("/registration")
    async def own(request: Request, who: Who) -> Response:
        """Show where one's own registration stands."""
        portal = portal_of(request)
        found = await portal.db.read(lambda connection: service.of_account(portal, connection, who.account_id))
        return page(request, "registration/own.html", one=found, states=STATES)


def _add_review(app: FastAPI) -> None:
    @app.get("/registrations")
    async def listed(request: Request) -> Response:
        """List the registrations that the filters leave."""
        portal, asked = portal_of(request), queue.LISTING.asked(request.query_params)
        found, following = await portal.db.read(lambda connection: queue.found(portal, connection, asked))
        return page(
            request,
            "registration/queue.html",
            listing=queue.LISTING,
            asked=asked,
            found=found,
            following=following,
            states=STATES,
            choices={"state": [*STATES.items(), (queue.ANY, Text("All"))]},
        )

    @app.get("/registrations/{registration_id}")
    async def one(request: Request, who: Who, registration_id: str) -> Response:
        """Show one registration and what may be done with it."""
        return await _review(request, who, registration_id)

    @app.post("/registrations/{registration_id}/opinion")
    async def opinion(request: Request, who: Who, registration_id: str) -> Response:
        """Endorse or object."""
        portal, sent = portal_of(request), await read_form(request)
        filled, act = fill(fields.OPINION, sent), sent.get("act", "")
        if filled.faults:
            return await _review(request, who, registration_id, filled)
        reason = filled.values["reason"]
        await portal.db.write(
            lambda connection: service.give_opinion(portal, connection, who, registration_id, act, reason)
        )
        return see(f"/registrations/{registration_id}")

    @app.post("/registrations/{registration_id}/decision")
    async def decision(request: Request, who: Who, registration_id: str) -> Response:
        """Approve, reject or send back."""
        portal, sent = portal_of(request), await read_form(request)
        filled, act = fill(fields.DECISION, sent), sent.get("act", "")
        try:
            given = filled.require()
            despite = bool(given["despite"])
            await service.decide(portal, who, registration_id, act, given["reason"], given["password"], despite=despite)
        except PortalError as error:
            if not error.faults:
                raise
            return await _review(request, who, registration_id, filled.with_faults(error.faults))
        return see(f"/registrations/{registration_id}")


async def _review(request: Request, who: Who, registration_id: str, filled: Filled | None = None) -> Response:
    portal = portal_of(request)
    found = await portal.db.read(lambda connection: service.get(portal, connection, registration_id))
    check = await portal.db.read(lambda connection: checks.of(connection, registration_id, found.ent_name))
    acts = [act for state, act in REGISTRATION.moves if state == found.state]
    return form_page(
        request,
        "registration/review.html",
        fields.DECISION,
        filled,
        one=found,
        check=check,
        differences=checks.DIFFERENCES,
        place=_named(region, region_name, check.facts.region) if check.facts else None,
        work=_named(industry, industry_name, check.facts.industry) if check.facts else None,
        states=STATES,
        acts=[(act, ACTS[act]) for act in acts],
        opinion=found.state == SUBMITTED,
        own_opinion=found.first_reviewer == who.login,
    )


def _named(parse: Callable[[str], str], name: Callable[[str], Name], code: str) -> Name | None:
    """What a provider's code is called, None for one that is none."""
    try:
        return name(parse(code))
    except Wrong:
        return None


def _step(slug: str) -> fields.Step:
    step = fields.BY_SLUG.get(slug)
    if step is None:
        raise not_found()
    return step


async def _answers(request: Request) -> dict[str, str]:
    portal, visitor = portal_of(request), visit_of(request).visitor
    return dict(await portal.db.read(lambda connection: service.answers(portal, connection, visitor)))


def _question(request: Request, step: fields.Step, filled: Filled) -> Response:
    number = 1 + fields.STEPS.index(step)
    return form_page(request, "registration/question.html", step.fields, filled, step=step, number=number, total=_TOTAL)


def _password(request: Request, filled: Filled | None = None) -> Response:
    return form_page(request, "registration/password.html", fields.PASSWORD_FIELDS, filled, number=_TOTAL, total=_TOTAL)
