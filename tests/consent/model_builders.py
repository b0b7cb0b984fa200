"""Models for tests: valid documents of the registry that a test changes as it likes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from consent.decision import ItemUse
from consent.directory import Directory, Node, Product, ProductItem, ProductPublished
from consent.documents import ItemMode, Purpose
from consent.models import ModelAct, ModelApproval, ModelPart, ModelVersion, model_commitment, part_commitment
from trust.sm2 import PrivateKey

OWNER, OWNER_NODE = "firstbank", "firstbank-1"
PROVIDER, PROVIDER_NODE = "taxoffice", "taxoffice-1"
OTHER, OTHER_NODE = "powergrid", "powergrid-1"
SALT = "5a" * 16
NOW = 1_800_000_000_000


class Known(Directory):
    """A directory of these nodes, whose members are named before the dash; how entries come into one is tested elsewhere."""

    def __init__(self, keys: Mapping[str, PrivateKey], revoked: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.revoked = revoked or {}
        for node_id, key in keys.items():
            self.enrol(node_id, key)

    def enrol(self, node_id: str, key: PrivateKey) -> None:
        self._nodes[node_id] = Node(
            node_id=node_id,
            member_id=node_id.rpartition("-")[0],
            identity_key=key.public,
            enrolled_ms=0,
            revoked_ms=self.revoked.get(node_id),
        )

    def offer(self, provider: str, product_id: str, *items: str) -> None:
        offered = tuple(ProductItem(item_id=item, modes=(ItemMode.J,)) for item in items)
        entry = ProductPublished(product_id=product_id, provider=provider, title=product_id, items=offered, time_ms=NOW)
        self._products[product_id] = Product(published=entry)


def part(provider: str = PROVIDER, **changes: Any) -> ModelPart:
    """What a linear model reads of a provider."""
    made = ModelPart(
        provider=provider,
        product_id="tax-basics",
        items=(ItemUse(item_id="tax_registration", mode=ItemMode.J, fields=("status", "authority")),),
        features=6,
        nonzero=5,
        leverage=0.5,
        commitment=part_commitment(SALT, provider.encode()),
        preparation_sm3="ab" * 32,
    )
    return msgspec.structs.replace(made, **changes)


def version(*providers: str, **changes: Any) -> ModelVersion:
    """A linear model over these providers (one, if none is named), with a right commitment unless it is changed."""
    parts = changes.pop("parts", tuple(part(each) for each in providers or (PROVIDER,)))
    own = part_commitment(SALT, b"own")
    made = ModelVersion(
        model_id=str(uuid.uuid4()),
        name="sme-default",
        version=1,
        kind="linear",
        mode="model_to_data",
        owner=OWNER,
        owner_node=OWNER_NODE,
        purpose=Purpose.SCORING,
        parts=parts,
        own_features=2,
        own_commitment=own,
        commitment=model_commitment([own, *(each.commitment for each in parts)]),
        metrics={"auc": 0.78},
        created_ms=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def served_version(*askers: str, **changes: Any) -> ModelVersion:
    """Data to model: a model that these members (`PROVIDER`, if none is named) send their columns to."""
    own = part(OWNER, nonzero=None, leverage=None, preparation_sm3="")
    facts = {"mode": "data_to_model", "parts": (own,), "askers": askers or (PROVIDER,), "told": "{}"}
    return version(**(facts | changes))


def approval(model: ModelVersion, sm3: str, decision: Any = "approved", **changes: Any) -> ModelApproval:
    """A provider's word."""
    made = ModelApproval(
        model_id=model.model_id,
        model_sm3=sm3,
        provider=PROVIDER,
        node_id=PROVIDER_NODE,
        decision=decision,
        reason="checked",
        user="officer",
        time_ms=NOW + 1,
    )
    return msgspec.structs.replace(made, **changes)


def act(model: ModelVersion, sm3: str, what: Any = "in_service", **changes: Any) -> ModelAct:
    """The owner's act."""
    made = ModelAct(
        model_id=model.model_id,
        model_sm3=sm3,
        owner=OWNER,
        node_id=OWNER_NODE,
        act=what,
        reason="validated",
        user="risk",
        time_ms=NOW + 2,
    )
    return msgspec.structs.replace(made, **changes)
