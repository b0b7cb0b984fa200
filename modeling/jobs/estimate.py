"""What a job will cost, before it begins: rounds, bytes, time and memory of the active party, from measured rates of one core.

Rates are of a machine of 2 cores (docs/modelling.md); they are for planning, not promises. Bytes are exact to a few percent, for they
follow from the protocol.
"""

from __future__ import annotations

from typing import Final

import msgspec

from modeling.bfv import SLOTS
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.gbdt.settings import layout_for
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.logistic.settings import check_budget, ring_for

_SEEDED, _ANSWER = 216_000, 214_000
"""Bytes of a fresh BFV ciphertext, and of one that goes back."""
_PRODUCT_S, _ENCRYPT_S = 0.00025, 0.0016
_ROW_S: Final = {
    ("okamoto-uchiyama", 2048): 36e-6,
    ("okamoto-uchiyama", 3072): 60e-6,
    ("paillier", 2048): 650e-6,
    ("paillier", 3072): 1_900e-6,
}
_ADD_S: Final = {"okamoto-uchiyama": 1.4e-6, "paillier": 11e-6}
_CORES: Final = 2


class Estimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`columns`: of each party, the active one first. `rounds`: times that a message is waited for. Memory: of the active party."""

    rows: int
    training: int
    columns: tuple[int, ...]
    rounds: int
    megabytes: float
    seconds: float
    memory_mb: int


def estimate(
    settings: LogisticSettings | BoostingSettings, rows: int, training: int, columns: tuple[int, ...]
) -> Estimate:
    """Raises ModelingError for what the training itself would refuse: too many equations, sums that do not fit."""
    if isinstance(settings, LogisticSettings):
        rounds, size, seconds = _logistic(settings, training, columns)
    else:
        rounds, size, seconds = _boosting(settings, training, columns)
    return Estimate(
        rows=rows,
        training=training,
        columns=columns,
        rounds=rounds,
        megabytes=round(size / 1e6, 1),
        seconds=round(seconds, 1),
        memory_mb=120 + round(rows * sum(columns) * 40 / 1e6),
    )


def _logistic(settings: LogisticSettings, rows: int, columns: tuple[int, ...]) -> tuple[int, float, float]:
    ring_for(settings, rows)
    for place, width in enumerate(columns):
        check_budget(settings, rows, width + int(place == 0))
    blocks, waves, passives = -(-rows // SLOTS), 2 * settings.terms, len(columns) - 1
    fresh = blocks * (waves + 2 * passives)
    answers = blocks + 2 * sum(columns) + 1
    size = settings.steps * (fresh * _SEEDED + answers * _ANSWER + 8 * rows * passives)
    products = blocks * (waves + 2 * sum(columns))
    seconds = settings.steps * (fresh * _ENCRYPT_S + products * _PRODUCT_S * 2 + answers * 0.003) / _CORES
    return settings.steps * 5 + 4, float(size), 1.0 + seconds


def _boosting(settings: BoostingSettings, rows: int, columns: tuple[int, ...]) -> tuple[int, float, float]:
    layout = layout_for(settings, rows)
    seen, passive = rows * settings.sample, sum(columns[1:])
    width = settings.key_bits // 8 * (2 if settings.scheme == "paillier" else 1)
    nodes = (1 << settings.depth) - 1
    candidates = passive * settings.bins
    trees = max(0, settings.trees - settings.own_trees)
    size = trees * (len(columns[1:]) * seen * width + nodes * layout.ciphers(candidates) * width + nodes * rows / 8)
    encrypt = seen * _ROW_S.get((settings.scheme, settings.key_bits), 1e-3)
    sums = seen * passive * _ADD_S[settings.scheme] * (1 + 0.5 * (settings.depth - 1))
    return trees * (2 * settings.depth + 2) + 4, float(size), 3.0 + trees * (encrypt + sums) / _CORES
