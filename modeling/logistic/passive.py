"""A passive party of a vertical logistic regression; the first of them holds the second share. The protocol stands in `active`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.leavers import Withdrawn, nobody
from modeling.logistic import sigmoid, wire
from modeling.logistic.own import Checkpoint, Columns, Floats, Ints, Keep, LogisticPart, OwnPart
from modeling.logistic.settings import check_budget, ring_for
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
) -> LogisticPart:
    """Take part in the training that `active` leads; `channels` reach it and the other passives.

    `keep`, `resume` and `withdrawn` are those of `active.train`; rows that have withdrawn are without a record here from the next step
    on, whatever A does, and A has to tell everybody. Where A begins anew, because it was lost in the first step, so does this party.
    Raises ModelingError.
    """
    if columns.intercept or columns.features.shape[1] == 0:
        raise DataUnusable("a passive party brings at least one feature, and no intercept")
    start = wire.read_start(channels[active].receive(wire.START))
    if start.rows != len(columns.weights) or not 1 <= start.features <= start.rows:
        raise ProtocolViolation(f"{active} has a cohort of {start.rows} rows, here it has {len(columns.weights)}")
    if start.computing != own_name and start.computing not in channels:
        raise ProtocolViolation(f"{active} names {start.computing[:60]!r} as computing party, who does not take part")
    check_budget(start.settings, start.rows, columns.features.shape[1])
    part = OwnPart(columns, start.settings, ring_for(start.settings, start.rows), parties=1 + len(channels))
    if resume is None and start.done:
        raise DataUnusable(f"the training goes on after {start.done} steps, and no checkpoint of it was given")
    if resume is not None and not (start.done == 0 and resume.done <= 1):
        part.restore(resume, start.run, start.done)
    kind = _Computing if start.computing == own_name else _Other
    return kind(part, start, active, channels, withdrawn).train(keep)


class _Passive(ABC):
    """What both kinds of passive parties do."""

    def __init__(
        self,
        part: OwnPart,
        start: wire.Start,
        active: str,
        channels: Mapping[str, Channel],
        withdrawn: Withdrawn,
    ) -> None:
        self._part = part
        self._start = start
        self._withdrawn = withdrawn
        self._settings = part.settings
        self._active = channels[active]
        self._others = {name: channel for name, channel in channels.items() if name != active}
        self._blocks = wire.blocks(part.rows)

    def train(self, keep: Keep) -> LogisticPart:
        """All steps, as A announces them."""
        self._active_key = wire.receive_key(self._active)
        fields = {"rows": self._part.rows, "features": self._part.width}
        self._active.send(Message(kind=wire.READY, fields=fields, arrays=self._left()))
        self._prepare()
        settled = False
        while self._goes_on():
            before = self._part.state()
            settled = self._part.step(self._gradient())
            keep(self._part.checkpoint(self._start.run, before))
            self._active.send(Message(kind=wire.SETTLED, fields={"settled": settled}, arrays=self._left()))
        return self._part.part(settled=settled)

    def _left(self) -> dict[str, Any]:
        """Who has withdrawn here by now: dropped at once, and told."""
        self._drop(self._withdrawn())
        return wire.rows_array(self._part.leavers.rows)

    def _goes_on(self) -> bool:
        told = self._active.receive(wire.GO_ON)
        rows = wire.withdrawn(told, self._part.rows)
        if not set(self._part.leavers.rows) <= set(rows.tolist()):
            raise ProtocolViolation(f"{self._active.peer} goes on with a row whose consent has ended")
        self._drop(rows)
        more = wire.flag(told.fields, "more")
        if more and self._part.done >= self._settings.steps:
            raise ProtocolViolation("the active party goes on after the last step that was agreed")
        return more

    def _drop(self, rows: Sequence[int] | Ints) -> bool:
        return self._part.drop(rows)

    @abstractmethod
    def _prepare(self) -> None:
        """Exchange keys with the other parties."""

    @abstractmethod
    def _gradient(self) -> list[int]:
        """The party's part in one step: its own gradient, modulo t."""


