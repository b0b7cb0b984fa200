"""Signed heads of a log: what the hub states about it, what witnesses add, and what may follow what.

The rules of this module:
1. A checkpoint is a signed document of its own payload type; origin, size, root and time are all under the
   signature.
2. It is read only after the signature of the key that is asked about was verified, and in one encoding only.
3. A new checkpoint extends an old one if the origin is the same, neither size nor time went back, and a
   consistency proof leads from the old root to the new; everything else is `LogInconsistent`, an alarm.
4. A witness signs the same bytes as the hub, so that its cosignature says: I saw this very head, and it
   extended the last one I saw. Whoever calls `cosign` has checked that before.
5. A checkpoint is fresh for a stated time only, and never when it comes from the future: a date ahead of
   the clock would make an old head look fresh for as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from trust.document import SignedDocument, countersign, sign_document, verify_document
from trust.errors import CheckpointStale, DocumentMalformed, LogInconsistent
from trust.merkle import EMPTY_ROOT, MAX_SIZE, verify_consistency
from trust.sm2 import PrivateKey, PublicKey
from trust.suite import HASH_SIZE

PAYLOAD_TYPE: Final = "application/vnd.xinqiao.checkpoint+json"
MAX_ORIGIN_LENGTH: Final = 255
MAX_CLOCK_SKEW_MS: Final = 5_000
_LAST_TIME_MS: Final = 2**53 - 1  # what every JSON reader holds exactly


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The head of a log at a time.

    `origin` names the log; `size` counts its entries; `root` is the Merkle root over them, 32 bytes;
    `time_ms` is the signer's clock, milliseconds since 1970 UTC. Raises DocumentMalformed if a value cannot
    be that.
    """

    origin: str
    size: int
    root: bytes
    time_ms: int

    def __post_init__(self) -> None:
        if not 0 < len(self.origin) <= MAX_ORIGIN_LENGTH or not self.origin.isprintable() or " " in self.origin:
            raise _malformed(f"its origin must be 1 to {MAX_ORIGIN_LENGTH} printable characters without spaces")
        if not 0 <= self.size <= MAX_SIZE:
            raise _malformed(f"its size {self.size} is not between 0 and {MAX_SIZE}")
        if len(self.root) != HASH_SIZE:
            raise _malformed(f"its root has {len(self.root)} bytes, an SM3 hash has {HASH_SIZE}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise _malformed("a log without entries has another root")
        if not 0 <= self.time_ms <= _LAST_TIME_MS:
            raise _malformed(f"its time {self.time_ms} is not in milliseconds since 1970")

    def encode(self) -> bytes:
        """Return the payload that is signed: compact JSON: origin, size, root (hex), time_ms, so ordered."""
        wire = _Wire(origin=self.origin, size=self.size, root=self.root.hex(), time_ms=self.time_ms)
        return msgspec.json.encode(wire)

    @classmethod
    def decode(cls, payload: bytes) -> Checkpoint:
        """Read a payload; raises DocumentMalformed for all but the one encoding that `encode` gives."""
        try:
            wire = msgspec.json.decode(payload, type=_Wire)
            root = bytes.fromhex(wire.root)
        except (msgspec.MsgspecError, ValueError) as error:  # ValueError: also text that is not UTF-8
            raise _malformed(str(error)) from error
        checkpoint = cls(origin=wire.origin, size=wire.size, root=root, time_ms=wire.time_ms)
        if checkpoint.encode() != payload:
            raise _malformed("it is not in the one encoding that is signed")
        return checkpoint


class _Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON form of a checkpoint."""

    origin: str
    size: int
    root: str
    time_ms: int


def make_checkpoint(checkpoint: Checkpoint, key: PrivateKey) -> SignedDocument:
    """Sign a head with the hub's key."""
    return sign_document(PAYLOAD_TYPE, checkpoint.encode(), key)


def open_checkpoint(document: SignedDocument, hub_key: PublicKey) -> Checkpoint:
    """Verify the hub's signature, then read the checkpoint.

    Raises SignatureInvalid if that key did not sign a document of this type, DocumentMalformed if it cannot
    be read.
    """
    verify_document(document, PAYLOAD_TYPE, hub_key)
    return Checkpoint.decode(document.payload)


def cosign(document: SignedDocument, node_key: PrivateKey) -> SignedDocument:
    """Add a witness's signature to a checkpoint that it has opened and found to extend its last one."""
    if document.payload_type != PAYLOAD_TYPE:
        raise _malformed(f"a witness signs checkpoints only, this is {document.payload_type!r}")
    return countersign(document, node_key)


def verify_witness(document: SignedDocument, node_key: PublicKey) -> None:
    """Raise SignatureInvalid unless this witness signed this very checkpoint."""
    verify_document(document, PAYLOAD_TYPE, node_key)


def extends(old: Checkpoint, new: Checkpoint, path: Sequence[bytes]) -> None:
    """Check that `new` may follow `old`, given the consistency proof between their sizes (RFC 9162, 2.1.4).

    A checkpoint extends itself, and a later one of the same head, with an empty path. Raises
    LogInconsistent for another origin, a size or a time that went back, two roots of one size, and a proof
    that does not hold.
    """
    if new.origin != old.origin:
        raise LogInconsistent(f"a checkpoint of log {new.origin} was presented as the next one of log {old.origin}")
    if new.size < old.size:
        raise _alarm(new, f"went back from {old.size} entries to {new.size}: entries are being hidden")
    if new.time_ms < old.time_ms:
        raise _alarm(new, f"went back in time by {old.time_ms - new.time_ms} ms: an old checkpoint is being served")
    verify_consistency(old.size, new.size, path, old.root, new.root)


def verify_fresh(checkpoint: Checkpoint, *, now_ms: int, max_age_ms: int) -> None:
    """Raise CheckpointStale if it is older than `max_age_ms`, or further ahead than clocks may differ."""
    age_ms = now_ms - checkpoint.time_ms
    if age_ms > max_age_ms:
        raise CheckpointStale(
            f"the newest checkpoint of log {checkpoint.origin} is {age_ms} ms old, the limit is {max_age_ms};"
            " restore the connection to the hub"
        )
    if age_ms < -MAX_CLOCK_SKEW_MS:
        raise CheckpointStale(
            f"the checkpoint of log {checkpoint.origin} is dated {-age_ms} ms ahead of this clock; "
            "compare the clocks of node and hub"
        )


def _alarm(new: Checkpoint, what: str) -> LogInconsistent:
    return LogInconsistent(f"log {new.origin} {what}; do not rely on it until an operator has looked")


def _malformed(reason: str) -> DocumentMalformed:
    return DocumentMalformed(f"a checkpoint was rejected: {reason}")
