"""score.*: a million subjects of 30 features at one provider, under an encrypted model; the owner opens all scores. On all cores.

score.batch         subjects a second of the whole: weights encrypted and loaded, columns encoded, products, answers opened. The limit
                    is 15 s, in 1 GB (this process and its workers, each at its own peak, with the columns that they keep).
score.batch_cached  of the provider, with another model over the same columns, which are kept encoded; against 60% of the rate of bare
                    products of ciphertext and encoded plaintext, in as many workers, same run: those of `modeling.bfv`, by which the
                    target was set. `of_own_bare`: of the products of these parameters, which take half the time. `core_ratio` by
                    seconds of the processor: on a machine with other work it says more.
score.error         the largest absolute error of a score; the limit is 1e-4. `bound` is what was proved beforehand;
                    `largest_swap`: how far apart plain scores are that change places.
score.ckks          the peer: subjects a second of products and sums of columns under CKKS (N = 8192, 60+40+60), encoding included,
                    nothing hidden, nothing sent, in as many workers.

SCORE_ROWS subjects instead of a million.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench.score_bare import KINDS, PRODUCTS, ckks_rate, core_seconds, pid, products
from modeling.metrics import auc
from modeling.scoring.fixed import MAX_ERROR, Floats, Scales, scales_for
from modeling.scoring.lanes import Lanes
from modeling.scoring.linear import BLOCK, ModelKey, Provider
from modeling.scoring.masks import PairMasks

ROWS: Final = 1_000_000
FEATURES: Final = 30
CLIP: Final = 5.0
SECONDS_LIMIT: Final = 15.0
MEMORY_LIMIT_MB: Final = 1000.0
BARE_SHARE: Final = 0.6
SLICE: Final = 16 * BLOCK
"""Rows of a request: the table comes in parts, as it is read."""


@dataclass(frozen=True)
class _Took:
    """Seconds, and those of the processor, workers included."""

    seconds: float
    core_seconds: float

    def __add__(self, other: _Took) -> _Took:
        return _Took(self.seconds + other.seconds, self.core_seconds + other.core_seconds)


def run() -> Iterator[dict[str, object]]:
    """All four figures."""
    rows = int(os.environ.get("SCORE_ROWS", ROWS))
    with Lanes() as lanes:
        workers = len(lanes.each(pid, b""))
        print(f"scoring {rows} subjects by {FEATURES} features in {workers} workers", file=sys.stderr)
        fresh, cached = _Model(1), _Model(2)
        first, opening = fresh.score(lanes, rows)
        bare = {name: _bare(lanes, name) for name in KINDS}
        again, _ = cached.score(lanes, rows)
        peak = _peak_mb(lanes)
        ckks = sum(float(each) for each in lanes.each(ckks_rate, b""))
    seconds = first.seconds + opening.seconds
    yield {
        "bench": "score.batch",
        "value": round(rows / seconds),
        "unit": "subjects/s",
        "reference": round(ROWS / SECONDS_LIMIT),
        "reference_of": f"limit: {ROWS} subjects in {SECONDS_LIMIT:.0f} s on 2 cores",
        "ratio": round(rows / seconds / (ROWS / SECONDS_LIMIT), 2),
        "seconds": round(seconds, 2),
        "provider_s": round(first.seconds, 2),
        "core_seconds": round(first.core_seconds, 2),
        "peak_mb": round(peak),
        "peak_limit_mb": MEMORY_LIMIT_MB,
        "answer_mb": round(fresh.answer_bytes / 1e6, 1),
    }
    products = -(-rows // BLOCK) * FEATURES
    wanted, own = bare["bfv"], bare["ring"]
    subjects_of_bare = wanted.rate * BLOCK / FEATURES
    yield {
        "bench": "score.batch_cached",
        "value": round(rows / again.seconds),
        "unit": "subjects/s",
        "reference": round(BARE_SHARE * subjects_of_bare),
        "reference_of": f"{BARE_SHARE} of bare products of ciphertext and encoded plaintext, same run",
        "ratio": round(products / again.seconds / wanted.rate / BARE_SHARE, 2),
        "of_bare": round(products / again.seconds / wanted.rate, 2),
        "of_own_bare": round(products / again.seconds / own.rate, 2),
        "core_ratio": round(products * wanted.core_s / again.core_seconds, 2),
        "core_ratio_own": round(products * own.core_s / again.core_seconds, 2),
        "seconds": round(again.seconds, 2),
    }
    plain, scores = np.concatenate(fresh.plain), np.concatenate(fresh.scores)
    error = max(
        np.abs(scores - plain).max(), np.abs(np.concatenate(cached.scores) - np.concatenate(cached.plain)).max()
    )
    label = (np.random.default_rng(3).random(rows) < 1 / (1 + np.exp(-plain))).astype(float)
    yield {
        "bench": "score.error",
        "value": float(f"{error:.2g}"),
        "unit": "log odds",
        "reference": MAX_ERROR,
        "reference_of": "limit",
        "ratio": float(f"{error / MAX_ERROR:.2g}"),
        "bound": float(f"{max(fresh.scales.error, cached.scales.error):.2g}"),
        "largest_swap": float(f"{-np.diff(plain[np.argsort(scores)]).min(initial=0.0):.2g}"),
        "auc_difference": float(f"{abs(auc(label, scores) - auc(label, plain)):.1g}"),
    }
    yield {
        "bench": "score.ckks",
        "value": round(ckks),
        "unit": "subjects/s",
        "reference": round(rows / first.seconds),
        "reference_of": "score.batch at the provider, same run",
        "ratio": round(ckks / (rows / first.seconds), 2),
    }


class _Model:
    """A random model, its owner's key, and what came of scoring with it."""

    def __init__(self, seed: int) -> None:
        self.weights: Floats = np.random.default_rng(seed).normal(size=FEATURES) * 0.4
        self.bounds: Floats = np.full(FEATURES, CLIP)
        self.scales: Scales = scales_for(self.weights, self.bounds)
        self.key = ModelKey()
        self.scores: list[Floats] = []
        self.plain: list[Floats] = []
        self.answer_bytes = 0

    def score(self, lanes: Lanes, rows: int) -> tuple[_Took, _Took]:
        """The provider's time, encryption of the weights with it; the time of opening."""
        before, began = _core_seconds(lanes), time.perf_counter()
        provider = Provider(self.key.public, self.key.encrypt(self.weights, self.bounds, self.scales), lanes)
        answering = _Took(time.perf_counter() - began, _core_seconds(lanes) - before)
        opening = _Took(0.0, 0.0)
        masks = PairMasks(0, {})
        for number, start in enumerate(range(0, rows, SLICE)):
            features = _features(number, min(SLICE, rows - start))
            names = [f"column {place} of slice {number}" for place in range(FEATURES)]
            before, began = _core_seconds(lanes), time.perf_counter()
            answer = provider.answer_columns(features, masks, number, names=names)
            answered = time.perf_counter()
            answering += _Took(answered - began, _core_seconds(lanes) - before)
            before, began = _core_seconds(lanes), time.perf_counter()
            self.scores.append(self.key.open_columns([answer], len(features), self.scales))
            opening += _Took(time.perf_counter() - began, _core_seconds(lanes) - before)
            self.plain.append(features @ self.weights)
            self.answer_bytes += sum(map(len, answer))
        return answering, opening


