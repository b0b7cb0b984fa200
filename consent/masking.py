"""Obligations on values: masking by level, and yes/no or band for verification mode. Applied by the provider's node before anything
leaves it (guideline 7.2.2 c).

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
from typing import Final

from consent.catalogue import Field, Item


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
    """What verification mode tells of a value: the band of a number, the value of a yes/no or of a short list, else whether there
    is one at all. Never the value of a number or a text.
    """
    if field.type == "boolean":
        return bool(value) if value is not None else None
    if value is None:
        return None if field.nullable else False
    if field.type in {"integer", "decimal"} and isinstance(value, int | float | Decimal):
        return band(field.bands or (0,), value)
    if field.type == "enum":
        return str(value)
    return True


def band(edges: Sequence[float], value: float | Decimal) -> str:
    """The class of a number between stated edges, as text: "<1", "1-3", …, ">=12"."""
    place = bisect_right(edges, value)
    if place == 0:
        return f"<{edges[0]:g}"
    if place == len(edges):
        return f">={edges[-1]:g}"
    return f"{edges[place - 1]:g}-{edges[place]:g}"


def apply_to_record(
    item: Item, record: Mapping[str, object], fields: Sequence[str], masking: Mapping[str, str], *, verification: bool
) -> dict[str, object]:
    """One record with the obligations applied: the permitted fields only, masked, or reduced to bands."""
    if verification:
        return {name: verify_value(item.by_name[name], record.get(name)) for name in fields}
    return {
        name: mask(masking[name], record.get(name)) if name in masking else record.get(name) for name in fields
    }
