"""The protocol against the same algorithm in the clear, against scikit-learn, and against parties that do not keep to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import BudgetExceeded, DataUnusable, PeerFailed, ProtocolViolation, RangeExceeded
from modeling.local import run_in_threads
from modeling.logistic import active, passive, wire
from modeling.logistic.own import Columns, Floats, LogisticPart
from modeling.logistic.settings import Settings, check_budget, ring_for
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
        """The same steps in the clear, with the same series for the sigmoid; before step k the rows `leave[k]` leave."""
        count = len(self.parts)
        weights = [each.copy() for each in self.weights]
        blocks = [np.clip(part, -settings.clip, settings.clip) for part in self.parts]
        own = [each * (weights[place] > 0)[:, None] for place, each in enumerate(blocks)]
        own[0] = np.hstack([np.ones((len(own[0]), 1)), own[0]])
        ridge = [np.full(each.shape[1], settings.l2) for each in own]
        ridge[0][0] = 0
        rows = len(self.label)
        coefficients = [np.zeros(x.shape[1]) for x in own]
        velocity = [np.zeros(x.shape[1]) for x in own]
        bound = settings.period / (2 * count)
        for step in range(settings.steps):
            for x, w in zip(own, weights, strict=True):
                x[leave.get(step, [])] = 0
                w[leave.get(step, [])] = 0
            inverse = [
                np.linalg.inv(0.25 * (x * w[:, None]).T @ x / rows + max(settings.l2, 1e-6) * np.eye(x.shape[1]))
                for x, w in zip(own, weights, strict=True)
            ]
            z = sum(np.clip(x @ w, -bound, bound) for x, w in zip(own, coefficients, strict=True))
            residual = np.prod(weights, axis=0) * (approximate(np.asarray(z), settings) - self.label)
            for place, x in enumerate(own):
                gradient = x.T @ residual / rows + ridge[place] * coefficients[place]
                velocity[place] = settings.momentum * velocity[place] + settings.rate * 2 / count * (
                    inverse[place] @ gradient
                )
                coefficients[place] = coefficients[place] - velocity[place]
        return np.concatenate(coefficients)


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
    settings = Settings(steps=30, l2=1e-3, tolerance=0.002)
    parts = cohort.train(settings)
    found = joined(parts)
    peer = LogisticRegression(C=1 / (1e-3 * len(cohort.label))).fit(cohort.x, cohort.label)
    np.testing.assert_allclose(found[1:], peer.coef_[0], atol=0.03)
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
        Cohort(rows=200).train(Settings(steps=20))
    check_budget(Settings(steps=10), rows=400, features=10)


def test_a_ring_that_would_wrap_around_is_refused_before_anything_is_sent() -> None:
    assert ring_for(Settings(), 21_000).sine_bits >= 12
    assert ring_for(Settings(), 1_000_000).feature_bits >= 8
    with pytest.raises(RangeExceeded):
        ring_for(Settings(clip=50.0), 1 << 40)


def silent(channels: Mapping[str, Channel]) -> None:
    channels["a"].receive(wire.START)


def with_fewer_rows(channels: Mapping[str, Channel]) -> Any:
    return passive.train(Columns(features=np.ones((100, 1)), weights=np.ones(100)), "a", "p1", channels)


def ready(channel: Channel, rows: int = 2000, features: int = 2) -> None:
    channel.receive(wire.START)
    channel.receive(wire.KEY)
    channel.send(Message(kind=wire.READY, fields={"rows": rows, "features": features}, arrays=wire.rows_array(())))


def with_a_key_that_is_none(channels: Mapping[str, Channel]) -> None:
    ready(channels["a"])
    wire.send_blobs(channels["a"], wire.KEY, [b"key"])
    channels["a"].receive(wire.WAVE)


def with_a_share_outside_the_period(channels: Mapping[str, Channel]) -> None:
    ready(channels["a"])
    wire.send_blobs(channels["a"], wire.KEY, [bfv.SecretKey().public])
    channels["a"].receive(wire.WAVE)
    channels["a"].receive(wire.GO_ON)
    wire.send_predictor(channels["a"], np.full(2000, (24 << 20) + 1))
    channels["a"].receive(wire.PREDICTOR)


def with_residuals_under_its_own_key(channels: Mapping[str, Channel]) -> None:
    key = bfv.SecretKey()
    ready(channels["a"])
    wire.send_blobs(channels["a"], wire.KEY, [key.public])
    channels["a"].receive(wire.WAVE)
    channels["a"].receive(wire.GO_ON)
    wire.send_predictor(channels["a"], np.zeros(2000, np.int64))
    channels["a"].receive(wire.PREDICTOR)
    wire.send_blobs(channels["a"], wire.RESIDUALS, [key.encrypt(bfv.uniform(bfv.SLOTS))])
    for _ in range(2 * SETTINGS.terms):
        channels["a"].receive(wire.WAVE)
    channels["a"].receive(wire.SHARES)


@pytest.mark.parametrize(
    ("party", "error"),
    [
        (silent, PeerFailed),
        (with_fewer_rows, ProtocolViolation),
        (lambda channels: ready(channels["a"], features=0), ProtocolViolation),
        (with_a_key_that_is_none, ProtocolViolation),
        (with_a_share_outside_the_period, ProtocolViolation),
        (with_residuals_under_its_own_key, ProtocolViolation),
    ],
)
def test_a_passive_that_does_not_keep_to_the_protocol_ends_it(party: Any, error: type[Exception]) -> None:
    cohort = Cohort()

    def lead(channels: Mapping[str, Channel]) -> Any:
        columns = Columns(features=cohort.parts[0], weights=cohort.weights[0], intercept=True)
        return active.train(columns, cohort.label, channels, SETTINGS)

    with pytest.raises(error):
        run_in_threads({"a": lead, "p1": party}, deadline_s=3)
