"""How a failure is told at either door: one table from codes to HTTP and gRPC status, and the problem document (RFC 9457)."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from consent.errors import ConsentError
from modeling.errors import ModelingError
from nodes.errors import NodeError, StoreFailed
from trust.errors import TrustError

_S = grpc.StatusCode

_STATUS: Final[dict[str, tuple[int, grpc.StatusCode]]] = {
    "INVALID_ARGUMENT": (422, _S.INVALID_ARGUMENT),
    "USCC_INVALID": (422, _S.INVALID_ARGUMENT),
    "MODEL_INVALID": (422, _S.INVALID_ARGUMENT),
    "UNAUTHENTICATED": (401, _S.UNAUTHENTICATED),
    "PERMISSION_DENIED": (403, _S.PERMISSION_DENIED),
    "USE_REFUSED": (403, _S.PERMISSION_DENIED),
    "NOT_FOUND": (404, _S.NOT_FOUND),
    "ALREADY_EXISTS": (409, _S.ALREADY_EXISTS),
    "REQUEST_KEY_USED": (409, _S.ALREADY_EXISTS),
    "WRONG_STATE": (409, _S.FAILED_PRECONDITION),
    "MODEL_NOT_APPROVED": (409, _S.FAILED_PRECONDITION),
    "MODEL_RETIRED": (409, _S.FAILED_PRECONDITION),
    "MODEL_PRECISION": (409, _S.FAILED_PRECONDITION),
    "APPROVAL_REQUIRED": (409, _S.FAILED_PRECONDITION),
    "TOO_LARGE": (413, _S.RESOURCE_EXHAUSTED),
    "RATE_LIMITED": (429, _S.RESOURCE_EXHAUSTED),
    "SCORE_LIMIT_REACHED": (429, _S.RESOURCE_EXHAUSTED),
    "PEER_FAILED": (502, _S.UNAVAILABLE),
    "PEER_OFFLINE": (503, _S.UNAVAILABLE),
    "DEADLINE_EXCEEDED": (504, _S.DEADLINE_EXCEEDED),
    "UNAVAILABLE": (503, _S.UNAVAILABLE),
    "WORKERS_FAILED": (503, _S.UNAVAILABLE),
    "DISK_FULL": (503, _S.UNAVAILABLE),
}

_TITLES: Final = {
    400: "The request cannot be read",
    401: "No valid API key",
    403: "Not allowed",
    404: "Not found",
    405: "Wrong method",
    408: "The body did not come",
    409: "The state does not allow it",
    413: "The body is too large",
    422: "The request is not valid",
    429: "Too many",
    500: "The service failed",
    502: "The other member failed",
    503: "Not available",
    504: "Not in time",
}

KNOWN: Final = (NodeError, ConsentError, TrustError, ModelingError)
"""The errors that are raised on purpose; their texts may be told."""

RETRY_AFTER_MS: Final = 1000
_PLACES: Final = 12


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request: where ("subjects[0].features.age") and what."""

    where: str
    what: str


class CallFailed(NodeError):
    """A call that the service itself refuses. `status`: of HTTP, if it is not that of the code; `faults`: each thing that is wrong."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        faults: Sequence[Fault] = (),
        retry_after_ms: int = 0,
    ) -> None:
        super().__init__(message, code=code, retry_after_ms=retry_after_ms)
        self.status = status
        self.faults = tuple(faults)


def as_node_error(error: Exception) -> NodeError:
    """An error of one of our packages as it is; whatever else as INTERNAL, without its text."""
    if isinstance(error, StoreFailed):
        return NodeError("The service's database refused; its log says more.", code="UNAVAILABLE")
    if isinstance(error, NodeError):
        return error
    if isinstance(error, KNOWN):
        return NodeError(str(error), code=error.code)
    return NodeError("The service failed in a way it did not foresee; its log says more.", code="INTERNAL")


def places(error: BaseException) -> dict[str, object]:
    """Of an unforeseen failure, for the log: its type and where it passed through. Not its text: values stand in it."""
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    return {
        "failure": f"{type(error).__module__}.{type(error).__qualname__}",
        "places": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


def http_status(error: NodeError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, CallFailed) and error.status:
        return error.status
    return _STATUS.get(error.code, (500, _S.INTERNAL))[0]


def grpc_status(error: NodeError) -> grpc.StatusCode:
    """The gRPC status of an error."""
    return _STATUS.get(error.code, (500, _S.INTERNAL))[1]


def problem(error: NodeError, request_id: str) -> dict[str, Any]:
    """The problem document: type, title, status and detail of RFC 9457; code and reason as the command tells them."""
    status = http_status(error)
    found: dict[str, Any] = {
        "type": f"/docs#{error.code}",
        "title": title(status),
        "status": status,
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    if error.reason:
        found["reason"] = error.reason
    if isinstance(error, CallFailed) and error.faults:
        found["faults"] = [{"where": each.where, "what": each.what} for each in error.faults]
    return found


def problem_headers(error: NodeError) -> list[tuple[str, str]]:
    """Headers that go with a problem. Each challenge has a line of its own: browsers do not read two in one."""
    status = http_status(error)
    headers = [("Cache-Control", "no-store")]
    if status == 401:
        headers += [("WWW-Authenticate", f'{scheme} realm="xinqiao"') for scheme in ("Basic", "Bearer")]
    wait_ms = error.retry_after_ms or (RETRY_AFTER_MS if status == 503 else 0)
    if wait_ms:
        headers.append(("Retry-After", str(max(1, -(-wait_ms // 1000)))))
    return headers


def title(status: int) -> str:
    """What an HTTP status of ours means, in a few words."""
    return _TITLES.get(status, "Failed")


def codes() -> dict[str, int]:
    """The codes that a caller may meet, with their HTTP status."""
    return {code: status for code, (status, _) in _STATUS.items()} | {"INTERNAL": 500}
