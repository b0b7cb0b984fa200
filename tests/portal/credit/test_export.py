"""The ledger as a file: its watermark, its record, no formulas, in pieces."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from portal import events
from portal.applications.tables import applications
from portal.credit import export
from portal.credit.tables import lines
from portal.permissions import Role
from tests.portal.applications.firm import BANK, case
from tests.portal.credit.loan import Loan
from tests.portal.world import World


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_no_cell_of_a_file_is_a_formula_and_every_cell_can_be_read_back(cells: list[str]) -> None:
    read = next(csv.reader(io.StringIO(export.written([cells]), newline="")), [])
    assert len(read) == len(cells)
    for cell, kept in zip(cells, read, strict=True):
        assert not kept.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert kept in {cell, f"'{cell}"}


async def test_an_export_names_who_and_when_and_is_recorded_with_its_reason(world: World) -> None:
    loan = Loan(await case(world))
    await loan.drawn()
    world.portal.db.write_now(lambda c: c.execute(lines.update().values(branch='=HYPERLINK("http://x")')))
    approver = await loan.case.approver()
    await approver.get("/credit")
    assert (await approver.post("/credit-export", reason="")).status_code == 422
    answer = await approver.post("/credit-export?state=drawn", reason="季度报送")
    assert answer.status_code == 200 and answer.content.startswith(b"\xef\xbb\xbf")
    number, name = answer.headers["x-request-id"], answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text.split("\r\n", 1)[1])))
    assert number in answer.text.splitlines()[0] and "approver" in answer.text.splitlines()[0]
    assert number in name and "approver" in name and "20260921T" in name
    assert [row["balance_wan"] for row in rows] == ["40"] and rows[0]["branch"].startswith("'=")
    named = select(events.events).where(events.events.c.action == "credit_exported")
    (event,) = world.portal.db.read_now(lambda c: c.execute(named).all())
    assert event.subject == number and event.actor == "approver" and event.reason == "季度报送 (state=drawn)"
    await approver.get("/credit")
    none = await approver.post("/credit-export?state=overdue", reason="x")
    assert len(none.text.splitlines()) == 2
    await approver.get("/credit")
    assert (await approver.post("/credit-export?state=nowhere", reason="x")).status_code == 422, "never more than meant"
    staff = await loan.case.staff()
    await staff.get("/credit")
    assert (await staff.post("/credit-export", reason="x")).status_code == 403
    other = await loan.case.person("other", Role.APPROVER, "bank-b")
    await other.get("/credit")
    assert loan.case.number not in (await other.post(f"/credit-export?institution={BANK}", reason="x")).text
    watcher = await world.logged_in("watcher", Role.SUPERVISOR)
    await watcher.get("/credit")
    assert loan.case.number in (await watcher.post("/credit-export", reason="x")).text


async def test_a_ledger_longer_than_a_piece_is_written_whole_and_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loan = Loan(await case(world))
    await loan.contracted()
    monkeypatch.setattr(export, "PIECE", 3)
    application = world.portal.db.read_now(lambda c: dict(c.execute(select(applications)).one()._mapping))
    line = dict(loan.line()._mapping)

    def more(connection: object) -> None:
        for number in range(7):
            own = {"application_no": f"Z{number}"}
            connection.execute(insert(applications), application | own | {"product_code": f"p{number}"})  # type: ignore[attr-defined]
            connection.execute(insert(lines), line | own | {"contract_no": f"c{number}"})  # type: ignore[attr-defined]

    world.portal.db.write_now(more)
    one = export.Export(request_id="r", login="x", institution="hub", time_ms=world.portal.clock())
    pieces = [each async for each in export.pieces(world.portal, one, select(lines))]
    assert [len(each.splitlines()) for each in pieces] == [2, 3, 3, 2]
    numbers = [row.partition(",")[0] for each in pieces[1:] for row in each.splitlines()]
    assert numbers == sorted({loan.case.number, *(f"Z{number}" for number in range(7))})
