"""The models that the agent can serve, and what a caller has to send for one of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from modeling.monitoring import Counted, Population
from nodes.scoring.own import OwnColumn
from nodes.scoring.scorer import Value
from nodes.service.problems import CallFailed, Fault

IN_SERVICE: Final = "in_service"
LONGEST_TEXT: Final = 200
_SHARES_AS_ROWS: Final = 10_000
"""A reference has shares only: as many rows as if it were counted over these."""


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of this node, as the agent tells it (`nodes.scoring.servable`). `state`: draft, approved, in_service, retired.

    `why`: of a state that refuses.
    """

    model_id: str
    name: str
    version: int
    kind: str
    mode: str = ""
    state: str
    why: str = ""
    providers: tuple[str, ...] = ()
    own_columns: tuple[OwnColumn, ...] = ()

    @property
    def title(self) -> str:
        """As people call it."""
        return f"{self.name} {self.version}"

    def require_in_service(self) -> None:
        """Raises CallFailed MODEL_RETIRED or MODEL_NOT_APPROVED."""
        if self.state == IN_SERVICE:
            return
        why = f": {self.why}" if self.why else ""
        if self.state == "retired":
            raise CallFailed("MODEL_RETIRED", f"Model {self.title} ({self.model_id}) was retired{why}.")
        raise CallFailed("MODEL_NOT_APPROVED", f"Model {self.title} ({self.model_id}) is not in service{why}.")

    def own_population(self) -> Population | None:
        """What the model itself says of whom it was made on; None if nothing."""
        counted = tuple(
            Counted(
                bins=each.reference.bins,
                counts=tuple(round(share * _SHARES_AS_ROWS) for share in each.reference.shares),
            )
            for each in self.own_columns
            if each.reference is not None
        )
        return Population(source="model", columns=counted) if counted else None


def named(models: Iterable[ServedModel], text: str) -> ServedModel:
    """The model with that identifier, or the newest one in service with that name. Raises CallFailed NOT_FOUND."""
    found = list(models)
    for each in found:
        if each.model_id == text:
            return each
    versions = [each for each in found if each.name == text]
    if not versions:
        raise CallFailed("NOT_FOUND", f"This node has no model {text!r}; GET /v1/models lists them.")
    return max(versions, key=lambda each: (each.state == IN_SERVICE, each.version))


def check_features(model: ServedModel, also: Sequence[OwnColumn], given: Sequence[Mapping[str, Value]]) -> None:
    """Own columns of each subject, in order. `also`: a challenger's, which may be given. Raises CallFailed that names every fault."""
    needed = {each.name: each for each in model.own_columns}
    known = {each.name: each for each in also} | needed
    faults = [
        Fault(f"subjects[{place}].features.{name}", what)
        for place, features in enumerate(given)
        for name, what in _faults(features, needed, known)
    ]
    if faults:
        named_ = ", ".join(dict.fromkeys(f"{each.where.partition('.features.')[2]} ({each.what})" for each in faults))
        raise CallFailed(
            "INVALID_ARGUMENT", f"Features do not fit model {model.title}: {named_[:1000]}.", faults=faults[:100]
        )


def columns_of(model: ServedModel, features: Mapping[str, Value]) -> dict[str, Value] | None:
    """The columns that a model reads out of what was given; None if one is not there."""
    if any(each.name not in features for each in model.own_columns):
        return None
    return {each.name: features[each.name] for each in model.own_columns}


def _faults(
    features: Mapping[str, Value], needed: Mapping[str, OwnColumn], known: Mapping[str, OwnColumn]
) -> Iterable[tuple[str, str]]:
    for name in needed:
        if name not in features:
            yield name, "missing"
    for name, value in features.items():
        if name not in known:
            yield name[:LONGEST_TEXT], "not a feature of the model"
        elif (what := _wrong(known[name], value)) is not None:
            yield name, what


def _wrong(column: OwnColumn, value: Value) -> str | None:
    if value is None:
        return None if column.nullable else "must not be null"
    if isinstance(value, str):
        if column.kind != "text":
            return "must be a number"
        return None if len(value) <= LONGEST_TEXT else f"longer than {LONGEST_TEXT} characters"
    if column.kind != "number" or isinstance(value, bool):
        return "must be a text" if column.kind == "text" else "must be a number"
    return None if math.isfinite(value) else "must be finite"
