"""Scores of held-out rows: what is told to A is one sum, whatever each passive's part of it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.channel import Channel
from modeling.errors import DataUnusable, PeerFailed, ProtocolViolation
from modeling.local import run_in_threads
from modeling.logistic import scoring
from modeling.messages import Message
from tests.modeling.transcripts import Sent, recorded

ROWS = 4000
CHI_SQUARE_LIMIT = 60.0
"""Of 15 degrees of freedom: beyond one in ten million."""


class Model:
    """Coefficients and features of a party each, the first of A with its intercept."""

    def __init__(self, passives: int = 2, rows: int = ROWS, seed: int = 1, size: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.names = ["a", *(f"p{place}" for place in range(1, passives + 1))]
        self.x = {name: rng.normal(size=(rows, 2)) for name in self.names}
        self.w = {name: rng.normal(size=2) * size for name in self.names}
        self.w["a"] = np.append(0.25, self.w["a"])

    def plain(self) -> Any:
        return 0.25 + sum(self.x[n] @ self.w[n][-2:] for n in self.names)

    def score(self, deadline_s: float = 3, **replaced: Any) -> Any:
        def lead(channels: Mapping[str, Channel]) -> Any:
            return scoring.score(self.w["a"], self.x["a"], channels)

        def follow(name: str) -> Any:
            return lambda channels: scoring.answer(self.w[name], self.x[name], "a", name, channels)

        parties = {"a": lead} | {name: follow(name) for name in self.names[1:]} | replaced
        return run_in_threads(parties, deadline_s=deadline_s)["a"]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    return recorded(monkeypatch).sent


def to_active(sent: list[Sent], name: str) -> Any:
    (message,) = [each for sender, receiver, each in sent if (sender, receiver) == (name, "a")]
    assert message.kind == scoring.SUM and not message.fields and not message.blobs and set(message.arrays) == {"sum"}
    return message.arrays["sum"]


def chi_square(words: Any) -> float:
    counts = np.bincount((words >> np.uint64(60)).astype(int), minlength=16)
    return float(((counts - len(words) / 16) ** 2 / (len(words) / 16)).sum())


@settings(max_examples=15, deadline=None)
@given(
    passives=st.integers(1, 4),
    rows=st.integers(0, 50),
    seed=st.integers(0, 99),
    size=st.sampled_from([1e-6, 1.0, 1e4]),
)
def test_the_sum_is_the_sum(passives: int, rows: int, seed: int, size: float) -> None:
    model = Model(passives, rows, seed, size)
    np.testing.assert_allclose(model.score(), model.plain(), atol=1e-8, rtol=1e-12)


@pytest.mark.parametrize("passives", [2, 3])
def test_no_part_of_a_sum_of_several_passives_reaches_a(passives: int, sent: list[Sent]) -> None:
    model = Model(passives)
    found = model.score()
    parts = [to_active(sent, name) for name in model.names[1:]]
    for part in parts:
        assert chi_square(part) < CHI_SQUARE_LIMIT
    for left_out in range(passives):  # nor any sum of some of them
        some = np.sum([part for place, part in enumerate(parts) if place != left_out], axis=0, dtype=np.uint64)
        assert chi_square(some) < CHI_SQUARE_LIMIT
    total = np.sum(parts, axis=0, dtype=np.uint64).view(np.int64) / 2.0**32
    np.testing.assert_allclose(total, found - 0.25 - model.x["a"] @ model.w["a"][1:], atol=1e-8)


def test_masks_are_fresh(sent: list[Sent]) -> None:
    model = Model(2)
    model.score()
    first = to_active(sent, "p1")
    sent.clear()
    model.score()
    assert (to_active(sent, "p1") != first).all()


def test_parts_without_masks_would_be_noticed(sent: list[Sent], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring.secrets, "token_bytes", bytes)
    Model(2).score()
    assert chi_square(to_active(sent, "p1")) > CHI_SQUARE_LIMIT


def test_a_single_passive_s_part_is_seen_and_nothing_else(sent: list[Sent]) -> None:
    model = Model(1)
    model.score()
    part = to_active(sent, "p1").view(np.int64) / 2.0**32
    np.testing.assert_allclose(part, model.x["p1"] @ model.w["p1"], atol=1e-9)
    assert [each.kind for _, _, each in sent] == [scoring.SCORE, scoring.SUM]


def test_passives_see_the_number_of_rows_and_uniform_words(sent: list[Sent]) -> None:
    Model(3).score()
    to_passives = [(receiver, each) for _, receiver, each in sent if receiver != "a"]
    assert sorted((receiver, each.kind) for receiver, each in to_passives) == [
        ("p1", scoring.SCORE),
        ("p2", scoring.MASK),
        ("p2", scoring.SCORE),
        ("p3", scoring.MASK),
        ("p3", scoring.MASK),
        ("p3", scoring.SCORE),
    ]
    for _, each in to_passives:
        if each.kind == scoring.SCORE:
            assert each.fields == {"rows": ROWS} and not each.arrays
        else:
            assert chi_square(each.arrays["mask"]) < CHI_SQUARE_LIMIT


# -- what may not be


@pytest.mark.parametrize("party", ["a", "p1"])
@pytest.mark.parametrize(
    "features", [np.full((10, 2), np.nan), np.full((10, 2), 1e9), np.zeros((10, 3)), np.zeros(10)], ids=str
)
def test_unusable_features_are_told(party: str, features: Any) -> None:
    model = Model(2, rows=10)
    model.w[party][-2:] = 1.0
    model.x[party] = features
    with pytest.raises(DataUnusable):
        model.score()


@pytest.mark.parametrize(("party", "error"), [("a", ProtocolViolation), ("p2", ProtocolViolation)])
def test_other_rows_are_refused(party: str, error: type[Exception]) -> None:
    model = Model(2, rows=10)
    model.x[party] = model.x[party][:-1]
    with pytest.raises(error):
        model.score()


def lying(change: Any) -> Any:
    def party(channels: Mapping[str, Channel]) -> None:
        channels["a"].receive(scoring.SCORE)
        channels["a"].send(Message(kind=scoring.SUM, arrays={"sum": change}))

    return party


@pytest.mark.parametrize(
    "change",
    [
        np.zeros(9, np.uint64),
        np.zeros(10, np.int64),
        np.zeros(10),
        np.full(10, 1 << 62, np.uint64),
        np.full(10, (1 << 64) - (1 << 62), np.uint64),
    ],
)
def test_a_sum_that_is_none_is_refused(change: Any) -> None:
    with pytest.raises(ProtocolViolation):
        Model(1, rows=10).score(p1=lying(change))


def test_a_passive_that_is_silent_ends_it() -> None:
    with pytest.raises(PeerFailed, match="said nothing"):
        Model(1, rows=10).score(0.2, p1=lambda channels: channels["a"].receive(scoring.SCORE))
