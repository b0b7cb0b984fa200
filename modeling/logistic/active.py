"""The active party A of a vertical logistic regression: it has the label, own features and the first of the two shares.

Parties: A; passives P_1 (the other computing party), P_2 … P_k. Inputs: each its standardised columns over one row order, A the label.
Outputs: each party its own coefficients, nothing else. A step, after protocols.md 5:

    P_j → A, P_1   a share of the predictor of P_j for each computing party; A → P_1 its own
    A → P_1        sines and cosines of A's sum, encrypted under A's key
    P_1 → A        the residual plus a uniform mask; the mask is P_1's share of it, negated
    A, P_1 → all   the residual's shares, each encrypted under its holder's key
    P_j ⇄ holder   masked sums of column times share; the holder decrypts what is uniform, and returns sums
    all → A → all  whether anybody still moves; rows whose subjects have withdrawn: from then on nobody has a record of them

A passive keeps its checkpoint of a step before it says that it has moved, A after all have: whoever is killed, A's last step is the
last or the last but one of every passive, and the training goes on from there.

Leak: shares are uniform, ciphertexts are fresh, what decrypts is masked. Each party sees its own gradient in each step; the number of
these equations is bounded (`settings.check_budget`). A sees how many features each passive has, when it has settled, and which rows
have withdrawn there; a passive sees which rows have left, not whose consent ended.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

import numpy as np

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.leavers import Withdrawn, nobody
from modeling.logistic import sigmoid, wire
from modeling.logistic.own import Checkpoint, Columns, Floats, Ints, Keep, LogisticPart, OwnPart
from modeling.logistic.settings import Settings, check_budget, ring_for
from modeling.messages import Message

MAX_PASSIVES: Final = 4

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
) -> LogisticPart:
    """Train with all passives in `channels`; the first is the other computing party.

    `label`: float64[n] of 0 and 1; what stands in rows of weight zero does not matter. `keep` is given a checkpoint after each step;
    with one as `resume` (and the passives' own) the training goes on. `withdrawn` is asked before each step. Raises ModelingError.
    """
    if not 1 <= len(channels) <= MAX_PASSIVES:
        raise DataUnusable(f"a training has 1 to {MAX_PASSIVES} passive parties, not {len(channels)}")
    _check_label(label, columns.weights)
    return _Active(columns, label, channels, settings, resume, withdrawn).train(keep)


def _check_label(label: Floats, weights: Floats) -> None:
    seen = set(np.unique(label[weights > 0]).tolist())
    if label.shape != weights.shape or seen != {0.0, 1.0}:
        raise DataUnusable("the label is 0 or 1 in every row with a weight, and both occur")


class _Active:
    def __init__(
        self,
        columns: Columns,
        label: Floats,
        channels: Mapping[str, Channel],
        settings: Settings,
        resume: Checkpoint | None,
        withdrawn: Withdrawn,
    ) -> None:
        rows = len(label)
        self._settings, self._ring = settings, ring_for(settings, rows)
        check_budget(settings, rows, columns.features.shape[1] + int(columns.intercept))
        self._channels = channels
        (self._computing_name, self._computing), *_ = channels.items()
        known = np.where(columns.weights > 0, label, 0.0)
        self._part = OwnPart(columns, settings, self._ring, parties=1 + len(channels), label=known)
        self._blocks = wire.blocks(rows)
        self._key = bfv.SecretKey()
        self._withdrawn = withdrawn
        self._run = secrets.token_hex(16) if resume is None else resume.run
        if resume is not None:
            self._part.restore(resume, self._run, resume.done)
        self._offset = self._sines(self._part.weights * (0.5 - known))

    def train(self, keep: Keep) -> LogisticPart:
        """All steps."""
        self._start()
        settled = False
        while self._go_on(more=self._part.done < self._settings.steps and not settled):
            before = self._part.state()
            settled = self._step()
            keep(self._part.checkpoint(self._run, before))
        return self._part.part(settled=settled)

    def _start(self) -> None:
        rows = self._part.rows
        start = wire.Start(
            run=self._run,
            done=self._part.done,
            settings=self._settings,
            rows=rows,
            features=self._part.width,
            computing=self._computing_name,
        )
        for channel in self._channels.values():
            channel.send(wire.start_message(start))
            wire.send_blobs(channel, wire.KEY, [self._key.public])
        self._widths: dict[str, int] = {}
        for name, channel in self._channels.items():
            ready = channel.receive(wire.READY)
            if ready.number("rows") != rows or not 1 <= ready.number("features") <= rows:
                raise ProtocolViolation(f"{name} has {ready.number('rows')} rows where the cohort has {rows}")
            self._widths[name] = ready.number("features")
            self._part.drop(wire.withdrawn(ready, rows))
        self._computing_key = wire.receive_key(self._computing)
        # It does not change from step to step.
        wire.send_blobs(self._computing, wire.WAVE, [self._key.encrypt(block) for block in bfv.blocks_of(self._offset)])

    def _go_on(self, *, more: bool) -> bool:
        """Tell everybody who has left, and whether another step comes."""
        self._part.drop(self._withdrawn())
        left = wire.rows_array(self._part.leavers.rows)
        for channel in self._channels.values():
            channel.send(Message(kind=wire.GO_ON, fields={"more": more}, arrays=left))
        return more

    def _step(self) -> bool:
        residuals = self._residual_share(self._predictor_share())
        encrypted = [self._key.encrypt(block) for block in residuals.reshape(-1, bfv.SLOTS)]
        for channel in self._channels.values():
            wire.send_blobs(channel, wire.SHARES, encrypted)
        sums = self._part.gradient_of_own_share(residuals)
        theirs = wire.receive_ciphers(self._computing, wire.SHARES, self._blocks)
        masked, masks = self._part.gradient_of_foreign_share(theirs, self._computing_key)
        wire.send_blobs(self._computing, wire.GRADIENT, masked)
        for name, channel in self._channels.items():
            wire.answer_sums(channel, self._key, self._widths[name])
        foreign = wire.receive_sums(self._computing, masks)
        mine = self._part.step([(one + other) % bfv.PLAIN_MODULUS for one, other in zip(sums, foreign, strict=True)])
        told = []
        for channel in self._channels.values():
            message = channel.receive(wire.SETTLED)
            told.append(wire.flag(message.fields, "settled"))
            self._part.drop(wire.withdrawn(message, self._part.rows))
        return mine and all(told)

    def _predictor_share(self) -> Ints:
        kept, given = self._part.predictor_shares()
        wire.send_predictor(self._computing, given)
        for channel in self._channels.values():
            kept = kept + wire.receive_predictor(channel, self._part.rows, self._settings)
        return kept

    def _residual_share(self, predictor: Ints) -> Ints:
        """Encrypt the waves, vector by vector so that the other side works meanwhile; take the masked residual."""
        sines, cosines = sigmoid.waves(predictor, self._settings)
        for wave in (*sines.T, *cosines.T):
            blocks = bfv.blocks_of(self._sines(wave * self._part.weights))
            for block in blocks:
                wire.send_blobs(self._computing, wire.WAVE, [self._key.encrypt(block)])
        while not self._computing.waiting() and self._computing_key.prepare_one(self._part.width):
            continue
        masked = wire.receive_blobs(self._computing, wire.RESIDUALS, self._blocks)
        return np.concatenate(self._key.decrypt(masked))

    def _sines(self, values: Floats) -> Ints:
        found: Ints = np.round(values * (1 << self._ring.sine_bits)).astype(np.int64)
        return found
