"""Comparing sets between real nodes: what is told and recorded, what is refused, what a lost party leaves."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from xinqiao.v1 import agent_pb2

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM, PLATFORM, PLATFORM_ITEM
from cli.demo.enterprises import Registry
from cli.demo.loans import Loans, product_toml, source_toml, split_loans, synthetic_uscc
from cli.demo.network import DemoFailed, Network, command, wait_until
from cli.enterprise_home import create_home
from cli.secret import read_secret
from nodes.credentials import load_hub
from trust.keyfile import load_private_key

pytestmark = pytest.mark.timeout(240)

BASIS = "PIPL art. 13 (1) no. 3, agreement 2026-17"
PROVIDERS = ((GOVERNMENT, "tax-1", GOVERNMENT_ITEM), (PLATFORM, "pay-1", PLATFORM_ITEM))
STRANGERS = tuple(synthetic_uscc(number) for number in range(5_000_000, 5_000_400))


def rule(item: str, mode: str, per_day: int, minimum: int = 100) -> str:
    return (
        f'[[psi]]\nmember = "{BANK}"\nproduct = "{item.replace("_", "-")}"\nmode = "{mode}"\n'
        f'minimum = {minimum}\nper_day = {per_day}\nlegal_basis = "{BASIS}"\n'
    )


@dataclass
class Psi:
    network: Network
    registry: Registry
    loans: Loans
    folder: Path

    def list_of(self, name: str, codes: tuple[str, ...]) -> Path:
        path = self.folder / f"{name}.txt"
        path.write_text("\n".join(codes) + "\n", encoding="utf-8")
        return path

    def arguments(self, what: str, codes: Path, *more: str) -> tuple[str, ...]:
        home = str(self.network.node_home("bank-1"))
        return ("psi", what, "--home", home, "--list", str(codes), "--purpose", "pre_loan", "--reason", "e2e", *more)

    def count(self, codes: Path, item: str = GOVERNMENT_ITEM, provider: str = GOVERNMENT) -> dict[str, Any]:
        target = ("--provider", provider, "--product", item.replace("_", "-"), "--item", item)
        return command(*self.arguments("count", codes, *target))

    def align(self, codes: Path, out: str, *more: str) -> dict[str, Any]:
        with_ = [
            part for member, _, item in PROVIDERS for part in ("--with", f"{member}:{item.replace('_', '-')}:{item}")
        ]
        return command(*self.arguments("align", codes, *with_, "--out", str(self.folder / out), *more))

    def listed(self, node: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = command("psi", "list", "--home", str(self.network.node_home(node)))["comparisons"]
        return found


@pytest.fixture(scope="module")
def psi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Psi]:
    home = tmp_path_factory.mktemp("psi") / "net"
    network = Network(home)
    try:
        network.start_hub()
        loans = split_loans(home / "data")
        network.admit(BANK, "bank", BANK)
        network.add_node(BANK, "bank-1", wait=False)
        for member, node, item in PROVIDERS:
            network.admit(member, "government" if member == GOVERNMENT else "platform", member)
            rules = rule(item, "rows", 20) + (rule(item, "size", 2) if member == GOVERNMENT else "")
            network.add_node(member, node, sources=source_toml(item, loans.files[item]), settings=rules, wait=False)
        network.wait()
        for _, node, item in PROVIDERS:
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
        yield Psi(network, registry, loans, home)
        registry.close()
    finally:
        network.stop()


def test_a_number_is_told_to_both_and_which_to_nobody_as_often_as_the_rule_allows(psi: Psi) -> None:
    codes = psi.list_of("count", psi.loans.codes[:300] + STRANGERS)
    told = psi.count(codes)
    assert (told["size"], told["own"], told["providers"][0]["legal_basis"]) == (300, 700, BASIS)
    (at_the_provider,) = psi.listed("tax-1")
    assert (at_the_provider["role"], at_the_provider["size"], at_the_provider["state"]) == ("passive", 300, "finished")
    with pytest.raises(DemoFailed, match="COHORT_TOO_SMALL"):
        psi.count(psi.list_of("few", psi.loans.codes[:60] + STRANGERS))
    with pytest.raises(DemoFailed, match="PSI_LIMIT_REACHED"):
        psi.count(codes)
    assert {each["size"] for each in psi.listed("tax-1")} == {300, None}
    for folder in ("tax-1", "bank-1"):
        left = [path for path in (psi.network.node_home(folder) / "psi").rglob("*") if path.is_file()]
        assert left == [], "nothing that was computed with stays"


def test_without_a_rule_nothing_is_compared(psi: Psi) -> None:
    codes = psi.list_of("no-rule", psi.loans.codes[:300])
    with pytest.raises(DemoFailed, match="PSI_NOT_PERMITTED"):
        psi.count(codes, PLATFORM_ITEM, PLATFORM)


def test_common_enterprises_stand_in_one_order_and_each_finds_it_in_its_own_record(psi: Psi) -> None:
    own = psi.registry.register(psi.loans.codes[7], "compared")
    told = psi.align(psi.list_of("align", psi.loans.codes[:250] + STRANGERS), "aligned")
    assert (told["size"], [each["common"] for each in told["providers"]]) == (250, [250, 250])
    mine = rows_of(psi.folder / "aligned" / "common.csv")
    assert {row["uscc"] for row in mine} == set(psi.loans.codes[:250])
    for place, node in enumerate(("tax-1", "pay-1")):
        kept = psi.network.node_home(node) / "psi" / told["providers"][place]["exchange_id"] / "common.csv"
        assert [row["uscc"] for row in rows_of(kept)] == [row["uscc"] for row in mine]
    home = psi.folder / "compared"
    create_home(home, psi.network.hub_file, own.uscc, own.name, own.key)

    def shown() -> bool:
        nonlocal uses
        uses = command("audit", "mine", "--home", str(home))["uses"]
        return len([use for use in uses if use["twin_present"]]) == 2

    uses: list[dict[str, Any]] = []
    wait_until("both providers' records and the bank's are listed", shown, 60)
    assert {(use["mode"], use["legal_basis"], use["record_count"]) for use in uses} == {("psi_rows", BASIS, 0)}
    assert {use["consent_id"] for use in uses} == {""}


@pytest.mark.parametrize("victim", ["tax-1", "bank-1"])
def test_a_node_that_is_killed_ends_the_comparison_on_both_sides_and_the_next_one_works(psi: Psi, victim: str) -> None:
    codes = psi.list_of(f"killed-{victim}", psi.loans.codes + STRANGERS)
    with_ = ("--with", f"{GOVERNMENT}:{GOVERNMENT_ITEM.replace('_', '-')}:{GOVERNMENT_ITEM}")
    arguments = psi.arguments("align", codes, *with_, "--out", str(psi.folder / f"never-{victim}"), "--json")
    running = subprocess.Popen([sys.executable, "-m", "cli.main", *arguments], stdout=subprocess.PIPE)
    working = psi.network.node_home("tax-1") / "psi"

    def begun() -> bool:
        assert running.poll() is None, running.communicate()[0].decode()
        return any(working.glob("*/psi-*"))

    wait_until("the provider's process compares", begun, 60)
    psi.network.processes[victim].kill()
    psi.network.start(victim)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 4, said
    assert json.loads(said)["error"]["code"] in {"PEER_FAILED", "UNAVAILABLE", "EXCHANGE_ENDED"}
    assert not (psi.folder / f"never-{victim}" / "common.csv").exists()

    def over() -> bool:
        return all(each["state"] == "failed" for each in (psi.listed("bank-1")[0], psi.listed("tax-1")[0]))

    wait_until("both know that it is over", over, 60)
    told = psi.align(
        psi.list_of(f"again-{victim}", psi.loans.codes[:120] + STRANGERS), f"again-{victim}", "--keep", "any"
    )
    assert told["size"] == 120


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
