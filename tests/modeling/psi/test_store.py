"""Sorting and merging on disk are those of lists."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
import pytest

from modeling.psi import store


@pytest.mark.parametrize("pass_rows", [10, 300, 1 << 20])
def test_tags_are_sorted_and_merged_in_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pass_rows: int) -> None:
    monkeypatch.setattr(store, "PASS_ROWS", pass_rows)
    tags = [secrets.token_bytes(16) for _ in range(1000)] + [bytes(16), b"\xff" * 16, bytes(15) + b"\1"]
    (tmp_path / "tags").write_bytes(b"".join(tags))
    store.sort_tags(tmp_path / "tags", len(tags), tmp_path / "sorted", tmp_path / "places")
    assert (tmp_path / "sorted").read_bytes() == b"".join(sorted(tags))
    others = sorted([*tags[::3], *(secrets.token_bytes(16) for _ in range(50))])
    (tmp_path / "others").write_bytes(b"".join(others))
    places = store.common_places(tmp_path / "sorted", tmp_path / "places", tmp_path / "others")
    assert [tags[place] for place in places] == sorted(tags[::3])


def test_an_order_is_a_permutation() -> None:
    order = store.shuffled_order(1000)
    assert np.sort(order).tolist() == list(range(1000))
    assert order.tolist() != store.shuffled_order(1000).tolist()
