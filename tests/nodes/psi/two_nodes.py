"""A provider's and a bank's node as far as comparisons need them, over the stores and the relay of `Parties`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np

from consent.decision import ItemUse
from consent.documents import ExchangeMode, ItemMode
from consent.usage import Receipt, SubjectUse
from nodes.errors import NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.frames import Failure
from nodes.exchanges.session import Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.party.link import PartyLink
from nodes.psi.codes import Codes
from nodes.psi.messages import Keep, Said, decode
from nodes.psi.outcome import Outcome
from nodes.psi.provider import PsiNode, PsiProvider
from nodes.psi.run import Partner, PsiRun
from nodes.psi.store import Target
from nodes.settings import PsiRule
from nodes.store import Store
from tests.nodes.exchanges.parties import ITEM, Parties
from tests.nodes.hub_simulator import BANK, PROVIDER

BASIS = "PIPL art. 13 (1) no. 3, agreement 7"
PRODUCT = "delinquency"


def codes_of(texts: Sequence[str]) -> Codes:
    return np.array([text.encode() for text in texts], "S18")


def rule(mode: str = "rows", **changes: Any) -> PsiRule:
    made: dict[str, Any] = {"member": BANK, "product": PRODUCT, "mode": mode, "legal_basis": BASIS, "minimum": 20}
    return PsiRule(**made | changes)


def psi_terms(parties: Parties, mode: ExchangeMode, items: tuple[str, ...] = (ITEM,)) -> ExchangeTerms:
    return parties.terms(mode, tuple(ItemUse(item_id=item, mode=ItemMode.X) for item in items))


class Subjects:
    """What the provider has."""

    def __init__(self, codes: Sequence[str]) -> None:
        self._codes = codes_of(sorted(codes))

    def codes(self, item_id: str) -> Codes:
        assert item_id == ITEM
        return self._codes


def provider_of(parties: Parties, codes: Sequence[str], *rules: PsiRule) -> PsiProvider:
    return PsiProvider(
        PsiNode(
            home=parties.home,
            store=parties.provider_store,
            subjects=Subjects(codes),
            rules=rules,
            node_id="tax-1",
            executor="",
            clock=lambda: parties.now_ms,
            new_id=lambda: str(uuid.uuid4()),
            written=lambda: None,
        )
    )


class Talk:
    """An exchange between both nodes: the provider serves, the other end is a link."""

    def __init__(self, parties: Parties, provider: PsiProvider, terms: ExchangeTerms) -> None:
        self.terms = terms
        loop = asyncio.get_running_loop()
        theirs, self.session = parties.session(terms, "provider"), parties.session(terms, "requester")
        self.link: PartyLink[Said] = PartyLink(self.session, decode)
        self._running = [loop.create_task(each.run()) for each in (theirs, self.session, self.link)]
        self.served = loop.create_task(_serve(provider, theirs, terms))

    async def __aenter__(self) -> Talk:
        await self.session.wait_ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self.served, *self._running):
            task.cancel()
        await asyncio.gather(self.served, *self._running, return_exceptions=True)

    async def compare(
        self, parties: Parties, codes: Sequence[str], *, minimum: int = 20, keep: Keep = "all", **changes: Any
    ) -> Outcome:
        """The bank's side, into `parties.home / "out"` where rows are compared."""
        rows = self.terms.request.mode == "psi_rows"
        context = SimpleNamespace(
            store=parties.bank_store,
            settings=SimpleNamespace(node_id="bank-1", joint_executor=""),
            new_id=lambda: str(uuid.uuid4()),
            clock=lambda: parties.now_ms,
            outbox=SimpleNamespace(wake=lambda: None),
        )
        run = PsiRun(
            cast(ExchangeContext, context),
            changes.pop("run_id", str(uuid.uuid4())),
            codes_of(codes),
            rows=rows,
            keep=keep,
            minimum=minimum,
            folder=parties.home / "own",
            tell=lambda *_: None,
        )
        target = Target(provider=PROVIDER, product_id=PRODUCT, item_id=ITEM)
        partner = Partner(target, 1, self.terms, self.session, self.link)
        return await run.compare([partner], parties.home / "out" if rows else None)


async def _serve(provider: PsiProvider, session: Session, terms: ExchangeTerms) -> int:
    try:
        return await provider.serve(session, terms)
    except NodeError as error:  # as `nodes.exchanges.provider` does
        await session.close(Failure(code=error.code, message=error.message))
        raise


async def receipts_of(store: Store) -> list[tuple[Receipt, list[SubjectUse]]]:
    """What a node has recorded, in its order."""

    def read(connection: Any) -> list[tuple[Receipt, list[SubjectUse]]]:
        found = []
        for receipt_id, payload in connection.execute("SELECT receipt_id, payload FROM outbox ORDER BY seq").fetchall():
            uses = connection.execute(
                "SELECT subject_use FROM batch_subjects WHERE receipt_id = ? ORDER BY position", (receipt_id,)
            ).fetchall()
            decoded = [msgspec.json.decode(use, type=SubjectUse) for (use,) in uses]
            found.append((msgspec.json.decode(payload, type=Receipt), decoded))
        return found

    return await store.read(read)
