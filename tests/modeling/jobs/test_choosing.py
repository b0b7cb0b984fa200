"""Columns are chosen once, before the training, by who is still in."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from modeling.errors import DataUnusable, PeerFailed, ProtocolViolation
from modeling.jobs import passive
from modeling.jobs.passive import PassiveResult
from modeling.preparation.candidates import WoeColumn
from modeling.preparation.woe import Limits
from tests.modeling.jobs.world import TRAINING, Job, Kept, floats, result, selecting


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_columns_are_chosen_at_every_party_before_the_training(algorithm: str) -> None:
    job = selecting(algorithm, **({"encode": "woe"} if algorithm == "logistic" else {}))
    found = job.run()
    told, theirs = result(found), msgspec.json.decode(found["p1"], type=PassiveResult)
    assert theirs.prepared.names == ("i.second", "i.third")
    assert "with a column of active" in theirs.prepared.dropped["i.first"]
    assert set(theirs.prepared.values) == {"i.first", "i.second", "i.third"}
    assert told.columns == {"p1": 2}
    assert "income" in told.part.prepared.names
    assert any(isinstance(each, WoeColumn) for each in told.part.prepared.columns) == (algorithm == "logistic")
    assert told.part.prepared.dropped.keys() | told.part.prepared.left_out >= {"same"}


@pytest.mark.parametrize("victim", ["active", "p1"])
def test_a_choice_is_made_once_however_often_the_job_is_broken_off(victim: str) -> None:
    whole = result(selecting("logistic", encode="woe").run())
    job = selecting("logistic", encode="woe")
    job.works[victim].fails_after = 3  # the choice, and two steps
    with pytest.raises((RuntimeError, PeerFailed)):
        job.run()
    job.works[victim].fails_after = -1
    kinds = counted_kinds(job)
    found = result(job.run())
    assert not [kind for kind in kinds if kind.startswith(("bins.", "correlation"))]
    np.testing.assert_allclose(floats(found.probabilities), floats(whole.probabilities), atol=5e-3)


def counted_kinds(job: Job) -> list[str]:
    """The kinds of messages that the passive sends from now on."""
    kinds: list[str] = []

    def follow(channels: Any) -> bytes:
        channel = channels["active"]
        send = channel.send
        channel.send = lambda message: (kinds.append(message.kind), send(message))[1]
        return passive.run(job.tables[0], job.theirs[0], "active", "p1", channels, job.works["p1"])

    run = job.run
    job.run = lambda: run(p1=follow)  # type: ignore[method-assign]
    return kinds


def broken_off(job: Job, after: int) -> None:
    """Run until the active party has kept so much and fails, and let it forget all of it."""
    job.works["active"].fails_after = after
    with pytest.raises((RuntimeError, PeerFailed)):
        job.run()
    job.works["active"] = Kept()


def test_a_passive_answers_for_a_choice_once_more_after_a_loss_and_not_for_ever() -> None:
    job = selecting("logistic")
    for _ in range(passive.MOST_CHOICES):
        broken_off(job, 1)
    with pytest.raises(ProtocolViolation, match="once more"):
        job.run()


def test_a_passive_that_has_trained_chooses_no_more() -> None:
    job = selecting("logistic")
    broken_off(job, 3)  # the choice, and two steps
    with pytest.raises(ProtocolViolation, match="once more"):
        job.run()


@pytest.mark.parametrize("who", ["active", "p1"])
def test_who_has_left_before_the_choice_is_not_counted(who: str) -> None:
    gone = list(range(0, TRAINING, 4))
    left, absent = selecting("boosting"), selecting("boosting")
    left.works[who] = Kept(withdrawn={0: gone})
    if who == "active":
        absent.present[gone] = False
    else:
        absent.theirs[0][gone] = False
    values = [msgspec.json.decode(job.run()["p1"], type=PassiveResult).prepared.values for job in (left, absent)]
    assert (
        values[0]
        == values[1]
        != msgspec.json.decode(selecting("boosting").run()["p1"], type=PassiveResult).prepared.values
    )


def test_a_passive_that_lost_the_choice_ends_the_job() -> None:
    job = selecting("logistic")
    job.works["active"].fails_after = 2
    with pytest.raises((RuntimeError, PeerFailed)):
        job.run()
    job.works["active"].fails_after = -1
    job.works["p1"] = Kept()
    with pytest.raises(DataUnusable, match="choice is lost"):
        job.run()


def test_rules_that_no_column_keeps_to_are_told() -> None:
    with pytest.raises(DataUnusable, match="keeps to the rules"):
        selecting("logistic", limits=Limits(lowest_value=2.0)).run()
