"""The active party's job: tell each passive its plan, train, score the test rows, and hand over all that a report is made of."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.gbdt import active as boosting
from modeling.gbdt import scoring as boosting_scoring
from modeling.gbdt.checkpoint import ActiveCheckpoint
from modeling.gbdt.gradients import Target
from modeling.gbdt.trees import ActivePart, sigmoid
from modeling.jobs.alone import alone
from modeling.jobs.checkpoint import keep, kept_by
from modeling.jobs.choosing import choose_active
from modeling.jobs.passive import without
from modeling.jobs.plan import READY, JobPlan, send_plan
from modeling.jobs.table import Flags, Prepared, Table, fit_columns
from modeling.jobs.work import Work
from modeling.logistic import active as logistic
from modeling.logistic import scoring as logistic_scoring
from modeling.logistic.own import Columns, Floats


class ActivePartOfJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The active party's own part of the model; of logistic regression the intercept comes first."""

    job: str
    prepared: Prepared
    coefficients: tuple[float, ...] = ()
    boosting: ActivePart | None = None


class Phase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a phase cost this party: seconds, and messages and bytes to and from all others."""

    name: str
    seconds: float
    messages: int
    sent_bytes: int
    received_bytes: int


class ActiveResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an active party has at the end. Arrays are float64, little-endian.

    `probabilities`: of the test rows in their order; `alone`: the same by a model of the own columns only; `fitted`: of the training
    rows, where the training itself tells them (boosting). `curve`: mean log loss of the training rows after each tree, or by how much
    each step changed their log odds.
    `label`, `weight`: of all rows; a weight of zero is a row that does not count. `columns`: how many each passive has.
    """

    part: ActivePartOfJob
    training: int
    probabilities: bytes
    alone: bytes
    fitted: bytes = b""
    label: bytes
    weight: bytes
    columns: dict[str, int]
    curve: tuple[float, ...] = ()
    steps: int = 0
    settled: bool = True
    withdrawn: tuple[int, ...] = ()
    phases: tuple[Phase, ...] = ()


def run(
    table: Table,
    present: Flags,
    label: str,
    channels: Mapping[str, Channel],
    plans: Mapping[str, JobPlan],
    own: JobPlan | None,
    work: Work,
    validation: float = 0.0,
) -> bytes:
    """Lead a job; the result as JSON (`ActiveResult`).

    `present`: bool[n], rows with an own record and a label (column `label` of the table) that everybody lets in. `plans`: for each
    channel; `own`: the same with this party's columns. `validation`: the share of the training rows, the last of them, that decides
    when boosting stops. A plan that trains on every row tests nothing. Raises ModelingError.
    """
    if own is None or set(plans) != set(channels) or own.rows != len(present):
        raise DataUnusable("a job has a plan for each party, and as many rows as its table")
    run_ = _Run(own, channels, work, _Meter(channels))
    if own.training < own.rows:
        _refuse_untestable(table[label][own.training :], present[own.training :])
    with_label = np.where(present, np.nan_to_num(table[label]), 0.0)
    prepared, matrix = run_.prepare(table, present, with_label, plans)
    if own.algorithm == "logistic":
        return msgspec.json.encode(run_.logistic(prepared, matrix, with_label, present))
    return msgspec.json.encode(run_.boosting(prepared, matrix, with_label, present, validation))


@dataclass
class _Meter:
    """What each phase costs."""

    channels: Mapping[str, Channel]
    phases: list[Phase] = field(default_factory=list)
    _at: float = field(default_factory=time.perf_counter)
    _before: tuple[int, int, int] = (0, 0, 0)

    def end(self, name: str) -> None:
        """A phase is over; the next begins."""
        now, totals = time.perf_counter(), self._totals()
        messages, sent, received = (one - other for one, other in zip(totals, self._before, strict=True))
        self.phases.append(
            Phase(
                name=name,
                seconds=round(now - self._at, 3),
                messages=messages,
                sent_bytes=sent,
                received_bytes=received,
            )
        )
        self._at, self._before = now, totals

    def _totals(self) -> tuple[int, int, int]:
        every = [channel.traffic for channel in self.channels.values()]
        return (
            sum(each.sent_messages + each.received_messages for each in every),
            sum(each.sent_bytes for each in every),
            sum(each.received_bytes for each in every),
        )


