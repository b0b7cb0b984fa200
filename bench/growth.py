"""growth.*: how the time of a training grows with rows and with features; two parties as processes of their own, random data.

Steps, trees and depth are fixed. The figure is the exponent of the power law that fits the times best: 1 is linear, at most 1.1 is due.
What does not grow brings it below 1; `last` is that of the last two points, where least of this is left. GROWTH_ROWS sets the most rows
(1,000,000). Points and curves: var/growth.rows.html and var/growth.features.html.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from bench.credit import Matrix
from bench.network import say
from modeling.additive import SecretKey
from modeling.channel import Channel
from modeling.gbdt import active as boosting_active
from modeling.gbdt import passive as boosting_passive
from modeling.gbdt.gradients import Target
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.local import Party, run_in_processes
from modeling.logistic import active as logistic_active
from modeling.logistic import passive as logistic_passive
from modeling.logistic.own import Columns
from modeling.logistic.settings import Settings as LogisticSettings

ROWS: Final = (10_000, 30_000, 100_000, 300_000, 1_000_000)
FEATURES: Final = (5, 10, 20, 40)
WIDTH: Final = 10
"""Features of each party where rows grow."""
HEIGHT: Final = 20_000
"""Rows where features grow."""
EXPONENT_LIMIT: Final = 1.1
PLOTS: Final = Path("var")
_TWICE: Final = 100_000
"""Below so many rows a point is the better of two."""


@dataclass(frozen=True)
class Spent:
    """What a party's training took: seconds, messages and bytes in both directions, and how often it had to wait for an answer."""

    seconds: float
    messages: int
    sent_bytes: int
    rounds: int


Pair = dict[str, Party[Spent]]
"""Both parties of a training, by their names."""


def rows() -> Iterator[dict[str, object]]:
    """Two figures."""
    most = int(os.environ.get("GROWTH_ROWS", ROWS[-1]))
    sizes = [count for count in ROWS if count <= most]
    yield _grown("growth.rows_logistic", sizes, lambda count: _seconds(logistic, count, WIDTH))
    yield _grown("growth.rows_boosting", sizes, lambda count: _seconds(boosting, count, WIDTH))


def features() -> Iterator[dict[str, object]]:
    """Two figures."""
    yield _grown("growth.features_logistic", FEATURES, lambda width: _seconds(logistic, HEIGHT, width))
    yield _grown("growth.features_boosting", FEATURES, lambda width: _seconds(boosting, HEIGHT, width))


def logistic(count: int, width: int, steps: int = 3) -> Pair:
    """Logistic regression of so many rows, and features of each party."""
    x, label = _data(count, width)
    settings, ones = LogisticSettings(steps=steps, tolerance=0.0), np.ones(count)

    def bank(channels: Mapping[str, Channel]) -> Spent:
        own = Columns(features=x[:, :width], weights=ones, intercept=True)
        return _measured(channels["tax"], lambda: logistic_active.train(own, label, channels, settings))

    def tax(channels: Mapping[str, Channel]) -> Spent:
        own = Columns(features=x[:, width:], weights=ones)
        return _measured(channels["bank"], lambda: logistic_passive.train(own, "bank", "tax", channels))

    return {"bank": bank, "tax": tax}


def boosting(count: int, width: int, trees: int = 1) -> Pair:
    """Boosting with trees of depth 3, Okamoto-Uchiyama of 2048 bits; making the key is not counted."""
    x, label = _data(count, width)
    settings = BoostingSettings(trees=trees, depth=3, bins=32, key_bits=2048)

    def bank(channels: Mapping[str, Channel]) -> Spent:
        key = SecretKey(
            settings.scheme, settings.key_bits
        )  # not before the fork: heu's threads do not live on in a child
        target = Target(label=label, weights=np.ones(count), validation=np.zeros(count, np.bool_))
        return _measured(
            channels["tax"],
            lambda: boosting_active.train(x[:, :width], target, channels, settings, key=key),
        )

    def tax(channels: Mapping[str, Channel]) -> Spent:
        return _measured(channels["bank"], lambda: boosting_passive.train(x[:, width:], channels["bank"]))

    return {"bank": bank, "tax": tax}


def _data(count: int, width: int) -> tuple[Matrix, Matrix]:
    random = np.random.default_rng(count + width)
    x = random.normal(size=(count, 2 * width))
    return x, (x.mean(axis=1) * np.sqrt(width) + random.normal(size=count) > 0).astype(float)


def _measured(channel: Channel, train: Callable[[], object]) -> Spent:
    rounds = _counted(channel)
    began = time.perf_counter()
    train()
    traffic = channel.traffic
    return Spent(
        seconds=time.perf_counter() - began,
        messages=traffic.sent_messages + traffic.received_messages,
        sent_bytes=traffic.sent_bytes + traffic.received_bytes,
        rounds=len(rounds),
    )


def _counted(channel: Channel) -> list[int]:
    """Grows by one whenever the party receives after it has sent: it waits for what the other makes of that."""
    rounds: list[int] = []
    put, take, sent = channel._put, channel._take, [False]

    def noted_put(data: bytes) -> None:
        sent[0] = True
        put(data)

    def noted_take() -> bytes:
        if sent[0]:
            rounds.append(1)
        sent[0] = False
        return take()

    vars(channel).update(_put=noted_put, _take=noted_take)
    return rounds


def _seconds(pair: Callable[[int, int], Pair], count: int, width: int) -> float:
    spent = [_trained(pair(count, width)) for _ in range(2 if count < _TWICE else 1)]
    best = min(spent, key=lambda each: each.seconds)
    say(f"{pair.__name__}, {count} rows, {width} features: {best.seconds:.2f} s, {best.sent_bytes / 1e6:.0f} MB")
    return best.seconds


def _trained(pair: Pair) -> Spent:
    """What the bank's party spent."""
    spent: Spent = run_in_processes(pair, deadline_s=3600)["bank"]
    return spent


def _grown(bench: str, sizes: Sequence[int], seconds: Callable[[int], float]) -> dict[str, object]:
    times = [seconds(size) for size in sizes]
    exponent = float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
    _drawn(bench, sizes, times, exponent)
    return {
        "bench": bench,
        "value": round(exponent, 3),
        "unit": "exponent",
        "reference": EXPONENT_LIMIT,
        "reference_of": "limit; 1 is linear",
        "ratio": round(exponent / EXPONENT_LIMIT, 3),
        "last": round(float(np.log(times[-1] / times[-2]) / np.log(sizes[-1] / sizes[-2])), 3),
        "seconds": {size: round(each, 2) for size, each in zip(sizes, times, strict=True)},
    }


_figures: dict[str, Any] = {}


def _drawn(bench: str, sizes: Sequence[int], times: Sequence[float], exponent: float) -> None:
    """A file for rows and one for features, written anew with each curve."""
    name = bench.rsplit("_", 1)[0]
    figure = _figures.setdefault(name, go.Figure())
    figure.add_scatter(x=list(sizes), y=list(times), mode="lines+markers", name=f"{bench} ~ n^{exponent:.2f}")
    figure.update_layout(title="Time of a training", xaxis_title=name.removeprefix("growth."), yaxis_title="seconds")
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    PLOTS.mkdir(exist_ok=True)
    figure.write_html(PLOTS / f"{name}.html")
    say(f"drawn into {PLOTS / name}.html")
