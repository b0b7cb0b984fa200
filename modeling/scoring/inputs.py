"""What a model reads: one raw column of one party, made into columns of numbers whose magnitudes are bounded beforehand.

Which member brings a column and how it is made into numbers is known to the owner of the model and to that member (`Preparation`);
the weights are not here. A missing value, and a subject without any record, is always taken for something that the column's rule
declares: the fill of a number, the column or the bin of missing values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.jobs.plan import MAX_COLUMNS
from modeling.jobs.table import Aggregate, Flags, Table
from modeling.preparation.binning import Bins, CategoryBins, assign
from modeling.preparation.columns import Number, Numbers, OneHot, Ordinal, apply, names, source

OWN: Final = ""
"""In place of a member: a column of the model's owner."""
ASKER: Final = "*"
"""In place of a member: a column of whoever asks for the score (data to model)."""
LARGEST_BOUND: Final = 1e6
"""Of a prepared number: more could not be told apart from its rounding in fixed point."""

Member = Annotated[str, msgspec.Meta(pattern=r"^([a-z][a-z0-9-]{1,40}|\*)?\Z")]
_ITEM_FIELD: Final = re.compile(r"([a-z][a-z0-9_]{1,60})\.([a-z][a-z0-9_]{0,60})")


class Binned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="binned"):
    """A column of 0 and 1 for each bin, that of missing values first: a characteristic of a scorecard."""

    bins: Bins


Transform = Number | OneHot | Ordinal | Binned


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the raw values were distributed where the model was made: the share of each bin, that of missing values first."""

    bins: Bins
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if len(self.shares) != self.bins.count:
            raise ValueError(f"a reference of {self.bins.count} bins has as many shares, not {len(self.shares)}")
        if not all(0 <= each <= 1 for each in self.shares) or abs(math.fsum(self.shares) - 1) > 1e-6:
            raise ValueError("the shares of a reference are from 0 to 1 and sum to 1")


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One raw column and how it is prepared. A member's column is named `item.field`, one of the owner's as its file names it.

    `aggregate`: how several records of a subject become one. `reference`: None where nothing is known but the column's own rule.
    """

    member: Member = OWN
    aggregate: Aggregate = "latest"
    column: Transform
    reference: Reference | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, which names the column."""
        if self.member not in {OWN, ASKER} and _ITEM_FIELD.fullmatch(self.name) is None:
            raise ValueError(f"column {self.name!r} of {self.member} is not named as item.field")
        if not self.name or len(self.name) > 200:
            raise ValueError("a column has a name of at most 200 characters")
        _check(self.name, self.column)
        if self.reference is not None and self.reference.bins.name != self.name:
            raise ValueError(f"the reference of column {self.name!r} is of {self.reference.bins.name!r}")

    @property
    def name(self) -> str:
        """Of the raw column."""
        return self.column.bins.name if isinstance(self.column, Binned) else source(self.column)

    @property
    def item(self) -> str:
        """Of the provider's product; "" for an own column or the asker's."""
        return "" if self.member in {OWN, ASKER} else self.name.partition(".")[0]

    @property
    def field(self) -> str:
        """Of the item."""
        return self.name.partition(".")[2]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of numbers that it becomes."""
        if not isinstance(self.column, Binned):
            return names(self.column)
        bins = self.column.bins
        inner = (
            (*bins.categories, "other")
            if isinstance(bins, CategoryBins)
            else tuple(f"bin{place}" for place in range(1, bins.count))
        )
        return tuple(f"{self.name}={each}" for each in ("missing", *inner))

    @property
    def cases(self) -> Numbers:
        """float64[c, len(names)]: rows between which its columns lie, whatever the raw value; the least and the most are among them."""
        return _cases(self.column)

    def apply(self, values: npt.NDArray[np.generic]) -> Numbers:
        """float64[n, len(names)] of raw values float64[n] (NaN: missing) or object[n] (None: missing). Raises DataUnusable."""
        if not isinstance(self.column, Binned):
            return apply(self.column, values)
        found = np.zeros((len(values), self.column.bins.count))
        found[np.arange(len(values)), assign(self.column.bins, values)] = 1.0
        return found