class _Run:
    def __init__(self, plan: JobPlan, channels: Mapping[str, Channel], work: Work, meter: _Meter) -> None:
        self._plan, self._channels, self._work, self._meter = plan, channels, work, meter
        self._columns: dict[str, int] = {}
        self._kept = kept_by(work)

    def prepare(
        self, table: Table, present: Flags, label: Floats, plans: Mapping[str, JobPlan]
    ) -> tuple[Prepared, Floats]:
        """Everybody prepares its own columns, by rules of selection together."""
        self._work.progress("prepare", 0, 1)
        choose = self._plan.selection is not None and self._kept is None
        choosers = tuple(self._channels) if choose else ()
        for name, channel in self._channels.items():
            send_plan(channel, plans[name], choosers)
        if self._kept is not None and self._kept.prepared is not None:
            prepared = self._kept.prepared
        elif choose:
            counts = _left(present, self._work.withdrawn())
            prepared = choose_active(table, counts, label, self._channels, self._plan, self._work.executor)
        else:
            training = present & (np.arange(self._plan.rows) < self._plan.training)
            prepared = fit_columns(self._plan.algorithm, table, self._plan.columns, training)
        matrix = prepared.matrix(table, present)
        for name, channel in self._channels.items():
            self._columns[name] = channel.receive(READY).number("columns")
            if self._columns[name] < 1:
                raise ProtocolViolation(f"{name} has no column to train with")
        if choose:
            keep(self._work, prepared)
        self._meter.end("prepare")
        return prepared, matrix

    def logistic(self, prepared: Prepared, matrix: Floats, label: Floats, present: Flags) -> ActiveResult:
        """Steps, then the test rows' predictors in one sum."""
        settings, size = self._plan.logistic, self._plan.training
        if settings is None:
            raise DataUnusable("a job of logistic regression has its settings")

        def keep_step(checkpoint: logistic.ActiveCheckpoint) -> None:
            keep(self._work, prepared, checkpoint)
            self._work.progress("train", checkpoint.done, settings.steps)

        part = logistic.train(
            Columns(features=matrix[:size], weights=present[:size].astype(np.float64), intercept=True),
            label[:size],
            self._channels,
            settings,
            resume=self._kept.of_training(logistic.ActiveCheckpoint) if self._kept is not None else None,
            keep=keep_step,
            withdrawn=self._withdrawn_training,
            executor=self._work.executor,
        )
        self._meter.end("train")
        gone = self._work.withdrawn()
        scored = without(matrix, gone, 0.0)[size:]
        probabilities = sigmoid(logistic_scoring.score(part.coefficients, scored, self._channels))
        own = ActivePartOfJob(job=self._plan.job, prepared=prepared, coefficients=tuple(part.coefficients.tolist()))
        by_own = alone(self._plan, matrix, label, _left(present, gone), np.zeros(size, np.bool_))
        found = self._result(
            own, (probabilities, by_own, np.zeros(0)), label, present, gone, steps=part.steps, settled=part.settled
        )
        return msgspec.structs.replace(found, curve=part.sizes)

    def boosting(
        self, prepared: Prepared, matrix: Floats, label: Floats, present: Flags, validation: float
    ) -> ActiveResult:
        """Trees, then the test rows' sides."""
        settings, size = self._plan.boosting, self._plan.training
        if settings is None:
            raise DataUnusable("a job of boosting has its settings")
        validates = np.arange(size) >= round(size * (1 - validation))
        target = Target(label=label[:size], weights=present[:size].astype(np.float64), validation=validates)
        before = self._kept.of_training(ActiveCheckpoint) if self._kept is not None else None
        curve = list(self._kept.curve) if self._kept is not None else []
        margin = _floats(before.margin) if before is not None else np.full(size, target.base)

        def keep_tree(checkpoint: ActiveCheckpoint) -> None:
            nonlocal margin
            margin = _floats(checkpoint.margin)
            curve.append(_loss(label[:size], margin, present[:size]))
            keep(self._work, prepared, checkpoint, tuple(curve))
            self._work.progress("train", len(checkpoint.part.trees), settings.trees)

        part = boosting.train(
            matrix[:size],
            target,
            self._channels,
            settings,
            resume=before,
            keep=keep_tree,
            withdrawn=self._withdrawn_training,
            executor=self._work.executor,
        )
        self._meter.end("train")
        gone = self._work.withdrawn()
        probabilities = boosting_scoring.score(part, without(matrix, gone, np.nan)[size:], self._channels)
        own = ActivePartOfJob(job=self._plan.job, prepared=prepared, boosting=part)
        by_own = alone(self._plan, matrix, label, _left(present, gone), validates)
        found = self._result(own, (probabilities, by_own, sigmoid(margin)), label, present, gone, steps=len(part.trees))
        return msgspec.structs.replace(found, curve=tuple(curve))

    def _result(
        self,
        own: ActivePartOfJob,
        found: tuple[Floats, Floats, Floats],
        label: Floats,
        present: Flags,
        gone: Sequence[int],
        *,
        steps: int,
        settled: bool = True,
    ) -> ActiveResult:
        self._meter.end("score")
        self._work.progress("score", 1, 1)
        probabilities, by_own, fitted = map(_bytes, found)
        return ActiveResult(
            part=own,
            training=self._plan.training,
            probabilities=probabilities,
            alone=by_own,
            fitted=fitted,
            label=_bytes(label),
            weight=_bytes(_left(present, gone).astype(np.float64)),
            columns=self._columns,
            steps=steps,
            settled=settled,
            withdrawn=tuple(sorted(gone)),
            phases=tuple(self._meter.phases),
        )

    def _withdrawn_training(self) -> list[int]:
        return [row for row in self._work.withdrawn() if row < self._plan.training]


def _refuse_untestable(label: Floats, present: Flags) -> None:
    """A model that cannot be tested is not trained: it would be made, and recorded, and nobody would know how good it is."""
    seen = set(np.unique(label[present]).tolist())
    if not {0.0, 1.0} <= seen:
        raise DataUnusable(
            f"the {int(present.sum())} test rows that count hold one class only; ask for more consents, or test on a larger share"
        )


def _left(present: Flags, gone: Sequence[int]) -> Flags:
    """Rows that count in the end."""
    counts = present.copy()
    counts[list(gone)] = False
    return counts


def _bytes(values: Floats) -> bytes:
    return values.astype("<f8").tobytes()


def _floats(data: bytes) -> Floats:
    return np.frombuffer(data, "<f8").astype(np.float64)


def _loss(label: Floats, margin: Floats, present: Flags) -> float:
    """Mean log loss of the rows that count."""
    losses = np.logaddexp(0.0, margin) - label * margin
    return float(losses[present].mean())
