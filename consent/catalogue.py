"""The credit information catalogue (信用信息目录): which items exist, how they may be used, and of which fields.

The catalogue is versioned data (`consent/data/catalogue-<version>.toml`), never code. Appendix A of DB11/T 2134-2023 is not to hand;
what the data says of its own provenance is kept and shown. A file that does not fit is refused as a whole (CATALOGUE_INVALID):

1. every item and field has the form below, and nothing else stands in the file;
2. items, fields and classes are named once, and every item belongs to a class of the file;
3. an item that is not provided (X) has no other mode, and an item of level 3 or 4 is never public;
4. a field states the measures that its type needs, and no others;
5. only texts are masked; only numbers have bands, in ascending order, and a number of an item that may be verified (V) has them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec

from consent.documents import ItemId, ItemMode
from consent.errors import CatalogueInvalid, ItemUnknown
from consent.fields import Field, NameText, parse_value, wrong_measure, wrong_obligation
from consent.rules import UsageRules

__all__ = ["Catalogue", "CatalogueClass", "Field", "Item", "load_catalogue", "parse_catalogue", "parse_value"]

CURRENT: Final = "2026.1"

Frequency = Literal[
    "daily", "T+1", "weekly", "7 working days", "monthly", "quarterly", "yearly", "on request", "per application", "-"
]

UPDATE_DAYS: Final[Mapping[str, int]] = MappingProxyType(
    {"daily": 1, "T+1": 1, "weekly": 7, "7 working days": 11, "monthly": 31, "quarterly": 92, "yearly": 366}
)
"""How old, in days, the data of an item may be before it is stale. 7 working days are at most 11 days outside long holidays."""


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One item of the catalogue. The first mode is the default."""

    id: ItemId
    class_id: str = msgspec.field(name="class")
    name: NameText
    name_en: NameText
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
        masks = self._masks
        if not masks:  # most items; this is asked for every decision
            return ()
        masked = rules.masked(self.level)
        return tuple((name, masks[name]) for name in names if name in masks and (masked or masks[name] == "digest"))

    @cached_property
    def _masks(self) -> Mapping[str, str]:
        """Of the fields that have a mask."""
        return {field.name: field.mask for field in self.fields if field.mask is not None}

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
    name: NameText
    name_en: NameText
    provenance: NameText


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: NameText
    provenance: NameText
    standard: NameText
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
        raise CatalogueInvalid(
            f"Item {item.id} of level {item.level} cannot be public; remove mode P or lower the level."
        )
    if len(item.by_name) != len(item.fields):
        raise CatalogueInvalid(f"Item {item.id} names a field twice; remove one.")
    for field in item.fields:
        wrong = wrong_measure(field) or wrong_obligation(field, verified=ItemMode.V in item.modes)
        if wrong is not None:
            raise CatalogueInvalid(f"Field {item.id}.{field.name} of type {field.type} {wrong}.")
