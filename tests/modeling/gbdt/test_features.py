"""How a column is cut into bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from modeling.gbdt.features import binned

BINS = 16


def edges(column: Any, bins: int = BINS) -> Any:
    return binned(np.asarray(column, np.float64)[:, None], bins).edges[0]


@given(kinds=st.integers(1, 2 * BINS), heavy=st.floats(0, 0.9), seed=st.integers(0, 2**32 - 1))
def test_few_rows_are_cut_where_xgboost_cuts_them(kinds: int, heavy: float, seed: int) -> None:
    """Few enough for its sketch of ranks to be exact."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, kinds, 60).astype(float)
    column = np.where(rng.random(60) < heavy, rng.integers(0, kinds), values)
    column[rng.random(60) < 0.1] = np.nan
    column[0] = 0
    _, cuts = xgboost.QuantileDMatrix(column[:, None], max_bin=BINS, nthread=1).get_quantile_cut()
    assert edges(column).tolist() == cuts[1:-1].tolist()  # without what is below and above every value


@pytest.mark.parametrize("heavy", [0.0, 1.0])
def test_a_heavy_smallest_or_largest_value_leaves_the_bins_to_the_others(heavy: float) -> None:
    between = np.random.default_rng(1).uniform(0.1, 0.9, 10 * BINS)
    column = np.concatenate([np.full(5000, heavy), between, [0, 1]])
    found = edges(column)
    assert set(found) <= set(between)
    assert np.histogram(between, [0, *found, 1])[0].tolist() == [10] * BINS


@given(st.lists(st.integers(-20, 20) | st.just(0), min_size=1, max_size=80), st.integers(2, 20))
def test_an_edge_is_a_value_above_the_smallest_and_there_are_fewer_than_bins(column: list[int], bins: int) -> None:
    found = edges(column, bins)
    assert set(found) <= set(column) - {min(column)}
    assert (np.diff(found) > 0).all()
    assert len(found) < bins
    codes = binned(np.asarray(column, np.float64)[:, None], bins).codes
    assert codes.min() == 1 and len(np.unique(codes)) == codes.max() == len(found) + 1, "no bin is empty"
