"""A file is there whole, or the one before is."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.durable import write_bytes


def test_a_file_is_whole_or_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.json"
    write_bytes(path, b"first")

    def lost(_descriptor: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr("os.fsync", lost)
    with pytest.raises(OSError, match="no space"):
        write_bytes(path, b"second")
    assert path.read_bytes() == b"first"
    monkeypatch.undo()
    write_bytes(path, b"third")
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.json"]
    assert path.read_bytes() == b"third"
