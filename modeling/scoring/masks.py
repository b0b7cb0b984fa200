"""Masks that pairs of providers share: uniform modulo 2^64, and together they cancel (Bonawitz et al., CCS 2017, without dropouts)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

SEED_BYTES = 32


def new_seed() -> bytes:
    """For the provider of the lower place of a pair to draw, and send to the other sealed."""
    raise NotImplementedError


class PairMasks:
    """One provider's masks in one session. The stream of a pair depends on its seed and the request's number."""

    def __init__(self, own_place: int, seeds: Mapping[int, bytes]) -> None:
        """`seeds`: for each other provider's place its pair's 32 bytes; empty with one provider, whose masks are zero.

        Raises ArgumentInvalid.
        """
        raise NotImplementedError

    def take(self, request: int, count: int) -> Words:
        """uint64[count] for this request, to be added. Raises ProtocolViolation for a number not above all that were taken before.

        A request whose answer was lost is repeated under a new number: two answers under one mask would tell their difference.
        """
        raise NotImplementedError
