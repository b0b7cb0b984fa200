"""lr.train: vertical logistic regression on default of credit (30,000 rows, 13 + 10 features) against the plain trial beside it.

Two parties as processes of their own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.credit import OWN_COLUMNS, Matrix, Rows, read, there, trial_seconds
from modeling.channel import Channel
from modeling.local import run_in_processes
from modeling.logistic import active, passive
from modeling.logistic.own import Columns, LogisticPart
from modeling.logistic.settings import Settings
from modeling.metrics import auc

TRIAL = "vertical_lr.py"
ROUNDS = 3


def split(rows: int) -> tuple[Rows, Rows]:
    """70% to train on, the rest to look at."""
    order = np.random.default_rng(42).permutation(rows)
    return order[: rows * 7 // 10], order[rows * 7 // 10 :]


def _train(x: Matrix, label: Matrix) -> tuple[float, dict[str, Any]]:
    ones = np.ones(len(label))

    def bank(channels: Mapping[str, Channel]) -> tuple[LogisticPart, int]:
        own = Columns(features=x[:, :OWN_COLUMNS], weights=ones, intercept=True)
        part = active.train(own, label, channels, Settings())
        traffic = channels["tax"].traffic
        return part, traffic.sent_bytes + traffic.received_bytes

    def tax(channels: Mapping[str, Channel]) -> LogisticPart:
        return passive.train(Columns(features=x[:, OWN_COLUMNS:], weights=ones), "bank", "tax", channels)

    began = time.perf_counter()
    parts = run_in_processes({"bank": bank, "tax": tax})
    return time.perf_counter() - began, parts


def run() -> Iterator[dict[str, object]]:
    """One figure: the best of three, taken in turns with the trial."""
    if not there("lr.train", TRIAL):
        return
    x, label = read()
    x = np.clip((x - x.mean(0)) / x.std(0), -5, 5)
    learn, look = split(len(label))
    ours, theirs = [], []
    parts: dict[str, Any] = {}
    for _ in range(ROUNDS):
        theirs.append(trial_seconds(TRIAL))
        seconds, parts = _train(x[learn], label[learn])
        ours.append(seconds)
    (bank, sent), tax = parts["bank"], parts["tax"]
    score = x[look] @ np.concatenate([bank.coefficients[1:], tax.coefficients])
    value, reference = min(ours), min(theirs)
    yield {
        "bench": "lr.train",
        "value": round(value, 2),
        "unit": "s",
        "reference": round(reference, 2),
        "reference_of": "the plain trial on one core, same run; at most 0.6 of it",
        "ratio": round(value / reference, 3),
        "auc": round(auc(label[look], score), 4),
        "megabytes": round(sent / 1e6, 1),
        "steps": bank.steps,
    }
