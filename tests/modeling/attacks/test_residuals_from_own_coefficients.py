"""Residual reconstruction: what a passive knows of gradients are linear equations about residuals, and a residual's sign is the label.

No party sees a gradient; at the end each has its own coefficients. After one step they are the first gradients, under a curvature that
the computing parties know: X' r = n g, with X one's own columns. The bound on them is `settings.check_budget`.
Sources: Weng et al., "Privacy leakage of real-world vertical federated learning", 2020, and Fu et al., "Label inference attacks against
vertical federated learning", USENIX Security 2022, for what a residual tells; Dinur, Nissim, "Revealing information while preserving
privacy", PODS 2003, for bits out of sums and for differences of sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modeling.errors import BudgetExceeded
from modeling.logistic import active, passive
from modeling.logistic.settings import Settings, ring_for
from tests.modeling.attacks.success import guessing, leak_auc, leak_of_projection
from tests.modeling.attacks.views import Views, centred, views
from tests.modeling.logistic.test_leavers import at_step
from tests.modeling.logistic.test_training import Cohort, joined

ONE_STEP = Settings(steps=1, tolerance=0.0)


def without_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    for party in (active, passive):
        monkeypatch.setattr(party, "check_budget", lambda *_args, **_more: None)


def unpredictable(rows: int, width: int) -> Cohort:
    """Features of p1 that say nothing of the label: what is found of labels is found by equations alone."""
    cohort = Cohort(rows=rows, widths=(0, width))
    cohort.label = (np.random.default_rng(9).random(rows) < 0.5).astype(float)
    return cohort


def sums(cohort: Cohort) -> Any:
    """X' r of p1 in the first step, from its coefficients after it; the attacker is given the intercept besides."""
    found = joined(cohort.train(ONE_STEP))
    own = [np.ones((len(cohort.label), 1)), np.clip(cohort.parts[1], -5, 5)]
    ridge = np.full(len(found), ONE_STEP.l2)
    ridge[0] = 0
    return -(cohort.bound(own, ridge) @ found)[1:] * len(cohort.label)


def least(cohort: Cohort, equations: Any) -> Any:
    """The least residual of each row that fits."""
    solution, *_ = np.linalg.lstsq(cohort.parts[1].T, equations, rcond=None)
    return solution


def test_as_many_features_as_rows_are_refused() -> None:
    """Seen by a passive with as many features as rows: its coefficients after one step. Nothing is computed, so nothing is seen."""
    with pytest.raises(BudgetExceeded):
        unpredictable(64, 64).train(ONE_STEP)


