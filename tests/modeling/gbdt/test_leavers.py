"""A subject that withdraws leaves at the next tree: in all parties, for good, and A cannot go on with its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import DataUnusable, PeerFailed, ProtocolViolation
from modeling.gbdt import active, passive, wire
from modeling.gbdt.checkpoint import ActiveCheckpoint
from modeling.gbdt.features import binned
from modeling.gbdt.leavers import parted
from modeling.gbdt.passive import PassiveCheckpoint
from modeling.gbdt.settings import Settings
from modeling.local import run_in_threads
from modeling.messages import Message
from tests.modeling.gbdt.test_peers import Change, arrays, spy
from tests.modeling.gbdt.test_training import Cohort, described, in_the_clear, key, same

SETTINGS = Settings(trees=3, depth=2, bins=8, min_rows=1, key_bits=2048)


def at_tree(*rows_by_tree: Sequence[int]) -> Callable[[], Sequence[int]]:
    """Asked the k-th time, these rows have withdrawn; after the last, the last."""
    asked = iter(rows_by_tree)
    last: Sequence[int] = ()

    def withdrawn() -> Sequence[int]:
        nonlocal last
        last = next(asked, last)
        return last

    return withdrawn


def coarse(rows: int = 300) -> Cohort:
    """Features of few values, each many times, so that bins do not change with a row."""
    cohort = Cohort(rows=rows, widths=(2, 2))
    cohort.parts = [np.clip(np.round(part), -2, 2) + 0.0 for part in cohort.parts]
    return cohort


def test_the_encrypted_run_is_the_plain_run_in_which_rows_lose_their_weight() -> None:
    cohort = Cohort(rows=300, widths=(2, 2, 1))
    ones, others, third = range(60), range(50, 90), range(200, 240)
    kept: list[ActiveCheckpoint] = []
    found = cohort.train(
        SETTINGS,
        keep=kept.append,
        withdrawn=at_tree((), (), ones),  # asked before each tree
        passive_withdrawn={"p1": at_tree((), others), "p2": at_tree(third)},  # asked at the start and after each tree
    )
    plain = in_the_clear(cohort, SETTINGS, leave={0: [*third], 1: [*others], 2: [*ones]})
    same(described(*found), plain)
    assert plain[1] != in_the_clear(cohort, SETTINGS)[1], "these rows do matter"
    gone = [np.frombuffer(each.gone, "<i4").tolist() for each in kept]
    assert gone == [[*others, *third], [*others, *third], [*range(90), *third]]


def test_trees_of_the_active_party_s_own_features_lose_them_too() -> None:
    cohort, settings = Cohort(rows=200), msgspec.structs.replace(SETTINGS, own_trees=2)
    theirs: list[PassiveCheckpoint] = []
    gone = range(70)
    found = cohort.train(
        settings,
        passive_withdrawn={"p1": at_tree((), gone)},
        passive_keep=lambda _, each: theirs.append(each),
    )
    plain = in_the_clear(cohort, settings, leave={1: [*gone]})
    same(described(*found), plain)
    assert plain[1] != in_the_clear(cohort, settings)[1]
    assert [(each.done, len(each.gone)) for each in theirs] == [(1, 0), (2, 4 * 70), (3, 4 * 70)]


@pytest.mark.parametrize("who", ["active", "p1"])
def test_what_a_row_was_has_no_influence_after_it_has_left(who: str) -> None:
    """The training is broken off once the rows are gone; then their features and labels change, or are lost."""
    gone = range(40, 90)
    mine: list[ActiveCheckpoint] = []
    theirs: list[PassiveCheckpoint] = []
    leaving: dict[str, Any] = (
        {"withdrawn": at_tree((), gone)} if who == "active" else {"passive_withdrawn": {"p1": at_tree((), gone)}}
    )
    cohort = coarse()
    whole = cohort.train(SETTINGS, keep=mine.append, passive_keep=lambda _, each: theirs.append(each), **leaving)
    cohort.label[gone] = 1 - cohort.label[gone]
    for changed in (2.0, np.nan):
        for part in cohort.parts:
            part[gone] = changed
        resumed = cohort.train(SETTINGS, resume=mine[1], passives={"p1": theirs[1]})  # and nobody tells again who left
        assert msgspec.json.encode(resumed[0]) == msgspec.json.encode(whole[0])
        assert resumed[1] == whole[1]
    with pytest.raises(DataUnusable, match="changed"):  # the rows' data would matter if they were back
        cohort.train(SETTINGS, resume=msgspec.structs.replace(mine[1], gone=b""), passives={"p1": theirs[1]})


def test_validation_rows_that_left_do_not_count_in_losses() -> None:
    cohort = Cohort(rows=300)
    cohort.validation = np.arange(300) % 3 == 0
    kept: list[ActiveCheckpoint] = []
    gone = np.arange(0, 300, 6)
    theirs: list[PassiveCheckpoint] = []
    patient = msgspec.structs.replace(SETTINGS, patience=5)
    cohort.train(
        patient,
        keep=kept.append,
        passive_withdrawn={"p1": at_tree((), gone.tolist())},
        passive_keep=lambda _, each: theirs.append(each),
    )
    last = kept[-1]
    margin, counted = np.frombuffer(last.margin, "<f8"), cohort.validation.copy()
    losses = np.logaddexp(0, margin) - cohort.label * margin
    everybody = np.average(losses[counted], weights=cohort.weights[counted])
    counted[gone] = False
    stayed = np.average(losses[counted], weights=cohort.weights[counted])
    assert last.losses[-1] == pytest.approx(stayed) and abs(stayed - everybody) > 1e-4
    resumed: list[ActiveCheckpoint] = []
    cohort.train(patient, keep=resumed.append, resume=kept[1], passives={"p1": theirs[1]})
    assert resumed[-1].losses == last.losses


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_node_is_parted_by_the_rows_that_stay(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(60, 2)))
    x[rng.random(x.shape) < 0.2 * (seed % 2)] = np.nan
    table, rows, gone = binned(x, 16), np.flatnonzero(rng.random(60) < 0.6), rng.random(60) < 0.4
    for candidate in range(len(table.feature)):
        split, left = parted(table, candidate, rows, gone)
        expected, sides = table.split(candidate, rows[~gone[rows]])
        assert split == expected and (left[~gone[rows]] == sides).all()
        assert (left[gone[rows]] == split.missing_left).all()


@pytest.mark.parametrize("row", [-1, 300])
@pytest.mark.parametrize("who", ["active", "p1"])
def test_a_row_that_is_none_is_refused(who: str, row: int) -> None:
    leaving: Any = {"withdrawn": lambda: (row,)} if who == "active" else {"passive_withdrawn": {"p1": lambda: (row,)}}
    with pytest.raises(DataUnusable, match="300 rows"):
        Cohort(rows=300).train(SETTINGS, **leaving)


def test_a_training_ends_when_all_of_a_class_have_left() -> None:
    cohort = Cohort(rows=300)
    positive = np.flatnonzero(cohort.label == 1).tolist()
    with pytest.raises(DataUnusable, match="both occur"):
        cohort.train(SETTINGS, passive_withdrawn={"p1": at_tree((), positive)})


# -- parties that do not keep to it


def both(kind: str, change: Change, withdrawn: Any = tuple) -> tuple[dict[str, Exception], list[Message]]:
    """Each party's error in a training with one kind of message changed, and what the passive sent."""
    cohort, errors = Cohort(rows=200), {}
    sent: list[Message] = []

    def guarded(name: str, peer: str, run: Any) -> Any:
        def party(channels: Any) -> Any:
            try:
                return run(spy(channels[peer], kind, change, sent if name == "p" else None))
            except Exception as error:
                errors[name] = error
                raise

        return party

    own, theirs = cohort.parts
    parties = {
        "active": guarded("active", "p", lambda ch: active.train(own, cohort.target(), {"p": ch}, SETTINGS, key=key())),
        "p": guarded("p", "active", lambda ch: passive.train(theirs, ch, withdrawn=withdrawn)),
    }
    try:
        run_in_threads(parties, deadline_s=30)
    except Exception as error:
        assert error in errors.values()
    return errors, sent


