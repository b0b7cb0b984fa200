"""revocation.p99: how long after a withdrawal is durable every connected node of the provider has acknowledged it (3 nodes)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.network import GOVERNMENT, GOVERNMENT_ITEM, registry, running_network, say
from cli.demo.cohort import consent_of_group
from cli.demo.loans import split_loans

NODES = 3
REVOCATIONS = int(os.environ.get("XINQIAO_BENCH_REVOCATIONS", "200"))
CONSENTS = int(os.environ.get("XINQIAO_BENCH_CONSENTS", "2000"))
"""How many consents stand before; 100,000 take about half an hour to sign and submit one by one."""


def run() -> Iterator[dict[str, object]]:
    """One figure: the 99th percentile of the slowest node's acknowledgement."""
    with tempfile.TemporaryDirectory() as folder:
        loans = split_loans(Path(folder))
        with (
            running_network(GOVERNMENT_ITEM, loans.files[GOVERNMENT_ITEM], providers=NODES) as network,
            registry(network) as enterprises,
        ):
            enterprise = enterprises.register(loans.codes[0], "bench")
            records = []
            for number in range(CONSENTS):
                records.append(consent_of_group(enterprises, enterprise, "government_only")[GOVERNMENT])
                if number % 500 == 499:
                    say(f"{number + 1} of {CONSENTS} consents")
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
        "reference_of": f"limit; {NODES} nodes, {CONSENTS} consents, {len(taken)} withdrawals",
        "ratio": round(p99 / 1000, 3),
    }
