"""Leverage: what scores would give away of a column, for numbers and bins, for one model and for several that differ a little."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import ModelInvalid
from modeling.preparation.binning import CategoryBins, NumberBins
from modeling.preparation.columns import Number, OneHot, Ordinal
from modeling.scoring.inputs import Binned, Input, Preparation, Reference, Transform
from modeling.scoring.leverage import leverage, leverages, misdeclared
from modeling.scoring.model import Feature, LinearModel, Part
from tests.modeling.scoring.models import model, number, part, texts

NAMES = ("aa", "bb", "cc", "dd", "ee", "ff")


def parts_of(weights: np.ndarray) -> list[Part]:
    return [part(dict(zip(NAMES, row.tolist(), strict=False))) for row in weights]


def binned(
    edges: tuple[float, ...], weights: tuple[float, ...], other: float = 1.0, shares: tuple[float, ...] = ()
) -> Part:
    """A part of one binned column and one number."""
    bins = NumberBins(name="item.aa", edges=edges)
    reference = Reference(bins=bins, shares=shares) if shares else None
    features = (
        Feature(input=Input(member="tax", column=Binned(bins=bins), reference=reference), weights=weights),
        Feature(input=number("item.bb", "tax"), weights=(other,)),
    )
    return LinearModel(name="m", intercept=0.0, features=features).part_for("tax")


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_for_numbers_it_is_the_diagonal_of_the_projection_on_the_models(models: int, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(models, len(NAMES)))
    projection = weights.T @ np.linalg.pinv(weights @ weights.T) @ weights
    found = leverages(parts_of(weights))
    np.testing.assert_allclose([found[f"item.{name}"] for name in NAMES], np.diag(projection), atol=1e-6)


def test_it_is_the_share_of_a_column_that_the_best_linear_estimate_from_scores_explains() -> None:
    random = np.random.default_rng(1)
    weights, columns = random.normal(size=(3, 6)), random.normal(size=(20_000, 6))
    scores = columns @ weights.T
    found = leverages(parts_of(weights))
    for at, name in enumerate(NAMES):
        guess = scores @ np.linalg.lstsq(scores, columns[:, at], rcond=None)[0]
        left = np.std(columns[:, at] - guess)
        assert left == pytest.approx(np.sqrt(1 - found[f"item.{name}"]), abs=0.02)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1.0))
def test_two_models_that_differ_in_one_column_give_it_away_however_little_they_differ(seed: int, change: float) -> None:
    first = np.random.default_rng(seed).normal(size=6)
    second = first + change * np.eye(6)[2]
    assert leverage(parts_of(first[None])) < 0.999
    found = leverages(parts_of(np.stack([first, second])))
    assert found["item.cc"] == pytest.approx(1.0, abs=1e-6)
    assert max(value for name, value in found.items() if name != "item.cc") < 0.999


def test_another_centre_and_spread_does_not_hide_that_two_models_differ_in_one_column() -> None:
    """The second standardises all columns otherwise, and weighs them so that all but one count alike."""
    first = part(dict.fromkeys(NAMES, 0.5))
    second = part({**dict.fromkeys(NAMES, 0.5 * 1.01), "aa": 0.9}, centre=0.02, spread=1.01, clip=9.9)
    assert leverages([first, second])["item.aa"] > 0.999
    assert leverages([first])["item.aa"] == pytest.approx(1 / 6)


def test_edges_moved_a_little_do_not_hide_it_either() -> None:
    first = binned((0.0, 1.0), (0.0, 0.5, 1.0, 1.5))
    second = binned((0.0, 1.0 + 1e-9), (0.0, 0.5, 1.0, 9.0))
    assert leverages([first])["item.aa"] < 0.75
    assert leverages([first, second])["item.aa"] > 0.999


def test_models_that_differ_for_rare_values_only_give_these_away() -> None:
    """Outliers, where one model cuts a number off earlier; a narrow range of values, where one has another edge."""
    first, second = (part(dict.fromkeys(NAMES, 0.5)) for _ in range(2))
    earlier = number("item.aa", "tax", clip=2.5)
    second = Part(
        preparation=Preparation(member="tax", inputs=(earlier, *second.preparation.inputs[1:])), weights=second.weights
    )
    assert leverages([first, second])["item.aa"] > 0.999
    edges = [binned((0.0, last), (0.0, 0.5, 1.0, 1.5)) for last in (10.0, 10.25)]
    assert leverages(edges)["item.aa"] > 0.999


def test_the_same_model_twice_and_the_same_one_in_other_units_say_nothing_new() -> None:
    once = parts_of(np.array([[3.0, 1.0, 2.0, -1.0, 0.5, 1.5]]))
    again = parts_of(np.array([[-6.0, -2.0, -4.0, 2.0, -1.0, -3.0]]))
    assert leverage(once + once + again) == pytest.approx(leverage(once))
    assert leverage(once) == pytest.approx(9 / (9 + 1 + 4 + 1 + 0.25 + 2.25))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_further_model_never_tells_less(seed: int) -> None:
    parts = parts_of(np.random.default_rng(seed).normal(size=(4, 6)))
    found = [leverage(parts[:count]) for count in range(1, 5)]
    assert all(one <= other + 1e-9 for one, other in pairwise(found))


def test_a_single_column_is_given_away() -> None:
    assert leverage([part({"aa": 0.001})]) == pytest.approx(1.0)
    assert leverage([part({"aa": 0.001, "bb": 0.0})]) == pytest.approx(1.0)
    assert leverages([part({"aa": 0.001, "bb": 0.0})]).keys() == {"item.aa"}


def test_a_model_of_tiny_weights_counts_as_any_other() -> None:
    great, tiny = dict.fromkeys(NAMES, 1e6), dict.fromkeys(NAMES[:2], 1e-9)
    assert leverages([part(great), part(tiny)])["item.aa"] > 0.4
    assert leverages([part(great), part({"aa": 1e-9})])["item.aa"] == pytest.approx(1.0)


def test_as_many_models_as_columns_give_every_column_away() -> None:
    weights = np.random.default_rng(2).normal(size=(6, 6))
    assert min(leverages(parts_of(weights)).values()) == pytest.approx(1.0)


def test_of_one_model_with_bins_it_is_the_columns_share_of_the_variance() -> None:
    shares = (0.1, 0.4, 0.3, 0.2)
    effects = np.array([0.0, 0.5, 1.0, 1.5])
    variance = np.array(shares) @ effects**2 - (np.array(shares) @ effects) ** 2
    found = leverages([binned((0.0, 1.0), (0.0, 0.5, 1.0, 1.5), shares=shares)])["item.aa"]
    assert found == pytest.approx(variance / (variance + 1.0), abs=0.02)  # the number's spread is a grid's


def test_nothing_that_depends_on_the_member_has_no_leverage() -> None:
    assert leverage([]) == 0.0
    assert leverage([model().part_for("nobody")]) == 0.0
    assert leverage([part({"aa": 0.0})]) == 0.0


def test_all_kinds_of_columns_have_one_and_it_is_a_share() -> None:
    found = leverages([model().part_for("tax")])
    assert found.keys() == {"arrears.amount", "rating.grade", "rating.region"}
    assert 0 < min(found.values()) < max(found.values()) < 1
    assert sum(found.values()) == pytest.approx(1.0)


def test_a_category_that_another_models_order_does_not_name_is_no_obstacle() -> None:
    def with_column(column: Transform) -> Part:
        features = (
            Feature(
                input=Input(member="tax", column=column),
                weights=(0.4,) * (len(Input(column=column).names) - 1) + (0.9,),
            ),
            Feature(input=number("item.bb", "tax"), weights=(1.0,)),
        )
        return LinearModel(name="m", intercept=0.0, features=features).part_for("tax")

    places = Number(name="item.aa", low=None, high=None, fill=0.0, indicator=False, centre=0.5, spread=0.5, clip=None)
    ordinal = with_column(Ordinal(order=("lo", "hi"), number=places))
    one_hot = with_column(OneHot(name="item.aa", categories=("lo", "mid"), missing=True))
    bins = with_column(Binned(bins=CategoryBins(name="item.aa", categories=("mid", "hi"))))
    assert 0 < leverage([ordinal, one_hot, bins]) <= 1


def test_parts_of_two_members_have_no_common_leverage() -> None:
    with pytest.raises(ModelInvalid):
        leverage([model().part_for("tax"), model().part_for("pay")])


def declared(column: Transform, reference: Reference | None = None) -> Preparation:
    return Preparation(member="tax", inputs=(Input(member="tax", column=column, reference=reference),))


NUMBER = number("item.aa", "tax", centre=100.0, spread=20.0).column
BINS = Binned(bins=NumberBins(name="item.aa", edges=(80.0, 120.0)))
SHARES = Reference(bins=NumberBins(name="item.aa", edges=(80.0, 120.0)), shares=(0.0, 0.16, 0.68, 0.16))
EQUAL = Reference(bins=NumberBins(name="item.aa", edges=(80.0, 120.0)), shares=(0.0, 0.34, 0.33, 0.33))


@pytest.mark.parametrize(
    ("preparation", "spread", "true"),
    [
        (declared(NUMBER), 20.0, True),
        (declared(NUMBER), 5.0, False),
        (declared(NUMBER), 60.0, False),
        (declared(NUMBER, SHARES), 20.0, True),
        (declared(NUMBER, SHARES), 2.0, False),
        (declared(BINS), 20.0, False),
        (declared(BINS, SHARES), 20.0, True),
        (declared(BINS, EQUAL), 20.0, False),
    ],
)
def test_a_member_sees_that_its_column_is_spread_otherwise_than_declared(
    preparation: Preparation, spread: float, true: bool
) -> None:
    values = np.random.default_rng(3).normal(100.0, spread, 500)
    table = {"item.aa": np.append(values, 1e9)}
    present = np.append(np.ones(500, np.bool_), False)
    assert misdeclared(preparation, table, present) == (() if true else ("item.aa",))


def test_categories_are_held_against_equal_shares_where_no_others_are_declared() -> None:
    column = OneHot(name="item.aa", categories=("no", "yes"), missing=False)
    third, rare = texts(*["no", "yes", "new"] * 100), texts(*["no"] * 297, "yes", "yes", "new")
    there = np.ones(300, np.bool_)
    assert misdeclared(declared(column), {"item.aa": third}, there) == ()
    assert misdeclared(declared(column), {"item.aa": rare}, there) == ("item.aa",)
