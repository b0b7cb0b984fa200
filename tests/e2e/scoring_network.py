"""A network for scores: a hub, two providers over real loans, a bank; enterprises that consent to scoring; linear models."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from xinqiao.v1 import agent_pb2

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM, PLATFORM, PLATFORM_ITEM
from cli.demo.enterprises import Enterprise, Registry
from cli.demo.loans import OWNERS, Loans, product_toml, source_toml, split_loans
from cli.demo.network import Network, command, wait_until
from cli.demo.scores import OWN_COLUMNS, consent_to_scoring, linear_model
from cli.secret import read_secret
from modeling.scoring.inputs import OWN
from modeling.scoring.model import Feature, LinearModel, canonical, score_plain
from nodes.credentials import load_hub
from trust.keyfile import load_private_key

ENTERPRISES = 60
PROVIDERS = ((GOVERNMENT, "tax-1", GOVERNMENT_ITEM), (PLATFORM, "pay-1", PLATFORM_ITEM))
Tables = dict[str, dict[str, np.ndarray[Any, Any]]]


@dataclass
class Scoring:
    """The running network and what the tests do with it."""

    network: Network
    registry: Registry
    loans: Loans
    folder: Path
    enterprises: list[Enterprise]
    consents: list[dict[str, str]]

    @property
    def codes(self) -> list[str]:
        return [each.uscc for each in self.enterprises]

    def register(self, model: LinearModel, *, serve: bool = True) -> str:
        """Register at the bank, approve at every provider, take into service; its identifier."""
        with self.network.agent("bank-1") as bank:
            request = agent_pb2.RegisterOwnModelRequest(name=model.name, linear=canonical(model))
            model_id = _id_of(bank.call("RegisterOwnModel", request))
        for member in model.members:
            self.step(next(node for name, node, _ in PROVIDERS if name == member), model_id, "approved")
        if serve:
            self.step("bank-1", model_id, "in_service")
        return model_id

    def commitment(self, model_id: str) -> str:
        """What receipts name the model by."""
        with self.network.agent("bank-1") as bank:
            (found,) = bank.call("ListModelVersions", agent_pb2.ListModelVersionsRequest(model_id=model_id)).models
        return str(json.loads(found.version_json)["commitment"])

    def with_features(self, model: LinearModel, features: Sequence[Feature]) -> LinearModel:
        return msgspec.structs.replace(model, features=tuple(features))

    def step(self, node: str, model_id: str, step: str) -> None:
        def known() -> bool:
            found = agent.call("ListModelVersions", agent_pb2.ListModelVersionsRequest()).models
            states = {_id_of(each): each.state for each in found}
            return model_id in states and (step != "in_service" or states[model_id] == "approved")

        with self.network.agent(node) as agent:
            wait_until(f"{node} knows the model", known)
            request = agent_pb2.StepModelRequest(model_id=model_id, step=step, reason="e2e", user="e2e")
            agent.call("StepModel", request)

    def score(self, model_id: str, codes: Sequence[str], key: str = "", application_no: str = "") -> Any:
        """Scores over the agent's socket."""
        own = self.own(codes)
        subjects = [
            agent_pb2.ScoreSubject(
                uscc=code, own_json=json.dumps({name: own[name][at] for name in OWN_COLUMNS}).encode()
            )
            for at, code in enumerate(codes)
        ]
        request = agent_pb2.ScoreRequest(
            model_id=model_id,
            subjects=subjects,
            reason="e2e",
            user="e2e",
            request_key=key,
            application_no=application_no,
        )
        with self.network.agent("bank-1") as bank:
            return bank.call("Score", request).scores

    def start_run(self, model_id: str, codes: Sequence[str], out: Path, *more: str) -> subprocess.Popen[bytes]:
        """`xinqiao score run` in the background; `more`: options."""
        folder = out.parent
        (folder / f"{out.name}.txt").write_text("\n".join(codes), encoding="utf-8")
        frame = pd.DataFrame({"uscc": codes, **self.own(codes)})
        frame.to_csv(folder / f"{out.name}-own.csv", index=False)
        arguments = ("score", "run", "--home", str(self.network.node_home("bank-1")), "--model", model_id)
        files = ("--list", str(folder / f"{out.name}.txt"), "--own", str(folder / f"{out.name}-own.csv"))
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "cli.main",
                *arguments,
                *files,
                "--out",
                str(out),
                "--reason",
                "e2e",
                *more,
                "--json",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, model_id: str, codes: Sequence[str], out: Path) -> dict[str, Any]:
        """The same to its end: the report."""
        running = self.start_run(model_id, codes, out)
        said, _ = running.communicate(timeout=150)
        assert running.returncode == 0, said.decode()
        report: dict[str, Any] = json.loads(said)
        return report

    def own(self, codes: Sequence[str]) -> dict[str, list[float]]:
        frame = pd.read_csv(self.loans.files["demo_application"], dtype={"uscc": str}).set_index("uscc")
        return {name: [float(each) for each in frame.loc[list(codes), name]] for name in OWN_COLUMNS}

    def plain(self, model: LinearModel, codes: Sequence[str]) -> np.ndarray[Any, Any]:
        """The scores with all data in one place."""
        tables: Tables = {OWN: {name: np.array(each) for name, each in self.own(codes).items()}}
        for member, _, item in PROVIDERS:
            frame = pd.read_csv(self.loans.files[item], dtype={"uscc": str}).set_index("uscc").loc[list(codes)]
            tables[member] = {f"{item}.{name}": frame[name].to_numpy(np.float64) for name in OWNERS[item]}
        present = {name: np.ones(len(codes), np.bool_) for name in tables}
        return score_plain(model, tables, present)

    def model(self, name: str, *members: str) -> LinearModel:
        return linear_model(name, self.loans.files, members)


