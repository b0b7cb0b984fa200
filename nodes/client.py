"""A client of the agent on the same machine, for the command and for programs: every call of agent.proto, errors as NodeError."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message
from xinqiao.v1 import agent_pb2, agent_pb2_grpc

from nodes.errors import HubUnavailable, NodeError, from_rpc
from nodes.settings import agent_socket_path

T = TypeVar("T")
DEFAULT_TIMEOUT_S = 60.0


class AgentClient:
    """Calls the agent that serves a node's home. Methods are named as in agent.proto and take and return its messages."""

    def __init__(self, home: Path, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._path = agent_socket_path(home)
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(
            f"unix:{self._path}",
            options=(("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)),
        )
        self.stub = agent_pb2_grpc.AgentStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def call(self, method: str, request: Message) -> Any:  # noqa: ANN401 - the reply of that method
        """Call a unary method by its name. Raises NodeError."""
        if not self._path.exists():
            raise HubUnavailable(
                f"No agent serves this node (no socket at {self._path}). Start it: `xinqiao node serve`."
            )
        function: Callable[..., Any] = getattr(self.stub, method)
        try:
            return function(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise _agent_error(error) from error

    def fetch(self, request: agent_pb2.FetchRequest) -> Iterator[agent_pb2.FetchProgress]:
        """Begin or go on with a raw transfer; yields progress, last with the manifest's path. Raises NodeError."""
        try:
            yield from self.stub.Fetch(request)
        except grpc.RpcError as error:
            raise _agent_error(error) from error

    def train(self, request: agent_pb2.JobRequest) -> Iterator[agent_pb2.JobProgress]:
        """Begin or go on with a job; yields progress, last with the report. Raises NodeError."""
        try:
            yield from self.stub.TrainJob(request)
        except grpc.RpcError as error:
            raise _agent_error(error) from error


def _agent_error(error: grpc.RpcError) -> NodeError:
    failure = from_rpc(error)
    if failure.code == "UNAVAILABLE" and "hub cannot be reached" in failure.message:
        return HubUnavailable("The agent does not answer. Look at its log, or start it: `xinqiao node serve`.")
    return failure
