"""What a plan says that a job costs."""

from __future__ import annotations

import pytest

from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.jobs.estimate import estimate
from modeling.logistic.settings import Settings as LogisticSettings
from tests.modeling.jobs.world import ROWS, SETTINGS, TRAINING, Job, result


def test_an_estimate_grows_with_rows_and_refuses_what_training_would() -> None:
    few = estimate(BoostingSettings(trees=10), 10_000, 7_000, (5, 5))
    many = estimate(BoostingSettings(trees=10), 100_000, 70_000, (5, 5))
    assert many.megabytes == pytest.approx(10 * few.megabytes, rel=0.2)
    assert many.seconds > 5 * (few.seconds - 3)
    with pytest.raises(Exception, match="equations"):
        estimate(LogisticSettings(), 1000, 700, (5, 50))


def test_an_estimate_of_bytes_is_near_what_a_training_sends() -> None:
    told = result(Job("logistic").run())
    sent = sum(phase.sent_bytes + phase.received_bytes for phase in told.phases if phase.name == "train")
    expected = estimate(SETTINGS["logistic"], ROWS, TRAINING, (4, 2)).megabytes
    assert sent / 1e6 == pytest.approx(expected, rel=0.35)