class Preparation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that one member has to know to bring its columns: no weights. `member`: OWN, ASKER or who brings them."""

    member: Member
    inputs: Annotated[tuple[Input, ...], msgspec.Meta(max_length=MAX_COLUMNS)]
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if any(each.member != self.member for each in self.inputs):
            raise ValueError(f"an input of another member than {self.member or 'the owner'}")
        check_inputs(self.inputs)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the matrix."""
        return tuple(name for each in self.inputs for name in each.names)

    @property
    def bounds(self) -> Numbers:
        """float64[p]: the largest magnitude of each column of the matrix, above 0."""
        return np.array([bound for each in self.inputs for bound in np.abs(each.cases).max(axis=0)], np.float64)

    @property
    def items(self) -> dict[str, tuple[str, ...]]:
        """The fields that are read of each item of a member."""
        found: dict[str, tuple[str, ...]] = {}
        for each in self.inputs:
            if each.item:
                found[each.item] = (*found.get(each.item, ()), each.field)
        return found

    @property
    def aggregates(self) -> dict[str, Aggregate]:
        """How several records of each item become one."""
        return {each.item: each.aggregate for each in self.inputs if each.item}

    def apply(self, table: Table, present: Flags) -> Numbers:
        """float64[n, len(names)], all finite; a row without a record counts as one with every value missing. Raises DataUnusable.

        `table`: raw columns by `Input.name`, all of n rows, as `modeling.jobs.table`. `present`: bool[n], rows with a record.
        """
        if missing := [each.name for each in self.inputs if each.name not in table]:
            raise DataUnusable(f"not in the data: {', '.join(missing)[:300]}")
        parts = [each.apply(_without(table[each.name], ~present)) for each in self.inputs]
        return np.ascontiguousarray(np.hstack([np.zeros((len(present), 0)), *parts]))


def check_inputs(inputs: Sequence[Input]) -> None:
    """Raises ValueError where a column comes twice, or an item of a member is aggregated in two ways."""
    seen: set[tuple[str, str]] = set()
    ways: dict[tuple[str, str], Aggregate] = {}
    for each in inputs:
        if (each.member, each.name) in seen:
            raise ValueError(f"column {each.name!r} comes twice; one input has all of its columns")
        seen.add((each.member, each.name))
        if each.item and ways.setdefault((each.member, each.item), each.aggregate) != each.aggregate:
            raise ValueError(f"item {each.item!r} of {each.member} is aggregated in two ways; choose one")


def _without(values: npt.NDArray[np.generic], gone: Flags) -> npt.NDArray[np.generic]:
    if not gone.any():
        return values
    return np.where(gone, np.array(None, object) if values.dtype == object else np.nan, values)


def _check(name: str, column: Transform) -> None:
    """Raises ValueError."""
    number = column.number if isinstance(column, Ordinal) else column
    if not isinstance(number, Number):
        return
    if not number.spread > 0 or (number.clip is not None and not number.clip > 0):
        raise ValueError(f"column {name!r}: spread and clip are above 0")
    if not all(math.isfinite(each) for each in (number.fill, number.centre, number.spread)):
        raise ValueError(f"column {name!r}: fill, centre and spread are finite")
    if number.low is not None and number.high is not None and not number.low < number.high:
        raise ValueError(f"column {name!r}: low is below high")
    cases = _cases(column)
    if not (np.abs(cases) <= LARGEST_BOUND).all():
        raise ValueError(f"column {name!r} has no bound; give clip, or low and high, so that it has")
    if not np.ptp(cases[:, 0]) > 0:
        raise ValueError(f"column {name!r} is the same for all values; leave it out")


def _cases(column: Transform) -> Numbers:
    """See `Input.cases`: every bin or category; a number's ends, and its fill with the indicator."""
    if isinstance(column, Binned):
        return np.eye(column.bins.count)
    if isinstance(column, OneHot):
        return np.eye(len(names(column)))
    number = column.number if isinstance(column, Ordinal) else column
    low = -math.inf if number.low is None else number.low
    high = math.inf if number.high is None else number.high
    if isinstance(column, Ordinal):
        low, high = max(low, 0.0), min(high, len(column.order) - 1.0)
    limit = math.inf if number.clip is None else number.clip
    found = np.clip((np.array([low, high, number.fill]) - number.centre) / number.spread, -limit, limit)
    return np.column_stack([found, [0.0, 0.0, 1.0]]) if number.indicator else found[:, None]
