"""The mapping: which input of an imported model is which column of whom, and what the model itself does not say.

    name: sme-default-2026
    event: bad                      # the class whose probability is meant, where classes are not 0 and 1
    scale: {base_score: 600, base_odds: 50, pdo: 20}
    bands: {by: points, names: [D, C, B, A], edges: [540, 580, 620]}
    columns: [income, arrears]      # the order, for a model that numbers its inputs
    inputs:
      income: {own: annual_income, missing: 0}
      arrears: {member: tax-bureau, item: tax_arrears, field: amount, missing: 0, low: 0, high: 5000000}

It is plain data here; a node reads it from a file.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from modeling.errors import ModelInvalid
from modeling.jobs.plan import MAX_COLUMNS
from modeling.jobs.table import Aggregate
from modeling.scorecard import Scale
from modeling.scoring.inputs import ASKER, OWN
from modeling.scoring.meaning import Bands

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class _Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a mapping."""


class ReferenceMapping(_Mapping, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of the raw values where the model was made, missing ones first. Without edges or categories: of the model's own bins."""

    shares: tuple[float, ...]
    edges: tuple[float, ...] | None = None
    categories: tuple[str, ...] | None = None


class InputMapping(_Mapping, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input: a column of the owner (`own`), of whoever asks (`asker`), or a member's field.

    `missing`, `other`: the value that a missing one, or a category that the model does not know, is taken for; given where the model
    does not say it. `low`, `high`: a number outside is taken for the nearer one. `clip`: so many spreads from the centre. `centre`,
    `spread`: mean and standard deviation where the model was made, for a model that does not standardise itself.
    """

    own: _Name | None = None
    asker: _Name | None = None
    member: _Name | None = None
    item: _Name | None = None
    field: _Name | None = None
    aggregate: Aggregate = "latest"
    missing: float | str | None = None
    other: str | None = None
    low: float | None = None
    high: float | None = None
    clip: _Positive | None = None
    centre: float | None = None
    spread: _Positive | None = None
    reason: _Name | None = None
    reference: ReferenceMapping | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        theirs = [each is not None for each in (self.member, self.item, self.field)]
        ways = [self.own is not None, self.asker is not None, any(theirs)]
        if sum(ways) != 1 or (any(theirs) and not all(theirs)):
            raise ValueError("an input is one of: own; asker; member with item and field")
        if (self.centre is None) != (self.spread is None):
            raise ValueError("centre and spread go together")

    @property
    def whose(self) -> str:
        """A member, OWN or ASKER."""
        return OWN if self.own is not None else ASKER if self.asker is not None else str(self.member)

    @property
    def column(self) -> str:
        """The raw column's name."""
        return self.own or self.asker or f"{self.item}.{self.field}"


class ModelMapping(_Mapping, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the module. `output`: which output of an ONNX graph is the score."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    event: str | int | float | bool | None = None
    output: _Name | None = None
    scale: Scale | None = None
    bands: Bands | None = None
    columns: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=MAX_COLUMNS)] = ()
    inputs: Annotated[dict[_Name, InputMapping], msgspec.Meta(min_length=1, max_length=MAX_COLUMNS)]

    def sign(self, classes: tuple[str, str]) -> int:
        """1 where the second of a model's classes is the event, -1 where the first is. Raises ModelInvalid."""
        if self.event is None:
            if classes == ("0", "1"):
                return 1
            raise ModelInvalid(f"the model tells {classes[0]!r} from {classes[1]!r}: say in `event` which is the event")
        event = label_text(self.event)
        if event not in classes:
            raise ModelInvalid(f"the event {event!r} is none of the model's classes, {classes[0]!r} and {classes[1]!r}")
        return 1 if event == classes[1] else -1

    def ordered(self, count: int) -> tuple[str, ...]:
        """The names of a model's numbered inputs. Raises ModelInvalid."""
        if len(self.columns) != count:
            raise ModelInvalid(
                f"the model numbers its {count} inputs: name them in that order in `columns`, which has {len(self.columns)}"
            )
        return self.columns


def mapping_of(data: Any) -> ModelMapping:  # noqa: ANN401 - checked here
    """A mapping from plain data, as a file holds it. Raises ModelInvalid, which names the place."""
    try:
        return msgspec.convert(data, ModelMapping)
    except msgspec.ValidationError as error:
        raise ModelInvalid(f"the mapping of the model cannot be used: {error}. See docs/scoring.md.") from None


def label_text(label: object) -> str:
    """A class as text, so that 1, 1.0, True and "1" are one."""
    if isinstance(label, bool | int | float) and float(label).is_integer():
        return str(int(label))
    return str(label)
