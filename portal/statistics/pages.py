"""The page of statistics: of all for the supervisor, of its own for an institution; and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.applications.application import WAN
from portal.forms import Field, Filled, fill
from portal.parsers import day, optional, plain
from portal.statistics import plots, reading, words
from portal.statistics.cells import ALL, SMALL
from portal.statistics.reading import Asked, Cut, Figures
from portal.statistics.tables import PARTS
from portal.text import Text
from portal.today import today
from portal.web.authorize import Who, only
from portal.web.i18n import translate
from portal.web.pages import page, portal_of
from portal.web.visits import visit_of

TAG: Final = "statistics"
FIRST_DAYS: Final = 30
FILTERS: Final = (
    Field(name="institution", label=Text("Institution"), parse=plain, longest=60),
    Field(name="product_code", label=Text("Product code"), parse=plain, longest=60),
    Field(name="since", label=Text("From (day)"), parse=optional(day), longest=10, kind="date"),
    Field(name="until", label=Text("To (day)"), parse=optional(day), longest=10, kind="date"),
)

_PLOTS: Final = (
    (
        Text("Applications and decisions"),
        plots.columns,
        {"applied": Text("Applications"), "decided": Text("Decisions"), "granted": Text("Granted")},
        1,
    ),
    (
        Text("Granted and drawn, CNY 10,000"),
        plots.columns,
        {"granted_fen": Text("Granted"), "drawn_fen": Text("Drawn")},
        WAN,
    ),
    (
        Text("Outstanding and overdue, CNY 10,000"),
        plots.lines,
        {"balance_fen": Text("Outstanding"), "overdue_fen": Text("Overdue")},
        WAN,
    ),
)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/statistics")
    async def shown(request: Request, who: Who) -> Response:
        """Show the figures of a period."""
        asked, filled, bank = _asked(request, only(request, who))
        found = await portal_of(request).db.read(lambda connection: _read(connection, asked))
        figures = [*words.FIGURES, *(words.OF_THE_PLATFORM if bank is None else ())]
        columns = [each for each in words.FIGURES if each[0] in words.PART]
        return page(
            request,
            "statistics/page.html",
            asked=asked,
            filled=filled,
            filters=[each for each in FILTERS if bank is None or each.name != "institution"],
            everything=asked.institution == ALL,
            figures=figures,
            columns=columns,
            plots=_plots(request, found["series"]),
            dimensions=words.DIMENSIONS,
            value_name=words.value_name,
            wan=words.wan,
            small=SMALL,
            **found,
        )

    @app.get("/api/v1/statistics", tags=[TAG])
    async def told(request: Request, who: Who) -> dict[str, Any]:
        """The same: `institution`, `product_code`, `since`, `until`. Amounts in fen, times in ms; a hidden cell is null."""
        asked, filled, bank = _asked(request, only(request, who))
        filled.require()
        found = await portal_of(request).db.read(lambda connection: _read(connection, asked))
        return {
            "since": asked.since.isoformat(),
            "until": asked.until.isoformat(),
            "whole": _plain(found["whole"], bank),
            "series": {name: _plain(each, bank) for name, each in found["series"].items()},
            "parts": {name: {part: each[part] for part in PARTS} for name, each in found["parts"]},
            "cuts": {name: [_cut(each) for each in several] for name, several in found["cuts"].items()},
        }


def _asked(request: Request, bank: str | None) -> tuple[Asked, Filled, str | None]:
    """What a URL asks for, within the institution that the caller must keep to; the last thirty days if it says nothing."""
    filled = fill(FILTERS, request.query_params)
    values = {name: value for name, value in filled.values.items() if value}
    now = today(portal_of(request).clock())
    until = min(values.get("until", now), now)
    since = values.get("since", until - timedelta(days=FIRST_DAYS - 1))
    if not until - timedelta(days=reading.MOST_DAYS) <= since <= until:
        text = Text("A period begins before it ends, and has at most {days} days.", days=reading.MOST_DAYS)
        filled, since = filled.with_faults({"since": text}), until - timedelta(days=FIRST_DAYS - 1)
    institution = bank if bank is not None else values.get("institution", ALL)
    product_code = values.get("product_code", ALL) if institution != ALL else ALL
    if product_code == ALL and values.get("product_code"):
        filled = filled.with_faults(
            {"product_code": Text("Name the institution, too: a product is one institution's.")}
        )
    given = dict(filled.given) | {"since": since.isoformat(), "until": until.isoformat()}
    asked = Asked(institution=institution, product_code=product_code, since=since, until=until)
    return asked, Filled(given, filled.values, filled.faults), bank


def _read(connection: Connection, asked: Asked) -> dict[str, Any]:
    return {
        "whole": reading.whole(connection, asked),
        "series": reading.series(connection, asked),
        "parts": reading.parts(connection, asked),
        "cuts": {name: reading.cut_by(connection, asked, name) for name in words.DIMENSIONS},
    }


def _plots(request: Request, series: Mapping[str, Figures]) -> Sequence[tuple[Text, Any]]:
    """Each plot's title and drawing."""
    language = visit_of(request).language
    labels = [each[5:] if len(each) > 7 else each for each in series]

    def values(names: Mapping[str, Text], unit: int = 1) -> Mapping[str, Sequence[float]]:
        return {
            translate(language, title): [each[name] / unit for each in series.values()] for name, title in names.items()
        }

    return [
        (title, draw(translate(language, title), labels, values(names, unit))) for title, draw, names, unit in _PLOTS
    ]


def _plain(found: Figures, bank: str | None) -> dict[str, int | float | None]:
    rates = ("approval_rate", "weighted_rate", "credit_share", "overdue_rate", "npl_rate")
    told: dict[str, int | float | None] = dict(found.sums) | {name: getattr(found, name) for name in rates}
    hidden = () if bank is None else tuple(name for name, _, _ in words.OF_THE_PLATFORM)
    return {name: value for name, value in told.items() if name not in hidden}


def _cut(cut: Cut) -> dict[str, Any]:
    return {"value": cut.value, "at_least": dict(cut.more)} | dict(cut.sums)
