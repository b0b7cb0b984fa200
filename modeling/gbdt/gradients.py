"""What the active party computes of its labels: gradients in fixed point, the rows of a tree, sums out of plaintexts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modeling.errors import DataUnusable, ProtocolViolation
from modeling.gbdt.features import Flags, Floats, Ints
from modeling.gbdt.settings import FRACTION_BITS, Layout, Settings
from modeling.gbdt.trees import log_odds, sigmoid


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """What is to be learned: label float64[n] of 0 and 1, weights float64[n] in [0, 1], validation bool[n].

    A row of weight zero teaches nothing, and its label does not matter; nor does a validation row teach.
    """

    label: Floats
    weights: Floats
    validation: Flags

    def __post_init__(self) -> None:
        """Raises DataUnusable."""
        shape = self.label.shape
        if len(shape) != 1 or self.weights.shape != shape or self.validation.shape != shape:
            raise DataUnusable("label, weights and validation are not of the same rows")
        if not np.isfinite(self.weights).all() or self.weights.min(initial=0) < 0 or self.weights.max(initial=0) > 1:
            raise DataUnusable("weights lie between 0 and 1")
        if set(np.unique(self.label[self.training > 0]).tolist()) != {0.0, 1.0}:
            raise DataUnusable("the label is 0 or 1 in every training row with a weight, and both occur")

    @property
    def training(self) -> Floats:
        """float64[n]: weights, zero where a row only validates."""
        return np.where(self.validation, 0.0, self.weights)

    @property
    def base(self) -> float:
        """The margin of the training rows' weighted mean."""
        return log_odds(float(np.average(self._clean, weights=self.training)))

    @property
    def _clean(self) -> Floats:
        return np.where(self.weights > 0, self.label, 0.0)

    @property
    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """Label (zero where it does not matter), weights, and 1.0 for a validation row: float64[n] each."""
        return self._clean, self.weights, self.validation.astype(np.float64)

    def without(self, gone: Flags) -> Target:
        """The same with rows that are gone (bool[n]) at weight zero. Raises DataUnusable if too few are left."""
        return Target(label=self.label, weights=np.where(gone, 0.0, self.weights), validation=self.validation)

    def loss(self, margin: Floats) -> float:
        """Weighted mean log loss over the validation rows. Raises DataUnusable where these have no weight."""
        weights = np.where(self.validation, self.weights, 0.0)
        if weights.sum() <= 0:
            raise DataUnusable("early stopping needs validation rows with a weight")
        losses = np.logaddexp(0.0, margin) - self._clean * margin
        return float(np.average(losses, weights=weights))

    def gradients(self, margin: Floats) -> tuple[Floats, Floats]:
        """First and second gradients of the weighted log loss, float64[n]."""
        p, weights = sigmoid(margin), self.training
        return weights * (p - self._clean), weights * p * (1 - p)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """Which rows a tree sees, and their gradients in fixed point: integers in float64[n], zero elsewhere."""

    rows: Flags
    g: Floats
    h: Floats

    def packed(self, layout: Layout) -> Ints:
        """int64[seen rows]: what is encrypted. `layout_for` has shown that it fits."""
        g, h = self.g[self.rows].astype(np.int64), self.h[self.rows].astype(np.int64)
        return (g << layout.hessian_bits) + h


def seen(settings: Settings, seed: int, tree: int, g: Floats, h: Floats, gone: Flags) -> Seen:
    """Draw the rows of a tree, without those that are gone (bool[n]).

    The draw is told to everyone and protects nothing, so numpy's generator may make it.
    """
    rows = np.full(len(g), True)
    factor = np.ones(len(g))
    if settings.sample < 1:
        rows = np.random.default_rng([seed, tree]).random(len(g)) < settings.sample
        if settings.top > 0 and tree > 0:
            factor[:] = settings.amplification
            strongest = np.argsort(-np.abs(g), kind="stable")[: round(settings.top * len(g))]
            rows[strongest], factor[strongest] = True, 1.0
    rows &= ~gone
    scale = np.where(rows, factor, 0.0) * (1 << FRACTION_BITS)
    return Seen(rows=rows, g=np.round(g * scale), h=np.round(h * scale))


def unpacked(values: list[int], count: int, layout: Layout, h_total: float) -> tuple[Floats, Floats]:
    """The sums in decrypted plaintexts: g and h, float64[count]. Raises ProtocolViolation for what cannot be sums.

    A plaintext out of range must end the training: what is done with it could tell of an Okamoto-Uchiyama key.
    """
    slot, half = layout.slot_bits, 1 << (layout.slot_bits - 1)
    bias = sum(half << (slot * place) for place in range(layout.slots))
    mask = (1 << slot) - 1
    shifted = [value + bias for value in values]
    if any(value < 0 or value >> (slot * layout.slots) for value in shifted):
        raise ProtocolViolation("a decrypted sum is out of range")
    pairs = [((value >> (slot * place)) & mask) - half for value in shifted for place in range(layout.slots)]
    g = np.array([pair >> layout.hessian_bits for pair in pairs], np.float64)
    h = np.array([pair & ((1 << layout.hessian_bits) - 1) for pair in pairs], np.float64)
    if g[count:].any() or h[count:].any() or h.max(initial=0) > h_total:
        raise ProtocolViolation("a decrypted sum is more than that of its node")
    return g[:count], h[:count]
