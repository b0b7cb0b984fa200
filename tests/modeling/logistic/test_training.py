"""The protocol against the same algorithm in the clear, against scikit-learn, and against parties that do not keep to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import BudgetExceeded, DataUnusable, PeerFailed, ProtocolViolation, RangeExceeded
from modeling.local import run_in_threads
from modeling.logistic import active, curvature, passive, wire
from modeling.logistic.own import Columns, Floats, LogisticPart
from modeling.logistic.settings import Period, Settings, check_budget, ring_for
from modeling.logistic.sigmoid import approximate
from modeling.messages import Message
from modeling.metrics import auc

SETTINGS = Settings(steps=12, tolerance=0.0)
NOBODY: Mapping[int, Any] = {}


class Cohort:
    """A synthetic cohort: one column block for the active party, others for passives."""

    def __init__(self, rows: int = 2000, widths: tuple[int, ...] = (3, 2), seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        base = random.normal(size=(rows, sum(widths)))
        mixed = base + 0.3 * base[:, ::-1]
        self.x = (mixed - mixed.mean(0)) / mixed.std(0)
        truth = random.normal(size=sum(widths)) * 0.8
        self.label = (random.random(rows) < 1 / (1 + np.exp(-(self.x @ truth - 0.7)))).astype(float)
        self.parts = np.split(self.x, np.cumsum(widths)[:-1], axis=1)
        self.weights = [np.ones(rows) for _ in widths]
        self.more: dict[str, dict[str, Any]] = {}
        """Further arguments of a party's `train`."""

    def train(self, settings: Settings = SETTINGS, **replaced: Any) -> dict[str, LogisticPart]:
        names = [f"p{place}" for place in range(1, len(self.parts))]
        parties: dict[str, Callable[[Mapping[str, Channel]], Any]] = {
            "a": lambda channels: active.train(
                Columns(features=self.parts[0], weights=self.weights[0], intercept=True),
                self.label,
                channels,
                settings,
                **self.more.get("a", {}),
            )
        }
        for place, name in enumerate(names, start=1):
            columns = Columns(features=self.parts[place], weights=self.weights[place])
            more = self.more.get(name, {})
            parties[name] = lambda channels, columns=columns, name=name, more=more: passive.train(
                columns, "a", name, channels, **more
            )
        return run_in_threads(parties | replaced, deadline_s=20)

    def plain(self, settings: Settings = SETTINGS, leave: Mapping[int, Any] = NOBODY) -> Floats:
        """The same steps on the pooled data in the clear, with the same series; before step k the rows `leave[k]` leave."""
        rows, weights = len(self.label), [each.copy() for each in self.weights]
        own = [
            np.clip(x, -settings.clip, settings.clip) * (w > 0)[:, None]
            for x, w in zip(self.parts, weights, strict=True)
        ]
        own[0] = np.hstack([np.ones((rows, 1)), own[0]])
        x, ridge = np.hstack(own), np.full(sum(each.shape[1] for each in own), settings.l2)
        ridge[0] = 0
        inverse = np.linalg.inv(self.bound(own, ridge))
        point = before = np.zeros(len(ridge))
        for step in range(settings.steps):
            x[leave.get(step, [])] = 0
            for each in weights:
                each[leave.get(step, [])] = 0
            ahead = point + step / (step + 3) * (point - before)
            residual = np.prod(weights, axis=0) * (approximate(x @ ahead, settings.period) - self.label)
            gradient = x.T @ residual / rows + ridge * ahead
            before, point = point, ahead - inverse @ gradient
        return point

    def bound(self, own: list[Floats], ridge: Floats) -> Floats:
        """Of the curvature: each party's own, and between parties that of a part of the rows, with a margin."""
        rows, columns = len(self.label), len(ridge)
        sample = min(rows, max(4000, 16 * columns))
        margin = 2**-8 if sample == rows else 2 * np.sqrt(columns / sample)
        seen = np.arange(sample) * rows // sample
        weighted = np.hstack([x * w[:, None] for x, w in zip(own, self.weights, strict=True)])[seen]
        bound = 0.25 * weighted.T @ weighted / sample
        for place, (x, w) in enumerate(zip(own, self.weights, strict=True)):
            begin = sum(each.shape[1] for each in own[:place])
            span = slice(begin, begin + x.shape[1])
            block = 0.25 * (x * w[:, None]).T @ x / rows + np.diag(np.maximum(ridge[span], 1e-6))
            bound[span, span] = (1 + margin) * block
        return bound


def joined(parts: Mapping[str, LogisticPart]) -> Floats:
    return np.concatenate([parts[name].coefficients for name in sorted(parts)])


def test_the_encrypted_run_is_the_plain_run() -> None:
    cohort = Cohort()
    np.testing.assert_allclose(joined(cohort.train()), cohort.plain(), atol=1e-3)


