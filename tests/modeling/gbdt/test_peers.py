"""Parties that do not keep to the protocol, and what is seen by parties that do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from modeling import messages
from modeling.additive import SecretKey
from modeling.channel import Channel, memory_pair
from modeling.errors import DataUnusable, PeerFailed, ProtocolViolation
from modeling.gbdt import active, passive, scoring, wire
from modeling.gbdt.gradients import Target, unpacked
from modeling.gbdt.settings import Settings, layout_for
from modeling.gbdt.trees import PassivePart
from modeling.local import run_in_threads
from modeling.messages import Message

SETTINGS = Settings(trees=2, depth=2, bins=8, min_rows=1, key_bits=2048)
ROWS = 200
RNG = np.random.default_rng(8)
OWN, THEIRS = RNG.normal(size=(ROWS, 2)), RNG.normal(size=(ROWS, 3))
LABEL = (THEIRS.sum(axis=1) + OWN[:, 0] > 0).astype(float)
KEY, OTHER = SecretKey("okamoto-uchiyama", 2048), SecretKey("okamoto-uchiyama", 2048)

Change = Callable[[Message], Message]


def target(label: Any = LABEL) -> Target:
    return Target(label=label, weights=np.ones(ROWS), validation=np.zeros(ROWS, np.bool_))


def spy(channel: Channel, kind: str, change: Change, seen: list[Message] | None = None) -> Channel:
    """The channel, with the messages of this kind changed on their way out; all that is sent is noted."""
    send = channel.send

    def changed(message: Message) -> None:
        told = change(message) if message.kind == kind else message
        if seen is not None:
            seen.append(told)
        send(told)

    channel.send = changed  # type: ignore[method-assign]
    return channel


def both(kind: str, change: Change, label: Any = LABEL) -> tuple[dict[str, Exception], dict[str, list[Message]]]:
    """Run a training with one kind of message changed: each party's error, and all that each sent."""
    errors: dict[str, Exception] = {}
    sent: dict[str, list[Message]] = {"active": [], "p": []}

    def guarded(name: str, peer: str, run: Callable[[Channel], Any]) -> Any:
        def party(channels: Any) -> Any:
            try:
                return run(spy(channels[peer], kind, change, sent[name]))
            except Exception as error:
                errors[name] = error
                raise

        return party

    parties = {
        "active": guarded("active", "p", lambda ch: active.train(OWN, target(label), {"p": ch}, SETTINGS, key=KEY)),
        "p": guarded("p", "active", lambda ch: passive.train(THEIRS, ch)),
    }
    try:
        run_in_threads(parties, deadline_s=30)
    except Exception as error:
        assert error in errors.values()
    return errors, sent


def arrays(**given: Any) -> Change:
    """Replace arrays by what these functions make of them; None: leave away."""

    def change(message: Message) -> Message:
        new = {name: given[name](array) if name in given else array for name, array in message.arrays.items()}
        return replace(message, arrays={name: array for name, array in new.items() if array is not None})

    return change


def fields(**given: Any) -> Change:
    return lambda message: replace(message, fields={**message.fields, **given})


def under_another_key(wire_form: Any) -> Any:
    public = OTHER.public
    made = public.to_wire(public.zeros(len(wire_form)))
    return np.resize(made, wire_form.shape) if made.shape != wire_form.shape else made


def huge(wire_form: Any) -> Any:
    return np.full(wire_form.shape, 255, np.uint8)


def outside_the_group(wire_form: Any) -> Any:
    return np.zeros(wire_form.shape, np.uint8)


def other_sums(wire_form: Any) -> Any:
    """Well-formed ciphertexts of numbers that are no sums."""
    return KEY.public.to_wire(KEY.public.encrypt(np.full(len(wire_form), -1)))


