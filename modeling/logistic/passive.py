"""A passive party of a vertical logistic regression; the first of them holds the second shares. The protocol stands in `active`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.executor import Executor
from modeling.leavers import Withdrawn, nobody
from modeling.logistic import fixed, sigmoid, wire
from modeling.logistic.computing import CHANGE_BITS, Computing, descent_for
from modeling.logistic.descent import Descent, Verdict
from modeling.logistic.fixed import Numbers
from modeling.logistic.group import Group
from modeling.logistic.layout import stacked, unstacked
from modeling.logistic.own import Checkpoint, Columns, Floats, Ints, Keep, LogisticPart, OwnPart, State
from modeling.logistic.settings import MOST_OPENINGS, Settings, check_budget, ring_for
from modeling.messages import Message

PassiveCheckpoint = Checkpoint


def train(
    columns: Columns,
    active: str,
    own_name: str,
    channels: Mapping[str, Channel],
    *,
    resume: Checkpoint | None = None,
    keep: Keep = lambda _checkpoint: None,
    withdrawn: Withdrawn = nobody,
    agreed: Settings | None = None,
    executor: Executor | None = None,
) -> LogisticPart:
    """Take part in the training that `active` leads; `channels` reach it and the other passives.

    `keep`, `resume`, `withdrawn` and `executor` are those of `active.train`; rows that have withdrawn are without a record here from
    the next step on, whatever A does, and A has to tell everybody. Where A begins anew, because it was lost in the first step, so does
    this party. `agreed`: the only settings with which it takes part. Raises ModelingError.
    """
    if columns.intercept or columns.features.shape[1] == 0:
        raise DataUnusable("a passive party brings at least one feature, and no intercept")
    start = wire.read_start(channels[active].receive(wire.START))
    if start.rows != len(columns.weights):
        raise ProtocolViolation(f"{active} has a cohort of {start.rows} rows, here it has {len(columns.weights)}")
    if agreed is not None and start.settings != agreed:
        raise ProtocolViolation(f"{active} trains with other settings than were agreed")
    check_budget(start.settings, start.rows, columns.features.shape[1])
    if resume is None and start.done:
        raise DataUnusable(f"the training goes on after {start.done} steps, and no checkpoint of it was given")
    openings = 1 if resume is None else resume.openings
    if resume is not None and start.done == 0 and resume.done <= 1:
        resume, openings = None, openings + 1
    if openings > MOST_OPENINGS:
        raise ProtocolViolation(
            f"{active} begins anew once more; this party has told its correlations {MOST_OPENINGS} times"
        )
    if resume is not None:
        resume.after(start.run, start.settings, start.done)
    part = OwnPart(columns, start.settings, ring_for(start.rows), resume=resume, executor=executor)
    return _Training(part, start, active, own_name, channels, withdrawn, resume, openings).run(keep)


class _Training:
    """The course of a training, as A announces it."""

    def __init__(
        self,
        part: OwnPart,
        start: wire.Start,
        active: str,
        own_name: str,
        channels: Mapping[str, Channel],
        withdrawn: Withdrawn,
        resume: Checkpoint | None,
        openings: int,
    ) -> None:
        self._part, self._start, self._resume, self._openings = part, start, resume, openings
        self._active, self._own_name, self._channels = active, own_name, channels
        self._withdrawn = withdrawn
        self._done = start.done

    def run(self, keep: Keep) -> LogisticPart:
        """All steps."""
        group = self._group()
        if self._resume is None:
            begun = State(done=0, period=self._start.settings.period)
            keep(self._part.checkpoint(self._start.run, self._openings, begun, begun))
        else:
            begun = self._resume.after(self._start.run, self._start.settings, self._done)
        descent = descent_for(self._part, group, self._start.settings, self._resume, self._done)
        role = _Second(self._part, group, descent) if descent is not None else _Other(self._part, group, begun)
        while self._goes_on():
            before = role.state(self._done)
            role.step(first=self._done == 0)
            verdict = wire.read_verdict(self._channels[self._active].receive(wire.VERDICT))
            role.obey(verdict)
            self._done += 1
            keep(self._part.checkpoint(self._start.run, self._openings, role.state(self._done), before, role.inverse))
            self._channels[self._active].send(Message(kind=wire.DONE, arrays=self._left()))
        return LogisticPart(
            coefficients=self._part.coefficients(role.opened()),
            steps=self._done,
            settled=role.state(self._done).settled,
            left=len(self._part.leavers.rows),
        )

    def _group(self) -> Group:
        key, part, active = bfv.SecretKey(), self._part, self._channels[self._active]
        active.send(Message(kind=wire.READY, fields={"rows": part.rows, "features": part.width}, arrays=self._left()))
        told = wire.read_parties(active.receive(wire.GROUP))
        for width in told.widths:  # so many correlations of each own column are told
            check_budget(self._start.settings, part.rows, width)
        for channel in self._channels.values():
            wire.send_blobs(channel, wire.KEY, [key.public])
        keys = {name: wire.receive_key(channel) for name, channel in self._channels.items()}
        group = Group(
            rows=part.rows,
            own=self._own_name,
            names=(self._active, *told.passives),
            widths=told.widths,
            channels=self._channels,
            key=key,
            keys=keys,
        )
        if group.width(self._own_name) != part.width:
            raise ProtocolViolation(
                f"{self._active} counts {group.width(self._own_name)} columns here, not {part.width}"
            )
        return group

    def _left(self) -> dict[str, Any]:
        """Who has withdrawn here by now: dropped at once, and told."""
        self._part.drop(self._withdrawn())
        return wire.rows_array(self._part.leavers.rows)

    def _goes_on(self) -> bool:
        told = self._channels[self._active].receive(wire.GO_ON)
        rows = wire.withdrawn(told, self._part.rows)
        if not set(self._part.leavers.rows) <= set(rows.tolist()):
            raise ProtocolViolation(f"{self._active} goes on with a row whose consent has ended")
        self._part.drop(rows)
        more = wire.flag(told.fields, "more")
        if more and self._done >= self._start.settings.steps:
            raise ProtocolViolation("the active party goes on after the last step that was agreed")
        return more


class _Second(Computing):
    """P_1 among the computing parties: it multiplies A's ciphertexts by its own numbers, and keeps the masks."""

    def __init__(self, part: OwnPart, group: Group, descent: Descent) -> None:
        super().__init__(part, group, descent)
        self.inverse = descent.inverse.astype("<i8").tobytes()
        self._offset = [bfv.received(blob) for blob in group.receive(self.partner, wire.OFFSET, self._blocks)]

    def state(self, done: int) -> State:
        """What is kept."""
        return self.descent.state(done)

    def obey(self, verdict: Verdict) -> None:
        """As A says."""
        self.descent.obey(verdict)

    def _residuals(self, predictor: Ints | None) -> Ints:
        """A row of weight zero here has no residual, whatever the others bring."""
        (weights,) = stacked(self._sines(self.part.weights)[None])
        sums = [bfv.Sum() for _ in range(self._blocks)]
        for total, cipher, block in zip(sums, self._offset, weights, strict=True):
            total.add(cipher, bfv.encode(block))
        for blocks in () if predictor is None else stacked(self._sines(self._waves(predictor) * self.part.weights)):
            for total, block in zip(sums, blocks, strict=True):
                plain = bfv.encode(block)
                (wave,) = self.group.receive(self.partner, wire.WAVE, 1)
                total.add(bfv.received(wave), plain)
        masked = [self.partner_key.masked(total) for total in sums]
        wire.send_blobs(self.channel, wire.RESIDUALS, [cipher for cipher, _ in masked])
        share: Ints = np.mod(-unstacked([mask for _, mask in masked], self.part.rows), bfv.PLAIN_MODULUS)
        return share

    def _waves(self, predictor: Ints) -> Floats:
        """In A's order: what multiplies its sines, then what multiplies its cosines."""
        period = self.descent.period
        sines, cosines = sigmoid.waves(predictor, self.ring, period)
        b = sigmoid.coefficients(period)
        return np.vstack([(cosines * b).T, (sines * b).T])

    def _more(self, name: str, count: int) -> Ints:
        self.group.wait(name)
        return wire.receive_residues(self.group.channels[name], wire.MASKS, "masks", count)

    def _lifted(self, shares: Ints) -> Numbers:
        masks = self._multiplied(wire.BITS, wire.LIFTED, fixed.low(shares))
        return fixed.lifted_second(shares, masks[: len(shares)])

    def _multiplied(self, kind: str, answer: str, factors: Ints) -> Ints:
        answers, masks = self._products(kind, factors)
        wire.send_blobs(self.channel, answer, answers)
        return masks

    def _products(self, kind: str, factors: Ints) -> tuple[list[bytes], Ints]:
        """A's encrypted vector times one's own, masked; and the masks."""
        blocks = bfv.blocks_of(factors)
        plains = [bfv.encode(block) for block in blocks]
        ciphers = [bfv.received(blob) for blob in self.group.receive(self.partner, kind, len(blocks))]
        masked = [
            self.partner_key.masked(bfv.products_of([cipher], [plain]))
            for cipher, plain in zip(ciphers, plains, strict=True)
        ]
        return [cipher for cipher, _ in masked], np.concatenate([mask for _, mask in masked])

    def _measure(self, change: Numbers) -> None:
        own = fixed.residues(change, CHANGE_BITS)
        answers, masks = self._products(wire.CHANGE, np.mod(2 * own, bfv.PLAIN_MODULUS))
        squares = sum(int(each) ** 2 for each in own.tolist())
        rest = (squares - bfv.total_mod_t(masks)) % bfv.PLAIN_MODULUS
        self.channel.send(Message(kind=wire.SIZE, fields={"rest": rest}, blobs=tuple(answers)))

    def _fresh(self, count: int) -> Numbers:
        (told,) = wire.receive_blobs(self.channel, wire.FRESH, 1)
        return -fixed.unpacked(told, count)


