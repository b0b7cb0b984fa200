"""The demonstration, step by step: what a hub operator, two providers, a bank and hundreds of enterprises do with each other.

Nothing is simulated: the steps go through the same processes, sockets and commands as in production, and each checks what came of
it. A step that does not do what it should ends the demonstration with a failure.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec
from xinqiao.v1 import agent_pb2

from cli.demo.cohort import (
    BANK,
    EXPECTED,
    GOVERNMENT,
    GOVERNMENT_ITEM,
    OTHER_BANK,
    PLATFORM,
    PLATFORM_ITEM,
    Member,
    consent_of_group,
    places,
)
from cli.demo.enterprises import Enterprise, Registry
from cli.demo.loans import OWNERS, Loans, product_toml, source_toml, split_loans
from cli.demo.models import PARAMETERS, PROVIDERS, TrainedJob, train_joint, write_applications
from cli.demo.names import name_of
from cli.demo.network import DemoFailed, Network, command, wait_until
from cli.demo.plaintext import CAPTURE, needles_of, search
from cli.demo.scoring import DemoScoring
from cli.demo.summary import Summary
from cli.secret import read_secret
from consent.decision import ItemUse
from consent.documents import ItemMode
from nodes.client import AgentClient
from nodes.credentials import load_hub
from nodes.errors import NodeError
from trust.keyfile import load_private_key

QUERIES: Final = 50
USES_OF_FIRST: Final = 6
"""Two queries, each recorded by both sides, and two transfers, each shown by the provider's record."""
TITLES: Final = {
    GOVERNMENT_ITEM: "Delinquencies and inquiries (demonstration)",
    PLATFORM_ITEM: "Accounts and balances (demonstration)",
    "demo_application": "Loan applications (demonstration)",
}
NODES: Final = (
    (GOVERNMENT, "tax-1", "government", "演示税务局", GOVERNMENT_ITEM),
    (PLATFORM, "pay-1", "platform", "演示支付平台", PLATFORM_ITEM),
    (BANK, "bank-1", "bank", "演示第一银行", "demo_application"),
)

Say = Callable[[str], None]


