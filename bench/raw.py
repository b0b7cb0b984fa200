"""raw.throughput and raw.memory: a transfer from one node's snapshot through the hub to Parquet at another, against bare SM4-GCM.

The data counts as it lies in memory (Arrow, uncompressed); on the way it is LZ4-compressed before it is sealed, which the ratio to the
bare cipher contains. Half of the columns are random numbers, so that compression cannot do wonders.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from xinqiao.v1 import agent_pb2

from bench.network import GOVERNMENT, GOVERNMENT_ITEM, registry, running_network, say
from cli.demo.cohort import consent_of_group
from cli.demo.loans import OWNERS, synthetic_uscc
from cli.demo.network import Network, wait_until
from cli.demo.scenario import item_uses
from consent.documents import ItemMode
from trust.suite import seal

SUBJECTS = 50
MEGABYTES = int(os.environ.get("XINQIAO_BENCH_MEGABYTES", "512"))
ROW_BYTES = 18 + 4 + 5 * 8 + 16
"""Code and offset, five integers, one decimal."""


def _write_source(path: Path, codes: list[str]) -> int:
    """MEGABYTES of rows, Parquet; how many rows."""
    rows = MEGABYTES * 1_000_000 // ROW_BYTES
    random = np.random.default_rng(7)
    per_file = 1_000_000
    names = OWNERS[GOVERNMENT_ITEM]
    writer = None
    for start in range(0, rows, per_file):
        count = min(per_file, rows - start)
        columns: dict[str, pa.Array] = {
            "uscc": pa.array(np.array(codes)[(np.arange(start, start + count) * len(codes) // rows)])
        }
        for place, name in enumerate(names):
            high = (1 << 40) if place % 2 else 40
            columns[name] = pa.array(random.integers(0, high, count))
        columns["inq_fi"] = pa.array(np.arange(start, start + count))
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="none")
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return rows


def _cipher_rate() -> float:
    """MB/s of one core sealing frames of one mebibyte."""
    key, data = secrets.token_bytes(16), secrets.token_bytes(1 << 20)
    began = time.perf_counter()
    for number in range(128):
        seal(key, number.to_bytes(12, "big"), data, b"")
    return 128 * (1 << 20) / 1e6 / (time.perf_counter() - began)


def _peak_mb(network: Network, name: str) -> float:
    """The most memory of its own (not mapped files) that a process holds now."""
    process = network.processes[name].popen
    status = Path(f"/proc/{process.pid if process else 0}/status").read_text(encoding="ascii")
    return float(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) / 1000


def run() -> Iterator[dict[str, object]]:
    """Both figures from one transfer."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.parquet"
        codes = [synthetic_uscc(number) for number in range(1, SUBJECTS + 1)]
        rows = _write_source(source, codes)
        say(f"{rows:,} rows, {MEGABYTES} MB; the node checks and loads them")
        with running_network(GOVERNMENT_ITEM, source) as network:
            with registry(network) as enterprises:
                for code in codes:
                    consent_of_group(enterprises, enterprises.register(code, "bench"), "government_only")
            with network.agent("tax-1") as agent:

                def held() -> bool:
                    return bool(agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).consents == SUBJECTS)

                wait_until("the provider holds the consents", held)
            before = _cipher_rate()
            request = agent_pb2.FetchRequest(
                provider=GOVERNMENT,
                product_id=GOVERNMENT_ITEM.replace("_", "-"),
                items_json=item_uses(GOVERNMENT_ITEM, ItemMode.R),
                purpose="pre_loan",
                reason="benchmark",
                user="bench",
                directory=str(Path(folder) / "received"),
            )
            peak = 0.0
            began = time.monotonic()
            with network.agent("bank-1") as bank:
                for progress in bank.fetch(request):
                    peak = max(peak, *(_peak_mb(network, name) for name in ("hub", "tax-1", "bank-1")))
                    if progress.phase == "finished" and progress.rows != rows:
                        raise RuntimeError(f"{progress.rows} rows of {rows} arrived")
            seconds = time.monotonic() - began
            after = _cipher_rate()
    bare = (before + after) / 2
    rate = rows * ROW_BYTES / 1e6 / seconds
    yield {
        "bench": "raw.throughput",
        "value": round(rate, 1),
        "unit": "MB/s",
        "reference": round(bare, 1),
        "reference_of": f"SM4-GCM on one core, same run; at least 0.6 of it; {MEGABYTES} MB",
        "ratio": round(rate / bare, 3),
    }
    yield {
        "bench": "raw.memory",
        "value": round(peak, 1),
        "unit": "MB",
        "reference": 300.0,
        "reference_of": f"limit for each process; {MEGABYTES} MB transferred",
        "ratio": round(peak / 300, 3),
    }
