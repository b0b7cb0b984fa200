"""The figures of an evaluation against scikit-learn, and what bootstrap intervals are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_score, recall_score, roc_auc_score, roc_curve

from modeling.errors import DataUnusable
from modeling.evaluation import DRAWS, confusion, evaluate, score_stability
from modeling.metrics import auc, ks


def drawn(rows: int = 800, seed: int = 0, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    z = random.normal(size=rows)
    label = (random.random(rows) < 1 / (1 + np.exp(-z))).astype(float)
    probability = 1 / (1 + np.exp(-(z + random.normal(size=rows) / 2)))
    return label, np.round(probability, 1) if ties else probability


@pytest.mark.parametrize("ties", [False, True])
def test_figures_are_those_of_scikit_learn(ties: bool) -> None:
    label, probability = drawn(ties=ties)
    found = evaluate(label, probability, np.random.default_rng(1))
    assert found.auc.value == pytest.approx(roc_auc_score(label, probability))
    assert found.gini == pytest.approx(2 * found.auc.value - 1)
    goods, bads, _ = roc_curve(label, probability, drop_intermediate=False)
    assert found.ks.value == pytest.approx(np.abs(bads - goods).max())
    assert found.brier == pytest.approx(np.mean((probability - label) ** 2))
    on_it = {(round(g, 9), round(b, 9)) for g, b in zip(goods, bads, strict=True)}
    assert {(round(g, 9), round(b, 9)) for g, b in zip(found.curve.goods, found.curve.bads, strict=True)} <= on_it
    assert len(found.curve.goods) <= 200
    gaps = np.abs(np.array(found.curve.bads) - np.array(found.curve.goods))
    assert gaps.max() == pytest.approx(found.ks.value), "a thinned curve keeps its widest gap"
    assert found.curve.thresholds[int(gaps.argmax())] == found.ks_threshold
    assert (found.curve.bads[-1], found.curve.goods[-1]) == (1, 1)
    assert sum(found.histogram) == found.rows == 800


def test_a_threshold_does_what_scikit_learn_says() -> None:
    label, probability = drawn()
    found = confusion(label, probability, 0.6)
    tn, fp, fn, tp = confusion_matrix(label, probability >= 0.6).ravel()
    assert (found.true_negatives, found.false_positives, found.false_negatives, found.true_positives) == (
        tn,
        fp,
        fn,
        tp,
    )
    assert found.precision == pytest.approx(precision_score(label, probability >= 0.6))
    assert found.recall == pytest.approx(recall_score(label, probability >= 0.6))
    assert found.approval_rate == pytest.approx((probability < 0.6).mean())
    assert found.bad_rate_of_approved == pytest.approx(label[probability < 0.6].mean())


def test_bands_hold_every_row_and_event_and_the_first_is_the_riskiest() -> None:
    label, probability = drawn()
    found = evaluate(label, probability, np.random.default_rng(1))
    assert sum(band.rows for band in found.bands) == 800
    assert sum(band.events for band in found.bands) == label.sum()
    assert found.bands[0].lift > 1 > found.bands[-1].lift
    assert found.bands[-1].captured == pytest.approx(1)


def test_bands_of_probability_are_scikit_learns_quantile_bands() -> None:
    label, probability = drawn(1000)
    observed, predicted = calibration_curve(label, probability, n_bins=10, strategy="quantile")
    found = evaluate(label, probability, np.random.default_rng(1)).reliability
    assert [band.rows for band in found] == [100] * 10
    assert [band.observed for band in found] == pytest.approx(observed.tolist())
    assert [band.predicted for band in found] == pytest.approx(predicted.tolist())


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=30), st.integers(0, 2**32 - 1))
def test_an_evaluation_of_few_rows_with_ties_stands(rows: list[tuple[int, int]], seed: int) -> None:
    label, probability = np.array([row[0] for row in rows], float), np.array([row[1] for row in rows]) / 5
    if len(set(label)) < 2:
        return
    found = evaluate(label, probability, np.random.default_rng(seed))
    assert 0 <= found.auc.low <= found.auc.high <= 1
    assert 0 <= found.ks.low <= found.ks.high <= 1
    assert sum(band.events for band in found.bands) == found.events == label.sum()
    assert sum(band.rows for band in found.reliability) == sum(found.histogram) == len(rows)


def test_intervals_hold_the_figure_and_narrow_with_the_rows() -> None:
    few = evaluate(*drawn(200), np.random.default_rng(1))
    many = evaluate(*drawn(8000), np.random.default_rng(1))
    for found in (few, many):
        assert found.auc.low < found.auc.value < found.auc.high
    assert many.auc.high - many.auc.low < (few.auc.high - few.auc.low) / 3
    again = evaluate(*drawn(200), np.random.default_rng(1))
    assert again == few


@pytest.mark.parametrize("ties", [False, True])
def test_an_interval_is_that_of_resampled_rows(ties: bool) -> None:
    """Against the plain way: the same draws, and the figures of the resampled rows each time."""
    label, probability = drawn(300, ties=ties)
    random, plain = np.random.default_rng(6), []
    classes = [np.sort(probability[label == kind])[::-1] for kind in (1, 0)]
    drawn_label = np.repeat([1.0, 0.0], [len(each) for each in classes])
    for _ in range(DRAWS):
        scores = np.concatenate([random.choice(each, len(each)) for each in classes])
        plain.append((auc(drawn_label, scores), ks(drawn_label, scores)))
    found = evaluate(label, probability, np.random.default_rng(6))
    expected = np.quantile(plain, [0.025, 0.975], axis=0)
    assert [found.auc.low, found.auc.high] == pytest.approx(expected[:, 0].tolist())
    assert [found.ks.low, found.ks.high] == pytest.approx(expected[:, 1].tolist())


def test_a_calibrated_score_has_a_small_calibration_error() -> None:
    random = np.random.default_rng(3)
    probability = random.random(20_000)
    label = (random.random(20_000) < probability).astype(float)
    assert evaluate(label, probability, random).calibration_error < 0.015
    assert evaluate(label, probability**3, random).calibration_error > 0.15


@given(st.integers(0, 100))
def test_stability_is_small_for_alike_and_large_for_moved_scores(seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = random.beta(2, 5, 2000), random.beta(2, 5, 2000)
    assert 0 <= score_stability(one, other).value < 0.05
    assert score_stability(one, np.clip(other + 0.3, 0, 1)).value > 0.25


SCORES = st.lists(st.integers(0, 12).map(lambda value: value / 12), min_size=1, max_size=40).map(np.array)


@given(SCORES, SCORES)
def test_the_bands_of_a_stability_hold_every_row_and_add_up(one: np.ndarray, other: np.ndarray) -> None:
    found = score_stability(one, other)
    assert sum(band.part for band in found.bands) == pytest.approx(found.value)
    assert all(band.expected for band in found.bands), "no band that the expected rows do not fill"
    for at, band in enumerate(found.bands):
        for rows, counted in ((one, band.expected), (other, band.actual)):
            above = rows >= band.low if at == 0 else rows > band.low
            assert (above & (rows <= band.high)).sum() == counted
    assert score_stability(one, one).value == 0


def test_the_stability_of_no_rows_is_refused() -> None:
    with pytest.raises(DataUnusable, match="rows in it"):
        score_stability(np.array([0.5]), np.zeros(0))


@pytest.mark.parametrize(
    ("label", "probability"),
    [
        (np.zeros(10), np.linspace(0, 1, 10)),
        (np.ones(10), np.linspace(0, 1, 10)),
        (np.array([0.0, 1.0]), np.array([0.5, np.nan])),
        (np.array([0.0, 1.0]), np.array([0.5])),
        (np.array([0.0, 1.0]), np.array([0.5, 1.01])),
        (np.array([0.0, 1.0]), np.array([-0.01, 0.5])),
        (np.array([0.0, 2.0]), np.array([0.1, 0.5])),
        (np.array([[0.0, 1.0]]), np.array([[0.1, 0.5]])),
        (np.zeros(0), np.zeros(0)),
    ],
)
def test_what_cannot_be_evaluated_is_told(label: np.ndarray, probability: np.ndarray) -> None:
    with pytest.raises(DataUnusable):
        evaluate(label, probability, np.random.default_rng(0))
