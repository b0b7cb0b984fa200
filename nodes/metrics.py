"""What a node measures, for Prometheus, where `metrics_address` of its settings names a port. Labels name requesters, no enterprise."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nodes.errors import SettingsInvalid
from nodes.scoring.flagged import Watched, watched

if TYPE_CHECKING:
    from nodes.agent import Agent

FLAGS: Final = ("many_alike", "hardly_used", "spread_misdeclared")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """What the agent knows without asking its database. `alarmed`: it refuses until an operator has looked."""

    connected: bool
    alarmed: bool
    consents: int
    open_exchanges: int


def state_of(agent: Agent) -> NodeState:
    """As it is now."""
    context = agent.context
    return NodeState(
        connected=context.connection.status().connected,
        alarmed=context.replica.alarm is not None,
        consents=len(context.replica.own_book),
        open_exchanges=agent.open_exchanges,
    )


class NodeMetrics(Collector):
    """Reads everything at the moment of the scrape, the database over a connection of its own."""

    def __init__(self, database: Path, clock: Callable[[], int], state: Callable[[], NodeState]) -> None:
        self._database, self._clock, self._state = database, clock, state
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._stop: Callable[[], None] | None = None

    def describe(self) -> Iterable[Metric]:
        """None: the agent's state is not read before a scrape."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """As prometheus_client asks."""
        state = self._state()
        yield GaugeMetricFamily("xinqiao_node_connected", "Whether the hub is connected", state.connected)
        yield GaugeMetricFamily("xinqiao_node_alarm", "Whether the node refuses until somebody looks", state.alarmed)
        yield GaugeMetricFamily("xinqiao_node_consents", "Consents for this node's data", state.consents)
        yield GaugeMetricFamily("xinqiao_node_open_exchanges", "Exchanges under way", state.open_exchanges)
        try:
            yield from _scoring(watched(self._database, self._clock()))
        except sqlite3.Error as error:
            log.warning("metrics_failed", extra={"detail": str(error)})

    def serve(self, address: str) -> int:
        """Answer Prometheus on host:port; the port. Raises SettingsInvalid if it cannot be had."""
        host, _, port = address.rpartition(":")
        try:
            server, thread = start_http_server(int(port), addr=host.strip("[]") or "127.0.0.1", registry=self.registry)
        except (OSError, ValueError, OverflowError) as error:
            raise SettingsInvalid(f"Metrics cannot be served on {address!r}; name a free host:port.") from error

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self._stop = stop
        return int(server.server_port)

    def close(self) -> None:
        """Stop answering."""
        if self._stop is not None:
            self._stop()
            self._stop = None


def _scoring(accounts: Iterable[Watched]) -> Iterable[Metric]:
    today = GaugeMetricFamily("xinqiao_node_scores_today", "Scores of the day", labels=["requester"])
    models = GaugeMetricFamily("xinqiao_node_scoring_models", "Models ever scored with here", labels=["requester"])
    flags = GaugeMetricFamily(
        "xinqiao_node_probing_flags",
        "Patterns that an honest requester has no reason for",
        labels=["requester", "what"],
    )
    for each in accounts:
        today.add_metric([each.requester], each.today)
        models.add_metric([each.requester], each.models)
        found = Counter(flag.what for flag in each.flags)
        for what in FLAGS:
            flags.add_metric([each.requester, what], found[what])
    return today, models, flags