class _Computing(_Passive):
    """P_1: multiplies A's encrypted waves by its own, and keeps the mask as its share of the residual."""

    def _prepare(self) -> None:
        self._key = bfv.SecretKey()
        for channel in (self._active, *self._others.values()):
            wire.send_blobs(channel, wire.KEY, [self._key.public])
        self._widths = {}
        for name, channel in self._others.items():
            self._widths[name] = channel.receive(wire.READY).number("features")
        self._offset = wire.receive_ciphers(self._active, wire.WAVE, self._blocks)
        self._encode_offset()

    def _encode_offset(self) -> None:
        self._offset_weights = [bfv.encode(block) for block in bfv.blocks_of(self._sines(self._part.weights))]

    def _drop(self, rows: Sequence[int] | Ints) -> bool:
        """A row of weight zero here has no residual, whatever the others bring."""
        new = super()._drop(rows)
        if new:
            self._encode_offset()
        return new

    def _gradient(self) -> list[int]:
        residuals = self._residual_share(self._predictor_share())
        encrypted = [self._key.encrypt(block) for block in residuals.reshape(-1, bfv.SLOTS)]
        for channel in (self._active, *self._others.values()):
            wire.send_blobs(channel, wire.SHARES, encrypted)
        sums = self._part.gradient_of_own_share(residuals)
        theirs = wire.receive_ciphers(self._active, wire.SHARES, self._blocks)
        masked, masks = self._part.gradient_of_foreign_share(theirs, self._active_key)
        wire.send_blobs(self._active, wire.GRADIENT, masked)
        for name, channel in self._others.items():
            wire.answer_sums(channel, self._key, self._widths[name])
        wire.answer_sums(self._active, self._key, self._start.features)
        foreign = wire.receive_sums(self._active, masks)
        return [(one + other) % bfv.PLAIN_MODULUS for one, other in zip(sums, foreign, strict=True)]

    def _predictor_share(self) -> Ints:
        given, kept = self._part.predictor_shares()
        wire.send_predictor(self._active, given)
        for channel in (self._active, *self._others.values()):
            kept = kept + wire.receive_predictor(channel, self._part.rows, self._settings)
        return kept

    def _residual_share(self, predictor: Ints) -> Ints:
        sums = [bfv.Sum() for _ in range(self._blocks)]
        for total, cipher, plain in zip(sums, self._offset, self._offset_weights, strict=True):
            total.add(cipher, plain)
        for wave in self._waves(predictor):
            for total, block in zip(sums, bfv.blocks_of(self._sines(wave * self._part.weights)), strict=True):
                plain = bfv.encode(block)
                (cipher,) = self._next_wave()
                total.add(cipher, plain)
        masked = [self._active_key.masked(total) for total in sums]
        wire.send_blobs(self._active, wire.RESIDUALS, [cipher for cipher, _ in masked])
        share: Ints = np.mod(-np.concatenate([mask for _, mask in masked]), bfv.PLAIN_MODULUS)
        return share

    def _next_wave(self) -> list[Any]:
        """The next of A's ciphertexts; while none is there, masks are made that will be needed later."""
        wanted = self._blocks + self._part.width
        while not self._active.waiting() and self._active_key.prepare_one(wanted):
            continue
        return wire.receive_ciphers(self._active, wire.WAVE, 1)

    def _waves(self, predictor: Ints) -> Iterable[Floats]:
        """In A's order: what multiplies its sines, then what multiplies its cosines."""
        sines, cosines = sigmoid.waves(predictor, self._settings)
        b = sigmoid.coefficients(self._settings)
        return (*(cosines * b).T, *(sines * b).T)

    def _sines(self, values: Floats) -> Ints:
        found: Ints = np.round(values * (1 << self._part.ring.sine_bits)).astype(np.int64)
        return found


class _Other(_Passive):
    """P_2 … P_k: shares its predictor, and has its gradient from both computing parties."""

    def _prepare(self) -> None:
        self._computing = self._others[self._start.computing]
        self._computing_key = wire.receive_key(self._computing)
        self._computing.send(Message(kind=wire.READY, fields={"rows": self._part.rows, "features": self._part.width}))

    def _gradient(self) -> list[int]:
        to_active, to_computing = self._part.predictor_shares()
        wire.send_predictor(self._active, to_active)
        wire.send_predictor(self._computing, to_computing)
        holders = ((self._active, self._active_key), (self._computing, self._computing_key))
        masks = []
        for channel, key in holders:
            ciphers = wire.receive_ciphers(channel, wire.SHARES, self._blocks)
            masked, taken = self._part.gradient_of_foreign_share(ciphers, key)
            wire.send_blobs(channel, wire.GRADIENT, masked)
            masks.append(taken)
        ours, theirs = (wire.receive_sums(holder[0], taken) for holder, taken in zip(holders, masks, strict=True))
        return [(one + other) % bfv.PLAIN_MODULUS for one, other in zip(ours, theirs, strict=True)]
