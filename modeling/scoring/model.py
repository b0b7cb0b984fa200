"""A linear scoring model as one document: what it reads of whom, the weights, and what its score means.

    z = intercept + sum over features of weights . columns(raw value)

`Meaning` says what z means. The owner has the whole document; a member that brings columns is told its `Preparation` (inputs.py) only;
its `Part`, with the weights, is what a commitment is over and what an auditor is shown. `canonical` gives the bytes of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec
import numpy as np

from modeling.errors import ModelingError, ModelInvalid
from modeling.jobs.plan import MAX_COLUMNS
from modeling.jobs.table import Flags, Table
from modeling.preparation.columns import Numbers, OneHot
from modeling.scoring.inputs import ASKER, OWN, Binned, Input, Member, Preparation, check_inputs
from modeling.scoring.meaning import Meaning

MAX_MODEL_BYTES = 8 << 20

Mode = Literal["model_to_data", "data_to_model"]
_Document = TypeVar("_Document")
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Texts = Annotated[tuple[_Name, ...], msgspec.Meta(max_length=MAX_COLUMNS)]


class Feature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input and its weights, one for each of its columns.

    `reasons`: codes of why the feature costs points: none (its name serves), one, or one for each bin or category. `baseline`: what it
    adds to z where it costs nothing; None: the least that it adds, of a number two spreads off its centre.
    """

    input: Input
    weights: tuple[float, ...]
    reasons: _Texts = ()
    baseline: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        count = len(self.input.names)
        if len(self.weights) != count:
            raise ValueError(f"feature {self.input.name!r} has {count} columns and {len(self.weights)} weights")
        if not all(math.isfinite(each) for each in (*self.weights, self.baseline or 0.0)):
            raise ValueError(f"feature {self.input.name!r}: weights and baseline are finite")
        each = count if isinstance(self.input.column, Binned | OneHot) else 1
        if len(self.reasons) not in {0, 1, each}:
            raise ValueError(
                f"feature {self.input.name!r} has no reason, one, or one for each of its bins or categories"
            )


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one member's columns count for. Lies at the model's owner; `canonical` of it, salted, is committed to."""

    preparation: Preparation
    weights: tuple[float, ...]
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if len(self.weights) != len(self.preparation.names) or not np.isfinite(self.weights).all():
            raise ValueError("a part has a finite weight for each of its columns")

    @property
    def member(self) -> str:
        """Whose columns."""
        return self.preparation.member

    @property
    def features(self) -> int:
        """How many raw columns it reads."""
        return len(self.preparation.inputs)

    @property
    def nonzero(self) -> int:
        """How many raw columns the score depends on."""
        return sum(bool(np.ptp(each.cases @ weights) > 0) for each, weights in self.terms)

    @property
    def terms(self) -> tuple[tuple[Input, Numbers], ...]:
        """Each input with its weights, float64[columns]."""
        ends = np.cumsum([len(each.names) for each in self.preparation.inputs])
        found = np.split(np.array(self.weights, np.float64), ends[:-1])
        return tuple(zip(self.preparation.inputs, found, strict=True)) if self.preparation.inputs else ()

    def predictor(self, table: Table, present: Flags) -> Numbers:
        """float64[n]: what these columns add to z, in the clear. Raises DataUnusable."""
        return np.asarray(self.preparation.apply(table, present) @ np.array(self.weights, np.float64))


class LinearModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole model; `parse_model` reads one."""

    name: _Name
    meaning: Meaning = Meaning()
    intercept: float
    features: Annotated[tuple[Feature, ...], msgspec.Meta(min_length=1, max_length=MAX_COLUMNS)]
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not math.isfinite(self.intercept):
            raise ValueError("the intercept is finite")
        check_inputs([each.input for each in self.features])
        if ASKER in self.members and len(self.members) > 1:
            raise ValueError("columns of whoever asks (*) and of named members do not go together")

    @property
    def members(self) -> tuple[str, ...]:
        """Who brings columns, in the order of the features; not the owner. `(ASKER,)` for data to model."""
        return tuple(dict.fromkeys(each.input.member for each in self.features if each.input.member != OWN))

    @property
    def mode(self) -> Mode:
        """Who sends what is encrypted."""
        return "data_to_model" if ASKER in self.members else "model_to_data"

    def preparation_for(self, member: Member) -> Preparation:
        """What the member is told; without inputs where it brings none."""
        return Preparation(member=member, inputs=tuple(each.input for each in self._of(member)))

    def part_for(self, member: Member) -> Part:
        """The member's part; `part_for(OWN)` is the owner's, without the intercept."""
        weights = tuple(weight for each in self._of(member) for weight in each.weights)
        return Part(preparation=self.preparation_for(member), weights=weights)

    def own_predictor(self, table: Table, present: Flags) -> Numbers:
        """float64[n]: the intercept and what the owner's columns add, `table` by their names. Raises DataUnusable."""
        return self.intercept + self.part_for(OWN).predictor(table, present)

    def _of(self, member: Member) -> tuple[Feature, ...]:
        return tuple(each for each in self.features if each.input.member == member)


def score_plain(model: LinearModel, tables: Mapping[str, Table], present: Mapping[str, Flags]) -> Numbers:
    """float64[n]: z of every row with all data in one place, as a test holds it against; `tables` by member, OWN for the owner's."""
    total: Numbers = np.asarray(model.own_predictor(tables.get(OWN, {}), present[OWN]))
    for member in model.members:
        total = total + model.part_for(member).predictor(tables[member], present[member])
    return total


def canonical(document: msgspec.Struct) -> bytes:
    """The one form of a document: JSON with sorted keys, floats in the shortest form that reads back exactly."""
    written = msgspec.json.encode(document)
    return msgspec.json.encode(msgspec.json.decode(written, type=type(document)), order="sorted")


def parse_model(data: bytes) -> LinearModel:
    """Raises ModelInvalid."""
    return _parse(data, LinearModel)


def parse_part(data: bytes) -> Part:
    """Raises ModelInvalid."""
    return _parse(data, Part)


def parse_preparation(data: bytes) -> Preparation:
    """Raises ModelInvalid."""
    return _parse(data, Preparation)


def _parse(data: bytes, kind: type[_Document]) -> _Document:
    if len(data) > MAX_MODEL_BYTES:
        raise ModelInvalid(f"a model of more than {MAX_MODEL_BYTES >> 20} MB cannot be meant")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ModelingError) as error:
        raise ModelInvalid(f"the model cannot be read: {error}. See docs/scoring.md.") from None
