"""The credit information catalogue (信用信息目录): which items exist, how they may be used, and what their values look like.

The catalogue is versioned data (`consent/data/catalogue-<version>.toml`), never code. Appendix A of DB11/T 2134-2023 is not to hand;
what the data says of its own provenance is kept and shown. A file that does not fit is refused as a whole (CATALOGUE_INVALID):

1. every item and field has the form below, and nothing else stands in the file;
2. items, fields and classes are named once, and every item belongs to a class of the file;
3. an item that is not provided (X) has no other mode, and an item of level 3 or 4 is never public;
4. a field states the measures that its type needs, and no others;
5. only texts are masked; only numbers have bands, in ascending order, and a number of an item that may be verified (V) has them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property, lru_cache
from importlib import resources
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec

from consent.documents import FieldName, ItemId, ItemMode
from consent.errors import CatalogueInvalid, ItemUnknown, ValueInvalid
from consent.rules import UsageRules

CURRENT: Final = "2026.1"

FieldType = Literal["string", "code", "integer", "decimal", "boolean", "date", "month", "enum"]
MaskRule = Literal["name", "account", "address", "digest"]
Frequency = Literal[
    "daily", "T+1", "weekly", "7 working days", "monthly", "quarterly", "yearly", "on request", "per application", "-"
]
Value = str | int | bool | Decimal | date | list[str] | None

UPDATE_DAYS: Final[Mapping[str, int]] = MappingProxyType(
    {"daily": 1, "T+1": 1, "weekly": 7, "7 working days": 11, "monthly": 31, "quarterly": 92, "yearly": 366}
)
"""How old, in days, the data of an item may be before it counts as stale. 7 working days are at most 11 days (without long holidays)."""

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


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
    unit: _Name | None = None
    values: tuple[_Name, ...] = ()
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


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One item of the catalogue. The first mode is the default."""

    id: ItemId
    class_id: str = msgspec.field(name="class")
    name: _Name
    name_en: _Name
    level: Annotated[int, msgspec.Meta(ge=1, le=4)]
    modes: Annotated[tuple[ItemMode, ...], msgspec.Meta(min_length=1)]
    frequency: Frequency
    fields: Annotated[tuple[Field, ...], msgspec.Meta(min_length=1)]
    note: str = ""

    @property
    def provided(self) -> bool:
        """Whether the item is exchanged at all."""
        return self.modes != (ItemMode.X,)

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """The fields by name."""
        return {field.name: field for field in self.fields}

    def has_fields(self, names: tuple[str, ...]) -> bool:
        """Whether all these fields exist."""
        return all(name in self.by_name for name in names)

    def masking(self, names: tuple[str, ...], rules: UsageRules) -> tuple[tuple[str, str], ...]:
        """Which of these fields are masked, and how, at this item's level.

        The digest of an identity number is masked at every level: there are so few numbers that trying all inverts it.
        """
        masked = rules.masked(self.level)
        found = ((name, self.by_name[name].mask) for name in names)
        return tuple((name, mask) for name, mask in found if mask is not None and (masked or mask == "digest"))

    @property
    def update_days(self) -> int | None:
        """How old the data may be before it is stale, in days; None where it is made on request."""
        return UPDATE_DAYS.get(self.frequency)

    @property
    def period_field(self) -> str | None:
        """The field that a consent's range bounds: the period of the record, where it has one."""
        return next((name for name in ("period", "year") if name in self.by_name), None)


class CatalogueClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the classes of the catalogue."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]\Z")]
    name: _Name
    name_en: _Name
    provenance: _Name


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: _Name
    provenance: _Name
    standard: _Name
    classes: Annotated[tuple[CatalogueClass, ...], msgspec.Meta(min_length=1)] = msgspec.field(name="class")
    items: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(min_length=1)] = msgspec.field(name="item")


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """A version of the catalogue."""

    version: str
    provenance: str
    classes: tuple[CatalogueClass, ...]
    items: Mapping[str, Item]

    def find(self, item_id: str) -> Item | None:
        """An item, or None."""
        return self.items.get(item_id)

    def item(self, item_id: str) -> Item:
        """An item. Raises ItemUnknown."""
        item = self.items.get(item_id)
        if item is None:
            raise ItemUnknown(f"Catalogue {self.version} has no item {item_id!r}; `xinqiao node catalogue` lists them.")
        return item


def parse_catalogue(text: str) -> Catalogue:
    """Parse a catalogue file. Raises CatalogueInvalid, naming the line or the item, what is wrong and what to mend."""
    try:
        parsed = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CatalogueInvalid(f"The catalogue cannot be used: {error}. Correct the file.") from error
    classes = {each.id for each in parsed.classes}
    if len(classes) != len(parsed.classes):
        raise CatalogueInvalid("The catalogue names a class twice; remove one.")
    items: dict[str, Item] = {}
    for place, raw in enumerate(parsed.items, start=1):
        item = _parse_item(place, raw)
        if item.id in items:
            raise CatalogueInvalid(f"Item {item.id} stands in the catalogue twice; remove one.")
        _check_item(item, classes)
        items[item.id] = item
    return Catalogue(
        version=parsed.version, provenance=parsed.provenance, classes=parsed.classes, items=MappingProxyType(items)
    )


