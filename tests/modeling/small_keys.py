"""Keys of 1,024 bits, for tests only: one of a real size takes up to 40 seconds to find."""

from __future__ import annotations

import pytest

from modeling import additive

BITS = 1024
OFFERED = additive.KEY_BITS


def offer(patch: pytest.MonkeyPatch, *besides: int) -> None:
    """Offer them for as long as `patch` lasts, and no others but `besides`; with the exponents of the largest keys."""
    patch.setattr(additive, "KEY_BITS", (BITS, *besides))
    for scheme in ("okamoto-uchiyama", "paillier"):
        patch.setitem(additive.EXPONENTS, (scheme, BITS), additive.EXPONENTS[scheme, 3072])
