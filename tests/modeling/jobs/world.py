"""Jobs in one process: a bank and providers with columns of every kind, and what they keep."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.jobs import active, passive
from modeling.jobs.active import ActiveResult
from modeling.jobs.plan import JobPlan, SelectionRules
from modeling.jobs.work import Unattended
from modeling.local import run_in_threads
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.preparation.columns import NumberRule

ROWS, TRAINING = 900, 600
SETTINGS: dict[str, Any] = {
    "logistic": LogisticSettings(steps=8, tolerance=0.0),
    "boosting": BoostingSettings(trees=4, depth=2, key_bits=2048),
}


class Kept(Unattended):
    """Keeps checkpoints in memory, and fails after some of them."""

    def __init__(self, withdrawn: dict[int, list[int]] | None = None) -> None:
        self.data: bytes | None = None
        self.count = 0
        self.fails_after = -1
        self.leave = withdrawn or {}

    def kept(self) -> bytes | None:
        return self.data

    def keep(self, checkpoint: bytes) -> None:
        self.data = checkpoint
        self.count += 1
        if self.count == self.fails_after:
            raise RuntimeError("killed")

    def withdrawn(self) -> list[int]:
        return [row for after, rows in self.leave.items() if self.count >= after for row in rows]


class Job:
    """A bank and providers with columns of every kind, and gaps."""

    def __init__(self, algorithm: str, passives: int = 1) -> None:
        random = np.random.default_rng(7)
        x = random.normal(size=(ROWS, 2 + 2 * passives))
        z = x @ np.linspace(1.0, 0.4, x.shape[1])
        self.label = (random.random(ROWS) < 1 / (1 + np.exp(-z))).astype(float)
        self.algorithm = algorithm
        self.selection: SelectionRules | None = None
        branch = np.where(x[:, 1] > 0, "city", "land").astype(object)
        branch[::50] = None
        self.own: dict[str, Any] = {
            "income": x[:, 0].copy(),
            "branch": branch,
            "same": np.ones(ROWS),
            "label": self.label,
        }
        self.own["income"][::40] = np.nan
        self.present = np.full(ROWS, True)
        self.present[::30] = False
        self.tables = [
            {"i.first": x[:, 2 + 2 * place].copy(), "i.second": x[:, 3 + 2 * place].copy()} for place in range(passives)
        ]
        self.theirs = [np.full(ROWS, True) for _ in range(passives)]
        self.theirs[0][5::25] = False
        for table, there in zip(self.tables, self.theirs, strict=True):
            for column in table.values():
                column[~there] = np.nan
        self.works: dict[str, Any] = {"active": Kept(), **{f"p{n}": Kept() for n in range(1, passives + 1)}}

    def plan(self, columns: dict[str, Any]) -> JobPlan:
        return JobPlan(
            job="ab" * 16,
            algorithm=self.algorithm,  # type: ignore[arg-type]
            rows=ROWS,
            training=TRAINING,
            columns=columns,
            selection=self.selection,
            **{self.algorithm: SETTINGS[self.algorithm]},
        )

    def theirs_of(self, **changes: Any) -> JobPlan:
        """What a passive is told."""
        return msgspec.structs.replace(self.plan({"i.first": None, "i.second": NumberRule()}), **changes)

    def run(self, **replaced: Any) -> dict[str, bytes]:
        plans = {
            f"p{n}": self.theirs_of(
                columns={"i.first": None, "i.second": NumberRule()}
                | dict.fromkeys(set(table) - {"i.first", "i.second"})
            )
            for n, table in enumerate(self.tables, start=1)
        }
        own = self.plan({"income": None, "branch": None, "same": None})
        parties: dict[str, Any] = {
            "active": lambda channels: active.run(
                self.own, self.present, "label", channels, plans, own, self.works["active"]
            )
        }
        for n, (table, there) in enumerate(zip(self.tables, self.theirs, strict=True), start=1):
            parties[f"p{n}"] = lambda channels, n=n, table=table, there=there: passive.run(
                table, there, "active", f"p{n}", channels, self.works[f"p{n}"]
            )
        return run_in_threads(parties | replaced, deadline_s=90)  # a key takes long on a busy machine


def result(found: dict[str, bytes]) -> ActiveResult:
    return msgspec.json.decode(found["active"], type=ActiveResult)


def floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f8")


def selecting(algorithm: str, passives: int = 1, **rules: Any) -> Job:
    """A job with a column that says the same as one of the bank's, and one that says nothing."""
    job = Job(algorithm, passives)
    job.selection = SelectionRules(key_bits=2048, bins=5, **rules)
    job.tables[0]["i.third"] = np.random.default_rng(2).normal(size=ROWS) + job.label
    job.tables[0]["i.first"] = np.where(job.theirs[0], np.nan_to_num(job.own["income"]) * 3 + 1, np.nan)
    return job
