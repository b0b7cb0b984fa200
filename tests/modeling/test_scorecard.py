"""Scorecards: points mean the odds that they say, split parts add up, and reasons name what costs most."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.errors import DataUnusable
from modeling.scorecard import Scale, Scorecard, odds_of_good, probability_of_bad, scorecard

SCALE = Scale(base_score=600, base_odds=50, pdo=20)
NAMES = ("delinquencies", "turnover", "age")
COEFFICIENTS = np.array([0.8, -0.5, 0.1])
SEEN = np.random.default_rng(3).normal(size=(500, 3))
INTERCEPT = -1.2


def whole() -> Scorecard:
    return scorecard(NAMES, COEFFICIENTS, SEEN, SCALE, intercept=INTERCEPT)


def test_the_base_score_means_the_base_odds_and_pdo_doubles_them() -> None:
    assert odds_of_good(600, SCALE) == pytest.approx(50)
    assert odds_of_good(620, SCALE) == pytest.approx(100)
    assert probability_of_bad(600, SCALE) == pytest.approx(1 / 51)


@given(st.floats(300, 900), st.floats(1, 200), st.floats(5, 100))
def test_any_scale_keeps_its_promise(base_score: float, base_odds: float, pdo: float) -> None:
    scale = Scale(base_score=base_score, base_odds=base_odds, pdo=pdo)
    assert odds_of_good(base_score, scale) == pytest.approx(base_odds)
    assert odds_of_good(base_score + pdo, scale) == pytest.approx(2 * base_odds)


def test_points_say_what_the_model_says_but_for_rounding() -> None:
    z = INTERCEPT + SEEN @ COEFFICIENTS
    scores = whole().score(SEEN)
    told = np.array([probability_of_bad(score, SCALE) for score in scores])
    meant = 1 / (1 + np.exp(-z))
    # At most half a point for each feature and the base.
    assert np.abs(np.log(told / (1 - told)) - np.log(meant / (1 - meant))).max() <= 2.0 / SCALE.factor + 1e-9


def test_the_parts_of_two_parties_add_up_to_the_whole() -> None:
    bank = scorecard(NAMES[:2], COEFFICIENTS[:2], SEEN[:, :2], SCALE, intercept=INTERCEPT)
    tax = scorecard(NAMES[2:], COEFFICIENTS[2:], SEEN[:, 2:], SCALE)
    np.testing.assert_array_equal(bank.score(SEEN[:, :2]) + tax.score(SEEN[:, 2:]), whole().score(SEEN))


def test_reasons_name_what_costs_most_first_and_nothing_that_costs_nothing() -> None:
    card = whole()
    worst = np.array([[SEEN[:, 0].max(), SEEN[:, 1].max(), SEEN[:, 2].min()]])
    assert card.reasons(worst) == [("delinquencies",)]
    average = np.zeros((1, 3))
    assert card.reasons(average, count=2)[0][0] == "delinquencies"
    assert len(card.reasons(average, count=2)[0]) == 2
    best = np.array([[SEEN[:, 0].min(), SEEN[:, 1].max(), SEEN[:, 2].min()]])
    assert card.reasons(best) == [()]


def test_the_table_bounds_the_points() -> None:
    card = whole()
    points = card.points(SEEN)
    for place, (name, _, _, at_low, at_high) in enumerate(card.table()):
        assert name == NAMES[place]
        assert {points[:, place].min(), points[:, place].max()} == {at_low, at_high}


def test_a_scorecard_travels_as_json() -> None:
    card = whole()
    assert msgspec.json.decode(msgspec.json.encode(card), type=Scorecard) == card


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.zeros(3), np.full((1, 3), np.nan), np.full((1, 3), np.inf)])
def test_columns_that_do_not_fit_are_refused(values: np.ndarray) -> None:
    with pytest.raises(DataUnusable):
        whole().score(values)


def test_parts_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataUnusable):
        scorecard(NAMES, COEFFICIENTS[:2], SEEN, SCALE)
    with pytest.raises(DataUnusable):
        scorecard(NAMES, COEFFICIENTS, SEEN[:0], SCALE)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"scale":{"pdo":-1},"features":[],"weights":[],"lowest":[],"highest":[]}', type=Scorecard)
