"""Which data a product needs, told to the enterprise: items by mode, and with each mode what the bank learns by it.

What a mode lets the bank learn is said once, in the notice that a consent names (`portal.consents.notice`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consent.catalogue import Item, load_catalogue
from consent.documents import ItemMode
from portal.consents.notice import NOTICES
from portal.products.product import Product
from portal.text import Name, Text

PUBLIC: Final = Text("Public: anybody can look this up. It needs no consent.")
_ORDER: Final = (ItemMode.J, ItemMode.V, ItemMode.Q, ItemMode.R, ItemMode.P)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The items of one mode. `learns`: what the bank learns by it."""

    mode: ItemMode
    learns: Text | Name
    items: tuple[Item, ...]

    @property
    def consent(self) -> bool:
        """Whether the enterprise has to consent."""
        return self.mode is not ItemMode.P


def by_mode(product: Product) -> tuple[Wanted, ...]:
    """What a product needs, beginning with the modes that tell the least."""
    catalogue = load_catalogue()
    found = []
    for mode in _ORDER:
        items = [catalogue.find(each.item_id) for each in product.required_items if each.mode is mode]
        if items:
            known = tuple(item for item in items if item is not None)
            found.append(Wanted(mode=mode, learns=_learns(mode), items=known))
    return tuple(found)


def _learns(mode: ItemMode) -> Text | Name:
    if mode is ItemMode.P:
        return PUBLIC
    return Name(NOTICES["zh"].modes[mode], NOTICES["en"].modes[mode])
