"""Obligations on values: masking by level, and yes/no or band for verification mode.

The provider's node applies them before anything leaves it (guideline 7.2.2 c).

| rule    | shown                                                            |
|---------|------------------------------------------------------------------|
| name    | the first character, the rest as asterisks                       |
| account | the last four characters; short ones entirely hidden             |
| address | the first six characters (province and city), the rest hidden    |
| digest  | nothing: the value is replaced by asterisks                      |
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Final

from consent.catalogue import Item
from consent.fields import Field


def _name(text: str) -> str:
    return text[:1] + "*" * max(1, len(text) - 1)


def _account(text: str) -> str:
    return "****" + text[-4:] if len(text) >= 8 else "****"


def _address(text: str) -> str:
    return text[:6] + "****" if len(text) > 6 else "****"


def _digest(text: str) -> str:
    return "****"


MASKS: Final[Mapping[str, Callable[[str], str]]] = {
    "name": _name,
    "account": _account,
    "address": _address,
    "digest": _digest,
}


def mask(rule: str, value: object) -> str | None:
    """A value as it may be shown. An unknown rule hides everything: fail closed."""
    if value is None:
        return None
    return MASKS.get(rule, _digest)(str(value))


def verify_value(field: Field, value: object) -> str | bool | None:
    """What verification mode tells of a value.

    The band of a number, the value of a yes/no or of one of a stated set, else whether there is one at all. Never the value
    of a number or a text; a value that does not have the field's type is not told either.
    """
    if field.type == "boolean":
        return value if isinstance(value, bool) else None
    if value is None:
        return None if field.nullable else False
    if field.numeric and field.bands and isinstance(value, int | float | Decimal) and isfinite(value):
        return band(field.bands, value)
    if field.type == "enum" and value in field.values:
        return str(value)
    return True


def band(edges: Sequence[float], value: float | Decimal) -> str:
    """The class of a number between ascending lower edges (at least one), as text: "<1", "1-3" (1 included, 3 not), …, ">=12"."""
    # As decimals: the float 0.01 is a little more than 0.01, and would push an amount of one fen below its edge.
    place = bisect_right([Decimal(str(edge)) for edge in edges], Decimal(str(value)))
    if place == 0:
        return f"<{_edge(edges[0])}"
    if place == len(edges):
        return f">={_edge(edges[-1])}"
    return f"{_edge(edges[place - 1])}-{_edge(edges[place])}"


def _edge(edge: float) -> str:
    return str(int(edge)) if edge == int(edge) else str(edge)


def apply_to_record(
    item: Item, record: Mapping[str, object], fields: Sequence[str], masking: Mapping[str, str], *, verification: bool
) -> dict[str, object]:
    """One record with the obligations applied: the permitted fields only, masked, or reduced to bands.

    A verification still says which period or year a record is about: without it a band would mean nothing.
    """
    if verification:
        return {
            name: record.get(name) if name == item.period_field else verify_value(item.by_name[name], record.get(name))
            for name in fields
        }
    return {name: mask(masking[name], record.get(name)) if name in masking else record.get(name) for name in fields}
