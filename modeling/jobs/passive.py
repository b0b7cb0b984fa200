"""A passive party's job: prepare its columns by its own statistics, train, answer one scoring of the test rows.

What it learns and tells is that of `modeling.logistic` or `modeling.gbdt`, and the number of its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from modeling.channel import Channel
from modeling.errors import ProtocolViolation
from modeling.gbdt import passive as boosting
from modeling.gbdt import scoring as boosting_scoring
from modeling.gbdt.trees import PassivePart
from modeling.jobs.plan import READY, JobPlan, receive_plan
from modeling.jobs.table import Flags, Prepared, Table, fit_columns
from modeling.jobs.work import Work
from modeling.logistic import passive as logistic
from modeling.logistic import scoring as logistic_scoring
from modeling.logistic.own import Columns, Floats
from modeling.messages import Message


class PassiveResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A passive's own part: how its columns are prepared, and its coefficients or splits. `withdrawn`: rows that left on the way."""

    job: str
    prepared: Prepared
    coefficients: tuple[float, ...] = ()
    boosting: PassivePart | None = None
    withdrawn: tuple[int, ...] = ()


def run(table: Table, present: Flags, active: str, party: str, channels: Mapping[str, Channel], work: Work) -> bytes:
    """Take part in a job; the result as JSON (`PassiveResult`). `present`: bool[n], which rows have a record. Raises ModelingError."""
    plan = receive_plan(channels[active])
    if plan.rows != len(present):
        raise ProtocolViolation(f"{active} has a job of {plan.rows} rows where the cohort has {len(present)}")
    work.progress("prepare", 0, 1)
    prepared = fit_columns(plan.algorithm, table, plan.columns, present & (np.arange(plan.rows) < plan.training))
    matrix = prepared.matrix(table, present)
    channels[active].send(Message(kind=READY, fields={"columns": matrix.shape[1]}))
    party_run = _Run(plan, prepared, matrix, present, active, party, channels, work)
    result = party_run.logistic() if plan.algorithm == "logistic" else party_run.boosting()
    return msgspec.json.encode(result)


class _Run:
    """One job of a passive, after its columns are prepared."""

    def __init__(
        self,
        plan: JobPlan,
        prepared: Prepared,
        matrix: Floats,
        present: Flags,
        active: str,
        party: str,
        channels: Mapping[str, Channel],
        work: Work,
    ) -> None:
        self._plan, self._prepared, self._matrix, self._present = plan, prepared, matrix, present
        self._active, self._party, self._channels, self._work = active, party, channels, work

    def logistic(self) -> PassiveResult:
        """Steps, then one sum for each test row."""
        size, steps = self._plan.training, self._plan.logistic.steps if self._plan.logistic is not None else 0
        kept = self._work.kept()

        def keep(checkpoint: logistic.PassiveCheckpoint) -> None:
            self._work.keep(msgspec.json.encode(checkpoint))
            self._work.progress("train", checkpoint.done, steps)

        part = logistic.train(
            Columns(features=self._matrix[:size], weights=self._present[:size].astype(np.float64)),
            self._active,
            self._party,
            self._channels,
            resume=msgspec.json.decode(kept, type=logistic.PassiveCheckpoint) if kept is not None else None,
            keep=keep,
            withdrawn=self._withdrawn_training,
        )
        gone = self._work.withdrawn()
        logistic_scoring.answer(
            part.coefficients, without(self._matrix, gone, 0.0)[size:], self._active, self._party, self._channels
        )
        return self._result(gone, coefficients=tuple(part.coefficients.tolist()))

    def boosting(self) -> PassiveResult:
        """Trees, then a bit for each split and test row."""
        size, trees = self._plan.training, self._plan.boosting.trees if self._plan.boosting is not None else 0
        kept = self._work.kept()

        def keep(checkpoint: boosting.PassiveCheckpoint) -> None:
            self._work.keep(msgspec.json.encode(checkpoint))
            self._work.progress("train", checkpoint.done, trees)

        channel = self._channels[self._active]
        part = boosting.train(
            self._matrix[:size],
            channel,
            resume=msgspec.json.decode(kept, type=boosting.PassiveCheckpoint) if kept is not None else None,
            keep=keep,
            withdrawn=self._withdrawn_training,
        )
        gone = self._work.withdrawn()
        boosting_scoring.answer(part, without(self._matrix, gone, np.nan)[size:], channel)
        return self._result(gone, boosting=part)

    def _withdrawn_training(self) -> list[int]:
        return [row for row in self._work.withdrawn() if row < self._plan.training]

    def _result(
        self, gone: Sequence[int], coefficients: tuple[float, ...] = (), boosting: PassivePart | None = None
    ) -> PassiveResult:
        return PassiveResult(
            job=self._plan.job,
            prepared=self._prepared,
            coefficients=coefficients,
            boosting=boosting,
            withdrawn=tuple(sorted(gone)),
        )


def without(matrix: Floats, rows: Sequence[int], absent: float) -> Floats:
    """The matrix with these rows as if there were no record."""
    found = matrix.copy()
    found[list(rows)] = absent
    return found
