"""query.throughput and query.p50: the whole path (authorised, decided, encrypted, both receipts) against a bare relayed echo."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from bench import echo
from bench.network import GOVERNMENT, GOVERNMENT_ITEM, bank_inside, registry, running_network, say
from cli.demo.cohort import consent_of_group
from cli.demo.loans import OWNERS, split_loans
from cli.demo.network import Network, wait_until
from consent.decision import ItemUse
from consent.documents import ItemMode, Purpose
from nodes.agent import Agent
from nodes.exchanges.requester import Wanted

SUBJECTS = 100
SECONDS = 8.0
CONCURRENCY = 64
REQUEST_BYTES = 330
REPLY_BYTES = 480
"""What one question and one answer of this item take on the relay, sealed (measured)."""

ITEMS = (ItemUse(item_id=GOVERNMENT_ITEM, mode=ItemMode.Q, fields=OWNERS[GOVERNMENT_ITEM]),)


async def _ask(
    agent: Agent, exchange: str, codes: list[str], seconds: float, concurrency: int
) -> tuple[float, list[float]]:
    taken: list[float] = []
    until = time.monotonic() + seconds

    async def ask(start: int) -> None:
        number = start
        while time.monotonic() < until:
            at = time.perf_counter()
            await agent.requester.query(exchange, codes[number % len(codes)], ITEMS, str(uuid.uuid4()))
            taken.append((time.perf_counter() - at) * 1000)
            number += 1

    began = time.monotonic()
    await asyncio.gather(*(ask(place) for place in range(concurrency)))
    return len(taken) / (time.monotonic() - began), taken


async def _measure(network: Network, codes: list[str]) -> tuple[float, float]:
    async with bank_inside(network) as agent:
        wanted = Wanted(
            provider=GOVERNMENT,
            product_id=GOVERNMENT_ITEM.replace("_", "-"),
            items=ITEMS,
            purpose=Purpose.PRE_LOAN,
            reason="benchmark",
            user="bench",
        )
        exchange = await agent.requester.open_query(wanted)
        await _ask(agent, exchange, codes, 1.0, 8)
        _, alone = await _ask(agent, exchange, codes, SECONDS / 2, 1)
        rate, _ = await _ask(agent, exchange, codes, SECONDS, CONCURRENCY)
        return rate, statistics.median(alone)


def run() -> Iterator[dict[str, object]]:
    """Both figures from one network."""
    with tempfile.TemporaryDirectory() as folder:
        loans = split_loans(Path(folder))
        with running_network(GOVERNMENT_ITEM, loans.files[GOVERNMENT_ITEM]) as network:
            codes = list(loans.codes[:SUBJECTS])
            with registry(network) as enterprises:
                for code in codes:
                    consent_of_group(enterprises, enterprises.register(code, "bench"), "government_only")
            with network.agent("tax-1") as agent:
                from xinqiao.v1 import agent_pb2

                def held() -> bool:
                    return bool(agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).consents == SUBJECTS)

                wait_until("the provider holds the consents", held)
            say("measuring the bare echo, the queries, and the echo again")
            before = echo.measure(REQUEST_BYTES, REPLY_BYTES, SECONDS / 2, CONCURRENCY)
            rate, p50 = asyncio.run(_measure(network, codes))
            after = echo.measure(REQUEST_BYTES, REPLY_BYTES, SECONDS / 2, CONCURRENCY)
    bare = (before + after) / 2
    yield {
        "bench": "query.throughput",
        "value": round(rate, 1),
        "unit": "1/s",
        "reference": round(bare, 1),
        "reference_of": "bare relayed gRPC echo of the same size, same run; at least 0.25 of it",
        "ratio": round(rate / bare, 3),
    }
    yield {
        "bench": "query.p50",
        "value": round(p50, 2),
        "unit": "ms",
        "reference": 15.0,
        "reference_of": "limit with one client",
        "ratio": round(p50 / 15.0, 3),
    }
