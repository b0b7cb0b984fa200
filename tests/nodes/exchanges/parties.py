"""Two nodes with real stores, keys, consents and sessions, talking over a relay in memory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from consent.catalogue import load_catalogue
from consent.decision import ItemUse
from consent.documents import ConsentDocument, ExchangeMode, ItemMode, ItemScope, Limits, Purpose, PurposePart
from consent.rules import load_rules
from consent.usage import ExchangeRequest, policy_digest
from nodes.errors import NodeError
from nodes.exchanges.query import QueryClient, serve_queries
from nodes.exchanges.raw_plan import Planner
from nodes.exchanges.raw_provider import RawProvider
from nodes.exchanges.raw_requester import Progress, RawRequester
from nodes.exchanges.session import Session, SessionLimits, SessionTerms
from nodes.exchanges.terms import ExchangeTerms
from nodes.policy import PolicyEnforcementPoint
from nodes.replica import Replica
from nodes.store import Store
from tests.nodes.exchanges.memory_relay import MemoryRelay
from tests.nodes.hub_simulator import BANK, CONSENTS, DAY_MS, DIRECTORY, NOW_MS, PROVIDER, Enterprise, HubSimulator
from trust.sm2 import PrivateKey

ITEM = "demo_delinquency"
FIELDS = ("delinq_2yrs", "inq_last_6mths", "acc_now_delinq", "delinq_amnt", "inq_last_12m", "inq_fi")
CATALOGUE, RULES = load_catalogue(), load_rules()


@dataclass
class Tables:
    """Data of one item in memory, behind both interfaces that the exchanges ask for."""

    table: pa.Table

    def lookup(self, item_id: str, uscc: str) -> Sequence[dict[str, Any]]:
        rows = self.table.filter(pc.equal(self.table.column("uscc"), uscc)).to_pylist()
        return [{name: value for name, value in row.items() if name != "uscc"} for row in rows]

    def pin(self, item_id: str, holder: str) -> str:
        return "ab" * 32

    def unpin(self, holder: str) -> None:
        return None

    def scan(
        self, item_id: str, digest: str, subjects: pa.Array, fields: Sequence[str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        chosen = self.table.filter(pc.is_in(self.table.column("uscc"), value_set=subjects)).select(["uscc", *fields])
        yield from chosen.combine_chunks().to_batches(max_chunksize=batch_rows)


def rows_for(codes: Sequence[str], repeat: int = 1) -> pa.Table:
    """`repeat` records of the item for each subject, in the order of the codes."""
    ordered = sorted(code for code in codes for _ in range(repeat))
    count = len(ordered)
    columns: dict[str, Any] = {"uscc": ordered}
    for place, name in enumerate(FIELDS):
        columns[name] = pa.array(range(place, count + place), pa.int64())
    return pa.table(columns)


@dataclass
class Parties:
    """The provider with its consents and data, the bank, and the exchange between them."""

    provider_store: Store
    bank_store: Store
    home: Path
    hub: HubSimulator = field(default_factory=HubSimulator)
    relay: MemoryRelay = field(default_factory=MemoryRelay)
    tax_key: PrivateKey = field(default_factory=PrivateKey.generate)
    bank_key: PrivateKey = field(default_factory=PrivateKey.generate)
    now_ms: int = NOW_MS
    purpose: Purpose = Purpose.PRE_LOAN
    tables: Tables = field(default_factory=lambda: Tables(rows_for([])))

    def __post_init__(self) -> None:
        self.hub.enrol_node("tax-1", PROVIDER, self.tax_key)
        self.hub.enrol_node("bank-1", BANK, self.bank_key)
        self.replica = Replica(member_id=PROVIDER, hub_key=self.hub.key.public)
        self._sent = {DIRECTORY: 0, CONSENTS: 0}

    def catch_up(self) -> None:
        """The provider's replica follows the hub's logs."""
        for origin in (DIRECTORY, CONSENTS):
            leaves = self.hub.logs[origin]
            self.replica.apply_entries(origin, self._sent[origin], leaves[self._sent[origin] :])
            self._sent[origin] = len(leaves)
            self.replica.apply_checkpoint(self.hub.checkpoint(origin, time_ms=self.now_ms), self.now_ms)

    def grant(
        self,
        enterprise: Enterprise,
        mode: ItemMode,
        items: tuple[str, ...] = (ITEM,),
        provider: str = PROVIDER,
        **changes: Any,
    ) -> ConsentDocument:
        """An enterprise consents to items of a provider in a mode; limits by keyword."""
        document = self.hub.consent(enterprise, provider=provider)
        purpose = PurposePart(purpose_code=self.purpose)
        limits = msgspec.structs.replace(document.limits, valid_from_ms=NOW_MS - DAY_MS, **changes)
        scope = tuple(ItemScope(item_id=item, mode=mode) for item in items)
        document = msgspec.structs.replace(document, scope=scope, purpose=purpose, limits=limits)
        self.hub.append(f"consent/{provider}", self.hub.entry("consent", document, enterprise.key))
        return document

    def terms(self, mode: ExchangeMode, items: tuple[ItemUse, ...], exchange_id: str = "") -> ExchangeTerms:
        """What both nodes agreed to."""
        request = ExchangeRequest(
            exchange_id=exchange_id or str(uuid.uuid4()),
            mode=mode,
            requester=BANK,
            requester_node="bank-1",
            provider=PROVIDER,
            product_id="delinquency",
            items=items,
            purpose=self.purpose,
            reason="loan application",
            user="officer",
            time_ms=self.now_ms,
            expires_ms=self.now_ms + DAY_MS,
        )
        return ExchangeTerms(
            request=request,
            provider_node="tax-1",
            policy_digest=policy_digest(msgspec.json.encode(request)),
            peer_identity=self.tax_key.public,
            request_document=b"request",
            ticket_document=b"ticket",
        )

    def session(self, terms: ExchangeTerms, role: str) -> Session:
        """One end."""
        mine, theirs = (self.bank_key, self.tax_key) if role == "requester" else (self.tax_key, self.bank_key)
        return Session(
            SessionTerms(
                exchange_id=terms.exchange_id,
                requester_node="bank-1",
                provider_node="tax-1",
                mode=terms.request.mode.value,
                policy_digest=terms.policy_digest,
                role=role,  # type: ignore[arg-type]
            ),
            identity=mine,
            peer_identity=theirs.public,
            relay=self.relay.link(role),
            limits=SessionLimits(join_s=5.0, reconnect_s=5.0, backoff_s=0.01),
        )

    def policy(self) -> PolicyEnforcementPoint:
        """The provider's enforcement point."""
        return PolicyEnforcementPoint(
            store=self.provider_store,
            replica=self.replica,
            records=self.tables,
            catalogue=CATALOGUE,
            rules=RULES,
            member_id=PROVIDER,
            node_id="tax-1",
            max_staleness_ms=60_000,
            clock=lambda: self.now_ms,
            new_id=lambda: str(uuid.uuid4()),
            written=lambda: None,
        )

    def raw_provider(self) -> RawProvider:
        """The provider's side of transfers."""
        planner = Planner(
            store=self.provider_store,
            replica=self.replica,
            tables=self.tables,
            catalogue=CATALOGUE,
            rules=RULES,
            directory=self.home / "transfers",
            member_id=PROVIDER,
            node_id="tax-1",
            max_staleness_ms=60_000,
            clock=lambda: self.now_ms,
            new_id=lambda: str(uuid.uuid4()),
            written=lambda: None,
        )
        return RawProvider(
            store=self.provider_store,
            replica=self.replica,
            tables=self.tables,
            planner=planner,
            catalogue=CATALOGUE,
            rules=RULES,
            clock=lambda: self.now_ms,
        )

    @asynccontextmanager
    async def serving(self, terms: ExchangeTerms) -> AsyncIterator[Session]:
        """The provider's end of an exchange, served until the block ends."""
        session = self.session(terms, "provider")
        run = asyncio.create_task(session.run())
        serve = asyncio.create_task(
            serve_queries(session, terms, self.policy())
            if terms.request.mode is ExchangeMode.QUERY
            else self.raw_provider().serve(session, terms)
        )
        try:
            yield session
        finally:
            failure = serve.exception() if serve.done() and not serve.cancelled() else None
            for task in (serve, run):
                task.cancel()
            await asyncio.gather(serve, run, return_exceptions=True)
            if failure is not None and not isinstance(failure, NodeError):
                raise failure

    @asynccontextmanager
    async def asking(self, terms: ExchangeTerms) -> AsyncIterator[QueryClient]:
        """The bank's end of an exchange for queries."""
        session = self.session(terms, "requester")
        client = QueryClient(
            session,
            terms,
            store=self.bank_store,
            node_id="bank-1",
            clock=lambda: self.now_ms,
            new_id=lambda: str(uuid.uuid4()),
            written=lambda: None,
        )
        tasks = [asyncio.create_task(session.run()), asyncio.create_task(client.run())]
        try:
            yield client
        finally:
            await session.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def fetcher(self, session: Session, terms: ExchangeTerms, directory: Path, told: list[Progress]) -> RawRequester:
        """The bank's side of a transfer."""
        return RawRequester(
            session,
            terms,
            directory,
            store=self.bank_store,
            node_id="bank-1",
            clock=lambda: self.now_ms,
            new_id=lambda: str(uuid.uuid4()),
            written=lambda: None,
            progress=told.append,
        )


def limits_of(document: ConsentDocument) -> Limits:
    """The limits of a consent."""
    return document.limits


async def receipts(store: Store) -> list[dict[str, Any]]:
    """What a node recorded."""
    rows = await store.read(lambda connection: connection.execute("SELECT payload FROM outbox ORDER BY seq").fetchall())
    return [msgspec.json.decode(payload) for (payload,) in rows]
