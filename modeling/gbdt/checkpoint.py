"""Where the active party's side of a training stands after a tree. No messages."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import msgspec
import numpy as np

from modeling.errors import DataUnusable
from modeling.gbdt.features import Floats
from modeling.gbdt.gradients import Target
from modeling.gbdt.settings import Settings
from modeling.gbdt.trees import ActivePart


class ActiveCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where A's side of a training stands. `margin`: float64[n], little-endian; `losses`: of the validation rows after each tree.

    `gone`: rows that have left, int32, little-endian; `data`: fingerprint of the data of those that stay.
    """

    part: ActivePart
    seed: int
    margin: bytes
    losses: tuple[float, ...]
    splits: dict[str, int]
    """How many splits each passive has."""
    gone: bytes
    data: str


Keep = Callable[[ActiveCheckpoint], None]


def begun(target: Target, width: int, passives: tuple[str, ...], settings: Settings, data: str) -> ActiveCheckpoint:
    """Before the first tree. `width`: A's own features."""
    run, base = secrets.token_hex(16), target.base
    part = ActivePart(run=run, settings=settings, base=base, features=width, passives=passives, trees=())
    margin = np.full(len(target.label), base).astype("<f8").tobytes()
    return ActiveCheckpoint(
        part=part,
        seed=secrets.randbits(63),
        margin=margin,
        losses=(),
        splits=dict.fromkeys(passives, 0),
        gone=b"",
        data=data,
    )


def check_resumed(given: ActiveCheckpoint, features: Floats, passives: tuple[str, ...], settings: Settings) -> None:
    """Raises DataUnusable for a checkpoint of another training."""
    part = given.part
    same = part.settings == settings and part.passives == passives and part.features == features.shape[1]
    if not same or len(given.margin) != 8 * len(features):
        raise DataUnusable("the checkpoint is of a training with other settings, parties, columns or rows")
