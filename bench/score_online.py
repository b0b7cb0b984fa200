"""score.online_*: one enterprise and two providers, from the question to the score, through a hub and nodes as real processes.

score.online_p50, score.online_p99   milliseconds of one score after the other; the limits are 40 and 150 ms
score.online_rate                    scores a second with 8 questions under way; at least 50

`core_ms` of the rate: milliseconds of the processor that all processes together take for one score; on a machine with other work it
says more than the rest.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
from xinqiao.v1 import agent_pb2

from bench.network import bank_inside, registry, say
from cli.demo.cohort import BANK, GOVERNMENT, PLATFORM
from cli.demo.loans import Loans, product_toml, source_toml, split_loans
from cli.demo.network import Network, command, wait_until
from cli.demo.scores import ITEMS, OWN_COLUMNS, OWN_ITEM, consent_to_scoring, linear_model, numbers
from consent.model_state import State, Step
from modeling.scoring.model import canonical
from nodes.agent import Agent
from nodes.models.registry import Terms
from nodes.scoring.scorer import ScoreRequest

ENTERPRISES: Final = 40
SCORES: Final = 400
CONCURRENCY: Final = 8
P50_LIMIT_MS: Final = 40.0
P99_LIMIT_MS: Final = 150.0
RATE_LIMIT: Final = 50.0
NODES: Final = {GOVERNMENT: "tax-1", PLATFORM: "pay-1"}
LIMITS: Final = "[scoring]\nscores_per_subject_per_day = 10000\n"


def run() -> Iterator[dict[str, object]]:
    """All figures from one network."""
    with tempfile.TemporaryDirectory(prefix="xinqiao-bench-") as folder:
        network = Network(Path(folder) / "net")
        try:
            loans = _set_up(network)
            taken, rate, core_ms = asyncio.run(_measure(network, loans))
        finally:
            network.stop()
    quantiles = statistics.quantiles(taken, n=100)
    for name, value, limit in (("p50", quantiles[49], P50_LIMIT_MS), ("p99", quantiles[98], P99_LIMIT_MS)):
        yield {
            "bench": f"score.online_{name}",
            "value": round(value, 2),
            "unit": "ms",
            "reference": limit,
            "reference_of": "limit, one question after the other",
            "ratio": round(value / limit, 3),
        }
    yield {
        "bench": "score.online_rate",
        "value": round(rate, 1),
        "unit": "1/s",
        "reference": RATE_LIMIT,
        "reference_of": f"at least, {CONCURRENCY} questions under way",
        "ratio": round(rate / RATE_LIMIT, 3),
        "core_ms": round(core_ms, 1),
    }


def _set_up(network: Network) -> Loans:
    network.start_hub()
    loans = split_loans(network.home / "data")
    network.admit(BANK, "bank", BANK)
    network.add_node(BANK, "bank-1", wait=False)
    for member, node in NODES.items():
        network.admit(member, "government" if member == GOVERNMENT else "platform", member)
        sources = source_toml(ITEMS[member], loans.files[ITEMS[member]])
        network.add_node(member, node, sources=sources, settings=LIMITS, wait=False)
    network.wait()
    for member, node in NODES.items():
        item = ITEMS[member]
        (network.node_home(node) / "products.toml").write_text(product_toml(item, item), encoding="utf-8")
        with network.agent(node) as agent:
            agent.call("LoadSources", agent_pb2.LoadSourcesRequest())
            agent.call("PublishOwnProducts", agent_pb2.PublishOwnProductsRequest())
        command("hub", "review-product", item.replace("_", "-"), "--home", str(network.hub_home), "--approve")
    with registry(network) as enterprises, ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda code: consent_to_scoring(enterprises, enterprises.register(code, "bench")),
                loans.codes[:ENTERPRISES],
            )
        )
    for node in NODES.values():
        wait_until(f"{node} holds the consents", lambda node=node: _consents(network, node) == ENTERPRISES)  # type: ignore[misc]
    return loans


def _consents(network: Network, node: str) -> int:
    with network.agent(node) as agent:
        return int(agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).consents)


async def _measure(network: Network, loans: Loans) -> tuple[list[float], float, float]:
    own = {name: values[:ENTERPRISES] for name, values in numbers(loans.files[OWN_ITEM], OWN_COLUMNS).items()}
    requests = [
        ScoreRequest(
            model_id="",
            subjects=(code,),
            own={code: {name: values[at] for name, values in own.items()}},
            reason="benchmark",
            user="bench",
        )
        for at, code in enumerate(loans.codes[:ENTERPRISES])
    ]
    async with bank_inside(network) as agent:
        model_id = await _in_service(agent, network, loans)
        asked = [replace(each, model_id=model_id) for each in requests]
        say("warming up")
        await _ask(agent, asked, 20)
        say("one score after the other")
        taken = await _ask(agent, asked, SCORES)
        say("several at once")
        pids = [each.popen.pid for each in network.processes.values() if each.popen is not None and each.alive]
        before, began = _core_seconds(pids), time.monotonic()
        each = SCORES // CONCURRENCY
        await asyncio.gather(*(_ask(agent, asked[place:], each) for place in range(CONCURRENCY)))
        seconds = time.monotonic() - began
        core_ms = (_core_seconds(pids) - before) / SCORES * 1000
        await agent.scoring.close()
    return taken, SCORES / seconds, core_ms


async def _ask(agent: Agent, requests: Sequence[ScoreRequest], count: int) -> list[float]:
    taken = []
    for number in range(count):
        began = time.perf_counter()
        (found,) = await agent.scoring.scores.score(requests[number % len(requests)])
        taken.append((time.perf_counter() - began) * 1000)
        if found.refused:
            raise RuntimeError(f"{found.refused}: {found.detail}")
    return taken


async def _in_service(agent: Agent, network: Network, loans: Loans) -> str:
    model = linear_model("bench", loans.files, (GOVERNMENT, PLATFORM))
    registered = await agent.registry.register_linear(canonical(model), Terms(name="bench"))
    model_id = registered.version.model_id
    for node in NODES.values():
        await asyncio.to_thread(_approve, network, node, model_id)
    while agent.registry.model(model_id).standing.state is not State.APPROVED:
        await asyncio.sleep(0.05)
    await agent.registry.take_step(model_id, Step.SERVE, "bench", "bench")
    return model_id


def _approve(network: Network, node: str, model_id: str) -> None:
    with network.agent(node) as agent:
        wait_until(
            f"{node} knows the model",
            lambda: any(
                msgspec.json.decode(each.version_json)["model_id"] == model_id
                for each in agent.call("ListModelVersions", agent_pb2.ListModelVersionsRequest()).models
            ),
        )
        request = agent_pb2.StepModelRequest(model_id=model_id, step=Step.APPROVE, reason="bench", user="bench")
        agent.call("StepModel", request)


def _core_seconds(pids: Sequence[int]) -> float:
    """Of these processes, their children and this one."""
    total, tick = 0.0, os.sysconf("SC_CLK_TCK")
    wanted = {os.getpid(), *pids}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(folder.name) in wanted or int(fields[1]) in wanted:
            total += (int(fields[11]) + int(fields[12])) / tick
    return total
