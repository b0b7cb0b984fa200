"""The agent: one process that composes a node, `xinqiao node serve`.

It dials the hub, follows its logs, joins exchanges, and answers its own operator and programs on a Unix socket that only their account
can open; it opens no port but Prometheus', if its settings name one. Everything it must not lose is in its database before anybody is
told; a restart goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from consent.catalogue import load_catalogue
from consent.documents import ExchangeMode
from consent.rules import load_rules
from nodes.approvals import Approvals
from nodes.backoff import Backoff
from nodes.connection import HubConnection
from nodes.credentials import load_hub, load_identity, load_tls
from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.context import ExchangeContext, new_id, system_clock
from nodes.exchanges.hub_calls import ExchangeCalls
from nodes.exchanges.provider import ProviderExchanges
from nodes.exchanges.query import serve_queries
from nodes.exchanges.raw_plan import Planner
from nodes.exchanges.raw_provider import RawProvider
from nodes.exchanges.requester import RequesterExchanges
from nodes.exchanges.session import SessionClosed
from nodes.hub_services import HubUsage, HubUsageLog
from nodes.joint.jobs import JointJobs
from nodes.joint.provider import JointProvider
from nodes.joint.provider_plan import JointNode
from nodes.metrics import NodeMetrics, state_of
from nodes.models.hub import HubModels
from nodes.models.node import RegistryNode
from nodes.models.registry import Registry
from nodes.monitor import Monitor
from nodes.outbox import Outbox
from nodes.policy import REPEAT_MS, PolicyEnforcementPoint
from nodes.psi.provider import PsiNode, PsiProvider
from nodes.psi.runs import PsiRuns
from nodes.purge import Purge
from nodes.renewal import Renewal
from nodes.replica_store import ReplicaKeeper
from nodes.scoring.sides import ScoringSides
from nodes.settings import Settings
from nodes.sources.snapshot_set import SnapshotSet
from nodes.sources.worker import load_in_child
from nodes.store import Store

log = logging.getLogger(__name__)

_HOUSEKEEPING_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A running node's parts, for the local interface."""

    context: ExchangeContext
    keeper: ReplicaKeeper
    snapshots: SnapshotSet
    approvals: Approvals
    provider: ProviderExchanges
    requester: RequesterExchanges
    jobs: JointJobs
    joint: JointProvider
    psi: PsiRuns
    registry: Registry
    scoring: ScoringSides
    outbox: Outbox
    monitor: Monitor
    renewal: Renewal
    purge: Purge

    @property
    def open_exchanges(self) -> int:
        """Exchanges under way, on either side."""
        asking = (self.requester, self.jobs, self.psi, self.scoring)
        return self.provider.open_count + sum(each.open_count for each in asking)


class _Exchanges:
    """Passes the hub's events to the two sides and the registry; `connection.ExchangeHandler`."""

    def __init__(self) -> None:
        self.agent: Agent | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def invited(self, request: bytes, ticket: bytes) -> None:
        if self.agent is not None:
            self.agent.provider.invited(request, ticket)

    def models_changed(self, newest: int) -> None:
        if self.agent is not None:
            self.agent.registry.changed(newest)

    def exchange_updated(self, exchange_id: str, state: str, reason: str) -> None:
        agent = self.agent
        if agent is None:
            return
        if state in {"failed", "cancelled", "finished"}:
            code, _, message = reason.partition(": ")
            failure = (
                SessionClosed()
                if state == "finished"
                else ExchangeFailed(
                    message or "The exchange was ended by the other side.", code=code or "EXCHANGE_ENDED"
                )
            )
            for side in (agent.provider, agent.requester, agent.jobs, agent.psi, agent.joint, agent.scoring):
                task = asyncio.get_running_loop().create_task(side.ended(exchange_id, failure))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        else:
            for asking in (agent.requester, agent.jobs, agent.psi, agent.scoring):
                asking.updated(exchange_id, state)


