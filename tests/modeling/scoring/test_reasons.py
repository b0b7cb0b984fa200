"""What a score means where it is opened: probability, points, band, and why."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.errors import DataUnusable
from modeling.scorecard import odds_of_good, probability_of_bad
from modeling.scoring.inputs import OWN
from modeling.scoring.meaning import Bands, Meaning
from modeling.scoring.model import Feature, LinearModel
from modeling.scoring.reasons import OTHERS, outcome
from tests.modeling.scoring.models import BY_HAND, SCALE, model, number, present, tables


def test_points_and_probability_are_those_of_the_scale() -> None:
    found = model().meaning.read(np.array(BY_HAND))
    assert found.probability is not None
    assert found.points is not None
    np.testing.assert_allclose(found.probability, [1 / (1 + np.exp(-each)) for each in BY_HAND])
    told = [probability_of_bad(each, SCALE) for each in found.points]
    assert np.abs(np.log(told) - np.log1p(-np.array(told)) - BY_HAND).max() <= 0.5 / SCALE.factor
    assert odds_of_good(600, SCALE) == pytest.approx(50)


@given(st.floats(-700, 700))
def test_a_probability_is_one_at_any_score(score: float) -> None:
    probability = Meaning().read(np.array([score])).probability
    assert probability is not None
    assert 0 <= probability[0] <= 1
    assert (probability[0] > 0.5) == (score > 0) or abs(score) < 1e-9


def test_a_score_at_an_edge_is_in_the_band_above() -> None:
    bands = Bands(by="points", names=("C", "B", "A"), edges=(480.0, 500.0))
    assert bands.of(np.array([-1e9, 479, 480, 499, 500, 1e9])) == ("C", "C", "B", "B", "A", "A")
    by_probability = Meaning(bands=Bands(by="probability", names=("low", "high"), edges=(0.5,)))
    assert by_probability.read(np.array([-0.01, 0.0])).bands == ("low", "high")


def test_a_score_that_is_no_log_odds_has_no_probability_and_no_points() -> None:
    found = Meaning(link="identity").read(np.array([3.0]))
    assert (found.probability, found.points, found.bands, found.reasons) == (None, None, None, ((),))


def test_reasons_name_what_costs_most_of_the_own_columns_and_others_as_one() -> None:
    found = outcome(model(), np.array(BY_HAND), tables()[OWN], present()[OWN])
    # Costs: income against -1 at two spreads, the sector against 0, the others against -0.4 - 0.35 / 0.8 - 0.1 - 1.2.
    assert found.reasons == (
        (OTHERS, "R1"),
        (OTHERS, "R1", "build"),
        ("R1", "other sector"),
        (OTHERS, "R1", "other sector"),
    )
    assert outcome(model(), np.array(BY_HAND), tables()[OWN], present()[OWN], reasons=1).reasons[1:3] == (
        (OTHERS,),
        ("R1",),
    )


def test_a_single_other_member_is_named() -> None:
    features = tuple(each for each in model().features if each.input.member != "pay")
    alone = msgspec.structs.replace(model(), features=features)
    score = alone.own_predictor(tables()[OWN], present()[OWN]) + alone.part_for("tax").predictor(
        tables()["tax"], present()["tax"]
    )
    assert "tax" in outcome(alone, score, tables()[OWN], present()[OWN]).reasons[1]


def test_what_costs_nothing_and_the_rounding_of_a_score_are_no_reasons() -> None:
    features = (
        Feature(input=number("x"), weights=(1.0,)),
        Feature(input=number("item.yy", "tax"), weights=(1.0,)),
    )
    small = LinearModel(name="m", intercept=0.0, features=features)
    own, there = {"x": np.array([-2.0])}, np.ones(1, np.bool_)
    assert outcome(small, np.array([-4.0 + 1e-4]), own, there).reasons == ((),)
    assert outcome(small, np.array([-3.0]), own, there).reasons == (("tax",),)
    assert outcome(small, np.array([-9.0]), {"x": np.array([-7.0])}, there).reasons == ((),)


def test_a_baseline_says_where_a_feature_costs_nothing() -> None:
    features = (
        Feature(input=number("x"), weights=(1.0,), baseline=2.0),
        Feature(input=number("y"), weights=(1.0,), baseline=-1.0),
    )
    small = LinearModel(name="m", intercept=0.0, features=features)
    own = {"x": np.array([1.0, 4.0]), "y": np.array([0.0, 0.0])}
    assert outcome(small, np.array([1.0, 4.0]), own, np.ones(2, np.bool_)).reasons == (("y",), ("x", "y"))


@pytest.mark.parametrize("score", [np.zeros(3), np.array([0.0, 1.0, np.nan, 0.0]), np.array([0.0, 1.0, np.inf, 0.0])])
def test_scores_that_do_not_fit_the_rows_are_refused(score: np.ndarray) -> None:
    with pytest.raises(DataUnusable):
        outcome(model(), score, tables()[OWN], present()[OWN])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bands(by="points", names=("a", "b"), edges=(1.0, 2.0)),
        lambda: Bands(by="points", names=("a", "b", "c"), edges=(2.0, 1.0)),
        lambda: Bands(by="points", names=("a", "b"), edges=(float("nan"),)),
        lambda: Meaning(bands=Bands(by="points", names=("a",), edges=())),
        lambda: Meaning(link="identity", scale=SCALE),
    ],
)
def test_a_meaning_that_contradicts_itself_is_not_made(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"edges|scale|neither"):
        make()
