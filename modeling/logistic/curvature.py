"""The bound of the curvature that the steps are taken under: how the parties' columns, each in its basis, move together.

For each two parties the sums over rows of products of their columns, X'_1^T X'_2, under the earlier one's key:

    earlier → later     its columns, several in one ciphertext: group f holds column f over a part of the rows
    later → earlier     for each shift s one ciphertext, masked: group f holds the products of column f with the later's column f + s
    both → the two computing parties     their shares of the sums

The computing parties open the sums, nobody else does. Each party's columns are rotated at random (`own`): what is opened are canonical
correlations, in bases that only their owners know, each with a dither of a quarter of a thousandth from either side. For a column of
one party it is as many equations of eleven bits as the other has columns, within the budget (`settings.check_budget`). On tables of
more than MOST_ROWS rows a part of them has to do; the bound has a margin for that.
Layout of several columns in one ciphertext and shifts: Halevi and Shoup (CRYPTO 2014), without rotations.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from modeling import bfv
from modeling.errors import ParametersUnsafe, ProtocolViolation
from modeling.logistic import wire
from modeling.logistic.descent import INVERSE_BITS
from modeling.logistic.group import Group
from modeling.logistic.own import Floats, Ints, OwnPart
from modeling.messages import Message

MOST_ROWS: Final = 4000
"""A little less than half a ciphertext has, so that two columns go into one."""
_ROWS_A_COLUMN: Final = 16
_FRACTION_BITS: Final = 16
_DITHER: Final = 4000
"""Parts of a correlation of one."""
_LEAST: Final = 2.0**-8
"""The smallest eigenvalue of the bound: sums have a dither, and columns of two parties may be the same."""
_TOLERANCE: Final = 1e-3

Sums = dict[tuple[str, str], Ints]


def inverse_for(part: OwnPart, group: Group) -> Ints | None:
    """int64[all columns, all columns]: H^-1 in fixed point, the same at the computing parties; None at others. Raises ModelingError."""
    rows = _rows(part.rows, group.total)
    shares = {pair: _dithered(share, len(rows)) for pair, share in _shares(part, group, rows).items()}
    for pair, share in shares.items():
        for name in group.computing:
            if name != group.own:
                group.channels[name].send(Message(kind=wire.CURVATURE, arrays={_name(group, pair): share}))
    if group.own not in group.computing:
        return None
    sums = {pair: _opened(group, pair, shares.get(pair)) for pair in group.pairs()}
    return _agreed(group, _inverse(_bound(group, sums, len(rows)), exact=len(rows) == part.rows, rows=len(rows)))


def _rows(rows: int, columns: int) -> Ints:
    """Evenly spread, so that a sorted table is sampled as well."""
    count = min(rows, max(MOST_ROWS, _ROWS_A_COLUMN * columns))
    return np.arange(count) * rows // count


def _shares(part: OwnPart, group: Group, rows: Ints) -> Sums:
    """The party's shares of the sums that its columns are in."""
    columns = np.round(part.weighted(rows) * (1 << _FRACTION_BITS)).astype(np.int64)
    mine = [pair for pair in group.pairs() if group.own in pair]
    for pair in mine:
        if group.own == pair[0]:
            blobs = [group.key.encrypt(each) for each in _Layout(group, pair, len(rows)).packed(columns)]
            wire.send_blobs(group.channels[pair[1]], wire.COLUMNS, blobs)
    part.lay_out(group.layout)  # while others multiply
    found: Sums = {}
    for pair in mine:
        if group.own == pair[1]:
            layout, holder = _Layout(group, pair, len(rows)), group.keys[pair[0]]
            ciphers = [bfv.received(blob) for blob in group.receive(pair[0], wire.COLUMNS, layout.blocks)]
            masked = [holder.masked(bfv.products_of(ciphers, plains)) for plains in layout.shifted(columns)]
            wire.send_blobs(group.channels[pair[0]], wire.PRODUCTS, [cipher for cipher, _ in masked])
            found[pair] = np.mod(-layout.sums([mask for _, mask in masked]), bfv.PLAIN_MODULUS)
    for pair in mine:
        if group.own == pair[0]:
            layout = _Layout(group, pair, len(rows))
            found[pair] = layout.sums(group.key.decrypt(group.receive(pair[1], wire.PRODUCTS, layout.shifts)))
    return {pair: found[pair] for pair in mine}


def _dithered(share: Ints, rows: int) -> Ints:
    half = (4 * rows << (2 * _FRACTION_BITS)) // _DITHER
    noise = [secrets.randbelow(2 * half + 1) - half for _ in range(share.size)]
    found: Ints = np.mod(share + np.array(noise, np.int64).reshape(share.shape), bfv.PLAIN_MODULUS)
    return found


