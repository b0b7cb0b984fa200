"""One party's own columns in the clear, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modeling.errors import DataUnusable
from modeling.logistic.alone import train_alone
from modeling.logistic.own import Columns
from modeling.logistic.settings import Settings


def test_it_finds_what_scikit_learn_finds_among_the_rows_with_weight() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(800, 4))
    label = (random.random(800) < 1 / (1 + np.exp(-(x @ [2.0, -1.0, 0.3, 0.0] - 1)))).astype(float)
    weights = random.uniform(0, 1, 800) * (random.random(800) < 0.8)
    found = train_alone(Columns(features=x, weights=weights, intercept=True), label, Settings(l2=1e-2, clip=50.0))
    peer = LogisticRegression(C=1 / (1e-2 * 800), tol=1e-10, max_iter=1000).fit(x, label, sample_weight=weights)
    np.testing.assert_allclose(found, [peer.intercept_[0], *peer.coef_[0]], atol=1e-5)


def test_columns_that_part_the_classes_or_are_alike_have_finite_coefficients() -> None:
    x = np.linspace(-1, 1, 200)
    label = (x > 0).astype(float)
    found = train_alone(
        Columns(features=np.stack([x, x], axis=1), weights=np.ones(200), intercept=True), label, Settings()
    )
    assert np.isfinite(found).all()
    assert found[1] == pytest.approx(found[2])


def test_one_class_is_refused() -> None:
    columns = Columns(features=np.ones((5, 1)), weights=np.ones(5))
    with pytest.raises(DataUnusable):
        train_alone(columns, np.zeros(5), Settings())
