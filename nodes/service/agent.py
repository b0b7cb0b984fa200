"""The agent as the service calls it: scores and models, over its socket. Errors are NodeError with the agent's own code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self

import grpc
import msgspec
from google.protobuf.message import Message
from xinqiao.v1 import agent_pb2, agent_pb2_grpc

from nodes.errors import HubUnavailable, NodeError, from_rpc
from nodes.scoring.scorer import Scored, ScoreRequest
from nodes.service.models import ServedModel
from nodes.settings import agent_socket_path

LONGEST_CALL_S: Final = 60.0
"""How long a score may take in the agent, whatever its caller waits: what was begun is recorded and kept for who asks again."""
MODELS_FOR_S: Final = 2.0
"""How long a list of models serves. The agent refuses a retired model itself, at once."""


class Agent(Protocol):
    """What the service needs."""

    async def models(self, *, fresh: bool = False) -> Sequence[ServedModel]:
        """The models that this node owns. Raises NodeError."""
        ...

    async def score(self, request: ScoreRequest) -> Sequence[Scored]:
        """As `nodes.scoring.scorer.Scorer`."""
        ...


class AgentLink:
    """The agent of a home. Use it as an async context."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = agent_socket_path(home)
        self._clock = clock
        self._channel = grpc.aio.insecure_channel(
            f"unix:{self._path}",
            options=(
                ("grpc.max_receive_message_length", 64 << 20),
                # an agent that was restarted is found again at once
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ),
        )
        self._stub = agent_pb2_grpc.AgentStub(self._channel)
        self._models: tuple[ServedModel, ...] = ()
        self._models_until_s = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def models(self, *, fresh: bool = False) -> Sequence[ServedModel]:
        """See `Agent`; a list is asked for again after MODELS_FOR_S."""
        if fresh or self._clock() >= self._models_until_s:
            reply: agent_pb2.ListServableModelsReply = await self._call(
                "ListServableModels", agent_pb2.ListServableModelsRequest()
            )
            try:
                self._models = msgspec.json.decode(reply.models_json or b"[]", type=tuple[ServedModel, ...])
            except msgspec.MsgspecError as error:
                raise NodeError(
                    f"The agent's models cannot be read ({error}). Run one version of agent and service.",
                    code="UNAVAILABLE",
                ) from error
            self._models_until_s = self._clock() + MODELS_FOR_S
        return self._models

    async def score(self, request: ScoreRequest) -> Sequence[Scored]:
        """See `Agent`."""
        try:
            reply: agent_pb2.ScoreReply = await self._call("Score", _request(request))
        except NodeError:
            self._models_until_s = 0.0  # what refused may have to do with the model's state
            raise
        found = tuple(_scored(each) for each in reply.scores)
        if tuple(each.uscc for each in found) != request.subjects:
            raise NodeError("The agent's scores are of other enterprises than were asked for.", code="INTERNAL")
        return found

    async def _call(self, method: str, request: Message) -> Any:  # noqa: ANN401 - the reply of that method
        if not self._path.exists():
            raise _away()
        try:
            return await getattr(self._stub, method)(request, timeout=LONGEST_CALL_S)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc(error)
            if isinstance(failure, HubUnavailable) and not failure.incident and "hub cannot be" in failure.message:
                raise _away() from error
            raise failure from error


def _away() -> NodeError:
    return HubUnavailable("The agent of this node does not answer. See that `xinqiao node serve` runs.")


def _request(request: ScoreRequest) -> agent_pb2.ScoreRequest:
    return agent_pb2.ScoreRequest(
        model_id=request.model_id,
        subjects=[
            agent_pb2.ScoreSubject(
                uscc=uscc, own_json=msgspec.json.encode(request.own[uscc]) if request.own.get(uscc) else b""
            )
            for uscc in request.subjects
        ],
        reason=request.reason,
        user=request.user,
        application_no=request.application_no or "",
        request_key=request.request_key,
    )


def _scored(score: agent_pb2.SubjectScore) -> Scored:
    return Scored(
        uscc=score.uscc,
        model_id=score.model_id,
        score=score.score if score.HasField("score") else None,
        probability=score.probability if score.HasField("probability") else None,
        points=score.points if score.HasField("points") else None,
        band=score.band,
        reasons=tuple(score.reasons),
        refused=score.refused,
        detail=score.detail,
        receipt_ids=tuple(score.receipt_ids),
        error_bound=score.error_bound,
    )
