"""How columns lie in ciphertexts: several beside each other, so that few columns over few rows do not leave ciphertexts empty.

A ciphertext's slots are `groups` groups of `size` slots. A matrix with n rows becomes a grid of plaintexts: for each `groups` columns
and each `size` rows one, group j holding column j. Then with one product a cell,

    coordinates: group j everywhere u_j      summed over columns' cells: predictors, to be added over the groups
    residuals:   every group the same rows   summed over rows' cells: gradients, to be added within each group
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from modeling import bfv
from modeling.leavers import Ints

_MOST_GROUPS: Final = 64
"""Sums of so many numbers below t fit into 63 bits."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`groups`: a power of two; the same for all parties of a training."""

    groups: int

    @property
    def size(self) -> int:
        """Rows in a ciphertext."""
        return bfv.SLOTS // self.groups

    def row_blocks(self, rows: int) -> int:
        """Ciphertexts that so many rows take."""
        return -(-rows // self.size)

    def column_blocks(self, columns: int) -> int:
        """Ciphertexts that so many columns take."""
        return -(-columns // self.groups)

    def cell(self, matrix: Ints, columns: int, rows: int) -> Ints:
        """int64[8192] in [0, t): one cell of the grid."""
        taken = matrix[rows * self.size : (rows + 1) * self.size, columns * self.groups : (columns + 1) * self.groups]
        found = np.zeros((self.groups, self.size), np.int64)
        found[: taken.shape[1], : taken.shape[0]] = taken.T
        return np.mod(found.reshape(-1), bfv.PLAIN_MODULUS)

    def coordinates(self, numbers: Ints) -> list[Ints]:
        """int64[8192] for each `groups` coordinates."""
        padded = np.zeros(self.column_blocks(len(numbers)) * self.groups, np.int64)
        padded[: len(numbers)] = numbers
        return [np.repeat(each, self.size) for each in padded.reshape(-1, self.groups)]

    def residuals(self, numbers: Ints) -> list[Ints]:
        """int64[8192] for each `size` rows."""
        padded = np.zeros(self.row_blocks(len(numbers)) * self.size, np.int64)
        padded[: len(numbers)] = numbers
        return [np.tile(each, self.groups) for each in padded.reshape(-1, self.size)]

    def over_groups(self, vectors: list[Ints], rows: int) -> Ints:
        """int64[rows] modulo t."""
        found = [np.mod(vector.reshape(self.groups, self.size).sum(axis=0), bfv.PLAIN_MODULUS) for vector in vectors]
        return np.concatenate(found)[:rows]

    def within_groups(self, vectors: list[Ints], columns: int) -> Ints:
        """int64[columns] modulo t."""
        found = [bfv.total_mod_t(part) for vector in vectors for part in vector.reshape(self.groups, self.size)]
        return np.array(found[:columns], np.int64)


def stacked(vectors: Ints) -> list[list[Ints]]:
    """int64[m, n], to be multiplied by others and summed, as vectors of ciphertexts: several below each other where rows are few.

    For each sum of products the ciphertexts of one list: all lists have as many.
    """
    count, rows = vectors.shape
    together = _together(rows)
    if together == 1:
        return [bfv.blocks_of(vector) for vector in vectors]
    return [bfv.blocks_of(vectors[at : at + together].reshape(-1)) for at in range(0, count, together)]


def unstacked(blocks: list[Ints], rows: int) -> Ints:
    """int64[n] modulo t: the sum of all products, from the vectors of the sums."""
    together = _together(rows)
    found = np.concatenate(blocks)[: together * rows].reshape(together, rows)
    total: Ints = np.mod(found.sum(axis=0), bfv.PLAIN_MODULUS)
    return total


def lists(count: int, rows: int) -> int:
    """How many lists of ciphertexts so many vectors become."""
    return -(-count // _together(rows))


def _together(rows: int) -> int:
    return min(_MOST_GROUPS, max(1, bfv.SLOTS // rows))


def layout_for(rows: int, columns: int) -> Layout:
    """The cheapest: there are columns / g + g rows / 8192 ciphertexts in a step."""
    wanted = math.sqrt(columns * bfv.SLOTS / rows)
    return Layout(groups=1 << min(_MOST_GROUPS.bit_length() - 1, max(0, round(math.log2(wanted)))))