def seeing(row: int) -> Change:
    def change(message: Message) -> Message:
        flags = np.unpackbits(message.arrays["seen"], bitorder="little")[:200]
        more = 1 - flags[row]
        flags[row] = 1
        packed = np.packbits(flags, bitorder="little")
        rows = message.fields["rows"] + int(more)
        return Message(
            kind=message.kind, fields={**message.fields, "rows": rows}, arrays={**message.arrays, "seen": packed}
        )

    return change


@pytest.mark.parametrize("change", [seeing(4), arrays(gone=lambda a: a[:0]), arrays(gone=lambda a: a[:1])])
def test_a_passive_does_not_go_on_with_an_active_that_keeps_a_row(change: Change) -> None:
    errors, sent = both(wire.NEXT, change, lambda: (4, 5))
    assert type(errors["p"]) is ProtocolViolation and "consent has ended" in str(errors["p"])
    assert type(errors["active"]) is PeerFailed
    assert {message.kind for message in sent} == {wire.READY, wire.LEFT}, "nothing is computed for it"


BAD_ROWS = ([200], [-1], [5, 4], [4, 4])


@pytest.mark.parametrize("rows", BAD_ROWS)
@pytest.mark.parametrize(("kind", "name", "notices"), [(wire.NEXT, "gone", "p"), (wire.LEFT, "rows", "active")])
def test_rows_that_are_none_end_the_training(kind: str, name: str, notices: str, rows: list[int]) -> None:
    errors, _ = both(kind, arrays(**{name: lambda _: np.array(rows, np.int32)}))
    assert type(errors[notices]) is ProtocolViolation
    assert {type(error) for error in errors.values()} == {ProtocolViolation, PeerFailed}


def test_a_tree_of_other_rows_than_it_names_is_refused() -> None:
    def fewer(message: Message) -> Message:
        return Message(kind=message.kind, fields={**message.fields, "rows": 7}, arrays=message.arrays)

    errors, _ = both(wire.NEXT, fewer)
    assert type(errors["p"]) is ProtocolViolation


def test_no_side_of_a_row_that_left_is_told() -> None:
    """The same messages whatever the rows had been."""

    def sides(value: float) -> list[bytes]:
        cohort, sent = coarse(), list[Message]()
        own, theirs = cohort.parts
        theirs[:30] = value

        def follow(channels: Any) -> Any:
            return passive.train(
                theirs, spy(channels["active"], "", lambda each: each, sent), withdrawn=lambda: range(30)
            )

        def lead(channels: Any) -> Any:
            return active.train(own, cohort.target(), channels, SETTINGS, key=key())

        run_in_threads({"active": lead, "p1": follow}, deadline_s=20)
        return [message.arrays["left"].tobytes() for message in sent if message.kind == wire.SIDES]

    assert sides(-2.0) == sides(2.0) != []
