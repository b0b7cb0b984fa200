"""Model to data: encrypted weights come to the providers, each answers its part of the scores, and only the total opens.

The owner of the model holds a key for one session. It encrypts the weights of each provider under it, in two layouts:
*columns*, for many rows: a ciphertext a weight; a block is 8,192 rows; *tiled*, for up to 8192 // p rows on line: one ciphertext.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from modeling.scoring.fixed import Floats, Scales
from modeling.scoring.lanes import Lanes
from modeling.scoring.masks import PairMasks

BLOCK: Final = 8192
"""Rows of one ciphertext in columns."""


class EncryptedWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one provider gets of a model. `columns`: a ciphertext a weight; `tiled`: one for all. Encoded by msgpack, it may travel."""

    bounds: tuple[float, ...]
    feature_bits: int
    columns: tuple[bytes, ...]
    tiled: bytes


def tiled_rows(features: int) -> int:
    """How many rows one tiled answer holds, at a provider of so many features."""
    return BLOCK // features


class ModelKey:
    """The owner's key of one session; it never leaves the owner. `public` goes to the providers."""

    public: bytes

    def __init__(self) -> None:
        raise NotImplementedError

    def encrypt(self, weights: Floats, bounds: Floats, scales: Scales) -> EncryptedWeights:
        """One provider's part of the model, float64[p] each; a weight may be zero. Raises DataUnusable."""
        raise NotImplementedError

    def open_columns(self, answers: Sequence[Sequence[bytes]], rows: int, scales: Scales) -> Floats:
        """float64[rows]: the sum over the providers of weight times feature, without intercept. Raises ProtocolViolation.

        `answers`: of each provider its ciphertexts, all for one request number.
        """
        raise NotImplementedError

    def open_tiled(self, answers: Sequence[tuple[int, bytes]], rows: int, scales: Scales) -> Floats:
        """As open_columns; `answers`: of each provider (its number of features, its ciphertext)."""
        raise NotImplementedError


class Provider:
    """One provider's side of a session: key and encrypted weights loaded and kept warm."""

    def __init__(self, public: bytes, weights: EncryptedWeights, lanes: Lanes | None = None) -> None:
        """`lanes`: worker processes for columns; without, everything runs in the caller's thread. Raises ProtocolViolation."""
        raise NotImplementedError

    def answer_columns(self, features: Floats, masks: PairMasks, request: int, name: str | None = None) -> list[bytes]:
        """One ciphertext for each 8,192 rows. `features`: float64[n, p], within the bounds, finite.

        `name`: of these very features (a digest of the data and of the preparation): their encoded columns are kept and used again, also
        for another model's session over the same lanes. Raises DataUnusable, ProtocolViolation (a request number used before),
        WorkersFailed.
        """
        raise NotImplementedError

    def answer_tiled(self, features: Floats, masks: PairMasks, request: int) -> bytes:
        """One ciphertext for up to `tiled_rows(p)` rows. Raises as answer_columns."""
        raise NotImplementedError

    def prepare_one(self, at_most: int) -> bool:
        """Make one fresh encryption in advance, while there is nothing else to do; False if there are so many already."""
        raise NotImplementedError
