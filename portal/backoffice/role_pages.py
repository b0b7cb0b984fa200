"""Pages of roles: the matrix of built-in ones, narrowed ones and whose they are, and what menus hide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.backoffice import fields, roles, words
from portal.backoffice.policy import told
from portal.errors import PortalError, not_found
from portal.forms import Field, Filled, fill
from portal.parsers import edition
from portal.permissions import GRANTS, TITLES, Action, Need, Role, Subject
from portal.text import Text
from portal.web.authorize import Who
from portal.web.menu import may_hide
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import read_form


def routes(app: FastAPI) -> None:
    """Add the routes of roles and menus."""
    _add_making(app)
    _add_changing(app)
    _add_menus(app)


def matrix() -> Sequence[tuple[Subject, Action, Sequence[str]]]:
    """Every permission that some role has, and for each role its reach, empty for none."""
    needs = [Need(action, subject) for subject in Subject for action in Action]
    granted = [need for need in needs if any(need in grants for grants in GRANTS.values())]
    return [
        (need.subject, need.action, [GRANTS[role][need].value if need in GRANTS[role] else "" for role in Role])
        for need in granted
    ]


def _add_making(app: FastAPI) -> None:
    @app.get("/roles")
    async def listed(request: Request) -> Response:
        """Show the matrix and the narrowed roles."""
        found = await portal_of(request).db.read(roles.listed)
        bases = [(role.value, TITLES[role]) for role in roles.BASES]
        return page(
            request, "backoffice/roles.html", matrix=matrix(), found=found, titles=TITLES, words=words, bases=bases
        )

    @app.get("/roles/new")
    async def new(request: Request, base: str = "") -> Response:
        """Ask what is left of a built-in role."""
        return _new(request, _base(base))

    @app.post("/roles")
    async def make(request: Request, who: Who) -> Response:
        """Make a narrowed role."""
        sent = await read_form(request)
        base, filled = _base(sent.get("base", "")), fill(fields.NEW_ROLE, sent)
        try:
            given = filled.require()
            role_id = await roles.make(portal_of(request), who, base, **given)
        except PortalError as error:
            if not error.faults:
                raise
            return _new(request, base, filled.with_faults(error.faults))
        return see(f"/roles/{role_id}")

    @app.get("/roles/{role_id}")
    async def one(request: Request, role_id: str) -> Response:
        """Show a narrowed role and who has it."""
        return await _one(request, role_id)


def _add_changing(app: FastAPI) -> None:
    @app.post("/roles/{role_id}")
    async def change(request: Request, who: Who, role_id: str) -> Response:
        """Change what is left."""
        sent = await read_form(request)
        filled = fill(fields.ROLE, sent)
        try:
            await roles.change(portal_of(request), who, role_id, **filled.require(), version=edition(sent))
        except PortalError as error:
            return await _refused(request, role_id, filled, error)
        return see(f"/roles/{role_id}")

    @app.post("/roles/{role_id}/holders")
    async def give(request: Request, who: Who, role_id: str) -> Response:
        """Give it to an account."""
        filled = fill(fields.GIVE, await read_form(request))
        try:
            given = filled.require()
            await roles.give(portal_of(request), who, role_id, given["login"], given["why"])
        except PortalError as error:
            return await _refused(request, role_id, filled, error)
        return see(f"/roles/{role_id}")

    @app.post("/roles/{role_id}/holders/{account_id}/end")
    async def take(request: Request, who: Who, role_id: str, account_id: str) -> Response:
        """Take it from an account."""
        reason = fill(fields.DECISION, await read_form(request)).require()["reason"]
        await roles.take(portal_of(request), who, role_id, account_id, reason)
        return see(f"/roles/{role_id}")

    @app.post("/roles/{role_id}/remove")
    async def remove(request: Request, who: Who, role_id: str) -> Response:
        """Remove a role that nobody has."""
        portal = portal_of(request)
        reason = fill(fields.DECISION, await read_form(request)).require()["reason"]
        await portal.db.write(lambda connection: roles.remove(portal, connection, who, role_id, reason))
        return see("/roles")


def _add_menus(app: FastAPI) -> None:
    @app.get("/menus")
    async def menus(request: Request, role: str = Role.STAFF) -> Response:
        """Show what a role's menu has and hides."""
        chosen = _role(role)
        hidden = (await portal_of(request).in_force()).hidden.get(chosen, frozenset())
        return page(
            request,
            "backoffice/menus.html",
            role=chosen,
            titles=TITLES,
            entries=[(entry, entry.path in hidden) for entry in may_hide(chosen)],
        )

    @app.post("/menus")
    async def hide(request: Request, who: Who) -> Response:
        """Hide entries for a role."""
        sent = await read_form(request)
        chosen, paths = _role(sent.get("role", "")), fill((fields.HIDDEN,), sent).require()["hidden"]
        if not set(paths) <= {entry.path for entry in may_hide(chosen)}:
            raise PortalError("INVALID_ARGUMENT", Text("Choose from the list."))
        await roles.hide(portal_of(request), who, chosen, paths)
        return see(f"/menus?role={chosen.value}")


def _base(text: str) -> Role:
    if text not in roles.BASES:
        raise not_found()
    return Role(text)


def _role(text: str) -> Role:
    if text not in set(Role):
        raise not_found()
    return Role(text)


def _choices(base: Role) -> Sequence[tuple[str, Text]]:
    return [
        (
            told(need),
            Text("{subject}: {action}", subject=words.SUBJECTS[need.subject], action=words.ACTIONS[need.action]),
        )
        for need in roles.choosable(base)
    ]


def _new(request: Request, base: Role, filled: Filled | None = None) -> Response:
    filled = filled or Filled(given={"needs": ",".join(told(need) for need in roles.choosable(base))})
    return form_page(
        request, "backoffice/role_new.html", fields.NEW_ROLE, filled, base=base, titles=TITLES, choices=_choices(base)
    )


async def _refused(request: Request, role_id: str, filled: Filled, error: PortalError) -> Response:
    if not error.faults and error.code != "WRONG_STATE":
        raise error
    faults = error.faults or {"form": error.text}
    return await _one(request, role_id, filled.with_faults(faults), status=error.status)


async def _one(request: Request, role_id: str, filled: Filled | None = None, *, status: int = 200) -> Response:
    def read(connection: Connection) -> dict[str, Any]:
        return {"one": roles.get(connection, role_id), "holders": roles.holders(connection, role_id)}

    shown = await portal_of(request).db.read(read)
    one: roles.Narrowed = shown["one"]
    given = {"title": one.title, "needs": ",".join(told(need) for need in one.needs)}
    if filled is not None:
        filled = Filled({**given, **filled.given}, filled.values, filled.faults)
    asked: dict[str, Field] = {each.name: each for each in (*fields.ROLE, *fields.GIVE)}
    return form_page(
        request,
        "backoffice/role.html",
        tuple(asked.values()),
        filled or Filled(given=given),
        status=status,
        titles=TITLES,
        choices=_choices(one.base),
        **shown,
    )
