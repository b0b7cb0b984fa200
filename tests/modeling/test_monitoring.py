"""Monitoring figures: against their definitions, and that chance alone raises nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from modeling.errors import DataUnusable
from modeling.monitoring import (
    SCORE,
    Counted,
    Thresholds,
    compared,
    drift,
    population,
    quantiles,
    realised,
    score_drift,
)
from modeling.preparation.binning import CategoryBins, NumberBins

RANDOM = np.random.default_rng(7)
THREE = Counted(bins=CategoryBins(name="branch", categories=("x", "y")), counts=(0, 500, 400, 100))


def test_drift_is_the_sum_of_its_parts_by_the_definition_of_psi() -> None:
    found = drift(THREE, [0, 250, 550, 200])
    by_hand = sum((a - e) * math.log(a / e) for e, a in ((0.5, 0.25), (0.4, 0.55), (0.1, 0.2)))
    parts = [each.part for each in found.bins]
    assert found.value == pytest.approx(by_hand, abs=1e-6)
    assert sum(parts) == pytest.approx(found.value)
    assert [each.label for each in found.bins] == ["missing", "x", "y", "other"]
    assert [each.actual for each in found.bins] == [0, 0.25, 0.55, 0.2]
    assert (found.rows, found.level) == (1000, "watch" if by_hand <= 0.25 else "alarm")


@pytest.mark.parametrize(
    ("actual", "level"),
    [
        ([0, 0, 0, 0], "none"),
        ([0, 20, 60, 10], "few"),
        ([0, 500, 400, 100], "stable"),
        ([0, 360, 500, 140], "stable"),
        ([0, 340, 450, 210], "watch"),
        ([0, 100, 500, 400], "alarm"),
        ([900, 50, 40, 10], "alarm"),
    ],
)
def test_the_level_follows_the_thresholds(actual: list[int], level: str) -> None:
    assert drift(THREE, actual).level == level


@given(st.lists(st.integers(0, 10_000), min_size=4, max_size=4).filter(any))
def test_drift_is_never_negative_and_nothing_drifts_from_itself(counts: list[int]) -> None:
    expected = Counted(bins=THREE.bins, counts=tuple(counts))
    assert drift(expected, counts).value == pytest.approx(0.0, abs=1e-12)
    assert drift(THREE, counts).value >= 0


def test_chance_alone_raises_an_alarm_once_in_a_hundred() -> None:
    limits = Thresholds(psi_watch=0.0, psi_alarm=0.0)
    made_on = population("x", RANDOM.random(2000), {}).score
    assert made_on is not None
    raised = sum(score_drift(made_on, RANDOM.random(150), limits).level != "stable" for _ in range(2000))
    assert raised == pytest.approx(20, abs=20)
    assert raised > 0


def test_a_population_counts_numbers_texts_and_what_is_missing() -> None:
    years = np.array([*range(99), np.nan])
    branch = np.array([*["x"] * 60, *["y"] * 39, None], dtype=object)
    found = population("training.csv", np.linspace(0, 1, 100), {"years": years, "branch": branch})
    assert found.score is not None
    assert (found.source, found.score.bins.name) == ("training.csv", SCORE)
    numbers, texts = found.columns
    assert (sum(numbers.counts), numbers.counts[0], len(numbers.counts)) == (100, 1, 11)
    assert texts.counts == (1, 60, 39, 0)


def test_a_column_of_one_value_is_watched_for_leaving_it() -> None:
    (column,) = population("x", None, {"flag": np.ones(500)}).columns
    assert drift(column, column.counts).level == "stable"
    assert drift(column, [0, 300, 200, 0]).level == "alarm"


@pytest.mark.parametrize("values", [[0.5, 1.1], [0.5, -0.1], [0.5, np.nan]])
def test_a_score_that_is_no_probability_is_refused(values: list[float]) -> None:
    with pytest.raises(DataUnusable, match="0 to 1"):
        population("x", np.array(values), {})


def test_counts_that_do_not_fit_their_bins_are_refused() -> None:
    bins = NumberBins(name="x", edges=(1.0,))
    for counts in ((1, 2), (0, 0, 0), (1, -1, 1)):
        with pytest.raises(ValueError, match="count"):
            Counted(bins=bins, counts=counts)
    with pytest.raises(DataUnusable, match="other bins"):
        drift(THREE, [1, 2, 3])


def test_realised_defaults_are_held_against_predictions() -> None:
    p = RANDOM.uniform(0.02, 0.4, 4000)
    y = (RANDOM.random(4000) < p).astype(float)
    bands = ["low" if each < 0.2 else "high" for each in p]
    found = realised(p, y, bands)
    assert found is not None
    assert (found.rows, found.events) == (4000, int(y.sum()))
    assert found.expected == pytest.approx(p.sum())
    assert found.auc == pytest.approx(roc_auc_score(y, p))
    assert found.level == "stable"
    assert [each.band for each in found.bands] == ["low", "high"]  # the safest first
    for each in found.bands:
        rows = np.array(bands) == each.band
        assert each.observed == pytest.approx(y[rows].mean())
        assert each.low < each.observed < each.high
        assert each.low < each.predicted < each.high


@pytest.mark.parametrize(("factor", "sign"), [(2.0, 1), (0.4, -1)])
def test_more_or_fewer_defaults_than_predicted_raise_an_alarm(factor: float, sign: int) -> None:
    p = np.full(1000, 0.1)
    y = (np.arange(1000) < 100 * factor).astype(float)
    found = realised(p, y, [""] * 1000)
    assert found is not None
    assert found.deviation == pytest.approx((100 * factor - 100) / math.sqrt(90))
    assert (found.level, math.copysign(1, found.deviation)) == ("alarm", sign)


def test_the_interval_of_a_band_is_wilsons() -> None:
    found = realised(np.full(50, 0.1), np.array([1.0] * 5 + [0.0] * 45), ["A"] * 50)
    assert found is not None
    assert (found.bands[0].low, found.bands[0].high) == (
        pytest.approx(0.04347, abs=1e-4),
        pytest.approx(0.21360, abs=1e-4),
    )


def test_without_bands_there_are_tenths_and_without_outcomes_nothing() -> None:
    p, y = RANDOM.random(100), np.full(100, np.nan)
    assert realised(p, y, [""] * 100) is None
    y[:40] = 0.0
    found = realised(p, y, [""] * 100)
    assert found is not None
    assert (found.rows, found.auc, found.ks, found.level, len(found.bands)) == (40, None, None, "few", 10)
    assert sum(each.rows for each in found.bands) == 40
    with pytest.raises(DataUnusable):
        realised(p, np.full(100, 0.5), [""] * 100)


def test_a_challenger_is_compared_on_the_same_enterprises() -> None:
    p = RANDOM.uniform(0.02, 0.4, 500)
    y = np.where(np.arange(500) < 300, (RANDOM.random(500) < p).astype(float), np.nan)
    noise = RANDOM.uniform(0.02, 0.4, 500)
    found = compared(p, noise, y, ["A"] * 500, ["A"] * 400 + ["B"] * 100)
    assert found is not None
    assert (found.rows, found.labelled, found.same_band) == (500, 300, 0.8)
    assert found.champion_auc == pytest.approx(roc_auc_score(y[:300], p[:300]))
    assert found.challenger_auc == pytest.approx(roc_auc_score(y[:300], noise[:300]))
    assert found.mean_difference == pytest.approx((noise - p).mean())
    same = compared(p, p**2, y)  # monotone: the same ranks
    assert same is not None
    assert same.correlation == pytest.approx(1.0)
    assert same.champion_auc == same.challenger_auc
    assert compared(np.empty(0), np.empty(0), np.empty(0)) is None
    lone = compared(np.array([0.1]), np.array([0.2]), np.array([np.nan]))
    assert lone is not None
    assert (lone.correlation, lone.champion_auc, lone.same_band) == (None, None, None)


def test_quantiles_of_nothing_are_none() -> None:
    assert quantiles(np.empty(0)) is None
    assert quantiles(np.arange(101.0)) == (50.0, 95.0, 99.0)
