"""Exact conversion between the units of a source's column and of the catalogue's field.

Only decimal factors are known: a conversion never loses a digit that the source had. Whatever else a source uses (a foreign currency,
亩) is converted by its owner, who knows the rate and the day.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

# unit -> (what it measures, how many of the base unit it is)
_UNITS: Final[dict[str, tuple[str, str]]] = {
    "元": ("CNY", "1"),
    "千元": ("CNY", "1000"),
    "万": ("CNY", "10000"),
    "万元": ("CNY", "10000"),
    "百万元": ("CNY", "1000000"),
    "亿": ("CNY", "100000000"),
    "亿元": ("CNY", "100000000"),
    "分": ("CNY", "0.01"),
    "USD": ("USD", "1"),
    "万USD": ("USD", "10000"),
    "万美元": ("USD", "10000"),
    "元/month": ("CNY a month", "1"),
    "万/month": ("CNY a month", "10000"),
    "1": ("ratio", "1"),
    "%": ("ratio", "0.01"),
    "‰": ("ratio", "0.001"),
    "bp": ("ratio", "0.0001"),
    "m²": ("area", "1"),
    "ha": ("area", "10000"),
    "km²": ("area", "1000000"),
    "m³": ("volume", "1"),
    "L": ("volume", "0.001"),
    "t": ("mass", "1"),
    "kg": ("mass", "0.001"),
    "kWh": ("energy", "1"),
    "MWh": ("energy", "1000"),
    "万kWh": ("energy", "10000"),
    "kVA": ("power", "1"),
    "MVA": ("power", "1000"),
}


def conversion_factor(source_unit: str, field_unit: str) -> Decimal:
    """What a number in the source's unit is multiplied by to be in the field's. Raises ValueError if there is no exact factor."""
    if source_unit == field_unit:
        return Decimal(1)
    source, field = _UNITS.get(source_unit), _UNITS.get(field_unit)
    if source is None or field is None or source[0] != field[0]:
        same = [unit for unit, (kind, _) in _UNITS.items() if field is not None and kind == field[0]]
        known = f"known for it: {', '.join(same)}" if same else "convert it at the source"
        raise ValueError(f"unit {source_unit!r} cannot be converted to {field_unit!r}; {known}")
    # Every factor is a power of ten or a quotient of two, so that the division is exact.
    return (Decimal(source[1]) / Decimal(field[1])).normalize()
