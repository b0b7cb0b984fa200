"""What the pages of applications share: words, choices, and a form shown again with what was wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi.responses import Response

from consent.validators import SECTIONS
from portal.applications import words
from portal.applications.lending import AGREES, KINDS, REFUSALS, in_wan
from portal.applications.listings import BANK_STATES, REVIEW_STATES
from portal.errors import PortalError
from portal.facts.names import MEASURES, SIZES, industry_name, number, region_name, regions
from portal.forms import Field, Filled, fill
from portal.products.words import GUARANTEES, PURPOSES, UNITS
from portal.states import Mover
from portal.text import Name, Text

ANY = ("", Text("Any"))


def context(reader: Mover = Mover.BANK) -> dict[str, Any]:
    """Words and functions that every template of this subject may use."""
    return {
        "movers": words.MOVERS[reader],
        "states": words.STATES,
        "acts": words.ACTS,
        "tone": words.tone,
        "units": UNITS,
        "purposes": PURPOSES,
        "guarantees": GUARANTEES,
        "sizes": SIZES,
        "measures": MEASURES,
        "refusals": REFUSALS,
        "kinds": KINDS,
        "agrees": AGREES,
        "in_wan": in_wan,
        "figure": number,
        "district": district,
        "industry": lambda code: industry_name(code) if code else "–",
    }


def choices() -> Mapping[str, Sequence[tuple[str, Text | Name]]]:
    """What the selects of filters and forms offer, by the field's name."""
    return {
        "state": [ANY, *((state, words.STATES[state]) for state in BANK_STATES)],
        "industry": [ANY, *((letter, industry_name(letter)) for letter in SECTIONS)],
        "district": [ANY, *regions().items()],
        "size": [ANY, *((size.value, title) for size, title in SIZES.items())],
        "term_unit": [(unit.value, title) for unit, title in UNITS.items()],
        "purpose": [("", Text("Choose")), *((each.value, title) for each, title in PURPOSES.items())],
        "guarantee": [("", Text("Choose")), *((each.value, title) for each, title in GUARANTEES.items())],
        "kind": list(KINDS.items()),
        "agrees": list(AGREES.items()),
        "refusal": [("", Text("Choose")), *REFUSALS.items()],
    }


def review_choices() -> Mapping[str, Sequence[tuple[str, Text | Name]]]:
    """The same for reviewers, who see other states."""
    return {"state": [(state, words.STATES[state]) for state in REVIEW_STATES]}


def district(code: str) -> Name | str:
    """What a district is called, a dash for none."""
    try:
        return region_name(code) if code else "–"
    except KeyError:
        return code


async def tried(
    fields: Sequence[Field],
    sent: Mapping[str, str],
    act: Callable[[Mapping[str, Any]], Awaitable[Response]],
    again: Callable[[Filled, int], Awaitable[Response]],
) -> Response:
    """Do what a form asks for; if it, or what it meets, is wrong, show it `again` with what was typed and the HTTP status."""
    filled = fill(fields, sent)
    try:
        return await act(filled.require())
    except PortalError as error:
        if not error.faults:
            raise
        return await again(filled.with_faults(error.faults), error.status)


def as_typed(amount_fen: int) -> str:
    """An amount for a form: empty for none yet."""
    return in_wan(amount_fen) if amount_fen else ""
