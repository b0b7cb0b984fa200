"""A training that is killed anywhere goes on to the same model, and with nothing but its own checkpoints."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import numpy as np
import pytest

from modeling.errors import DataUnusable, ModelingError, ProtocolViolation
from modeling.logistic.descent import Descent, judged
from modeling.logistic.own import Checkpoint, State
from modeling.logistic.settings import MOST_OPENINGS, Settings
from tests.modeling.logistic.test_training import Cohort, joined

SETTINGS = Settings(steps=3, tolerance=0.0)
NAMES = ("a", "p1", "p2")


class _Killed(ModelingError):
    code = "KILLED"


class Kept:
    """What each party has on its disk; one of them is killed at its step `at`, before or after it has written."""

    def __init__(self, victim: str = "", at: int = 0, *, written: bool = False) -> None:
        self.disk: dict[str, bytes] = {}
        self._victim, self._at, self._written = victim, at, written

    def lose(self, victim: str, at: int) -> None:
        """From now on: killed after it has written."""
        self._victim, self._at, self._written = victim, at, True

    def arguments(self, name: str) -> dict[str, Any]:
        stored = self.disk.get(name)
        resume = None if stored is None else msgspec.json.decode(stored, type=Checkpoint)
        return {"resume": resume, "keep": lambda checkpoint: self._keep(name, checkpoint)}

    def _keep(self, name: str, checkpoint: Checkpoint) -> None:
        killed = name == self._victim and checkpoint.done == self._at
        if killed and not self._written:
            self._victim = ""
            raise _Killed("before it was written")
        self.disk[name] = msgspec.json.encode(checkpoint)
        if killed:
            self._victim = ""
            raise _Killed("after it was written")


def cohort() -> Cohort:
    return Cohort(rows=120, widths=(2, 2, 1))


def training(rows: Cohort, kept: Kept, settings: Settings = SETTINGS) -> Any:
    for name in NAMES:
        rows.more[name] = {**rows.more.get(name, {}), **kept.arguments(name)}
    return rows.train(settings)


@functools.cache
def _broken_off(steps: int, run: int) -> dict[str, bytes]:
    kept = Kept("a", steps, written=True)
    with pytest.raises(_Killed):
        training(cohort(), kept)
    return kept.disk


def after(steps: int, run: int = 0) -> Kept:
    """The checkpoints of one of the trainings in which A was killed with so many steps behind it."""
    kept = Kept()
    kept.disk = dict(_broken_off(steps, run))
    return kept


@pytest.mark.parametrize(
    ("victim", "at", "written"),
    [
        ("a", 1, False),
        ("a", 3, True),
        ("a", 3, False),
        ("p1", 1, True),
        ("p1", 2, False),
        ("p2", 3, True),
        ("p2", 1, False),
    ],
)
def test_whoever_is_killed_at_whatever_step_the_training_goes_on_to_the_same_model(
    victim: str, at: int, *, written: bool
) -> None:
    kept = Kept(victim, at, written=written)
    with pytest.raises(_Killed):
        training(cohort(), kept)
    found = training(cohort(), kept)
    np.testing.assert_allclose(joined(found), cohort().plain(SETTINGS), atol=2e-3)
    assert {part.steps for part in found.values()} == {SETTINGS.steps}


def test_a_training_that_goes_on_does_not_begin_again() -> None:
    kept = after(2)
    steps: list[int] = []
    rows = cohort()
    rows.more = {name: kept.arguments(name) for name in NAMES}
    rows.more["a"]["keep"] = lambda checkpoint: steps.append(checkpoint.done)
    rows.train(SETTINGS)
    assert steps == [3]


def test_parties_one_step_apart_go_on_from_the_older_one() -> None:
    older, newer = after(2), after(2, run=1)
    steps: list[int] = []
    rows = cohort()
    rows.more = {name: newer.arguments(name) for name in NAMES}
    rows.more["a"]["keep"] = lambda checkpoint: steps.append(checkpoint.done)
    with pytest.raises(DataUnusable, match="another training"):  # the checkpoints of two trainings do not mix
        rows.more["p2"]["resume"] = older.arguments("p2")["resume"]
        rows.train(SETTINGS)
    kept = Kept("p1", 2, written=True)
    with pytest.raises(_Killed):
        training(cohort(), kept)
    done = {name: msgspec.json.decode(kept.disk[name], type=Checkpoint).done for name in NAMES}
    assert (done["a"], done["p1"]) == (1, 2)
    rows.more = {name: kept.arguments(name) for name in NAMES}
    rows.more["a"]["keep"] = lambda checkpoint: steps.append(checkpoint.done)
    np.testing.assert_allclose(joined(rows.train(SETTINGS)), rows.plain(SETTINGS), atol=2e-3)
    assert steps == [2, 3]


@pytest.mark.parametrize("victim", NAMES)
def test_a_checkpoint_of_other_data_settings_or_steps_is_refused(victim: str) -> None:
    kept = after(2)
    place = NAMES.index(victim)
    rows = cohort()
    rows.parts[place] = rows.parts[place].copy()
    rows.parts[place][7, 0] += 0.25
    with pytest.raises(DataUnusable, match="changed"):
        training(rows, kept)
    given = kept.arguments(victim)["resume"]
    changes = (
        {"settings": Settings(steps=5)},
        {"data": "00"},
        {"gone": b"abc"},
        {"gone": b"\xff\xff\xff\xff"},
        {"basis": b""},
        *(({"now": msgspec.structs.replace(given.now, shares=b"")}, {"inverse": b""}) if victim != "p2" else ()),
    )
    for change in changes:
        rows = cohort()
        rows.more = {name: kept.arguments(name) for name in NAMES}
        rows.more[victim]["resume"] = msgspec.structs.replace(given, **change)
        with pytest.raises(DataUnusable):
            rows.train(SETTINGS)


def test_another_label_is_another_training() -> None:
    kept, rows = after(2), cohort()
    rows.label = 1 - rows.label
    with pytest.raises(DataUnusable, match="changed"):
        training(rows, kept)


def test_a_passive_without_its_checkpoint_or_far_behind_or_ahead_is_told() -> None:
    kept = after(2)
    del kept.disk["p1"]
    with pytest.raises(DataUnusable, match="no checkpoint"):
        training(cohort(), kept)
    ahead = after(2)
    del ahead.disk["a"]  # A does not begin anew with passives that have more than a step behind them
    with pytest.raises(DataUnusable):
        training(cohort(), ahead)


def test_a_training_that_is_over_stays_over() -> None:
    """Lost after the coefficients have opened: another step would open others, and their difference is a gradient."""
    rows, kept, settings = cohort(), Kept(), Settings(steps=9, tolerance=0.3)
    whole = training(rows, kept, settings)
    assert whole["a"].steps < 9
    again = training(cohort(), kept, settings)
    for name, part in again.items():
        np.testing.assert_allclose(part.coefficients, whole[name].coefficients, atol=1e-12)
        assert (part.steps, part.settled) == (whole["a"].steps, True)


@pytest.mark.parametrize("victim", NAMES)
def test_correlations_are_told_three_times_and_no_more(victim: str) -> None:
    """Each time with another dither: told without limit, a mean of them would have none."""
    kept = Kept()
    for _ in range(MOST_OPENINGS):
        kept.lose(victim, 0)
        with pytest.raises(_Killed):
            training(cohort(), kept)
        for name in set(NAMES) - {victim}:
            kept.disk.pop(name, None)
    with pytest.raises((DataUnusable, ProtocolViolation), match="3 times"):
        training(cohort(), kept)


def test_what_is_kept_is_small_and_does_not_grow_with_the_rows() -> None:
    assert max(map(len, after(2).disk.values())) < 5000
    kept = Kept("a", 2, written=True)
    with pytest.raises(_Killed):
        training(Cohort(rows=240, widths=(2, 2, 1)), kept)
    assert {name: len(data) for name, data in kept.disk.items()} == {
        name: pytest.approx(len(data), abs=60) for name, data in after(2).disk.items()
    }


def test_after_a_step_back_the_training_goes_on_with_the_wider_period() -> None:
    first = Descent(inverse=np.eye(2, dtype=np.int64), period=24)
    first.sizes = (0.5, 0.2, 0.7)
    first.point = np.array([3 << 70, -(1 << 90)], dtype=object)
    first.best = np.array([1, 2], dtype=object)
    first.obey(judged(first.sizes, 0, 0.01, 24))
    again = Descent(inverse=first.inverse, period=24)
    again.restore(msgspec.json.decode(msgspec.json.encode(first.state(3)), type=State))
    assert (again.period, again.age, again.since, again.sizes) == (48, 1, 3, first.sizes)
    assert again.point.tolist() == again.best.tolist() == [1, 2]
