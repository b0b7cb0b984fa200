"""What a product that is on offer lets somebody use."""

from __future__ import annotations

from collections.abc import Iterable

from consent.decision import ItemUse
from consent.directory import Directory, ProductItem
from consent.documents import ItemMode
from hub.errors import HubError


def require_offer(
    directory: Directory, provider: str, product_id: str, items: Iterable[ItemUse], *, compares_sets: bool = False
) -> None:
    """Return if this provider offers every item in its mode and with its fields. Raises HubError PRODUCT_UNAVAILABLE.

    A comparison of sets shows nothing of an item: it names its items in mode X, without fields.
    """
    product = directory.product(product_id)
    if product is None or product.withdrawn_ms is not None or product.published.provider != provider:
        raise HubError(
            "PRODUCT_UNAVAILABLE",
            f"{provider} publishes no product {product_id[:60]!r}; choose one from the catalogue",
        )
    offered = {item.item_id: item for item in product.published.items}
    for use in items:
        item = offered.get(use.item_id)
        if item is None or not _offers(item, use, compares_sets):
            raise HubError(
                "PRODUCT_UNAVAILABLE",
                f"product {product_id} does not offer item {use.item_id} in mode {use.mode} with these fields; "
                "choose what it lists",
            )


def _offers(item: ProductItem, use: ItemUse, compares_sets: bool) -> bool:
    if compares_sets:
        return use.mode is ItemMode.X and not use.fields
    return item.offers(use.item_id, use.mode, use.fields)