class _Other:
    """P_2 … P_k: multiplies its columns by what the computing parties sent encrypted, and hands over the masks."""

    inverse = b""

    def __init__(self, part: OwnPart, group: Group, begun: State) -> None:
        self._part, self._state = part, begun
        self._group, self._layout = group, group.layout

    def state(self, done: int) -> State:
        """It holds no shares."""
        return msgspec.structs.replace(self._state, done=done)

    def obey(self, verdict: Verdict) -> None:
        """Nothing to go back to."""
        self._state = msgspec.structs.replace(self._state, settled=verdict.settled, over=verdict.over)

    def step(self, *, first: bool) -> None:
        """Its parts of predictor, which is zero at first, and gradient."""
        part = self._part
        columns, rows = self._layout.column_blocks(part.width), self._layout.row_blocks(part.rows)
        if not first:
            self._answer(wire.COORDINATES, columns, wire.PREDICTOR, part.predictor_of_foreign_share)
        self._answer(wire.SHARES, rows, wire.GRADIENT, part.gradient_of_foreign_share)

    def opened(self) -> Floats:
        """Its own coordinates."""
        channels = [self._group.channels[name] for name in self._group.computing]
        told = [wire.receive_blobs(channel, wire.OPENED, 1)[0] for channel in channels]
        first, second = (fixed.unpacked(each, self._part.width) for each in told)
        return fixed.real(first + second)

    def _answer(self, asked: str, count: int, answered: str, answer: Any) -> list[Ints]:  # noqa: ANN401
        """Answer both computing parties; the masks that were taken."""
        group, masks = self._group, list[Ints]()
        for name in group.computing:
            masked, taken = answer(group.receive(name, asked, count), group.keys[name])
            wire.send_blobs(group.channels[name], answered, masked)
            masks.append(taken)
        wire.send_masks(group.channels[group.computing[1]], *masks)
        return masks
