"""A step of a computing party: predictor, residual, gradient and step, all in two shares. The protocol stands in `active`.

The two differ in who encrypts and who multiplies; the subclasses in `active` and `passive` say so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import numpy as np

from modeling import bfv
from modeling.errors import DataUnusable
from modeling.leavers import Ints
from modeling.logistic import fixed, wire
from modeling.logistic.curvature import inverse_for
from modeling.logistic.descent import Descent
from modeling.logistic.fixed import FRACTION_BITS, Numbers
from modeling.logistic.group import Group
from modeling.logistic.own import Checkpoint, Floats, OwnPart
from modeling.logistic.settings import COORDINATE_BITS, Ring, Settings

CHANGE_BITS: Final = 20
"""Fraction bits of a step's change when its size is taken."""


class Computing(ABC):
    """One of the two parties that hold shares."""

    def __init__(self, part: OwnPart, group: Group, descent: Descent) -> None:
        """`group.own` is one of `group.computing`."""
        self.part, self.group, self.descent = part, group, descent
        self.ring: Ring = part.ring
        self.partner = next(name for name in group.computing if name != group.own)
        self.channel = group.channels[self.partner]
        self.partner_key = group.keys[self.partner]
        self.layout = group.layout
        self._blocks = wire.blocks(part.rows)

    def step(self, *, first: bool) -> None:
        """One step of everybody's coordinates. The first begins at zero, as everybody knows: its predictor is zero."""
        ahead = self.descent.ahead()
        if first:
            ridge = np.zeros(self.group.total, np.int64)
            residuals = self._residuals(None)
        else:
            predictor, ridge = self._predictor(fixed.residues(ahead, COORDINATE_BITS))
            residuals = self._residuals(predictor)
        sums = self._gradients(residuals)
        lifted = self._lifted(np.concatenate([sums, ridge]))
        self._measure(self.descent.step(ahead, self._gradient(lifted)))

    def opened(self) -> Floats:
        """Tell everybody the coordinates of its own columns, and nothing else: float64[p] of this party."""
        share, own = self.descent.point, self.group.span(self.group.own)
        for name in self.group.rest:
            span = self.group.span(name)
            told = share[span] + self._fresh(span.stop - span.start)
            wire.send_blobs(self.group.channels[name], wire.OPENED, [fixed.packed(told)])
        wire.send_blobs(self.channel, wire.OPENED, [fixed.packed(share[self.group.span(self.partner)])])
        (theirs,) = wire.receive_blobs(self.channel, wire.OPENED, 1)
        return fixed.real(share[own] + fixed.unpacked(theirs, self.part.width))

    # -- what the two do differently ---------------------------------------------------------------------------------------

    @abstractmethod
    def _residuals(self, predictor: Ints | None) -> Ints:
        """Its share of sigmoid minus label, times all weights: int64[n] modulo t. None: the predictor is zero."""

    @abstractmethod
    def _more(self, name: str, count: int) -> Ints:
        """What a party that holds no share adds to this party's share of an answer."""

    @abstractmethod
    def _lifted(self, shares: Ints) -> Numbers:
        """Shares modulo t as integers (`fixed`)."""

    @abstractmethod
    def _measure(self, change: Numbers) -> None:
        """Compute the size of a step; the active party learns it."""

    @abstractmethod
    def _fresh(self, count: int) -> Numbers:
        """What shares numbers anew: at the two computing parties it adds up to zero."""

    # -- what they do alike ----------------------------------------------------------------------------------------------

    def _predictor(self, coordinates: Ints) -> tuple[Ints, Ints]:
        """Shares of the linear predictor, int64[n], and of the ridge's part of all gradients, int64[all columns]; modulo t."""
        group, part = self.group, self.part
        for name in group.others:
            told = [group.key.encrypt(each) for each in self.layout.coordinates(coordinates[group.span(name)])]
            wire.send_blobs(group.channels[name], wire.COORDINATES, told)
        theirs = group.receive(self.partner, wire.COORDINATES, self.layout.column_blocks(part.width))
        answers, masks = part.predictor_of_foreign_share(theirs, self.partner_key)
        wire.send_blobs(self.channel, wire.PREDICTOR, answers)
        found = {group.own: part.predictor_of_own_share(coordinates[group.span(group.own)]) - masks}
        for name in group.others:
            count = part.rows + group.width(name)
            blobs = group.receive(name, wire.PREDICTOR, self.layout.row_blocks(count))
            found[name] = self.layout.over_groups(group.key.decrypt(blobs), count)
            if name in group.rest:
                found[name] = found[name] + self._more(name, count)
        every = [np.mod(found[name], bfv.PLAIN_MODULUS) for name in group.names]
        total = np.mod(sum(each[: part.rows] for each in every), bfv.PLAIN_MODULUS)
        return total, np.concatenate([each[part.rows :] for each in every])

    def _gradients(self, residuals: Ints) -> Ints:
        """Shares of all gradients' sums, int64[all columns] modulo t."""
        group, part = self.group, self.part
        encrypted = [group.key.encrypt(each) for each in self.layout.residuals(residuals)]
        for name in group.others:
            wire.send_blobs(group.channels[name], wire.SHARES, encrypted)
        own = part.gradient_of_own_share(residuals)
        theirs = group.receive(self.partner, wire.SHARES, self.layout.row_blocks(part.rows))
        masked, masks = part.gradient_of_foreign_share(theirs, self.partner_key)
        wire.send_blobs(self.channel, wire.GRADIENT, masked)
        found = {group.own: own - masks}
        for name in group.others:
            width = group.width(name)
            blobs = group.receive(name, wire.GRADIENT, self.layout.column_blocks(width))
            found[name] = self.layout.within_groups(group.key.decrypt(blobs), width)
            if name in group.rest:
                found[name] = found[name] + self._more(name, width)
        every: Ints = np.mod(np.concatenate([found[name] for name in group.names]), bfv.PLAIN_MODULUS)
        return every

    def _gradient(self, lifted: Numbers) -> Numbers:
        """Mean gradient and ridge, in fixed point."""
        sums, ridge = np.split(lifted, 2)
        means = (sums << (FRACTION_BITS - self.ring.gradient_bits)) // self.part.rows
        found: Numbers = means + (ridge << (FRACTION_BITS - self.ring.ridge_bits))
        return found

    def _sines(self, values: Floats) -> Ints:
        found: Ints = np.round(values * (1 << self.ring.sine_bits)).astype(np.int64)
        return found


def descent_for(
    part: OwnPart, group: Group, settings: Settings, resume: Checkpoint | None, done: int
) -> Descent | None:
    """Where a computing party begins, or goes on after step `done`; None at others. Raises ModelingError."""
    computes = group.own in group.computing
    if resume is None:
        inverse = inverse_for(part, group)
        return Descent(inverse=inverse, period=settings.period) if inverse is not None else None
    part.lay_out(group.layout)
    state = resume.after(resume.run, settings, done)
    if not computes:
        return None
    if len(resume.inverse) != 8 * group.total**2:
        raise DataUnusable("the checkpoint is damaged, or other parties take part")
    inverse = np.frombuffer(resume.inverse, "<i8").reshape(group.total, group.total).astype(np.int64)
    descent = Descent(inverse=inverse, period=state.period)
    descent.restore(state)
    return descent
