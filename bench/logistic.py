"""lr.train: vertical logistic regression on default of credit (30,000 rows, 13 + 10 features) against the plain trial beside it.

Two parties as processes of their own. Data and trial lie beside the project (`../shared`); where they are absent that is said and
nothing is measured, for a figure without its reference would say nothing.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.network import say
from modeling.channel import Channel
from modeling.local import run_in_processes
from modeling.logistic import active, passive
from modeling.logistic.own import Columns, LogisticPart
from modeling.logistic.settings import Settings
from modeling.metrics import auc

SHARED = Path(__file__).parents[2] / "shared"
DATA = SHARED / "data" / "fate_default_credit"
TRIAL = SHARED / "trials" / "vertical_lr.py"
ROUNDS = 3
OWN_COLUMNS = 13

Matrix = npt.NDArray[np.float64]


def _table(name: str) -> dict[str, dict[str, float]]:
    with (DATA / name).open(encoding="utf-8") as file:
        return {
            row["id"]: {key: float(value) for key, value in row.items() if key != "id"} for row in csv.DictReader(file)
        }


def read() -> tuple[Matrix, Matrix]:
    """Features float64[30000, 23], standardised and clipped, the first 13 the bank's; label float64[30000]."""
    guest, host = _table("default_credit_hetero_guest.csv"), _table("default_credit_hetero_host.csv")
    label = np.array([row.pop("y") for row in guest.values()])
    x = np.array([[*row.values(), *host[key].values()] for key, row in guest.items()])
    return np.clip((x - x.mean(0)) / x.std(0), -5, 5), label


def split(rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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


def _trial() -> float:
    """Seconds that the trial says it took."""
    done = subprocess.run([sys.executable, str(TRIAL)], capture_output=True, text=True, check=True)
    found = re.search(r"total s ([0-9.]+)", done.stdout)
    if found is None:
        raise RuntimeError("the trial did not tell its time")
    return float(found[1])


def run() -> Iterator[dict[str, object]]:
    """One figure: the best of three, taken in turns with the trial."""
    if not (DATA.exists() and TRIAL.exists()):
        say(f"lr.train needs {DATA} and {TRIAL}; they are not here")
        return
    x, label = read()
    learn, look = split(len(label))
    ours, theirs = [], []
    parts: dict[str, Any] = {}
    for _ in range(ROUNDS):
        theirs.append(_trial())
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
