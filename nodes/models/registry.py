"""The registry of one node: models are registered, approved, taken into service and retired here; exchanges ask what they may run.

The rules of this module:
1. A document counts only after this node has verified it against its own copy of the directory. What the hub sends that does not
   verify is refused and told in the status; what was taken once stays, so that a hub cannot take back a withdrawal.
2. What ends a use (withdraw, retire) is kept here first, with effect at once, and sent until the hub has it; everything else is kept
   once the hub took it.
3. A provider's node answers for itself: it computes for a model only if this very node approved it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consent.models import Metrics, Model, State
from nodes.models.parts import HeldPart, LinearParts


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an owner adds when it registers a model. `products`: by provider; one that is not named is found in the directory."""

    name: str
    version: int = 0
    description: str = ""
    products: Mapping[str, str]
    metrics: Metrics
    replaces: str | None = None
    licensed_bureau: str | None = None


class Registry:
    """See the module. Members of the home; `usable` and the like look at memory only and never wait."""

    def models(self) -> tuple[Model, ...]:
        """Every model that names this member, newest first; where each stands is its `standing`."""
        raise NotImplementedError

    def model(self, model_id: str) -> Model:
        """Raises NodeError NOT_FOUND."""
        raise NotImplementedError

    def role(self, model: Model) -> str:
        """What this member is to it: owner or provider."""
        raise NotImplementedError

    def usable(self, model_id: str, sm3: str = "") -> Model:
        """A model that may score now, at its owner's node as at a provider's; `sm3`: the very document that is meant.

        Raises NodeError NOT_FOUND, MODEL_NOT_APPROVED (not in service, another document, or not approved by this node), MODEL_RETIRED.
        """
        raise NotImplementedError

    def own_part(self, model_id: str) -> HeldPart:
        """What this node holds of a joint model, checked against the commitment. Raises NodeError NOT_FOUND, MODEL_INVALID."""
        raise NotImplementedError

    def linear(self, model_id: str) -> LinearParts:
        """A linear model of this node's own, checked against the commitments. Raises NodeError NOT_FOUND, MODEL_INVALID."""
        raise NotImplementedError

    async def register_linear(self, canonical: bytes, terms: Terms) -> Model:
        """Register a linear model from its canonical document (modeling/scoring/model.py).

        Raises NodeError MODEL_INVALID, PRODUCT_UNAVAILABLE, ALREADY_EXISTS; UNAVAILABLE when the hub is away.
        """
        raise NotImplementedError

    async def register_joint(self, job: str, terms: Terms) -> Model:
        """Register what a finished job of this node made. Raises as `register_linear`, and NOT_FOUND."""
        raise NotImplementedError

    async def approve(self, model_id: str, reason: str, user: str) -> State:
        """Let this very document be used. Raises NodeError NOT_FOUND, WRONG_STATE, MODEL_INVALID."""
        raise NotImplementedError

    async def decline(self, model_id: str, reason: str, user: str) -> State:
        """Say no to a model that this member has not approved."""
        raise NotImplementedError

    async def withdraw(self, model_id: str, reason: str, user: str) -> State:
        """End an approval for good, also while the hub is away: the next request is refused."""
        raise NotImplementedError

    async def serve(self, model_id: str, reason: str, user: str) -> State:
        """Take an approved model of this member into service."""
        raise NotImplementedError

    async def retire(self, model_id: str, reason: str, user: str) -> State:
        """Take a model of this member out of service for good."""
        raise NotImplementedError

    def opening(self, model_id: str, path: Path) -> None:
        """Write what an auditor needs to check the commitments: every part that this node holds. Raises NodeError NOT_FOUND."""
        raise NotImplementedError
