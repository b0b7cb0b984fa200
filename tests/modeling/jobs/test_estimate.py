"""What a plan says that a job costs."""

from __future__ import annotations

import pytest

from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.jobs.estimate import estimate
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.preparation.woe import Limits
from tests.modeling.jobs.world import ROWS, SETTINGS, TRAINING, Job, result, selecting
from tests.modeling.transcripts import recorded


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


@pytest.mark.parametrize("across", [True, False])
def test_an_estimate_of_a_choice_is_near_what_it_sends(across: bool) -> None:
    job = selecting("logistic", across=across)
    told = result(job.run())
    (sent,) = (phase.sent_bytes + phase.received_bytes for phase in told.phases if phase.name == "prepare")
    without, chosen = (estimate(SETTINGS["logistic"], ROWS, TRAINING, (3, 3), rules) for rules in (None, job.selection))
    assert sent / 1e6 == pytest.approx(chosen.megabytes - without.megabytes, rel=0.35)
    assert chosen.rounds > without.rounds and chosen.seconds >= without.seconds


@pytest.mark.parametrize("across", [True, False])
def test_an_estimate_of_a_choice_counts_what_providers_say_to_each_other(
    across: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = selecting("boosting", passives=2, across=across, limits=Limits(lowest_value=0, highest_correlation=1))
    sent = recorded(monkeypatch).sent
    job.run()
    choice = sum(each.size for each in sent if each.message.kind.startswith(("bins", "correlation")))
    settings = SETTINGS["boosting"]
    without, chosen = (
        estimate(settings, ROWS, TRAINING, (2, 3, 2), rules).megabytes for rules in (None, job.selection)
    )
    assert choice / 1e6 == pytest.approx(chosen - without, rel=0.35)


def test_memory_grows_with_the_table_and_zeros_made_ahead_are_bounded() -> None:
    logistic, boosting = LogisticSettings(steps=3), BoostingSettings(trees=3)
    few, many = (estimate(logistic, rows, rows // 2, (5, 5)).memory_mb for rows in (20_000, 2_000_000))
    assert many - few == pytest.approx(1_980_000 * 10 * 40 / 1e6, abs=2)
    few, many = (
        estimate(boosting, rows, rows, (5, 5)).memory_mb - estimate(logistic, rows, rows, (5, 5)).memory_mb
        for rows in (100_000, 1_000_000)
    )
    assert 0 < few == many
