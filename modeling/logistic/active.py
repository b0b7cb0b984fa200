"""The active party A of a vertical logistic regression: it has the label, own features and the first of two shares of everything.

Parties: A; passives P_1 (the other computing party), P_2 … P_k. Inputs: each its standardised columns over one row order, A the label.
Outputs: each party its own coefficients, nothing else; A the size of each step. Coordinates, predictor, residual and gradient are
shared between A and P_1. First the curvature (`curvature`); then a step, after protocols.md 5 but for coordinates and gradients, which
stay shared:

    A, P_1 → all   shares of each party's coordinates, encrypted under the holder's key
    all → A, P_1   columns times coordinates, masked: shares of the linear predictor, and of the ridge
    A → P_1        sines and cosines of A's share of it, encrypted under A's key
    P_1 → A        the residual plus a uniform mask; the mask is P_1's share of it, negated
    A, P_1 → all   the residual's shares, each encrypted under its holder's key
    all → A, P_1   columns times residual, masked: shares of the gradient
    A ⇄ P_1        shares modulo t become integers (`fixed`); both take the step (`descent`); the size of its change opens to A
    A → all        what becomes of the step; all → A: rows whose subjects have withdrawn: from then on nobody has a record of them

A passive keeps its checkpoint of a step before it says that it is done, A after all have: whoever is killed, A's last step is the last
or the last but one of every passive, and the training goes on from there. Everybody keeps one too before correlations are told, and
tells them MOST_OPENINGS times at most. A training that is over stays over: the same coefficients open again, and no others.

Leak: shares are uniform, ciphertexts are fresh, what decrypts is masked. Nobody sees a gradient. A party learns its own coefficients,
which are an equation a column about the residuals; the number of equations is bounded (`settings.check_budget`). The computing parties
learn how the parties' columns move together, in rotated bases. All learn how many columns each has, how many steps there were and
which rows have left; A learns where they withdrew.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

import numpy as np

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.executor import Executor
from modeling.leavers import Withdrawn, nobody
from modeling.logistic import fixed, sigmoid, wire
from modeling.logistic.computing import CHANGE_BITS, Computing, descent_for
from modeling.logistic.descent import Descent, Verdict, judged
from modeling.logistic.fixed import Numbers
from modeling.logistic.group import Group
from modeling.logistic.layout import stacked, unstacked
from modeling.logistic.own import Checkpoint, Columns, Floats, Ints, Keep, LogisticPart, OwnPart, State
from modeling.logistic.settings import MOST_OPENINGS, Settings, check_budget, ring_for
from modeling.messages import Message

MAX_PASSIVES: Final = 4
_OWN: Final = ""
"""What A is called in its own group: nobody else is."""

ActiveCheckpoint = Checkpoint


def train(
    columns: Columns,
    label: Floats,
    channels: Mapping[str, Channel],
    settings: Settings,
    *,
    resume: Checkpoint | None = None,
    keep: Keep = lambda _checkpoint: None,
    withdrawn: Withdrawn = nobody,
    executor: Executor | None = None,
) -> LogisticPart:
    """Train with all passives in `channels`; the first is the other computing party.

    `label`: float64[n] of 0 and 1; what stands in rows of weight zero does not matter. `keep` is given a checkpoint after each step;
    with one as `resume` (and the passives' own) the training goes on. `withdrawn` is asked before each step. `executor`: where columns
    meet ciphertexts; without one in this process. Raises ModelingError.
    """
    if not 1 <= len(channels) <= MAX_PASSIVES:
        raise DataUnusable(f"a training has 1 to {MAX_PASSIVES} passive parties, not {len(channels)}")
    seen = set(np.unique(label[columns.weights > 0]).tolist())
    if label.shape != columns.weights.shape or seen != {0.0, 1.0}:
        raise DataUnusable("the label is 0 or 1 in every row with a weight, and both occur")
    check_budget(settings, len(label), columns.features.shape[1] + int(columns.intercept))
    openings = 1 if resume is None else resume.openings + int(resume.done == 0)
    if openings > MOST_OPENINGS:
        raise DataUnusable(f"the training was lost in its first step {MOST_OPENINGS} times; begin a new job")
    if resume is not None and resume.done == 0:
        resume = None
    ring, known = ring_for(len(label)), np.where(columns.weights > 0, label, 0.0)
    run, done = (secrets.token_hex(16), 0) if resume is None else (resume.run, resume.done)
    start = wire.Start(run=run, done=done, settings=settings, rows=len(label))
    for channel in channels.values():  # so that they lay out their columns meanwhile
        channel.send(wire.start_message(start))
    part = OwnPart(columns, settings, ring, label=known, resume=resume, executor=executor)
    return _Training(part, known, start, channels, withdrawn, resume, openings).run(keep)


class _Training:
    """The course of a training, as A leads it."""

    def __init__(
        self,
        part: OwnPart,
        label: Floats,
        start: wire.Start,
        channels: Mapping[str, Channel],
        withdrawn: Withdrawn,
        resume: Checkpoint | None,
        openings: int,
    ) -> None:
        self._part, self._label, self._channels, self._withdrawn = part, label, channels, withdrawn
        self._resume, self._openings = resume, openings
        self._run, self._done, self._settings = start.run, start.done, start.settings

    def run(self, keep: Keep) -> LogisticPart:
        """All steps."""
        group = self._group()
        if self._resume is None:
            begun = State(done=0, period=self._settings.period)
            keep(self._part.checkpoint(self._run, self._openings, begun, begun))
        descent = descent_for(self._part, group, self._settings, self._resume, self._done)
        if descent is None:
            raise ProtocolViolation("the active party computes")
        first = _First(self._part, group, descent, self._label)
        inverse = descent.inverse.astype("<i8").tobytes()
        while self._go_on(more=self._done < self._settings.steps and not descent.over):
            before = descent.state(self._done)
            first.step(first=self._done == 0)
            verdict = judged(descent.sizes, descent.since, self._settings.tolerance, descent.period)
            descent.obey(verdict)
            self._done += 1
            self._tell(verdict)
            keep(self._part.checkpoint(self._run, self._openings, descent.state(self._done), before, inverse))
        return LogisticPart(
            coefficients=self._part.coefficients(first.opened()),
            steps=self._done,
            settled=descent.settled,
            left=len(self._part.leavers.rows),
            sizes=descent.sizes,
        )

    def _group(self) -> Group:
        """Learn who takes part with how many columns."""
        part, key = self._part, bfv.SecretKey()
        widths = [part.width]
        for name, channel in self._channels.items():
            ready = channel.receive(wire.READY)
            if ready.number("rows") != part.rows or not 1 <= ready.number("features") <= part.rows:
                raise ProtocolViolation(f"{name} has {ready.number('rows')} rows where the cohort has {part.rows}")
            widths.append(ready.number("features"))
            check_budget(self._settings, part.rows, widths[-1])  # so many correlations of each own column are told
            part.drop(wire.withdrawn(ready, part.rows))
        for channel in self._channels.values():
            channel.send(wire.parties_message(wire.Parties(passives=tuple(self._channels), widths=tuple(widths))))
            wire.send_blobs(channel, wire.KEY, [key.public])
        keys = {name: wire.receive_key(channel) for name, channel in self._channels.items()}
        names = (_OWN, *self._channels)
        return Group(
            rows=part.rows,
            own=_OWN,
            names=names,
            widths=tuple(widths),
            channels=self._channels,
            key=key,
            keys=keys,
        )

    def _go_on(self, *, more: bool) -> bool:
        """Tell everybody who has left, and whether another step comes."""
        self._part.drop(self._withdrawn())
        left = wire.rows_array(self._part.leavers.rows)
        for channel in self._channels.values():
            channel.send(Message(kind=wire.GO_ON, fields={"more": more}, arrays=left))
        return more

    def _tell(self, verdict: Verdict) -> None:
        for channel in self._channels.values():
            channel.send(wire.verdict_message(verdict))
        for channel in self._channels.values():
            self._part.drop(wire.withdrawn(channel.receive(wire.DONE), self._part.rows))


class _First(Computing):
    """A among the computing parties: it encrypts waves and bits, and decrypts what comes back masked."""

    def __init__(self, part: OwnPart, group: Group, descent: Descent, label: Floats) -> None:
        super().__init__(part, group, descent)
        # It does not change from step to step.
        (offset,) = stacked(self._sines(part.weights * (0.5 - label))[None])
        wire.send_blobs(self.channel, wire.OFFSET, [group.key.encrypt(block) for block in offset])

    def _residuals(self, predictor: Ints | None) -> Ints:
        """Encrypt the waves, one after the other so that the other side works meanwhile; take the masked residual."""
        if predictor is not None:
            sines, cosines = sigmoid.waves(predictor, self.ring, self.descent.period)
            for blocks in stacked(self._sines(np.vstack([sines.T, cosines.T]) * self.part.weights)):
                for block in blocks:
                    wire.send_blobs(self.channel, wire.WAVE, [self.group.key.encrypt(block)])
        masked = self.group.receive(self.partner, wire.RESIDUALS, self._blocks)
        return unstacked(self.group.key.decrypt(masked), self.part.rows)

    def _more(self, name: str, count: int) -> Ints:
        return np.zeros(count, np.int64)

    def _lifted(self, shares: Ints) -> Numbers:
        raised = fixed.raised(shares)
        bits = bfv.blocks_of(fixed.low(raised))
        wire.send_blobs(self.channel, wire.BITS, [self.group.key.encrypt(block) for block in bits])
        products = self.group.key.decrypt(self.group.receive(self.partner, wire.LIFTED, len(bits)))
        return fixed.lifted_first(raised, np.concatenate(products)[: len(shares)])

    def _measure(self, change: Numbers) -> None:
        """Root mean square change of the log odds, from the sum of squares of the change."""
        own = fixed.residues(change, CHANGE_BITS)
        told = bfv.blocks_of(own)
        wire.send_blobs(self.channel, wire.CHANGE, [self.group.key.encrypt(block) for block in told])
        self.group.wait(self.partner)
        answer = self.channel.receive(wire.SIZE)
        if len(answer.blobs) != len(told):
            raise ProtocolViolation(f"{self.partner} answered a change of {len(told)} blocks by {len(answer.blobs)}")
        opened = sum(bfv.total_mod_t(vector) for vector in self.group.key.decrypt(answer.blobs))
        squares = sum(int(each) ** 2 for each in own.tolist())
        total = bfv.centred(opened + squares + answer.number("rest"))
        size = 2.0 * float(np.sqrt(max(0, total))) / (1 << CHANGE_BITS)
        self.descent.sizes = (*self.descent.sizes, size)

    def _fresh(self, count: int) -> Numbers:
        found = fixed.fresh(count)
        wire.send_blobs(self.channel, wire.FRESH, [fixed.packed(found)])
        return found
