"""Fixed point of scores: the proved bound holds, and what could wrap around or be off by too much is refused beforehand."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modeling.errors import DataUnusable
from modeling.scoring.fixed import LARGEST, MAX_ERROR, scales_for, whole_features, whole_weights

WEIGHTS = st.lists(st.floats(-20, 20), min_size=1, max_size=12)


def test_a_weight_that_underflows_is_within_the_bound() -> None:
    w, b = np.array([5e-324]), np.array([0.5])
    assert float(w[0]) * float(b[0]) == 0.0 and scales_for(w, b).error > 0.0


@given(weights=WEIGHTS, data=st.data())
def test_no_score_is_off_by_more_than_its_bound_nor_wraps_around(weights: list[float], data: Any) -> None:
    count = len(weights)
    bounds = data.draw(st.lists(st.floats(1e-3, 1e3), min_size=count, max_size=count))
    shares = data.draw(st.lists(st.floats(-1, 1), min_size=count, max_size=count))
    w, b = np.array(weights), np.array(bounds)
    assume(np.abs(w * b).sum() < 150)
    scales = scales_for(w, b)
    x = np.clip(np.array(shares) * b, -b, b)
    wholes = zip(whole_weights(w, b, scales.weight_bits), whole_features(x[None], b)[:, 0], strict=True)
    total = sum(int(weight) * int(feature) for weight, feature in wholes)
    exact = sum(Fraction(weight) * Fraction(feature) for weight, feature in zip(w.tolist(), x.tolist(), strict=True))
    off = abs(Fraction(total, 1 << scales.fraction_bits) - exact)
    assert off <= Fraction(scales.error) * Fraction(1 + 2**-20) + count * Fraction(sys.float_info.min)  # underflow
    assert scales.error <= MAX_ERROR
    assert abs(total) <= LARGEST


def test_the_largest_score_of_a_model_just_fits() -> None:
    w, b = np.array([3.0, -5.0]), np.array([4.0, 2.0])
    scales = scales_for(w, b)
    extremes = whole_features(np.array([[4.0, -2.0]]), b)[:, 0].astype(object)
    largest = int(whole_weights(w, b, scales.weight_bits).astype(object) @ extremes)
    assert LARGEST // 2 < largest <= LARGEST


def test_fraction_bits_of_features_say_nothing_of_weights() -> None:
    models = [np.array([1e-6, 1e-6]), np.array([8.0, -8.0])]
    assert {scales_for(each, np.full(2, 5.0)).feature_bits for each in models} == {22}


@pytest.mark.parametrize(
    ("weights", "bounds", "why"),
    [
        ([1000.0] * 30, [5.0] * 30, "off by .* standardise"),
        ([1e14], [1.0], "does not fit"),
        ([np.nan], [1.0], "not finite"),
        ([1.0], [0.0], "no positive bound"),
        ([1.0], [np.inf], "not finite"),
        ([1.0, 2.0], [1.0], "each weight has one"),
    ],
)
def test_a_model_that_cannot_be_scored_precisely_is_refused(
    weights: list[float], bounds: list[float], why: str
) -> None:
    with pytest.raises(DataUnusable, match=why):
        scales_for(np.array(weights), np.array(bounds))


def test_what_is_added_takes_room() -> None:
    w, b = np.array([1.0]), np.array([1.0])
    assert scales_for(w, b, reserve=1e6).weight_bits < scales_for(w, b).weight_bits
    with pytest.raises(DataUnusable, match="does not fit"):
        scales_for(w, b, reserve=1e9)


@pytest.mark.parametrize("value", [np.nan, np.inf, 5.0001, -6.0])
def test_a_feature_that_is_missing_or_out_of_bounds_is_named(value: float) -> None:
    features = np.zeros((3, 2))
    features[1, 1] = value
    with pytest.raises(DataUnusable, match="feature 1 of row 8193"):
        whole_features(features, np.full(2, 5.0), first=8192)
    with pytest.raises(DataUnusable, match="has 3 features"):
        whole_features(features, np.full(3, 5.0))
