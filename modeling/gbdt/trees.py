"""Trees: how a split is judged, the documents of both sides, how rows walk. No messages.

A model is stored split: the active party holds shapes, leaf weights and its own thresholds; a passive holds its thresholds by number.
Gain and weight are XGBoost's (Chen, Guestrin, KDD 2016), from sums in fixed point.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from modeling.gbdt.features import Flags, Floats, Ints, Split
from modeling.gbdt.settings import FRACTION_BITS, Settings

SCALE = float(1 << FRACTION_BITS)
LEAST_GAIN = 1e-6
"""XGBoost's kRtEps."""


class Leaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="leaf"):
    """A weight, the learning rate in it."""

    weight: float


class OwnNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="own"):
    """The active party's own split."""

    split: Split
    gain: float


class PassiveNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="passive"):
    """A passive's split: its party, and its number there."""

    party: str
    number: int
    gain: float


Node = Leaf | OwnNode | PassiveNode
Tree = dict[int, Node]
"""By place: the root is 0, the children of i are 2i + 1 (left) and 2i + 2."""


class ActivePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The active party's part of a model. `run`: which training; `base`: the margin before the first tree."""

    run: str
    settings: Settings
    base: float
    features: int
    passives: tuple[str, ...]
    trees: tuple[Tree, ...]

    def own_importance(self) -> Floats:
        """float64[features]: total gain of each of the own features."""
        gains = np.zeros(self.features)
        for node in self._nodes():
            if isinstance(node, OwnNode):
                gains[node.split.feature] += node.gain
        return gains

    def passive_importance(self) -> dict[str, float]:
        """Total gain of each passive; which of its features gained, only it knows."""
        gains = dict.fromkeys(self.passives, 0.0)
        for node in self._nodes():
            if isinstance(node, PassiveNode):
                gains[node.party] += node.gain
        return gains

    def _nodes(self) -> list[Node]:
        return [node for tree in self.trees for node in tree.values()]


class NumberedSplit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A passive's split of a tree; its number is its place in the list. `rows`: that reached it in training."""

    tree: int
    rows: int
    split: Split


class PassivePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A passive's part of a model."""

    run: str
    features: int
    splits: tuple[NumberedSplit, ...]

    def importance(self) -> Ints:
        """int64[features]: rows that each feature parted in training (its cover); gains are the active party's."""
        counts: Counter[int] = Counter()
        for each in self.splits:
            counts[each.split.feature] += each.rows
        return np.array([counts[feature] for feature in range(self.features)], np.int64)


def gains(g_left: Floats, h_left: Floats, g: float, h: float, settings: Settings) -> Floats:
    """float64[m]: each candidate's gain, -inf where it may not be chosen. Sums in fixed point units."""
    gl, hl, gt, ht = g_left / SCALE, h_left / SCALE, g / SCALE, h / SCALE
    gr, hr, l2 = gt - gl, ht - hl, settings.l2
    with np.errstate(divide="ignore", invalid="ignore"):  # without l2 an empty side is 0 / 0: it may not be chosen
        found = gl**2 / (hl + l2) + gr**2 / (hr + l2) - gt**2 / (ht + l2)
    allowed = (np.minimum(hl, hr) >= settings.min_child_weight) & (np.minimum(hl, hr) > 0)
    allowed &= (found > LEAST_GAIN) & (found >= settings.gamma)
    return np.where(allowed, found, -np.inf)


def leaf_weight(g: float, h: float, settings: Settings) -> float:
    """-rate · G / (H + l2); zero where there is nothing."""
    denominator = h / SCALE + settings.l2
    return -settings.rate * (g / SCALE) / denominator if denominator > 0 and h > 0 else 0.0


def sigmoid(margin: Floats) -> Floats:
    """float64[n] of probabilities."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * margin)))


def log_odds(share: float) -> float:
    """The margin of a probability, away from 0 and 1."""
    clipped = min(max(share, 1e-6), 1 - 1e-6)
    return math.log(clipped / (1 - clipped))


def tree_margin(tree: Tree, features: Floats, side: Callable[[PassiveNode], Flags]) -> Floats:
    """float64[n]: the weight of the leaf that each row reaches; `side` gives bool[n], left, for a passive's split."""
    margin = np.zeros(len(features))
    reached: Mapping[int, Flags] = {0: np.full(len(features), True)}
    while reached:
        following: dict[int, Flags] = {}
        for place, rows in reached.items():
            node = tree[place]
            if isinstance(node, Leaf):
                margin[rows] = node.weight
                continue
            left = node.split.left(features) if isinstance(node, OwnNode) else side(node)
            following[2 * place + 1], following[2 * place + 2] = rows & left, rows & ~left
        reached = following
    return margin
