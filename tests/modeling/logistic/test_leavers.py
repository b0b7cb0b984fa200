"""A subject that withdraws leaves at the next step: in all parties, for good, and A cannot go on with its row unseen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import DataUnusable, PeerFailed, ProtocolViolation
from modeling.leavers import Leavers
from modeling.local import run_in_threads
from modeling.logistic import active, passive, wire
from modeling.logistic.layout import Layout
from modeling.logistic.own import Checkpoint, Columns, OwnPart
from modeling.logistic.settings import Settings, ring_for
from modeling.messages import Message
from tests.modeling.logistic.test_training import Cohort, joined

SETTINGS = Settings(steps=5, tolerance=0.0)


def at_step(*rows_by_step: Sequence[int]) -> Callable[[], Sequence[int]]:
    """Asked the k-th time, these rows have withdrawn; after the last, the last."""
    asked = iter(rows_by_step)
    last: Sequence[int] = ()

    def withdrawn() -> Sequence[int]:
        nonlocal last
        last = next(asked, last)
        return last

    return withdrawn


def test_the_encrypted_run_is_the_plain_run_in_which_rows_lose_their_weight() -> None:
    cohort = Cohort(rows=300, widths=(2, 2, 1))
    ones, others, third = range(0, 60), range(50, 90), range(200, 240)
    cohort.more = {
        "a": {"withdrawn": at_step((), (), ones)},  # asked before each step
        "p1": {"withdrawn": at_step((), others)},  # asked at the start and after each step
        "p2": {"withdrawn": at_step((), (), (), third)},
    }
    found = cohort.train(SETTINGS)
    plain = cohort.plain(SETTINGS, leave={1: [*others], 2: [*ones], 3: [*third]})
    np.testing.assert_allclose(joined(found), plain, atol=2e-3)
    assert np.abs(plain - cohort.plain(SETTINGS)).max() > 0.02, "these rows do matter"
    assert {part.left for part in found.values()} == {130}


def test_rows_of_a_later_block_leave_too() -> None:
    cohort = Cohort(rows=8300, widths=(1, 1))
    gone = [*range(3000), *range(8192, 8290)]
    cohort.more = {"p1": {"withdrawn": at_step((), gone)}}
    settings = Settings(steps=2, tolerance=0.0)
    np.testing.assert_allclose(joined(cohort.train(settings)), cohort.plain(settings, leave={1: gone}), atol=1e-3)


@pytest.mark.parametrize("who", ["a", "p1"])
def test_what_a_row_was_has_no_influence_after_it_has_left(who: str) -> None:
    """The training is broken off once the rows are gone; then their features and labels change."""
    kept: dict[str, list[Checkpoint]] = {"a": [], "p1": []}
    gone = range(40, 90)
    cohort = Cohort(rows=300)
    cohort.more = {name: {"keep": checkpoints.append} for name, checkpoints in kept.items()}
    cohort.more[who]["withdrawn"] = at_step((), gone)
    whole = cohort.train(SETTINGS)
    cohort.more = {
        name: {"resume": checkpoints[2]} for name, checkpoints in kept.items()
    }  # and nobody tells again who left
    cohort.label[gone] = 1 - cohort.label[gone]
    for part in cohort.parts:
        part[gone] = 3.0
    resumed = cohort.train(SETTINGS)
    np.testing.assert_allclose(joined(resumed), joined(whole), atol=1e-3)
    assert resumed["a"].left == resumed["p1"].left == len(gone)
    stayed = {name: msgspec.structs.replace(each[2], gone=b"") for name, each in kept.items()}
    cohort.more = {name: {"resume": checkpoint} for name, checkpoint in stayed.items()}
    with pytest.raises(DataUnusable, match="changed"):  # the rows' data would matter if they were back
        cohort.train(SETTINGS)


@pytest.mark.parametrize("row", [-1, 300, 1 << 40])
@pytest.mark.parametrize("who", ["a", "p1"])
def test_a_row_that_is_none_is_refused(who: str, row: int) -> None:
    cohort = Cohort(rows=300)
    cohort.more = {who: {"withdrawn": lambda: (row,)}}
    with pytest.raises(DataUnusable, match="300 rows"):
        cohort.train(SETTINGS)


def test_everybody_may_leave() -> None:
    cohort = Cohort(rows=300)
    cohort.more = {"p1": {"withdrawn": at_step((), range(300))}}
    found = cohort.train(SETTINGS)
    assert found["a"].left == 300 and np.isfinite(joined(found)).all()


@pytest.mark.parametrize("who", ["a", "p1"])
def test_rows_that_left_have_no_residual_from_the_next_step_on(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[np.ndarray] = []
    gradient = OwnPart.gradient_of_own_share

    def seen(part: OwnPart, residuals: np.ndarray) -> np.ndarray:
        shares.append(residuals)
        return gradient(part, residuals)

    monkeypatch.setattr(OwnPart, "gradient_of_own_share", seen)
    cohort = Cohort(rows=300)
    cohort.more = {who: {"withdrawn": at_step((), range(40))}}
    cohort.train(Settings(steps=2, tolerance=0.0))
    first, second = (
        np.mod(one + other, bfv.PLAIN_MODULUS) for one, other in zip(shares[::2], shares[1::2], strict=True)
    )
    assert first.all() and second[40:].all() and not second[:40].any()


def test_a_part_that_drops_rows_has_no_record_of_them() -> None:
    rng = np.random.default_rng(3)
    columns = Columns(features=rng.normal(size=(30, 2)), weights=np.ones(30), intercept=True)
    part = OwnPart(columns, SETTINGS, ring_for(30))
    part.lay_out(Layout(groups=4))
    assert part.drop(range(10)) and not part.drop([3])
    assert part.weights.tolist() == [0.0] * 10 + [1.0] * 20
    residuals = rng.integers(0, bfv.PLAIN_MODULUS, 30)
    only = np.where(np.arange(30) < 10, residuals, 0)
    assert not part.gradient_of_own_share(only).any() and part.gradient_of_own_share(residuals).all()
    predictor = part.predictor_of_own_share(np.array([5, 7, 9]))
    assert not predictor[:10].any() and predictor[10:].all()
    key = bfv.SecretKey()
    public = bfv.PublicKey(key.public)
    blobs = [key.encrypt(each) for each in Layout(groups=4).coordinates(np.array([5, 7, 9]))]
    answers, masks = part.predictor_of_foreign_share(blobs, public)
    opened = Layout(groups=4).over_groups(key.decrypt(answers), 33)
    assert np.mod(opened - masks, bfv.PLAIN_MODULUS).tolist() == predictor.tolist()


# -- parties that do not keep to it


def changed(channel: Channel, kind: str, change: Callable[[Message], Message]) -> Channel:
    send = channel.send
    channel.send = lambda message: send(change(message) if message.kind == kind else message)  # type: ignore[method-assign]
    return channel


def both(kind: str, told: Any, withdrawn: Any, *, sender: str) -> dict[str, Exception]:
    """Each party's error in a training in which `sender` lies about the rows that left."""
    cohort, errors = Cohort(rows=300), {}

    def lying(message: Message) -> Message:
        return replace(message, arrays={"withdrawn": told})

    def guarded(name: str, peer: str, run: Callable[[Channel], Any]) -> Any:
        def party(channels: Mapping[str, Channel]) -> Any:
            try:
                return run(changed(channels[peer], kind, lying) if name == sender else channels[peer])
            except Exception as error:
                errors[name] = error
                raise

        return party

    first, second = (
        Columns(features=part, weights=np.ones(300), intercept=place == 0) for place, part in enumerate(cohort.parts)
    )
    parties = {
        "a": guarded("a", "p1", lambda ch: active.train(first, cohort.label, {"p1": ch}, SETTINGS)),
        "p1": guarded("p1", "a", lambda ch: passive.train(second, "a", "p1", {"a": ch}, withdrawn=withdrawn)),
    }
    with pytest.raises((ProtocolViolation, PeerFailed)):
        run_in_threads(parties, deadline_s=30)
    return errors