def test_more_rows_than_a_ciphertext_and_more_passives_change_nothing() -> None:
    cohort = Cohort(rows=9000, widths=(2, 1, 2, 1))
    settings = Settings(steps=6, tolerance=0.0)
    np.testing.assert_allclose(joined(cohort.train(settings)), cohort.plain(settings), atol=1e-3)


def test_it_finds_what_scikit_learn_finds() -> None:
    cohort = Cohort(rows=4000)
    settings = Settings(steps=30, l2=1e-3, tolerance=0.001)
    parts = cohort.train(settings)
    found = joined(parts)
    peer = LogisticRegression(C=1 / (1e-3 * len(cohort.label))).fit(cohort.x, cohort.label)
    np.testing.assert_allclose(found[1:], peer.coef_[0], atol=0.01)
    scores = found[0] + cohort.x @ found[1:]
    assert auc(cohort.label, scores) == pytest.approx(auc(cohort.label, peer.decision_function(cohort.x)), abs=1e-3)
    assert parts["a"].settled
    assert parts["a"].steps == parts["p1"].steps < 30


def test_rows_that_either_side_lacks_drop_out_unseen() -> None:
    cohort = Cohort(rows=3000)
    cohort.weights[0][::7] = 0
    cohort.weights[1][::5] = 0
    whole = joined(cohort.train())
    np.testing.assert_allclose(whole, cohort.plain(), atol=1e-3)
    cohort.label[::7] = 1 - cohort.label[::7]  # nobody has these labels
    np.testing.assert_allclose(joined(cohort.train()), whole, atol=1e-3)


def test_a_block_that_one_side_lacks_entirely_is_no_special_case() -> None:
    cohort = Cohort(rows=9000)
    cohort.weights[1][8192:] = 0
    settings = Settings(steps=4, tolerance=0.0)
    np.testing.assert_allclose(joined(cohort.train(settings)), cohort.plain(settings), atol=1e-3)


# -- what may not be


def test_a_computing_party_takes_no_steps_under_another_curvature(monkeypatch: pytest.MonkeyPatch) -> None:
    inverse = curvature._inverse

    def bent(*arguments: Any, **more: Any) -> Any:
        return inverse(*arguments, **more) * (3 if threading.current_thread().name == "a" else 1)

    monkeypatch.setattr(curvature, "_inverse", bent)
    with pytest.raises(ProtocolViolation, match="another curvature"):
        Cohort().train()


