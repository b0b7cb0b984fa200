"""The page on which an enterprise tells its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.errors import PortalError
from portal.facts import fields, service
from portal.facts.facts import Facts
from portal.facts.names import SIZES, industries, industry_name, region_name, regions
from portal.forms import Filled, fill
from portal.parsers import edition
from portal.principal import Principal
from portal.text import Name, Text
from portal.web.authorize import Who
from portal.web.pages import form_page, portal_of, see
from portal.web.sent import own_path, read_form


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/facts")
    async def show(request: Request, who: Who, next: str = "/products") -> Response:
        """Show what is known, to be corrected."""
        own = await _own(request, who)
        return await _form(request, who, own, Filled(given=fields.shown(own)), own_path(next))

    @app.post("/facts")
    async def tell(request: Request, who: Who) -> Response:
        """Keep what was told, and go back to where it was asked for."""
        portal, sent = portal_of(request), await read_form(request)
        filled, back = fill(fields.FACTS, sent), own_path(sent.get("next", "/products"))
        try:
            facts = Facts(**filled.require(), version=edition(sent, "version"))
            await portal.db.write(lambda connection: service.keep(portal, connection, who, facts))
        except PortalError as error:
            faults = error.faults or {"": error.text}
            return await _form(
                request, who, await _own(request, who), filled.with_faults(faults), back, status=error.status
            )
        return see(back)


async def _own(request: Request, who: Who) -> Facts:
    portal = portal_of(request)
    return await portal.db.read(lambda connection: service.of(portal, connection, who.institution))


async def _form(
    request: Request, who: Principal, own: Facts, filled: Filled, back: str, *, status: int = 200
) -> Response:
    known = await portal_of(request).db.read(lambda connection: service.registered(connection, who.institution))
    return form_page(
        request,
        "facts/form.html",
        fields.FACTS,
        filled,
        status=status,
        own=own,
        size=SIZES[own.size] if own.size else None,
        back=back,
        registered=_registered(known),
        choices=_choices(filled),
    )


def _registered(known: Mapping[str, str]) -> Mapping[str, Name | str]:
    """What is registered, as people read it."""
    names = {"region": region_name, "industry": industry_name}
    return {field: names[field](value) if field in names else value for field, value in known.items()}


def _choices(filled: Filled) -> Mapping[str, Sequence[tuple[str, Text | Name]]]:
    """What there is to choose, whole sections left out; what was chosen before by a code without a name, too."""
    region, industry = (filled.given.get(name, "") for name in ("region", "industry"))
    nothing = ("", Text("Not told"))
    places, work = dict(regions()), {code: name for code, name in industries().items() if len(code) > 1}
    if region and region not in places and "region" not in filled.faults:
        places[region] = region_name(region)
    if industry and industry not in work and "industry" not in filled.faults:
        work[industry] = industry_name(industry)
    return {"region": [nothing, *places.items()], "industry": [nothing, *work.items()]}
