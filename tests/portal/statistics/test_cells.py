"""Small cells cannot be found: whoever knows every sum and every cell that is shown solves for the others, and learns nothing."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from portal.statistics.cells import ALL, SMALL, Cell, Place, hidden

COLUMNS = ("a", "b", "c", "d")


def with_sums(banks: dict[Place, int]) -> dict[Place, Cell]:
    """Every application of another enterprise, and the row of sums."""
    sums: dict[Place, int] = defaultdict(int)
    for (_, column), count in banks.items():
        sums[(ALL, column)] += count
    return {place: Cell(count, count) for place, count in {**banks, **sums}.items() if count}


def least_possible(cells: dict[Place, Cell], unseen: frozenset[Place], place: Place) -> float:
    """The least that a hidden cell can be for who knows the sums of all rows and columns and what is shown."""
    rows = sorted({row for row, _ in cells})
    unknown = sorted(unseen)
    equations, known = [], []
    for row in rows:
        equations.append([float(each[0] == row) for each in unknown])
        known.append(sum(cells[(row, one)].count for one in COLUMNS if (row, one) in cells and (row, one) in unseen))
    for column in COLUMNS:
        equations.append([(-1.0 if each[0] == ALL else 1.0) * (each[1] == column) for each in unknown])
        seen = [(at, cell.count) for at, cell in cells.items() if at[1] == column and at not in unseen]
        known.append(-sum(-count if at[0] == ALL else count for at, count in seen))
    objective = np.array([float(each == place) for each in unknown])
    solved = linprog(objective, A_eq=np.array(equations), b_eq=np.array(known), bounds=(0, None))
    assert solved.success
    return float(solved.fun)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["x", "y", "z"]), st.sampled_from(COLUMNS)), st.integers(0, 12), min_size=1
    )
)
def test_whoever_subtracts_cannot_tell_a_small_cell_from_an_empty_one(banks: dict[Place, int]) -> None:
    cells = with_sums(banks)
    unseen = hidden(cells, COLUMNS)
    for place, cell in cells.items():
        if cell.firms < SMALL:
            assert place in unseen
            assert least_possible(cells, unseen, place) == pytest.approx(0, abs=1e-6)


def test_the_attack_finds_a_small_cell_where_only_small_cells_are_hidden() -> None:
    cells = with_sums({("x", "a"): 20, ("x", "b"): 3, ("y", "a"): 30, ("y", "b"): 9})
    alone = frozenset({("x", "b")})
    assert least_possible(cells, alone, ("x", "b")) == 3
    unseen = hidden(cells, COLUMNS)
    assert least_possible(cells, unseen, ("x", "b")) == pytest.approx(0, abs=1e-6)
    assert {place for place in cells if place not in unseen}, "not everything is hidden"


def test_a_table_without_small_cells_is_shown_whole_and_many_applications_of_few_enterprises_are_small() -> None:
    assert hidden(with_sums({("x", "a"): 20, ("y", "a"): 5}), COLUMNS) == frozenset()
    few = {("x", "a"): Cell(50, 4), (ALL, "a"): Cell(50, 4)}
    assert {("x", "a"), (ALL, "a")} < hidden(few, COLUMNS)


def test_a_table_of_one_column_is_refused() -> None:
    with pytest.raises(ValueError, match="one column"):
        hidden({}, ("a",))
