"""The outbox: every receipt reaches the hub once, in order, whatever happens on the way."""

# ruff: noqa: S311 (jitter protects nothing)

from __future__ import annotations

import asyncio
import random
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consent.documents import ExchangeMode, Purpose, encode
from consent.usage import BatchCommitment, Receipt, SubjectUse, parse_signed_receipt, verify_receipt
from nodes.backoff import Backoff
from nodes.errors import HubRefused, HubUnavailable, NodeError, StoreFailed
from nodes.outbox import BATCH_SIZE, SUBJECTS_PER_CALL, Outbox, write_deletion, write_receipt
from nodes.store import Store
from tests.nodes.hub_simulator import NOW_MS, PROVIDER, make_uscc
from trust.document import sign_document
from trust.merkle import leaf_hash
from trust.sm2 import PrivateKey

KEY = PrivateKey.generate()
NODE = "taxoffice-1"
EXCHANGE = str(uuid.UUID(int=7))


def make_receipt(number: int, *, subjects: int = 0) -> Receipt:
    return Receipt(
        receipt_id=str(uuid.UUID(int=number)),
        side="provider",
        exchange_id=EXCHANGE,
        request_no=number,
        user="zhang",
        institution=PROVIDER,
        node_id=NODE,
        time_ms=NOW_MS,
        reason="loan application",
        items=("tax_payment",),
        subject="" if subjects else make_uscc(1),
        purpose=Purpose.PRE_LOAN,
        mode=ExchangeMode.RAW if subjects else ExchangeMode.QUERY,
        record_count=1,
        digest="",
        decision="permit",
        batch=BatchCommitment(root="00" * 32, size=subjects) if subjects else None,
    )


def make_uses(count: int) -> list[bytes]:
    return [
        encode(SubjectUse(uscc=make_uscc(n), consent_id=EXCHANGE, record_count=1, salt=f"{n:032x}"))
        for n in range(count)
    ]


@dataclass
class Sink:
    """The hub's side: idempotent by the bytes of the leaf, and failing when told to."""

    leaves: list[bytes] = field(default_factory=list)
    calls: list[list[bytes]] = field(default_factory=list)
    subjects: list[tuple[str, int, list[bytes]]] = field(default_factory=list)
    deletions: list[bytes] = field(default_factory=list)
    fail_before: NodeError | None = None
    fail_after: NodeError | None = None
    short: bool = False

    def _maybe_fail(self, error: NodeError | None) -> None:
        if error is not None:
            self.fail_before = self.fail_after = None
            raise error

    async def submit_receipts(self, signed: Sequence[bytes]) -> Sequence[int]:
        self._maybe_fail(self.fail_before)
        self.calls.append(list(signed))
        for leaf in signed:
            if leaf not in self.leaves:
                self.leaves.append(leaf)
        self._maybe_fail(self.fail_after)  # the hub took them, its answer was lost
        return [self.leaves.index(leaf) for leaf in signed][: -1 if self.short else None]

    async def submit_batch_subjects(self, receipt_id: str, first_index: int, uses: Sequence[bytes]) -> None:
        self._maybe_fail(self.fail_before)
        self.subjects.append((receipt_id, first_index, list(uses)))

    async def submit_deletion(self, attestation: bytes) -> int:
        self._maybe_fail(self.fail_before)
        self.deletions.append(attestation)
        return len(self.deletions) - 1

    def receipts(self) -> list[int]:
        """Return the numbers of the receipts in the log, after verifying each."""
        return [verify_receipt(leaf, KEY.public).request_no for leaf in self.leaves]


def make_outbox(store: Store, sink: Sink) -> Outbox:
    backoff = Backoff(random.Random(1), first_s=0.01, longest_s=0.02)
    return Outbox(store=store, sink=sink, node_id=NODE, key=KEY, clock=lambda: NOW_MS, backoff=backoff)


async def put(store: Store, *receipts: Receipt, uses: Sequence[bytes] = ()) -> None:
    def work(connection: sqlite3.Connection) -> None:
        for receipt in receipts:
            write_receipt(connection, receipt, uses)

    await store.write(work)


async def drain(outbox: Outbox) -> None:
    while await outbox.work_once():
        pass


async def states(store: Store) -> list[tuple[str, int | None]]:
    return await store.read(lambda c: c.execute("SELECT state, log_index FROM outbox ORDER BY seq").fetchall())


async def test_receipts_arrive_signed_once_and_in_order(store: Store) -> None:
    sink = Sink()
    outbox = make_outbox(store, sink)
    await put(store, *(make_receipt(number) for number in range(20)))
    assert (await outbox.status()).waiting == 20
    await drain(outbox)
    assert sink.receipts() == list(range(20))
    assert {parse_signed_receipt(leaf)[0].head for leaf in sink.leaves} == {
        parse_signed_receipt(sink.leaves[0])[0].head
    }
    assert await states(store) == [("sent", number) for number in range(20)]
    assert (await outbox.status()).waiting == 0


async def test_many_receipts_are_sent_in_batches(store: Store) -> None:
    sink = Sink()
    await put(store, *(make_receipt(number) for number in range(BATCH_SIZE + 3)))
    await drain(make_outbox(store, sink))
    assert [len(call) for call in sink.calls] == [BATCH_SIZE, 3]
    assert sink.receipts() == list(range(BATCH_SIZE + 3))


