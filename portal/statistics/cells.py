"""Small cells of a table are hidden, and others with them, so that none can be found by subtraction (complementary suppression). Pure.

The table of a month: a row for each bank and one, `ALL`, of their sums; a column for each district (industry, size). What is known
besides: the sum of each row, and that each column of banks adds up to `ALL`'s. A cell of fewer than `SMALL` enterprises is hidden.

Whoever knows all sums and every cell that is shown must not be able to tell a hidden cell x > 0 from 0. That holds if there is another
table of counts with 0 in its place that fits all of it. So x at (r, c) is hidden with the rest of a rectangle in which x can be moved:

    (r, c) - x    (r, c') + x        with another bank r' whose (r', c') is at least x,
    (r', c) + x   (r', c') - x       or with `ALL`, of whose cells the first is then less by x and the second more.

All row and column sums stay, and no cell falls below 0. Of all rectangles the one is taken with the fewest empty cells, which other
figures may tell to be empty (nothing is granted where nobody ever applied), and then the one that hides least. (L. H. Cox, Suppression
methodology and statistical disclosure control, JASA 75, 1980.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SMALL: Final = 5
ALL: Final = "*"
Place = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """How many there are, of how many enterprises."""

    count: int
    firms: int


def hidden(cells: Mapping[Place, Cell], columns: Sequence[str]) -> frozenset[Place]:
    """The places (row, column) that are not shown. `cells`: all that are not empty, those of `ALL` too; `columns`: at least two.

    Raises ValueError for fewer columns: with one, its cell is the sum that everybody knows.
    """
    if len(columns) < 2:
        raise ValueError("a table of one column cannot hide it")
    small = sorted(place for place, cell in cells.items() if 0 < cell.firms < SMALL)
    found = set(small)
    for row, column in small:
        rows = {place[0] for place in cells} - {ALL, row}
        corners = _best(cells, found, row, column, rows, columns)
        found |= corners
    return frozenset(found)


def _best(
    cells: Mapping[Place, Cell], found: set[Place], row: str, column: str, rows: Iterable[str], columns: Sequence[str]
) -> set[Place]:
    """The rectangle in which the cell can be moved that hides least besides what is hidden."""
    size = _count(cells, (row, column))
    others = [each for each in columns if each != column]
    if row == ALL:
        # All that it is a sum of moves with it.
        parts = [each for each in rows if _count(cells, (each, column))]
        offers = [{(each, at) for each in (ALL, *parts) for at in (column, other)} for other in others]
    else:
        offers = [{(row, column), (row, other), (ALL, column), (ALL, other)} for other in others]
        offers += [
            {(row, column), (row, other), (each, column), (each, other)}
            for other in others
            for each in sorted(rows)
            if _count(cells, (each, other)) >= size
        ]

    def cost(offer: set[Place]) -> tuple[int, int, list[Place]]:
        empty = sum(not _count(cells, each) for each in offer)
        return empty, sum(_count(cells, each) for each in offer - found), sorted(offer)

    return min(offers, key=cost)


def _count(cells: Mapping[Place, Cell], place: Place) -> int:
    cell = cells.get(place)
    return cell.count if cell is not None else 0
