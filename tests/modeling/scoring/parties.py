"""A model over the columns of some providers, and what they answer in one process."""

from __future__ import annotations

from typing import Any

import numpy as np

from modeling.scoring.fixed import scales_for
from modeling.scoring.linear import ModelKey, Provider, tiled_rows
from modeling.scoring.masks import PairMasks, new_seed

CHI_SQUARE_LIMIT = 60.0
"""Of 15 degrees of freedom: beyond one in ten million."""


class Parties:
    """`widths`: columns of each provider; features within bounds of 5, weights of about `size`."""

    def __init__(self, widths: tuple[int, ...], rows: int = 200, seed: int = 1, size: float = 0.5) -> None:
        rng = np.random.default_rng(seed)
        self.rows = rows
        self.features = [np.clip(2 * rng.normal(size=(rows, width)), -5, 5) for width in widths]
        self.weights = [rng.normal(size=width) * size for width in widths]
        self.bounds = [np.full(width, 5.0) for width in widths]
        self.scales = scales_for(np.concatenate(self.weights), np.concatenate(self.bounds))
        self.key = ModelKey()
        self.encrypted = [self.key.encrypt(*each, self.scales) for each in zip(self.weights, self.bounds, strict=True)]
        self.providers = [Provider(self.key.public, each) for each in self.encrypted]
        self.masks = pair_masks(len(widths))
        self.request = 0

    def plain(self) -> Any:
        return sum(x @ w for x, w in zip(self.features, self.weights, strict=True))

    def columns(self, hidden: Any = None, **given: Any) -> list[list[bytes]]:
        """The answers of all providers to one request; `hidden`: flags of each provider."""
        self.request += 1
        return [
            provider.answer_columns(x, masks, self.request, hidden=hides, **given)
            for provider, x, masks, hides in self._all(hidden)
        ]

    def tiled(self, hidden: Any = None) -> list[tuple[int, bytes]]:
        self.request += 1
        return [
            (x.shape[1], provider.answer_tiled(x, masks, self.request, hidden=hides))
            for provider, x, masks, hides in self._all(hidden)
        ]

    def tiled_rows(self) -> int:
        return min(tiled_rows(len(each)) for each in self.weights)

    def opened(self, layout: str, kept: Any = None, hidden: Any = None) -> Any:
        if layout == "columns":
            return self.key.open_columns(self.columns(hidden), self.rows, self.scales, kept)
        return self.key.open_tiled(self.tiled(hidden), self.rows, self.scales, kept)

    def _all(self, hidden: Any) -> Any:
        flags = hidden or [None] * len(self.providers)
        return zip(self.providers, self.features, self.masks, flags, strict=True)


def pair_masks(count: int) -> list[PairMasks]:
    """Of so many providers."""
    seeds = {(low, high): new_seed() for low in range(count) for high in range(low + 1, count)}
    return [
        PairMasks(own, {other: seeds[min(own, other), max(own, other)] for other in range(count) if other != own})
        for own in range(count)
    ]


def chi_square(numbers: Any, bits: int) -> float:
    """Of the four highest bits of numbers of so many bits, against uniform ones; 15 degrees of freedom."""
    counts = np.bincount((numbers >> np.uint64(bits - 4)).astype(int), minlength=16)
    return float(((counts - len(numbers) / 16) ** 2 / (len(numbers) / 16)).sum())
