"""A passive party's job: prepare its columns by its own statistics, train, answer one scoring of the test rows.

What it learns and tells is that of `modeling.logistic` or `modeling.gbdt`, and the number of its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.gbdt import passive as boosting
from modeling.gbdt import scoring as boosting_scoring
from modeling.gbdt.trees import PassivePart
from modeling.jobs.checkpoint import JobCheckpoint, keep, kept_by
from modeling.jobs.choosing import Peers, choose_passive, peers_of
from modeling.jobs.plan import READY, JobPlan, receive_plan
from modeling.jobs.table import Flags, Prepared, Table, fit_columns
from modeling.jobs.work import Work
from modeling.logistic import passive as logistic
from modeling.logistic import scoring as logistic_scoring
from modeling.logistic.own import Columns, Floats
from modeling.messages import Message

MOST_CHOICES: Final = 3
"""The first, and two after a party was lost meanwhile."""


class PassiveResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A passive's own part: how its columns are prepared, and its coefficients or splits. `withdrawn`: rows that left on the way."""

    job: str
    prepared: Prepared
    coefficients: tuple[float, ...] = ()
    boosting: PassivePart | None = None
    withdrawn: tuple[int, ...] = ()


def run(
    table: Table,
    present: Flags,
    active: str,
    party: str,
    channels: Mapping[str, Channel],
    work: Work,
    agreed: JobPlan | None = None,
) -> bytes:
    """Take part in a job; the result as JSON (`PassiveResult`).

    `present`: bool[n], which rows have a record. `agreed`: the only job that it takes part in. Raises ModelingError.
    """
    plan, choosers = receive_plan(channels[active])
    if agreed is not None and plan != agreed:
        raise ProtocolViolation(f"{active} has another job than was agreed")
    if plan.rows != len(present):
        raise ProtocolViolation(f"{active} has a job of {plan.rows} rows where the cohort has {len(present)}")
    work.progress("prepare", 0, 1)
    kept = kept_by(work)
    if choosers:
        peers = peers_of(choosers, active, party, channels, plan)
        prepared, kept = _chosen(table, present, peers, plan, work, kept), None
    elif kept is not None and kept.prepared is not None:
        prepared = kept.prepared
    elif plan.selection is not None:
        raise DataUnusable(f"{active} goes on with columns that were chosen before; here that choice is lost")
    else:
        prepared = fit_columns(plan.algorithm, table, plan.columns, present & (np.arange(plan.rows) < plan.training))
    matrix = prepared.matrix(table, present)
    if plan.algorithm == "logistic" and len(channels) == 1 and matrix.shape[1] == 1 and plan.rows > plan.training:
        raise DataUnusable(
            "a single provider of one column would show that column by its part of the test scores; bring two columns or more"
        )
    channels[active].send(Message(kind=READY, fields={"columns": matrix.shape[1]}))
    party_run = _Run(plan, prepared, matrix, present, active, party, channels, work, kept)
    result = party_run.logistic() if plan.algorithm == "logistic" else party_run.boosting()
    return msgspec.json.encode(result)


def _chosen(
    table: Table, present: Flags, peers: Peers, plan: JobPlan, work: Work, kept: JobCheckpoint | None
) -> Prepared:
    """Choose columns. How often that is begun is counted before anything is told: repeated answers would tell more than one."""
    begun = 1 if kept is None else kept.choices + 1
    if begun > MOST_CHOICES or (kept is not None and kept.trains):
        raise ProtocolViolation(f"{peers.earlier[0].peer} has columns chosen once more; this party has answered that")
    keep(work, None, choices=begun)
    counts = present.copy()
    counts[list(work.withdrawn())] = False
    prepared = choose_passive(table, counts, peers, plan, work.executor)
    keep(work, prepared, choices=begun)
    return prepared


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
        kept: JobCheckpoint | None,
    ) -> None:
        self._kept = kept
        self._plan, self._prepared, self._matrix, self._present = plan, prepared, matrix, present
        self._active, self._party, self._channels, self._work = active, party, channels, work

    def logistic(self) -> PassiveResult:
        """Steps, then one sum for each test row."""
        size, steps = self._plan.training, self._plan.logistic.steps if self._plan.logistic is not None else 0

        def keep_step(checkpoint: logistic.PassiveCheckpoint) -> None:
            keep(self._work, self._prepared, checkpoint)
            self._work.progress("train", checkpoint.done, steps)

        part = logistic.train(
            Columns(features=self._matrix[:size], weights=self._present[:size].astype(np.float64)),
            self._active,
            self._party,
            self._channels,
            resume=self._kept.of_training(logistic.PassiveCheckpoint) if self._kept is not None else None,
            keep=keep_step,
            withdrawn=self._withdrawn_training,
            agreed=self._plan.logistic,
            executor=self._work.executor,
        )
        gone = self._work.withdrawn()
        logistic_scoring.answer(
            part.coefficients, without(self._matrix, gone, 0.0)[size:], self._active, self._party, self._channels
        )
        return self._result(gone, coefficients=tuple(part.coefficients.tolist()))

    def boosting(self) -> PassiveResult:
        """Trees, then a bit for each split and test row."""
        size, trees = self._plan.training, self._plan.boosting.trees if self._plan.boosting is not None else 0

        def keep_tree(checkpoint: boosting.PassiveCheckpoint) -> None:
            keep(self._work, self._prepared, checkpoint)
            self._work.progress("train", checkpoint.done, trees)

        channel = self._channels[self._active]
        part = boosting.train(
            self._matrix[:size],
            channel,
            resume=self._kept.of_training(boosting.PassiveCheckpoint) if self._kept is not None else None,
            keep=keep_tree,
            withdrawn=self._withdrawn_training,
            agreed=self._plan.boosting,
            executor=self._work.executor,
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
