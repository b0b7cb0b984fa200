"""What a party keeps of a job: its part of the model, and what commits it to it.

    models/<job>/part.json     the part, the salt of its commitment, and what it belongs to; never leaves the node
    models/<job>/model.json    the whole model's commitment, its parties, how many subjects it is of

A part's commitment is SM3 over a random salt and the part's bytes; a model's is SM3 over the parts' commitments in the order of the
parties. So a party can show later which part it held, and nobody can guess a part from what the hub or another party keeps.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from consent.documents import Sm3Hex
from modeling.jobs.plan import Algorithm
from nodes.durable import write_bytes
from nodes.errors import NodeError
from trust.suite import sm3

PART_FILE: Final = "part.json"
MODEL_FILE: Final = "model.json"
_DOMAIN: Final = b"xinqiao/model/v1\0"
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
        return sm3(_DOMAIN + bytes.fromhex(self.salt) + self.part).hex()


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every party knows of the whole."""

    job: str
    name: str
    algorithm: Algorithm
    parties: tuple[str, ...]
    commitments: tuple[Sm3Hex, ...]
    subjects: int
    withdrawn: int
    made_ms: Annotated[int, msgspec.Meta(ge=0)]
    version: Literal[1] = 1

    @property
    def commitment(self) -> str:
        """Hex SM3."""
        return model_commitment(self.commitments)


def model_commitment(parts: tuple[str, ...]) -> str:
    """Over the parts' commitments in the order of the parties, the active one first."""
    return sm3(_DOMAIN + b"".join(bytes.fromhex(each) for each in parts)).hex()


def fresh_salt() -> str:
    """16 random bytes, hex."""
    return secrets.token_hex(16)


def write_document(path: Path, document: object) -> None:
    """Write JSON whole or not at all; durable when this returns."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def read_part(path: Path) -> OwnPart:
    """Raises NodeError if it is not there, damaged, or of another version."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=OwnPart)
    except (OSError, msgspec.MsgspecError) as error:
        raise NodeError(f"The model part {path} cannot be read ({type(error).__name__}).", code="NOT_FOUND") from error
