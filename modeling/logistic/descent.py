"""A computing party's share of all coordinates, and the steps that both computing parties take alike.

Nesterov's accelerated gradient (1983; Beck and Teboulle's FISTA, 2009) under a bound H of the curvature that holds everywhere
(Böhning, 1992): u' = y - H^-1 g(y), y = u + (k - 1)/(k + 2) (u - u_before). H has ones in its diagonal blocks, for each party's basis
sees to that (`own`), and the parties' correlations beside them (`curvature`). So the steps are those of the pooled data, however the
columns lie at the parties. H^-1 and k are public, g is shared: a step is arithmetic on shares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from modeling.errors import DataUnusable
from modeling.logistic import fixed
from modeling.logistic.fixed import Numbers
from modeling.logistic.own import Ints, State
from modeling.logistic.settings import Period
from modeling.logistic.sigmoid import wider

INVERSE_BITS: Final = 30
_DIVERGES: Final = 3.0
_LARGE: Final = 0.1
"""A large step, and so many times the smallest one: rows are beyond the period. Accelerated steps grow too, but small ones."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the active party says of a step. `mark`: it was the smallest so far. `back`: go on from that one, with this period."""

    mark: bool
    back: bool
    settled: bool
    over: bool
    period: Period


def judged(sizes: tuple[float, ...], since: int, tolerance: float, period: Period) -> Verdict:
    """`sizes`: of all steps; those from `since` on belong to this period."""
    size, earlier = sizes[-1], sizes[since:-1]
    smallest = min(earlier, default=float("inf"))
    if size > max(_LARGE, _DIVERGES * smallest):
        following = wider(period)
        return Verdict(mark=False, back=True, settled=False, over=following is None, period=following or period)
    settled = size <= tolerance
    return Verdict(mark=size < smallest, back=False, settled=settled, over=settled, period=period)


@dataclass
class Descent:
    """`inverse`: int64[all columns, all columns], H^-1 in fixed point."""

    inverse: Ints
    period: Period
    point: Numbers = field(init=False)
    previous: Numbers = field(init=False)
    best: Numbers = field(init=False)
    age: int = 1
    sizes: tuple[float, ...] = ()
    since: int = 0
    settled: bool = False
    over: bool = False

    def __post_init__(self) -> None:
        self.point = self.previous = self.best = fixed.zeros(len(self.inverse))
        self._matrix = self.inverse.astype(object)

    def ahead(self) -> Numbers:
        """y: where the gradient is taken."""
        found: Numbers = self.point + ((self.age - 1) * (self.point - self.previous)) // (self.age + 2)
        return found

    def step(self, ahead: Numbers, gradient: Numbers) -> Numbers:
        """Take a step; the share of its change."""
        new = ahead - (fixed.times(self._matrix, gradient) >> INVERSE_BITS)
        change: Numbers = new - self.point
        self.previous, self.point = self.point, new
        self.age += 1
        return change

    def obey(self, verdict: Verdict) -> None:
        """Mark this step, or go back to the marked one."""
        self.settled, self.over = verdict.settled, verdict.over
        if verdict.mark:
            self.best = self.point
        if verdict.back:
            self.point = self.previous = self.best
            self.age, self.period, self.since = 1, verdict.period, len(self.sizes)

    def state(self, done: int) -> State:
        """What is kept."""
        shares = b"".join(fixed.packed(each) for each in (self.point, self.previous, self.best))
        return State(
            done=done,
            settled=self.settled,
            over=self.over,
            period=self.period,
            age=self.age,
            shares=shares,
            sizes=self.sizes,
            since=self.since,
        )

    def restore(self, state: State) -> None:
        """Go on from what was kept. Raises DataUnusable."""
        count = len(self.inverse)
        if len(state.shares) != len(fixed.packed(fixed.zeros(3 * count))) or state.age < 1:
            raise DataUnusable("the checkpoint is damaged")
        every = fixed.unpacked(state.shares, 3 * count)
        self.point, self.previous, self.best = np.split(every, 3)
        self.age, self.period, self.sizes, self.since = state.age, state.period, state.sizes, state.since
        self.settled, self.over = state.settled, state.over
