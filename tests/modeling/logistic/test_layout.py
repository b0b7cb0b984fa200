"""Grids of ciphertexts against plain products, for every shape."""

from __future__ import annotations

import numpy as np
import pytest

from modeling import bfv
from modeling.logistic.layout import Layout, layout_for, stacked, unstacked

T = bfv.PLAIN_MODULUS


def product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.array([int(a) * int(b) % T for a, b in zip(one, other, strict=True)], np.int64)


def total(vectors: list[np.ndarray]) -> np.ndarray:
    return np.mod(sum(vectors), T)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2047, 5), (2048, 4), (2049, 9), (8192, 3), (9000, 2)])
@pytest.mark.parametrize("groups", [1, 4, 64])
def test_predictors_and_gradients_are_those_of_the_matrix(rows: int, columns: int, groups: int) -> None:
    random, layout = np.random.default_rng(rows + columns), Layout(groups=groups)
    matrix = random.integers(-5000, 5000, (rows, columns))
    coordinates, residuals = random.integers(0, T, columns), random.integers(0, T, rows)
    down, across = layout.row_blocks(rows), layout.column_blocks(columns)
    cells = [[layout.cell(matrix, c, r) for r in range(down)] for c in range(across)]
    u, d = layout.coordinates(coordinates), layout.residuals(residuals)
    assert (len(u), len(d)) == (across, down)
    predictor = [total([product(u[c], cells[c][r]) for c in range(across)]) for r in range(down)]
    gradient = [total([product(d[r], cells[c][r]) for r in range(down)]) for c in range(across)]
    wanted = [int(sum(int(a) * int(b) for a, b in zip(row, coordinates, strict=True))) % T for row in matrix]
    assert layout.over_groups(predictor, rows).tolist() == wanted
    wanted = [int(sum(int(a) * int(b) for a, b in zip(column, residuals, strict=True))) % T for column in matrix.T]
    assert layout.within_groups(gradient, columns).tolist() == wanted


@pytest.mark.parametrize(("count", "rows"), [(1, 5), (12, 400), (3, 4096), (3, 4097), (2, 9000), (56, 90)])
def test_stacked_products_are_summed(count: int, rows: int) -> None:
    random = np.random.default_rng(count)
    one, other = random.integers(0, T, (2, count, rows))
    lists = list(zip(stacked(one), stacked(other), strict=True))
    sums = [total([product(a[block], b[block]) for a, b in lists]) for block in range(len(lists[0][0]))]
    wanted = [sum(int(a) * int(b) for a, b in zip(x, y, strict=True)) % T for x, y in zip(one.T, other.T, strict=True)]
    assert unstacked(sums, rows).tolist() == wanted
    assert len(lists) == -(-count // max(1, min(64, bfv.SLOTS // rows)))


def test_few_rows_and_many_columns_lie_beside_each_other() -> None:
    assert layout_for(1_000_000, 20).groups == 1
    assert layout_for(21_000, 14).groups == 2
    assert layout_for(700, 42).groups == 16
    assert layout_for(50, 500).groups == 64