@contextmanager
def scoring_network(home: Path, settings: str = "", enterprises: int = ENTERPRISES) -> Iterator[Scoring]:
    """`settings`: more lines of the providers' node.toml."""
    network = Network(home)
    try:
        network.start_hub()
        loans = split_loans(home / "data")
        network.admit(BANK, "bank", BANK)
        network.add_node(BANK, "bank-1", wait=False)
        for member, node, item in PROVIDERS:
            network.admit(member, "government" if member == GOVERNMENT else "platform", member)
            network.add_node(member, node, sources=source_toml(item, loans.files[item]), settings=settings, wait=False)
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
        with ThreadPoolExecutor(8) as pool:
            both = list(pool.map(lambda code: _consenting(registry, code), _balanced(loans, enterprises)))
        for _, node, _ in PROVIDERS:
            wait_until(f"{node} holds the consents", lambda node=node: held(network, node) == enterprises)  # type: ignore[misc]
        yield Scoring(network, registry, loans, home, [one for one, _ in both], [ids for _, ids in both])
        registry.close()
    finally:
        network.stop()


def _consenting(registry: Registry, code: str) -> tuple[Enterprise, dict[str, str]]:
    enterprise = registry.register(code, "scoring")
    return enterprise, consent_to_scoring(registry, enterprise)


def _balanced(loans: Loans, count: int) -> list[str]:
    """As many bad loans as good ones."""
    bad = [code for code, label in zip(loans.codes, loans.labels, strict=True) if label == "bad"]
    good = [code for code, label in zip(loans.codes, loans.labels, strict=True) if label != "bad"]
    return [*bad[: count // 2], *good[: count - count // 2]]


def held(network: Network, node: str) -> int:
    """Consents that a node holds."""
    with network.agent(node) as agent:
        return int(agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).consents)


def _id_of(reply: Any) -> str:
    return str(json.loads(reply.version_json)["model_id"])


def scores_of(out: Path) -> dict[str, dict[str, str]]:
    """A batch's result by code."""
    with (out / "scores.csv").open(encoding="utf-8") as text:
        return {row["uscc"]: row for row in csv.DictReader(text)}


def limits_of(network: Network, node: str) -> dict[str, Any]:
    """What a provider lets others score, and what they have spent."""
    with network.agent(node) as agent:
        found: dict[str, Any] = msgspec.json.decode(
            agent.call("ListScoreLimits", agent_pb2.ListScoreLimitsRequest()).limits_json
        )
        return found