def test_without_the_budget_they_would_tell_every_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same passive solves for the residuals, but for their mean, which centred columns do not see: two values, two labels."""
    without_budget(monkeypatch)
    cohort = unpredictable(64, 64)
    found = least(cohort, sums(cohort))
    assert leak_auc(cohort.label, found) == 1.0


def test_at_the_budget_least_solutions_are_wrong_for_many_rows() -> None:
    """The most that the budget allows: declared.

    Seen by a passive with a feature for 16 rows: its coefficients after one step. Success: the residuals. The least solution ranks
    labels as well as so many equations about so many unknowns can, which is better than guessing, and far from knowing.
    """
    cohort = unpredictable(512, 32)
    found = leak_auc(cohort.label, least(cohort, sums(cohort)))
    assert 0.55 < found < leak_of_projection(32, 512) + 0.06 < 0.71
    with pytest.raises(BudgetExceeded):
        unpredictable(512, 33).train(ONE_STEP)


def test_after_the_last_step_coefficients_do_not_tell_labels_from_guesses() -> None:
    """The same after a training that has settled: residuals and columns are nearly orthogonal, so the equations say nothing.

    Seen by a passive with a feature for 16 rows: X' r = - n ridge w. Success: a leak AUC that guessing does not reach.
    """
    cohort = unpredictable(512, 32)
    settings = Settings(steps=20, tolerance=0.0)
    w = cohort.train(settings)["p1"].coefficients
    assert leak_auc(cohort.label, least(cohort, -512 * settings.l2 * w)) < guessing(cohort.label)


# -- labels are bits: fewer equations than rows may leave one vector of them


def consistent(cohort: Cohort, equations: np.ndarray) -> np.ndarray:
    """uint8[m, n]: all vectors of labels that give these sums in the first step, in which every residual is 1/2 - y."""
    rows = len(cohort.label)
    halves = [all_bits(rows // 2), all_bits(rows - rows // 2)]
    x = np.clip(cohort.parts[1], -5, 5)
    first, second = ((0.5 - bits) @ part for bits, part in zip(halves, np.split(x, [rows // 2]), strict=True))
    off = np.abs(first[:, None, :] + second[None, :, :] - equations).max(axis=2)
    one, other = np.nonzero(off < 5e-4 * np.sqrt(rows))  # several times what rounding leaves
    return np.hstack([halves[0][one], halves[1][other]])


def all_bits(count: int) -> np.ndarray:
    return (np.arange(1 << count)[:, None] >> np.arange(count)[None, :] & 1).astype(np.uint8)


def test_at_the_budget_many_vectors_of_labels_fit() -> None:
    """Exhaustive search, the best attack on sums of bits there is; on more rows lattice reduction stands for it.

    Seen by a passive with a feature for 16 rows, the most that is allowed: its coefficient after one step. Success: one vector of
    labels remains. Hundreds do, and no row has the same label in all.
    """
    cohort = unpredictable(20, 1)
    fitting = consistent(cohort, sums(cohort))
    assert (fitting == cohort.label).all(axis=1).any()
    assert len(fitting) > 100
    assert fitting.any(axis=0).all() and not fitting.all(axis=0).any()


def test_with_a_feature_for_four_rows_one_vector_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attack under a quarter of the rows as the only bound, as it stood once."""
    without_budget(monkeypatch)
    cohort = unpredictable(20, 5)
    fitting = consistent(cohort, sums(cohort))
    assert (fitting == cohort.label).all() and len(fitting) == 1


# -- a row that leaves


LEAVER = 7


def standing_still(monkeypatch: pytest.MonkeyPatch) -> tuple[Views, Cohort, float]:
    """A training that has settled when one enterprise leaves it; and the residual of that one."""
    seen, cohort = views(monkeypatch), Cohort(rows=400, widths=(1, 2))
    cohort.more = {"p1": {"withdrawn": at_step(*[()] * 14, [LEAVER])}}
    intercept, *coefficients = joined(cohort.train(Settings(steps=15, tolerance=0.0)))
    z = intercept + cohort.x[LEAVER] @ coefficients
    return seen, cohort, float(1 / (1 + np.exp(-z)) - cohort.label[LEAVER])


def size_of_residual(cohort: Cohort, gradients: list[np.ndarray]) -> float:
    """By how much a gradient changed when the row left, over the size of the row in the party's basis."""
    change = centred(gradients[13] - gradients[14])[2:] / 2.0 ** ring_for(400).gradient_bits
    own = np.clip(cohort.parts[1], -5, 5)
    curvature = 0.25 * own.T @ own / 400 + Settings().l2 * np.eye(2)
    return float(np.linalg.norm(change) / np.sqrt(own[LEAVER] @ np.linalg.solve(curvature, own[LEAVER])))


def test_one_enterprise_that_leaves_a_training_that_stands_still_does_not_show_its_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Differencing (Dinur, Nissim): a gradient with the row less one without.

    Seen by a passive: its shares of the gradients before and after, and which row left. Success: the residual of that row, between 0
    and 1. A share changes by a number that is anything modulo t.
    """
    seen, cohort, _ = standing_still(monkeypatch)
    assert size_of_residual(cohort, seen.gradients["p1"]) > 10


def test_gradients_in_the_clear_would_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attack where both shares are seen, as each party once saw its own gradient: the change is the row times its residual."""
    seen, cohort, residual = standing_still(monkeypatch)
    assert size_of_residual(cohort, seen.opened()) == pytest.approx(abs(residual), abs=0.1)
