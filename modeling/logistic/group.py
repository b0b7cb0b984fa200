"""Who takes part in a training, in which order, with how many columns; everybody's keys; and how one waits for another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import ProtocolViolation
from modeling.logistic import wire
from modeling.logistic.layout import Layout, layout_for


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """`names`: the active party, the other computing party, then the rest; `widths`: columns of each, the intercept included.

    `rows`: of the cohort; `own`: the party that this is; `channels` reach all others, `keys` are theirs.
    """

    rows: int
    own: str
    names: tuple[str, ...]
    widths: tuple[int, ...]
    channels: Mapping[str, Channel]
    key: bfv.SecretKey
    keys: Mapping[str, bfv.PublicKey]

    def __post_init__(self) -> None:
        """Raises ProtocolViolation."""
        fits = len(self.names) == len(self.widths) and set(self.names) == {self.own, *self.channels}
        if not fits or len(set(self.names)) != len(self.names) or min(self.widths) < 1:
            raise ProtocolViolation("the active party names other parties than those that take part")

    @property
    def total(self) -> int:
        """Columns of all parties."""
        return sum(self.widths)

    @property
    def computing(self) -> tuple[str, str]:
        """The two that hold shares."""
        return self.names[0], self.names[1]

    @property
    def others(self) -> tuple[str, ...]:
        """Everybody else, in order."""
        return tuple(name for name in self.names if name != self.own)

    @property
    def rest(self) -> tuple[str, ...]:
        """Those that hold no shares, but for this party."""
        return tuple(name for name in self.names[2:] if name != self.own)

    def width(self, name: str) -> int:
        """Columns of a party."""
        return self.widths[self.names.index(name)]

    @property
    def layout(self) -> Layout:
        """How everybody's columns lie in ciphertexts."""
        return layout_for(self.rows, max(self.widths))

    def wait(self, name: str) -> None:
        """Until something comes from a party: masks are made for the answers of a step, and no more than that."""
        holders = [self.keys[each] for each in self.computing if each != self.own]
        channel, wanted = self.channels[name], self._answers()
        while not channel.waiting() and any(holder.prepare_one(wanted) for holder in holders):
            continue

    def receive(self, name: str, kind: str, count: int) -> tuple[bytes, ...]:
        """Exactly so many ciphertexts of a party. Raises PeerFailed, ProtocolViolation."""
        self.wait(name)
        return wire.receive_blobs(self.channels[name], kind, count)

    def _answers(self) -> int:
        """How many ciphertexts this party answers another one in a step."""
        layout, width = self.layout, self.width(self.own)
        computed = wire.blocks(self.rows) + 2 if self.own in self.computing else 0
        return layout.row_blocks(self.rows + width) + layout.column_blocks(width) + computed

    def span(self, name: str) -> slice:
        """Where a party's columns stand among all."""
        place = self.names.index(name)
        begin = sum(self.widths[:place])
        return slice(begin, begin + self.widths[place])

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every two, the earlier first."""
        for place, later in enumerate(self.names):
            for earlier in self.names[:place]:
                yield earlier, later
