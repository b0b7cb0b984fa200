"""The agent's own interface: the Agent service on a Unix socket, for the command and for programs of the same account.

Access is what the file system says: the socket's folder can be entered, and the socket opened, by the agent's account only. Each
method decodes, calls, and encodes; failures become the error detail that the hub uses too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import msgspec
from xinqiao.v1 import agent_pb2, agent_pb2_grpc

from nodes.agent import Agent
from nodes.errors import NodeError
from nodes.local_answer import FORESEEN, abort, answer
from nodes.local_messages import (
    comparison_of,
    comparison_progress_of,
    comparison_record_of,
    first_of,
    items_of,
    job_of,
    job_progress_of,
    product_of,
    progress_of,
    wanted_of,
)
from nodes.local_work import ask_consent, publish_products, stop_job
from nodes.models.rpc import ModelCalls
from nodes.scoring.rpc import ScoreCalls

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class LocalApi(ModelCalls, ScoreCalls, agent_pb2_grpc.AgentServicer):  # each base adds the calls of its own subject
    """The Agent service."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._server = grpc.aio.server(
            options=(("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20))
        )
        agent_pb2_grpc.add_AgentServicer_to_server(self, self._server)

    async def start(self) -> None:
        """Listen on the socket of the node's home."""
        settings = self._agent.context.settings
        path = settings.agent_socket
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if path.parent != settings.home:
            (settings.home / "agent.addr").write_text(str(path), encoding="utf-8")
        self._server.add_insecure_port(f"unix:{path}")
        await self._server.start()
        Path(path).chmod(0o600)

    async def stop(self) -> None:
        """Stop listening; calls under way have two seconds."""
        await self._server.stop(2.0)
        self._agent.context.settings.agent_socket.unlink(missing_ok=True)

    async def GetAgentStatus(
        self, request: agent_pb2.AgentStatusRequest, context: Context
    ) -> agent_pb2.AgentStatusReply:
        return await answer(context, self._status)

    async def OpenQuery(self, request: agent_pb2.OpenQueryRequest, context: Context) -> agent_pb2.OpenQueryReply:
        async def work() -> agent_pb2.OpenQueryReply:
            exchange_id = await self._agent.requester.open_query(wanted_of(request))
            return agent_pb2.OpenQueryReply(exchange_id=exchange_id)

        return await answer(context, work)

    async def Query(self, request: agent_pb2.QueryRequest, context: Context) -> agent_pb2.QueryReply:
        async def work() -> agent_pb2.QueryReply:
            items = items_of(request.items_json) if request.items_json else ()
            result = await self._agent.requester.query(
                request.exchange_id, request.uscc, items, request.request_key or None
            )
            return agent_pb2.QueryReply(
                records_json=result.records,
                consent_ids=result.consent_ids,
                delete_by_ms=result.delete_by_ms,
                remaining_uses=-1 if result.remaining_uses is None else result.remaining_uses,
                receipt_id=result.receipt_id,
            )

        return await answer(context, work)

    async def CloseExchange(
        self, request: agent_pb2.CloseExchangeRequest, context: Context
    ) -> agent_pb2.CloseExchangeReply:
        async def work() -> agent_pb2.CloseExchangeReply:
            return agent_pb2.CloseExchangeReply(queries=await self._agent.requester.close_query(request.exchange_id))

        return await answer(context, work)

    async def Fetch(self, request: agent_pb2.FetchRequest, context: Context) -> AsyncIterator[agent_pb2.FetchProgress]:
        try:
            async for message in self._fetch(request):
                yield message
        except FORESEEN as error:
            await abort(context, error)

    async def _fetch(self, request: agent_pb2.FetchRequest) -> AsyncIterator[agent_pb2.FetchProgress]:
        job = await self._agent.requester.fetch(wanted_of(request), Path(request.directory))
        if job.task is None:
            raise NodeError("The transfer did not start; fetch again.", code="UNAVAILABLE")
        while not job.task.done():
            job.changed.clear()
            yield progress_of(job.exchange_id, job.progress.phase, job)
            await first_of(job.changed, job.task)
        manifest = await job.task
        message = progress_of(job.exchange_id, "finished", job)
        message.manifest = str(job.directory / "manifest.json")
        message.rows = manifest.rows
        yield message

    async def ListTransfers(
        self, request: agent_pb2.ListTransfersRequest, context: Context
    ) -> agent_pb2.ListTransfersReply:
        async def work() -> agent_pb2.ListTransfersReply:
            return agent_pb2.ListTransfersReply(
                transfers=[
                    agent_pb2.TransferReply(
                        exchange_id=transfer.exchange_id,
                        directory=str(transfer.directory),
                        state=transfer.state,
                        rows=transfer.rows,
                        delete_by_ms=transfer.delete_by_ms,
                        deleted_ms=transfer.deleted_ms,
                    )
                    for transfer in await self._agent.purge.transfers()
                ]
            )

        return await answer(context, work)

    async def Purge(self, request: agent_pb2.PurgeRequest, context: Context) -> agent_pb2.PurgeReply:
        async def work() -> agent_pb2.PurgeReply:
            return agent_pb2.PurgeReply(deleted_exchanges=await self._agent.purge.run_once(request.at_ms or None))

        return await answer(context, work)

    async def ListApprovals(
        self, request: agent_pb2.ListApprovalsRequest, context: Context
    ) -> agent_pb2.ListApprovalsReply:
        async def work() -> agent_pb2.ListApprovalsReply:
            return agent_pb2.ListApprovalsReply(
                approvals=[
                    agent_pb2.ApprovalReply(
                        exchange_id=each.exchange_id,
                        requester=each.requester,
                        product_id=each.product_id,
                        mode=each.mode,
                        purpose=each.purpose,
                        reason=each.reason,
                        user=each.user,
                        state=each.state,
                        asked_ms=each.asked_ms,
                    )
                    for each in await self._agent.approvals.list()
                ]
            )

        return await answer(context, work)

    async def DecideApproval(
        self, request: agent_pb2.DecideApprovalRequest, context: Context
    ) -> agent_pb2.DecideApprovalReply:
        async def work() -> agent_pb2.DecideApprovalReply:
            decided = await self._agent.approvals.decide(
                request.exchange_id, approve=request.approve, reason=request.reason
            )
            await self._agent.provider.approved(decided)
            return agent_pb2.DecideApprovalReply()

        return await answer(context, work)

    async def LoadSources(self, request: agent_pb2.LoadSourcesRequest, context: Context) -> agent_pb2.LoadSourcesReply:
        async def work() -> agent_pb2.LoadSourcesReply:
            context = self._agent.context
            report = await asyncio.to_thread(self._agent.snapshots.load, context.settings.sources_file, context.clock())
            return agent_pb2.LoadSourcesReply(report_json=msgspec.json.encode(report))

        return await answer(context, work)

    async def PublishOwnProducts(
        self, request: agent_pb2.PublishOwnProductsRequest, context: Context
    ) -> agent_pb2.PublishOwnProductsReply:
        return await answer(context, lambda: publish_products(self._agent.context))

    async def ListAvailableProducts(
        self, request: agent_pb2.ListAvailableProductsRequest, context: Context
    ) -> agent_pb2.ListAvailableProductsReply:
        async def work() -> agent_pb2.ListAvailableProductsReply:
            products = self._agent.context.replica.directory.products()
            return agent_pb2.ListAvailableProductsReply(
                products=[product_of(each.published, "published") for each in products]
            )

        return await answer(context, work)

    async def AskConsent(self, request: agent_pb2.AskConsentRequest, context: Context) -> agent_pb2.AskConsentReply:
        async def work() -> agent_pb2.AskConsentReply:
            return agent_pb2.AskConsentReply(request_id=await ask_consent(self._agent.context, request))

        return await answer(context, work)

    async def PlanJob(self, request: agent_pb2.JobRequest, context: Context) -> agent_pb2.PlanJobReply:
        async def work() -> agent_pb2.PlanJobReply:
            plan = await self._agent.jobs.plan(request.job_yaml, Path(request.base))
            return agent_pb2.PlanJobReply(plan_json=msgspec.json.encode(plan))

        return await answer(context, work)

    async def TrainJob(self, request: agent_pb2.JobRequest, context: Context) -> AsyncIterator[agent_pb2.JobProgress]:
        try:
            async for message in self._train(request):
                yield message
        except FORESEEN as error:
            await abort(context, error)

    async def _train(self, request: agent_pb2.JobRequest) -> AsyncIterator[agent_pb2.JobProgress]:
        job = await self._agent.jobs.train(request.job_yaml, Path(request.base), request.user, Path(request.directory))
        if job.task is None:
            raise NodeError("The job did not start; try again.", code="UNAVAILABLE")
        while not job.task.done():
            job.changed.clear()
            yield job_progress_of(job)
            await first_of(job.changed, job.task)
        report = await job.task
        message = job_progress_of(job)
        message.phase, message.directory, message.report_json = "finished", str(job.directory), report
        yield message

    async def ListJobs(self, request: agent_pb2.ListJobsRequest, context: Context) -> agent_pb2.ListJobsReply:
        async def work() -> agent_pb2.ListJobsReply:
            return agent_pb2.ListJobsReply(jobs=[job_of(each) for each in await self._agent.jobs.records()])

        return await answer(context, work)

    async def StopJob(self, request: agent_pb2.StopJobRequest, context: Context) -> agent_pb2.StopJobReply:
        async def work() -> agent_pb2.StopJobReply:
            await stop_job(self._agent, request.job_id, request.reason or "no reason given")
            return agent_pb2.StopJobReply()

        return await answer(context, work)

    async def CompareSets(
        self, request: agent_pb2.CompareSetsRequest, context: Context
    ) -> AsyncIterator[agent_pb2.CompareSetsProgress]:
        try:
            async for message in self._compare(request):
                yield message
        except FORESEEN as error:
            await abort(context, error)

    async def _compare(self, request: agent_pb2.CompareSetsRequest) -> AsyncIterator[agent_pb2.CompareSetsProgress]:
        run = await self._agent.psi.begin(comparison_of(request))
        if run.task is None:
            raise NodeError("The comparison did not start; try again.", code="UNAVAILABLE")
        while not run.task.done():
            run.changed.clear()
            yield comparison_progress_of(run)
            await first_of(run.changed, run.task)
        outcome = await run.task
        message = comparison_progress_of(run)
        message.phase, message.outcome_json = "finished", msgspec.json.encode(outcome)
        yield message

    async def ListComparisons(
        self, request: agent_pb2.ListComparisonsRequest, context: Context
    ) -> agent_pb2.ListComparisonsReply:
        async def work() -> agent_pb2.ListComparisonsReply:
            records = await self._agent.psi.records()
            return agent_pb2.ListComparisonsReply(comparisons=[comparison_record_of(each) for each in records])

        return await answer(context, work)

    async def ClearAlarm(self, request: agent_pb2.ClearAlarmRequest, context: Context) -> agent_pb2.ClearAlarmReply:
        async def work() -> agent_pb2.ClearAlarmReply:
            await self._agent.context.connection.clear_alarm(request.reason or "no reason given")
            return agent_pb2.ClearAlarmReply()

        return await answer(context, work)

    async def _status(self) -> agent_pb2.AgentStatusReply:
        agent, context = self._agent, self._agent.context
        connection, outbox = context.connection.status(), await agent.outbox.status()
        replica = context.replica
        checkpoint = replica.checkpoint(replica.own_origin)
        errors = (
            connection.last_error,
            outbox.last_error,
            agent.monitor.last_error,
            agent.renewal.last_error,
            agent.registry.last_error,
            agent.scoring.suspected,
        )
        return agent_pb2.AgentStatusReply(
            node_id=context.settings.node_id,
            member_id=context.settings.member_id,
            connected=connection.connected,
            checkpoint_ms=checkpoint.time_ms if checkpoint is not None else 0,
            consents=len(replica.own_book),
            directory_size=replica.directory.size,
            outbox_waiting=outbox.waiting,
            receipts_included=outbox.included,
            alarm=replica.alarm.message if replica.alarm is not None else "",
            certificate_expires_ms=int(agent.renewal.identity().not_after.timestamp() * 1000),
            items=[
                agent_pb2.ItemStatus(
                    item_id=item.item_id,
                    records=item.records,
                    subjects=item.subjects,
                    rejected=item.rejected,
                    loaded_ms=item.loaded_ms,
                    stale=item.stale,
                )
                for item in agent.snapshots.status(context.clock())
            ],
            open_exchanges=agent.open_exchanges,
            last_error=next((error for error in errors if error), ""),
        )
