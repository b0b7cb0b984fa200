"""The application: routes behind `authorize`, inside `Visits`; failures become a page, or a problem document (RFC 9457) in the API."""

from __future__ import annotations

import asyncio
import logging
import uuid
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from hub.errors import HubError
from portal.accounts import api as accounts_api
from portal.accounts import pages as accounts
from portal.accounts import recovery_pages, staff_pages
from portal.applications import api as applications_api
from portal.applications import financing_pages, lending_pages, review_pages
from portal.applications import pages as applications
from portal.backoffice import institution_pages, role_pages
from portal.backoffice import pages as backoffice
from portal.clients import pages as clients
from portal.consents import api as consents_api
from portal.consents import pages as consents
from portal.content import api as content_api
from portal.content import pages as content
from portal.content import visitors as content_visitors
from portal.credit import api as credit_api
from portal.credit import pages as credit
from portal.errors import PortalError, not_found
from portal.facts import api as facts_api
from portal.facts import pages as facts
from portal.mail import pages as mail
from portal.operations import api as operations_api
from portal.operations import pages as operations
from portal.permissions import require_all_declared
from portal.products import api as products_api
from portal.products import desk as products_desk
from portal.products import pages as products
from portal.questions import api as questions_api
from portal.questions import pages as questions
from portal.registration import api as registration_api
from portal.registration import pages as registration
from portal.state import Portal
from portal.statistics import alert_pages
from portal.statistics import pages as statistics
from portal.text import Text
from portal.web.authorize import Elsewhere, authorize
from portal.web.failures import PROBLEM, told
from portal.web.i18n import LANGUAGES
from portal.web.pages import page, portal_of, see
from portal.web.sent import own_path
from portal.web.visits import LANGUAGE, YEAR_S, Visits, visit_of

log = logging.getLogger(__name__)

_FAILURES: Final = {
    code: {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for code, description in (("4XX", "Refused"), ("5XX", "Failed"))
}
FILES: Final = {
    "portal.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "live.js": "text/javascript; charset=utf-8",
}
SUBJECTS: Final = (
    accounts,
    accounts_api,
    alert_pages,
    applications,
    applications_api,
    backoffice,
    clients,
    consents,
    consents_api,
    content,
    content_api,
    content_visitors,
    credit,
    credit_api,
    facts,
    facts_api,
    financing_pages,
    institution_pages,
    lending_pages,
    mail,
    operations,
    operations_api,
    products,
    products_api,
    products_desk,
    questions,
    questions_api,
    registration,
    recovery_pages,
    registration_api,
    review_pages,
    statistics,
    role_pages,
    staff_pages,
)


def application(portal: Portal) -> ASGIApp:
    """Put the portal together. Raises ValueError for a route that no permission is declared for."""
    app = FastAPI(
        title="Xinqiao portal",
        version=version("xinqiao"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(authorize)],
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.portal = portal
    _add_own(app)
    for subject in SUBJECTS:
        subject.routes(app)
    _tell_failures(app)
    require_all_declared(routes_of(app))
    return Visits(app, portal)


def routes_of(app: FastAPI) -> set[str]:
    """Every route as `portal.permissions.ROUTES` names it."""
    found = set()
    for route in app.routes:
        for method in getattr(route, "methods", None) or ():
            if method != "HEAD":
                found.add(f"{method} {getattr(route, 'path', '')}")
    return found


def _add_own(app: FastAPI) -> None:
    @app.get("/")
    async def start(request: Request) -> Response:
        """Show the start page."""
        return page(request, "start.html")

    @app.get("/health")
    async def health(request: Request) -> Response:
        """Tell whether the portal and its database work, and whether the hub answers it."""
        portal = portal_of(request)
        await portal.db.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
        hub = await asyncio.to_thread(portal.link.alive)
        return JSONResponse({"status": "ok", "hub": "ok" if hub else "away"})

    @app.get("/api/v1/openapi.json")
    async def described() -> Response:
        """Describe the JSON API."""
        return JSONResponse(_description(app))

    @app.get("/static/{name}")
    async def file(name: str) -> Response:
        """Give a file that our pages load."""
        if name not in FILES:
            raise not_found()
        return Response(_file(name), media_type=FILES[name])

    @app.get("/language/{language}")
    async def language(request: Request, language: str, next: str = "/") -> Response:
        """Choose a language."""
        if language not in LANGUAGES:
            raise not_found()
        visit_of(request).set_cookie(LANGUAGE, language, YEAR_S)
        return see(own_path(next))


def _description(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the API alone; pages are for people. Whatever fails is told as one kind of document."""
    routes = [route for route in app.routes if getattr(route, "tags", None)]
    described = get_openapi(title=app.title, version=app.version, routes=routes)
    schemas = described["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = PROBLEM
    for operation in (each for path in described["paths"].values() for each in path.values()):
        operation["responses"].pop("422", None)
        operation["responses"] |= _FAILURES
    return described


@cache
def _file(name: str) -> bytes:
    return files("portal").joinpath("static", name).read_bytes()


def _tell_failures(app: FastAPI) -> None:
    @app.exception_handler(Elsewhere)
    async def elsewhere(_request: Request, error: Exception) -> Response:
        return RedirectResponse(str(error), status_code=303)

    @app.exception_handler(PortalError)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, PortalError)  # noqa: S101 (the handler's own class)
        return told(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, _error: Exception) -> Response:
        return told(request, PortalError("INVALID_ARGUMENT", Text("The request is not valid.")))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: Exception) -> Response:
        if getattr(error, "status_code", 0) == 405:
            return told(request, PortalError("WRONG_METHOD", Text("This page cannot be used in this way.")))
        return told(request, not_found())

    @app.exception_handler(HubError)
    async def database(request: Request, error: Exception) -> Response:
        return told(
            request, PortalError("UNAVAILABLE", Text("The portal is busy or its disk is full. Try again soon."))
        )

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        incident = uuid.uuid4().hex[:12]
        log.error("unforeseen", extra={"incident": incident, "failure": type(error).__qualname__})
        text = Text("The portal failed in a way it did not foresee. Tell the hub number {incident}.", incident=incident)
        return told(request, PortalError("INTERNAL", text))
