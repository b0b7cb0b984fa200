"""What the operator's service asks of products, models, exchanges and receipts (`hub.admin.rpc.Backoffice`)."""

from __future__ import annotations

from collections.abc import Collection

from consent.model_state import Model
from hub.exchanges import service as exchanges
from hub.exchanges.service import Exchange
from hub.models import service as models
from hub.products import service as products
from hub.state import Hub
from hub.usage import service as usage


class HubBackoffice:
    """See the module."""

    def __init__(self, hub: Hub) -> None:
        """Answer for this hub."""
        self._hub = hub

    async def review_product(self, product_id: str, *, approve: bool, reason: str, operator: str) -> int:
        """Publish or reject a product that waits; the index of its directory entry, 0 when rejected."""
        hub = self._hub
        stated = f"{reason} ({operator})" if reason else operator
        index = await hub.db.write(
            lambda write: products.review(hub, write, product_id, approve=approve, reason=stated)
        )
        return index or 0

    async def pending_products(self) -> list[bytes]:
        """The products that wait for review."""
        return await self._hub.db.read(products.pending)

    async def models(self) -> list[Model]:
        """Every model of the registry."""
        return await self._hub.db.read(models.everything)

    async def unmatched_receipts(self, older_than_ms: int) -> list[bytes]:
        """Receipts older than that many milliseconds whose twin has not come."""
        before_ms = self._hub.clock() - older_than_ms
        return await self._hub.db.read(lambda read: usage.unmatched(read, before_ms))

    async def exchanges(self, node_ids: Collection[str] | None) -> list[Exchange]:
        """Exchanges of these nodes, or of all: what has not ended, and what changed last."""
        return await self._hub.db.read(lambda read: exchanges.overview(read, node_ids))

    async def open_exchanges(self) -> int:
        """How many exchanges have not ended."""
        return await self._hub.db.read(exchanges.count_open)
