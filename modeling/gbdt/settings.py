"""What a training is told, and what follows from it for the plaintexts that are encrypted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from modeling.additive import SchemeName, capacity_bits
from modeling.errors import RangeExceeded

FRACTION_BITS: Final = 20
"""Of first and second gradients in fixed point; a weight of one and a gradient of one are 2^20."""
_INT64_BITS: Final = 62
_DOUBLE_BITS: Final = 53

_Amount = Annotated[float, msgspec.Meta(ge=0)]
_Part = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training, the same at all parties; names in brackets are XGBoost's.

    `trees`, `depth`, `rate` [eta], `l2` [lambda], `gamma`, `min_child_weight`: as there. `bins` [max_bin]: at most, of a feature.
    `min_rows`: the least rows on each side of a split; a party does not tell the sums of fewer.
    `sample` [subsample]: the share of rows that each tree sees. With `top` above zero (GOSS, LightGBM, NeurIPS 2017) the
    share `top` with the largest gradients is always seen, and the sampled rest counts 1 / sample times; passives then
    learn which rows these are, from the second tree on (in the first a gradient is the label).
    `own_trees`: so many first trees are of the active party's features only (SecureBoost 5.2: the first trees tell most of the label).
    `patience`: training ends after so many trees without a better loss on the validation rows; zero: never.
    """

    trees: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 30
    depth: Annotated[int, msgspec.Meta(ge=1, le=8)] = 3
    rate: _Part = 0.3
    l2: _Amount = 1.0
    gamma: _Amount = 0.0
    min_child_weight: _Amount = 1.0
    bins: Annotated[int, msgspec.Meta(ge=2, le=120)] = 32
    min_rows: Annotated[int, msgspec.Meta(ge=1)] = 10
    sample: _Part = 1.0
    top: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    own_trees: Annotated[int, msgspec.Meta(ge=0)] = 0
    patience: Annotated[int, msgspec.Meta(ge=0)] = 0
    scheme: SchemeName = "okamoto-uchiyama"
    key_bits: int = 3072

    @property
    def amplification(self) -> float:
        """The most that a row's gradients are multiplied by."""
        return 1 / self.sample if self.top > 0 else 1.0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How gradients lie in a plaintext: a row is g · 2^hessian_bits + h; `slots` sums of rows lie side by side, each signed."""

    gradient_bits: int
    """Of a sum, its sign included."""
    hessian_bits: int
    slots: int

    @property
    def slot_bits(self) -> int:
        """Of a pair of sums."""
        return self.gradient_bits + self.hessian_bits

    def ciphers(self, sums: int) -> int:
        """Ciphertexts that hold so many sums."""
        return -(-sums // self.slots)


def layout_for(settings: Settings, rows: int) -> Layout:
    """The narrowest layout in which no sum over so many rows can overflow, whatever the data.

    |g| <= 1 and h <= 1/4 at weight one, times the amplification, plus half a unit of rounding. Raises RangeExceeded, ParametersUnsafe.
    """
    one = math.ceil(settings.amplification * (1 << FRACTION_BITS)) + 1
    gradient_bits = (rows * one).bit_length() + 1
    hessian_bits = (rows * (one // 4 + 2)).bit_length()
    slots = capacity_bits(settings.scheme, settings.key_bits) // (gradient_bits + hessian_bits)
    if one.bit_length() + hessian_bits > _INT64_BITS or gradient_bits > _DOUBLE_BITS or slots < 1:
        raise RangeExceeded(
            f"sums over {rows} rows at {FRACTION_BITS} fraction bits do not fit; train on a sample of the rows"
        )
    return Layout(gradient_bits=gradient_bits, hessian_bits=hessian_bits, slots=slots)
