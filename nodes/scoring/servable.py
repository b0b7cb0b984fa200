"""The models that this node may score with, as its own programs list them."""

from __future__ import annotations

import msgspec

from consent.model_state import Model, State
from modeling.errors import ModelingError
from modeling.jobs.active import ActivePartOfJob
from modeling.scoring.inputs import OWN
from modeling.scoring.model import parse_model
from modeling.scoring.told import parse_told
from nodes.errors import NodeError
from nodes.models.registry import Registry
from nodes.scoring.own import OwnColumn, columns_of, columns_of_job


class Servable(msgspec.Struct, frozen=True, kw_only=True):
    """A model to score with. `why`: why it is not in service here; `own_columns`: what the bank brings itself.

    `name`: of another member's model "owner/name", so that it cannot be taken for one of this member's.
    """

    model_id: str
    name: str
    version: int
    kind: str
    mode: str
    state: str
    why: str
    providers: tuple[str, ...]
    own_columns: tuple[OwnColumn, ...]


def servable(registry: Registry, member: str) -> list[Servable]:
    """Every model that this member may score with, newest first, whatever its state; one whose parts are gone says so."""
    return [_servable(registry, each) for each in registry.models() if each.version.may_ask(member)]


def _servable(registry: Registry, model: Model) -> Servable:
    version, standing = model.version, model.standing
    state, why = standing.state, standing.reason
    columns: tuple[OwnColumn, ...] = ()
    try:
        columns = _columns(registry, model)
        if state is State.IN_SERVICE:
            registry.usable(version.model_id)
    except (NodeError, ModelingError, msgspec.MsgspecError) as error:
        state, why = State.APPROVED if state is State.IN_SERVICE else state, why or str(error)
    return Servable(
        model_id=version.model_id,
        name=version.name if registry.is_owner(model) else f"{version.owner}/{version.name}",
        version=version.version,
        kind=version.kind,
        mode=version.mode,
        state=state,
        why=why,
        providers=version.providers,
        own_columns=columns,
    )


def _columns(registry: Registry, model: Model) -> tuple[OwnColumn, ...]:
    version = model.version
    if version.mode == "data_to_model":
        return columns_of(parse_told(version.told).preparation)
    if version.kind == "linear":
        return columns_of(parse_model(registry.linear(version.model_id).model).preparation_for(OWN))
    part = msgspec.json.decode(registry.own_part(version.model_id).part, type=ActivePartOfJob)
    return columns_of_job(part.prepared)
