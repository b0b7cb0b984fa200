"""Intersections: what both learn is right, and what else passes by says nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rbcl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modeling.channel import Channel
from modeling.errors import CohortTooSmall, DataUnusable, ModelingError, ProtocolViolation
from modeling.executor import Processes
from modeling.local import Party, run_in_processes, run_in_threads
from modeling.messages import Message
from modeling.psi import intersection
from modeling.psi.intersection import Intersection, Terms, intersect

TERMS = Terms(exchange="exchange-1", minimum=1)
Seen = list[tuple[str, Message]]


def party(peer: str, identifiers: Sequence[str], terms: Terms, folder: Path, seen: Seen | None = None) -> Party[Any]:
    def run(channels: Mapping[str, Channel]) -> Intersection:
        channel = channels[peer]
        if seen is not None:
            send = channel.send
            channel.send = lambda message: (seen.append((peer, message)), send(message))[1]  # type: ignore[method-assign]
        return intersect(channel, iter(identifiers), terms, leads=peer == "b", folder=folder, executor=Processes(0))

    return run


def met(
    a: Sequence[str], b: Sequence[str], folder: Path, terms: Terms = TERMS, seen: Seen | None = None
) -> tuple[Intersection, Intersection]:
    told = run_in_threads(
        {"a": party("b", a, terms, folder, seen), "b": party("a", b, terms, folder, seen)}, deadline_s=20
    )
    return told["a"], told["b"]


names = st.sets(st.integers(0, 60).map(lambda n: f"91310000{n:06d}"), min_size=1, max_size=40)


@given(a=names, b=names, seed=st.randoms(use_true_random=False), chunk=st.sampled_from([1, 7, 4096]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_the_intersection_of_sets_in_one_order(
    a: set[str], b: set[str], seed: random.Random, chunk: int, tmp_path: Path
) -> None:
    ours, theirs = sorted(a), sorted(b)
    seed.shuffle(ours)
    seed.shuffle(theirs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intersection, "CHUNK", chunk)
        if not a & b:
            with pytest.raises(CohortTooSmall):
                met(ours, theirs, tmp_path)
            return
        one, other = met(ours, theirs, tmp_path)
    assert one.rows is not None
    assert other.rows is not None
    assert [ours[row] for row in one.rows] == [theirs[row] for row in other.rows]
    assert {ours[row] for row in one.rows} == a & b
    assert one.size == other.size == len(a & b)
    assert not list(tmp_path.iterdir())


def people(start: int, stop: int) -> list[str]:
    return [f"person-{n}" for n in range(start, stop)]


def test_by_size_neither_learns_which(tmp_path: Path) -> None:
    seen: Seen = []
    one, other = met(people(0, 300), people(150, 450), tmp_path, Terms(exchange="e", mode="size"), seen)
    assert (one.size, one.rows, other.size, other.rows) == (150, None, 150, None)
    assert {message.kind for _, message in seen} == {"psi.hello", "psi.elements", "psi.tags", "psi.size"}


@pytest.mark.parametrize("mode", ["rows", "size"])
def test_a_small_cohort_is_refused_at_both_sides_before_anyone_knows_who_or_how_many(tmp_path: Path, mode: Any) -> None:
    seen: Seen = []
    ended: dict[str, BaseException] = {}

    def kept(name: str, inner: Party[Any]) -> Party[Any]:
        def run(channels: Mapping[str, Channel]) -> None:
            try:
                inner(channels)
            except ModelingError as error:
                ended[name] = error

        return run

    terms = Terms(exchange="e", mode=mode)
    run_in_threads(
        {
            "a": kept("a", party("b", people(0, 200), terms, tmp_path, seen)),
            "b": kept("b", party("a", people(101, 300), terms, tmp_path, seen)),
        }
    )
    assert {type(error) for error in ended.values()} == {CohortTooSmall}
    assert not any("99" in str(error) for error in ended.values())
    assert {message.kind for _, message in seen} == {"psi.hello", "psi.elements", "psi.tags"}
    assert met(people(0, 200), people(100, 300), tmp_path, terms)[0].size == 100


def test_an_input_below_the_minimum_is_not_even_compared(tmp_path: Path) -> None:
    seen: Seen = []
    with pytest.raises(CohortTooSmall):
        met(people(0, 99), people(0, 300), tmp_path, Terms(exchange="e"), seen)
    assert {message.kind for _, message in seen} == {"psi.hello"}


def test_what_passes_by_is_fresh_shuffled_and_says_only_sizes(tmp_path: Path) -> None:
    """Two runs over the same input: no element or tag comes back, orders differ, sizes are those that the counts give."""
    runs: list[Seen] = [[], []]
    for seen in runs:
        met(people(0, 200), people(100, 300), tmp_path, seen=seen)
    parts = [{(to, message.kind): message.blobs[0] for to, message in seen if message.blobs} for seen in runs]
    for key in parts[0]:
        assert len(parts[0][key]) == len(parts[1][key]), "sizes depend on the counts alone"
    for kind, width in (("psi.elements", 32), ("psi.tags", 16)):
        first, second = (
            {part[(to, kind)][at : at + width] for to in "ab" for at in range(0, 200 * width, width)} for part in parts
        )
        assert len(first) in (400, 300)
        assert not first & second
    places = [np.frombuffer(part[("a", "psi.places")], "<u4").tolist() for part in parts]
    assert places[0] != places[1]
    assert max(places[0]) >= 100, "places are those of a shuffled order, not of the input"
    tags = parts[0][("a", "psi.tags")]
    assert [tags[at : at + 16] for at in range(0, len(tags), 16)] == sorted(
        tags[at : at + 16] for at in range(0, len(tags), 16)
    )


@pytest.mark.parametrize("refuses", [False, True])
def test_who_follows_can_put_the_rows_on_record_before_the_other_learns_them(tmp_path: Path, refuses: bool) -> None:
    a, b = people(0, 150), people(50, 200)
    seen: Seen = []
    told: dict[str, Any] = {}

    def known(rows: Any) -> None:
        told["rows"] = rows.tolist()
        told["sent"] = [message.kind for peer, message in seen]
        if refuses:
            raise DataUnusable("the record cannot be written")

    def follows(channels: Mapping[str, Channel]) -> Intersection:
        channel = channels["a"]
        send = channel.send
        channel.send = lambda message: (seen.append(("a", message)), send(message))[1]  # type: ignore[method-assign]
        return intersect(channel, b, TERMS, leads=False, folder=tmp_path, executor=Processes(0), known=known)

    parties = {"a": party("b", a, TERMS, tmp_path), "b": follows}
    if refuses:
        with pytest.raises(DataUnusable):
            run_in_threads(parties, deadline_s=20)
        assert "psi.places" not in [message.kind for _, message in seen]
    else:
        found = run_in_threads(parties, deadline_s=20)
        assert found["b"].rows.tolist() == told["rows"]
        assert [message.kind for _, message in seen][-1] == "psi.places"
    assert told["sent"] and "psi.places" not in told["sent"]
    assert {b[row] for row in told["rows"]} == set(people(50, 150))


def test_an_order_says_nothing_of_the_input(tmp_path: Path) -> None:
    one, again = (met(people(0, 200), people(0, 200), tmp_path)[0].rows for _ in range(2))
    assert one is not None
    assert again is not None
    assert one.tolist() != again.tolist()
    assert abs(np.corrcoef(one, np.arange(200))[0, 1]) < 0.4


@pytest.mark.parametrize(
    ("identifiers", "told"),
    [
        (["a", "b", "a"], "rows 0 and 2"),
        (["a", ""], "row 1 has 0 bytes"),
        (["a", "b "], "row 1 has blanks"),
        (["x\n1"], "row 0 has blanks"),
        (["a" * 257], "257 bytes"),
        (["\ud800"], "no valid Unicode"),
        (["e\u0301"], "NFC"),
        ([5], "row 0 is no text"),
        ([], "no identifiers"),
    ],
)
def test_unusable_identifiers_are_told_before_anything_is_sent(
    tmp_path: Path, identifiers: list[Any], told: str
) -> None:
    def alone(channels: Mapping[str, Channel]) -> int:
        with pytest.raises(DataUnusable, match=told):
            party("b", identifiers, TERMS, tmp_path)(channels)
        return channels["b"].traffic.sent_messages

    assert run_in_threads({"a": alone, "b": lambda channels: None})["a"] == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Terms(exchange="exchange-2", minimum=1), "exchange"),
        (Terms(exchange="exchange-1", minimum=2), "minimum"),
        (Terms(exchange="exchange-1", minimum=1, mode="size"), "mode"),
    ],
)
def test_parties_that_agreed_on_different_terms_stop(tmp_path: Path, other: Terms, told: str) -> None:
    with pytest.raises(ProtocolViolation, match=f"another '{told}'"):
        run_in_threads({"a": party("b", ["x"], TERMS, tmp_path), "b": party("a", ["x"], other, tmp_path)})


Change = Callable[[Message], Message]


def changed(kind: str, change: Change) -> Party[Any]:
    """A party that follows the protocol except in one message."""

    def run(channels: Mapping[str, Channel]) -> Intersection:
        channel = channels["a"]
        send = channel.send
        channel.send = lambda message: send(change(message) if message.kind == kind else message)  # type: ignore[method-assign]
        folder = Path(run.__dict__["folder"])
        return intersect(channel, people(0, 50), TERMS, leads=False, folder=folder, executor=Processes(0))

    return run


def blob(change: Callable[[bytes], bytes]) -> Change:
    return lambda message: Message(kind=message.kind, blobs=tuple(map(change, message.blobs)))


ENDLESS = (1 << 31).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("psi.hello", lambda m: Message(kind=m.kind, fields={**m.fields, "count": -1})),
        ("psi.hello", lambda m: Message(kind=m.kind, fields={**m.fields, "count": 1 << 60})),
        ("psi.hello", lambda m: Message(kind=m.kind, fields={**m.fields, "count": "many"})),
        ("psi.hello", lambda m: Message(kind=m.kind, fields={**m.fields, "leads": True})),
        ("psi.elements", blob(lambda data: bytes(32) + data[32:])),  # the identity
        ("psi.elements", blob(lambda data: b"\xff" * 32 + data[32:])),
        ("psi.elements", blob(lambda data: data[:32] + data[:32] + data[64:])),  # one twice
        ("psi.elements", blob(lambda data: data[:-32])),
        ("psi.elements", blob(lambda data: data + data[:32])),
        ("psi.elements", lambda m: Message(kind=m.kind)),
        ("psi.elements", lambda m: Message(kind="psi.tags", blobs=m.blobs)),
        ("psi.tags", blob(lambda data: data[16:] + data[:16])),
        ("psi.tags", blob(lambda data: data[:16] + data[:16] + data[32:])),
        ("psi.tags", blob(lambda data: data[1:])),
        ("psi.size", lambda m: Message(kind=m.kind, fields={"size": 3})),
        ("psi.size", lambda m: Message(kind=m.kind)),
        ("psi.places", blob(lambda data: ENDLESS + data[4:])),
        ("psi.places", blob(lambda data: data[:4] + data[:4] + data[8:])),
        ("psi.places", blob(lambda data: data[4:])),
    ],
)
def test_a_peer_that_breaks_the_protocol_is_told_of(tmp_path: Path, kind: str, change: Change) -> None:
    bad = changed(kind, change)
    bad.__dict__["folder"] = tmp_path
    with pytest.raises(ProtocolViolation):
        run_in_threads({"a": party("b", people(0, 50), TERMS, tmp_path), "b": bad}, deadline_s=20)
    assert not list(tmp_path.iterdir())


def test_all_cores_several_chunks_and_real_sockets_in_processes(tmp_path: Path) -> None:
    def one(peer: str, identifiers: list[str]) -> Party[Any]:
        def run(channels: Mapping[str, Channel]) -> Intersection:
            with Processes(2) as executor:
                leads = peer == "b"
                return intersect(channels[peer], identifiers, TERMS, leads=leads, folder=tmp_path, executor=executor)

        return run

    a, b = people(0, 9000), people(8000, 8500) + people(20_000, 20_100)
    told = run_in_processes({"a": one("b", a), "b": one("a", b)}, deadline_s=60)
    common = [a[row] for row in told["a"].rows]
    assert common == [b[row] for row in told["b"].rows]
    assert set(common) == set(people(8000, 8500))


def test_rbcl_multiplies_as_the_group_does() -> None:
    """The protocol rests on a·(b·P) == b·(a·P)."""
    a, b = (rbcl.crypto_core_ristretto255_scalar_random() for _ in range(2))
    point = rbcl.crypto_core_ristretto255_random()
    multiply = rbcl.crypto_scalarmult_ristretto255
    assert multiply(a, multiply(b, point)) == multiply(b, multiply(a, point))
