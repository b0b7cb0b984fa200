"""revocation.p99: how long after a withdrawal is durable every connected node of the provider has acknowledged it (3 nodes)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xinqiao.v1 import agent_pb2

from bench.network import GOVERNMENT, GOVERNMENT_ITEM, registry, running_network, say
from cli.demo.cohort import consent_of_group
from cli.demo.loans import split_loans
from cli.demo.network import wait_until
from nodes.client import AgentClient

NODES = 3
REVOCATIONS = int(os.environ.get("XINQIAO_BENCH_REVOCATIONS", "200"))
CONSENTS = int(os.environ.get("XINQIAO_BENCH_CONSENTS", "10000"))
"""How many consents stand before. The limit is for 100,000, which take long to sign, submit and verify at every node."""
AT_ONCE = 32


def _held(agent: AgentClient) -> int:
    reply: agent_pb2.AgentStatusReply = agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest())
    return reply.consents


def run() -> Iterator[dict[str, object]]:
    """One figure: the 99th percentile of the slowest node's acknowledgement."""
    with tempfile.TemporaryDirectory() as folder:
        loans = split_loans(Path(folder))
        with (
            running_network(GOVERNMENT_ITEM, loans.files[GOVERNMENT_ITEM], providers=NODES) as network,
            registry(network) as enterprises,
        ):
            enterprise = enterprises.register(loans.codes[0], "bench")

            def consent(_number: int) -> str:
                return consent_of_group(enterprises, enterprise, "government_only")[GOVERNMENT]

            records = []
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for record in pool.map(consent, range(CONSENTS)):
                    records.append(record)
                    if len(records) % 2000 == 0:
                        say(f"{len(records):,} of {CONSENTS:,} consents")
            for number in range(1, NODES + 1):
                with network.agent(f"tax-{number}") as agent:
                    wait_until(f"node {number} holds the consents", lambda agent=agent: _held(agent) == CONSENTS)  # type: ignore[misc]
            say(f"{REVOCATIONS} withdrawals")
            taken = []
            for record in records[:REVOCATIONS]:
                reply = enterprises.revoke(enterprise, GOVERNMENT, record)
                if len(reply.acknowledgements) != NODES:
                    raise RuntimeError(f"only {len(reply.acknowledgements)} of {NODES} nodes acknowledged within 5 s")
                taken.append(max(each.after_ms for each in reply.acknowledgements))
    taken.sort()
    p99 = taken[int(len(taken) * 0.99) - 1]
    yield {
        "bench": "revocation.p99",
        "value": p99,
        "unit": "ms",
        "reference": 1000,
        "reference_of": f"limit; {NODES} nodes, {CONSENTS:,} consents, {len(taken)} withdrawals",
        "ratio": round(p99 / 1000, 3),
    }
