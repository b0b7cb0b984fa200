"""A training that is killed anywhere goes on to the same model, and with nothing but its own checkpoints."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import pytest

from modeling.errors import DataUnusable, ModelingError
from modeling.gbdt.checkpoint import ActiveCheckpoint
from modeling.gbdt.passive import PassiveCheckpoint
from modeling.gbdt.settings import Settings
from tests.modeling.gbdt.test_training import Cohort, described, in_the_clear, same

SETTINGS = Settings(trees=3, depth=2, bins=4, min_rows=1, key_bits=2048)
PASSIVES = ("p1", "p2")


class _Killed(ModelingError):
    code = "KILLED"


class Kept:
    """What each party has on its disk; one of them is killed at its tree `at`, before or after it has written."""

    def __init__(self, victim: str = "", at: int = 0, *, written: bool = False) -> None:
        self.disk: dict[str, bytes] = {}
        self._victim, self._at, self._written = victim, at, written

    def arguments(self) -> dict[str, Any]:
        found: dict[str, Any] = {"keep": lambda each: self._keep("active", len(each.part.trees), each)}
        found["passive_keep"] = lambda name, each: self._keep(name, each.done, each)
        found["passives"] = {
            name: msgspec.json.decode(data, type=PassiveCheckpoint)
            for name, data in self.disk.items()
            if name != "active"
        }
        if "active" in self.disk:
            found["resume"] = msgspec.json.decode(self.disk["active"], type=ActiveCheckpoint)
        return found

    def _keep(self, name: str, done: int, checkpoint: Any) -> None:
        killed = name == self._victim and done == self._at
        if killed:
            self._victim = ""
        if not killed or self._written:
            self.disk[name] = msgspec.json.encode(checkpoint)
        if killed:
            raise _Killed("power cut")


def cohort() -> Cohort:
    return Cohort(rows=120, widths=(2, 2, 1))


@functools.cache
def _broken_off(trees: int, run: int) -> dict[str, bytes]:
    kept = Kept("active", trees, written=True)
    with pytest.raises(_Killed):
        cohort().train(SETTINGS, **kept.arguments())
    return kept.disk


def after(trees: int, run: int = 0) -> Kept:
    """The checkpoints of one of the trainings in which A was killed with so many trees."""
    kept = Kept()
    kept.disk = dict(_broken_off(trees, run))
    return kept


@pytest.mark.parametrize(
    ("victim", "at", "written", "own_trees"),
    [
        ("active", 1, False, 0),
        ("active", 2, True, 0),
        ("active", 2, False, 2),
        ("p1", 1, True, 0),
        ("p1", 2, False, 0),
        ("p2", 3, True, 2),
    ],
)
def test_whoever_is_killed_at_whatever_tree_the_training_goes_on_to_the_same_model(
    victim: str, at: int, *, written: bool, own_trees: int
) -> None:
    settings = msgspec.structs.replace(SETTINGS, own_trees=own_trees)
    kept = Kept(victim, at, written=written)
    with pytest.raises(_Killed):
        cohort().train(settings, **kept.arguments())
    trees: list[int] = []
    resumed = kept.arguments() | {"keep": lambda each: trees.append(len(each.part.trees))}
    same(described(*cohort().train(settings, **resumed)), in_the_clear(cohort(), settings))
    begun = len(resumed["resume"].part.trees) if "resume" in resumed else 0
    assert trees == list(range(begun + 1, 4)), "trees that all have are not grown again"


@pytest.mark.parametrize("party", [0, 1, 2])
def test_a_checkpoint_of_other_data_is_refused(party: int) -> None:
    kept, rows = after(2), cohort()
    rows.parts[party] = rows.parts[party].copy()
    rows.parts[party][3, 0] += 1e-9
    with pytest.raises(DataUnusable, match="changed"):
        rows.train(SETTINGS, **kept.arguments())


@pytest.mark.parametrize("name", ["label", "weights", "validation"])
def test_another_label_is_another_training(name: str) -> None:
    kept, rows = after(2), cohort()
    values = getattr(rows, name).copy()
    values[3] = not values[3] if name != "weights" else values[3] / 2
    setattr(rows, name, values)
    with pytest.raises(DataUnusable, match="changed"):
        rows.train(SETTINGS, **kept.arguments())


def test_a_passive_s_checkpoint_of_another_run_tree_or_no_checkpoint_is_refused() -> None:
    kept, other = after(2), after(2, run=1)
    arguments = kept.arguments()
    mine = arguments["passives"]["p1"]
    for given in (
        other.arguments()["passives"]["p1"],
        None,
        msgspec.structs.replace(mine, done=1),
        msgspec.structs.replace(mine, done=4),
        msgspec.structs.replace(mine, gone=b"\x01"),
        msgspec.structs.replace(mine, gone=b"\xff\xff\xff\x7f"),
    ):
        with pytest.raises(DataUnusable):
            cohort().train(SETTINGS, **(arguments | {"passives": arguments["passives"] | {"p1": given}}))


def test_trees_are_not_grown_anew_with_passives_that_have_more_than_one() -> None:
    kept = after(2)
    del kept.disk["active"]
    with pytest.raises(DataUnusable, match="another tree"):
        cohort().train(SETTINGS, **kept.arguments())


def test_the_draws_of_a_resumed_tree_are_those_of_the_tree_that_was_lost() -> None:
    """What A sees of a tree that is grown twice is in the same order, so that the two tell no more than one."""
    settings = msgspec.structs.replace(SETTINGS, sample=0.6)
    kept = Kept("p1", 3, written=False)
    with pytest.raises(_Killed):
        cohort().train(settings, **kept.arguments())
    first, second = (cohort().train(settings, **(kept.arguments() | {"keep": lambda _: None})) for _ in range(2))
    assert msgspec.json.encode(first[0]) == msgspec.json.encode(second[0]) and first[1] == second[1]
