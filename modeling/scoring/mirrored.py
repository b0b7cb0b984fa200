"""Data to model: encrypted features come to the owner of the model, who answers scores that only the requester opens."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from modeling.scoring.fixed import Floats


class EncryptedFeatures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A requester's columns: for each block of rows a ciphertext a column. Encoded by msgpack, they may travel."""

    rows: int
    feature_bits: int
    blocks: tuple[tuple[bytes, ...], ...]


class Requester:
    """The side that has rows to score; its key lives for one session. `public` goes to the model's owner."""

    public: bytes

    def __init__(self) -> None:
        raise NotImplementedError

    def encrypt(self, features: Floats, bounds: Floats) -> EncryptedFeatures:
        """float64[n, p] within the bounds the owner told. Raises DataUnusable."""
        raise NotImplementedError

    def open(self, answer: Sequence[bytes], rows: int, weight_bits: int) -> Floats:
        """float64[rows]: scores. `weight_bits` comes with the answer. Raises ProtocolViolation."""
        raise NotImplementedError


class Owner:
    """The side that has the weights of the requester's columns, in the plain."""

    weight_bits: int
    error: float

    def __init__(self, weights: Floats, bounds: Floats, reserve: float = 0.0) -> None:
        """`reserve`: bound of what `answer` adds. Raises DataUnusable."""
        raise NotImplementedError

    def answer(self, public: bytes, features: EncryptedFeatures, added: Floats) -> list[bytes]:
        """A ciphertext a block: weights times features plus `added` float64[n] (intercept, and the owner's own part).

        Raises DataUnusable, ProtocolViolation.
        """
        raise NotImplementedError
