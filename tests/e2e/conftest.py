"""One network of real processes for all end-to-end tests: a hub, two providers' nodes over real loans, a bank."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, make_url, text
from xinqiao.v1 import agent_pb2

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM
from cli.demo.enterprises import Enterprise, Registry
from cli.demo.loans import OWNERS, Loans, product_toml, source_toml, split_loans
from cli.demo.network import Network, command, wait_until
from cli.secret import read_secret
from consent.decision import ItemUse
from consent.documents import ItemMode, ItemScope, Limits
from nodes.client import AgentClient
from nodes.credentials import load_hub
from trust.keyfile import load_private_key

PRODUCT = GOVERNMENT_ITEM.replace("_", "-")


def items(mode: ItemMode) -> bytes:
    return msgspec.json.encode((ItemUse(item_id=GOVERNMENT_ITEM, mode=mode, fields=OWNERS[GOVERNMENT_ITEM]),))


@dataclass
class Live:
    """The running network and what the tests do with it."""

    network: Network
    registry: Registry
    loans: Loans
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def enterprise(self, *modes: ItemMode, limits: Limits | None = None) -> tuple[Enterprise, str]:
        """A new enterprise with a consent to the government's item that its node holds."""
        before = self.status("tax-1").consents
        enterprise = self.registry.register(self.loans.codes[next(self.numbers)], "e2e")
        scope = tuple(ItemScope(item_id=GOVERNMENT_ITEM, mode=mode) for mode in modes or (ItemMode.Q, ItemMode.R))
        record = self.registry.consent(enterprise, GOVERNMENT, (BANK,), scope, limits=limits)
        wait_until("the node holds the consent", lambda: self.status("tax-1").consents > before)
        return enterprise, record

    def status(self, node: str) -> Any:
        with self.network.agent(node) as agent:
            return agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest())

    def open_query(self, bank: AgentClient, reason: str = "e2e") -> str:
        request = agent_pb2.OpenQueryRequest(
            provider=GOVERNMENT,
            product_id=PRODUCT,
            items_json=items(ItemMode.Q),
            purpose="pre_loan",
            reason=reason,
            user="e2e",
        )
        return str(bank.call("OpenQuery", request).exchange_id)

    def query(self, bank: AgentClient, exchange: str, uscc: str, key: str = "") -> Any:
        return bank.call("Query", agent_pb2.QueryRequest(exchange_id=exchange, uscc=uscc, request_key=key))

    def fetch_request(self, directory: Path) -> agent_pb2.FetchRequest:
        return agent_pb2.FetchRequest(
            provider=GOVERNMENT,
            product_id=PRODUCT,
            items_json=items(ItemMode.R),
            purpose="pre_loan",
            reason="e2e",
            user="e2e",
            directory=str(directory),
        )

    def kill_and_restart(self, name: str) -> None:
        """`kill -9`, then start again; wait until every node is connected once more."""
        self.network.processes[name].kill()
        self.network.start(name)
        for node in ("tax-1", "bank-1"):
            wait_until(f"{node} is connected", lambda node=node: self.status(node).connected)  # type: ignore[misc]


@contextmanager
def running(home: Path, hub_settings: Mapping[str, str], government_settings: str = "") -> Iterator[Live]:
    """A hub, the government's node with its data and product, and a bank's node."""
    network = Network(home, hub_settings=hub_settings)
    try:
        network.start_hub()
        loans = split_loans(home / "data")
        network.admit(GOVERNMENT, "government", GOVERNMENT)
        network.admit(BANK, "bank", BANK)
        sources = source_toml(GOVERNMENT_ITEM, loans.files[GOVERNMENT_ITEM])
        network.add_node(GOVERNMENT, "tax-1", sources=sources, settings=government_settings, wait=False)
        network.add_node(BANK, "bank-1", wait=False)
        network.wait()
        (network.node_home("tax-1") / "products.toml").write_text(
            product_toml(GOVERNMENT_ITEM, "Delinquencies"), encoding="utf-8"
        )
        with network.agent("tax-1") as agent:
            agent.call("LoadSources", agent_pb2.LoadSourcesRequest())
            agent.call("PublishOwnProducts", agent_pb2.PublishOwnProductsRequest())
        command("hub", "review-product", PRODUCT, "--home", str(network.hub_home), "--approve")
        registry = Registry(
            load_hub(network.node_home("bank-1")),
            str(network.hub_home / "admin.sock"),
            "operator",
            load_private_key(network.operator_key, read_secret(network.hub_home, None)),
        )
        yield Live(network, registry, loans)
        registry.close()
    finally:
        network.stop()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("e2e") / "net", {}) as opened:
        yield opened


@pytest.fixture(scope="module")
def taciturn(tmp_path_factory: pytest.TempPathFactory, postgresql_server: str) -> Iterator[Live]:
    """A hub on PostgreSQL that signs its checkpoints every six seconds, and a provider that believes one for three."""
    url = make_url(postgresql_server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        server.execute(text("CREATE DATABASE e2e"))
    engine.dispose()
    url = url.set(database="e2e")
    settings = {"database_url": url.render_as_string(hide_password=False), "checkpoint_interval_s": "6"}
    with running(tmp_path_factory.mktemp("e2e-pg") / "net", settings, "max_staleness_s = 3\n") as opened:
        yield opened
