"""The calls of agent.proto about scores. A base of the whole Agent servicer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import msgspec
from xinqiao.v1 import agent_pb2, agent_pb2_grpc

from nodes.errors import NodeError
from nodes.local_answer import FORESEEN, abort, answer
from nodes.local_messages import first_of
from nodes.scoring.batch import BatchRun
from nodes.scoring.batch_files import BatchRequest
from nodes.scoring.plan import plan_batch
from nodes.scoring.scorer import Scored, ScoreRequest, Value
from nodes.scoring.servable import servable
from nodes.scoring.spent import spending

if TYPE_CHECKING:
    from nodes.agent import Agent

    Context = grpc.aio.ServicerContext[Any, Any]


class ScoreCalls(agent_pb2_grpc.AgentServicer):
    """Decode, call, encode."""

    _agent: Agent

    async def Score(self, request: agent_pb2.ScoreRequest, context: Context) -> agent_pb2.ScoreReply:
        async def work() -> agent_pb2.ScoreReply:
            found = await self._agent.scoring.scores.score(_request_of(request))
            return agent_pb2.ScoreReply(scores=[_score_of(each) for each in found])

        return await answer(context, work)

    async def ListServableModels(
        self, request: agent_pb2.ListServableModelsRequest, context: Context
    ) -> agent_pb2.ListServableModelsReply:
        async def work() -> agent_pb2.ListServableModelsReply:
            agent = self._agent
            found = servable(agent.registry, agent.context.settings.member_id)
            return agent_pb2.ListServableModelsReply(models_json=msgspec.json.encode(found))

        return await answer(context, work)

    async def PlanScore(self, request: agent_pb2.ScoreBatchRequest, context: Context) -> agent_pb2.PlanScoreReply:
        async def work() -> agent_pb2.PlanScoreReply:
            agent = self._agent
            plan = await plan_batch(agent.context, agent.registry, agent.scoring.computer, _batch_of(request))
            return agent_pb2.PlanScoreReply(plan_json=msgspec.json.encode(plan))

        return await answer(context, work)

    async def ScoreBatch(
        self, request: agent_pb2.ScoreBatchRequest, context: Context
    ) -> AsyncIterator[agent_pb2.ScoreProgress]:
        try:
            async for message in self._score_batch(request):
                yield message
        except FORESEEN as error:
            await abort(context, error)

    async def _score_batch(self, request: agent_pb2.ScoreBatchRequest) -> AsyncIterator[agent_pb2.ScoreProgress]:
        run = await self._agent.scoring.batches.begin(_batch_of(request))
        if run.task is None:
            raise NodeError("The batch did not start; try again.", code="UNAVAILABLE")
        while not run.task.done():
            run.changed.clear()
            yield _progress_of(run)
            await first_of(run.changed, run.task)
        report = await run.task
        message = _progress_of(run)
        message.phase, message.done = "finished", run.total
        message.directory, message.report_json = str(run.directory), msgspec.json.encode(report)
        yield message

    async def ListScoreLimits(
        self, request: agent_pb2.ListScoreLimitsRequest, context: Context
    ) -> agent_pb2.ListScoreLimitsReply:
        async def work() -> agent_pb2.ListScoreLimitsReply:
            node = self._agent.context
            now_ms = node.clock()
            accounts = await node.store.read(lambda connection: spending(connection, now_ms))
            told = {"limits": node.settings.scoring, "requesters": accounts}
            return agent_pb2.ListScoreLimitsReply(limits_json=msgspec.json.encode(told))

        return await answer(context, work)


def _request_of(request: agent_pb2.ScoreRequest) -> ScoreRequest:
    """Raises NodeError."""
    own: dict[str, dict[str, Value]] = {}
    for subject in request.subjects:
        try:
            own[subject.uscc] = msgspec.json.decode(subject.own_json, type=dict[str, Value]) if subject.own_json else {}
        except msgspec.MsgspecError as error:
            raise NodeError(f"The own columns of a subject cannot be read: {error}.", code="MODEL_INVALID") from error
    return ScoreRequest(
        model_id=request.model_id,
        subjects=tuple(each.uscc for each in request.subjects),
        own=own,
        reason=request.reason,
        user=request.user,
        application_no=request.application_no or None,
        request_key=request.request_key,
    )


def _score_of(found: Scored) -> agent_pb2.SubjectScore:
    return agent_pb2.SubjectScore(
        uscc=found.uscc,
        model_id=found.model_id,
        score=found.score,
        probability=found.probability,
        points=found.points,
        band=found.band,
        reasons=found.reasons,
        refused=found.refused,
        detail=found.detail,
        receipt_ids=found.receipt_ids,
        error_bound=found.error_bound,
    )


def _batch_of(request: agent_pb2.ScoreBatchRequest) -> BatchRequest:
    return BatchRequest(
        model_id=request.model_id,
        file=Path(request.file),
        own_file=Path(request.own_file) if request.own_file else None,
        directory=Path(request.directory),
        reason=request.reason,
        user=request.user,
        application_no=request.application_no or None,
    )


def _progress_of(run: BatchRun) -> agent_pb2.ScoreProgress:
    return agent_pb2.ScoreProgress(phase=run.phase, done=run.done, total=run.total)
