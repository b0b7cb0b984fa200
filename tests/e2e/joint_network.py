"""A network for joint models: a hub, two providers and a bank as real processes, a small cohort, and jobs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinqiao.v1 import agent_pb2

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM, PLATFORM, PLATFORM_ITEM
from cli.demo.enterprises import DAY_MS, Enterprise, Registry, now_ms
from cli.demo.loans import Loans, product_toml, source_toml, split_loans
from cli.demo.models import job_text, write_applications
from cli.demo.network import Network, command, wait_until
from cli.secret import read_secret
from consent.documents import ItemMode, ItemScope, Limits, Purpose
from nodes.credentials import load_hub
from trust.keyfile import load_private_key

ENTERPRISES = 200
PROVIDERS = ((GOVERNMENT, "tax-1", GOVERNMENT_ITEM), (PLATFORM, "pay-1", PLATFORM_ITEM))
OWN = ("funded_amnt", "int_rate", "annual_inc")
BROUGHT = {GOVERNMENT_ITEM: ("inq_last_6mths", "inq_last_12m"), PLATFORM_ITEM: ("revol_util", "all_util")}


@dataclass
class Joint:
    network: Network
    registry: Registry
    enterprises: list[Enterprise]
    consents: list[dict[str, str]]
    folder: Path

    def job(self, name: str, algorithm: str, parameters: str, *, providers: int = 2) -> Path:
        brought = {(member, item): BROUGHT[item] for member, _, item in PROVIDERS[:providers]}
        path = self.folder / f"{name}.yaml"
        path.write_text(job_text(name, algorithm, parameters, OWN, brought), encoding="utf-8")
        return path

    def start(self, job: Path) -> subprocess.Popen[bytes]:
        arguments = ("model", "train", str(job), "--home", str(self.network.node_home("bank-1")))
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments, "--out", str(self.folder / job.stem), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def train(self, job: Path) -> dict[str, Any]:
        """Train to the end; where the command lost its agent, once more into the same folder, or what the agent did by itself."""
        for _ in range(5):
            if (self.folder / job.stem / "report.json").exists():
                made: dict[str, Any] = json.loads((self.folder / job.stem / "report.json").read_bytes())
                return made
            running = self.start(job)
            said, _ = running.communicate(timeout=150)
            if running.returncode == 0:
                report: dict[str, Any] = json.loads(said)["report"]
                return report
            time.sleep(1)
        raise AssertionError(said.decode())

    def listed(self, node: str, name: str) -> dict[str, Any]:
        jobs = command("model", "list", "--home", str(self.network.node_home(node)))["jobs"]
        found: dict[str, Any] = next((each for each in jobs if each["name"] == name), {})
        return found

    def reaches(self, job: Path, phase: str, running: subprocess.Popen[bytes]) -> None:
        """Until the job is in a phase, as a file at the bank shows."""
        folder = self.network.node_home("bank-1") / "joint"

        def reached() -> bool:
            assert running.poll() is None, running.communicate()[0].decode()
            return any(folder.glob(f"*/{phase}"))

        wait_until(f"{job.stem} is in {phase}", reached, 60)


@contextmanager
def joint_network(home: Path) -> Iterator[Joint]:
    """A running hub, two providers over real loans, a bank; enterprises that consent to joint modelling with both."""
    network = Network(home)
    try:
        network.start_hub()
        loans = split_loans(home / "data")
        network.admit(BANK, "bank", BANK)
        network.add_node(BANK, "bank-1")
        for member, node, item in PROVIDERS:
            network.admit(member, "government" if member == GOVERNMENT else "platform", member)
            network.add_node(member, node, sources=source_toml(item, loans.files[item]))
            (network.node_home(node) / "products.toml").write_text(product_toml(item, item), encoding="utf-8")
            with network.agent(node) as agent:
                agent.call("LoadSources", agent_pb2.LoadSourcesRequest())
                agent.call("PublishOwnProducts", agent_pb2.PublishOwnProductsRequest())
            command("hub", "review-product", item.replace("_", "-"), "--home", str(network.hub_home), "--approve")
        registry = Registry(
            load_hub(network.node_home("bank-1")),
            str(network.hub_home / "admin.sock"),
            "operator",
            load_private_key(network.operator_key, read_secret(network.hub_home, None)),
        )
        chosen = _balanced(loans)
        with ThreadPoolExecutor(8) as pool:
            both = list(pool.map(lambda place: _enterprise(registry, loans.codes[place]), chosen))
        for _, node, _ in PROVIDERS:
            wait_until(f"{node} holds the consents", lambda node=node: _consents(network, node) == ENTERPRISES)  # type: ignore[misc]
        write_applications(loans, home)
        yield Joint(network, registry, [one for one, _ in both], [held for _, held in both], home)
        registry.close()
    finally:
        network.stop()


def _balanced(loans: Loans) -> list[int]:
    """As many bad loans as good ones: a small cohort that can be tested on."""
    bad = [place for place, label in enumerate(loans.labels) if label == "bad"]
    good = [place for place, label in enumerate(loans.labels) if label != "bad"]
    return [*bad[: ENTERPRISES // 2], *good[: ENTERPRISES // 2]]


def _enterprise(registry: Registry, code: str) -> tuple[Enterprise, dict[str, str]]:
    at = now_ms()
    limits = Limits(valid_from_ms=at - 60_000, valid_to_ms=at + 30 * DAY_MS, data_life_days=30)
    enterprise = registry.register(code, "joint")
    return enterprise, {
        member: registry.consent(
            enterprise,
            member,
            (BANK,),
            (ItemScope(item_id=item, mode=ItemMode.J),),
            purpose=Purpose.JOINT_MODELLING,
            limits=limits,
        )
        for member, _, item in PROVIDERS
    }


def _consents(network: Network, node: str) -> int:
    with network.agent(node) as agent:
        return int(agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).consents)