PASSIVE_LIES = [
    (wire.READY, fields(rows=ROWS + 1)),
    (wire.READY, fields(candidates=0)),
    (wire.READY, fields(candidates=1 << 40)),
    (wire.READY, fields(candidates="many")),
    (wire.SUMS, arrays(sums=lambda a: a[:-1])),
    (wire.SUMS, arrays(sums=lambda a: a[:, 1:])),
    (wire.SUMS, arrays(sums=lambda a: a.astype(np.int64))),
    (wire.SUMS, arrays(sums=lambda a: None)),
    (wire.SUMS, arrays(sums=huge)),
    (wire.SUMS, arrays(sums=outside_the_group)),
    (wire.SUMS, arrays(sums=other_sums)),
    (wire.SUMS, arrays(sums=under_another_key)),
    (wire.SUMS, fields(node=1)),
    (wire.SIDES, arrays(left=lambda a: a[:-1])),
    (wire.SIDES, arrays(left=lambda a: np.append(a, a[:1]))),
    (wire.SIDES, arrays(left=lambda a: ~a)),
    (wire.SIDES, lambda message: Message(kind="gbdt-nonsense")),
]
ACTIVE_LIES = [
    (wire.START, fields(rows=ROWS - 1)),
    (wire.START, fields(run="../..")),
    (wire.START, fields(settings={"trees": -1})),
    (wire.START, lambda message: replace(message, blobs=())),
    (wire.START, lambda message: replace(message, blobs=(b"\x00" * 700,))),
    (wire.NEXT, fields(tree=7)),
    (wire.NEXT, fields(tree=-1, keep=9)),
    (wire.NEXT, arrays(seen=lambda a: a[:-1])),
    (wire.NEXT, arrays(seen=np.zeros_like)),
    (wire.ROWS, arrays(ciphers=lambda a: a[:-1])),
    (wire.ROWS, arrays(ciphers=huge)),
    (wire.ROWS, arrays(ciphers=outside_the_group)),
    (wire.CHOSEN, lambda message: replace(message, arrays={"nodes": wire.int32([0]), "candidates": wire.int32([999])})),
    (wire.CHOSEN, lambda message: replace(message, arrays={"nodes": wire.int32([3]), "candidates": wire.int32([0])})),
    (
        wire.CHOSEN,
        lambda message: replace(message, arrays={"nodes": wire.int32([0, 0]), "candidates": wire.int32([0, 0])}),
    ),
    (wire.PARTED, arrays(left=lambda a: a[:-1])),
    (wire.PARTED, arrays(nodes=lambda a: wire.int32([5]))),
    (wire.PARTED, arrays(open=lambda a: wire.int32([1, 2, 3, 4]))),
]


@pytest.mark.parametrize("place", range(len(PASSIVE_LIES)))
def test_a_passive_that_lies_ends_the_training_at_both_ends(place: int) -> None:
    errors, _ = both(*PASSIVE_LIES[place])
    assert type(errors["active"]) is ProtocolViolation and type(errors["p"]) is PeerFailed


@pytest.mark.parametrize("place", range(len(ACTIVE_LIES)))
def test_an_active_that_lies_ends_the_training_at_both_ends(place: int) -> None:
    errors, _ = both(*ACTIVE_LIES[place])
    assert type(errors["p"]) is ProtocolViolation and type(errors["active"]) is PeerFailed


def test_rows_under_another_key_do_not_pass_for_sums() -> None:
    """A number of another key may lie in this one's group; then what it decrypts to is out of range, and A is the one to notice."""
    errors, _ = both(wire.ROWS, arrays(ciphers=under_another_key))
    assert {type(error) for error in errors.values()} <= {ProtocolViolation, PeerFailed} and len(errors) == 2


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_are_refused(seed: int) -> None:
    for side in ("active", "p"):
        mine, theirs = memory_pair(side, "other", deadline_s=2)
        theirs._put(np.random.default_rng(seed).bytes(300))  # type: ignore[attr-defined]
        with pytest.raises(ProtocolViolation):
            if side == "p":
                passive.train(THEIRS, mine)
            else:
                active.train(OWN, target(), {"p": mine}, SETTINGS, key=KEY)


def test_silence_ends_after_the_deadline() -> None:
    mine, _other = memory_pair("active", "p", deadline_s=0.2)
    with pytest.raises(PeerFailed, match="said nothing"):
        active.train(OWN, target(), {"p": mine}, SETTINGS, key=KEY)
    mine, _other = memory_pair("p", "active", deadline_s=0.2)
    with pytest.raises(PeerFailed, match="said nothing"):
        passive.train(THEIRS, mine)


def shapes(sent: list[Message]) -> list[Any]:
    """Kinds and sizes, of what is settled before any tree is grown."""
    return [
        (m.kind, sorted(m.fields), {n: a.shape for n, a in m.arrays.items()}, tuple(map(len, m.blobs))) for m in sent
    ]


