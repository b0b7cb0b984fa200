"""What becomes of a step, and the steps themselves, on shares."""

from __future__ import annotations

import numpy as np
import pytest

from modeling.errors import DataUnusable
from modeling.logistic import fixed
from modeling.logistic.descent import INVERSE_BITS, Descent, judged

ONE = 1 << fixed.FRACTION_BITS


def test_a_step_that_changes_little_ends_the_training() -> None:
    verdict = judged((0.5, 0.2, 0.009), 0, 0.01, 24)
    assert verdict.settled and verdict.over and verdict.mark and not verdict.back


def test_steps_may_grow_a_little_and_small_steps_by_much() -> None:
    for sizes in ((0.5, 0.2, 0.59), (0.5, 0.01, 0.09)):
        verdict = judged(sizes, 0, 0.001, 24)
        assert not (verdict.mark or verdict.back or verdict.over)


@pytest.mark.parametrize(("period", "then"), [(24, 48), (48, 96)])
def test_a_training_that_diverges_goes_back_and_takes_the_next_period(period: int, then: int) -> None:
    verdict = judged((0.5, 0.2, 0.61), 0, 0.001, period)  # type: ignore[arg-type]
    assert (verdict.back, verdict.over, verdict.period) == (True, False, then)


def test_after_the_widest_period_it_ends_where_it_moved_least() -> None:
    verdict = judged((0.5, 0.2, 0.61), 0, 0.001, 96)
    assert verdict.back and verdict.over and not verdict.settled


def test_steps_of_an_earlier_period_are_not_compared() -> None:
    assert judged((0.5, 0.02, 0.4, 0.3), 2, 0.001, 48).mark
    assert not judged((0.5, 0.02, 0.4), 2, 0.001, 48).back


def shared(values: list[float]) -> list[np.ndarray]:
    numbers = np.array([int(value * ONE) for value in values], dtype=object)
    first = fixed.fresh(len(values))
    return [first, numbers - first]


def test_steps_on_shares_are_nesterovs() -> None:
    inverse = np.array([[2.0, 0.5], [0.5, 1.0]])
    parties = [Descent(inverse=np.round(inverse * (1 << INVERSE_BITS)).astype(np.int64), period=24) for _ in range(2)]
    point = before = np.zeros(2)
    for step, gradient in enumerate(([0.5, -0.25], [0.125, 0.5], [-0.25, 0.0625])):
        ahead = point + step / (step + 3) * (point - before)
        before, point = point, ahead - inverse @ gradient
        told = [party.ahead() for party in parties]
        np.testing.assert_allclose(fixed.real(sum(told)), ahead, atol=1e-15)
        changes = [party.step(at, share) for party, at, share in zip(parties, told, shared(gradient), strict=True)]
        np.testing.assert_allclose(fixed.real(sum(changes)), point - before, atol=1e-15)
    np.testing.assert_allclose(fixed.real(sum(party.point for party in parties)), point, atol=1e-15)


def test_what_is_kept_is_the_whole_state() -> None:
    one = Descent(inverse=np.eye(2, dtype=np.int64), period=48)
    one.point, one.previous, one.best = (np.array([place, -place], dtype=object) << 200 for place in (1, 2, 3))
    one.age, one.sizes, one.since = 4, (0.5, 0.25), 1
    other = Descent(inverse=one.inverse, period=48)
    other.restore(one.state(2))
    assert other.state(2) == one.state(2)
    with pytest.raises(DataUnusable, match="damaged"):
        Descent(inverse=np.eye(3, dtype=np.int64), period=48).restore(one.state(2))
