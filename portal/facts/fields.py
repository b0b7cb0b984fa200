"""The questions about an enterprise: by the validators of the data dictionary. What is not known may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from portal.facts.facts import Facts
from portal.facts.names import number
from portal.forms import Field, Wrong
from portal.parsers import day, decimal, industry, optional, region, whole
from portal.text import Text

_WAN: Final = optional(decimal(0, 1_000_000_000, places=6))
_EARLIEST: Final = date(1900, 1, 1)


def _division(text: str) -> str:
    code = industry(text)
    if len(code) < 3:
        raise Wrong(Text("Choose more exactly: a division, not a whole section."))
    return code


def _founded(text: str) -> date:
    found = day(text)
    if found < _EARLIEST:
        raise Wrong(Text("Give the day that stands on the business licence."))
    return found


FACTS: Final = (
    Field(
        name="region",
        label=Text("Where is the enterprise registered?"),
        parse=lambda text: region(text) if text else "",
        kind="choice",
        longest=6,
    ),
    Field(
        name="industry",
        label=Text("What does it mainly do?"),
        hint=Text("The industry (GB/T 4754), as the registration says."),
        parse=lambda text: _division(text) if text else "",
        kind="choice",
        longest=6,
    ),
    Field(
        name="founded",
        label=Text("When was it founded?"),
        hint=Text("The day that stands on the business licence."),
        parse=optional(_founded),
        kind="date",
        longest=10,
    ),
    Field(
        name="employees",
        label=Text("How many employees had it last year?"),
        parse=optional(whole(0, 10_000_000)),
        kind="digits",
        longest=12,
    ),
    Field(
        name="revenue_wan",
        label=Text("Revenue of last year (CNY 10,000)"),
        hint=Text("150 means CNY 1,500,000."),
        parse=_WAN,
        longest=24,
    ),
    Field(
        name="assets_wan",
        label=Text("Total assets at the end of last year (CNY 10,000)"),
        parse=_WAN,
        longest=24,
    ),
)
FROM_REGISTRATION: Final = tuple(field for field in FACTS if field.name in {"region", "industry", "founded"})


def shown(facts: Facts) -> Mapping[str, str]:
    """The facts as the form has them."""
    return {
        "region": facts.region,
        "industry": facts.industry,
        "founded": facts.founded.isoformat() if facts.founded else "",
        "employees": "" if facts.employees is None else str(facts.employees),
        "revenue_wan": "" if facts.revenue_wan is None else number(facts.revenue_wan).replace(",", ""),
        "assets_wan": "" if facts.assets_wan is None else number(facts.assets_wan).replace(",", ""),
    }
