"""Choosing columns before the training: each party bins its own, the labels of a passive's bins are counted encrypted (protocols.md 7).

The parties stand in an order: A, then the passives P1, P2, ... as the plan names them. After the plan:

    A → P → A → P    for each passive in turn: label counts of its bins (`preparation.joint_bins`), so that it knows their WOE and
                     information value; then each party chooses among its own columns by the rules
    X → Y → X → Y    for every two parties, X the earlier one, where the rules ask for it (`across`): correlations between what both
                     would keep (`preparation.joint_correlation`)

Of two columns that say the same the later party's goes. Each party compares its columns with all earlier parties, one after another,
and then with the later ones: so its columns are final before a later one's go because of them, and one that went takes no other with
it. Nobody waits in a circle: in the order of the pairs by their later party, then by their earlier one, each party goes forward only.

What was chosen is kept with the checkpoint: a job that goes on does not count again, for repeated answers about slightly other rows
would tell more than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from modeling.additive import SecretKey
from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.executor import Executor
from modeling.jobs.plan import JobPlan, SelectionRules
from modeling.jobs.table import Flags, Prepared, Table, fit_columns, says_nothing
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
        _compare_later(tuple(channels.values()), own.encoded(kept), told=0)
    return own.prepared(kept, found, dropped)


@dataclass(frozen=True)
class Peers:
    """Whom a passive talks to, in the order of parties. `earlier`: the active party, then the passives before this one."""

    earlier: tuple[Channel, ...]
    later: tuple[Channel, ...]


def peers_of(choosers: Sequence[str], active: str, party: str, channels: Mapping[str, Channel], plan: JobPlan) -> Peers:
    """Of this passive, `party`; without a comparison across parties only the active one. Raises ProtocolViolation."""
    if not _rules(plan).across:
        return Peers((channels[active],), ())
    if sorted(choosers) != sorted({party, *channels} - {active}):
        raise ProtocolViolation(f"{active} names other parties than those that take part")
    place = choosers.index(party)
    earlier, later = (active, *choosers[:place]), choosers[place + 1 :]
    return Peers(tuple(channels[name] for name in earlier), tuple(channels[name] for name in later))


def choose_passive(
    table: Table, present: Flags, peers: Peers, plan: JobPlan, executor: Executor | None = None
) -> Prepared:
    """A passive's side. `executor`: where rows are summed. Raises ModelingError."""
    rules, own = _rules(plan), _Own(table, present, plan)
    if not own.candidates:
        raise DataUnusable(
            "no column has a bin with enough rows to be judged; train without `selection`, or on more rows"
        )
    counted = count_bins(
        peers.earlier[0],
        {each.name: each.places[: plan.training] for each in own.candidates},
        {each.name: each.bins.count for each in own.candidates},
        executor=executor,
    )
    found = [judged(each, counted[each.name], monotone=rules.monotone) for each in own.candidates]
    kept, dropped = own.choose(found)
    if rules.across:
        told = 0
        for channel in peers.earlier:
            correlations = answer(channel, own.encoded(kept), told=told)
            told += correlations.size
            kept, gone = _apart(kept, correlations, rules, channel.peer)
            dropped |= gone
            own.check(kept, dropped)
        _compare_later(peers.later, own.encoded(kept), told)
    return own.prepared(kept, found, dropped)


def _compare_later(channels: Sequence[Channel], matrix: Numbers, told: int) -> None:
    """Own columns, which are final, with those of each later party. `told`: correlations of own columns that were told before."""
    for channel in channels:
        told += correlate(channel, matrix, told=told).size


def _apart(
    kept: Sequence[Judged], correlations: Numbers, rules: SelectionRules, peer: str
) -> tuple[list[Judged], dict[str, str]]:
    """What stays of own columns, and why the others do not. `correlations`: float64[columns of the peer, len(kept)]."""
    strongest = dict(zip([each.name for each in kept], np.abs(correlations).max(axis=0).tolist(), strict=True))
    near = {name: value for name, value in strongest.items() if value > rules.limits.highest_correlation}
    return (
        [each for each in kept if each.name not in near],
        {name: f"correlation {value:.3f} with a column of {peer}" for name, value in near.items()},
    )


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
        found = {name: self._candidate(name, test) for name in self.plan.columns}
        self.candidates: list[Candidate] = [each for each in found.values() if each is not None]
        self._empty = tuple(name for name, each in found.items() if each is None)

    def _candidate(self, name: str, test: Flags) -> Candidate | None:
        """None for a column that cannot be in the model, so that it does not take another party's with it."""
        rules, values = _rules(self.plan), self.table[name]
        if not self.training.any():
            return None
        if rules.encode is None and says_nothing(self.plan.algorithm, values[self.training]):
            return None
        return candidate(name, values, self.training, test, rules.bins, rules.cut)

    def choose(self, columns: Sequence[Judged]) -> tuple[list[Judged], dict[str, str]]:
        """Kept columns, and why each other one is not. Raises DataUnusable if none is kept."""
        found = choose(columns, self.table, self.training, _rules(self.plan).limits)
        kept = [each for each in columns if each.name in found.kept]
        self.check(kept, found.dropped)
        return kept, dict(found.dropped)

    def check(self, kept: Sequence[Judged], dropped: Mapping[str, str]) -> None:
        """Raises DataUnusable if no column is left."""
        if not kept:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped.items())[:400]
            raise DataUnusable(f"no own column keeps to the rules of `selection`: {reasons}")

    def encoded(self, columns: Sequence[Judged]) -> Numbers:
        """float64[training, len(columns)]: WOE, NaN where there is no record."""
        parts = [each.encoded(self.table[each.name], self.training)[: self.plan.training] for each in columns]
        return np.column_stack(parts)

    def prepared(self, kept: Sequence[Judged], found: Sequence[Judged], dropped: Mapping[str, str]) -> Prepared:
        """The columns of the model. Raises DataUnusable."""
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
