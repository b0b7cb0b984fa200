"""What a node keeps of a model's numbers, beside the registry's documents.

models/<model>/parts.json   a linear model at its owner: every party's part with its salt; never leaves the node
models/<job>/part.json      a joint model: this party's own part (nodes/joint/model_files.py)
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from consent.documents import MemberId
from consent.models import part_commitment
from nodes.errors import NodeError
from nodes.joint.model_files import PART_FILE, read_part, write_document

PARTS_FILE = "parts.json"
Salt = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class HeldPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part with the salt of its commitment. `part`: its document's bytes, as they were committed to."""

    party: MemberId
    salt: Salt
    part: bytes

    @property
    def commitment(self) -> str:
        """Hex SM3."""
        return part_commitment(self.salt, self.part)


class LinearParts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A linear model at its owner. The owner's own part comes first, and is the whole model; the others' follow from it.

    Of data to model there is no other part.
    """

    parts: Annotated[tuple[HeldPart, ...], msgspec.Meta(min_length=1)]

    @property
    def model(self) -> bytes:
        """The whole model in its canonical form (modeling/scoring/model.py)."""
        return self.parts[0].part


def write_linear(home: Path, model_id: str, held: LinearParts) -> None:
    """Durable when this returns."""
    write_document(home / "models" / model_id / PARTS_FILE, held)


def read_linear(home: Path, model_id: str) -> LinearParts:
    """Raises NodeError NOT_FOUND if it is not there or damaged."""
    path = home / "models" / model_id / PARTS_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=LinearParts)
    except (OSError, msgspec.MsgspecError) as error:
        raise NodeError(
            f"The model's parts {path} cannot be read ({type(error).__name__}).", code="NOT_FOUND"
        ) from error


def read_joint(home: Path, job: str, member: str) -> HeldPart:
    """A member's own part of a joint model. Raises NodeError NOT_FOUND."""
    own = read_part(home / "models" / job / PART_FILE)
    return HeldPart(party=member, salt=own.salt, part=own.part)