class Scenario:
    """One run in an empty home."""

    def __init__(self, home: Path, say: Say) -> None:
        self.home = home
        self.network = Network(home, hub_settings={"relay_capture": str(home / CAPTURE)})
        self.summary = Summary()
        self._say = say
        self._members: list[Member] = []
        self._answers: list[bytes] = []
        self._registry: Registry | None = None
        self._loans: Loans | None = None
        self._jobs: list[TrainedJob] = []

    def run(self) -> Summary:
        """All steps in order. Raises DemoFailed, NodeError."""
        began = time.monotonic()
        for step in (
            self._start,
            self._publish,
            self._enrol_enterprises,
            self._query,
            self._refusals,
            self._revoke,
            self._fetch,
            self._models,
            self._scores,
            self._audit,
            self._tamper,
            self._search_for_plaintext,
        ):
            at = time.monotonic()
            told = step()
            self._say(f"{told} ({time.monotonic() - at:.1f} s)")
        self.summary.seconds = round(time.monotonic() - began, 1)
        (self.home / "summary.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(self.summary), indent=2) + b"\n"
        )
        return self.summary

    def enterprises(self) -> list[Enterprise]:
        """All enterprises but those of the models; the first ones have consents for everything."""
        return [member.enterprise for member in self._members if member.group != "model"]

    def close(self) -> None:
        """Stop every process."""
        if self._registry is not None:
            self._registry.close()
        self.network.stop()

    # -- the steps

    def _start(self) -> str:
        self.network.start_hub()
        self._loans = split_loans(self.home / "data")
        self.network.admit(OTHER_BANK, "bank", "演示第二银行")
        for member, node, kind, name, item in NODES:
            self.network.admit(member, kind, name)
            home = self.network.node_home(node)
            self.network.add_node(member, node, sources=source_toml(item, self._loans.files[item]), wait=False)
            (home / "products.toml").write_text(product_toml(item, TITLES[item]), encoding="utf-8")
        self.network.wait()
        return "A hub and three nodes run as four processes, joined by mutual TLS"

    def _publish(self) -> str:
        for _, node, _, _, item in NODES:
            with self.network.agent(node) as agent:
                agent.call("LoadSources", agent_pb2.LoadSourcesRequest())
                status = agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest())
                self.summary.sources[item] = sum(each.records for each in status.items if each.item_id == item)
                agent.call("PublishOwnProducts", agent_pb2.PublishOwnProductsRequest())
            product = item.replace("_", "-")
            command("hub", "review-product", product, "--home", str(self.network.hub_home), "--approve")
        loaded = ", ".join(f"{count} of {item}" for item, count in self.summary.sources.items())
        if set(self.summary.sources.values()) != {9857}:
            raise DemoFailed(f"The nodes loaded {loaded}; 9,857 of each were due.")
        return f"The nodes loaded real loans ({loaded}) and published their products"

    def _enrol_enterprises(self) -> str:
        hub_home = self.network.hub_home
        secret = read_secret(hub_home, None)
        self._registry = registry = Registry(
            load_hub(self.network.node_home("bank-1")),
            str(hub_home / "admin.sock"),
            "operator",
            load_private_key(self.network.operator_key, secret),
        )
        loans = self._require(self._loans)

        def take_part(place: tuple[int, str]) -> Member:
            at, group = place
            code = loans.codes[at]
            enterprise = registry.register(code, name_of(at))
            return Member(enterprise=enterprise, group=group, consents=consent_of_group(registry, enterprise, group))

        with ThreadPoolExecutor(8) as pool:
            self._members = list(pool.map(take_part, places(loans.labels)))
        self.summary.enterprises = len(self._members)
        self.summary.consents = sum(len(member.consents) for member in self._members)
        for node, provider in (("tax-1", GOVERNMENT), ("pay-1", PLATFORM)):
            due = sum(provider in member.consents for member in self._members)
            wait_until(f"{node} holds its {due} consents", lambda node=node, due=due: self._consents_at(node) == due)  # type: ignore[misc]
        return f"{self.summary.enterprises} enterprises registered with their own keys and signed {self.summary.consents} consents"

    def _query(self) -> str:
        subjects = [member.enterprise.uscc for member in self._group("full")]
        with self.network.agent("bank-1") as bank:
            taken: list[float] = []
            for provider, item in ((GOVERNMENT, GOVERNMENT_ITEM), (PLATFORM, PLATFORM_ITEM)):
                exchange = self._open(bank, provider, item, ItemMode.Q)
                for uscc in subjects[:QUERIES]:
                    at = time.monotonic()
                    reply = bank.call("Query", agent_pb2.QueryRequest(exchange_id=exchange, uscc=uscc))
                    taken.append((time.monotonic() - at) * 1000)
                    self._answers.append(reply.records_json)
                    self._check_answer(item, uscc, json.loads(reply.records_json))
        self.summary.query_ok = True
        self.summary.query_p50_ms = round(statistics.median(taken), 2)
        p50 = self.summary.query_p50_ms
        return f"The bank made {len(taken)} consented queries, every answer equal to its loan, median {p50} ms"

    def _refusals(self) -> str:
        found: Counter[str] = Counter()
        with self.network.agent("bank-1") as bank:
            exchange = self._open(bank, GOVERNMENT, GOVERNMENT_ITEM, ItemMode.Q)
            for group, expected in EXPECTED.items():
                member = self._group(group)[0]
                if group == "ended":
                    time.sleep(1.6)
                if group in {"one_use", "once_a_day"}:
                    bank.call("Query", agent_pb2.QueryRequest(exchange_id=exchange, uscc=member.enterprise.uscc))
                reason = self._refusal(bank, exchange, member.enterprise.uscc)
                if reason != expected:
                    raise DemoFailed(
                        f"Group {group} should be refused with {expected}, but the answer was {reason or 'a permit'}."
                    )
                found[reason] += 1
        self.summary.refusals = dict(found)
        return f"{sum(found.values())} queries outside consent were refused, {len(found)} kinds of reasons"

    def _revoke(self) -> str:
        member = self._group("full")[1]
        with self.network.agent("bank-1") as bank:
            exchange = self._open(bank, GOVERNMENT, GOVERNMENT_ITEM, ItemMode.Q)
            bank.call("Query", agent_pb2.QueryRequest(exchange_id=exchange, uscc=member.enterprise.uscc))
            reply = self._require(self._registry).revoke(member.enterprise, GOVERNMENT, member.consents[GOVERNMENT])
            acknowledged = {each.node_id: each.after_ms for each in reply.acknowledgements}
            if "tax-1" not in acknowledged:
                raise DemoFailed("The withdrawal was not acknowledged by the provider's node.")
            reason = self._refusal(bank, exchange, member.enterprise.uscc)
        if reason != "CONSENT_REVOKED":
            raise DemoFailed(f"After the withdrawal the next query was not refused with CONSENT_REVOKED but {reason}.")
        self.summary.revocation_ms = max(acknowledged.values())
        self.summary.refusals[reason] = self.summary.refusals.get(reason, 0) + 1
        took = self.summary.revocation_ms
        return f"An enterprise withdrew: acknowledged by the node's cosignature after {took} ms, the next query refused"

    def _fetch(self) -> str:
        with self.network.agent("bank-1") as bank:
            for provider, item in ((GOVERNMENT, GOVERNMENT_ITEM), (PLATFORM, PLATFORM_ITEM)):
                out = self.home / "received" / item
                last = None
                for progress in bank.fetch(
                    agent_pb2.FetchRequest(
                        provider=provider,
                        product_id=item.replace("_", "-"),
                        items_json=item_uses(item, ItemMode.R),
                        purpose="pre_loan",
                        reason="portfolio review",
                        user="demo",
                        directory=str(out),
                    )
                ):
                    last = progress
                if last is None or last.phase != "finished":
                    raise DemoFailed(f"The transfer of {item} did not finish.")
                self.summary.raw_rows += last.rows
                self._check_transfer(item, out)
        return (
            f"Two raw transfers brought {self.summary.raw_rows} rows of consented subjects to Parquet, with manifests"
        )

    def _models(self) -> str:
        members = self._group("model")
        consents = {
            provider: {each.enterprise.uscc: each.consents[provider] for each in members} for provider, _ in PROVIDERS
        }
        write_applications(self._require(self._loans), self.home)
        self._jobs = [
            train_joint(self.network, self.home, self._require(self._loans), consents, algorithm)
            for algorithm in PARAMETERS
        ]
        self.summary.models = [each.model for each in self._jobs]
        told = "; ".join(
            f"{each.algorithm} AUC {each.auc:.3f}, KS {each.ks:.3f} (all columns in the clear {each.auc_pooled:.3f}, "
            f"the bank's alone {each.auc_own:.3f})"
            for each in self.summary.models
        )
        return f"The bank and two providers trained joint models of {len(members)} enterprises: {told}"

    def _scores(self) -> str:
        job = next(each for each in self._jobs if each.model.algorithm == "logistic")
        registered = {each.enterprise.uscc: each.enterprise for each in self._group("model")}
        held_out = [registered[code] for code in job.held_out]
        step = DemoScoring(self.network, self.home, self._require(self._registry), self._require(self._loans))
        self.summary.scoring = found = step.run(job.job_id, held_out)
        return (
            f"The joint model and a scorecard of the bank's own scored {found.rows} held-out enterprises, {found.max_abs_error:.0e} "
            "from plain scores at most; models made to read out a column were refused. The bank's columns travelled encrypted to the "
            f"platform's own model for {found.served_rows} score; more, which would tell the model, were refused"
        )

    def _audit(self) -> str:
        member = self._group("full")[0]
        self._wait_for_receipts()
        report = self._audit_as(member)
        self.summary.audited_uses = len(report["uses"])
        if not report["verified"] or self.summary.audited_uses < USES_OF_FIRST:
            raise DemoFailed(f"The audit found {self.summary.audited_uses} records of use; {USES_OF_FIRST} were made.")
        self.summary.audit_verified = True
        return f"An enterprise verified {self.summary.audited_uses} recorded uses of its data, with proofs"

    def _tamper(self) -> str:
        export, copy = self.home / "usage-export", self.home / "usage-tampered"
        command("audit", "export", "--home", str(self.network.hub_home), "--origin", "usage", "--out", str(export))
        command("audit", "verify", str(export))
        shutil.copytree(export, copy)
        victim = max((path for path in copy.iterdir() if path.is_file()), key=lambda path: path.stat().st_size)
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
        try:
            command("audit", "verify", str(copy))
        except DemoFailed:
            self.summary.tamper_detected = True
        if not self.summary.tamper_detected:
            raise DemoFailed("One changed bit in a copy of the log was not detected.")
        return "The exported usage log verifies offline; a copy with one bit changed does not"

    def _search_for_plaintext(self) -> str:
        needles = needles_of(self._row(PLATFORM_ITEM, each.enterprise.uscc) for each in self._group("full")[:QUERIES])
        snapshots = b"".join(path.read_bytes() for path in self.network.node_home("pay-1").rglob("*.arrow"))
        captured = search(self.home, self.network.hub_home, needles, b"".join(self._answers) + snapshots)
        self.summary.hub_saw_plaintext = False
        return f"{len(needles)} exchanged values were searched for in the hub's database and {captured:,} relayed bytes: none there"

    # -- helpers

    def _require(self, value: Any) -> Any:  # noqa: ANN401 - set by an earlier step
        if value is None:
            raise DemoFailed("A step was run before the one that it needs.")
        return value

    def _group(self, name: str) -> list[Member]:
        return [member for member in self._members if member.group == name]

    def _consents_at(self, node: str) -> int:
        with self.network.agent(node) as agent:
            return int(agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).consents)

    def _open(self, bank: AgentClient, provider: str, item: str, mode: ItemMode) -> str:
        reply = bank.call(
            "OpenQuery",
            agent_pb2.OpenQueryRequest(
                provider=provider,
                product_id=item.replace("_", "-"),
                items_json=item_uses(item, mode),
                purpose="pre_loan",
                reason="loan application",
                user="demo",
            ),
        )
        return str(reply.exchange_id)

    def _refusal(self, bank: AgentClient, exchange: str, uscc: str) -> str:
        try:
            bank.call("Query", agent_pb2.QueryRequest(exchange_id=exchange, uscc=uscc))
        except NodeError as error:
            return error.reason or error.code
        return ""

    def _row(self, item: str, uscc: str) -> dict[str, str]:
        import csv

        with (self.home / "data" / f"{item}.csv").open(encoding="utf-8", newline="") as file:
            return next(row for row in csv.DictReader(file) if row["uscc"] == uscc)

    def _check_answer(self, item: str, uscc: str, answer: dict[str, list[dict[str, Any]]]) -> None:
        source = self._row(item, uscc)
        (record,) = answer[item]
        wrong = [name for name in OWNERS[item] if float(record[name]) != float(source[name])]
        if wrong:
            raise DemoFailed(f"The answer about a subject differs from its loan in {', '.join(wrong)}.")

    def _check_transfer(self, item: str, out: Path) -> None:
        import pyarrow.parquet as pq

        codes = set(pq.ParquetDataset(out / item).read(["uscc"]).column("uscc").to_pylist())
        provider = GOVERNMENT if item == GOVERNMENT_ITEM else PLATFORM
        revoked = self._group("full")[1].enterprise.uscc if provider == GOVERNMENT else ""
        due = {member.enterprise.uscc for member in self._group("full")} - {revoked}
        if codes != due:
            raise DemoFailed(f"The transfer of {item} brought {len(codes)} subjects, {len(due)} consented.")

    def _wait_for_receipts(self) -> None:
        def sent() -> bool:
            for node in ("tax-1", "pay-1", "bank-1"):
                with self.network.agent(node) as agent:
                    if agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).outbox_waiting:
                        return False
            return True

        wait_until("every receipt is in the usage log", sent)

    def _audit_as(self, member: Member) -> dict[str, Any]:
        from cli.enterprise_home import create_home

        home = self.home / "enterprise"
        create_home(home, self.network.hub_file, member.enterprise.uscc, member.enterprise.name, member.enterprise.key)
        report: dict[str, Any] = {}

        def complete() -> bool:
            """The newest entries stand under a checkpoint within a few seconds."""
            nonlocal report
            report = command("audit", "mine", "--home", str(home))
            return len(report["uses"]) >= USES_OF_FIRST

        wait_until("the audit shows every use", complete)
        return report


def item_uses(item: str, mode: ItemMode) -> bytes:
    """An item with all fields of its owner, as the agent takes it."""
    return msgspec.json.encode((ItemUse(item_id=item, mode=mode, fields=OWNERS[item]),))
