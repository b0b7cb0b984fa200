"""A column is cut where XGBoost cuts it, on the same rows in the same order."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from bench.sets import load, present
from modeling.gbdt.features import binned

SHAPES: dict[str, Any] = {
    "all different": lambda rng, n: rng.normal(size=n),
    "ascending": lambda rng, n: np.sort(rng.normal(size=n)),
    "descending in long runs": lambda rng, n: -np.arange(n) // 7,
    "few values": lambda rng, n: rng.integers(0, 12, n),
    "many values that come again": lambda rng, n: rng.integers(-2000, 2000, n),
    "amounts, rounded": lambda rng, n: np.round(rng.lognormal(5, 1.5, n)),
    "heavy tails, rounded": lambda rng, n: np.round(rng.standard_cauchy(n), 2),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.9, 0, rng.exponential(size=n)),
    "of two kinds, one after the other": lambda rng, n: np.where(np.arange(n) < n // 2, 0, 9) + rng.random(n),
}


def column(shape: str, rows: int, missing: float, seed: int) -> Any:
    """float64[rows, 1] of numbers that float32 has too: XGBoost keeps no others."""
    rng = np.random.default_rng(seed)
    values = SHAPES[shape](rng, rows).astype(np.float32).astype(np.float64)
    values[rng.random(rows) < missing] = np.nan
    return values[:, None]


def xgboost_edges(features: Any, bins: int) -> list[Any]:
    """Of each column, without what XGBoost puts below and above every value."""
    begins, cuts = xgboost.QuantileDMatrix(features, max_bin=bins, nthread=1).get_quantile_cut()
    return [cuts[begin:end][1:-1] for begin, end in itertools.pairwise(begins)]


def same(features: Any, bins: int) -> None:
    for mine, theirs in zip(binned(features, bins).edges, xgboost_edges(features, bins), strict=True):
        np.testing.assert_array_equal(mine.astype(np.float32), theirs)


@given(
    st.sampled_from(sorted(SHAPES)),
    st.integers(1, 3000),
    st.integers(2, 120),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_edges_are_those_of_xgboost(shape: str, rows: int, bins: int, missing: float, seed: int) -> None:
    same(column(shape, rows, missing, seed), bins)


@pytest.mark.parametrize("bins", [5, 32, 120])
@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_those_of_xgboost_where_summaries_are_merged_many_times(shape: str, bins: int) -> None:
    same(column(shape, 30_000, 0.03, bins), bins)


def test_ranks_are_rounded_as_by_xgboost() -> None:
    """Found by trial: in double precision the next value would be taken."""
    same(column("mostly zero", 30_000, 0.03, 21), 120)


def test_edges_depend_on_the_order_of_the_rows_as_those_of_xgboost_do() -> None:
    values = column("all different", 30_000, 0.0, 1)
    other = np.random.default_rng(2).permutation(values)
    same(other, 32)
    assert binned(values, 32).edges[0].tolist() != binned(other, 32).edges[0].tolist()


def test_the_columns_of_the_polish_set_are_cut_as_by_xgboost() -> None:
    """Where the set lies beside the project: of its columns many have heavy tails, and exact ranks cut elsewhere."""
    for name in {"polish_bankruptcy"} & set(present()):
        for bins in (16, 32):
            same(np.column_stack(list(load(name).columns.values())), bins)
