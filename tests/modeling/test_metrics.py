"""The figures of merit against scikit-learn and plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, roc_curve

from modeling import metrics
from modeling.errors import DataUnusable

SCORED = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(SCORED)
def test_auc_ks_brier_and_log_loss_are_scikit_learns(rows: list[tuple[int, int]]) -> None:
    label = np.array([label for label, _ in rows])
    score = np.array([value / 20 for _, value in rows])
    assert metrics.auc(label, score) == pytest.approx(roc_auc_score(label, score))
    false, true, _ = roc_curve(label, score)
    assert metrics.ks(label, score) == pytest.approx(np.abs(true - false).max())
    assert metrics.brier(label, score) == pytest.approx(brier_score_loss(label, score))
    clipped = np.clip(score, 1e-15, 1 - 1e-15)
    assert metrics.log_loss(label, score) == pytest.approx(log_loss(label, clipped), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("label", [[1, 1], [0, 0], [0, 2], [0.5, 1]])
def test_a_label_of_one_class_or_none_is_refused(label: list[float]) -> None:
    with pytest.raises(DataUnusable):
        metrics.auc(np.array(label), np.array([0.1, 0.2]))


def test_the_stability_index_is_zero_for_equal_shares_and_grows_with_the_shift() -> None:
    assert metrics.stability_index(np.array([10, 20, 30]), np.array([100, 200, 300])) == pytest.approx(0)
    small = metrics.stability_index(np.array([50, 50]), np.array([55, 45]))
    large = metrics.stability_index(np.array([50, 50]), np.array([90, 10]))
    assert 0 < small < 0.1
    assert large > 0.25
    assert np.isfinite(metrics.stability_index(np.array([50, 50]), np.array([100, 0])))
    with pytest.raises(DataUnusable):
        metrics.stability_index(np.array([1, 2]), np.array([1, 2, 3]))


def test_the_parts_of_a_stability_index_are_siddiqis_and_none_is_negative() -> None:
    parts = metrics.stability_parts(np.array([20, 30, 50]), np.array([10, 30, 60]))
    assert parts.tolist() == pytest.approx([-0.1 * np.log(0.5), 0, 0.1 * np.log(1.2)])
    assert (metrics.stability_parts(np.array([0, 3, 1]), np.array([4, 0, 9])) >= 0).all()
