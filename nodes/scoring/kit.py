"""What a provider computes with, by the kind of the model: which of its columns, how they are prepared, what is kept warm.

| kind           | weights                              | preparation                  | what a question brings                  |
|----------------|--------------------------------------|------------------------------|-----------------------------------------|
| linear         | the owner's, encrypted               | the owner's document         |                                         |
| joint_logistic | this party's coefficients            | this party's own part        |                                         |
| joint_boosting | this party's splits                  | this party's own part        | of a single provider: encrypted leaves  |
| data to model  | this party's own                     | this party's own document    | the asker's columns, encrypted          |
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

from consent.model_state import Model
from consent.models import ModelPart
from modeling.errors import ModelInvalid
from modeling.jobs.passive import PassiveResult
from modeling.scoring.fixed import Floats
from modeling.scoring.inputs import ASKER, Preparation
from modeling.scoring.leverage import misdeclared
from modeling.scoring.model import LinearModel, canonical, parse_model, parse_preparation
from nodes.errors import NodeError
from nodes.joint.provider_plan import DecidedPlan
from nodes.models.registering import own_columns
from nodes.scoring.columns import Columns, WantedItem
from nodes.scoring.limits import PartFacts
from nodes.scoring.node import ScoringNode
from nodes.scoring.work import Load, LoadBoosting, LoadLogistic, LoadOwner, LoadSides, Task
from trust.suite import sm3


class Kit(Protocol):
    """One model at this provider."""

    @property
    def items(self) -> tuple[WantedItem, ...]:
        """What is read."""
        ...

    @property
    def facts(self) -> PartFacts | None:
        """What the limits look at; None where there is nothing to look at: of this party's own model, and where sides are told."""
        ...

    @property
    def asked(self) -> int:
        """Columns of the requester that it reads, of this party's own model; else 0."""
        ...

    def load(self, session: str, place: int, seeds: Mapping[int, bytes]) -> Task:
        """What the process of scoring keeps for a session."""
        ...

    def features(self, columns: Columns) -> Floats:
        """float64[n, p]. Raises DataUnusable."""
        ...

    def strange(self, columns: Columns) -> tuple[str, ...]:
        """Columns that are spread otherwise here than the model declares, so that its leverage says nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class LinearKit:
    """A linear model: everything comes from its owner."""

    items: tuple[WantedItem, ...]
    facts: PartFacts
    preparation: Preparation
    public: bytes
    weights: bytes
    asked: int = 0

    def load(self, session: str, place: int, seeds: Mapping[int, bytes]) -> Task:
        """As in Kit."""
        return Load(session=session, place=place, seeds=dict(seeds), public=self.public, weights=self.weights)

    def features(self, columns: Columns) -> Floats:
        """As in Kit."""
        return self.preparation.apply(columns.table, columns.present)

    def strange(self, columns: Columns) -> tuple[str, ...]:
        """As in Kit."""
        return misdeclared(self.preparation, columns.table, columns.present)


@dataclass(frozen=True, kw_only=True)
class JointKit:
    """A joint model: this party has its part, the owner knows nothing of it. `blobs`: what the opening brought."""

    items: tuple[WantedItem, ...]
    facts: PartFacts | None
    part: PassiveResult
    alone: bool
    blobs: tuple[bytes, ...]
    asked: int = 0

    def load(self, session: str, place: int, seeds: Mapping[int, bytes]) -> Task:
        """As in Kit."""
        if self.part.boosting is None:
            coefficients = np.array(self.part.coefficients, np.float64).tobytes()
            return LoadLogistic(session=session, place=place, seeds=dict(seeds), coefficients=coefficients)
        part = msgspec.json.encode(self.part.boosting)
        if not self.alone:
            return LoadSides(session=session, part=part)
        public, opening = self.blobs
        return LoadBoosting(session=session, part=part, public=public, opening=opening)

    def features(self, columns: Columns) -> Floats:
        """As in Kit."""
        return self.part.prepared.matrix(columns.table, columns.present)

    def strange(self, columns: Columns) -> tuple[str, ...]:
        """As in Kit; the party's own preparation declares nothing to anybody."""
        return ()


@dataclass(frozen=True, kw_only=True)
class OwnerKit:
    """Data to model: this party's own model, to which the asker's encrypted columns come."""

    items: tuple[WantedItem, ...]
    model: LinearModel
    public: bytes
    facts: None = None

    @property
    def asked(self) -> int:
        """As in Kit."""
        return self.model.part_for(ASKER).features

    def load(self, session: str, place: int, seeds: Mapping[int, bytes]) -> Task:
        """As in Kit."""
        return LoadOwner(session=session, model=canonical(self.model), public=self.public)

    def features(self, columns: Columns) -> Floats:
        """float64[n, 1]: what is added to each score: the intercept, and what the own columns count for."""
        return np.asarray(self.model.own_predictor(columns.table, columns.present)[:, None])

    def strange(self, columns: Columns) -> tuple[str, ...]:
        """As in Kit."""
        return ()


