"""What a hub measures, for Prometheus. Labels are methods, codes and states; never members, nodes or enterprises."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from grpc import StatusCode
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.database import Database
from hub.errors import HubError
from hub.interceptors import Context, Surround
from hub.push.sessions import PushSessions
from hub.relay.switch import Switch

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

log = logging.getLogger(__name__)


class _State(Collector):
    """Reads gauges at the moment of the scrape."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()


class Metrics:
    """The registry of one hub process."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.registry = CollectorRegistry()
        self._calls = Counter("xinqiao_hub_calls", "Finished calls", ["method", "code"], registry=self.registry)
        self._seconds = Histogram(
            "xinqiao_hub_call_seconds", "Duration of unary calls", ["method"], buckets=_BUCKETS, registry=self.registry
        )
        self._stop: Callable[[], None] | None = None

    def watch(self, db: Database, sessions: PushSessions, switch: Switch) -> None:
        """Show the state of these parts at every scrape."""

        def read() -> Iterable[Metric]:
            yield GaugeMetricFamily("xinqiao_hub_connected_nodes", "Open push streams", len(sessions.connected()))
            yield GaugeMetricFamily("xinqiao_hub_relay_ends", "Attached ends of exchanges", len(switch))
            yield CounterMetricFamily("xinqiao_hub_relay_bytes", "Relayed bytes", switch.counters.bytes)
            yield CounterMetricFamily("xinqiao_hub_relay_frames", "Relayed frames", switch.counters.frames)
            yield GaugeMetricFamily("xinqiao_hub_writes_queued", "Writes that wait", db.writer.queued)
            yield CounterMetricFamily("xinqiao_hub_writes", "Committed writes", db.writer.functions)
            yield CounterMetricFamily("xinqiao_hub_commits", "Commits (groups of writes)", db.writer.commits)

        self.registry.register(_State(read))

    def calls(self, streams: frozenset[str]) -> Surround:
        """The interceptor that counts calls; `streams` are the methods whose duration says nothing."""

        @asynccontextmanager
        async def surround(method: str, context: Context) -> AsyncIterator[None]:
            began_s = time.perf_counter()
            try:
                yield
            finally:
                seconds = time.perf_counter() - began_s
                self._calls.labels(method, _code(context)).inc()
                if method not in streams:
                    self._seconds.labels(method).observe(seconds)
                    log.debug("call", extra={"event": "call", "method": method, "ms": round(seconds * 1000, 1)})

        return surround

    def serve(self, address: str) -> None:
        """Answer Prometheus on host:port. Raises HubError UNAVAILABLE if the port cannot be had."""
        host, _, port = address.rpartition(":")
        try:
            server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=self.registry)
        except OSError as problem:
            raise HubError("UNAVAILABLE", f"metrics cannot be served on {address}; choose a free port") from problem

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self._stop = stop

    def close(self) -> None:
        """Stop answering."""
        if self._stop is not None:
            self._stop()
            self._stop = None


def _code(context: Context) -> str:
    """The status that a call ended with; unset is OK."""
    code = context.code()
    if isinstance(code, StatusCode):
        return code.name
    names = {status.value[0]: status.name for status in StatusCode}
    return names.get(code or 0, "UNKNOWN")
