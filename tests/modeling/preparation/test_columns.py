"""Preparation: what fitting finds is what is applied, JSON changes nothing, and an unusable column is named."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from modeling.errors import DataUnusable
from modeling.jobs.table import Prepared, fit_columns
from modeling.preparation.columns import NumberRule, OneHotRule, OrdinalRule, Rule, apply, fit, names

NAN = float("nan")
PLAIN = NumberRule(scale=False)


def test_missing_values_are_filled_as_the_rule_says() -> None:
    values = np.array([1.0, NAN, 3.0, 8.0])
    assert apply(fit("x", values, PLAIN), values).ravel().tolist() == [1, 3, 3, 8]
    constant = NumberRule(missing="constant", constant=-1, scale=False)
    assert apply(fit("x", values, constant), values).ravel().tolist() == [1, -1, 3, 8]
    own = fit("x", values, NumberRule(missing="own", scale=False))
    assert names(own) == ("x", "x=missing")
    assert apply(own, values).tolist() == [[1, 0], [4, 1], [3, 0], [8, 0]]


def test_scaling_is_that_of_scikit_learn_and_is_clipped() -> None:
    values = np.random.default_rng(1).normal(5, 3, 500)
    column = fit("x", values, NumberRule(clip=2.0))
    expected = np.clip(StandardScaler().fit_transform(values[:, None]), -2, 2)
    assert np.allclose(apply(column, values), expected)
    assert apply(column, np.array([1e100])).item() == 2.0


def test_outliers_are_held_at_the_quantiles_of_the_training_rows() -> None:
    values = np.append(np.arange(100.0), [1e9, NAN])
    column = fit("x", values, NumberRule(winsorise=(0.1, 0.9), scale=False))
    low, high = np.quantile(values[:-1], [0.1, 0.9])
    told = apply(column, np.array([-1e9, 50, 1e9]))
    assert told.ravel().tolist() == [low, 50, high]


def test_categories_most_frequent_first_the_rest_and_the_missing_apart() -> None:
    values = np.array(["b", "a", "a", "c", None, "b", "a", "d"], dtype=object)
    column = fit("city", values, OneHotRule(maximum=2))
    assert names(column) == ("city=a", "city=b", "city=other", "city=missing")
    told = apply(column, np.array(["a", "b", "c", "never seen", None, NAN], dtype=object))
    assert told.argmax(axis=1).tolist() == [0, 1, 2, 2, 3, 3]
    assert (told.sum(axis=1) == 1).all()


def test_ordinal_categories_are_places_in_their_order() -> None:
    values = np.array(["low", "high", None, "mid"], dtype=object)
    column = fit("grade", values, OrdinalRule(order=("low", "mid", "high"), number=PLAIN))
    assert apply(column, values).ravel().tolist() == [0, 2, 1, 1]
    with pytest.raises(DataUnusable, match=r"'grade'.*row 1"):
        apply(column, np.array(["low", "top"], dtype=object))


@pytest.mark.parametrize(
    ("values", "rule", "told"),
    [
        (np.array([1.0, np.inf]), PLAIN, "infinite values, the first in row 1"),
        (np.array([1.0, -np.inf]), PLAIN, "infinite"),
        (np.array([2.0, 2.0, NAN]), PLAIN, "one value only"),
        (np.array([NAN, NAN]), PLAIN, "no values at all"),
        (np.array([]), PLAIN, "no values at all"),
        (np.array([0.0, 1e308, -1e308]), NumberRule(), "beyond 1e\\+150"),
        (np.array([0.0, 1e-300]), NumberRule(), "too close"),
        (np.array([0.0, NAN]), NumberRule(missing="constant", constant=NAN), "fill missing values"),
        (np.array(["1", "2"]), PLAIN, "should hold numbers"),
        (np.ones((2, 2)), PLAIN, "should hold numbers"),
        (np.append(np.zeros(99), 1.0), NumberRule(winsorise=(0.0, 0.9)), "one value only"),
        (np.array([1.0, 2.0]), NumberRule(winsorise=(0.9, 0.1)), "lower one first"),
        (np.array([1.0, 2.0]), NumberRule(clip=0.0), "positive number"),
        (np.array(["a", "a"], dtype=object), OneHotRule(), "one value only"),
        (np.array([None, None], dtype=object), OneHotRule(), "no values at all"),
        (np.array(["a", 5], dtype=object), OneHotRule(), "row 1 holds int"),
        (np.array(["a", "b"], dtype=object), OneHotRule(maximum=0), "at least one"),
        (np.array(["a", "b"], dtype=object), OrdinalRule(order=("a",)), "at least two"),
    ],
)
def test_an_unusable_column_is_named(values: Any, rule: Rule, told: str) -> None:
    with pytest.raises(DataUnusable, match=f"column 'x'.*{told}"):
        fit("x", values, rule)


TABLE = {
    "turnover": np.array([1.5, NAN, 3.0, 8.0, 1e6]),
    "city": np.array(["a", "b", None, "a", "c"], dtype=object),
    "grade": np.array(["low", "high", "mid", None, "low"], dtype=object),
}
RULES: dict[str, Rule] = {
    "turnover": NumberRule(missing="own", winsorise=(0.01, 0.99)),
    "city": OneHotRule(maximum=1),
    "grade": OrdinalRule(order=("low", "mid", "high")),
}


ALL = np.full(5, True)


def test_prepared_columns_come_back_from_json_and_do_the_same() -> None:
    prepared = fit_columns("logistic", TABLE, RULES, ALL)
    again = msgspec.json.decode(msgspec.json.encode(prepared), type=Prepared)
    assert again == prepared
    told = again.matrix(TABLE, ALL)
    assert told.tobytes() == prepared.matrix(TABLE, ALL).tobytes()
    assert told.shape == (5, len(prepared.names))
    assert prepared.names[:2] == ("turnover", "turnover=missing")
    assert np.isfinite(told).all()


@given(st.lists(st.floats(allow_infinity=False, width=32), min_size=2, max_size=30))
@settings(max_examples=100, deadline=None)
def test_what_can_be_fitted_gives_finite_values_within_the_clip(found: list[float]) -> None:
    values = np.array(found)
    try:
        column = fit("x", values, NumberRule(winsorise=(0.05, 0.95), clip=3.0))
    except DataUnusable:
        return
    told = apply(column, np.append(values, [1e100, -1e100, NAN]))
    assert np.isfinite(told).all()
    assert np.abs(told).max() <= 3.0


def test_columns_must_be_there_and_finite() -> None:
    prepared = fit_columns("logistic", TABLE, RULES, ALL)
    with pytest.raises(DataUnusable, match="'city' is not in the data"):
        prepared.matrix({name: TABLE[name] for name in ("turnover", "grade")}, ALL)
    with pytest.raises(DataUnusable, match="'turnover' has infinite"):
        prepared.matrix({**TABLE, "turnover": np.full(5, np.inf)}, ALL)
