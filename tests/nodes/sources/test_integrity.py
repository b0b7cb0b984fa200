"""A disk that lies: nothing of a snapshot that changed since it was written is given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from nodes.sources import snapshot
from nodes.sources.errors import ItemNotLoaded, SnapshotDamaged
from tests.nodes.sources.bureau import CODES, HEADER, ITEM, Bureau, line


def only(bureau: Bureau, kind: str) -> Path:
    (path,) = bureau.snapshots.glob(f"{ITEM}-*.{kind}")
    return path


def flip(path: Path, at: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.unlink()  # a new file: the old one may be mapped
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
    with pytest.raises(SnapshotDamaged, match="Load the sources again"):
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


@pytest.mark.parametrize("kind", ["arrow", "keys", "json"])
def test_wherever_a_bit_is_flipped_nothing_is_given(loaded: Bureau, tmp_path: Path, kind: str) -> None:
    """Also in what says how bytes become values: names of columns, decimals of an amount, counts and times of the facts."""
    size = only(loaded, kind).stat().st_size
    # Every place of the frame at the end and some of the rest, each with another bit.
    for at in sorted({*range(0, size, 7), *range(max(0, size - 300), size)}):
        copied = tmp_path / f"{kind}-{at}"
        shutil.copytree(loaded.snapshots, copied / "snapshots")
        other = Bureau(copied)
        flip(only(other, kind), at, at % 8)
        with pytest.raises((SnapshotDamaged, ItemNotLoaded)):
            other.reopened().lookup(ITEM, CODES[0])
        shutil.rmtree(copied)


@pytest.mark.parametrize("field", ["records", "loaded_ms", "updated_ms", "rejected"])
def test_facts_that_changed_count_as_not_loaded(loaded: Bureau, field: str) -> None:
    facts = only(loaded, "json")
    facts.write_text(facts.read_text().replace(f'"{field}":', f'"{field}":1'))
    with pytest.raises(ItemNotLoaded):
        loaded.reopened().lookup(ITEM, CODES[0])


def test_a_batch_is_held_against_its_digest_when_it_is_read_first(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "BATCH_ROWS", 2)
    bureau.load_rows(HEADER + "".join(line(place) for place in range(4)))
    codes = sorted(CODES[:4])
    rows = only(bureau, "arrow")
    flip(rows, rows.read_bytes().rindex(codes[3].encode()))
    opened = bureau.reopened()
    assert len(opened.lookup(ITEM, codes[0])) == 1
    digest = opened.pin(ITEM, "transfer")
    with pytest.raises(SnapshotDamaged, match="batch 1"):
        opened.lookup(ITEM, codes[3])
    given = opened.scan(ITEM, digest, pa.array(codes), ["months"], 2)
    assert next(given).num_rows == 2
    with pytest.raises(SnapshotDamaged, match="batch 1"):
        next(given)


def test_a_snapshot_of_an_earlier_form_is_loaded_again(loaded: Bureau) -> None:
    facts = only(loaded, "json")
    facts.write_text(json.dumps(json.loads(facts.read_text())["facts"]))
    with pytest.raises(ItemNotLoaded):
        loaded.reopened().lookup(ITEM, CODES[0])
    loaded.load_rows(HEADER + line(0))
    assert loaded.subjects() == [CODES[0]]


@pytest.mark.parametrize("name", ["current.json", "pins.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b'{"\xff": "x"}', b'{"hf_arrears": 1'])
def test_a_damaged_list_of_snapshots_is_told_with_what_to_do(loaded: Bureau, name: str, content: bytes) -> None:
    (loaded.snapshots / name).write_bytes(content)
    with pytest.raises(SnapshotDamaged, match="Remove it and load the sources again"):
        loaded.reopened()
    (loaded.snapshots / name).unlink()
    loaded.reopened()


def test_intact_rows_are_given_after_a_restart(loaded: Bureau) -> None:
    loaded.reopened()
    assert loaded.subjects() == list(CODES[:4])