async def build(
    settings: Settings, secret: bytes, stack: AsyncExitStack, clock: Callable[[], int] = system_clock
) -> Agent:
    """Open and connect the parts of a node; `stack` closes them. Raises NodeError or TrustError with what to mend."""
    hub, identity, tls = load_hub(settings.home), load_identity(settings.home, secret), load_tls(settings.home)
    catalogue, rules = load_catalogue(), load_rules()
    store = Store.open(settings.database)
    stack.push_async_callback(store.close)
    keeper = await ReplicaKeeper.load(store, member_id=settings.member_id, hub_key=hub.hub_key, clock=clock)
    snapshots = SnapshotSet.open(settings.snapshots, catalogue, load_in_child)
    stack.callback(snapshots.close)
    handler = _Exchanges()
    connection = HubConnection(
        hub=hub,
        tls=tls,
        key=identity,
        keeper=keeper,
        handler=handler,
        clock=clock,
        backoff=Backoff(secrets.SystemRandom()),
    )
    stack.push_async_callback(connection.close)
    outbox = Outbox(
        store=store,
        sink=HubUsage(connection),
        node_id=settings.node_id,
        key=identity,
        clock=clock,
        backoff=Backoff(secrets.SystemRandom()),
    )
    context = ExchangeContext(
        settings=settings,
        identity=identity,
        store=store,
        replica=keeper.replica,
        connection=connection,
        calls=ExchangeCalls(connection, clock),
        outbox=outbox,
        catalogue=catalogue,
        rules=rules,
        clock=clock,
    )
    joint = _joint(context, snapshots)
    approvals = Approvals(store, settings.approval, clock)
    requester = RequesterExchanges(context)
    registry = await Registry.load(_registry(context))
    scoring = ScoringSides(context, requester, registry, snapshots)
    provider = ProviderExchanges(context, approvals, _servers(context, snapshots, joint, scoring))
    jobs, psi = JointJobs(context, requester), PsiRuns(context, requester)
    await psi.break_off()
    handler.agent = agent = Agent(
        context=context,
        keeper=keeper,
        snapshots=snapshots,
        approvals=approvals,
        provider=provider,
        requester=requester,
        jobs=jobs,
        joint=joint,
        psi=psi,
        registry=registry,
        scoring=scoring,
        outbox=outbox,
        monitor=Monitor(
            store=store,
            keeper=keeper,
            log=HubUsageLog(connection),
            cosign=connection.cosign,
            clock=clock,
            interval_s=settings.monitor_interval_s,
            proofs_per_round=settings.monitor_proofs_per_round,
            retention_days=settings.receipt_retention_days,
        ),
        renewal=Renewal(
            home=settings.home,
            hub=hub,
            connection=connection,
            member_id=settings.member_id,
            node_id=settings.node_id,
            clock=clock,
        ),
        purge=Purge(
            store=store,
            key=identity,
            member_id=settings.member_id,
            node_id=settings.node_id,
            clock=clock,
            written=outbox.wake,
        ),
    )
    return agent


def _registry(context: ExchangeContext) -> RegistryNode:
    settings = context.settings
    return RegistryNode(
        home=settings.home,
        store=context.store,
        hub=HubModels(context.connection),
        directory=lambda: context.replica.directory,
        identity=context.identity,
        member_id=settings.member_id,
        node_id=settings.node_id,
        rules=settings.model_approval,
        clock=context.clock,
        backoff=Backoff(secrets.SystemRandom()),
    )


def _joint(context: ExchangeContext, snapshots: SnapshotSet) -> JointProvider:
    return JointProvider(
        JointNode(
            home=context.settings.home,
            store=context.store,
            replica=context.replica,
            tables=snapshots,
            catalogue=context.catalogue,
            rules=context.rules,
            identity=context.identity,
            member_id=context.settings.member_id,
            node_id=context.settings.node_id,
            max_staleness_ms=context.settings.max_staleness_ms,
            minimum_rows=context.settings.joint_minimum_rows,
            minimum_sum=context.settings.joint_minimum_sum,
            selection=context.settings.joint_selection,
            executor=context.settings.joint_executor,
            clock=context.clock,
            new_id=new_id,
            written=context.outbox.wake,
        )
    )


def _psi(context: ExchangeContext, snapshots: SnapshotSet) -> PsiProvider:
    settings = context.settings
    return PsiProvider(
        PsiNode(
            home=settings.home,
            store=context.store,
            subjects=snapshots,
            rules=settings.psi,
            node_id=settings.node_id,
            executor=settings.joint_executor,
            clock=context.clock,
            new_id=new_id,
            written=context.outbox.wake,
        )
    )