class _Layout:
    """Where the columns of two parties stand in ciphertexts."""

    def __init__(self, group: Group, pair: tuple[str, str], rows: int) -> None:
        self._groups, self.shifts = (group.width(name) for name in pair)
        if self._groups > bfv.SLOTS:
            raise ParametersUnsafe(f"a party has more than {bfv.SLOTS} columns in the model")
        self._size = bfv.SLOTS // self._groups
        self.blocks = -(-rows // self._size)

    def packed(self, columns: Ints) -> list[Ints]:
        """int64[8192] for each block, a column for each group: int64[rows, groups]."""
        padded = np.zeros((self.blocks * self._size, self._groups), np.int64)
        padded[: len(columns)] = columns
        found = np.zeros((self.blocks, bfv.SLOTS), np.int64)
        grouped = padded.reshape(self.blocks, self._size, self._groups).transpose(0, 2, 1)
        found[:, : self._groups * self._size] = np.mod(grouped, bfv.PLAIN_MODULUS).reshape(self.blocks, -1)
        return list(found)

    def _shifted(self, shift: int) -> Ints:
        """The later's column that stands at each of the earlier's."""
        return (np.arange(self._groups) + shift) % self.shifts

    def shifted(self, columns: Ints) -> Iterator[list[Any]]:
        """What the later party multiplies by: for each shift a plaintext for each block."""
        for shift in range(self.shifts):
            yield [bfv.encode(each) for each in self.packed(columns[:, self._shifted(shift)])]

    def sums(self, vectors: list[Ints]) -> Ints:
        """int64[earlier's columns, later's columns] modulo t, from the vectors of all shifts."""
        found = np.zeros((self._groups, self.shifts), np.int64)
        for shift, vector in enumerate(vectors):
            parts = vector[: self._groups * self._size].reshape(self._groups, self._size)
            for column, other in enumerate(self._shifted(shift)):
                found[column, other] = bfv.total_mod_t(parts[column])
        return found


def _name(group: Group, pair: tuple[str, str]) -> str:
    return "/".join(str(group.names.index(name)) for name in pair)


def _opened(group: Group, pair: tuple[str, str], own: Ints | None) -> Floats:
    shape = tuple(group.width(name) for name in pair)
    total = np.zeros(shape, np.int64) if own is None else own
    for name in pair:
        if name != group.own:
            share = group.channels[name].receive(wire.CURVATURE).array(_name(group, pair), "int64", shape)
            total = np.mod(total + np.mod(share, bfv.PLAIN_MODULUS), bfv.PLAIN_MODULUS)
    centred = np.where(total > bfv.PLAIN_MODULUS // 2, total - bfv.PLAIN_MODULUS, total)
    return centred.astype(np.float64) / (1 << (2 * _FRACTION_BITS))


def _bound(group: Group, sums: dict[tuple[str, str], Floats], rows: int) -> Floats:
    found = np.eye(group.total)
    for (earlier, later), products in sums.items():
        block = products / (4 * rows)
        if np.abs(block).max() > 1 + _TOLERANCE:
            raise ProtocolViolation(f"columns of {earlier} and {later} move together more than columns can")
        found[group.span(earlier), group.span(later)] = block
        found[group.span(later), group.span(earlier)] = block.T
    return found


def _inverse(bound: Floats, *, exact: bool, rows: int) -> Ints:
    """With a margin where the bound is of a part of the rows: 2 sqrt(columns / rows), as random matrices have it."""
    margin = _LEAST if exact else 2 * float(np.sqrt(len(bound) / rows))
    lowest = float(np.linalg.eigvalsh(bound)[0]) + margin
    safe = bound + (margin + max(0.0, _LEAST - lowest)) * np.eye(len(bound))
    return np.round(np.linalg.inv(safe) * (1 << INVERSE_BITS)).astype(np.int64)


def _agreed(group: Group, own: Ints) -> Ints:
    """Both compute it; that of the active party holds, to the last bit, and has to be the same but for rounding."""
    active, computing = group.computing
    if group.own == active:
        group.channels[computing].send(Message(kind=wire.INVERSE, arrays={"inverse": own}))
        return own
    told = group.channels[active].receive(wire.INVERSE).array("inverse", "int64", own.shape)
    if np.abs(told - own).max() > _TOLERANCE * np.abs(own).max():
        raise ProtocolViolation(f"{active} takes steps under another curvature than the parties have found")
    return told
