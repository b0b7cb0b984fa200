"""What a load did: how many rows were kept, how many rejected, by which rule, with examples that show form and never a value.

A rejected row is a row of which at least one cell broke a rule; every broken cell is counted under its rule.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

import msgspec

EXAMPLES_LIMIT: Final = 1000
_SHOWN_LENGTH: Final = 40


class Rule(StrEnum):
    """What a row must be. The type rules have the names of the catalogue's types."""

    SUBJECT = "subject"
    MISSING = "missing"
    ENCODING = "encoding"
    ROW = "row"
    DUPLICATE = "duplicate"
    DUPLICATE_KEY = "duplicate-key"
    IDENTIFIER = "identifier"
    STRING = "string"
    CODE = "code"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    MONTH = "month"
    ENUM = "enum"


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One cell or row that broke a rule. `row` counts the rows of data from 1; `shown` is the cell's form, see `shape`."""

    row: int
    column: str
    rule: Rule
    message: str
    shown: str = ""


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """One load of one source. `error` is empty, or why the source could not be read at all.

    `corroborated`: rows that another source of the item has in the same words; they are kept once. `updated_ms`: how old the source's
    data is. Times in milliseconds since the epoch.
    """

    source: str
    item_id: str
    origin: str
    source_org: str
    collect_method: str
    collected_ms: int
    updated_ms: int
    rows: int
    accepted: int
    rejected: int
    corroborated: int = 0
    encoding: str = ""
    by_rule: dict[str, int] = {}
    examples: tuple[Rejection, ...] = ()
    error_code: str = ""
    error: str = ""


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Sources that tell different things of one subject (shown masked) and period, or key (its form)."""

    subject: str
    key: str
    sources: tuple[str, ...]


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the catalogue's item that this many subjects have in none of their records."""

    field: str
    subjects: int


class ItemOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an item. `switched`: queries see this load; if not, `note` says why they still see the one before.

    `conflicts_file`: where all conflicts between sources stand, with the subjects' codes; empty if there are none.
    `fields`: how many the catalogue's item has; `absent_fields`: those that no source fills; `gaps`: those that some subjects lack.
    `data_ms`: how old the oldest source is.
    """

    item_id: str
    switched: bool
    note: str = ""
    digest: str = ""
    rows: int = 0
    subjects: int = 0
    conflicts: int = 0
    conflicts_file: str = ""
    fields: int = 0
    absent_fields: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    data_ms: int = 0
    conflict_examples: tuple[Conflict, ...] = ()


class LoadOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A whole load. `loaded_ms` since the epoch."""

    loaded_ms: int
    catalogue_version: str
    sources: tuple[LoadReport, ...]
    items: tuple[ItemOutcome, ...]

    @property
    def complete(self) -> bool:
        """Whether every item was switched to what its sources hold now."""
        return all(item.switched for item in self.items)


class ReportBuilder:
    """Counts rejections of one source; keeps the first thousand as examples."""

    def __init__(self) -> None:
        self.by_rule: Counter[str] = Counter()
        self.rows = 0
        self.rejected = 0
        self._examples: list[Rejection] = []

    @property
    def room(self) -> int:
        """How many more examples are kept."""
        return EXAMPLES_LIMIT - len(self._examples)

    def add(self, rejections: Iterable[Rejection]) -> None:
        """Keep examples; they were counted by `count`."""
        for rejection in rejections:
            if self.room <= 0:
                return
            self._examples.append(rejection)

    def count(self, rule: Rule, cells: int) -> None:
        """Count broken cells."""
        if cells:
            self.by_rule[rule.value] += cells

    def shift(self, place_of: Callable[[int], int]) -> None:
        """Correct the rows of the examples, once it is known which rows could not be read."""
        self._examples = [msgspec.structs.replace(each, row=place_of(each.row)) for each in self._examples]

    def examples(self) -> tuple[Rejection, ...]:
        """The examples in the order of the rows."""
        return tuple(sorted(self._examples, key=lambda each: (each.row, each.column)))


def shape(text: str) -> str:
    """The form of a value without the value: digits become 9, letters A or a, Han characters 文; the rest stays, at most 40 long.

    "2024/13/45" is shown as "9999/99/99", which says what is wrong with a date and nothing about an enterprise.
    """
    shown = "".join(map(_shape_of, text[:_SHOWN_LENGTH]))
    return f"{shown}… ({len(text)} characters)" if len(text) > _SHOWN_LENGTH else shown


def _shape_of(char: str) -> str:
    category = unicodedata.category(char)
    if category.startswith("N"):
        return "9"
    if category == "Lu":
        return "A"
    if category == "Ll":
        return "a"
    if category.startswith("L"):
        return "文"
    return char if category[0] in "PSZ" else "·"


def masked_code(code: str) -> str:
    """A subject's code as it may stand in a report: the first two and the last four characters."""
    return f"{code[:2]}…{code[-4:]}"
