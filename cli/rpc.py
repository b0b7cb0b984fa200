"""Calling gRPC: one helper that turns what a failed call tells into a CliError; channels to the hub.

The detail travels in the trailing metadata ``xinqiao-error-bin`` (errors.proto). A call that fails without one could not
reach the other side, or met something that is not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError
from xinqiao.v1 import admin_pb2_grpc, errors_pb2, public_pb2_grpc

from cli.errors import CliError
from nodes.credentials import HubFacts

ERROR_METADATA_KEY: Final = "xinqiao-error-bin"
CALL_TIMEOUT_S: Final = 30.0
_OPTIONS: Final = (("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20))

Request_contra = TypeVar("Request_contra", contravariant=True)
Reply_co = TypeVar("Reply_co", covariant=True)
T = TypeVar("T")


class Unary(Protocol[Request_contra, Reply_co]):
    """A method of a stub."""

    def __call__(self, request: Request_contra, /, timeout: float | None = None) -> Reply_co:
        """Call it."""
        ...


def call(
    method: Unary[Request_contra, Reply_co], request: Request_contra, *, whom: str, timeout_s: float = CALL_TIMEOUT_S
) -> Reply_co:
    """Call a unary method. Raises CliError; `whom` says there who did not answer ("the hub at host:port")."""
    try:
        return method(request, timeout=timeout_s)
    except grpc.RpcError as error:
        raise from_rpc(error, whom) from error


def stream(replies: Callable[[], Iterator[T]], *, whom: str) -> Iterator[T]:
    """Yield the replies of a streaming call. Raises CliError as `call`."""
    try:
        yield from replies()
    except grpc.RpcError as error:
        raise from_rpc(error, whom) from error


def from_rpc(error: grpc.RpcError, whom: str) -> CliError:
    """Translate a failed call."""
    detail = _detail(error)
    if detail is not None:
        code = errors_pb2.ErrorCode.Name(detail.code)
        return CliError(code, detail.message, reason=detail.reason, incident=detail.incident)
    status = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    if status in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
        return CliError("UNAVAILABLE", f"{whom} does not answer. See that it runs and can be reached, then try again.")
    return CliError("INTERNAL", f"{whom} ended the call with {status.name} and no detail. Look into its log.")


def _detail(error: grpc.RpcError) -> errors_pb2.ErrorDetail | None:
    metadata: Any = error.trailing_metadata() if isinstance(error, grpc.Call) else ()
    for key, value in metadata or ():
        if key != ERROR_METADATA_KEY or not isinstance(value, bytes):
            continue
        try:
            detail = errors_pb2.ErrorDetail.FromString(value)
        except DecodeError:
            return None
        # A code that a newer hub knows and this command does not has no name here; the status must do then.
        return detail if detail.code in errors_pb2.ErrorCode.values() and detail.code else None
    return None


@contextmanager
def admin(socket: Path) -> Iterator[admin_pb2_grpc.AdminStub]:
    """The running hub's operator interface. Raises CliError UNAVAILABLE if no hub listens."""
    if not socket.exists():
        raise CliError("UNAVAILABLE", f"No hub listens at {socket}. Start it: `xinqiao hub serve`, or name its home.")
    with grpc.insecure_channel(f"unix:{socket.resolve()}", options=_OPTIONS) as channel:
        yield admin_pb2_grpc.AdminStub(channel)


@contextmanager
def subjects(hub: HubFacts) -> Iterator[public_pb2_grpc.SubjectsStub]:
    """The hub's interface for enterprises, over TLS with the pinned authority and nothing else."""
    credentials = grpc.ssl_channel_credentials(root_certificates=hub.authority_pem)
    with grpc.secure_channel(hub.public_address, credentials, options=_OPTIONS) as channel:
        yield public_pb2_grpc.SubjectsStub(channel)
