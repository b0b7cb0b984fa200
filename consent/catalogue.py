"""The credit information catalogue (信用信息目录): which items exist, how they may be used, and what their values look like.

The catalogue is versioned data (`consent/data/catalogue-<version>.toml`), never code. Appendix A of DB11/T 2134-2023 is not to hand;
what the data says of its own provenance is kept and shown. A file that does not fit is refused as a whole (CATALOGUE_INVALID).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, Final, Literal

import msgspec

from consent.documents import FieldName, ItemId, ItemMode
from consent.errors import CatalogueInvalid, ItemUnknown
from consent.rules import UsageRules

CURRENT: Final = "2026.1"

FieldType = Literal["string", "code", "integer", "decimal", "boolean", "date", "month", "enum"]
Value = str | int | bool | Decimal | date | list[str] | None


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field of an item.

    `length`: of a string (at most) or a code (exactly). `bands`: the lower edges of the classes that verification mode shows.
    `mask`: how the value is shown where the usage rules demand masking (see `consent.masking`).
    """

    name: FieldName
    type: FieldType
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    unit: str | None = None
    values: tuple[str, ...] = ()
    list: bool = False
    nullable: bool = False
    mask: str | None = None
    bands: tuple[float, ...] = ()

    @property
    def arrow_type(self) -> str:
        """The name of the Arrow type that holds the field."""
        names = {"integer": "int64", "boolean": "bool", "date": "date32"}
        if self.type == "decimal":
            return f"decimal128({self.precision},{self.scale})"
        return "list<string>" if self.list else names.get(self.type, "string")


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One item of the catalogue. The first mode is the default."""

    id: ItemId
    class_id: str = msgspec.field(name="class")
    name: str
    name_en: str
    level: Annotated[int, msgspec.Meta(ge=1, le=4)]
    modes: Annotated[tuple[ItemMode, ...], msgspec.Meta(min_length=1)]
    frequency: str
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
        """Which of these fields are masked, and how, at this item's level."""
        if not rules.masked(self.level):
            return ()
        return tuple((name, mask) for name in names if (mask := self.by_name[name].mask) is not None)

    @property
    def period_field(self) -> str | None:
        """The field that a consent's range bounds: the period of the record, where it has one."""
        return next((name for name in ("period", "year") if name in self.by_name), None)


class CatalogueClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the classes of the catalogue."""

    id: str
    name: str
    name_en: str
    provenance: str


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: str
    provenance: str
    standard: str
    classes: tuple[CatalogueClass, ...] = msgspec.field(name="class")
    items: tuple[Item, ...] = msgspec.field(name="item")


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
    """Parse a catalogue file. Raises CatalogueInvalid, naming the place and what is wrong."""
    try:
        parsed = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CatalogueInvalid(f"The catalogue cannot be used: {error}. Correct the file.") from error
    classes = {each.id for each in parsed.classes}
    items: dict[str, Item] = {}
    for item in parsed.items:
        if item.id in items:
            raise CatalogueInvalid(f"Item {item.id} stands in the catalogue twice; remove one.")
        _check_item(item, classes)
        items[item.id] = item
    return Catalogue(version=parsed.version, provenance=parsed.provenance, classes=parsed.classes, items=items)


@lru_cache(maxsize=4)
def load_catalogue(version: str = CURRENT) -> Catalogue:
    """The catalogue that comes with the software. Raises CatalogueInvalid if there is no such version."""
    path = resources.files("consent") / "data" / f"catalogue-{version}.toml"
    if not path.is_file():
        raise CatalogueInvalid(f"This software has no catalogue {version!r}; it has {CURRENT}.")
    return parse_catalogue(path.read_text(encoding="utf-8"))


def _check_item(item: Item, classes: set[str]) -> None:
    if item.class_id not in classes:
        raise CatalogueInvalid(f"Item {item.id} names class {item.class_id!r}, which the catalogue does not have.")
    if ItemMode.X in item.modes and len(item.modes) > 1:
        raise CatalogueInvalid(f"Item {item.id} is not provided (X) and cannot have other modes.")
    if item.level >= 3 and ItemMode.P in item.modes:
        raise CatalogueInvalid(f"Item {item.id} of level {item.level} cannot be public.")
    if len({field.name for field in item.fields}) != len(item.fields):
        raise CatalogueInvalid(f"Item {item.id} names a field twice.")
    for field in item.fields:
        needs = {"code": field.length, "decimal": field.precision, "enum": field.values or None, "string": field.length}
        if field.type in needs and needs[field.type] is None:
            raise CatalogueInvalid(f"Field {item.id}.{field.name} of type {field.type} lacks its length, precision or values.")


def parse_value(field: Field, text: str) -> Value:
    """One non-empty value of a field from text. Raises ValueError with what is wrong, never with the value itself."""
    if field.list:
        return [part.strip() for part in text.split("|")]
    match field.type:
        case "string" | "code" | "enum":
            return _parse_text(field, text)
        case "integer":
            return _bounded(field, _to_int(text))
        case "decimal":
            return _parse_decimal(field, text)
        case "boolean":
            return _parse_boolean(text)
        case "date":
            return _parse_date(text)
        case "month":
            _parse_date(f"{text}-01")
            return text


def _parse_text(field: Field, text: str) -> str:
    if field.type == "code" and len(text) != field.length:
        raise ValueError(f"has {len(text)} characters, not {field.length}")
    if field.type == "string" and field.length is not None and len(text) > field.length:
        raise ValueError(f"has {len(text)} characters, more than {field.length}")
    if field.type == "enum" and text not in field.values:
        raise ValueError(f"is none of {', '.join(field.values)}")
    return text


def _to_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("is no whole number") from None


def _bounded(field: Field, number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError("does not fit into 64 bits")
    if (field.minimum is not None and number < field.minimum) or (field.maximum is not None and number > field.maximum):
        raise ValueError(f"lies outside {field.minimum} to {field.maximum}")
    return number


def _parse_decimal(field: Field, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("is no decimal number") from None
    if not number.is_finite():
        raise ValueError("is not finite")
    precision, scale = field.precision or 18, field.scale or 0
    try:
        exact = number.quantize(Decimal(1).scaleb(-scale))
    except InvalidOperation:
        raise ValueError(f"has more than {precision} digits") from None
    if exact != number:
        raise ValueError(f"has more than {scale} decimals")
    if len(exact.as_tuple().digits) > precision:
        raise ValueError(f"has more than {precision} digits")
    return exact


def _parse_boolean(text: str) -> bool:
    known = {"true": True, "1": True, "是": True, "false": False, "0": False, "否": False}
    if text.lower() not in known:
        raise ValueError("is neither true nor false")
    return known[text.lower()]


def _parse_date(text: str) -> date:
    if len(text) != 10:
        raise ValueError("is no ISO date (YYYY-MM-DD, or YYYY-MM for a month)")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("is no ISO date (YYYY-MM-DD, or YYYY-MM for a month)") from None