def test_what_a_passive_receives_does_not_tell_labels_by_kind_or_size() -> None:
    """Two labels, one the negation of the other: the same trees grow with the weights' signs changed."""
    sent = [both("", lambda message: message, label)[1] for label in (LABEL, 1 - LABEL)]
    assert shapes(sent[0]["active"]) == shapes(sent[1]["active"])
    assert {m.kind for m in sent[0]["active"]} == {wire.START, wire.NEXT, wire.ROWS, wire.CHOSEN, wire.PARTED}
    rows = [np.vstack([m.arrays["ciphers"] for m in each["active"] if m.kind == wire.ROWS]) for each in sent]
    assert len(np.unique(np.vstack(rows), axis=0)) == sum(map(len, rows)), (
        "ciphertexts are fresh, also of equal gradients"
    )
    named = {name for m in sent[0]["active"] for name in (*m.fields, *m.arrays)}
    public = {"run", "settings", "rows", "done", "tree", "keep", "gone", "seen", "nodes", "candidates", "open", "left"}
    assert named == public | {"ciphers"}


def test_what_the_active_receives_is_in_another_order_at_each_node_and_run() -> None:
    layout, orders = layout_for(SETTINGS, ROWS), []
    for _ in range(2):
        _, sent = both("", lambda message: message)
        (count,) = (m.fields["candidates"] for m in sent["p"] if m.kind == wire.READY)
        for message in [m for m in sent["p"] if m.kind == wire.SUMS][:3]:
            values = KEY.decrypt(KEY.public.from_wire(message.arrays["sums"]))
            _, h = unpacked(values, count, layout, 1e12)
            orders.append(tuple(np.argsort(h, kind="stable").tolist()))
            steps = np.diff(h.reshape(-1))
            assert (steps > 0).any() and (steps < 0).sum() > 3, "left sums of a feature in order would mostly rise"
    assert len(set(orders)) == len(orders) == 6


def scored(asked: Any, part: PassivePart, features: Any = THEIRS, change: Change = lambda m: m) -> Any:
    parties = {
        "active": lambda channels: scoring.score(asked, OWN, channels),
        "p": lambda channels: scoring.answer(part, features, spy(channels["active"], wire.SIDES, change)),
    }
    return run_in_threads(parties, deadline_s=30)["active"]


def test_scoring_refuses_other_models_rows_and_columns() -> None:
    parties = {
        "active": lambda channels: active.train(OWN, target(), channels, SETTINGS, key=KEY),
        "p": lambda channels: passive.train(THEIRS, channels["active"]),
    }
    found = run_in_threads(parties)
    model, part = found["active"], found["p"]
    assert scored(model, part).shape == (ROWS,)
    with pytest.raises(ProtocolViolation, match="another model"):
        scored(model, msgspec.structs.replace(part, run="0" * 32))
    with pytest.raises(ProtocolViolation, match="other rows"):
        scored(model, part, THEIRS[:-1])
    with pytest.raises(ProtocolViolation):
        scored(model, part, change=arrays(left=lambda a: a[:-1]))
    with pytest.raises(DataUnusable, match="columns"):
        scored(model, part, THEIRS[:, 1:])
    with pytest.raises(DataUnusable, match="model is of"):
        scoring.score(model, OWN, {})
    assert (
        messages.decode(messages.encode(Message(kind="x", fields=msgspec.to_builtins(part)))).fields["run"] == part.run
    )


@pytest.mark.parametrize(
    "agreed",
    [
        Settings(trees=3, depth=2, bins=8, key_bits=2048),
        Settings(trees=2, depth=2, bins=8, key_bits=3072),
        Settings(trees=2, depth=2, bins=8, key_bits=2048, min_rows=5),
    ],
)
def test_a_party_refuses_other_settings_than_it_agreed_to_before_it_says_anything(agreed: Settings) -> None:
    mine, theirs = memory_pair("p", "active", 3)
    wire.send_start(theirs, wire.Start(run="ab" * 16, settings=SETTINGS, rows=ROWS, done=0), b"no key at all")
    with pytest.raises(ProtocolViolation, match="other settings than were agreed"):
        passive.train(THEIRS, mine, agreed=agreed)
    assert mine.traffic.sent_messages == 0
