"""One field of the catalogue: what its values look like, and how text becomes such a value.

Nodes check their data with `parse_value` when they load it, so that everything behind the load is typed and fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Context, Decimal
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from consent.documents import FieldName
from consent.errors import ValueInvalid

FieldType = Literal["string", "code", "integer", "decimal", "boolean", "date", "month", "enum"]
MaskRule = Literal["name", "account", "address", "digest"]
Value = str | int | bool | Decimal | date | list[str] | None
NameText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

_WIDE: Final = Context(prec=250)  # the default of 28 digits would round what decimal128 holds

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field of an item.

    `length`: of a string (at most) or a code (exactly), in characters. `bands`: the lower edges of the classes that verification
    mode shows. `mask`: how the value is shown where the usage rules demand masking (see `consent.masking`).
    """

    name: FieldName
    type: FieldType
    length: _Positive | None = None
    precision: Annotated[int, msgspec.Meta(ge=1, le=38)] | None = None
    scale: Annotated[int, msgspec.Meta(ge=0, le=38)] | None = None
    minimum: int | None = None
    maximum: int | None = None
    unit: NameText | None = None
    values: tuple[NameText, ...] = ()
    list: bool = False
    nullable: bool = False
    mask: MaskRule | None = None
    bands: tuple[float, ...] = ()

    @property
    def arrow_type(self) -> str:
        """The name of the Arrow type that holds the field."""
        names = {"integer": "int64", "boolean": "bool", "date": "date32"}
        if self.type == "decimal":
            return f"decimal128({self.precision},{self.scale})"
        return "list<string>" if self.list else names.get(self.type, "string")

    @property
    def numeric(self) -> bool:
        """Whether the field holds a number."""
        return self.type in {"integer", "decimal"}


_MEASURE_NAMES: Final = ("length", "precision", "scale", "minimum", "maximum", "values")
_MEASURES: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = MappingProxyType(
    {  # type: (must have, may have)
        "string": (frozenset({"length"}), frozenset()),
        "code": (frozenset({"length"}), frozenset()),
        "integer": (frozenset(), frozenset({"minimum", "maximum"})),
        "decimal": (frozenset({"precision", "scale"}), frozenset({"minimum", "maximum"})),
        "enum": (frozenset({"values"}), frozenset()),
    }
)


def wrong_measure(field: Field) -> str | None:
    """What is wrong with the measures that a field states (rule 4 of the catalogue), with what to do; None if nothing is."""
    needed, possible = _MEASURES.get(field.type, (frozenset(), frozenset()))
    stated = {name for name in _MEASURE_NAMES if getattr(field, name) not in (None, ())}
    if needed - stated:
        return f"lacks {', '.join(sorted(needed - stated))}; add it"
    if stated - needed - possible:
        return f"cannot have {', '.join(sorted(stated - needed - possible))}; remove it"
    if field.list and field.type not in {"string", "code", "enum"}:
        return "cannot be a list; only texts can"
    return _contradiction(field)


def _contradiction(field: Field) -> str | None:
    if field.precision is not None and field.scale is not None and field.scale > field.precision:
        return "has more decimals than digits; raise precision or lower scale"
    if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
        return "has a minimum above its maximum; swap them"
    if len(set(field.values)) != len(field.values):
        return "names a value twice; remove one"
    return None


def wrong_obligation(field: Field, *, verified: bool) -> str | None:
    """What is wrong with its mask or bands (rule 5 of the catalogue). `verified`: its item may be used in mode V."""
    if field.mask is not None and field.type not in {"string", "code"}:
        return "cannot be masked; only texts can"
    if field.bands and not field.numeric:
        return "cannot have bands; only numbers can"
    if not all(low < high for low, high in pairwise(field.bands)):
        return "has bands that do not ascend; sort them"
    if verified and field.numeric and not field.bands:
        return "needs bands, because its item may be verified (V); add them"
    return None


def parse_value(field: Field, text: str) -> Value:
    """One value of a field from text: the elements of a list are separated by "|", an empty text is no value.

    Numbers have no separators and no blanks around them; only decimals may have an exponent (spreadsheets write 1e+05). Dates are
    ISO 8601 (YYYY-MM-DD), months YYYY-MM. Decimals come with exactly the scale of their field.
    Raises ValueInvalid with what is wrong, never with the value itself.
    """
    if text == "":
        if field.nullable:
            return None
        if field.list:
            return []
        raise ValueInvalid("is empty, and the field must have a value")
    if field.list:
        return [_parse_text(field, part.strip()) for part in text.split("|")]
    return _PARSERS[field.type](field, text)


def _parse_text(field: Field, text: str) -> str:
    if any(ord(char) < 32 and char not in "\t\n\r" for char in text):
        raise ValueInvalid("contains a control character")
    if text == "":
        raise ValueInvalid("has an empty element")
    if field.type == "code" and len(text) != field.length:
        raise ValueInvalid(f"has {len(text)} characters, not {field.length}")
    if field.type == "string" and field.length is not None and len(text) > field.length:
        raise ValueInvalid(f"has {len(text)} characters, more than {field.length}")
    if field.type == "enum" and text not in field.values:
        raise ValueInvalid(f"is none of {', '.join(field.values)}")
    return text


def _parse_integer(field: Field, text: str) -> int:
    # 19 digits hold every 64-bit number, and keep a hostile text from costing quadratic time.
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise ValueInvalid("is no whole number of at most 19 digits")
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueInvalid("does not fit into 64 bits")
    _check_bounds(field, number)
    return number


def _check_bounds(field: Field, number: int | Decimal) -> None:
    if field.minimum is not None and number < field.minimum:
        raise ValueInvalid(f"is less than {field.minimum}")
    if field.maximum is not None and number > field.maximum:
        raise ValueInvalid(f"is more than {field.maximum}")


def _parse_decimal(field: Field, text: str) -> Decimal:
    if len(text) > 60 or not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?", text):
        raise ValueInvalid("is no decimal number of at most 60 characters")
    precision, scale = field.precision or 18, field.scale or 0
    number = Decimal(text)
    exact = number.quantize(Decimal(1).scaleb(-scale), context=_WIDE)
    if exact != number:
        raise ValueInvalid(f"has more than {scale} decimals")
    if exact.adjusted() >= precision - scale and exact != 0:
        raise ValueInvalid(f"has more than {precision - scale} digits before the point")
    _check_bounds(field, exact)
    return exact if exact else exact.copy_abs()


def _parse_boolean(_field: Field, text: str) -> bool:
    known = {"true": True, "1": True, "是": True, "false": False, "0": False, "否": False}
    if text.lower() not in known:
        raise ValueInvalid("is neither true nor false")
    return known[text.lower()]


def _parse_date(_field: Field, text: str) -> date:
    # The form is checked too: fromisoformat also takes weeks, such as 2026-W01-1.
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise ValueInvalid("is no day of the calendar") from None
    raise ValueInvalid("is no ISO date (YYYY-MM-DD)")


def _parse_month(_field: Field, text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text) or text.startswith("0000"):
        raise ValueInvalid("is no month (YYYY-MM)")
    return text


_PARSERS: Final[Mapping[str, Callable[[Field, str], Value]]] = MappingProxyType(
    {
        "string": _parse_text,
        "code": _parse_text,
        "enum": _parse_text,
        "integer": _parse_integer,
        "decimal": _parse_decimal,
        "boolean": _parse_boolean,
        "date": _parse_date,
        "month": _parse_month,
    }
)
