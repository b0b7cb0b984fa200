"""What a party keeps of a job: its part of the model, and what commits it to it.

    models/<job>/part.json     the part, the salt of its commitment, and what it belongs to; never leaves the node
    models/<job>/model.json    the whole model's commitment, its parties, how many subjects it is of

How a part and the whole are committed to stands in `consent.models`.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from consent.documents import Sm3Hex
from consent.models import model_commitment, part_commitment
from modeling.jobs.plan import Algorithm
from nodes.durable import write_bytes
from nodes.errors import NodeError

PART_FILE: Final = "part.json"
MODEL_FILE: Final = "model.json"
_Read = TypeVar("_Read", "OwnPart", "ModelRecord")
_Salt = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class OwnPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A party's part of a model, as it lies on its own disk. `part`: the algorithm's own document."""

    job: str
    name: str
    algorithm: Algorithm
    party: str
    salt: _Salt
    part: bytes
    version: Literal[1] = 1

    @property
    def commitment(self) -> str:
        """Hex SM3."""
        return part_commitment(self.salt, self.part)


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every party knows of the whole. `batch_roots`: of each provider's receipts over those who stayed to the end."""

    job: str
    name: str
    algorithm: Algorithm
    parties: tuple[str, ...]
    commitments: tuple[Sm3Hex, ...]
    subjects: int
    withdrawn: int
    made_ms: Annotated[int, msgspec.Meta(ge=0)]
    batch_roots: tuple[Sm3Hex, ...] = ()
    version: Literal[1] = 1

    @property
    def commitment(self) -> str:
        """Hex SM3."""
        return model_commitment(self.commitments)


def fresh_salt() -> str:
    """16 random bytes, hex."""
    return secrets.token_hex(16)


def write_document(path: Path, document: object) -> None:
    """Write JSON whole or not at all; durable when this returns."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def read_model(path: Path) -> ModelRecord:
    """Raises NodeError as `read_part`."""
    return _read(path, ModelRecord)


def read_part(path: Path) -> OwnPart:
    """Raises NodeError if it is not there, damaged, or of another version."""
    return _read(path, OwnPart)


def _read(path: Path, kind: type[_Read]) -> _Read:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise NodeError(f"The model file {path} cannot be read ({type(error).__name__}).", code="NOT_FOUND") from error