async def test_a_receipt_and_its_use_happen_together_or_not_at_all(store: Store) -> None:
    def spend_and_fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO uses VALUES ('c', 1)")
        write_receipt(connection, make_receipt(1))
        raise KeyError("crash")

    with pytest.raises(KeyError):
        await store.write(spend_and_fail)
    assert await states(store) == []
    assert await store.read(lambda c: c.execute("SELECT * FROM uses").fetchall()) == []
    assert (await make_outbox(store, Sink()).status()).included == 0


async def test_the_same_receipt_cannot_be_written_twice(store: Store) -> None:
    await put(store, make_receipt(1))
    with pytest.raises(StoreFailed):
        await put(store, make_receipt(1))


async def test_an_answer_that_was_lost_does_not_double_a_receipt(store: Store) -> None:
    sink = Sink(fail_after=HubUnavailable("gone"))
    outbox = make_outbox(store, sink)
    await put(store, *(make_receipt(number) for number in range(3)))
    with pytest.raises(HubUnavailable):
        await outbox.work_once()
    await put(store, make_receipt(3))
    await drain(outbox)
    assert sink.receipts() == [0, 1, 2, 3]
    assert sink.calls[0] == sink.calls[1][:3]  # byte for byte the same


async def test_what_was_signed_before_a_restart_is_sent_unchanged(tmp_path: Path) -> None:
    sink, path = Sink(fail_after=HubUnavailable("gone")), tmp_path / "outbox.db"
    first = Store.open(path)
    await put(first, make_receipt(1))
    with pytest.raises(HubUnavailable):
        await make_outbox(first, sink).work_once()
    await first.close()
    second = Store.open(path)
    await drain(make_outbox(second, sink))
    assert sink.receipts() == [1]
    assert sink.calls[0] == sink.calls[1]
    kept = await second.read(lambda c: c.execute("SELECT leaf_hash FROM outbox").fetchone())
    assert kept == (leaf_hash(sink.leaves[0]),)
    await second.close()


async def test_an_incomplete_acknowledgement_acknowledges_nothing(store: Store) -> None:
    outbox = make_outbox(store, Sink(short=True))
    await put(store, make_receipt(1), make_receipt(2))
    with pytest.raises(NodeError):
        await outbox.work_once()
    assert [state for state, _ in await states(store)] == ["signed", "signed"]


async def test_subjects_follow_their_receipt_in_parts(store: Store) -> None:
    sink, uses = Sink(), make_uses(SUBJECTS_PER_CALL + 2)
    await put(store, make_receipt(1, subjects=len(uses)), uses=uses)
    await drain(make_outbox(store, sink))
    assert [(first, len(part)) for _, first, part in sink.subjects] == [(0, SUBJECTS_PER_CALL), (SUBJECTS_PER_CALL, 2)]
    assert [use for _, _, part in sink.subjects for use in part] == uses


async def test_no_subject_is_sent_before_its_receipt(store: Store) -> None:
    sink = Sink()
    outbox = make_outbox(store, sink)
    await put(store, *(make_receipt(number) for number in range(BATCH_SIZE)))
    await put(store, make_receipt(BATCH_SIZE, subjects=2), uses=make_uses(2))  # goes with the second batch
    await outbox.work_once()
    assert (len(sink.leaves), sink.subjects) == (BATCH_SIZE, [])
    await drain(outbox)
    assert (len(sink.leaves), len(sink.subjects)) == (BATCH_SIZE + 1, 1)


async def test_a_deletion_is_attested_once(store: Store) -> None:
    sink, document = Sink(), sign_document("application/vnd.xinqiao.deletion-attestation+json", b"{}", KEY)
    for _ in range(2):
        await store.write(lambda c: write_deletion(c, EXCHANGE, document, NOW_MS))
    await drain(make_outbox(store, sink))
    assert sink.deletions == [document.encode()]


async def run_until(outbox: Outbox, condition: Callable[[], bool]) -> None:
    task = asyncio.ensure_future(outbox.run())
    try:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("error", [HubUnavailable("away"), HubRefused("no", code="SIGNATURE_INVALID")])
async def test_a_failure_is_shown_and_nothing_is_dropped(store: Store, error: NodeError) -> None:
    sink = Sink(fail_before=error)
    outbox = make_outbox(store, sink)
    await put(store, make_receipt(1))
    seen: list[str] = []

    def done() -> bool:
        seen.append(outbox.last_error)
        return bool(sink.leaves)

    await run_until(outbox, done)
    assert any(error.code in line for line in seen)
    assert sink.receipts() == [1]


async def test_a_running_outbox_sends_what_it_is_woken_for(store: Store) -> None:
    sink = Sink()
    outbox = make_outbox(store, sink)
    task = asyncio.ensure_future(outbox.run())
    await asyncio.sleep(0.02)
    for number in range(10):
        await put(store, make_receipt(number))
        outbox.wake()
    async with asyncio.timeout(10):
        while len(sink.leaves) < 10:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sink.receipts() == list(range(10))
    assert len(sink.calls) <= 2  # the delay gathers them under one signature
