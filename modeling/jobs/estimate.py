"""What a job will cost, before it begins: rounds, bytes, time and memory of the active party, from measured rates of one core.

Rates are of a machine of 2 cores (docs/modelling.md); they are for planning, not promises. Bytes are exact to a few percent, for they
follow from the protocol.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import msgspec

from modeling.bfv import SLOTS
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.gbdt.settings import layout_for
from modeling.gbdt.stock import MOST_AHEAD
from modeling.jobs.plan import SelectionRules
from modeling.logistic.layout import layout_for as grid_for
from modeling.logistic.layout import lists
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.logistic.settings import check_budget, ring_for
from modeling.logistic.sigmoid import TERMS
from modeling.preparation.joint_bins import SCHEME

_SEEDED, _ANSWER = 197_000, 262_000
"""Bytes of a fresh BFV ciphertext, and of one that goes back."""
_PRODUCT_S, _ENCRYPT_S, _ANSWER_S = 0.0003, 0.0065, 0.011
"""Of a core: a product, with its share of the sums; a fresh ciphertext, made and received; a masked answer, made and opened."""
_USUAL_STEPS: Final = 30
"""Trainings of logistic regression settle in 7 to 56 steps on the data sets of the benchmark, a nearly separable one in none of 60."""
_ROW_S: Final = {
    ("okamoto-uchiyama", 2048): 45e-6,
    ("okamoto-uchiyama", 3072): 90e-6,
    ("paillier", 2048): 310e-6,
    ("paillier", 3072): 640e-6,
}
_ADD_S: Final = {"okamoto-uchiyama": 1.4e-6, "paillier": 11e-6}
_CORES: Final = 2
_PARTY_MB, _CELL_B = 150, 40
"""Of any party: its libraries and, for each value of its columns, the table and what is made of it."""
_SCHEME_MB, _ZERO_B = 130, 2500
"""Of encryption by sf-heu: its table of powers, and an encryption of zero made ahead."""


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
    settings: LogisticSettings | BoostingSettings,
    rows: int,
    training: int,
    columns: tuple[int, ...],
    selection: SelectionRules | None = None,
) -> Estimate:
    """Raises ModelingError for what the training itself would refuse: too many equations, sums that do not fit.

    With `selection` as if every column were kept: what the choice itself costs is not known before.
    """
    memory = _PARTY_MB + rows * sum(columns) * _CELL_B / 1e6
    if isinstance(settings, LogisticSettings):
        rounds, size, seconds = _logistic(settings, training, columns)
    else:
        rounds, size, seconds = _boosting(settings, training, columns)
        memory += _SCHEME_MB + min(training, MOST_AHEAD) * _ZERO_B / 1e6
    if selection is not None:
        more = [_counting(selection, training, theirs) for theirs in columns[1:]]
        if selection.across:
            more += [_correlating(training, *pair) for pair in combinations(columns, 2)]
        rounds, size, seconds = (
            each + sum(part) for each, part in zip((rounds, size, seconds), zip(*more, strict=True), strict=True)
        )
        memory += _SCHEME_MB if isinstance(settings, LogisticSettings) else 0
    return Estimate(
        rows=rows,
        training=training,
        columns=columns,
        rounds=rounds,
        megabytes=round(size / 1e6, 1),
        seconds=round(seconds, 1),
        memory_mb=round(memory),
    )


def _logistic(settings: LogisticSettings, rows: int, columns: tuple[int, ...]) -> tuple[int, float, float]:
    """A step of each party's: coordinates, waves, residuals, gradients; before them the correlations, at most as much as two steps."""
    ring_for(rows)
    for place, width in enumerate(columns):
        check_budget(settings, rows, width + int(place == 0))
    layout = grid_for(rows, max(columns))
    blocks, waves, passives = -(-rows // SLOTS), lists(2 * TERMS[settings.period], rows), len(columns) - 1
    across, down = sum(map(layout.column_blocks, columns)), layout.row_blocks(rows + max(columns))
    holders = 1 + int(passives > 1)  # of shares that a party multiplies by: a computing one has its own in the clear
    fresh = blocks * waves + holders * across + 2 * passives * down + 2
    answers = blocks + holders * (down * len(columns) + across) + 2
    products = blocks * waves + 2 * holders * across * down
    steps = min(settings.steps, _USUAL_STEPS) + 2
    size = steps * (fresh * _SEEDED + answers * _ANSWER)
    seconds = steps * (fresh * _ENCRYPT_S + products * _PRODUCT_S + answers * _ANSWER_S) / _CORES
    return steps * 8 + 6, float(size), 1.0 + seconds


def _counting(rules: SelectionRules, rows: int, theirs: int) -> tuple[int, float, float]:
    """Label counts of one provider's bins."""
    width, slots = rules.key_bits // 8, theirs * rules.bins
    size = float((rows + slots) * width + 24 * slots)
    seconds = (rows * _ROW_S.get((SCHEME, rules.key_bits), 1e-3) + rows * theirs * _ADD_S[SCHEME]) / _CORES
    return 3, size, seconds


def _correlating(rows: int, earlier: int, later: int) -> tuple[int, float, float]:
    """Correlations of two parties' columns, one of the earlier party's at a time. What two providers say counts once."""
    blocks = -(-rows // SLOTS)
    size = float(earlier * (blocks * _SEEDED + later * _ANSWER))
    seconds = earlier * (blocks * _ENCRYPT_S + later * (blocks * _PRODUCT_S + _ANSWER_S)) / _CORES
    return earlier + 2, size, seconds


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
