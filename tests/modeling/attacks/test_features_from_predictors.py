"""Feature reconstruction: the active party makes equations of what it sees of a passive's linear predictors, and solves for features.

Sources: Luo et al., "Feature inference attack on model predictions in vertical federated learning", ICDE 2021 (equality solving: a
prediction is one linear equation about a row); Weng et al., "Privacy leakage of real-world vertical federated learning", 2020 (a
predictor of each step, known coefficients or rows: as many equations as steps).
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from modeling import bfv
from modeling.logistic import curvature, scoring
from modeling.logistic.layout import Layout
from modeling.logistic.settings import Settings
from tests.modeling.attacks.success import explained, fitted
from tests.modeling.attacks.views import Views, centred, everything, views
from tests.modeling.logistic.test_scoring import ROWS, Model, to_active
from tests.modeling.logistic.test_training import Cohort
from tests.modeling.transcripts import Sent, recorded

SETTINGS = Settings(steps=6, tolerance=0.0)
KNOWN = 60
"""Enterprises whose features the attacker knows from elsewhere."""
NO_BETTER_THAN_THE_MEAN = 0.05


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    return recorded(monkeypatch).sent


# -- training


def found_in_training(seen: Views, cohort: Cohort) -> Any:
    """R squared of each feature of p1: the predictors of several steps span its columns, the known rows tell how."""
    rows = len(cohort.label)
    inputs = np.column_stack([vector / np.abs(vector).max() for vector in everything(seen, "a", rows) if vector.any()])
    span, sizes, _ = np.linalg.svd(inputs, full_matrices=False)
    inputs = span[:, : min(KNOWN // 2, int((sizes > 1e-7 * sizes[0]).sum()))]
    return explained(cohort.parts[1][KNOWN:], fitted(inputs, cohort.parts[1], KNOWN))


def test_predictors_in_training_do_not_tell_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weng's equations over the steps of a training.

    Seen by the active party: its shares of predictors and residuals, sums of any two, and the features of 60 enterprises. Success:
    features of the others, better than their mean.
    """
    seen, cohort = views(monkeypatch), Cohort(rows=600, widths=(2, 3))
    cohort.train(SETTINGS)
    assert (found_in_training(seen, cohort) < NO_BETTER_THAN_THE_MEAN).all()


def test_predictors_without_masks_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attack where masks are zero: the active party knows its shares of p1's coordinates, and reads columns times them."""
    monkeypatch.setattr(bfv, "uniform", lambda count: np.zeros(count, np.int64))
    cohort, told = Cohort(rows=600, widths=(0, 3)), []
    over_groups = Layout.over_groups

    def noted(layout: Layout, vectors: Any, rows: int) -> Any:
        found = over_groups(layout, vectors, rows)
        if threading.current_thread().name == "a" and rows == 603:
            told.append(centred(found[:600]))
        return found

    monkeypatch.setattr(Layout, "over_groups", noted)
    cohort.train(SETTINGS)
    inputs = np.column_stack([vector / np.abs(vector).max() for vector in told])
    assert (explained(cohort.parts[1][KNOWN:], fitted(inputs, cohort.parts[1], KNOWN)) > 0.99).all()


def test_the_curvature_tells_what_a_regression_on_own_columns_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens before the first step: declared, for it makes the steps.

    Seen by the active party: how its columns move together with those of p1, rotated; and the features of 60 enterprises. Success:
    features of the others. It gets as far as the best linear guess from its own columns, which the 60 would nearly teach it too.
    """
    cohort, opened = Cohort(rows=600, widths=(2, 3)), []
    bound = curvature._bound

    def noted(*arguments: Any) -> Any:
        opened.append(bound(*arguments))
        return opened[-1]

    monkeypatch.setattr(curvature, "_bound", noted)
    cohort.train(Settings(steps=1))
    own = np.hstack([np.ones((600, 1)), cohort.parts[0]])
    spread = np.linalg.svd(own, full_matrices=False)[0]
    found = explained(
        cohort.parts[1][KNOWN:], fitted(spread @ np.linalg.svd(opened[0][:3, 3:])[0], cohort.parts[1], KNOWN)
    )
    best, *_ = np.linalg.lstsq(own, cohort.parts[1], rcond=None)
    assert (found < explained(cohort.parts[1], own @ best) + 0.05).all()


# -- scoring: the active party is told a sum, and that is one equation


def solved(predictor: Any, coefficients: Any) -> Any:
    """Luo's equality solving: of all features that give this predictor, the least; the attacker knows even the coefficients."""
    return np.outer(predictor, coefficients) / (coefficients @ coefficients)


def told(model: Model, total: Any) -> Any:
    """What the active party has of all passives after scoring."""
    return total - model.w["a"][0] - model.x["a"] @ model.w["a"][1:]


def test_scores_of_one_passive_are_one_equation_about_its_features() -> None:
    """Equality solving, after scoring with one passive: declared, for with one passive its predictor is the score less one's own.

    Seen by the active party: the passive's predictor of each row; and, more than it has, the coefficients. Success: the features. It
    explains as much as one equation can: of p features that say nothing of one another, one in all.
    """
    model = Model(1)
    features, coefficients = model.x["p1"], model.w["p1"]
    found = explained(features, solved(told(model, model.score()), coefficients)[:, : features.shape[1]])
    expected = 1 - (1 - coefficients**2 / (coefficients @ coefficients))
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert found.sum() == pytest.approx(1, abs=0.1) and found.max() < 0.99


def test_a_passive_that_has_one_column_tells_it_by_its_scores() -> None:
    """Equality solving with as many equations as features: declared, and a reason to bring more than one column.

    Seen by the active party: the predictor of each row, no coefficient. Success: the column, but for its scale and sign.
    """
    model = Model(1)
    model.w["p1"][1] = 0.0  # one column in effect
    predictor = told(model, model.score())
    assert abs(np.corrcoef(predictor, model.x["p1"][:, 0])[0, 1]) > 0.9999


def part_of_p1(sent: list[Sent]) -> Any:
    return to_active(sent, "p1").view(np.int64) / 2.0**scoring.FRACTION_BITS


def test_scores_of_two_passives_do_not_tell_the_part_of_either(sent: list[Sent]) -> None:
    """Equality solving for one of two passives.

    Seen by the active party: what each sends, and the sum. Success: the predictor of one of them. What p1 sends says nothing; the sum
    says of it what a sum of two says of one.
    """
    model = Model(2)
    total = told(model, model.score())
    mine, other = (model.x[name] @ model.w[name] for name in ("p1", "p2"))
    assert abs(np.corrcoef(part_of_p1(sent), mine)[0, 1]) < 6 / np.sqrt(ROWS)
    expected = mine.std() / np.hypot(mine.std(), other.std())
    assert np.corrcoef(total, mine)[0, 1] == pytest.approx(expected, abs=0.05)
    assert expected < 0.95


def test_scores_of_two_passives_without_masks_would(sent: list[Sent], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attack where the masks that two passives share are zero."""
    monkeypatch.setattr(scoring.secrets, "token_bytes", bytes)
    model = Model(2)
    model.score()
    assert np.corrcoef(part_of_p1(sent), model.x["p1"] @ model.w["p1"])[0, 1] > 0.9999
