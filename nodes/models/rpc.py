"""The registry's calls of agent.proto. A base of the whole Agent servicer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import msgspec
from xinqiao.v1 import agent_pb2, agent_pb2_grpc

from consent.model_state import Model, Step
from consent.models import Metrics
from nodes.errors import NodeError
from nodes.local_answer import answer
from nodes.models.registry import Registry, Terms

if TYPE_CHECKING:
    from nodes.agent import Agent

    Context = grpc.aio.ServicerContext[Any, Any]


class ModelCalls(agent_pb2_grpc.AgentServicer):
    """Decode, call, encode."""

    _agent: Agent

    async def RegisterOwnModel(
        self, request: agent_pb2.RegisterOwnModelRequest, context: Context
    ) -> agent_pb2.ModelVersionReply:
        async def work() -> agent_pb2.ModelVersionReply:
            registry, terms = self._agent.registry, _terms_of(request)
            if bool(request.linear) is bool(request.job):
                raise NodeError("Register either a linear model or a job.", code="INVALID_ARGUMENT")
            if request.linear:
                return _reply(registry, await registry.register_linear(request.linear, terms))
            return _reply(registry, await registry.register_joint(request.job, terms))

        return await answer(context, work)

    async def ListModelVersions(
        self, request: agent_pb2.ListModelVersionsRequest, context: Context
    ) -> agent_pb2.ListModelVersionsReply:
        async def work() -> agent_pb2.ListModelVersionsReply:
            registry = self._agent.registry
            found = (registry.model(request.model_id),) if request.model_id else registry.models()
            return agent_pb2.ListModelVersionsReply(models=[_reply(registry, model) for model in found])

        return await answer(context, work)

    async def StepModel(self, request: agent_pb2.StepModelRequest, context: Context) -> agent_pb2.ModelVersionReply:
        async def work() -> agent_pb2.ModelVersionReply:
            registry = self._agent.registry
            try:
                step = Step(request.step)
            except ValueError:
                raise NodeError(
                    f"{request.step!r} is no step; use one of {', '.join(Step)}.", code="INVALID_ARGUMENT"
                ) from None
            return _reply(registry, await registry.take_step(request.model_id, step, request.reason, request.user))

        return await answer(context, work)

    async def OpenModel(self, request: agent_pb2.OpenModelRequest, context: Context) -> agent_pb2.OpenModelReply:
        async def work() -> agent_pb2.OpenModelReply:
            opening = await self._agent.registry.opening(request.model_id, Path(request.file))
            sessions = len(opening.sessions) + len(opening.sent)
            return agent_pb2.OpenModelReply(parts=len(opening.parts), sessions=sessions)

        return await answer(context, work)


def _terms_of(request: agent_pb2.RegisterOwnModelRequest) -> Terms:
    return Terms(
        name=request.name,
        version=request.version,
        description=request.description,
        products=_parsed(request.products_json, dict[str, str], "products"),
        metrics=_parsed(request.metrics_json, Metrics, "metrics"),
        replaces=request.replaces or None,
        licensed_bureau=request.licensed_bureau or None,
        askers=tuple(request.askers),
        covers=tuple(request.covers),
    )


def _parsed(data: bytes, kind: Any, what: str) -> Any:  # noqa: ANN401 - of this kind
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise NodeError(f"The {what} cannot be read: {error}", code="INVALID_ARGUMENT") from None


def _reply(registry: Registry, model: Model) -> agent_pb2.ModelVersionReply:
    standing = model.standing
    return agent_pb2.ModelVersionReply(
        version_json=model.document.payload,
        sm3=model.sm3,
        role="owner" if registry.is_owner(model) else "asker" if model.version.askers else "provider",
        state=standing.state,
        reason=standing.reason,
        words_json=msgspec.json.encode(standing.words),
        approvals_json=msgspec.json.encode(model.approvals),
        acts_json=msgspec.json.encode(model.acts),
        sent=registry.is_sent(model),
    )
