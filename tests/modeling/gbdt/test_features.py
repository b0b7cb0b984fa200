"""How a column is cut into bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.gbdt.features import binned

BINS = 16


def edges(column: Any, bins: int = BINS) -> Any:
    return binned(np.asarray(column, np.float64)[:, None], bins).edges[0]


@pytest.mark.parametrize("heavy", [0.0, 1.0])
def test_a_heavy_smallest_or_largest_value_leaves_the_bins_to_the_others(heavy: float) -> None:
    between = np.random.default_rng(1).uniform(0.1, 0.9, 10 * BINS)
    column = np.concatenate([np.full(5000, heavy), between, [0, 1]])
    found = edges(column)
    assert set(found) <= set(between)
    assert set(np.histogram(between, [0, *found, 1])[0]) <= {9, 10, 11}


@given(st.lists(st.integers(-20, 20) | st.just(0), min_size=1, max_size=80), st.integers(2, 20))
def test_an_edge_is_a_value_above_the_smallest_and_there_are_fewer_than_bins(column: list[int], bins: int) -> None:
    found = edges(column, bins)
    assert set(found) <= set(column) - {min(column)}
    assert (np.diff(found) > 0).all()
    assert len(found) < bins
    codes = binned(np.asarray(column, np.float64)[:, None], bins).codes
    assert codes.min() == 1 and len(np.unique(codes)) == codes.max() == len(found) + 1, "no bin is empty"
