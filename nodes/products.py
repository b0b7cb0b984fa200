"""`products.toml`: the data products that this node's member offers.

    [[product]]
    product_id = "tax-credit"
    title = "Tax credit of enterprises"
    description = "…"
    items = [{ item_id = "tax_registration", modes = ["Q"], fields = ["authority", "status"] }]

An item must be in the catalogue, a mode one that the catalogue allows for it, a field one that it has. No fields means all of them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from consent.catalogue import Catalogue
from consent.directory import NodeId, ProductItem
from consent.documents import Document, FreeText, ShortText
from nodes.errors import SettingsInvalid


class OwnProduct(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One product as its owner declares it."""

    product_id: NodeId
    title: ShortText
    description: FreeText = ""
    items: tuple[ProductItem, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    product: tuple[OwnProduct, ...] = ()


def load_products(path: Path, catalogue: Catalogue) -> tuple[OwnProduct, ...]:
    """Read the file; a node without it offers nothing. Raises SettingsInvalid, naming the product and what to change."""
    try:
        parsed = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except FileNotFoundError:
        return ()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SettingsInvalid(f"{path} cannot be used: {error}. Correct the file.") from error
    for product in parsed.product:
        for offered in product.items:
            item = catalogue.find(offered.item_id)
            if item is None or not item.has_fields(offered.fields):
                raise SettingsInvalid(
                    f"Product {product.product_id}: the catalogue has no item {offered.item_id} with these fields."
                )
            wrong = [mode.value for mode in offered.modes if mode not in item.modes]
            if wrong:
                raise SettingsInvalid(
                    f"Product {product.product_id}: item {offered.item_id} may not be offered in mode {', '.join(wrong)}; "
                    f"the catalogue allows {', '.join(mode.value for mode in item.modes)}."
                )
    return parsed.product
