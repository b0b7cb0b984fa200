"""What is registered of an enterprise: a query of the public item, as `xinqiao query` makes it, by a node of the platform's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import msgspec
from xinqiao.v1 import agent_pb2

from cli.errors import CliError
from cli.options import items_json
from consent.decision import ItemUse
from consent.directory import ProductPublished
from consent.documents import ItemMode, Purpose
from nodes.client import AgentClient
from portal.hub_link import Registered, RegisteredFacts

ITEM: Final = "registration_basic"
FIELDS: Final = ("ent_name", "status", "region", "industry", "established")
USER: Final = "portal"
REASON: Final = "registration"
TIMEOUT_S: Final = 30.0
_Short = Annotated[str, msgspec.Meta(max_length=400)]


class _Record(msgspec.Struct, frozen=True):
    """A record as the node gives it; what it lacks is not known."""

    ent_name: _Short | None = None
    status: _Short | None = None
    region: _Short | None = None
    industry: _Short | None = None
    established: date | None = None


def offers_of(offers: Sequence[ProductPublished]) -> Sequence[tuple[str, str]]:
    """Provider and product of every offer of the public item, in a fixed order."""
    return sorted(
        (offer.provider, offer.product_id)
        for offer in offers
        if any(part.item_id == ITEM and ItemMode.P in part.modes for part in offer.items)
    )


def query_registration(node: Path, provider: str, product: str, uscc: str) -> Registered:
    """Ask a provider's node in an exchange of its own. `node`: home or agent's socket. Raises NodeError, CliError."""
    items = items_json((ItemUse(item_id=ITEM, mode=ItemMode.P, fields=FIELDS),))
    opening = agent_pb2.OpenQueryRequest(
        provider=provider,
        product_id=product,
        items_json=items,
        purpose=Purpose.VERIFICATION.value,
        reason=REASON,
        user=USER,
    )
    with AgentClient(node, timeout_s=TIMEOUT_S) as agent:
        exchange_id: str = agent.call("OpenQuery", opening).exchange_id
        try:
            asking = agent_pb2.QueryRequest(exchange_id=exchange_id, uscc=uscc, items_json=items)
            reply: agent_pb2.QueryReply = agent.call("Query", asking)
        finally:
            agent.call("CloseExchange", agent_pb2.CloseExchangeRequest(exchange_id=exchange_id))
    return Registered(provider=provider, exchange_id=exchange_id, facts=_facts(reply.records_json))


def _facts(records_json: bytes) -> RegisteredFacts | None:
    try:
        records = msgspec.json.decode(records_json, type=dict[str, list[_Record]]).get(ITEM, [])
    except msgspec.DecodeError as error:
        raise CliError("INTERNAL", f"The provider's registration cannot be read ({error}).") from error
    if not records:
        return None
    first = records[0]
    return RegisteredFacts(
        ent_name=first.ent_name or "",
        status=first.status or "",
        region=first.region or "",
        industry=first.industry or "",
        founded=first.established,
    )
