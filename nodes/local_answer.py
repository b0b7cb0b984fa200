"""How the agent's own interface answers: a result, or an error with the detail that the hub uses too."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
from xinqiao.v1 import errors_pb2

from consent.errors import ConsentError
from modeling.errors import ModelingError
from nodes.errors import ERROR_METADATA_KEY, NodeError, UseRefused
from trust.errors import TrustError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")
FORESEEN: Final = (NodeError, TrustError, ConsentError, ModelingError)
"""Failures that are told as they are."""
STATUS_OF: Final = {
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "USE_REFUSED": grpc.StatusCode.PERMISSION_DENIED,
    "PERMISSION_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    "PEER_OFFLINE": grpc.StatusCode.UNAVAILABLE,
    "DEADLINE_EXCEEDED": grpc.StatusCode.DEADLINE_EXCEEDED,
    "UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "DISK_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "JOB_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "MODEL_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
}


async def answer(context: Context, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives, or the call is aborted with the error's code."""
    try:
        return await work()
    except FORESEEN as error:
        await abort(context, error)
        raise
    except Exception:
        log.exception("local_call_failed")
        await abort(context, NodeError("The agent failed; its log says more.", code="INTERNAL"))
        raise


async def abort(context: Context, error: NodeError | TrustError | ConsentError | ModelingError) -> None:
    """End the call with this error."""
    code = error.code if error.code in errors_pb2.ErrorCode.DESCRIPTOR.values_by_name else "INVALID_ARGUMENT"
    reason = error.reason if isinstance(error, NodeError) else ""
    if isinstance(error, UseRefused):
        code = "USE_REFUSED"
    detail = errors_pb2.ErrorDetail(code=errors_pb2.ErrorCode.Value(code), message=str(error), reason=reason)
    status = STATUS_OF.get(code, grpc.StatusCode.FAILED_PRECONDITION)
    await context.abort(status, str(error), ((ERROR_METADATA_KEY, detail.SerializeToString()),))
