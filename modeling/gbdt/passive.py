"""A passive party P of vertical gradient boosting: it has features, and never sees a label, a gradient or a sum of them.

Parties: A (label, own features), P_1 … P_k. Inputs of P: float64[n, p] over the common row order, NaN where missing.
Outputs of P: its own splits (`PassivePart`). After SecureBoost (Cheng et al., IEEE Intelligent Systems 2021), protocols.md 6.

Leak to P: which rows are in each node that it sums (not which party parted them), how many trees there are, with sampling which rows a
tree sees, which rows have left (not at whom). It sees ciphertexts under A's key besides. Leak to A: the number of P's candidates; for
each node the gradient sums left of each candidate, features and thresholds shuffled together anew by a permutation that only P knows,
candidates with fewer than `min_rows` rows on a side replaced by zero; the rows left of each split that A chooses; the rows that have
withdrawn here. What P answers is refreshed: A, who made the randomness of every row, could else tell by it which rows are in a sum.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator

import msgspec
import numpy as np

from modeling.additive import Bytes2, Ciphers, PublicKey, take
from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.executor import Executor
from modeling.gbdt import wire
from modeling.gbdt.features import Binned, Flags, Floats, Ints, binned
from modeling.gbdt.leavers import parted
from modeling.gbdt.row_sums import RowSums
from modeling.gbdt.settings import Settings, layout_for
from modeling.gbdt.trees import NumberedSplit, PassivePart
from modeling.leavers import Leavers, Withdrawn, nobody
from modeling.messages import Array, Message


class PassiveCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where P's side of a training stands after `done` trees. `seed` is secret: it orders what A sees.

    `gone`: rows that have left, int32, little-endian; `data`: fingerprint of the features of those that stay.
    """

    part: PassivePart
    done: int
    seed: bytes
    gone: bytes
    data: str


Keep = Callable[[PassiveCheckpoint], None]


def train(
    features: Floats,
    channel: Channel,
    *,
    resume: PassiveCheckpoint | None = None,
    keep: Keep = lambda _checkpoint: None,
    withdrawn: Withdrawn = nobody,
    agreed: Settings | None = None,
    executor: Executor | None = None,
) -> PassivePart:
    """Take part in a training that A leads. `keep` is given a checkpoint after each tree; `withdrawn` is asked before each.

    From then on these rows have no record here, and a tree of A's that sees one ends the training. Where A begins anew, because it was
    lost in the first tree, so does this party. `agreed`: the only settings with which it takes part. `executor`: where rows are summed;
    without one in this process. Raises ModelingError.
    """
    start, key = wire.receive_start(channel)
    if start.rows != len(features):
        raise ProtocolViolation(f"{channel.peer} trains on {start.rows} rows, this party has {len(features)}")
    settings = start.settings
    if agreed is not None and settings != agreed:
        raise ProtocolViolation(f"{channel.peer} trains with other settings than were agreed")
    layout_for(settings, start.rows)  # its errors come before any work
    public = PublicKey(settings.scheme, settings.key_bits, key)
    leavers = Leavers(features)
    checkpoint = _resumed(start, leavers, features.shape[1], resume)
    party = _Passive(features, channel, start, public, checkpoint, leavers, withdrawn, executor)
    channel.send(Message(kind=wire.READY, fields={"rows": len(features), "candidates": party.candidates}))
    party.tell_left()
    return party.train(keep)


def _resumed(start: wire.Start, leavers: Leavers, width: int, given: PassiveCheckpoint | None) -> PassiveCheckpoint:
    """The checkpoint, cut to what A has too. Raises DataUnusable."""
    if start.done == 0 and (given is None or given.done <= 1):
        part = PassivePart(run=start.run, features=width, splits=())
        return PassiveCheckpoint(part=part, done=0, seed=secrets.token_bytes(32), gone=b"", data=leavers.fingerprint)
    if given is None:
        raise DataUnusable(f"the training goes on after {start.done} trees, and no checkpoint of it was given")
    if given.part.run != start.run or not start.done <= given.done <= start.done + 1:
        raise DataUnusable("the checkpoint is of another training, or of another tree than the active party's")
    leavers.restore(given.gone, given.data)
    return msgspec.structs.replace(given, part=_cut(given.part, start.done), done=start.done)


def _cut(part: PassivePart, trees: int) -> PassivePart:
    return msgspec.structs.replace(part, splits=tuple(each for each in part.splits if each.tree < trees))