@pytest.mark.parametrize("told", [[], [4], [4, 6]])
def test_a_passive_does_not_go_on_with_an_active_that_keeps_a_row(told: list[int]) -> None:
    errors = both(wire.GO_ON, np.array(told, np.int32), at_step((), (4, 5)), sender="a")
    assert type(errors["p1"]) is ProtocolViolation and "consent has ended" in str(errors["p1"])
    assert type(errors["a"]) is PeerFailed


@pytest.mark.parametrize(
    "told",
    [
        np.array([300], np.int32),
        np.array([-1], np.int32),
        np.array([5, 4], np.int32),
        np.array([4, 4], np.int32),
        np.zeros(1),
    ],
)
@pytest.mark.parametrize(("kind", "sender"), [(wire.GO_ON, "a"), (wire.READY, "p1"), (wire.DONE, "p1")])
def test_rows_that_are_none_end_the_training(kind: str, sender: str, told: Any) -> None:
    errors = both(kind, told, lambda: (), sender=sender)
    assert type(errors["p1" if sender == "a" else "a"]) is ProtocolViolation


def test_leavers_have_a_fingerprint_of_those_that_stay() -> None:
    table = np.arange(12.0).reshape(4, 3)
    one, other = Leavers(table, np.ones(4)), Leavers(table * [[1], [1], [5], [1]], np.ones(4))
    assert one.fingerprint != other.fingerprint
    assert one.add([2, 2]).tolist() == other.add([2]).tolist() == [2] and one.add([2]).tolist() == []
    assert one.fingerprint == other.fingerprint and one.packed == bytes([2, 0, 0, 0])
    again = Leavers(table, np.ones(4))
    again.restore(one.packed, one.fingerprint)
    assert again.rows == [2]
    assert Leavers(table.reshape(3, 4)).fingerprint != Leavers(table).fingerprint
