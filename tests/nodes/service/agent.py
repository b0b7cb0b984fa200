"""An agent behind a real socket: it serves models, scores as it is told, keeps what it was asked, and knows a question again."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import msgspec
from xinqiao.v1 import agent_pb2, agent_pb2_grpc, errors_pb2

from nodes.scoring.own import OwnColumn
from nodes.service.models import ServedModel

MODEL: Final = ServedModel(
    model_id="m-1",
    name="loans",
    version=1,
    kind="linear",
    mode="model_to_data",
    state="in_service",
    providers=("taxoffice",),
    own_columns=(OwnColumn(name="years", kind="number"), OwnColumn(name="branch", kind="text", nullable=False)),
)
OTHER: Final = ServedModel(
    model_id="m-2",
    name="loans",
    version=2,
    kind="linear",
    state="in_service",
    own_columns=(OwnColumn(name="years", kind="number"),),
)


@dataclass
class SimulatedAgent(agent_pb2_grpc.AgentServicer):
    """`refuse`, `refuse_of`: how Score fails, for all or one model; `wait`: what it waits for; `withheld`: why, by subject."""

    models: list[ServedModel] = field(default_factory=lambda: [MODEL, OTHER])
    refuse: tuple[str, str] | None = None
    refuse_of: dict[str, tuple[str, str]] = field(default_factory=dict)
    wait: asyncio.Event | None = None
    withheld: dict[str, str] = field(default_factory=dict)
    asked: list[agent_pb2.ScoreRequest] = field(default_factory=list)
    counted: int = 0
    _known: dict[str, agent_pb2.ScoreReply] = field(default_factory=dict)

    async def ListServableModels(self, request: agent_pb2.ListServableModelsRequest, context: Any) -> Any:
        return agent_pb2.ListServableModelsReply(models_json=msgspec.json.encode(self.models))

    async def Score(self, request: agent_pb2.ScoreRequest, context: Any) -> Any:
        self.asked.append(request)
        if self.wait is not None:
            await self.wait.wait()
        refusal = self.refuse_of.get(request.model_id, self.refuse)
        if refusal is not None:
            code, message = refusal
            detail = errors_pb2.ErrorDetail(code=errors_pb2.ErrorCode.Value(code), message=message)
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                message,
                (("xinqiao-error-bin", detail.SerializeToString()),),
            )
        if request.request_key not in self._known:
            self.counted += len(request.subjects)
            self._known[request.request_key] = agent_pb2.ScoreReply(
                scores=[self._score(request.model_id, each) for each in request.subjects]
            )
        return self._known[request.request_key]

    def _score(self, model_id: str, subject: agent_pb2.ScoreSubject) -> agent_pb2.SubjectScore:
        if subject.uscc in self.withheld:
            reason = self.withheld[subject.uscc]
            return agent_pb2.SubjectScore(
                uscc=subject.uscc, model_id=model_id, refused=reason, detail="taxoffice refuses"
            )
        own = msgspec.json.decode(subject.own_json or b"{}")
        z = -2.0 + 0.1 * (own.get("years") or 0.0) + (0.5 if model_id == "m-2" else 0.0)
        probability = 1 / (1 + math.exp(-z))
        return agent_pb2.SubjectScore(
            uscc=subject.uscc,
            model_id=model_id,
            score=z,
            probability=probability,
            points=600 - 20 * z,
            band="A" if z < -1.5 else "B",
            reasons=["years"],
            receipt_ids=["r-1"],
            error_bound=1e-6,
        )


@asynccontextmanager
async def serving(home: Path, agent: SimulatedAgent) -> AsyncIterator[None]:
    """The agent on the socket of a home."""
    server = grpc.aio.server()
    agent_pb2_grpc.add_AgentServicer_to_server(agent, server)
    server.add_insecure_port(f"unix:{home / 'agent.sock'}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)