async def kit_of(node: ScoringNode, model: Model, part: ModelPart, blobs: Sequence[bytes]) -> Kit:
    """Raises NodeError, ModelInvalid."""
    if model.version.mode == "model_to_data":
        return _linear(node, part, blobs)
    if model.version.mode == "data_to_model":
        return _owner(node, model, blobs)
    return await _joint(node, model, part, tuple(blobs))


def _linear(node: ScoringNode, part: ModelPart, blobs: Sequence[bytes]) -> LinearKit:
    if len(blobs) != 4 or sm3(blobs[0]).hex() != part.preparation_sm3:
        raise NodeError("The columns are prepared otherwise than the model's document says.", code="MODEL_INVALID")
    preparation = parse_preparation(blobs[0])
    if preparation.member != node.member_id or _fields(preparation.items) != _fields(
        {use.item_id: use.fields for use in part.items}
    ):
        raise NodeError("The preparation is of other columns than the model's document names.", code="MODEL_INVALID")
    if part.nonzero is None or part.leverage is None:
        raise NodeError("The model's document attests nothing about its weights.", code="MODEL_INVALID")
    return LinearKit(
        items=_wanted(preparation),
        facts=PartFacts(features=part.features, nonzero=part.nonzero, leverage=part.leverage),
        preparation=preparation,
        public=blobs[1],
        weights=blobs[2],
    )


def _fields(items: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    return {item: set(fields) for item, fields in items.items()}


def _owner(node: ScoringNode, model: Model, blobs: Sequence[bytes]) -> OwnerKit:
    if len(blobs) != 1:
        raise NodeError("The opening does not bring what this kind of model needs.", code="MODEL_INVALID")
    linear = parse_model(node.registry.linear(model.version.model_id).model)
    return OwnerKit(items=_wanted(own_columns(linear, node.member_id)), model=linear, public=blobs[0])


def _wanted(preparation: Preparation) -> tuple[WantedItem, ...]:
    return tuple(
        WantedItem(item_id=item, fields=fields, aggregate=preparation.aggregates[item])
        for item, fields in preparation.items.items()
    )


async def _joint(node: ScoringNode, model: Model, part: ModelPart, blobs: tuple[bytes, ...]) -> JointKit:
    alone = len(model.version.parts) == 1
    if len(blobs) != (2 if alone and model.version.kind == "joint_boosting" else 0):
        raise NodeError("The opening does not bring what this kind of model needs.", code="MODEL_INVALID")
    try:
        own = msgspec.json.decode(node.registry.own_part(model.version.model_id).part, type=PassiveResult)
    except msgspec.MsgspecError as error:
        raise ModelInvalid(f"this party's part of the model cannot be read: {error}") from None
    job = model.version.job
    plan = await node.store.read(lambda connection: _plan(connection, job, model.version.owner))
    items = {item.item_id: item for item in plan.proposal.items}
    wanted = tuple(
        WantedItem(item_id=use.item_id, fields=tuple(items[use.item_id].fields), aggregate=items[use.item_id].aggregate)
        for use in part.items
        if use.item_id in items
    )
    return JointKit(items=wanted, facts=_facts(own, alone=alone), part=own, alone=alone, blobs=blobs)


def _plan(connection: sqlite3.Connection, job: str, owner: str) -> DecidedPlan:
    row = connection.execute("SELECT plan FROM joint_out WHERE job_id = ? AND requester = ?", (job, owner)).fetchone()
    if row is None:
        raise NodeError(f"This node did not take part in job {job}, of which the model is.", code="MODEL_INVALID")
    return msgspec.json.decode(row[0], type=DecidedPlan)


def _facts(own: PassiveResult, *, alone: bool) -> PartFacts | None:
    """What this party knows of its own part; nobody who knows the weights sees the features, so there is no leverage."""
    if own.boosting is not None and not alone:
        return None
    if own.boosting is not None:
        used = {each.split.feature for each in own.boosting.splits}
        return PartFacts(features=own.boosting.features, nonzero=len(used), leverage=0.0, trained=True)
    return PartFacts(features=len(own.coefficients), nonzero=sum(each != 0 for each in own.coefficients), leverage=0.0)