def _parse_item(place: int, raw: dict[str, Any]) -> Item:
    try:
        return msgspec.convert(raw, Item)
    except msgspec.ValidationError as error:
        raise CatalogueInvalid(
            f"Item {place} of the catalogue ({raw.get('id', 'without an id')}) cannot be used: {error}. Correct the item."
        ) from error


@lru_cache(maxsize=4)
def load_catalogue(version: str = CURRENT) -> Catalogue:
    """The catalogue that comes with the software. Raises CatalogueInvalid if there is no such version."""
    path = resources.files("consent") / "data" / f"catalogue-{version}.toml"
    if not path.is_file():
        raise CatalogueInvalid(f"This software has no catalogue {version!r}; it has {CURRENT}.")
    return parse_catalogue(path.read_text(encoding="utf-8"))


def _check_item(item: Item, classes: set[str]) -> None:
    """Rules 2 to 5 for one item."""
    if item.class_id not in classes:
        raise CatalogueInvalid(f"Item {item.id} names class {item.class_id!r}, which the catalogue does not have.")
    if len(set(item.modes)) != len(item.modes):
        raise CatalogueInvalid(f"Item {item.id} names a mode twice; remove one.")
    if ItemMode.X in item.modes and len(item.modes) > 1:
        raise CatalogueInvalid(f"Item {item.id} is not provided (X) and cannot have other modes; remove them or X.")
    if item.level >= 3 and ItemMode.P in item.modes:
        raise CatalogueInvalid(f"Item {item.id} of level {item.level} cannot be public; remove mode P or lower the level.")
    if len(item.by_name) != len(item.fields):
        raise CatalogueInvalid(f"Item {item.id} names a field twice; remove one.")
    for field in item.fields:
        wrong = _wrong_measure(field) or _wrong_obligation(field, verified=ItemMode.V in item.modes)
        if wrong is not None:
            raise CatalogueInvalid(f"Field {item.id}.{field.name} of type {field.type} {wrong}.")


_MEASURES: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = MappingProxyType(
    {  # type: (must have, may have)
        "string": (frozenset({"length"}), frozenset()),
        "code": (frozenset({"length"}), frozenset()),
        "integer": (frozenset(), frozenset({"minimum", "maximum"})),
        "decimal": (frozenset({"precision", "scale"}), frozenset({"minimum", "maximum"})),
        "enum": (frozenset({"values"}), frozenset()),
    }
)


def _wrong_measure(field: Field) -> str | None:
    """Rule 4."""
    needed, possible = _MEASURES.get(field.type, (frozenset(), frozenset()))
    all_measures = ("length", "precision", "scale", "minimum", "maximum", "values")
    stated = {name for name in all_measures if getattr(field, name) not in (None, ())}
    if needed - stated:
        return f"lacks {', '.join(sorted(needed - stated))}; add it"
    if stated - needed - possible:
        return f"cannot have {', '.join(sorted(stated - needed - possible))}; remove it"
    if field.precision is not None and field.scale is not None and field.scale > field.precision:
        return "has more decimals than digits; raise precision or lower scale"
    if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
        return "has a minimum above its maximum; swap them"
    if len(set(field.values)) != len(field.values):
        return "names a value twice; remove one"
    if field.list and field.type not in {"string", "code", "enum"}:
        return "cannot be a list; only texts can"
    return None


def _wrong_obligation(field: Field, *, verified: bool) -> str | None:
    """Rule 5."""
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

    Numbers are plain decimal (no exponent, no separators, no surrounding blanks), dates ISO 8601 (YYYY-MM-DD), months YYYY-MM.
    Decimals come with exactly the scale of their field.
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
    precision, scale = field.precision or 18, field.scale or 0
    form = re.fullmatch(r"[+-]?0*([0-9]*)(?:\.([0-9]*?)0*)?", text)
    if form is None or not any(char.isdigit() for char in text):
        raise ValueInvalid("is no plain decimal number")
    if len(form[2] or "") > scale:
        raise ValueInvalid(f"has more than {scale} decimals")
    if len(form[1]) > precision - scale:
        raise ValueInvalid(f"has more than {precision - scale} digits before the point")
    # Built from digits, not by quantize: the default context rounds to 28 digits, and decimal128 holds 38.
    digits = int((form[1] or "0") + (form[2] or "").ljust(scale, "0"))
    number = Decimal((int(text[0] == "-" and digits != 0), tuple(map(int, str(digits))), -scale))
    _check_bounds(field, number)
    return number


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
