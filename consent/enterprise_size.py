"""The size class of an enterprise (企业划型): large, medium, small, micro, or unclassified.

1. The row of the table is the one whose code is the longest prefix of the industry code; without a row the enterprise is
   unclassified. A code too short to tell is an error.
2. A class is reached if all its bounds are reached, bounds included; an enterprise that misses one steps down.
3. Only the measures that the row names count; one that is missing is an error, not a small enterprise.

The table is data (`consent/data/sme-classes-2011.toml`; 工信部联企业〔2011〕300号).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from consent.errors import CatalogueInvalid, ValueInvalid
from consent.validators import SECTIONS, Industry

CURRENT: Final = "2011"


class EnterpriseSize(StrEnum):
    """大型, 中型, 小型, 微型; unclassified where the standard has no row (finance, education, …)."""

    LARGE = "large"
    MEDIUM = "medium"
    SMALL = "small"
    MICRO = "micro"
    UNCLASSIFIED = "unclassified"


Measure = Literal["persons", "revenue", "assets"]
Bounds = dict[Measure, Annotated[int, msgspec.Meta(ge=1)]]
"""The least that a class demands: persons; revenue and assets in CNY 10,000."""


class SizeRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the table."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    name: Annotated[str, msgspec.Meta(min_length=1)]
    codes: Annotated[tuple[Annotated[str, msgspec.Meta(pattern=r"^[0-9]{2,3}\Z")], ...], msgspec.Meta(min_length=1)]
    large: Bounds
    medium: Bounds
    small: Bounds

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that count."""
        return tuple(self.large)

    @property
    def classes(self) -> tuple[tuple[EnterpriseSize, Bounds], ...]:
        """The classes with bounds, the largest first."""
        return (
            (EnterpriseSize.LARGE, self.large),
            (EnterpriseSize.MEDIUM, self.medium),
            (EnterpriseSize.SMALL, self.small),
        )


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: str
    provenance: str
    rows: tuple[SizeRow, ...] = msgspec.field(name="industry")


@dataclass(frozen=True, kw_only=True)
class SizeTable:
    """A version of the table: its rows by id, and the id of the row for each code."""

    version: str
    provenance: str
    rows: Mapping[str, SizeRow]
    by_code: Mapping[str, str]

    def classify(
        self,
        industry: Industry,
        *,
        persons: int | None = None,
        revenue_wan: Decimal | int | None = None,
        assets_wan: Decimal | int | None = None,
    ) -> EnterpriseSize:
        """The size class. Raises ValueInvalid if a measure that counts is missing, or if the industry code is too short to tell."""
        row = self._row(industry)
        if row is None:
            return EnterpriseSize.UNCLASSIFIED
        measures = {"persons": persons, "revenue": revenue_wan, "assets": assets_wan}
        missing = [name for name in row.measures if measures[name] is None]
        if missing:
            raise ValueInvalid(
                f"The size of an enterprise in {row.name} ({row.id}) depends on its {' and '.join(missing)}. State it."
            )
        for size, bounds in row.classes:
            if all((measures[name] or 0) >= least for name, least in bounds.items()):
                return size
        return EnterpriseSize.MICRO

    def _row(self, industry: Industry) -> SizeRow | None:
        first, last = SECTIONS[industry.section]
        divisions = [industry.division] if industry.division else [f"{number:02}" for number in range(first, last + 1)]
        possible = {row_id for division in divisions for row_id in self._ids(division, industry.digits)}
        if len(possible) > 1:
            names = ", ".join(sorted(row_id or "unclassified" for row_id in possible))
            raise ValueInvalid(
                f"Industry {industry.section}{industry.digits} may fall into several rows of the size table ({names}). "
                "State the industry with three digits."
            )
        row_id = possible.pop()
        return self.rows[row_id] if row_id is not None else None

    def _ids(self, division: str, digits: str) -> set[str | None]:
        """The rows that an industry of this division can fall into; None stands for no row."""
        found = self.by_code.get(digits[:3]) or self.by_code.get(division)
        if found is not None or len(digits) >= 3:
            return {found}
        return {row_id for code, row_id in self.by_code.items() if code.startswith(division)} or {None}


def parse_size_table(text: str) -> SizeTable:
    """Parse a table of size classes. Raises CatalogueInvalid, naming the row and what to mend."""
    try:
        parsed = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CatalogueInvalid(f"The size table cannot be used: {error}. Correct the file.") from error
    by_code: dict[str, str] = {}
    for row in parsed.rows:
        for code in row.codes:
            if code in by_code:
                raise CatalogueInvalid(
                    f"Code {code} stands in rows {by_code[code]} and {row.id} of the size table; remove one."
                )
            by_code[code] = row.id
        _check_row(row)
    rows = {row.id: row for row in parsed.rows}
    if len(rows) != len(parsed.rows):
        raise CatalogueInvalid("The size table names a row twice; remove one.")
    return SizeTable(
        version=parsed.version,
        provenance=parsed.provenance,
        rows=MappingProxyType(rows),
        by_code=MappingProxyType(by_code),
    )


def _check_row(row: SizeRow) -> None:
    if not row.measures or any(set(bounds) != set(row.measures) for _, bounds in row.classes):
        raise CatalogueInvalid(
            f"The classes of row {row.id} must bound the same measures, at least one. Correct the row."
        )
    for (_, higher), (size, lower) in pairwise(row.classes):
        if any(lower[name] >= higher[name] for name in row.measures):
            raise CatalogueInvalid(
                f"Class {size} of row {row.id} has a bound that is not below the next larger class. Correct it."
            )


@lru_cache(maxsize=2)
def load_size_table(version: str = CURRENT) -> SizeTable:
    """The table that comes with the software. Raises CatalogueInvalid if there is no such version."""
    path = resources.files("consent") / "data" / f"sme-classes-{version}.toml"
    if not path.is_file():
        raise CatalogueInvalid(f"This software has no size table {version!r}; it has {CURRENT}.")
    return parse_size_table(path.read_text(encoding="utf-8"))
