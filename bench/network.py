"""The network that the benchmarks of exchanges run on: the demonstration's, with the bank's agent inside the benchmark's process."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from xinqiao.v1 import agent_pb2

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM
from cli.demo.enterprises import Enterprise, Registry
from cli.demo.loans import product_toml, source_toml
from cli.demo.network import Network, command
from cli.secret import read_secret
from nodes.agent import Agent, background_work, build
from nodes.client import AgentClient
from nodes.credentials import load_hub
from nodes.settings import load_settings
from trust.keyfile import load_private_key


def say(text: str) -> None:
    """A remark on stderr."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def running_network(item: str, file: Path, *, providers: int = 1) -> Iterator[Network]:
    """A hub, `providers` nodes of the government member with the data, and an enrolled bank."""
    with tempfile.TemporaryDirectory(prefix="xinqiao-bench-") as folder:
        network = Network(Path(folder) / "net")
        try:
            network.start_hub()
            network.admit(GOVERNMENT, "government", "Tax bureau")
            network.admit(BANK, "bank", "First bank")
            for number in range(1, providers + 1):
                node = f"tax-{number}"
                network.add_node(
                    GOVERNMENT,
                    node,
                    sources=source_toml(item, file, kind="parquet" if file.suffix == ".parquet" else "csv"),
                )
                (network.node_home(node) / "products.toml").write_text(product_toml(item, item), encoding="utf-8")
                with AgentClient(network.node_home(node), timeout_s=3600) as agent:
                    agent.call("LoadSources", agent_pb2.LoadSourcesRequest())
            with network.agent("tax-1") as agent:
                agent.call("PublishOwnProducts", agent_pb2.PublishOwnProductsRequest())
            command("hub", "review-product", item.replace("_", "-"), "--home", str(network.hub_home), "--approve")
            network.add_node(BANK, "bank-1")
            yield network
        finally:
            network.stop()


@contextmanager
def registry(network: Network) -> Iterator[Registry]:
    """Enterprises and their operator on a network."""
    secret = read_secret(network.hub_home, None)
    opened = Registry(
        load_hub(network.node_home("bank-1")),
        str(network.hub_home / "admin.sock"),
        "operator",
        load_private_key(network.operator_key, secret),
    )
    try:
        yield opened
    finally:
        opened.close()


@asynccontextmanager
async def bank_inside(network: Network) -> AsyncIterator[Agent]:
    """The bank's agent in this process, as a program of the bank would embed it."""
    network.processes["bank-1"].stop()
    home = network.node_home("bank-1")
    async with AsyncExitStack() as stack:
        agent = await build(load_settings(home, os.environ), read_secret(home, None), stack)
        tasks = [asyncio.create_task(work) for work in background_work(agent)]
        await asyncio.wait_for(agent.context.connection.wait_connected(), 20)
        try:
            yield agent
        finally:
            await agent.requester.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


__all__ = ["GOVERNMENT", "GOVERNMENT_ITEM", "Enterprise", "bank_inside", "registry", "running_network", "say"]
