"""Joint models in request and answer: each party computes its part, and only the sum opens.

*Logistic*: parts in fixed point modulo 2^64 under pair masks. *Boosting*: the owner encrypts, for each row and leaf, the leaf's weight
where the row's own splits lead there; the provider multiplies by the bits of its own splits and hides all but the row's sum.
"""

from __future__ import annotations

from collections.abc import Sequence

from modeling.gbdt.trees import ActivePart, PassivePart
from modeling.scoring.fixed import Floats
from modeling.scoring.masks import PairMasks, Words


def logistic_part(coefficients: Floats, features: Floats, masks: PairMasks, request: int) -> Words:
    """A provider's answer, uint64[n]. `coefficients`: float64[p] without intercept. Raises DataUnusable, ProtocolViolation."""
    raise NotImplementedError


def logistic_total(coefficients: Floats, features: Floats, parts: Sequence[Words]) -> Floats:
    """The active party: float64[n], log odds; `coefficients`: the intercept first. Raises DataUnusable, ProtocolViolation."""
    raise NotImplementedError


class BoostingOwner:
    """The active party of a boosted model with one provider; its key lives for one session. `opening` goes to the provider, once."""

    public: bytes
    opening: bytes
    """Which of the provider's splits, with which side, lie on the path to which leaf."""

    def __init__(self, part: ActivePart) -> None:
        """Raises DataUnusable if the model has several providers: their sides are asked for (`modeling.gbdt.scoring`)."""
        raise NotImplementedError

    def ask(self, features: Floats) -> tuple[bytes, ...]:
        """float64[n, p] own features: ciphertexts to send."""
        raise NotImplementedError

    def open(self, answer: Sequence[bytes], features: Floats) -> Floats:
        """float64[n]: margins (log odds). Raises ProtocolViolation."""
        raise NotImplementedError


class BoostingProvider:
    """The provider's side of a boosted model."""

    def __init__(self, part: PassivePart, public: bytes, opening: bytes) -> None:
        """Raises ProtocolViolation."""
        raise NotImplementedError

    def answer(self, features: Floats, asked: Sequence[bytes]) -> list[bytes]:
        """float64[n, p] features: ciphertexts to send back. Raises DataUnusable, ProtocolViolation."""
        raise NotImplementedError