@pytest.mark.parametrize("bent", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(bent: float) -> None:
    features = np.ones((10, 2))
    features[3, 1] = bent
    with pytest.raises(DataUnusable):
        Columns(features=features, weights=np.ones(10))


@pytest.mark.parametrize("label", [np.zeros(2000), np.full(2000, 0.5), np.arange(2000) % 3])
def test_a_label_that_is_not_binary_is_refused_at_both_ends(label: Floats) -> None:
    cohort = Cohort()
    cohort.label = label.astype(float)
    with pytest.raises(DataUnusable, match="label"):
        cohort.train()


def test_more_equations_than_a_quarter_of_the_rows_are_refused() -> None:
    with pytest.raises(BudgetExceeded, match="equations"):
        Cohort(rows=47, widths=(2, 2)).train(Settings(steps=4))
    check_budget(Settings(steps=75), rows=400, features=25)
    for settings, features in ((Settings(steps=76), 25), (Settings(steps=1), 26)):
        with pytest.raises(BudgetExceeded, match="equations"):
            check_budget(settings, rows=400, features=features)


@pytest.mark.parametrize(("widths", "side"), [((30, 2), active), ((3, 30), passive)])
def test_who_keeps_to_the_budget_tells_no_more_correlations_either(
    widths: tuple[int, int], side: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A party with too many columns does not look itself: the other one ends it before anything of its columns is told."""
    monkeypatch.setattr(side, "check_budget", lambda *_arguments: None)
    told: list[str] = []
    monkeypatch.setattr(curvature, "_shares", lambda *_arguments: told.append("shares"))
    with pytest.raises((BudgetExceeded, PeerFailed)):
        Cohort(rows=400, widths=widths).train()
    assert not told


def test_a_ring_that_would_wrap_around_is_refused_before_anything_is_sent() -> None:
    assert ring_for(21_000).sine_bits >= 12
    assert ring_for(1_000_000).feature_bits >= 8
    with pytest.raises(RangeExceeded):
        ring_for(1 << 40)


@pytest.mark.parametrize("period", get_args(Period))
def test_a_number_shared_modulo_t_is_shared_modulo_every_period(period: Period) -> None:
    for rows in (100, 1_000_000):
        assert (bfv.PLAIN_MODULUS - 1) % (period << ring_for(rows).predictor_bits) == 0


def test_where_log_odds_outgrow_the_period_the_next_one_is_taken() -> None:
    """Classes nearly apart and a small ridge: log odds beyond 12, where a period of 24 stands for the other class."""
    cohort = Cohort(rows=400)
    score = cohort.x @ np.array([3.0, -2.0, 1.0, 2.0, -1.0])
    cohort.label = (score > 0).astype(float)
    cohort.label[np.argsort(np.abs(score))[:6]] = 0.0
    settings = Settings(steps=40, l2=2e-4, tolerance=0.02)
    parts = cohort.train(settings)
    sizes = parts["a"].sizes
    assert any(size > 3 * min(sizes[:place]) and size > 0.1 for place, size in enumerate(sizes) if place)
    found = joined(parts)
    scores = found[0] + cohort.x @ found[1:]
    peer = LogisticRegression(C=1 / (2e-4 * 400), max_iter=1000).fit(cohort.x, cohort.label)
    assert np.abs(scores).max() > 12
    assert auc(cohort.label, scores) == pytest.approx(auc(cohort.label, peer.decision_function(cohort.x)), abs=2e-3)


def silent(channels: Mapping[str, Channel]) -> None:
    channels["a"].receive(wire.START)


def with_fewer_rows(channels: Mapping[str, Channel]) -> Any:
    return passive.train(Columns(features=np.ones((100, 1)), weights=np.ones(100)), "a", "p1", channels)


def ready(channel: Channel, rows: int = 2000, features: int = 2) -> None:
    channel.receive(wire.START)
    channel.send(Message(kind=wire.READY, fields={"rows": rows, "features": features}, arrays=wire.rows_array(())))


def with_a_key_that_is_none(channels: Mapping[str, Channel]) -> None:
    ready(channels["a"])
    channels["a"].receive(wire.GROUP)
    wire.send_blobs(channels["a"], wire.KEY, [b"key"])
    channels["a"].receive(wire.PRODUCTS)


def up_to_the_first_step(channel: Channel) -> bfv.SecretKey:
    """A passive that keeps to the protocol so far."""
    key = bfv.SecretKey()
    ready(channel)
    channel.receive(wire.GROUP)
    wire.send_blobs(channel, wire.KEY, [key.public])
    wire.receive_key(channel)
    channel.send(Message(kind=wire.COLUMNS, blobs=(key.encrypt(bfv.uniform(bfv.SLOTS)),)))
    channel.receive(wire.PRODUCTS)
    return key


def with_a_correlation_beyond_one(channels: Mapping[str, Channel]) -> None:
    up_to_the_first_step(channels["a"])
    share = np.full((4, 2), bfv.PLAIN_MODULUS // 3, np.int64)
    channels["a"].send(Message(kind=wire.CURVATURE, arrays={"0/1": share}))
    channels["a"].receive(wire.INVERSE)


def with_too_many_columns(channels: Mapping[str, Channel]) -> None:
    channel, key = channels["a"], bfv.SecretKey()
    ready(channel)
    channel.receive(wire.GROUP)
    wire.send_blobs(channel, wire.KEY, [key.public])
    wire.receive_key(channel)
    wire.send_blobs(channel, wire.COLUMNS, [key.encrypt(bfv.uniform(bfv.SLOTS))] * 2)
    channel.receive(wire.PRODUCTS)


@pytest.mark.parametrize(
    ("party", "error"),
    [
        (silent, PeerFailed),
        (with_fewer_rows, ProtocolViolation),
        (lambda channels: ready(channels["a"], features=0), ProtocolViolation),
        (with_a_key_that_is_none, ProtocolViolation),
        (with_a_correlation_beyond_one, ProtocolViolation),
        (with_too_many_columns, ProtocolViolation),
    ],
)
def test_a_passive_that_does_not_keep_to_the_protocol_ends_it(party: Any, error: type[Exception]) -> None:
    cohort = Cohort()

    def lead(channels: Mapping[str, Channel]) -> Any:
        columns = Columns(features=cohort.parts[0], weights=cohort.weights[0], intercept=True)
        return active.train(columns, cohort.label, channels, SETTINGS)

    with pytest.raises(error):
        run_in_threads({"a": lead, "p1": party}, deadline_s=1 if party is silent else 30)


@pytest.mark.parametrize(
    "agreed", [Settings(steps=13, tolerance=0.0), Settings(steps=12, tolerance=0.0, clip=4.0), Settings(steps=12)]
)
def test_a_party_refuses_other_settings_than_it_agreed_to(agreed: Settings) -> None:
    cohort = Cohort()
    cohort.more = {"p1": {"agreed": agreed}}
    with pytest.raises(ProtocolViolation, match="other settings than were agreed"):
        cohort.train()


def test_a_party_trains_with_the_settings_that_it_agreed_to() -> None:
    cohort = Cohort()
    cohort.more = {"p1": {"agreed": Settings(steps=2, tolerance=0.0)}}
    assert cohort.train(Settings(steps=2, tolerance=0.0))["p1"].steps == 2