def _features(number: int, rows: int) -> Floats:
    """float64[rows, 30] of a slice of the table, the same each time."""
    found = np.random.default_rng(1000 + number).normal(size=(rows, FEATURES))
    return np.clip(found, -CLIP, CLIP, out=found)


def _core_seconds(lanes: Lanes) -> float:
    return time.process_time() + sum(float(each) for each in lanes.each(core_seconds, b""))


def _peak_mb(lanes: Lanes) -> float:
    """Of this process and of its workers, each at its own peak."""
    peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
    for worker in lanes.each(pid, b""):
        status = Path(f"/proc/{int(worker)}/status").read_text(encoding="utf-8")
        peaks.append(int(status.split("VmHWM:")[1].split()[0]))
    return sum(peaks) / 1000


@dataclass(frozen=True)
class _Bare:
    """Products a second on all cores, and seconds of the processor for one."""

    rate: float
    core_s: float


def _bare(lanes: Lanes, name: str) -> _Bare:
    found = [
        msgspec.msgpack.decode(each, type=tuple[float, float]) for each in lanes.each(partial(products, name), b"")
    ]
    return _Bare(
        sum(PRODUCTS / seconds for seconds, _ in found), sum(core_s for _, core_s in found) / len(found) / PRODUCTS
    )
