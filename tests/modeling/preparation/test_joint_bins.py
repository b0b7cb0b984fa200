"""WOE of a passive's bins under encryption equals that in plain; bad peers end in an error; labels of few are not told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from modeling.channel import Channel
from modeling.errors import BudgetExceeded, CohortTooSmall, DataUnusable, ParametersUnsafe, ProtocolViolation
from modeling.local import Party, run_in_threads
from modeling.messages import Message
from modeling.preparation import joint_bins, label_cipher
from modeling.preparation.binning import assign, category_bins, quantile_bins
from modeling.preparation.joint_bins import count_bins, count_for_passive
from modeling.preparation.label_cipher import LabelKey, PublicKey
from modeling.preparation.woe import count_labels, evidence

ROWS = 900
RNG = np.random.default_rng(7)
NUMBER = np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.normal(size=ROWS))
CITY = np.array(["a", "b", "c"], dtype=object)[RNG.integers(0, 3, ROWS)]
LABEL = (RNG.random(ROWS) < 1 / (1 + np.exp(-np.nan_to_num(NUMBER)))).astype(int)
BINS = {"x": quantile_bins("x", NUMBER, 6), "city": category_bins("city", CITY)}
PLACES = {"x": assign(BINS["x"], NUMBER), "city": assign(BINS["city"], CITY)}
COUNT = {name: bins.count for name, bins in BINS.items()}


@pytest.fixture(scope="module")
def key() -> LabelKey:
    """A small key, since a key of the real size takes many seconds to find."""
    with pytest.raises(ParametersUnsafe, match="too short"):
        LabelKey(1024)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_cipher, "LEAST_BITS", 1024)
        return LabelKey(1024)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_cipher, "LEAST_BITS", 1024)
    monkeypatch.setattr(joint_bins, "CHUNK", 400)


def active(key: LabelKey, label: Any = LABEL, weight: Any = None, minimum: int = 20) -> Party[None]:
    return lambda channels: count_for_passive(channels["p"], key, label, weight, minimum=minimum)


def passive(places: Mapping[str, Any] = PLACES, count: Mapping[str, int] = COUNT) -> Party[Any]:
    return lambda channels: count_bins(channels["a"], places, count)


def test_it_equals_the_plain_counts(key: LabelKey) -> None:
    told = run_in_threads({"a": active(key), "p": passive()})["p"]
    for name, places in PLACES.items():
        plain = evidence(*count_labels(places, LABEL, COUNT[name]))
        assert told[name].positives.tolist() == plain.positives.tolist()
        assert told[name].negatives.tolist() == plain.negatives.tolist()
        assert told[name].value == plain.value
        assert told[name].woe.tolist() == plain.woe.tolist()
    assert told["x"].value > 0.3 > told["city"].value


def test_rows_without_weight_or_record_count_nowhere(key: LabelKey) -> None:
    weight = RNG.integers(0, 3, ROWS) * 0.5
    label = np.where(weight == 0, 77, LABEL)  # what stands there is looked at by nobody
    lacks = RNG.random(ROWS) < 0.2
    places = {name: np.where(lacks, -1, each).astype(np.int32) for name, each in PLACES.items()}
    told = run_in_threads({"a": active(key, label, weight), "p": passive(places)})["p"]
    both = (weight != 0) & ~lacks
    for name, each in PLACES.items():
        plain = evidence(*count_labels(each[both], LABEL[both], COUNT[name]))
        assert told[name].positives.tolist() == plain.positives.tolist()
        assert told[name].negatives.tolist() == plain.negatives.tolist()


def test_what_passes_by_is_encrypted_shuffled_and_says_no_edges(key: LabelKey) -> None:
    seen: list[Message] = []

    def watched(channels: Mapping[str, Channel]) -> Any:
        channel = channels["a"]
        receive, send = channel.receive, channel.send
        channel.send = lambda message: (seen.append(message), send(message))[1]  # type: ignore[method-assign]

        def received(kind: str) -> Message:
            seen.append(receive(kind))
            return seen[-1]

        channel.receive = received  # type: ignore[method-assign]
        return count_bins(channel, PLACES, COUNT)

    runs = []
    for _ in range(2):
        seen.clear()
        run_in_threads({"a": active(key), "p": watched})
        assert [m.kind for m in seen] == ["bins.key", *["bins.labels"] * 3, "bins.sums", "bins.counts"]
        sums = next(m for m in seen if m.kind == "bins.sums")
        assert sums.fields == {"slots": 10}
        assert not sums.arrays
        runs.append((sums.blobs[0], seen[-1].arrays["totals"].tolist(), seen[1].blobs[0]))
    assert runs[0][0] != runs[1][0], "sums are masked afresh"
    assert runs[0][1] != runs[1][1], "slots stand in another order"
    assert sorted(runs[0][1]) == sorted(runs[1][1])
    assert runs[0][2] != runs[1][2], "labels are encrypted afresh"


def test_a_bin_of_few_rows_is_refused_at_both(key: LabelKey) -> None:
    ended: dict[str, Exception] = {}

    def kept(name: str, inner: Party[Any]) -> Party[None]:
        def run(channels: Mapping[str, Channel]) -> None:
            try:
                inner(channels)
            except CohortTooSmall as error:
                ended[name] = error

        return run

    few = PLACES["city"].copy()
    few[:19] = COUNT["city"] - 1
    sides = {"a": active(key), "p": passive({"city": few})}
    run_in_threads({name: kept(name, each) for name, each in sides.items()})
    assert set(ended) == {"a", "p"}


def test_as_many_bins_as_would_tell_labels_are_refused(key: LabelKey) -> None:
    places = {f"c{at}": PLACES["x"] for at in range(40)}
    with pytest.raises(BudgetExceeded, match="280 bins over 900 rows"):
        run_in_threads({"a": active(key), "p": passive(places, dict.fromkeys(places, COUNT["x"]))})


@pytest.mark.parametrize(
    ("label", "weight"),
    [
        (LABEL + 1, None),
        (np.zeros(ROWS), None),
        (LABEL, np.zeros(ROWS)),
        (LABEL, np.ones(5)),
        (np.where(LABEL == 1, np.nan, 0.0), None),
        (np.zeros((3, 3)), None),
    ],
)
def test_an_unusable_label_is_told_before_anything_is_sent(key: LabelKey, label: Any, weight: Any) -> None:
    def alone(channels: Mapping[str, Channel]) -> int:
        with pytest.raises(DataUnusable):
            count_for_passive(channels["p"], key, label, weight)
        return channels["p"].traffic.sent_messages

    assert run_in_threads({"a": alone, "p": lambda channels: None})["a"] == 0


@pytest.mark.parametrize(
    "places",
    [
        {},
        {"x": PLACES["x"], "city": PLACES["city"][:5]},
        {"x": PLACES["x"] + 5},
        {"x": PLACES["x"] * 1.0},
        {"y": PLACES["x"]},
        {"x": np.full(ROWS, -1)},
    ],
)
def test_unusable_bins_are_told(places: Any) -> None:
    with pytest.raises(DataUnusable):
        run_in_threads({"p": passive(places), "a": lambda channels: None})


Change = Callable[[Message], Message]


def altered(inner: Party[Any], peer: str, kind: str, change: Change) -> Party[Any]:
    def run(channels: Mapping[str, Channel]) -> Any:
        channel = channels[peer]
        send = channel.send
        channel.send = lambda m: send(change(m) if m.kind == kind else m)  # type: ignore[method-assign]
        return inner(channels)

    return run


def blob(change: Callable[[bytes], bytes]) -> Change:
    return lambda m: Message(kind=m.kind, fields=m.fields, blobs=tuple(map(change, m.blobs)))


def fields(**changed: Any) -> Change:
    return lambda m: Message(kind=m.kind, fields={**m.fields, **changed}, blobs=m.blobs, arrays=m.arrays)


def counts(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    return lambda m: Message(kind=m.kind, fields=m.fields, arrays=change(dict(m.arrays)))


CLAIMS_MORE = b"\x94\xce\x7f\xff\xff\xff\x01\x01\xdd\x7f\xff\xff\xff"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("bins.key", fields(rows=ROWS + 1)),
        ("bins.key", fields(chunk=1)),
        ("bins.key", blob(lambda data: data[:100])),
        ("bins.key", blob(lambda data: b"\xff" * 100)),
        ("bins.key", blob(lambda data: b"")),
        ("bins.key", blob(lambda data: bytes(10_000))),
        ("bins.key", lambda m: Message(kind=m.kind, fields=m.fields)),
        ("bins.labels", blob(lambda data: data[:-9])),
        ("bins.labels", blob(lambda data: CLAIMS_MORE + data[9:])),
        ("bins.labels", blob(lambda data: b"")),
        ("bins.labels", blob(lambda data: data[:12] + b"\x00" * (len(data) - 12))),
        ("bins.labels", lambda m: Message(kind=m.kind)),
        ("bins.counts", fields(enough="yes")),
        ("bins.counts", lambda m: Message(kind=m.kind, fields=m.fields)),
        ("bins.counts", counts(lambda a: {**a, "totals": a["totals"][1:]})),
        ("bins.counts", counts(lambda a: {**a, "totals": a["totals"] + 10_000})),
        ("bins.counts", counts(lambda a: {**a, "positives": a["totals"] + 1})),
        ("bins.counts", counts(lambda a: {**a, "positives": a["positives"] - 10_000})),
    ],
)
def test_an_active_party_that_breaks_the_protocol_is_told_of(key: LabelKey, kind: str, change: Change) -> None:
    with pytest.raises(ProtocolViolation):
        run_in_threads({"a": altered(active(key), "p", kind, change), "p": passive()}, deadline_s=20)


def test_a_weak_key_is_refused(key: LabelKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_cipher, "LEAST_BITS", 2048)
    with pytest.raises(ProtocolViolation, match="at least 2048 bits"):
        run_in_threads({"a": active(key), "p": passive()}, deadline_s=20)


def other_sums(key: LabelKey, values: list[int]) -> Change:
    """Encryptions of what a curious passive party would like to see decrypted."""
    return lambda m: Message(
        kind=m.kind, fields={"slots": len(values)}, blobs=(key.encrypt(np.array(values, np.int64)),)
    )


@pytest.mark.parametrize(
    "values", [[-1], [(1 << 32) * 950], [1 << 62], [(1 << 32) * 30 + 31], [30, (1 << 32) * 30]], ids=str
)
def test_the_active_party_decrypts_nothing_but_counts(key: LabelKey, values: list[int]) -> None:
    change = other_sums(key, values)
    with pytest.raises(ProtocolViolation):
        run_in_threads({"a": active(key), "p": altered(passive(), "a", "bins.sums", change)}, deadline_s=20)


@pytest.mark.parametrize(
    "change",
    [
        fields(slots=0),
        fields(slots=11),
        fields(slots=-3),
        blob(lambda data: data[:50]),
        blob(lambda data: data[:8] + bytes(len(data) - 8)),
        lambda m: Message(kind=m.kind, fields=m.fields),
    ],
)
def test_a_passive_party_that_breaks_the_protocol_is_told_of(key: LabelKey, change: Change) -> None:
    with pytest.raises(ProtocolViolation):
        run_in_threads({"a": active(key), "p": altered(passive(), "a", "bins.sums", change)}, deadline_s=20)


def test_groups_may_be_one_and_the_same_list(key: LabelKey) -> None:
    """heu's threads would free it while they read it, which ended in a crash after some hundred sums."""
    public = PublicKey.read(key.public)
    everyone = list(range(400))
    data = key.encrypt(np.ones(400, np.int64))
    for _ in range(60):
        sums = public.add_sums(public.zeros(400), data, 400, [everyone] * 400)
    assert key.counts(public.text(sums), 400, 400) == [400] * 400


def test_a_plaintext_above_the_secret_prime_is_not_told(key: LabelKey) -> None:
    """Chosen ciphertext: 2^62 · 16^80 is above p (341 bits), and how much it is reduced by would be a multiple of p."""
    public = PublicKey.read(key.public)
    everyone = list(range(16))
    data = key.encrypt(np.full(16, 1 << 62, np.int64))
    for _ in range(80):
        data = public.text(public.add_sums(public.zeros(16), data, 16, [everyone] * 16))
    with pytest.raises(ProtocolViolation, match="not one of the labels"):
        key.counts(data, 16, 1 << 40)
