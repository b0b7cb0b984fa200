"""What can go wrong in a node, as one small tree of errors with stable codes.

The rules of this module:
1. Every error has a `code` (from `errors.proto` where the hub knows the same failure) and a message that
   says what happened, to what, and what to do.
2. An `Alarm` is more than an error: evidence that the hub, or somebody in its place, has shown something
   that an honest hub never shows. It latches: the node refuses every consented use until an operator has
   looked.
3. What the hub sends as `ErrorDetail` is told on with its own code; what it sends without one becomes a plain
   sentence of ours, never the transport's inner text.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

import grpc
from google.protobuf.message import DecodeError
from xinqiao.v1 import errors_pb2

ERROR_METADATA_KEY: Final = "xinqiao-error-bin"
"""Trailing metadata in which the hub sends a serialised `ErrorDetail`."""

RETRYABLE_CODES: Final = frozenset({"UNAVAILABLE", "PEER_OFFLINE", "DEADLINE_EXCEEDED", "RATE_LIMITED"})
"""Failures that pass by themselves."""


class NodeError(Exception):
    """Base of the tree. `code` is stable; `reason` is the decision's reason code where there is one.

    `retry_after_ms` is how long to wait before trying again, 0 when trying again will not help.
    """

    code: str = "NODE_ERROR"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str = "",
        retry_after_ms: int = 0,
        incident: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.reason = reason
        self.retry_after_ms = retry_after_ms
        self.incident = incident

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without anybody changing anything."""
        return self.code in RETRYABLE_CODES or self.retry_after_ms > 0


class SettingsInvalid(NodeError):
    """The node's configuration cannot be used."""

    code = "SETTINGS_INVALID"


class StoreFailed(NodeError):
    """The node's database refused an operation; nothing of it was kept."""

    code = "STORE_FAILED"


class DiskFull(StoreFailed):
    """No space for the database; what was acknowledged before is safe."""

    code = "DISK_FULL"


class StoreInUse(StoreFailed):
    """Another process holds this node's home; two of them would count uses twice."""

    code = "STORE_IN_USE"


class SchemaTooNew(StoreFailed):
    """The database was written by a newer version of the software."""

    code = "SCHEMA_TOO_NEW"


class EnrolmentFailed(NodeError):
    """Enrolment ended without a usable identity; nothing was written."""

    code = "ENROLMENT_FAILED"


class TokenMalformed(EnrolmentFailed):
    """The invitation token cannot be read."""

    code = "TOKEN_INVALID"


class AlreadyEnrolled(EnrolmentFailed):
    """The home has an identity already; enrolment never overwrites keys."""

    code = "ALREADY_EXISTS"


class CredentialsInvalid(NodeError):
    """The files that make up the node's identity are missing or do not fit each other."""

    code = "CREDENTIALS_INVALID"


class ClockSkew(NodeError):
    """The machine's clock and the hub's differ by more than a minute."""

    code = "CLOCK_SKEW"


class HubUnavailable(NodeError):
    """The hub cannot be reached or is restarting; calls are idempotent and may be repeated."""

    code = "UNAVAILABLE"


class HubRefused(NodeError):
    """The hub answered with an error; `code`, `reason`, `retry_after_ms` and `incident` are its own."""

    code = "INTERNAL"


class UseRefused(NodeError):
    """The consent decision refused a use; `reason` is its reason code."""

    code = "USE_REFUSED"


class ExchangeFailed(NodeError):
    """An exchange between two nodes ended without its result; the code says why."""

    code = "PEER_FAILED"


class AlarmKind(StrEnum):
    """Which lie was seen. The value is stable and shown to operators."""

    ENTRY_HIDDEN = "ENTRY_HIDDEN"
    LOG_FORKED = "LOG_FORKED"
    CHECKPOINT_OLD = "CHECKPOINT_OLD"
    CHECKPOINT_FORGED = "CHECKPOINT_FORGED"
    INDEX_SKIPPED = "INDEX_SKIPPED"
    INDEX_REPEATED = "INDEX_REPEATED"
    ENTRY_FORGED = "ENTRY_FORGED"
    ENTRY_INVALID = "ENTRY_INVALID"
    SUBJECT_KEY_SWAPPED = "SUBJECT_KEY_SWAPPED"
    ORIGIN_FOREIGN = "ORIGIN_FOREIGN"
    INCLUSION_UNPROVED = "INCLUSION_UNPROVED"
    RECEIPT_MISSING = "RECEIPT_MISSING"


