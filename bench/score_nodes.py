"""score.nodes: a batch through a hub, a bank's and a provider's node as real processes, under an encrypted model.

SCORE_NODES_ROWS subjects (100,000), each with a consent of its own that both nodes decide on, the provider charges and both record:
subjects a second of `xinqiao score run`, from the command to its report.

`million_s`     what a million would take at this rate
`recorded_s`    until the hub has every subject's part of the receipts and the provider's node has proved them in the log
`provider_us`   of the provider's agent, microseconds of the processor a subject until all is recorded; `bank_us`, `hub_us` the same;
                none of a node that was killed
`peak_mb`       of each process at its own peak, the two processes that compute beside their agents; `idle_mb`: before the batch
`blocks_kept`   with SCORE_NODES_KILL the bank's node is killed half way and the command given again

The consents are put into both nodes' databases as if they had come from the hub (as `replica.load` does): to sign a million of them and
to have them verified takes longer than to score them, and has its own figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from xinqiao.v1 import agent_pb2

from bench.network import registry, say
from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM
from cli.demo.enterprises import now_ms
from cli.demo.loans import OWNERS, product_toml, source_toml, synthetic_uscc
from cli.demo.network import Network, command, wait_until
from cli.demo.scores import CLIP, OWN_COLUMNS
from consent.book import Change, ConsentRow, Status
from consent.decision import DAY_MS, Terms
from consent.documents import ItemMode, ItemScope, Purpose
from modeling.preparation.columns import Number
from modeling.scoring.inputs import OWN, Input
from modeling.scoring.model import Feature, LinearModel, canonical
from nodes.client import AgentClient
from nodes.replica import CONSENT_PREFIX
from nodes.replica_store import save_changes
from nodes.store import Store

ROWS: Final = 100_000
MILLION: Final = 1_000_000
RATE_LIMIT: Final = MILLION / 300
"""Subjects a second, all in all: a million in five minutes."""
PROVIDER_NODE, BANK_NODE = "tax-1", "bank-1"
_CHUNK: Final = 20_000
_LONG_S: Final = 7200.0
_TICK: Final = os.sysconf("SC_CLK_TCK")


def run() -> Iterator[dict[str, object]]:
    """The one figure, with what belongs to it."""
    rows = int(os.environ.get("SCORE_NODES_ROWS", ROWS))
    with tempfile.TemporaryDirectory(prefix="xinqiao-bench-") as folder:
        network = Network(Path(folder) / "net")
        try:
            codes = [synthetic_uscc(number) for number in range(1, rows + 1)]
            model_id = _set_up(network, Path(folder), codes)
            found = _measure(network, Path(folder), model_id, rows)
        finally:
            network.stop()
    rate = rows / found["seconds"]
    yield {
        "bench": "score.nodes",
        "value": round(rate),
        "unit": "subjects/s",
        "reference": round(RATE_LIMIT),
        "reference_of": f"a million in five minutes; {rows} subjects, one provider, on 2 cores",
        "ratio": round(rate / RATE_LIMIT, 2),
        "million_s": round(MILLION / rate),
        **found,
    }


# -- the network


def _set_up(network: Network, folder: Path, codes: Sequence[str]) -> str:
    """A hub, two nodes with the consents and the data of these enterprises, a model in service; its identifier."""
    say(f"a network, and the data of {len(codes):,} enterprises")
    table = _table(codes, OWNERS[GOVERNMENT_ITEM], 7)
    pq.write_table(table, folder / "rows.parquet")
    own = _table(codes, OWN_COLUMNS, 8)
    pq.write_table(own, folder / "own.parquet")
    (folder / "list.txt").write_text("\n".join(codes), encoding="utf-8")
    network.start_hub()
    network.admit(GOVERNMENT, "government", "Tax bureau")
    network.admit(BANK, "bank", "First bank")
    network.add_node(
        GOVERNMENT, PROVIDER_NODE, sources=source_toml(GOVERNMENT_ITEM, folder / "rows.parquet", "parquet")
    )
    network.add_node(BANK, BANK_NODE)
    (network.node_home(PROVIDER_NODE) / "products.toml").write_text(
        product_toml(GOVERNMENT_ITEM, GOVERNMENT_ITEM), encoding="utf-8"
    )
    with network.agent(PROVIDER_NODE) as agent:
        agent.call("LoadSources", agent_pb2.LoadSourcesRequest())
        agent.call("PublishOwnProducts", agent_pb2.PublishOwnProductsRequest())
    command("hub", "review-product", GOVERNMENT_ITEM.replace("_", "-"), "--home", str(network.hub_home), "--approve")
    scope = (ItemScope(item_id=GOVERNMENT_ITEM, mode=ItemMode.J),)
    with registry(network) as enterprises:  # the hub opens an exchange only where it has seen a consent
        first = enterprises.register(synthetic_uscc(0), "bench")
        enterprises.consent(first, GOVERNMENT, (BANK,), scope, purpose=Purpose.SCORING)
    for node in (PROVIDER_NODE, BANK_NODE):
        network.processes[node].stop()
        asyncio.run(_put_consents(network.node_home(node) / "node.db", codes))
        network.start(node)
    return _in_service(network, table, own)


def _table(codes: Sequence[str], names: Sequence[str], seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table({"uscc": pa.array(codes), **{name: pa.array(random.integers(0, 40, len(codes))) for name in names}})


async def _put_consents(database: Path, codes: Sequence[str]) -> None:
    """The same in both nodes."""
    terms = Terms(
        provider=GOVERNMENT,
        data_users=(BANK,),
        purpose=Purpose.SCORING,
        separate_consent=False,
        scope=(ItemScope(item_id=GOVERNMENT_ITEM, mode=ItemMode.J),),
        fetch="periodic",
        frequency=None,
        max_uses=None,
        data_life_days=30,
    )
    store, now = Store.open(database), now_ms()
    changes = [
        (
            CONSENT_PREFIX + GOVERNMENT,
            Change(
                kind="consent",
                uscc=uscc,
                row=ConsentRow(
                    record_id=str(
                        uuid.UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128), version=4)
                    ),
                    uscc=uscc,
                    terms=terms,
                    record_version=1,
                    payload_sm3=bytes(32),
                    valid_from_ms=now - DAY_MS,
                    valid_to_ms=now + 30 * DAY_MS,
                    status=Status.ACTIVE,
                    revoked_ms=None,
                    log_index=number,
                ),
            ),
        )
        for number, uscc in enumerate(codes)
    ]
    for start in range(0, len(changes), _CHUNK):
        part = tuple(changes[start : start + _CHUNK])
        await store.write(lambda connection, part=part: save_changes(connection, part))  # type: ignore[misc]
    await store.close()


def _in_service(network: Network, table: pa.Table, own: pa.Table) -> str:
    model = LinearModel(
        name="bench",
        intercept=-1.5,
        features=(
            *(Feature(input=_input(OWN, name, own[name]), weights=(0.2,)) for name in OWN_COLUMNS),
            *(
                Feature(
                    input=_input(GOVERNMENT, f"{GOVERNMENT_ITEM}.{name}", table[name]),
                    weights=(0.3 * (-1) ** at,),
                )
                for at, name in enumerate(OWNERS[GOVERNMENT_ITEM])
            ),
        ),
    )
    with network.agent(BANK_NODE) as bank:
        request = agent_pb2.RegisterOwnModelRequest(name="bench", linear=canonical(model))
        model_id = str(json.loads(bank.call("RegisterOwnModel", request).version_json)["model_id"])
    for node, step, due in ((PROVIDER_NODE, "approved", "draft"), (BANK_NODE, "in_service", "approved")):
        with network.agent(node) as agent:
            wait_until(f"{node} knows that the model is {due}", partial(_is_due, agent, due))
            step_of = agent_pb2.StepModelRequest(model_id=model_id, step=step, reason="bench", user="bench")
            agent.call("StepModel", step_of)
    return model_id


def _is_due(agent: AgentClient, due: str) -> bool:
    found = agent.call("ListModelVersions", agent_pb2.ListModelVersionsRequest()).models
    return any(each.state == due for each in found)


def _input(member: str, name: str, values: Any) -> Input:  # noqa: ANN401 - an arrow column
    held = np.array(values, np.float64)
    centre, spread = float(held.mean()), float(held.std())
    number = Number(
        name=name, low=None, high=None, fill=centre, indicator=False, centre=centre, spread=spread, clip=CLIP
    )
    return Input(member=member, column=number)


# -- the batch


def _measure(network: Network, folder: Path, model_id: str, rows: int) -> dict[str, Any]:
    pids = {name: process.popen.pid for name, process in network.processes.items() if process.popen is not None}
    before = {name: _core_seconds(pid) for name, pid in pids.items()}
    idle = {name: size for process, pid in pids.items() for name, size in _megabytes(process, pid, "VmRSS:")}
    say("the batch")
    began = time.monotonic()
    killed = bool(os.environ.get("SCORE_NODES_KILL"))
    report = _score(network, folder, model_id, kill_at=0.5 if killed else None)
    seconds = time.monotonic() - began
    if report["scored"] != rows:
        raise RuntimeError(f"{report['scored']} of {rows} were scored: {report['refused']}")
    say(f"{rows:,} subjects in {seconds:.1f} s; waiting for the records")
    wait_until("all is recorded", lambda: _recorded(network, rows), _LONG_S)
    recorded = time.monotonic() - began
    spent = {name: _core_seconds(pid) - before[name] for name, pid in pids.items()}
    return {
        "seconds": round(seconds, 1),
        "recorded_s": round(recorded, 1),
        "provider_us": round(spent[PROVIDER_NODE] / rows * 1e6, 1),
        "bank_us": None if killed else round(spent[BANK_NODE] / rows * 1e6, 1),
        "hub_us": round(spent["hub"] / rows * 1e6, 1),
        "idle_mb": idle,
        "peak_mb": {name: size for process, pid in pids.items() for name, size in _megabytes(process, pid, "VmHWM:")},
        "blocks_kept": report["blocks_kept"],
    }


def _score(network: Network, folder: Path, model_id: str, kill_at: float | None) -> dict[str, Any]:
    home = network.node_home(BANK_NODE)
    arguments = ("score", "run", "--home", str(home), "--model", model_id, "--reason", "benchmark")
    files = ("--list", str(folder / "list.txt"), "--own", str(folder / "own.parquet"), "--out", str(folder / "out"))
    if kill_at is not None:
        running = subprocess.Popen([sys.executable, "-m", "cli.main", *arguments, *files])
        blocks = len((folder / "list.txt").read_text(encoding="utf-8").split()) // 8192
        done = home / "scores"
        wait_until("half of the blocks", lambda: len(list(done.glob("*/block-*"))) >= kill_at * blocks, _LONG_S)
        network.processes[BANK_NODE].kill()
        running.wait()
        network.start(BANK_NODE)
    return command(*arguments, *files)


def _recorded(network: Network, rows: int) -> bool:
    """Nothing waits at either node, and every receipt is proved; the hub has every subject."""
    for node in (PROVIDER_NODE, BANK_NODE):
        with network.agent(node) as agent:
            if agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).outbox_waiting:
                return False
    time.sleep(0.5)
    database = sqlite3.connect(f"file:{network.hub_home / 'hub.db'}?mode=ro", uri=True)
    try:
        (held,) = database.execute("SELECT count(*) FROM batch_subjects").fetchone()
    finally:
        database.close()
    return bool(held >= rows)


def _family(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent in found[:1]:
                found.append(int(folder.name))
    return found


def _core_seconds(pid: int) -> float:
    """Of a process alone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / _TICK


def _megabytes(name: str, pid: int, what: str) -> Iterator[tuple[str, int]]:
    for place, each in enumerate(_family(pid)):
        try:
            status = Path(f"/proc/{each}/status").read_text(encoding="utf-8")
        except OSError:
            continue
        yield name if not place else f"{name}/{place}", int(status.split(what)[1].split()[0]) // 1000
