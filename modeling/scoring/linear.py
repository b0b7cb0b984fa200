"""Model to data: encrypted weights come to the providers, each answers its part of the scores, and only the total opens.

Parties: the owner of a linear model, and the providers of its features. Inputs: the owner's weights float64[p] for each provider, each
provider's features float64[n, p] over one order of rows, within the bounds that the model declares. Output: the owner the sum over all
providers of weight times feature, exactly as rounded (`fixed`); a provider nothing. The owner adds intercept and its own features.

The owner holds a key for one session. It encrypts the weights of each provider under it, in two layouts:
*columns*, for many rows: a ciphertext a weight, times a polynomial with a row in each coefficient; a block is 8,192 rows.
*tiled*, for up to 8192 // p rows on line: one ciphertext, weight j at coefficient j, times a polynomial in which row i has feature j at
coefficient i p + p - 1 - j: its inner product is coefficient i p + p - 1 (Cheetah, USENIX Security 2022).

Where there are several providers each adds a mask modulo t that cancels in the sum (`masks`), so they answer in any order, at the same
time, and a part alone is uniform; in tiled answers all other coefficients are masked too. A row that a provider refuses gets from it a
mask that nobody keeps.
Leak to the owner: with one provider, its part of each score; with several, their sum. To a provider: that it is asked, about how many
rows, by how many weights, also those that are zero; nothing of a weight. The owner could encrypt other weights than it has registered:
semi-honest parties only. Key and encryptions follow from a seed, so an auditor who is shown it makes the ciphertexts again, byte for
byte, from the weights that are registered (`sealed`), and holds them against the digest that the owner signed when it sent its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import ArgumentInvalid, DataUnusable, ProtocolViolation
from modeling.scoring import ring
from modeling.scoring.columns import Columns, Factors
from modeling.scoring.fixed import FEATURE_BITS, Floats, Scales, scales_for, whole_features, whole_weights
from modeling.scoring.masks import Flags, PairMasks
from modeling.scoring.ring import Ints, PublicKey, SecretKey, Sum, Words

BLOCK: Final = ring.SIZE
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

    def __init__(self, seed: bytes | None = None) -> None:
        """`seed`: 32 bytes of one session, that key and encryptions follow from."""
        self._key = SecretKey(seed)
        self.public = self._key.public

    def encrypt(self, weights: Floats, bounds: Floats, scales: Scales) -> EncryptedWeights:
        """One provider's part of the model, float64[p] each; a weight may be zero. Raises DataUnusable."""
        if not 1 <= len(weights) <= BLOCK or weights.shape != bounds.shape:
            raise DataUnusable(f"a provider has 1 to {BLOCK} features, each with a bound; {weights.shape} weights came")
        whole = whole_weights(weights, bounds, scales.weight_bits)
        return EncryptedWeights(
            bounds=tuple(bounds.tolist()),
            feature_bits=scales.feature_bits,
            columns=tuple(self._key.encrypt(each) for each in whole[:, None]),
            tiled=self._key.encrypt(whole),
        )

    def open_columns(
        self, answers: Sequence[Sequence[bytes]], rows: int, scales: Scales, kept: Flags | None = None
    ) -> Floats:
        """float64[rows]: the sum over the providers of weight times feature, without intercept. Raises ProtocolViolation.

        `answers`: of each provider its ciphertexts, all for one request number; `kept`: bool[rows], the others, which a provider hid,
        come out as NaN.
        """
        count = -(-rows // BLOCK)
        total = np.zeros(count * BLOCK, np.uint64)
        for answer in answers:
            if len(answer) != count:
                raise ProtocolViolation(f"{rows} rows are {count} blocks; an answer has {len(answer)}")
            for place, block in enumerate(answer):
                total[place * BLOCK : (place + 1) * BLOCK] += self._key.decrypt(block, range(BLOCK), check=not place)
        return _opened(total[:rows], scales, kept)

    def open_tiled(
        self, answers: Sequence[tuple[int, bytes]], rows: int, scales: Scales, kept: Flags | None = None
    ) -> Floats:
        """As open_columns; `answers`: of each provider (its number of features, its ciphertext)."""
        total = np.zeros(rows, np.uint64)
        for features, answer in answers:
            total += self._key.decrypt(answer, inner_places(rows, features))
        return _opened(total, scales, kept)


def sealed(key: ModelKey, parts: Sequence[tuple[Floats, Floats]]) -> tuple[Scales, tuple[EncryptedWeights, ...]]:
    """The scales of a model and what each provider gets of it. `parts`: weights and bounds float64[p] of each. Raises DataUnusable."""
    scales = scales_for(np.concatenate([each for each, _ in parts]), np.concatenate([each for _, each in parts]))
    return scales, tuple(key.encrypt(weights, bounds, scales) for weights, bounds in parts)


class Provider:
    """One provider's side of a session: key and encrypted weights loaded and kept warm."""

    def __init__(self, public: bytes, weights: EncryptedWeights, columns: Columns | None = None) -> None:
        """`columns`: threads, and what they keep; without, all runs in the caller's thread. Raises ProtocolViolation."""
        bounds = np.array(weights.bounds, np.float64)
        if not 0 < len(weights.columns) == len(bounds) or not (np.isfinite(bounds) & (bounds > 0)).all():
            raise ProtocolViolation("a model's weights and bounds do not match, or a bound is not positive")
        if weights.feature_bits != FEATURE_BITS:
            raise ProtocolViolation(f"features have {FEATURE_BITS} fraction bits here, not {weights.feature_bits}")
        self._bounds = bounds
        self._key = PublicKey(public)
        self._factors = Factors(self._key, weights.columns)
        self._tiled = ring.received(weights.tiled)
        self._columns = columns or Columns(threads=1)

    def answer_columns(
        self,
        features: Floats,
        masks: PairMasks,
        request: int,
        *,
        hidden: Flags | None = None,
        subjects: Sequence[bytes] = (),
        names: Sequence[str] | None = None,
    ) -> list[bytes]:
        """One ciphertext for each 8,192 rows. `features`: float64[n, p], within the bounds, finite.

        `hidden`: bool[n], rows that it refuses. `subjects`: who the rows are about, in one form everywhere: masks are bound to it.
        `names`: one for each column, a digest of its data, rows and preparation: encoded it is kept, and used again for whatever model
        reads it. Raises DataUnusable, ProtocolViolation (a request number used before).
        """
        if features.ndim != 2 or (names is not None and len(names) != features.shape[1]):
            raise ArgumentInvalid("columns are kept under one name each")
        _check_hidden(hidden, len(features))
        count = -(-len(features) // BLOCK)
        mask = masks.take(request, count * BLOCK, hidden, subjects)
        length = f"{len(features)} rows"
        kept = tuple(
            f"{name} {length} {bound!r}" for name, bound in zip(names or (), self._bounds.tolist(), strict=False)
        )

        def block(place: int) -> npt.NDArray[np.int32]:
            first = place * BLOCK
            return whole_features(features[first : first + BLOCK], self._bounds, first)

        return self._columns.answers(self._factors, block, kept, ring.residues(mask).reshape(count, BLOCK))

    def answer_tiled(
        self,
        features: Floats,
        masks: PairMasks,
        request: int,
        *,
        hidden: Flags | None = None,
        subjects: Sequence[bytes] = (),
    ) -> bytes:
        """One ciphertext for up to `tiled_rows(p)` rows. Raises as answer_columns."""
        _check_hidden(hidden, len(features))
        tiles = tiled(whole_features(features, self._bounds))
        products = Sum()
        products.add(self._tiled, ring.plain(tiles))
        return self._key.hidden(
            products, but_inner(masks.take(request, len(features), hidden, subjects), features.shape[1])
        )

    def prepare_one(self, at_most: int) -> bool:
        """Make one fresh encryption in advance, while there is nothing else to do; False if there are so many already."""
        return self._key.prepare_one(at_most)


def opened(total: Words, fraction_bits: int) -> Floats:
    """float64: sums modulo t as real numbers."""
    found: Floats = ring.centred(ring.residues(total)) / 2.0**fraction_bits
    return found


def _opened(total: Words, scales: Scales, kept: Flags | None) -> Floats:
    found = opened(total, scales.fraction_bits)
    if kept is not None:
        found = np.where(kept, found, np.nan)
    if (np.abs(found) > scales.largest / 2.0**scales.fraction_bits).any():
        raise ProtocolViolation(
            "a score is beyond what the model can give: did all providers answer about the same rows?"
        )
    return found


def _check_hidden(hidden: Flags | None, rows: int) -> None:
    if hidden is not None and hidden.shape != (rows,):
        raise ArgumentInvalid(f"which of {rows} rows are hidden is said by as many flags; {hidden.shape} came")


def inner_places(rows: int, features: int) -> range:
    """Coefficients of a tiled answer at which inner products stand. Raises DataUnusable if so many rows do not fit."""
    if rows > tiled_rows(features):
        raise DataUnusable(f"{rows} rows of {features} features do not fit one answer: at most {tiled_rows(features)}")
    return range(features - 1, rows * features, features)


def tiled(columns: npt.NDArray[np.int32]) -> Ints:
    """int64[n p]: row i's feature j at i p + p - 1 - j, of columns int32[p, n]. Raises DataUnusable if they do not fit."""
    inner_places(columns.shape[1], len(columns))
    return columns[::-1].T.reshape(-1).astype(np.int64)


def but_inner(mask: Words, features: int) -> Words:
    """uint64[8192]: a mask for inner products; all other coefficients, which mix rows, uniform."""
    found = ring.uniform(BLOCK).copy()
    found[inner_places(len(mask), features)] = ring.residues(mask)
    return found
