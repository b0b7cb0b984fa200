"""Data to model: encrypted features come to the owner of a linear model, who answers scores that only the requester opens.

`linear` with the roles changed: the requester has features float64[n, p] within the bounds that the owner told, and holds the key; the
owner multiplies by its weights, and adds what it has of its own: the intercept, and its part of each score. Up to 8192 // p rows go in
one ciphertext (tiled), more of them in one for each column and 8,192 rows: 16 bytes a number, so this mode is for fewer rows. Rows that
the owner refuses are hidden by a mask that nobody keeps.

Leak to the requester: the scores, in which fraction bits (the largest possible score, to a factor of two), and the bounds; scores of
chosen rows, one more than there are weights, tell the model, and then of any subject all that the owner adds, so an owner limits
how many scores there are ever. To the owner: how many rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from modeling.errors import DataUnusable, ProtocolViolation
from modeling.jobs.table import Flags
from modeling.scoring import ring
from modeling.scoring.fixed import FEATURE_BITS, Floats, scales_for, whole_features, whole_weights
from modeling.scoring.linear import BLOCK, but_inner, inner_places, opened, tiled, tiled_rows
from modeling.scoring.ring import PublicKey, SecretKey, Sum, Words


class EncryptedFeatures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A requester's columns. `blocks`: a tiled ciphertext; or for each 8,192 rows one a column. Encoded by msgpack, they may travel."""

    rows: int
    feature_bits: int
    blocks: tuple[tuple[bytes, ...], ...]


class Requester:
    """The side that has rows to score; its key lives for one session. `public` goes to the model's owner."""

    def __init__(self) -> None:
        self._key = SecretKey()
        self.public = self._key.public

    def encrypt(self, features: Floats, bounds: Floats) -> EncryptedFeatures:
        """float64[n, p] within the bounds. Raises DataUnusable."""
        columns = whole_features(features, bounds)
        width, rows = columns.shape
        if _is_tiled(rows, width):
            blocks: list[tuple[bytes, ...]] = [(self._key.encrypt(tiled(columns)),)]
        else:
            blocks = [
                tuple(self._key.encrypt(column[at : at + BLOCK].astype(np.int64)) for column in columns)
                for at in range(0, rows, BLOCK)
            ]
        return EncryptedFeatures(rows=rows, feature_bits=FEATURE_BITS, blocks=tuple(blocks))

    def open(
        self, answer: Sequence[bytes], rows: int, features: int, weight_bits: int, kept: Flags | None = None
    ) -> Floats:
        """float64[rows]: scores, NaN where `kept` bool[rows] is not. `weight_bits`: as the owner told. Raises ProtocolViolation."""
        many = not _is_tiled(rows, features)
        if len(answer) != (-(-rows // BLOCK) if many else 1):
            raise ProtocolViolation(f"an answer of {len(answer)} blocks came for {rows} rows")
        places = range(BLOCK) if many else inner_places(rows, features)
        parts = [self._key.decrypt(each, places, check=not place) for place, each in enumerate(answer)]
        found = opened(np.concatenate(parts)[:rows], weight_bits + FEATURE_BITS)
        return found if kept is None else np.where(kept, found, np.nan)


class Owner:
    """The side that has the weights of the requester's columns. `error`: the bound of a score's absolute error."""

    def __init__(self, weights: Floats, bounds: Floats, reserve: float = 0.0) -> None:
        """`reserve`: bound of what `answer` adds. Raises DataUnusable."""
        scales = scales_for(weights, bounds, reserve)
        self.weight_bits, self.error = scales.weight_bits, scales.error
        self._reserve, self._scale = reserve, 2.0**scales.fraction_bits
        self._weights = whole_weights(weights, bounds, scales.weight_bits)

    def answer(
        self, public: bytes, features: EncryptedFeatures, added: Floats, *, hidden: Flags | None = None
    ) -> list[bytes]:
        """A ciphertext a block: weights times features plus `added` float64[n] (intercept, and the owner's own part).

        `hidden`: bool[n], rows of which nothing is told. Raises DataUnusable, ProtocolViolation.
        """
        key, rows, width = PublicKey(public), features.rows, len(self._weights)
        if len(added) != rows or not (np.abs(added) <= self._reserve).all():
            raise DataUnusable(f"what is added is a number for each of {rows} rows, at most {self._reserve:g} in size")
        mask = ring.residues(np.round(added * self._scale).astype(np.int64))
        if hidden is not None:
            mask = np.where(hidden, ring.uniform(rows), mask)
        many = not _is_tiled(rows, width)
        shape = [width] * -(-rows // BLOCK) if many else [1]
        if features.feature_bits != FEATURE_BITS or [len(block) for block in features.blocks] != shape:
            raise ProtocolViolation(
                f"{rows} rows of {width} features in the agreed fixed point should come; they do not"
            )
        if not many:
            products = Sum()
            products.add(ring.received(features.blocks[0][0]), ring.plain(self._weights))
            return [key.hidden(products, but_inner(mask, width))]
        constants = [ring.plain(each) for each in self._weights[:, None]]
        padded = np.zeros(len(features.blocks) * BLOCK, np.uint64)
        padded[:rows] = mask
        return [
            self._block(key, block, constants, own)
            for block, own in zip(features.blocks, padded.reshape(-1, BLOCK), strict=True)
        ]

    @staticmethod
    def _block(key: PublicKey, block: tuple[bytes, ...], constants: list[object], own: Words) -> bytes:
        products = Sum()
        for column, weight in zip(block, constants, strict=True):
            products.add(ring.received(column), weight)
        return key.hidden(products, own)


def _is_tiled(rows: int, features: int) -> bool:
    return rows <= tiled_rows(features)
