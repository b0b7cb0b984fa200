"""score.served*: data to model: 30 columns of an asker travel encrypted to another member's model, in one process and one thread.

score.served         subjects a second of a batch, encryption, answer and opening together, against the same by model to data in the
                     same run; `asker_us`, `owner_us` and `opening_us` a subject, `bytes` that a subject's columns take
score.served_online  milliseconds of one subject, all three together; the limit is that of one score on line (40 ms), transport included

SCORE_SERVED_ROWS subjects instead of 65,536.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from modeling.scoring.fixed import Floats, scales_for
from modeling.scoring.linear import ModelKey, Provider
from modeling.scoring.masks import PairMasks
from modeling.scoring.mirrored import Owner, Requester

ROWS: Final = 65_536
FEATURES: Final = 30
CLIP: Final = 5.0
ONE_BY_ONE: Final = 50
LIMIT_MS: Final = 40.0


def run() -> Iterator[dict[str, object]]:
    """Both figures."""
    rows = int(os.environ.get("SCORE_SERVED_ROWS", ROWS))
    random = np.random.default_rng(1)
    weights, bounds = random.normal(size=FEATURES) * 0.4, np.full(FEATURES, CLIP)
    features = np.clip(random.normal(size=(rows, FEATURES)), -CLIP, CLIP)
    owner, asker = Owner(weights, bounds), Requester()
    taken, size = _scored(owner, asker, features, weights)
    to_data = _to_data(features, weights, bounds)
    rate = rows / sum(taken)
    yield {
        "bench": "score.served",
        "value": round(rate),
        "unit": "subjects/s",
        "reference": round(rows / to_data),
        "reference_of": "model to data with the same model, same run, one thread",
        "ratio": round(rate / (rows / to_data), 3),
        **{
            f"{name}_us": round(seconds / rows * 1e6, 2)
            for name, seconds in zip(("asker", "owner", "opening"), taken, strict=True)
        },
        "bytes": round(size / rows, 1),
    }
    one_by_one = [sum(_scored(owner, asker, features[at : at + 1], weights)[0]) * 1e3 for at in range(ONE_BY_ONE)]
    middle = statistics.median(one_by_one)
    yield {
        "bench": "score.served_online",
        "value": round(middle, 2),
        "unit": "ms",
        "reference": LIMIT_MS,
        "reference_of": "limit of one score on line, transport and decisions included",
        "ratio": round(middle / LIMIT_MS, 3),
    }


def _scored(
    owner: Owner, asker: Requester, features: Floats, weights: Floats
) -> tuple[tuple[float, float, float], int]:
    """Seconds of the asker, the owner, and of opening; bytes that travelled to the owner. Raises RuntimeError if a score is wrong."""
    began = time.perf_counter()
    sent = asker.encrypt(features, np.full(FEATURES, CLIP))
    encrypted = time.perf_counter()
    answer = owner.answer(asker.public, sent, np.zeros(len(features)))
    answered = time.perf_counter()
    found = asker.open(answer, len(features), FEATURES, owner.weight_bits)
    opened = time.perf_counter()
    if np.abs(found - features @ weights).max() > owner.error:
        raise RuntimeError("a score is off by more than its bound; the figure would mean nothing")
    size = sum(len(cipher) for block in sent.blocks for cipher in block)
    return (encrypted - began, answered - encrypted, opened - answered), size


def _to_data(features: Floats, weights: Floats, bounds: Floats) -> float:
    """Seconds of the same scores by model to data, weights encrypted and answers opened with it."""
    began = time.perf_counter()
    key, scales = ModelKey(), scales_for(weights, bounds)
    provider = Provider(key.public, key.encrypt(weights, bounds, scales))
    key.open_columns([provider.answer_columns(features, PairMasks(0, {}), 1)], len(features), scales)
    return time.perf_counter() - began
