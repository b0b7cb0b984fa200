"""A bank's line of credit from the contract to its end: who may, what is refused, what the enterprise sees."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from portal import events
from portal.accounts.tables import notices
from portal.credit import clock
from portal.credit.tables import entries, lines
from portal.permissions import Role
from tests.portal.applications.firm import BANK, OTHER_USCC, case
from tests.portal.credit.loan import Loan
from tests.portal.world import USCC, World

DAY_S = 86400


@pytest.fixture
async def loan(world: World) -> Loan:
    return Loan(await case(world))


async def test_a_contract_counts_when_an_approver_has_confirmed_it(loan: Loan) -> None:
    await loan.granted()
    staff, approver = await loan.case.staff(), await loan.case.approver()
    assert await loan.decides("confirm") == 404, "nothing was entered"
    assert await loan.enters("contract", approver, **loan.signed()) == 403
    assert await loan.enters("contract", **loan.signed()) == 303
    assert loan.case.state() == "granted" and loan.line().pending == "contract"
    assert loan.case.number in (await approver.get("/credit?pending=contract")).text
    assert (await loan.case.firm.get(f"/my-credit/{loan.case.number}")).status_code == 404
    assert await loan.decides("confirm", who=staff) == 403
    assert await loan.enters("drawdown", amount="1", day=loan.day()) == 409
    assert await loan.decides("send-back", "编号有误") == 303
    assert "编号有误" in (await staff.get(loan.path)).text
    assert await loan.enters("contract", **loan.signed(contract_no="HT-2026-2")) == 303
    assert await loan.decides("confirm") == 303
    assert loan.case.state() == loan.line().state == "contracted"
    assert "HT-2026-2" in (await loan.case.firm.get(f"/my-credit/{loan.case.number}")).text


async def test_a_line_is_drawn_repaid_and_settled(loan: Loan) -> None:
    await loan.contracted()
    assert await loan.draws("60.000001") == 422
    assert "剩余可用额度为 60 万元" in (await loan.case.staff()).page.text  # type: ignore[union-attr]
    assert await loan.draws("40") == 303 and loan.case.state() == "drawn"
    assert await loan.draws("21") == 422
    assert await loan.enters("settlement") == 409
    assert await loan.repays("40.5") == 422
    assert await loan.repays("10") == 303 and loan.case.state() == "repaying"
    assert await loan.draws("25") == 422, "what was repaid is not given back"
    assert await loan.draws("20") == 303
    assert await loan.repays("50") == 303 and loan.line().balance_fen == 0
    assert await loan.enters("settlement") == 303 and loan.case.state() == "settled"
    assert await loan.draws("1") == 409
    page = (await loan.case.firm.get(f"/my-credit/{loan.case.number}")).text
    assert "已结清" in page and "合同已录入" not in page and "staff" not in page
    kinds = loan.world.portal.db.read_now(
        lambda c: c.execute(select(entries.c.kind).order_by(entries.c.entry_no)).scalars().all()
    )
    assert list(kinds) == ["contract_entered", "contract", "draw", "repay", "draw", "repay", "settle"]


async def test_a_revolving_line_gives_repayments_back(loan: Loan) -> None:
    await loan.drawn("60", revolving=True)
    assert await loan.draws("1") == 422
    assert await loan.repays("25") == 303
    assert await loan.draws("25") == 303 and loan.line().balance_fen == 60_000_000
    assert loan.line().drawn_fen == 85_000_000


async def test_a_repayment_that_was_due_falls_overdue_by_the_clock_and_is_recovered(loan: Loan) -> None:
    await loan.drawn("40", due=5)
    loan.world.later(5 * DAY_S)
    assert await clock.tick(loan.world.portal) == 0, "due today is in time"
    loan.world.later(DAY_S)
    loan.case.people.clear()
    assert await clock.tick(loan.world.portal) == 1 and await clock.tick(loan.world.portal) == 0
    row = loan.line()
    assert (row.state, row.overdue_fen, row.overdue_since) == ("overdue", 40_000_000, loan.day(-1))
    told = loan.world.portal.db.read_now(lambda c: c.execute(select(notices.c.kind)).scalars().all())
    assert "credit_overdue" in told and "credit_fell_overdue" in told


async def test_what_is_overdue_is_repaid_first_and_written_off_by_two(loan: Loan) -> None:
    await loan.drawn("40")
    assert await loan.enters("write-off", reason="无法收回") == 409
    assert await loan.enters("overdue", amount="41", day=loan.day()) == 422
    assert await loan.enters("overdue", amount="10", day=loan.day()) == 303
    assert await loan.repays("4") == 303 and loan.line().overdue_fen == 6_000_000 and loan.case.state() == "overdue"
    assert await loan.repays("7") == 303 and loan.line().overdue_since == "" and loan.case.state() == "repaying"
    assert await loan.enters("overdue", amount="29", day=loan.day()) == 303
    assert await loan.enters("class5", class5="loss", reason="已逾期") == 303 and loan.line().class5 == "loss"
    assert await loan.enters("write-off", reason="无法收回") == 303 and loan.case.state() == "overdue"
    assert await loan.enters("repayment", amount="1", day=loan.day()) == 409
    assert await loan.decides("confirm") == 303 and loan.case.state() == loan.line().state == "written_off"


async def test_who_entered_it_does_not_confirm_it_even_with_the_approvers_role(loan: Loan) -> None:
    await loan.granted()
    assert await loan.enters("contract", **loan.signed()) == 303
    loan.world.portal.db.write_now(lambda c: c.execute(lines.update().values(pending_by="approver")))
    approver = await loan.case.approver()
    assert "须由本机构其他人员复核" in (await approver.get(loan.path)).text
    answer = await approver.post(f"{loan.path}/decisions/confirm", confirm_reason="x", version="1")
    assert answer.status_code == 403 and loan.case.state() == "granted"


async def test_a_form_that_is_sent_twice_does_its_thing_once_and_a_stale_one_nothing(loan: Loan) -> None:
    await loan.contracted()
    staff = await loan.case.staff()
    await staff.get(loan.path)
    shown = staff.page
    sent = {"drawdown_amount": "5", "drawdown_day": loan.day()}
    for _ in range(2):
        staff.page = shown
        assert (await staff.post(f"{loan.path}/entries/drawdown", **sent)).status_code == 303
    assert loan.line().drawn_fen == 5_000_000
    staff.page = shown
    answer = await staff.post(f"{loan.path}/entries/drawdown", **sent, once="another")
    assert answer.status_code == 409 and "已被更新" in answer.text and 'value="5"' in answer.text
    assert loan.line().drawn_fen == 5_000_000


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("contract_no", ""),
        ("contract_no", "x" * 61),
        ("branch", ""),
        ("amount", "60.1"),
        ("amount", "<script>alert(1)</script>"),
        ("signed_on", "soon"),
        ("ends_on", "2099-01-01"),
        ("first_loan", "maybe"),
    ],
)
async def test_a_contract_that_is_wrong_is_told_beside_its_field(loan: Loan, name: str, changed: str) -> None:
    await loan.granted()
    assert await loan.enters("contract", **loan.signed(**{name: changed})) == 422
    page = (await loan.case.staff()).page.text  # type: ignore[union-attr]
    assert f'id="contract_{name}-fault"' in page and "<script>" not in page


async def test_a_grant_that_nobody_uses_expires_and_an_approver_ends_one_before_it_is_drawn(loan: Loan) -> None:
    await loan.granted()
    loan.world.later(89 * DAY_S)
    assert await clock.tick(loan.world.portal) == 0
    loan.world.later(2 * DAY_S)
    assert await clock.tick(loan.world.portal) == 1 and loan.case.state() == "expired"


async def test_a_contract_without_a_drawdown_ends_by_the_approver_or_with_its_last_day(loan: Loan) -> None:
    await loan.contracted()
    loan.world.later(361 * DAY_S)
    assert await clock.tick(loan.world.portal) == 1
    assert loan.case.state() == loan.line().state == "expired"


async def test_an_approver_terminates_a_contract_with_a_reason(loan: Loan) -> None:
    await loan.contracted()
    assert await loan.decides("terminate", "") == 422
    assert await loan.decides("terminate", "企业放弃") == 303 and loan.line().state == "terminated"


async def test_another_institution_and_another_enterprise_find_nothing(loan: Loan) -> None:
    await loan.drawn()
    other = await loan.case.person("other", Role.STAFF, "bank-b")
    assert loan.case.number not in (await other.get("/credit")).text
    assert loan.case.number not in (await other.get(f"/credit?institution={BANK}")).text
    assert await loan.enters("drawdown", other, amount="1", day=loan.day()) == 404
    for path in (loan.path, f"/api/v1{loan.path}"):
        assert (await other.client.get(path)).status_code == 404
    firm = await loan.world.logged_in("another", Role.ENTERPRISE, OTHER_USCC)
    for path in ("/my-credit/", "/api/v1/my-credit/"):
        assert (await firm.client.get(path + loan.case.number)).status_code == 404
    assert loan.case.number not in (await firm.get("/my-credit")).text
    assert await loan.enters("nothing", amount="1") == 404


QUERIES = [
    ("state=drawn", True),
    ("state=overdue", False),
    (f"institution={BANK}", True),
    ("institution=bank-b", False),
    ("branch=海淀支行", True),
    ("branch=朝阳支行", False),
    (f"customer={USCC}", True),
    (f"customer={OTHER_USCC}", False),
    ("customer=北京样例科技有限公司", True),
    ("product_code=bank-a-tax-loan", True),
    ("product_code=x", False),
    ("first_loan=1&credit_loan=1", True),
    ("first_loan=0", False),
    ("credit_loan=0", False),
    ("size=small&industry=C&district=110108", True),
    ("industry=A", False),
    ("district=310000", False),
    ("overdue=1", False),
    ("since=2026-09-21&until=2026-09-21", True),
    ("since=2026-09-22", False),
    ("pending=write_off", False),
    ("sort=-balance_fen", True),
]


async def test_each_filter_of_the_ledger_keeps_and_leaves_out(loan: Loan) -> None:
    await loan.drawn()
    watcher = await loan.world.logged_in("watcher", Role.SUPERVISOR)
    wrong = [query for query, seen in QUERIES if (loan.path in (await watcher.get(f"/credit?{query}")).text) != seen]
    assert wrong == []
    page = (await watcher.get("/credit?district=11&overdue=many&since=soon&state=nowhere")).text
    assert page.count('class="fault"') == 4
    assert (await watcher.get(loan.path)).status_code == 200


async def test_the_api_does_what_the_pages_do(loan: Loan) -> None:
    await loan.granted()
    staff, approver = (await loan.case.staff()).client, (await loan.case.approver()).client
    path = f"/api/v1{loan.path}"

    async def sends(client: object, what: str, version: int, **answers: str) -> dict[str, object]:
        token = (await client.get("/api/v1/session")).json()["csrf"]  # type: ignore[attr-defined]
        sent = {"version": version, "answers": answers}
        answer = await client.post(f"{path}/{what}", json=sent, headers={"X-CSRF-Token": token})  # type: ignore[attr-defined]
        told: dict[str, object] = answer.json()
        return told

    told = await sends(staff, "entries/contract", 0, **loan.signed())
    assert told["pending"] == "contract" and told["version"] == 1
    told = await sends(approver, "decisions/confirm", 1, reason="无误")
    assert told["state"] == "contracted"
    told = await sends(staff, "entries/drawdown", 2, amount="30", day=loan.day())
    assert told["available_fen"] == 30_000_000
    assert (await sends(staff, "entries/drawdown", 2, amount="30", day=loan.day()))["title"] == "STALE"
    rows = (await staff.get("/api/v1/credit?state=drawn")).json()["rows"]
    assert [row["balance_fen"] for row in rows] == [30_000_000]
    own = (await loan.case.firm.client.get(f"/api/v1/my-credit/{loan.case.number}")).json()
    assert own["balance_fen"] == 30_000_000 and "class5" not in own and "pending_by" not in own
    assert {each["entered_by"] for each in own["entries"]} == {""}
    rows = (await loan.case.firm.client.get("/api/v1/my-credit")).json()["rows"]
    assert len(rows) == 1 and "account_id" not in rows[0]


async def test_every_act_is_in_the_record(loan: Loan) -> None:
    await loan.drawn()
    named = select(events.events.c.action).where(events.events.c.action.like("credit_%"))
    acts = loan.world.portal.db.read_now(lambda c: c.execute(named).scalars().all())
    assert {"credit_contract_entered", "credit_contract", "credit_draw"} <= set(acts)
    count = loan.world.portal.db.read_now(lambda c: c.execute(select(func.count()).select_from(entries)).scalar_one())
    assert count == 3
