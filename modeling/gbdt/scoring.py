"""Scoring with a model whose parts lie at several parties: one round.

Parties: A and the passives of the training. Inputs: each its part and its features float64[n, p] over one row order.
Output: A the probability of each row; the passives nothing. Each passive sends, for each of its splits, which rows it would send left;
A walks the trees alone, so a passive does not see which splits a row meets.
Leak to A: a bit for each row and each split of a passive, also of splits that the row's path does not meet. To a passive: that its
part is used, on how many rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.gbdt import wire
from modeling.gbdt.features import Flags, Floats
from modeling.gbdt.trees import ActivePart, PassiveNode, PassivePart, sigmoid, tree_margin
from modeling.messages import Message

MAX_BITS: Final = 1 << 32
"""Splits times rows of one scoring: half of what a message can bear."""


def score(part: ActivePart, features: Floats, channels: Mapping[str, Channel]) -> Floats:
    """A's side: float64[n] of probabilities. Raises ModelingError."""
    _check_columns(features, part.features)
    if set(channels) != set(part.passives):
        raise DataUnusable(f"the model is of {', '.join(part.passives)}, not of {', '.join(channels)}")
    rows = len(features)
    for channel in channels.values():
        channel.send(Message(kind=wire.SCORE, fields={"run": part.run, "rows": rows}))
    sides = {name: _sides(part, name, rows, channel) for name, channel in channels.items()}

    def side(node: PassiveNode) -> Flags:
        left: Flags = sides[node.party][node.number]
        return left

    margin = np.full(rows, part.base)
    for tree in part.trees:
        margin += tree_margin(tree, features, side)
    return sigmoid(margin)


def answer(part: PassivePart, features: Floats, channel: Channel) -> None:
    """A passive's side: answer one scoring. Raises ModelingError."""
    _check_columns(features, part.features)
    asked = channel.receive(wire.SCORE)
    if asked.fields.get("run") != part.run or asked.number("rows") != len(features):
        raise ProtocolViolation(
            f"{channel.peer} scores with another model, or other rows than this party's {len(features)}"
        )
    if len(part.splits) * len(features) > MAX_BITS:
        raise DataUnusable(f"{len(part.splits)} splits over {len(features)} rows do not fit a message; score in parts")
    lefts = [each.split.left(features) for each in part.splits]
    flags = np.concatenate([np.zeros(0, np.bool_), *lefts])
    channel.send(Message(kind=wire.SIDES, arrays={"left": wire.pack_flags(flags)}))


def _sides(part: ActivePart, name: str, rows: int, channel: Channel) -> Flags:
    """bool[splits, rows] of a passive."""
    nodes = [node for tree in part.trees for node in tree.values()]
    splits = sum(isinstance(node, PassiveNode) and node.party == name for node in nodes)
    return wire.flags(channel.receive(wire.SIDES), "left", splits * rows).reshape(splits, rows)


def _check_columns(features: Floats, count: int) -> None:
    if features.ndim != 2 or features.shape[1] != count or np.isinf(features).any():
        raise DataUnusable(f"the model has {count} columns here, finite or NaN; {features.shape} came")
