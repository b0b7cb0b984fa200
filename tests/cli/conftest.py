from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.secret import read_secret
from consent.directory import OperatorKey
from tests.cli.admin_simulator import AdminSimulator, serving_admin
from tests.cli.agent_simulator import AgentSimulator, serving_agent
from tests.cli.running import run_json
from tests.cli.simulators import HubSimulator, SubjectsSimulator, add_subject, serving_subjects
from tests.consent.builders import USCC, signed
from trust.keyfile import load_private_key
from trust.sm2 import PrivateKey

NAME = "测试企业"


@pytest.fixture(scope="session")
def made_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub's home as `hub init` makes it."""
    home = tmp_path_factory.mktemp("h") / "hub"
    run_json("hub", "init", "--home", home, "--public", "127.0.0.1:7", "--node", "127.0.0.1:8", "--operator", "alice")
    return home


@pytest.fixture
def hub() -> HubSimulator:
    simulator = HubSimulator()
    simulator.populate()
    return simulator


@dataclass
class AdminWorld:
    """A hub's home with a simulated hub on its socket."""

    home: Path
    hub: HubSimulator
    admin: AdminSimulator


@pytest.fixture
def admin(made_hub: Path, hub: HubSimulator) -> Iterator[AdminWorld]:
    secret = read_secret(made_hub, None)
    alice = load_private_key(made_hub / "operators" / "alice.pem", secret)
    entry = OperatorKey(operator="alice", public_key=alice.public.encode(), time_ms=2, signer="op")
    hub.enter(signed("operator-key", entry, "operator", hub=None))
    with serving_admin(hub, made_hub / "admin.sock") as simulator:
        yield AdminWorld(made_hub, hub, simulator)


@dataclass
class AgentWorld:
    """A node's home with a simulated agent on its socket."""

    home: Path
    agent: AgentSimulator


@pytest.fixture
def node(tmp_path: Path) -> Iterator[AgentWorld]:
    home = tmp_path / "n"
    home.mkdir()
    with serving_agent(home / "agent.sock") as simulator:
        yield AgentWorld(home, simulator)


@pytest.fixture(scope="session")
def made_enterprise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An enterprise's home whose hub.json is put in place by `subjects`."""
    from nodes.credentials import HubFacts
    from tests.consent.builders import key

    folder = tmp_path_factory.mktemp("e")
    facts = HubFacts(public_address="a:1", node_address="a:2", authority_pem=b"-", hub_key=key("hub").public)
    (folder / "hub.json").write_bytes(facts.encode())
    home = folder / "ent"
    options = ("--hub", folder / "hub.json", "--uscc", USCC, "--name", NAME, "--signatory", "张三")
    run_json("enterprise", "init", "--home", home, *options)
    return home


@dataclass
class SubjectWorld:
    """An enterprise's home with a simulated hub that it pins."""

    home: Path
    hub: HubSimulator
    service: SubjectsSimulator
    key: PrivateKey


@pytest.fixture
def subject(made_enterprise: Path, hub: HubSimulator, tmp_path: Path) -> Iterator[SubjectWorld]:
    home = tmp_path / "ent"
    shutil.copytree(made_enterprise, home)
    own = load_private_key(home / "keys" / "subject.pem", read_secret(home, None))
    with serving_subjects(hub) as service:
        assert hub.facts is not None
        (home / "hub.json").chmod(0o600)
        (home / "hub.json").write_bytes(hub.facts.encode())
        add_subject(hub, USCC, NAME, own.public)
        yield SubjectWorld(home, hub, service, own)