ALARM_SENTENCES: Final[dict[AlarmKind, str]] = {
    AlarmKind.ENTRY_HIDDEN: "the hub signed a checkpoint over entries that it did not send",
    AlarmKind.LOG_FORKED: "the hub signed another history than the one it showed this node",
    AlarmKind.CHECKPOINT_OLD: "the hub served a checkpoint older than one it showed before",
    AlarmKind.CHECKPOINT_FORGED: "a checkpoint is not signed by the hub's pinned key",
    AlarmKind.INDEX_SKIPPED: "the hub skipped entries of the log",
    AlarmKind.INDEX_REPEATED: "the hub sent entries of the log again",
    AlarmKind.ENTRY_FORGED: "an entry of the log carries a signature that does not verify",
    AlarmKind.ENTRY_INVALID: "an entry of the log breaks the rules of its log",
    AlarmKind.SUBJECT_KEY_SWAPPED: "an enterprise's key was replaced without a valid approval",
    AlarmKind.ORIGIN_FOREIGN: "the hub sent a log that is not this node's to see",
    AlarmKind.INCLUSION_UNPROVED: "an entry is not proved to be in the log that it is said to come from",
    AlarmKind.RECEIPT_MISSING: "a receipt that the hub acknowledged is not in the usage log",
}
"""What each kind means, to print beside the details."""


class Alarm(NodeError):
    """Evidence of a lie. The node refuses from here on until an operator clears it."""

    code = "LOG_INCONSISTENT"
    advice: ClassVar[str] = (
        "The node refuses consented uses until an operator has looked: compare with the hub's operator, "
        "check an export with `xinqiao audit verify`, then clear the alarm"
    )

    def __init__(self, kind: AlarmKind, origin: str, detail: str) -> None:
        super().__init__(f"{ALARM_SENTENCES[kind]} (log {origin}): {detail}. {self.advice}")
        self.kind = kind
        self.origin = origin
        self.detail = detail


_PLAIN: Final[dict[grpc.StatusCode, tuple[type[NodeError], str]]] = {
    grpc.StatusCode.UNAVAILABLE: (
        HubUnavailable,
        "the hub cannot be reached; the node tries again, `xinqiao node doctor` says what is wrong",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        HubUnavailable,
        "the hub did not answer in time; try again, calls are idempotent",
    ),
}


def from_rpc(error: grpc.RpcError) -> NodeError:
    """Turn a failed call into a NodeError with the hub's own code, or with UNAVAILABLE when it gave none."""
    detail = _detail_of(error)
    if detail is not None:
        code = errors_pb2.ErrorCode.Name(detail.code)
        kind = HubUnavailable if code == "UNAVAILABLE" else HubRefused
        return kind(
            detail.message,
            code=code,
            reason=detail.reason,
            retry_after_ms=detail.retry_after_ms,
            incident=detail.incident,
        )
    status = error.code() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else None
    if status in _PLAIN:
        plain, sentence = _PLAIN[status]
        return plain(sentence)
    name = status.name if status is not None else "no status"
    return HubRefused(f"the hub ended the call with {name} and no detail; look into the hub's log")


def _detail_of(error: grpc.RpcError) -> errors_pb2.ErrorDetail | None:
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return None
    for key, value in error.trailing_metadata() or ():
        if key != ERROR_METADATA_KEY or not isinstance(value, bytes):
            continue
        try:
            detail = errors_pb2.ErrorDetail.FromString(value)
        except DecodeError:
            return None
        # A code of a newer hub has no name here; the plain status still says something.
        return detail if detail.code in errors_pb2.ErrorCode.values() and detail.code != 0 else None
    return None
