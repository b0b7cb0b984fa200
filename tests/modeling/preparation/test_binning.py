"""Bins, WOE, IV and selection against their definitions and on companies with outliers and gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from modeling.errors import DataUnusable
from modeling.metrics import auc
from modeling.preparation.binning import (
    NumberBins,
    assign,
    category_bins,
    equal_width_bins,
    histogram,
    monotone_bins,
    quantile_bins,
    stability,
)
from modeling.preparation.woe import Limits, correlation, count_labels, evidence, select

NAN = float("nan")
POLISH = Path(__file__).resolve().parents[4] / "shared/data/polish_bankruptcy/1year.arff"


def test_quantile_bins_hold_equally_many_and_missing_values_apart() -> None:
    values = np.append(np.random.default_rng(1).normal(size=1000), [NAN] * 7)
    bins = quantile_bins("x", values, 10)
    assert bins.count == 11
    assert histogram(bins, values).tolist() == [7] + [100] * 10


def test_equal_values_share_a_bin() -> None:
    bins = quantile_bins("x", np.array([0.0] * 90 + [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), 10)
    assert histogram(bins, [0.0] * 5 + [3.0]).tolist()[1] == 5
    assert len(bins.edges) == 1


def test_bins_of_one_width() -> None:
    bins = equal_width_bins("x", np.array([0.0, 10.0, 3.0]), 5)
    assert np.allclose(bins.edges, [2, 4, 6, 8])
    assert assign(bins, [-100.0, 2.0, 2.1, 100.0, NAN]).tolist() == [1, 1, 2, 5, 0]


def test_bins_of_categories() -> None:
    values = np.array(["b", "a", "a", None, "c", "c"], dtype=object)
    bins = category_bins("x", values, 2)
    assert bins.categories == ("a", "c")
    assert assign(bins, np.array(["a", "c", "b", None, "z"], dtype=object)).tolist() == [1, 2, 3, 0, 3]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=2, max_size=60), st.integers(2, 12))
@settings(max_examples=150, deadline=None)
def test_bins_are_a_partition_that_keeps_the_order(found: list[float], count: int) -> None:
    values = np.array(found)
    try:
        many = (quantile_bins("x", values, count), equal_width_bins("x", values, count))
    except DataUnusable:
        return
    for bins in many:
        places = assign(bins, values)
        assert (places[np.isnan(values)] == 0).all()
        assert bins.count <= count + 1
        order = np.argsort(values[~np.isnan(values)])
        assert (np.diff(places[~np.isnan(values)][order]) >= 0).all()


counts = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=15)


@given(counts, st.sampled_from([0.0, 0.05, 0.2]))
@settings(max_examples=300, deadline=None)
def test_monotone_bins_are_monotone_and_hold_their_share(pairs: list[tuple[int, int]], share: float) -> None:
    bad, good = (np.array([0, *each]) for each in zip(*pairs, strict=True))
    bins = NumberBins(name="x", edges=tuple(float(at) for at in range(1, len(pairs))))
    if not bad.sum() or not good.sum():
        with pytest.raises(DataUnusable, match="both classes"):
            monotone_bins(bins, bad, good, share)
        return
    merged = monotone_bins(bins, bad, good, share)
    assert set(merged.edges) <= set(bins.edges)
    to = np.searchsorted(merged.edges, np.arange(len(pairs)) + 0.5)
    bads, goods = (np.bincount(to, weights=each[1:]) for each in (bad, good))
    rates = bads / (bads + goods)
    assert (np.diff(rates) > 0).all() or (np.diff(rates) < 0).all()
    assert len(rates) == 1 or (bads + goods).min() >= share * (bads + goods).sum()


def test_merging_is_isotonic_regression() -> None:
    rng = np.random.default_rng(2)
    total = rng.integers(50, 100, 20)
    bad = rng.binomial(total, np.linspace(0.1, 0.6, 20))
    bins = NumberBins(name="x", edges=tuple(map(float, range(1, 20))))
    merged = monotone_bins(bins, np.append(0, bad), np.append(0, total - bad), 0.0)
    fitted = isotonic_regression(bad / total, sample_weight=total)
    assert len(merged.edges) + 1 == len(np.unique(fitted.round(12)))


def test_woe_and_iv_are_their_definition() -> None:
    found = evidence(np.array([0, 10, 30]), np.array([0, 60, 40]), smoothing=0.0)
    woe = np.log([10 / 40 / 0.6, 30 / 40 / 0.4])
    assert np.allclose(found.woe, [0, *woe])
    assert np.isclose(found.value, (10 / 40 - 0.6) * woe[0] + (30 / 40 - 0.4) * woe[1])
    assert np.isfinite(evidence(np.array([0, 5]), np.array([9, 5])).woe).all()


@pytest.mark.parametrize(
    ("positives", "negatives", "smoothing"),
    [([0, 0], [1, 1], 0.5), ([-1, 3], [1, 1], 0.5), ([1], [1, 1], 0.5), ([0, 5], [9, 5], 0.0), ([1], [1], -1.0)],
)
def test_counts_without_evidence_are_refused(positives: Any, negatives: Any, smoothing: float) -> None:
    with pytest.raises(DataUnusable):
        evidence(np.array(positives), np.array(negatives), smoothing)


def test_labels_are_counted_where_the_weight_is_not_zero() -> None:
    places, label = np.array([0, 1, 1, 2]), np.array([1, 0, 1, 1])
    told = count_labels(places, label, 4, np.array([1, 1, 2.5, 0]))
    assert [each.tolist() for each in told] == [[1, 1, 0, 0], [0, 1, 0, 0]]
    with pytest.raises(DataUnusable, match="label"):
        count_labels(places, label + 1, 4)


def test_a_selection_says_why() -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(size=300)
    matrix = np.column_stack([base, base + rng.normal(size=300) / 100, rng.normal(size=(300, 3))])
    found = correlation(matrix)
    assert np.allclose(found, np.corrcoef(matrix.T))
    chosen = select(
        ["a", "b", "c", "d", "e"], [0.3, 0.4, 0.01, 9.0, 0.2], [0, 0, 0, 0, 0.95], [0.0] * 5, found, Limits()
    )
    assert chosen.kept == ("b",)
    assert "with b" in chosen.dropped["a"]
    assert "too low" in chosen.dropped["c"]
    assert "suspiciously" in chosen.dropped["d"]
    assert chosen.dropped["e"] == "95.0% missing"
    with pytest.raises(DataUnusable):
        select(["a"], [0.1, 0.2], [0.0], [0.0], found, Limits())
    with pytest.raises(DataUnusable):
        correlation(np.ones((5, 2)))


def test_stability_of_a_column() -> None:
    rng = np.random.default_rng(4)
    base = rng.normal(size=5000)
    bins = quantile_bins("x", base, 10)
    assert stability(bins, base, rng.normal(size=5000)) < 0.02
    assert stability(bins, base, rng.normal(1, 1, 5000)) > 0.25


@pytest.mark.skipif(not POLISH.exists(), reason="the shared data are not here")
def test_woe_helps_where_there_are_outliers_and_gaps() -> None:
    """Companies: a logistic regression on medians and scales has a test AUC of .663; on WOE it must be far better."""
    lines = POLISH.read_text().split("@data", 1)[1].split()
    table = np.array([[NAN if each == "?" else float(each) for each in line.split(",")] for line in lines])
    features, label = table[:, :-1], table[:, -1].astype(int)
    train, test = train_test_split(np.arange(len(table)), test_size=0.3, stratify=label, random_state=42)
    fitted, held = [], []
    for at in range(features.shape[1]):
        bins = quantile_bins(f"x{at}", features[train, at], 20)
        bins = monotone_bins(bins, *count_labels(assign(bins, features[train, at]), label[train], bins.count))
        found = evidence(*count_labels(assign(bins, features[train, at]), label[train], bins.count))
        fitted.append(found.woe[assign(bins, features[train, at])])
        held.append(found.woe[assign(bins, features[test, at])])
    model = LogisticRegression(max_iter=1000, C=0.1).fit(np.column_stack(fitted), label[train])
    assert auc(label[test], model.decision_function(np.column_stack(held))) > 0.75
