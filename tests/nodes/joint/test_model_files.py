"""Parts and models on disk: what commits a party to its part, and that what is not a part is not read as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodes.errors import NodeError
from nodes.joint.model_files import (
    ModelRecord,
    OwnPart,
    fresh_salt,
    model_commitment,
    read_part,
    write_document,
)
from trust.suite import sm3

PART = OwnPart(job="ab" * 16, name="risk", algorithm="boosting", party="tax", salt="0f" * 16, part=b'{"splits": []}')
MODEL = ModelRecord(
    job="ab" * 16,
    name="risk",
    algorithm="boosting",
    parties=("bank", "tax"),
    commitments=("01" * 32, PART.commitment),
    subjects=100,
    withdrawn=1,
    made_ms=1,
)


def test_commitments_are_over_salt_and_part_and_over_the_parts_in_their_order() -> None:
    domain = b"xinqiao/model/v1\0"
    assert PART.commitment == sm3(domain + bytes.fromhex(PART.salt) + PART.part).hex()
    assert MODEL.commitment == sm3(domain + b"\1" * 32 + bytes.fromhex(PART.commitment)).hex()
    assert MODEL.commitment == model_commitment(MODEL.commitments) != model_commitment(MODEL.commitments[::-1])


@pytest.mark.parametrize("changes", [{"part": PART.part + b" "}, {"part": b""}, {"salt": "0e" + "0f" * 15}])
def test_another_part_or_salt_is_another_commitment(changes: dict[str, Any]) -> None:
    assert msgspec.structs.replace(PART, **changes).commitment not in MODEL.commitments


def test_salts_are_never_the_same() -> None:
    assert len({fresh_salt() for _ in range(100)}) == 100
    assert len(bytes.fromhex(fresh_salt())) == 16


def test_a_part_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "models" / "job" / "part.json"
    write_document(path, PART)
    assert read_part(path) == PART
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(path.read_bytes())["version"] == 1


def _but(**changes: Any) -> bytes:
    return json.dumps(json.loads(msgspec.json.encode(PART)) | changes).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        msgspec.json.encode(PART)[:-1],
        msgspec.json.encode(PART)[: len(msgspec.json.encode(PART)) // 2],
        b"\xff" + msgspec.json.encode(PART),
        _but(version=2),
        _but(algorithm="neural"),
        _but(salt="0f"),
        _but(salt="0F" * 16),
        _but(part="no base64!"),
        _but(threshold=0.5),
        msgspec.json.encode(MODEL),
    ],
)
def test_a_file_that_is_damaged_or_of_another_version_is_no_part(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "part.json").write_bytes(data)
    with pytest.raises(NodeError, match=r"part\.json cannot be read") as refused:
        read_part(tmp_path / "part.json")
    assert refused.value.code == "NOT_FOUND"
    assert "splits" not in str(refused.value)


def test_a_part_that_is_not_there_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "part.json", tmp_path):
        with pytest.raises(NodeError):
            read_part(path)
