"""score.*: a million subjects of 30 features at one provider, under an encrypted model; the owner opens all scores. On all cores.

score.batch         subjects a second of the whole: weights encrypted and loaded, columns encoded, products, answers opened. Limits:
                    60% of the rate of bare products, a million in 15 s, in 1 GB with the table and the columns that are kept.
score.batch_cached  of the provider, with another model over the same columns, which are kept encoded; against 60% of bare products.
                    Bare are products of one ciphertext and 30 encoded plaintexts, multiplied by the library and nothing else, in a
                    process on each core, same run, in turns: those of `modeling.bfv`, by which the target was set. `of_own_bare`:
                    of the library's products with these parameters, which take half the time. `core_ratio` by seconds of the
                    processor: on a machine with other work it says more.
score.error         the largest absolute error of a score; the limit is 1e-4. `bound` is what was proved beforehand;
                    `largest_swap`: how far apart plain scores are that change places.
score.ckks          the peer: subjects a second of products and sums of columns under CKKS (N = 8192, 60+40+60), encoding included,
                    nothing hidden, nothing sent, in a process on each core.

SCORE_ROWS subjects instead of a million.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

import msgspec
import numpy as np

from bench.score_bare import KINDS, PRODUCTS, ckks_rate, products
from modeling.executor import Processes, Work, cores
from modeling.metrics import auc
from modeling.scoring.columns import Columns
from modeling.scoring.fixed import MAX_ERROR, Floats, Scales, scales_for
from modeling.scoring.linear import BLOCK, ModelKey, Provider
from modeling.scoring.masks import PairMasks

ROWS: Final = 1_000_000
FEATURES: Final = 30
CLIP: Final = 5.0
SECONDS_LIMIT: Final = 15.0
MEMORY_LIMIT_MB: Final = 1000.0
BARE_SHARE: Final = 0.6
SLICE: Final = 16 * BLOCK
"""Rows of a request."""
ROUNDS: Final = 3
"""The best of each counts: what else the machine does only makes it slower."""


@dataclass(frozen=True)
class _Took:
    """Seconds, and those of the processor on all cores."""

    seconds: float
    core_seconds: float


def run() -> Iterator[dict[str, object]]:
    """All four figures."""
    rows = int(os.environ.get("SCORE_ROWS", ROWS))
    features = _features(rows)
    print(f"scoring {rows} subjects by {FEATURES} features on {cores()} cores", file=sys.stderr)
    bare: dict[str, list[_Bare]] = {name: [] for name in KINDS}
    took: dict[str, list[_Took]] = {"fresh": [], "cached": []}
    with _Cores() as peers:
        for _ in range(ROUNDS):
            for name, found in bare.items():
                found.append(peers.bare(name))
            with Columns() as columns:
                fresh, cached = _Model(1), _Model(2)
                took["fresh"].append(_timed(fresh.score, columns, features))
                took["cached"].append(_timed(cached.answer, columns, features))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        ckks = sum(map(float, peers.each(ckks_rate)))
    yield {
        "bench": "score.batch",
        **_against_bare(rows, took["fresh"], bare),
        "seconds_limit": round(SECONDS_LIMIT * rows / ROWS, 2),
        "peak_mb": round(peak),
        "peak_limit_mb": MEMORY_LIMIT_MB,
        "answer_mb": round(sum(map(len, fresh.answers)) / 1e6, 1),
    }
    yield {"bench": "score.batch_cached", **_against_bare(rows, took["cached"], bare)}
    cached.open(rows)
    plain, scores = features @ fresh.weights, fresh.scores
    error = max(np.abs(scores - plain).max(), np.abs(cached.scores - features @ cached.weights).max())
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
        "reference": round(rows / min(each.seconds for each in took["fresh"])),
        "reference_of": "score.batch, same run",
        "ratio": round(ckks * min(each.seconds for each in took["fresh"]) / rows, 2),
    }


@dataclass(frozen=True)
class _Bare:
    """Products a second on all cores, and seconds of the processor for one."""

    rate: float
    core_s: float


def _timed(work: Callable[[Columns, Floats], None], columns: Columns, features: Floats) -> _Took:
    began, core_s = time.perf_counter(), time.process_time()
    work(columns, features)
    return _Took(time.perf_counter() - began, time.process_time() - core_s)


def _against_bare(rows: int, took: list[_Took], bare: dict[str, list[_Bare]]) -> dict[str, object]:
    """The best round of each."""
    products = -(-rows // BLOCK) * FEATURES
    seconds, core_s = min(each.seconds for each in took), min(each.core_seconds for each in took)
    rates = {name: max(each.rate for each in found) for name, found in bare.items()}
    cores_of = {name: min(each.core_s for each in found) for name, found in bare.items()}
    return {
        "value": round(rows / seconds),
        "unit": "subjects/s",
        "reference": round(BARE_SHARE * rates["bfv"] * BLOCK / FEATURES),
        "reference_of": f"{BARE_SHARE} of bare products of ciphertext and encoded plaintext, same run",
        "ratio": round(products / seconds / rates["bfv"] / BARE_SHARE, 2),
        "of_bare": round(products / seconds / rates["bfv"], 2),
        "of_own_bare": round(products / seconds / rates["ring"], 2),
        "core_ratio": round(products * cores_of["bfv"] / core_s, 2),
        "core_ratio_own": round(products * cores_of["ring"] / core_s, 2),
        "seconds": round(seconds, 2),
        "core_seconds": round(core_s, 2),
    }


class _Cores(ExitStack):
    """A process on each core, for what the library does with one thread."""

    def __enter__(self) -> Self:
        super().__enter__()
        self._processes = [self.enter_context(Processes(1)) for _ in range(cores())]
        self._threads = self.enter_context(ThreadPoolExecutor(len(self._processes)))
        return self

    def each(self, work: Work) -> list[bytes]:
        """On all of them, at the same time."""
        return list(self._threads.map(lambda process: next(iter(process.map(work, [b""]))), self._processes))

    def bare(self, name: str) -> _Bare:
        """At the same time on all."""
        found = [msgspec.msgpack.decode(each, type=tuple[float, float]) for each in self.each(partial(products, name))]
        return _Bare(
            sum(PRODUCTS / seconds for seconds, _ in found), sum(core_s for _, core_s in found) / len(found) / PRODUCTS
        )


class _Model:
    """A random model, its owner's key, and what came of scoring with it."""

    def __init__(self, seed: int) -> None:
        self.weights: Floats = np.random.default_rng(seed).normal(size=FEATURES) * 0.4
        self.bounds: Floats = np.full(FEATURES, CLIP)
        self.scales: Scales = scales_for(self.weights, self.bounds)
        self.key = ModelKey()
        self.answers: list[bytes] = []
        self.scores: Floats = np.zeros(0)

    def answer(self, columns: Columns, features: Floats) -> None:
        """Encryption of the weights, and the provider."""
        for _ in self._answered(columns, features):
            pass

    def score(self, columns: Columns, features: Floats) -> None:
        """Both parties at the same time: the owner opens a part while the provider computes the next."""
        with ThreadPoolExecutor(1) as owner:
            opened = [
                owner.submit(self.key.open_columns, [answer], rows, self.scales)
                for answer, rows in self._answered(columns, features)
            ]
            self.scores = np.concatenate([each.result() for each in opened])

    def open(self, rows: int) -> None:
        """What was answered."""
        self.scores = self.key.open_columns([self.answers], rows, self.scales)

    def _answered(self, columns: Columns, features: Floats) -> Iterator[tuple[list[bytes], int]]:
        """Of each part of the table the answer, and how many rows it has."""
        provider = Provider(self.key.public, self.key.encrypt(self.weights, self.bounds, self.scales), columns)
        masks = PairMasks(0, {})
        for number, start in enumerate(range(0, len(features), SLICE)):
            part = features[start : start + SLICE]
            names = [f"column {place} of part {number}" for place in range(FEATURES)]
            answer = provider.answer_columns(part, masks, number, names=names)
            self.answers += answer
            yield answer, len(part)


def _features(rows: int) -> Floats:
    """float64[rows, 30]."""
    found = np.empty((rows, FEATURES))
    for start in range(0, rows, SLICE):
        part = found[start : start + SLICE]
        np.clip(np.random.default_rng(1000 + start).normal(size=part.shape), -CLIP, CLIP, out=part)
    return found
