"""Choosing columns before the training: each party bins its own, the labels of a passive's bins are counted encrypted (protocols.md 7).

For each passive in turn, after the plan:

    A → P → A → P    label counts of P's bins (`preparation.joint_bins`), so that P knows their WOE and information value
    A → P → A → P    correlations between what both would keep (`preparation.joint_correlation`), where the rules ask for it

Each party then keeps its own columns by the rules; of two that say the same, one at each side, the provider's goes. Passives are not
compared with one another. What was chosen is kept with the checkpoint: a job that goes on does not count again, for repeated answers
about slightly other rows would tell more than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from modeling.additive import SecretKey
from modeling.channel import Channel
from modeling.errors import DataUnusable
from modeling.executor import Executor
from modeling.jobs.plan import JobPlan, SelectionRules
from modeling.jobs.table import Flags, Prepared, Table, fit_columns
from modeling.preparation.candidates import Candidate, Judged, candidate, choose, judged
from modeling.preparation.columns import Numbers
from modeling.preparation.joint_bins import SCHEME, count_bins, count_for_passive
from modeling.preparation.joint_correlation import answer, correlate
from modeling.preparation.woe import count_labels, evidence


def choose_active(
    table: Table,
    present: Flags,
    label: Numbers,
    channels: Mapping[str, Channel],
    plan: JobPlan,
    executor: Executor | None = None,
) -> Prepared:
    """The active party's side, for all passives. `label`: float64[rows]. `executor`: where rows are encrypted. Raises ModelingError."""
    rules, own = _rules(plan), _Own(table, present, plan)
    size = plan.training
    weight = present[:size].astype(np.float64)
    key = SecretKey(SCHEME, rules.key_bits)
    for channel in channels.values():
        count_for_passive(channel, key, label[:size], weight, executor=executor)
    found = []
    for each in own.candidates:
        places = each.places[:size]
        counted = np.where(places >= 0, weight, 0.0)
        counts = count_labels(np.maximum(places, 0), label[:size], each.bins.count, counted)
        found.append(judged(each, evidence(*counts), monotone=rules.monotone))
    kept, dropped = own.choose(found)
    if rules.across:
        matrix = own.encoded(kept)
        for channel in channels.values():
            correlate(channel, matrix)
    return own.prepared(kept, found, dropped)


def choose_passive(
    table: Table, present: Flags, channel: Channel, plan: JobPlan, executor: Executor | None = None
) -> Prepared:
    """A passive's side. `executor`: where rows are summed. Raises ModelingError."""
    rules, own = _rules(plan), _Own(table, present, plan)
    if not own.candidates:
        raise DataUnusable(
            "no column has a bin with enough rows to be judged; train without `selection`, or on more rows"
        )
    counted = count_bins(
        channel,
        {each.name: each.places[: plan.training] for each in own.candidates},
        {each.name: each.bins.count for each in own.candidates},
        executor=executor,
    )
    found = [judged(each, counted[each.name], monotone=rules.monotone) for each in own.candidates]
    kept, dropped = own.choose(found)
    if rules.across:
        strongest = np.abs(answer(channel, own.encoded(kept))).max(axis=0)
        too_near = strongest > rules.limits.highest_correlation
        dropped |= {
            each.name: f"correlation {value:.3f} with a column of {channel.peer}"
            for each, value, near in zip(kept, strongest.tolist(), too_near.tolist(), strict=True)
            if near
        }
        kept = [each for each, near in zip(kept, too_near.tolist(), strict=True) if not near]
    return own.prepared(kept, found, dropped)


def _rules(plan: JobPlan) -> SelectionRules:
    if plan.selection is None:
        raise DataUnusable("the job has no rules for choosing columns")
    return plan.selection


@dataclass(eq=False)
class _Own:
    """A party's own columns on their way to the model."""

    table: Table
    present: Flags
    plan: JobPlan

    def __post_init__(self) -> None:
        trains = np.arange(self.plan.rows) < self.plan.training
        self.training, test = self.present & trains, self.present & ~trains
        missing = [name for name in self.plan.columns if name not in self.table]
        if missing:
            raise DataUnusable(f"column {missing[0]!r} is not in the data")
        bins = _rules(self.plan).bins
        found = {
            name: candidate(name, self.table[name], self.training, test, bins) if self.training.any() else None
            for name in self.plan.columns
        }
        self.candidates: list[Candidate] = [each for each in found.values() if each is not None]
        self._empty = tuple(name for name, each in found.items() if each is None)

    def choose(self, columns: Sequence[Judged]) -> tuple[list[Judged], dict[str, str]]:
        """Kept columns, and why each other one is not. Raises DataUnusable if none is kept."""
        found = choose(columns, self.table, self.training, _rules(self.plan).limits)
        if not found.kept:
            raise DataUnusable(f"no own column keeps to the rules of `selection`: {_reasons(found.dropped)}")
        return [each for each in columns if each.name in found.kept], dict(found.dropped)

    def encoded(self, columns: Sequence[Judged]) -> Numbers:
        """float64[training, len(columns)]: WOE, NaN where there is no record."""
        parts = [each.encoded(self.table[each.name], self.training)[: self.plan.training] for each in columns]
        return np.column_stack(parts)

    def prepared(self, kept: Sequence[Judged], found: Sequence[Judged], dropped: Mapping[str, str]) -> Prepared:
        """The columns of the model. Raises DataUnusable if there are none."""
        if not kept:
            raise DataUnusable(f"no own column keeps to the rules of `selection`: {_reasons(dropped)}")
        if _rules(self.plan).encode == "woe":
            fitted = Prepared(
                algorithm=self.plan.algorithm,
                columns=tuple(each.column(self.table[each.name], self.training) for each in kept),
            )
        else:
            rules = {each.name: self.plan.columns[each.name] for each in kept}
            fitted = fit_columns(self.plan.algorithm, self.table, rules, self.training)
        return msgspec.structs.replace(
            fitted,
            left_out=(*fitted.left_out, *self._empty),
            dropped=dict(dropped),
            values={each.name: round(each.evidence.value, 6) for each in found},
        )


def _reasons(dropped: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in dropped.items())[:400]
