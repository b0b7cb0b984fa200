"""What enterprises, and everybody, see of products: the search, and a product in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.facts import service as facts
from portal.facts.facts import Facts
from portal.facts.names import industries, industry_name, region_name, regions
from portal.permissions import Role
from portal.principal import Principal
from portal.products import search, service, words
from portal.products.eligibility import evaluate, overall
from portal.products.required import by_mode
from portal.state import Portal
from portal.text import Name, Text
from portal.today import today
from portal.web.listing import Asked
from portal.web.pages import page, portal_of
from portal.web.visits import visit_of

Choices = Sequence[tuple[str, Text | Name]]


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/products")
    async def find(request: Request) -> Response:
        """Search what is on offer."""
        portal, who, asked = portal_of(request), _enterprise(request), search.LISTING.asked(request.query_params)
        day = today(portal.clock())

        def read(connection: Connection) -> dict[str, Any]:
            offers, found = search.published(connection, asked, day)
            own = facts.of(portal, connection, who.institution) if who is not None else None
            return {"offers": offers, "found": found, "banks": search.banks(connection), "facts": own}

        known = await portal.db.read(read)
        return page(
            request,
            "products/find.html",
            listing=search.LISTING,
            asked=asked,
            choices=_choices(asked, [(each, portal.policy.name_of(each)) for each in known["banks"]]),
            words=words,
            mine=_fitting(known["facts"]),
            **known,
        )

    @app.get("/products/{product_code}")
    async def one(request: Request, product_code: str) -> Response:
        """Show a product: what it is, what it costs, which data it needs, and who may have it."""
        portal, who = portal_of(request), _enterprise(request)
        product = await portal.db.read(lambda connection: service.get(connection, product_code))
        own = await portal.db.read(lambda connection: _facts(portal, connection, who))
        day = today(portal.clock())
        findings = evaluate(product.eligibility, own, day)
        return page(
            request,
            "products/one.html",
            product=product,
            open=product.takes_applications(day),
            wanted=by_mode(product),
            findings=findings,
            answer=overall(findings),
            enterprise=who is not None,
            today=day.isoformat(),
            words=words,
        )


def _enterprise(request: Request) -> Principal | None:
    """The enterprise that looks, None for anybody else."""
    who = visit_of(request).principal
    return who if who is not None and who.role is Role.ENTERPRISE else None


def _facts(portal: Portal, connection: Connection, who: Principal | None) -> Facts:
    return facts.of(portal, connection, who.institution) if who is not None else Facts()


def _fitting(own: Facts | None) -> str:
    """The search for one's own place and industry; empty while they are not told."""
    if own is None or not own.region or not own.industry:
        return ""
    return search.LISTING.asked({"region": own.region, "industry": own.industry}).url()


def _choices(asked: Asked, banks: Sequence[tuple[str, Name]]) -> dict[str, Choices]:
    """What the filters offer; a code of a URL that has no name of its own, too."""
    region, industry = (asked.filled.values.get(name) for name in ("region", "industry"))
    further = [(region, region_name(region))] if region and region not in regions() else []
    other = [(industry, industry_name(industry))] if industry and industry not in industries() else []
    anything = ("", Text("Any"))
    return {
        "guarantee": [anything, *((kind.value, title) for kind, title in words.GUARANTEES.items())],
        "region": [anything, *regions().items(), *further],
        "industry": [anything, *industries().items(), *other],
        "institution": [anything, *banks],
    }
