"""WOE of a passive's bins under encryption equals that in plain; bad peers end in an error; labels of few are not told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from modeling.additive import SecretKey
from modeling.channel import Channel
from modeling.errors import BudgetExceeded, CohortTooSmall, DataUnusable, ParametersUnsafe, ProtocolViolation
from modeling.local import Party, run_in_threads
from modeling.messages import Message
from modeling.preparation import joint_bins
from modeling.preparation.binning import assign, category_bins, quantile_bins
from modeling.preparation.joint_bins import count_bins, count_for_passive
from modeling.preparation.woe import count_labels, evidence
from tests.modeling.small_keys import offer

ROWS = 900
RNG = np.random.default_rng(7)
NUMBER = np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.normal(size=ROWS))
CITY = np.array(["a", "b", "c"], dtype=object)[RNG.integers(0, 3, ROWS)]
LABEL = (RNG.random(ROWS) < 1 / (1 + np.exp(-np.nan_to_num(NUMBER)))).astype(int)
BINS = {"x": quantile_bins("x", NUMBER, 6), "city": category_bins("city", CITY)}
PLACES = {"x": assign(BINS["x"], NUMBER), "city": assign(BINS["city"], CITY)}
COUNT = {name: bins.count for name, bins in BINS.items()}


@pytest.fixture(scope="module")
def key() -> SecretKey:
    """A small key, since a key of the real size takes many seconds to find."""
    with pytest.raises(ParametersUnsafe, match="not offered"):
        SecretKey(joint_bins.SCHEME, 1024)
    with pytest.MonkeyPatch.context() as patch:
        offer(patch)
        return SecretKey(joint_bins.SCHEME, 1024)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch)
    monkeypatch.setattr(joint_bins, "CHUNK", 400)


def active(key: SecretKey, label: Any = LABEL, weight: Any = None, minimum: int = 20) -> Party[None]:
    return lambda channels: count_for_passive(channels["p"], key, label, weight, minimum=minimum)


def passive(places: Mapping[str, Any] = PLACES, count: Mapping[str, int] = COUNT) -> Party[Any]:
    return lambda channels: count_bins(channels["a"], places, count)


def test_it_equals_the_plain_counts(key: SecretKey) -> None:
    told = run_in_threads({"a": active(key), "p": passive()})["p"]
    for name, places in PLACES.items():
        plain = evidence(*count_labels(places, LABEL, COUNT[name]))
        assert told[name].positives.tolist() == plain.positives.tolist()
        assert told[name].negatives.tolist() == plain.negatives.tolist()
        assert told[name].value == plain.value
        assert told[name].woe.tolist() == plain.woe.tolist()
    assert told["x"].value > 0.3 > told["city"].value


def test_rows_without_weight_or_record_count_nowhere(key: SecretKey) -> None:
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


def test_what_passes_by_is_encrypted_shuffled_and_says_no_edges(key: SecretKey) -> None:
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
        assert not sums.fields
        assert not sums.blobs
        assert {name: len(array) for name, array in sums.arrays.items()} == {"ciphers": 10}
        labels = seen[1].arrays["ciphers"].tobytes()
        runs.append((sums.arrays["ciphers"].tobytes(), seen[-1].arrays["totals"].tolist(), labels))
    assert runs[0][0] != runs[1][0], "sums are masked afresh"
    assert runs[0][1] != runs[1][1], "slots stand in another order"
    assert sorted(runs[0][1]) == sorted(runs[1][1])
    assert runs[0][2] != runs[1][2], "labels are encrypted afresh"


def test_a_bin_of_few_rows_is_refused_at_both(key: SecretKey) -> None:
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


def test_as_many_bins_as_would_tell_labels_are_refused(key: SecretKey) -> None:
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
def test_an_unusable_label_is_told_before_anything_is_sent(key: SecretKey, label: Any, weight: Any) -> None:
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


def ciphers(change: Callable[[Any], Any]) -> Change:
    return lambda m: Message(kind=m.kind, arrays={"ciphers": change(m.arrays["ciphers"])})


def counts(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    return lambda m: Message(kind=m.kind, fields=m.fields, arrays=change(dict(m.arrays)))


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
        ("bins.key", fields(bits="1024")),
        ("bins.labels", ciphers(lambda a: a[1:])),
        ("bins.labels", ciphers(lambda a: a[:, 1:])),
        ("bins.labels", ciphers(lambda a: a.astype(np.int64))),
        ("bins.labels", ciphers(np.zeros_like)),
        ("bins.labels", ciphers(lambda a: a | 0xFF)),
        ("bins.labels", lambda m: Message(kind=m.kind)),
        ("bins.counts", fields(enough="yes")),
        ("bins.counts", lambda m: Message(kind=m.kind, fields=m.fields)),
        ("bins.counts", counts(lambda a: {**a, "totals": a["totals"][1:]})),
        ("bins.counts", counts(lambda a: {**a, "totals": a["totals"] + 10_000})),
        ("bins.counts", counts(lambda a: {**a, "positives": a["totals"] + 1})),
        ("bins.counts", counts(lambda a: {**a, "positives": a["positives"] - 10_000})),
    ],
)
def test_an_active_party_that_breaks_the_protocol_is_told_of(key: SecretKey, kind: str, change: Change) -> None:
    with pytest.raises(ProtocolViolation):
        run_in_threads({"a": altered(active(key), "p", kind, change), "p": passive()}, deadline_s=20)


def test_a_weak_key_is_refused(key: SecretKey) -> None:
    with pytest.raises(ParametersUnsafe, match="512 bits is not offered"):
        run_in_threads({"a": altered(active(key), "p", "bins.key", fields(bits=512)), "p": passive()}, deadline_s=20)


def test_a_key_shorter_than_it_is_said_to_be_is_refused(key: SecretKey, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, 2048)
    with pytest.raises(ProtocolViolation, match="bits came where 2048 were announced"):
        run_in_threads({"a": altered(active(key), "p", "bins.key", fields(bits=2048)), "p": passive()}, deadline_s=20)


def test_a_key_of_another_scheme_is_told_before_anything_is_sent() -> None:
    def alone(channels: Mapping[str, Channel]) -> int:
        with pytest.raises(DataUnusable, match="not of paillier"):
            count_for_passive(channels["p"], SecretKey("paillier", 1024), LABEL)
        return channels["p"].traffic.sent_messages

    assert run_in_threads({"a": alone, "p": lambda channels: None})["a"] == 0


def other_sums(key: SecretKey, values: list[int]) -> Change:
    """Encryptions of what a curious passive party would like to see decrypted."""
    return ciphers(lambda _: key.public.to_wire(key.public.encrypt(np.array(values, np.int64))))


@pytest.mark.parametrize(
    "values", [[-1], [(1 << 32) * 950], [1 << 62], [(1 << 32) * 30 + 31], [30, (1 << 32) * 30]], ids=str
)
def test_the_active_party_decrypts_nothing_but_counts(key: SecretKey, values: list[int]) -> None:
    change = other_sums(key, values)
    with pytest.raises(ProtocolViolation, match=r"^p sent a sum that counts no rows$"):
        run_in_threads({"a": active(key), "p": altered(passive(), "a", "bins.sums", change)}, deadline_s=20)


@pytest.mark.parametrize(
    "change",
    [
        ciphers(lambda a: a[:0]),
        ciphers(lambda a: a[:, 1:]),
        ciphers(lambda a: a.astype(np.int64)),
        ciphers(np.zeros_like),
        ciphers(lambda a: a | 0xFF),
        lambda m: Message(kind=m.kind, fields=m.fields),
    ],
)
def test_a_passive_party_that_breaks_the_protocol_is_told_of(key: SecretKey, change: Change) -> None:
    with pytest.raises(ProtocolViolation):
        run_in_threads({"a": active(key), "p": altered(passive(), "a", "bins.sums", change)}, deadline_s=20)


def test_a_plaintext_above_the_secret_prime_is_not_told(key: SecretKey) -> None:
    """Chosen ciphertext: 2^62 · 16^80 is above p (341 bits), and how much it is reduced by would be a multiple of p."""
    public, everyone = key.public, np.tile(np.arange(16), 16)
    huge = public.encrypt(np.full(16, 1 << 62, np.int64))
    for _ in range(80):
        huge = public.add_groups(public.zeros(16), huge, everyone, np.full(16, 16))
    change = ciphers(lambda _: public.to_wire(huge))
    with pytest.raises(ProtocolViolation, match=r"^p sent a sum that counts no rows$"):
        run_in_threads({"a": active(key), "p": altered(passive(), "a", "bins.sums", change)}, deadline_s=20)
