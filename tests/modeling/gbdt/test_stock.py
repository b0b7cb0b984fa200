"""Zeros made ahead: as many as are still wanted, each used once."""

from __future__ import annotations

import numpy as np
import pytest

from modeling.additive import SecretKey
from modeling.gbdt.stock import Stock
from tests.modeling.small_keys import BITS, offer


def test_no_zeros_are_made_ahead_once_all_trees_have_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch)
    key = SecretKey("okamoto-uchiyama", BITS)
    made: list[int] = []
    zeros = key.public.zeros
    monkeypatch.setattr(key.public, "zeros", lambda count: (made.append(count), zeros(count))[1])
    stock, values = Stock(key.public, 256, 2), np.arange(256)
    for ahead in ([128] * 2, [128] * 4, [128] * 4):
        stock.fill(lambda: False)
        assert made == ahead
        (wire,) = stock.encrypted(values)
        assert key.decrypt(key.public.from_wire(wire)) == values.tolist()