def _servers(
    context: ExchangeContext, snapshots: SnapshotSet, joint: JointProvider, scoring: ScoringSides
) -> dict[ExchangeMode, Callable[..., Awaitable[int]]]:
    settings = context.settings
    policy = PolicyEnforcementPoint(
        store=context.store,
        replica=context.replica,
        records=snapshots,
        catalogue=context.catalogue,
        rules=context.rules,
        member_id=settings.member_id,
        node_id=settings.node_id,
        max_staleness_ms=settings.max_staleness_ms,
        clock=context.clock,
        new_id=new_id,
        written=context.outbox.wake,
    )
    planner = Planner(
        store=context.store,
        replica=context.replica,
        tables=snapshots,
        catalogue=context.catalogue,
        rules=context.rules,
        directory=settings.home / "transfers",
        member_id=settings.member_id,
        node_id=settings.node_id,
        max_staleness_ms=settings.max_staleness_ms,
        clock=context.clock,
        new_id=new_id,
        written=context.outbox.wake,
    )
    raw = RawProvider(
        store=context.store,
        replica=context.replica,
        tables=snapshots,
        planner=planner,
        catalogue=context.catalogue,
        rules=context.rules,
        clock=context.clock,
    )

    async def query(session: object, terms: object) -> int:
        return await serve_queries(session, terms, policy)  # type: ignore[arg-type]

    psi = _psi(context, snapshots)
    return {
        ExchangeMode.QUERY: query,
        ExchangeMode.RAW: raw.serve,
        ExchangeMode.JOINT: joint.serve,
        ExchangeMode.PSI_SIZE: psi.serve,
        ExchangeMode.PSI_ROWS: psi.serve,
        ExchangeMode.SCORE: scoring.provider.serve,
    }


async def serve(settings: Settings, secret: bytes, *, ready: Callable[[], None] = lambda: None) -> None:
    """Run a node until SIGTERM or SIGINT. `ready` is called once the local socket answers."""
    from nodes.local_api import LocalApi

    async with AsyncExitStack() as stack:
        agent = await build(settings, secret, stack)
        if settings.metrics_address:
            metrics = NodeMetrics(settings.database, agent.context.clock, lambda: state_of(agent))
            metrics.serve(settings.metrics_address)
            stack.callback(metrics.close)
        api = LocalApi(agent)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await api.start()
        background = [loop.create_task(work) for work in background_work(agent)]
        ready()
        log.info("node_serving", extra={"node": settings.node_id, "member": settings.member_id})
        waiting = loop.create_task(stop.wait())
        done, _ = await asyncio.wait([waiting, *background], return_when=asyncio.FIRST_COMPLETED)
        await api.stop()
        await agent.requester.close()
        await agent.jobs.close()
        await agent.psi.close()
        await agent.provider.close()
        await agent.scoring.close()
        for task in (waiting, *background):
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        for task in done - {waiting}:
            task.result()  # a background task ends only by failing: tell it


def background_work(agent: Agent) -> tuple[Coroutine[Any, Any, None], ...]:
    """What runs as long as the node does; each ends only by failing."""
    return (
        agent.context.connection.run(),
        agent.outbox.run(),
        agent.monitor.run(),
        agent.renewal.run(),
        agent.registry.run(),
        _housekeep(agent),
    )


async def _housekeep(agent: Agent) -> None:
    """What has to be done now and then: broken-off transfers, due deletions, idle exchanges, old request keys, changed sources."""
    context = agent.context
    await context.connection.wait_connected()
    await agent.requester.resume_all()
    await agent.jobs.resume_all()
    await agent.psi.end_broken()
    await agent.joint.sweep()
    loop = asyncio.get_running_loop()
    purged_at = reloaded_at = loop.time()
    while True:
        try:
            await agent.requester.close_idle()
            await agent.scoring.tidy()
            if loop.time() - purged_at >= context.settings.purge_interval_s:
                purged_at = loop.time()
                await agent.purge.run_once()
                await agent.joint.sweep()
            if context.settings.source_reload_s and loop.time() - reloaded_at >= context.settings.source_reload_s:
                reloaded_at = loop.time()
                await asyncio.to_thread(agent.snapshots.load, context.settings.sources_file, context.clock())
            limit_ms = context.clock() - 2 * REPEAT_MS
            await context.store.write(
                lambda connection, limit=limit_ms: (
                    connection.execute("DELETE FROM query_log WHERE at_ms < ?", (limit,)) and None
                )  # type: ignore[misc]
            )
        except (NodeError, OSError) as error:
            log.warning("housekeeping_failed", extra={"detail": str(error)})
        await asyncio.sleep(_HOUSEKEEPING_S)
