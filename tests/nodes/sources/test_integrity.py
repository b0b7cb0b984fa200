"""A disk that lies: nothing of a snapshot that changed since it was written is given."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from nodes.sources.errors import ItemNotLoaded, SnapshotDamaged
from tests.nodes.sources.bureau import CODES, HEADER, ITEM, Bureau, line


def only(bureau: Bureau, kind: str) -> Path:
    (path,) = bureau.snapshots.glob(f"*.{kind}")
    return path


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def place_of(path: Path, needle: bytes) -> int:
    return path.read_bytes().index(needle)


@pytest.fixture
def loaded(bureau: Bureau) -> Bureau:
    bureau.load_rows(HEADER + "".join(line(place) for place in range(4)))
    return bureau


def test_a_flipped_bit_in_the_rows_is_never_given(loaded: Bureau) -> None:
    rows = only(loaded, "arrow")
    flip(rows, place_of(rows, CODES[2].encode()))
    opened = loaded.reopened()
    with pytest.raises(SnapshotDamaged, match="load the sources again"):
        opened.lookup(ITEM, CODES[0])
    digest = opened.pin(ITEM, "transfer")
    with pytest.raises(SnapshotDamaged):
        list(opened.scan(ITEM, digest, pa.array(sorted(CODES)), ["months"], 10))


def test_a_flipped_bit_in_the_keys_counts_as_not_loaded(loaded: Bureau) -> None:
    flip(only(loaded, "keys"), 3)
    with pytest.raises(ItemNotLoaded):
        loaded.reopened().lookup(ITEM, CODES[0])


def test_rows_that_were_cut_off_count_as_not_loaded(loaded: Bureau) -> None:
    rows = only(loaded, "arrow")
    rows.write_bytes(rows.read_bytes()[:-100])
    with pytest.raises(ItemNotLoaded):
        loaded.reopened().lookup(ITEM, CODES[0])


def test_a_snapshot_of_an_earlier_form_is_loaded_again(loaded: Bureau) -> None:
    (facts,) = loaded.snapshots.glob(f"{ITEM}-*.json")
    old = json.loads(facts.read_text())
    del old["batch_crcs"]
    facts.write_text(json.dumps(old))
    with pytest.raises(ItemNotLoaded):
        loaded.reopened().lookup(ITEM, CODES[0])
    loaded.load_rows(HEADER + line(0))
    assert loaded.subjects() == [CODES[0]]


def test_intact_rows_are_given_after_a_restart(loaded: Bureau) -> None:
    loaded.reopened()
    assert loaded.subjects() == list(CODES[:4])
