"""Raw transfers: only consented subjects, the same data after any interruption, obligations with it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from consent.decision import ItemUse
from consent.documents import ExchangeMode, ItemMode
from nodes.errors import DiskFull, ExchangeFailed, UseRefused
from nodes.exchanges import raw_provider, raw_requester
from nodes.exchanges.raw_requester import Progress
from nodes.exchanges.terms import ExchangeTerms
from nodes.exchanges.transfer_files import JournalLine, Manifest, append_journal, read_manifest, recover
from tests.nodes.after_turn import AfterTurn
from tests.nodes.exchanges.parties import FIELDS, ITEM, RULES, Parties, Tables, receipts, rows_for
from trust.suite import sm3

ASKED = (ItemUse(item_id=ITEM, mode=ItemMode.R, fields=FIELDS),)


async def prepare(parties: Parties, count: int = 20, repeat: int = 3, **limits: int) -> list[str]:
    enterprises = [parties.hub.register(number) for number in range(count)]
    for enterprise in enterprises[: count - 2]:
        parties.grant(enterprise, ItemMode.R, **limits)
    parties.grant(enterprises[-1], ItemMode.Q)
    parties.tables = Tables(rows_for([enterprise.uscc for enterprise in enterprises], repeat))
    parties.catch_up()
    return [enterprise.uscc for enterprise in enterprises]


async def wanted_by(parties: Parties, terms: ExchangeTerms, directory: Path) -> None:
    values = (terms.exchange_id, "taxoffice", str(directory), b"request", parties.now_ms)
    await parties.bank_store.write(
        lambda connection: (
            connection.execute(
                "INSERT INTO transfers_in (exchange_id, provider, directory, state, request, created_ms)"
                " VALUES (?, ?, ?, 'running', ?, ?)",
                values,
            )
            and None
        )
    )


async def fetch(
    parties: Parties, terms: ExchangeTerms, directory: Path, told: list[Progress] | None = None
) -> Manifest:
    session = parties.session(terms, "requester")
    run = asyncio.create_task(session.run())
    try:
        manifest = await parties.fetcher(session, terms, directory, told if told is not None else []).run()
        await session.close()
        return manifest
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


def received(directory: Path) -> list[dict[str, object]]:
    files = sorted((directory / ITEM).glob("part-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


async def test_exactly_the_consented_subjects_arrive_with_a_manifest_that_holds(
    parties: Parties, tmp_path: Path
) -> None:
    codes = await prepare(parties)
    terms = parties.terms(ExchangeMode.RAW, ASKED)
    await wanted_by(parties, terms, tmp_path / "out")
    async with parties.serving(terms):
        manifest = await asyncio.wait_for(fetch(parties, terms, tmp_path / "out"), 20)
    rows = received(tmp_path / "out")
    assert {row["uscc"] for row in rows} == set(codes[:18])
    assert len(rows) == manifest.rows == 54
    assert manifest.refused == {"MODE_NOT_ALLOWED": 1}
    assert read_manifest(tmp_path / "out") == manifest
    for part in manifest.parts:
        assert sm3((tmp_path / "out" / part.file).read_bytes()).hex() == part.file_sm3
    consents = pq.read_table(tmp_path / "out" / manifest.consents_file).to_pylist()
    assert {row["uscc"]: row["record_count"] for row in consents} == dict.fromkeys(codes[:18], 3)
    (given,), (taken,) = await receipts(parties.provider_store), await receipts(parties.bank_store)
    assert given["batch"] == taken["batch"] == {"root": manifest.batch_root, "size": 18}


async def test_nobody_consented_is_a_recorded_refusal(parties: Parties, tmp_path: Path) -> None:
    await prepare(parties, count=3)
    terms = parties.terms(ExchangeMode.RAW, (ItemUse(item_id="demo_accounts", mode=ItemMode.R),))
    with pytest.raises(UseRefused) as refusal:
        await parties.raw_provider().serve(parties.session(terms, "provider"), terms)
    assert refusal.value.reason == "ITEM_NOT_COVERED"
    (receipt,) = await receipts(parties.provider_store)
    assert receipt["decision"] == "ITEM_NOT_COVERED"


async def test_an_interrupted_transfer_goes_on_after_its_last_part_and_is_the_same(
    parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_provider, "PART_TARGET_BYTES", 2000)
    await prepare(parties, count=40, repeat=100)
    terms = parties.terms(ExchangeMode.RAW, ASKED)
    out = tmp_path / "out"
    await wanted_by(parties, terms, out)
    plan = await parties.raw_provider()._planner.plan(terms)
    small = msgspec.structs.replace(plan.stored, batch_rows=(8, 50))

    await parties.provider_store.write(
        lambda connection: (
            connection.execute("UPDATE transfers_out SET plan = ?", (msgspec.json.encode(small),)) and None
        )
    )
    stops = 0
    while not (out / "manifest.json").exists():
        async with parties.serving(terms):
            task = asyncio.create_task(fetch(parties, terms, out))
            await asyncio.wait({task}, timeout=0.15 + 0.1 * stops)
            if not task.done():
                task.cancel()  # the bank's node dies; the provider's too
                stops += 1
            await asyncio.gather(task, return_exceptions=True)
        parties.relay = type(parties.relay)()
        assert stops < 60
    rows = received(out)
    assert stops > 0
    assert len(rows) == 38 * 100
    assert len({(row["uscc"], row["delinq_2yrs"]) for row in rows}) == 3800
    uses = await parties.provider_store.read(
        lambda connection: connection.execute("SELECT count(*), max(total) FROM uses").fetchone()
    )
    assert uses == (38, 1)
    assert len([r for r in await receipts(parties.bank_store) if r["side"] == "requester"]) == 1


async def test_a_subject_that_withdraws_during_a_transfer_is_left_out_from_there_on(
    parties: Parties, tmp_path: Path
) -> None:
    codes = await prepare(parties)
    terms = parties.terms(ExchangeMode.RAW, ASKED)
    await wanted_by(parties, terms, tmp_path / "out")
    await parties.raw_provider()._planner.plan(terms)
    row = parties.replica.own_book.rows_of(codes[0])[0]
    parties.replica.own_book.revoked[row] = parties.now_ms
    parties.hub.register(99)
    parties.catch_up()
    async with parties.serving(terms):
        manifest = await asyncio.wait_for(fetch(parties, terms, tmp_path / "out"), 20)
    assert codes[0] not in {row["uscc"] for row in received(tmp_path / "out")}
    assert manifest.rows == 51


async def test_the_plan_of_a_transfer_does_not_hold_up_the_event_loop(parties: Parties) -> None:
    codes = await prepare(parties)
    planner, slow = parties.raw_provider()._planner, AfterTurn(RULES)
    planner._rules = slow  # type: ignore[assignment]

    def withdraw() -> None:
        parties.replica.own_book.revoked[parties.replica.own_book.rows_of(codes[0])[0]] = parties.now_ms

    plan, _ = await asyncio.gather(planner.plan(parties.terms(ExchangeMode.RAW, ASKED)), slow.turn(withdraw))
    assert codes[0] in plan.permitted.column("uscc").to_pylist()


async def test_a_withdrawal_while_a_batch_waits_to_be_sent_still_counts(
    parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = await prepare(parties)
    terms = parties.terms(ExchangeMode.RAW, ASKED)
    await wanted_by(parties, terms, tmp_path / "out")
    waited = 0

    async def withdraw_meanwhile(_sender: object) -> None:
        nonlocal waited
        waited += 1
        if waited == 2:  # the first batch of data is made, and waits; the one before was the list of consents
            row = parties.replica.own_book.rows_of(codes[3])[0]
            parties.replica.own_book.revoked[row] = parties.now_ms
            parties.hub.register(99)
            parties.catch_up()

    monkeypatch.setattr(raw_provider._Sender, "writable", withdraw_meanwhile)
    async with parties.serving(terms):
        manifest = await asyncio.wait_for(fetch(parties, terms, tmp_path / "out"), 20)
    assert codes[3] not in {row["uscc"] for row in received(tmp_path / "out")}
    assert manifest.rows == 51


async def test_a_full_disk_stops_cleanly_and_the_same_fetch_goes_on_when_there_is_space(
    parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepare(parties)
    terms = parties.terms(ExchangeMode.RAW, ASKED)
    out = tmp_path / "out"
    await wanted_by(parties, terms, out)

    def full(path: Path) -> tuple[str, int]:
        raise OSError(28, "No space left on device")

    async with parties.serving(terms):
        with monkeypatch.context() as patched:
            patched.setattr(raw_requester, "sync_and_digest", full)
            with pytest.raises(DiskFull):
                await asyncio.wait_for(fetch(parties, terms, out), 20)
    parties.relay = type(parties.relay)()
    assert not (out / "manifest.json").exists()
    async with parties.serving(terms):
        manifest = await asyncio.wait_for(fetch(parties, terms, out), 20)
    assert manifest.rows == 54


async def test_a_provider_that_sends_other_columns_than_it_planned_is_not_believed(
    parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepare(parties)
    terms = parties.terms(ExchangeMode.RAW, ASKED)
    await wanted_by(parties, terms, tmp_path / "out")
    honest = raw_provider._frame
    monkeypatch.setattr(raw_provider, "_frame", lambda *a: honest(*a[:3], a[3].select([0]) if a[0] == 1 else a[3]))
    async with parties.serving(terms):
        with pytest.raises(ExchangeFailed, match="other columns"):
            await asyncio.wait_for(fetch(parties, terms, tmp_path / "out"), 20)


def test_a_torn_journal_line_does_not_count(tmp_path: Path) -> None:
    line = JournalLine(
        part_no=1, item_id="consents", file="", rows=0, bytes=0, table_done=True, frames_sm3="", file_sm3=""
    )
    append_journal(tmp_path, line)
    with (tmp_path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"part_no":2,"item_')
    assert recover(tmp_path) == [line]
    assert json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["part_no"] == 1
