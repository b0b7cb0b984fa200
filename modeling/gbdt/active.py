"""The active party A of vertical gradient boosting: it has the label, features of its own, and the key.

Parties: A; passives P_1 … P_k (k from 1 to 4). Inputs: each its features over one row order, A the label and weights.
Outputs: A the trees' shapes, gains, leaf weights and its own thresholds (`ActivePart`); each passive its own thresholds. After
SecureBoost (Cheng et al., IEEE Intelligent Systems 2021), protocols.md 6; for each tree:

    A → P          an encryption of g and h of each row that the tree sees, packed into one plaintext
    level by level, for each node that is worth a look:
    P → A          gradient sums left of each of P's candidates, shuffled, packed, refreshed; A decrypts and takes the best of all
    A → P → A      the chosen candidate of P; which rows of the node it sends left (checked against the sums that P had claimed)
    A → all P      which rows went left in nodes whose children are worth a look, whoever parted them
    P → A          rows whose subjects have withdrawn; with the next tree A tells all P who has left, and it sees none of them

A passive keeps its checkpoint of a tree before it speaks of withdrawals, A after all have: whoever is killed, a passive has the trees
that A has, or one more. Trees of A's own features are announced too, when they have been grown.

Leak to A: for each node the gradient sums left of each candidate of P, anonymous and in an order of this node only;
the rows left of each chosen split; which rows have withdrawn at P. Leak to P: which rows are together in a node, the number of
trees, with sampling the rows of each tree, with `top` those of large gradients; which rows have left, not whose consent ended. Rows of
weight zero travel as encryptions of zero: P does not learn which these are.
Secure against parties that follow the protocol; what a P claims falsely ends the training or changes its own splits only.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from modeling.additive import SecretKey
from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.executor import Executor
from modeling.gbdt import wire
from modeling.gbdt.checkpoint import ActiveCheckpoint, Keep, begun, check_resumed
from modeling.gbdt.features import Binned, Flags, Floats, Ints, binned
from modeling.gbdt.gradients import Seen, Target, seen, unpacked
from modeling.gbdt.leavers import parted
from modeling.gbdt.settings import Settings, layout_for
from modeling.gbdt.stock import Stock
from modeling.gbdt.trees import SCALE, ActivePart, Leaf, Node, OwnNode, PassiveNode, Tree, gains, leaf_weight
from modeling.leavers import Leavers, Withdrawn, nobody
from modeling.messages import Message

MAX_PASSIVES: Final = 4


def train(
    features: Floats,
    target: Target,
    channels: Mapping[str, Channel],
    settings: Settings,
    *,
    key: SecretKey | None = None,
    resume: ActiveCheckpoint | None = None,
    keep: Keep = lambda _checkpoint: None,
    withdrawn: Withdrawn = nobody,
    executor: Executor | None = None,
) -> ActivePart:
    """Lead a training with all passives in `channels`.

    `features`: float64[n, p], NaN where missing. `key`: made beforehand, and used for this training only. `keep` is given a checkpoint
    after each tree; with one as `resume` (and the passives' own) the training goes on to the same model. `withdrawn` is asked
    before each tree: neither these rows nor those that a passive names are seen from then on. `executor`: where rows are encrypted;
    without one in this process. Raises ModelingError.
    """
    if not 1 <= len(channels) <= MAX_PASSIVES:
        raise DataUnusable(f"a training has 1 to {MAX_PASSIVES} passive parties, not {len(channels)}")
    return _train(features, target, channels, settings, key, resume, keep, withdrawn, executor)


def train_alone(features: Floats, target: Target, settings: Settings) -> ActivePart:
    """The same model of one party's own features, in the clear: what a joint one is compared with. Raises ModelingError."""
    return _train(features, target, {}, settings, None, None, lambda _checkpoint: None, nobody, None)


def _train(
    features: Floats,
    target: Target,
    channels: Mapping[str, Channel],
    settings: Settings,
    key: SecretKey | None,
    resume: ActiveCheckpoint | None,
    keep: Keep,
    withdrawn: Withdrawn,
    executor: Executor | None,
) -> ActivePart:
    if features.shape[:1] != target.label.shape:
        raise DataUnusable(f"features {features.shape} and label {target.label.shape} are not of the same rows")
    layout_for(settings, len(features))  # its errors come before anything is sent
    leavers = Leavers(features, *target.arrays)
    if resume is None:
        checkpoint = begun(target, features.shape[1], tuple(channels), settings, leavers.fingerprint)
    else:
        checkpoint = resume
        check_resumed(checkpoint, features, tuple(channels), settings)
        leavers.restore(checkpoint.gone, checkpoint.data)
    if settings.patience:
        target.loss(np.zeros(len(features)))
    return _Active(features, target, channels, key, checkpoint, leavers, withdrawn, executor).train(keep)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Offer:
    """What a party (None: A itself) could do at a node: left sums of its candidates."""

    party: str | None
    g: Floats
    h: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class _Choice:
    """The best candidate of a node, as shown by its party."""

    party: str | None
    candidate: int
    gain: float
    g: float
    h: float


@dataclass(eq=False)
class _Growing:
    """One tree while it grows: its nodes, each row's place, and the splits that passives have by now."""

    rows: Seen
    at: Ints
    splits: dict[str, int]
    nodes: dict[int, Node] = field(default_factory=dict)

    def totals(self, members: Ints) -> tuple[float, float]:
        """Sums of a node's gradients."""
        return float(self.rows.g[members].sum()), float(self.rows.h[members].sum())


class _Active:
    def __init__(
        self,
        features: Floats,
        target: Target,
        channels: Mapping[str, Channel],
        key: SecretKey | None,
        checkpoint: ActiveCheckpoint,
        leavers: Leavers,
        withdrawn: Withdrawn,
        executor: Executor | None,
    ) -> None:
        self._executor = executor
        self._settings = checkpoint.part.settings
        named = (self._settings.scheme, self._settings.key_bits)
        if key is not None and (key.public.scheme, key.public.bits) != named:
            raise DataUnusable("the key is not of the scheme and size that the settings name")
        self._binned: Binned = binned(features, self._settings.bins)
        self._target, self._channels, self._given_key = target, channels, key
        self._layout = layout_for(self._settings, len(features))
        self._checkpoint = checkpoint
        self._candidates: dict[str, int] = {}
        self._leavers, self._withdrawn = leavers, withdrawn
        if leavers.gone.any():
            self._target = target.without(leavers.gone)

    @functools.cached_property
    def _key(self) -> SecretKey:
        """Made when it is needed first: without passives never."""
        return self._given_key or SecretKey(self._settings.scheme, self._settings.key_bits)

    @functools.cached_property
    def _stock(self) -> Stock:
        ahead = self._settings.trees - len(self._checkpoint.part.trees)
        return Stock(self._key.public, len(self._target.label), ahead, self._executor)

    def train(self, keep: Keep) -> ActivePart:
        """All trees."""
        self._start()
        while (done := len(self._checkpoint.part.trees)) < self._settings.trees and not self._stopped():
            self._checkpoint = self._with_tree(done)
            keep(self._checkpoint)
        kept = self._best() if self._settings.patience else done
        for channel in self._channels.values():
            channel.send(Message(kind=wire.NEXT, fields={"tree": -1, "keep": kept}))
        part = self._checkpoint.part
        return msgspec.structs.replace(part, trees=part.trees[:kept])

    def _start(self) -> None:
        part, rows = self._checkpoint.part, len(self._target.label)
        start = wire.Start(run=part.run, settings=self._settings, rows=rows, done=len(part.trees))
        for channel in self._channels.values():
            wire.send_start(channel, start, self._key.public.data)
        for name, channel in self._channels.items():
            self._stock.fill(channel.waiting)
            ready = channel.receive(wire.READY)
            self._candidates[name] = ready.number("candidates")
            if ready.number("rows") != rows or not 1 <= self._candidates[name] <= wire.MAX_CANDIDATES:
                raise ProtocolViolation(
                    f"{name} has {ready.number('rows')} rows and {self._candidates[name]} candidates"
                )
            self._leave(wire.receive_left(channel, rows))

    def _leave(self, rows: Sequence[int] | Ints) -> None:
        if len(self._leavers.add(rows)):
            self._target = self._target.without(self._leavers.gone)

    def _best(self) -> int:
        return int(np.argmin(self._checkpoint.losses)) + 1

    def _stopped(self) -> bool:
        losses, patience = self._checkpoint.losses, self._settings.patience
        return bool(patience and losses) and len(losses) - self._best() >= patience

    def _with_tree(self, number: int) -> ActiveCheckpoint:
        before = self._checkpoint
        margin = np.frombuffer(before.margin, "<f8").astype(np.float64)
        self._leave(self._withdrawn())
        gradients = self._target.gradients(margin)
        rows = seen(self._settings, before.seed, number, *gradients, self._leavers.gone)
        grown = _Growing(rows, np.zeros(len(margin), np.int64), dict(before.splits))
        self._grow(grown, number)
        for node, leaf in grown.nodes.items():
            if isinstance(leaf, Leaf):
                margin[grown.at == node] += leaf.weight
        for channel in self._channels.values():
            self._leave(wire.receive_left(channel, len(margin)))
        tree: Tree = dict(sorted(grown.nodes.items()))
        return ActiveCheckpoint(
            part=msgspec.structs.replace(before.part, trees=(*before.part.trees, tree)),
            seed=before.seed,
            margin=margin.astype("<f8").tobytes(),
            losses=(*before.losses, self._target.loss(margin)) if self._settings.patience else (),
            splits=grown.splits,
            gone=self._leavers.packed,
            data=self._leavers.fingerprint,
        )

    def _grow(self, grown: _Growing, number: int) -> None:
        alone = number < self._settings.own_trees
        channels = {} if alone or not grown.rows.rows.any() else self._channels
        gone = self._leavers.gone.copy()
        self._send_rows(grown.rows, number, gone, channels)
        open_nodes = [0]
        for level in range(self._settings.depth):
            chosen = {node: found for node in open_nodes if (found := self._choose(grown, node, channels)) is not None}
            members = {node: np.flatnonzero(grown.at == node) for node in chosen}
            for name, channel in channels.items():
                theirs = [node for node, choice in chosen.items() if choice.party == name]
                picked = wire.int32([chosen[node].candidate for node in theirs])
                channel.send(Message(kind=wire.CHOSEN, arrays={"nodes": wire.int32(theirs), "candidates": picked}))
            lefts = self._lefts(grown, chosen, members, gone, channels)
            for node, left in lefts.items():
                grown.at[members[node]] = np.where(left, 2 * node + 1, 2 * node + 2)
            last = level + 1 == self._settings.depth
            open_nodes = [] if last else self._worth_a_look(grown, list(chosen))
            self._tell_parted(members, lefts, open_nodes, channels)
            if not open_nodes:
                break
        if not channels:
            self._announce(number, gone, np.zeros(len(gone), np.bool_))
        for node in np.unique(grown.at).tolist():
            totals = grown.totals(np.flatnonzero(grown.at == node))
            grown.nodes[node] = Leaf(weight=leaf_weight(*totals, self._settings))
        for node in list(grown.nodes):  # a child that only unseen or no rows reach is a leaf all the same
            if not isinstance(grown.nodes[node], Leaf):
                for child in (2 * node + 1, 2 * node + 2):
                    grown.nodes.setdefault(child, Leaf(weight=0.0))

    def _announce(self, number: int, gone: Flags, shown: Flags) -> None:
        """A tree, who has left, and the rows that passives see in it: none where it is of A's own features."""
        arrays = {"gone": wire.int32(np.flatnonzero(gone).tolist()), "seen": wire.pack_flags(shown)}
        for channel in self._channels.values():
            channel.send(Message(kind=wire.NEXT, fields={"tree": number, "rows": int(shown.sum())}, arrays=arrays))

    def _send_rows(self, rows: Seen, number: int, gone: Flags, channels: Mapping[str, Channel]) -> None:
        if not channels:
            return
        self._announce(number, gone, rows.rows)
        for piece in self._stock.encrypted(rows.packed(self._layout)):
            for channel in channels.values():
                channel.send(Message(kind=wire.ROWS, arrays={"ciphers": piece}))

    def _choose(self, grown: _Growing, node: int, channels: Mapping[str, Channel]) -> _Choice | None:
        """The best candidate of a node; among equals A's own, then the first passive's, then the first shown."""
        members = np.flatnonzero((grown.at == node) & grown.rows.rows)
        g, h = grown.totals(members)
        offers = [self._own_offer(grown, members)]
        for name, channel in channels.items():
            offers.append(self._passive_offer(name, channel, node, h))
        best: _Choice | None = None
        for offer in offers:
            found = gains(offer.g, offer.h, g, h, self._settings)
            at = int(found.argmax()) if len(found) else -1
            if at >= 0 and found[at] > (best.gain if best is not None else -np.inf):
                best = _Choice(
                    party=offer.party, candidate=at, gain=float(found[at]), g=float(offer.g[at]), h=float(offer.h[at])
                )
        return best

    def _own_offer(self, grown: _Growing, members: Ints) -> _Offer:
        count = self._binned.left_sums(members, np.ones(len(grown.at)))
        enough = np.minimum(count, len(members) - count) >= self._settings.min_rows
        g, h = (self._binned.left_sums(members, values) for values in (grown.rows.g, grown.rows.h))
        return _Offer(party=None, g=np.where(enough, g, 0.0), h=np.where(enough, h, 0.0))

    def _passive_offer(self, name: str, channel: Channel, node: int, h_total: float) -> _Offer:
        self._stock.fill(channel.waiting)
        message, count, public = channel.receive(wire.SUMS), self._candidates[name], self._key.public
        if message.number("node") != node:
            raise ProtocolViolation(f"{name} sent sums of another node than {node}")
        came = message.array("sums", "uint8", (self._layout.ciphers(count), public.width))
        g, h = unpacked(self._key.decrypt(public.from_wire(came)), count, self._layout, h_total)
        return _Offer(party=name, g=g, h=h)

    def _lefts(
        self,
        grown: _Growing,
        chosen: Mapping[int, _Choice],
        members: Mapping[int, Ints],
        gone: Flags,
        channels: Mapping[str, Channel],
    ) -> dict[int, Flags]:
        """Record the splits; which of each node's rows go left."""
        found: dict[int, Flags] = {}
        for node, choice in chosen.items():
            if choice.party is None:
                split, found[node] = parted(self._binned, choice.candidate, members[node], gone)
                grown.nodes[node] = OwnNode(split=split, gain=choice.gain)
        for name, channel in channels.items():
            theirs = {node: choice for node, choice in chosen.items() if choice.party == name}
            if not theirs:
                continue
            self._stock.fill(channel.waiting)
            sides = wire.flags(channel.receive(wire.SIDES), "left", sum(len(members[node]) for node in theirs))
            at = 0
            for node, choice in theirs.items():
                found[node] = sides[at : at + len(members[node])]
                at += len(members[node])
                if grown.totals(members[node][found[node]]) != (choice.g, choice.h):
                    raise ProtocolViolation(f"{name} parted a node otherwise than the sums that it sent")
                grown.nodes[node] = PassiveNode(party=name, number=grown.splits[name], gain=choice.gain)
                grown.splits[name] += 1
        return found

    def _worth_a_look(self, grown: _Growing, parents: list[int]) -> list[int]:
        """Children that could be parted again at all."""
        children = [child for node in parents for child in (2 * node + 1, 2 * node + 2)]
        least = 2 * self._settings.min_child_weight * SCALE
        found = []
        for child in sorted(children):
            members = np.flatnonzero((grown.at == child) & grown.rows.rows)
            if len(members) >= 2 * self._settings.min_rows and grown.totals(members)[1] >= least:
                found.append(child)
        return found

    def _tell_parted(
        self,
        members: Mapping[int, Ints],
        lefts: Mapping[int, Flags],
        opened: list[int],
        channels: Mapping[str, Channel],
    ) -> None:
        nodes = sorted({(child - 1) // 2 for child in opened})
        left = np.concatenate([np.zeros(0, np.bool_), *(lefts[node] for node in nodes)])
        arrays = {"nodes": wire.int32(nodes), "open": wire.int32(opened), "left": wire.pack_flags(left)}
        for channel in channels.values():
            channel.send(Message(kind=wire.PARTED, arrays=arrays))
