"""Rendering: one Jinja environment a language, and what every page is given."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from portal.forms import Field, Filled
from portal.permissions import TITLES, Action, Need, Subject, rule_of
from portal.state import Portal
from portal.text import Name, Text
from portal.web.i18n import LANGUAGES, html_name, moment, translate
from portal.web.menu import menu_of
from portal.web.visits import visit_of


def portal_of(request: Request) -> Portal:
    """The portal that serves a request."""
    portal = request.app.state.portal
    assert isinstance(portal, Portal)  # noqa: S101 (set by the factory)
    return portal


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:  # noqa: ANN401 (a template's)
    """Render a page in the visitor's language."""
    visit, portal = visit_of(request), portal_of(request)
    who = visit.principal
    given = {
        "path": _again(request),
        "who": who,
        "role_title": TITLES[who.role] if who is not None else None,
        "menu": menu_of(who, portal.policy.hidden.get(who.role, frozenset()) if who is not None else frozenset()),
        "here": request.url.path,
        "may": lambda action, subject: who is not None and who.may(Need(Action(action), Subject(subject))),
        "called": lambda institution: translate(visit.language, portal.policy.name_of(institution)),
        "csrf": portal.keys.form_token(visit.visitor),
        "once": secrets.token_hex(16),
        "status": status,
        **context,
    }
    body = environment(visit.language).get_template(template).render(given)
    return HTMLResponse(body, status_code=status)


def piece(request: Request, template: str, **context: Any) -> str:  # noqa: ANN401 (a template's)
    """Render a part of a page, for one that goes on by itself (`portal.web.live`)."""
    return environment(visit_of(request).language).get_template(template).render(context)


def _again(request: Request) -> str:
    """Where the same page is shown again, in another language; the start page if it answers a form that has no page."""
    route = getattr(request.scope.get("route"), "path", "")
    if rule_of("GET", route) is None:
        return "/"
    query = f"?{request.url.query}" if request.method == "GET" and request.url.query else ""
    return request.url.path + query


def form_page(
    request: Request,
    template: str,
    fields: Sequence[Field],
    filled: Filled | None = None,
    **context: Any,  # noqa: ANN401
) -> HTMLResponse:
    """Render a page with a form, with status 422 if something is wrong with what was sent."""
    filled = filled or Filled()
    status = context.pop("status", 422 if filled.faults else 200)
    by_name = {each.name: each for each in fields}
    return page(request, template, status=status, fields=by_name, filled=filled, **context)


def form_id(request: Request, sent: Mapping[str, str]) -> str:
    """What `portal.web.once` knows a sent form by: the visitor and the form's random number."""
    return portal_of(request).keys.digest(f"{visit_of(request).visitor}|{sent.get('once', '')}")


def see(path: str) -> RedirectResponse:
    """Go to a page after something was done (POST, redirect, GET)."""
    return RedirectResponse(path, status_code=303)


@cache
def environment(language: str) -> Environment:
    """The templates in one language; everything that is filled in is escaped, and what is missing is an error."""
    made = Environment(
        loader=PackageLoader("portal", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def told(text: Text | Name | str, **values: object) -> Markup:
        """A sentence; where the text is a template's own, its values are escaped and it may hold markup."""
        if isinstance(text, Text | Name):
            return escape(translate(language, text))
        shown = {name: escape(told(each) if isinstance(each, Text | Name) else each) for name, each in values.items()}
        return Markup(translate(language, text)).format(**shown)  # noqa: S704 (a literal of ours; values are escaped)

    made.globals.update(
        _=told,
        lang=language,
        html_lang=html_name(language),
        languages=LANGUAGES,
        comma="、" if language == "zh" else ", ",
        moment=lambda time_ms: moment(language, time_ms),
    )
    return made
