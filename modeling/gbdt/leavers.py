"""How a node is parted when some of its rows have left: by the rows that stay."""

from __future__ import annotations

import numpy as np

from modeling.gbdt.features import Binned, Flags, Ints, Split


def parted(table: Binned, candidate: int, rows: Ints, gone: Flags) -> tuple[Split, Flags]:
    """A candidate's meaning, and which of the rows of its node go left: bool[len(rows)].

    Rows that are gone (bool[n]) go where missing values go, so that not even a side is told of them, and the split is recorded as if
    they had never been there.
    """
    stays = ~gone[rows]
    split, left = table.split(candidate, rows[stays])
    sides = np.full(len(rows), split.missing_left)
    sides[stays] = left
    return split, sides