class _Passive:
    def __init__(
        self,
        features: Floats,
        channel: Channel,
        start: wire.Start,
        key: PublicKey,
        checkpoint: PassiveCheckpoint,
        leavers: Leavers,
        withdrawn: Withdrawn,
        executor: Executor | None,
    ) -> None:
        self._executor = executor
        self._binned = binned(features, start.settings.bins)
        self.candidates = len(self._binned.feature)
        if not 0 < self.candidates <= wire.MAX_CANDIDATES:
            raise DataUnusable(f"{self.candidates} ways to part rows; at least one column must have two values")
        self._channel, self._settings, self._key = channel, start.settings, key
        self._layout = layout_for(start.settings, start.rows)
        self._rows, self._checkpoint = start.rows, checkpoint
        self._leavers, self._withdrawn = leavers, withdrawn

    def tell_left(self) -> None:
        """Look who has withdrawn, and tell A."""
        self._leavers.add(self._withdrawn())
        wire.send_left(self._channel, self._leavers.rows)

    def train(self, keep: Keep) -> PassivePart:
        """All trees, as A announces them."""
        limit = self._settings.trees
        while True:
            told = self._channel.receive(wire.NEXT)
            tree, due = told.number("tree"), self._checkpoint.done
            if tree < 0:
                kept = told.number("keep")
                if not 0 <= kept <= limit:
                    raise ProtocolViolation(f"{self._channel.peer} keeps {kept} trees of {limit}")
                return _cut(self._checkpoint.part, kept)
            if tree != due or tree >= limit:
                raise ProtocolViolation(f"{self._channel.peer} grows tree {tree} where {due} of {limit} was due")
            seen = self._seen(told)
            if seen.any():
                self._grow(tree, seen)
            self._checkpoint = msgspec.structs.replace(
                self._checkpoint, done=tree + 1, gone=self._leavers.packed, data=self._leavers.fingerprint
            )
            keep(self._checkpoint)
            self.tell_left()

    def _seen(self, told: Message) -> Flags:
        """Which rows a tree sees; A has to know of every row that left, and to see none."""
        rows, seen = wire.numbers(told, "gone", self._rows), wire.flags(told, "seen", self._rows)
        if not set(self._leavers.rows) <= set(rows.tolist()) or seen[rows].any():
            raise ProtocolViolation(f"{self._channel.peer} goes on with a row whose consent has ended")
        if told.number("rows") != seen.sum():
            raise ProtocolViolation(f"{self._channel.peer} announced a tree of other rows than it names")
        self._leavers.add(rows)
        return seen

    def _grow(self, tree: int, seen: Flags) -> None:
        grown = _Growing(self._binned, self._key, seen, self._executor)
        grown.take_rows(self._pieces(grown.count))
        open_nodes: list[int] = [0]
        for level in range(self._settings.depth):
            for node in open_nodes:
                sums = self._shown(grown, tree, node)
                self._channel.send(Message(kind=wire.SUMS, fields={"node": node}, arrays={"sums": sums}))
            self._answer_chosen(grown, tree, open_nodes)
            open_nodes = self._receive_parted(grown, open_nodes, last=level + 1 == self._settings.depth)
            if not open_nodes:
                return

    def _pieces(self, count: int) -> Iterator[Bytes2]:
        for begin in range(0, count, wire.PIECE):
            size = min(wire.PIECE, count - begin)
            yield self._channel.receive(wire.ROWS).array("ciphers", "uint8", (size, self._key.width))

    def _shown(self, grown: _Growing, tree: int, node: int) -> Array:
        """A node's sums as A may see them."""
        sums, layout = grown.left_sums(node), self._layout
        nothing = self.candidates
        order = np.where(grown.populous(node, self._settings.min_rows), np.arange(self.candidates), nothing)
        places = np.full(layout.ciphers(self.candidates) * layout.slots, nothing, np.int64)
        places[: self.candidates] = order[self._permutation(tree, node)]
        table = places.reshape(-1, layout.slots)
        padded = self._key.join([sums, self._key.zeros(1)])
        packed = self._key.pack([take(padded, column.tolist()) for column in table.T], layout.slot_bits)
        return self._key.to_wire(self._key.refresh(packed))

    def _permutation(self, tree: int, node: int) -> Ints:
        """Where each shown candidate comes from; the same again after a resumption."""
        start = self._checkpoint
        told = b"%s/%s/%d/%d" % (start.seed, start.part.run.encode(), tree, node)
        drawn = hashlib.shake_256(told).digest(8 * self.candidates)
        return np.argsort(np.frombuffer(drawn, "<u8"), kind="stable")

    def _answer_chosen(self, grown: _Growing, tree: int, open_nodes: list[int]) -> None:
        message = self._channel.receive(wire.CHOSEN)
        nodes = wire.numbers(message, "nodes", 1 << (self._settings.depth + 1)).tolist()
        chosen = message.array("candidates", "int32", (len(nodes),)).tolist()
        if not set(nodes) <= set(open_nodes) or not all(0 <= each < self.candidates for each in chosen):
            raise ProtocolViolation(f"{self._channel.peer} chose a split that was not offered")
        new, sides = [], [np.zeros(0, np.bool_)]
        for node, shown in zip(nodes, chosen, strict=True):
            rows = grown.rows(node)
            gone = self._leavers.gone
            split, left = parted(self._binned, int(self._permutation(tree, node)[shown]), rows, gone)
            new.append(NumberedSplit(tree=tree, rows=int((~gone[rows]).sum()), split=split))
            sides.append(left)
        part = self._checkpoint.part
        part = msgspec.structs.replace(part, splits=(*part.splits, *new))
        self._checkpoint = msgspec.structs.replace(self._checkpoint, part=part)
        if nodes:
            packed = wire.pack_flags(np.concatenate(sides))
            self._channel.send(Message(kind=wire.SIDES, arrays={"left": packed}))

    def _receive_parted(self, grown: _Growing, open_nodes: list[int], *, last: bool) -> list[int]:
        message = self._channel.receive(wire.PARTED)
        limit = 1 << (self._settings.depth + 1)
        nodes: list[int] = wire.numbers(message, "nodes", limit).tolist()
        opened: list[int] = wire.numbers(message, "open", limit).tolist()
        parents = {(child - 1) // 2 for child in opened}
        if not set(nodes) <= set(open_nodes) or parents != set(nodes) or (last and opened):
            raise ProtocolViolation(f"{self._channel.peer} parted nodes that are not open")
        rows = [grown.rows(node) for node in nodes]
        left = wire.flags(message, "left", sum(map(len, rows)))
        grown.part(nodes, rows, left)
        return opened


class _Growing:
    """One tree while it grows: the ciphertexts of its rows, each row's node, and the sums of the last two levels."""

    def __init__(self, table: Binned, key: PublicKey, seen: Flags, executor: Executor | None) -> None:
        self._binned, self._key = table, key
        self._seen = np.flatnonzero(seen)
        self.count = len(self._seen)
        self._row_sums = RowSums(key, table, self._seen, executor)
        self._at = np.zeros(len(seen), np.int64)
        self._sums: dict[int, Ciphers] = {}

    def take_rows(self, pieces: Iterable[Bytes2]) -> None:
        """All rows, as they come; the root's sums are brought forward at once."""
        self._sums[0] = self._row_sums.take(pieces)

    def rows(self, node: int) -> Ints:
        """All rows of a node, also those that this tree does not see."""
        return np.flatnonzero(self._at == node)

    def populous(self, node: int, least: int) -> Flags:
        """bool[m]: candidates with enough rows on both sides, of those that the tree sees."""
        here = self._seen[self._at[self._seen] == node]
        left = self._binned.left_sums(here, np.ones(len(self._at)))
        return np.asarray(np.minimum(left, len(here) - left) >= least)

    def part(self, nodes: list[int], rows: list[Ints], left: Flags) -> None:
        """Rows move to the children; sums of nodes that are not parents of these are forgotten."""
        at = 0
        for node, members in zip(nodes, rows, strict=True):
            goes = left[at : at + len(members)]
            self._at[members] = np.where(goes, 2 * node + 1, 2 * node + 2)
            at += len(members)
        self._sums = {node: self._sums[node] for node in nodes}

    def left_sums(self, node: int) -> Ciphers:
        """Of all candidates, in P's own order."""
        table, cumulated = self._binned, self._sums_of(node)
        column = np.argsort(np.concatenate(table.groups))[table.feature]  # where the sums of a candidate's feature are
        left = take(cumulated, (column * table.width + table.upto).tolist())
        without = np.unique(column[~table.missing_left])
        if not len(without):
            return left
        missing = self._key.negate(take(cumulated, (without * table.width).tolist()))
        places = np.where(table.missing_left, len(without), np.searchsorted(without, column))
        return self._key.add(left, take(self._key.join([missing, self._key.zeros(1)]), places.tolist()))

    def _sums_of(self, node: int) -> Ciphers:
        """Cumulated sums of all bins: summed for the smaller of two siblings, the other's by subtraction."""
        if node not in self._sums:
            parent = (node - 1) // 2
            pair = (2 * parent + 1, 2 * parent + 2)
            at = self._at[self._seen]
            smaller, larger = sorted(pair, key=lambda each: int((at == each).sum()))
            self._sums[smaller] = self._row_sums.of(at == smaller)
            self._sums[larger] = self._key.subtract(self._sums[parent], self._sums[smaller])
        return self._sums[node]
