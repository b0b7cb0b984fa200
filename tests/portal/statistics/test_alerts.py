"""Alerts: each rule raises one where it should and none where not; who sees, closes and sets what."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select

from portal.accounts.tables import notices
from portal.applications.tables import applications, covering, findings, moves
from portal.consents.tables import withdrawals
from portal.credit.tables import lines
from portal.permissions import Role
from portal.statistics import alerts
from portal.statistics.rules import HUB, RULES, Setting, setting
from portal.statistics.tables import alerts as table
from portal.statistics.watching import MEASURES
from tests.portal.applications.firm import BANK, case
from tests.portal.credit.loan import Loan
from tests.portal.world import USCC, World

DAY_S = 86400


@pytest.fixture
async def loan(world: World) -> Loan:
    return Loan(await case(world))


def raised(world: World) -> list[tuple[str, str, str]]:
    columns = (table.c.institution, table.c.kind, table.c.subject)
    wanted = select(*columns).order_by(table.c.kind, table.c.opened_ms)
    return [tuple(row) for row in world.portal.db.read_now(lambda c: c.execute(wanted).all())]


def change(world: World, statement: Any) -> None:
    world.portal.db.write_now(lambda c: c.execute(statement))


def test_every_rule_has_a_measure_and_a_threshold_within_its_bounds() -> None:
    assert set(MEASURES) == set(RULES)
    assert all(rule.least <= rule.threshold <= rule.most for rule in RULES.values())


def test_a_banks_own_threshold_counts_before_the_supervisors_and_that_before_the_rules() -> None:
    rule = RULES["overdue_days"]
    assert setting(rule, BANK, {}).threshold == 30
    hubs = {(HUB, rule.kind): Setting(threshold=60, enabled=False, version=2)}
    assert setting(rule, BANK, hubs) == Setting(threshold=60, enabled=False, version=0)
    own = hubs | {(BANK, rule.kind): Setting(threshold=7, enabled=True, version=1)}
    assert setting(rule, BANK, own).threshold == 7 and setting(rule, "bank-b", own).threshold == 60


async def test_three_banks_in_thirty_days_are_the_hubs_to_know_and_no_banks(loan: Loan) -> None:
    await loan.case.pushed()
    world, number = loan.world, loan.case.number
    wanted = select(applications).where(applications.c.application_no == number)
    row = world.portal.db.read_now(lambda c: dict(c.execute(wanted).one()._mapping))
    first = world.portal.db.read_now(
        lambda c: dict(c.execute(select(moves).where(moves.c.move_no == 1)).one()._mapping)
    )

    def another(bank: str) -> None:
        own = {"application_no": f"at-{bank}"}
        change(world, insert(applications).values(row | own | {"institution": bank, "product_code": bank}))
        change(world, insert(moves).values(first | own))

    another("bank-b")
    assert await alerts.tick(world.portal) == 0
    another("bank-c")
    assert await alerts.tick(world.portal) == 1
    assert raised(world) == [(HUB, "many_banks", USCC)]
    staff = await loan.case.staff()
    assert USCC not in (await staff.get("/alerts")).text and "30 天内" not in (await staff.get("/alert-rules")).text
    watcher = await world.logged_in("watcher", Role.SUPERVISOR)
    assert "北京样例科技有限公司" in (await watcher.get("/alerts")).text
    world.later(31 * DAY_S)
    change(world, table.delete())
    assert await alerts.tick(world.portal) == 0


async def test_a_finding_that_differs_is_an_alert_of_its_bank(loan: Loan) -> None:
    await loan.case.pushed()
    await loan.case.investigated()
    assert await alerts.tick(loan.world.portal) == 0
    change(loan.world, findings.update().values(agrees="no"))
    assert await alerts.tick(loan.world.portal) == 1
    assert raised(loan.world) == [(BANK, "finding_differs", loan.case.number)]
    told = loan.world.portal.db.read_now(lambda c: c.execute(select(notices.c.kind)).scalars().all())
    assert "alert_raised" in told


async def test_a_consent_that_is_withdrawn_while_the_loan_runs_is_an_alert(loan: Loan) -> None:
    await loan.drawn()
    change(loan.world, lines.update().values(industry=""))
    assert await alerts.tick(loan.world.portal) == 0
    record = loan.world.portal.db.read_now(lambda c: c.execute(select(covering.c.record_id)).scalar_one())
    account = loan.line().account_id
    row = {"record_id": record, "account_id": account, "provider": "taxoffice", "document": b"", "author": ""}
    change(loan.world, insert(withdrawals).values(row | {"log_index": 1, "confirmed": "{}", "time_ms": 1}))
    assert await alerts.tick(loan.world.portal) == 1
    assert raised(loan.world) == [(BANK, "consent_withdrawn", loan.case.number)]


async def test_long_overdue_nearly_used_and_concentrated_balances_are_alerts_from_their_threshold_on(
    loan: Loan,
) -> None:
    await loan.drawn("57", revolving=True)
    change(loan.world, lines.update().values(balance_fen=56_999_999, industry=""))
    assert await alerts.tick(loan.world.portal) == 0
    change(loan.world, lines.update().values(balance_fen=57_000_000))
    assert await alerts.tick(loan.world.portal) == 1
    change(loan.world, lines.update().values(state="overdue", overdue_since=loan.day(-29)))
    assert await alerts.tick(loan.world.portal) == 0
    change(loan.world, lines.update().values(overdue_since=loan.day(-30), industry="C"))
    assert await alerts.tick(loan.world.portal) == 2
    number = loan.case.number
    assert raised(loan.world) == [
        (BANK, "concentration", "C"), (BANK, "near_limit", number), (BANK, "overdue_days", number),
    ]  # fmt: skip


async def overdue(loan: Loan) -> str:
    await loan.drawn()
    change(loan.world, lines.update().values(state="overdue", overdue_since=loan.day(-40), industry=""))
    assert await alerts.tick(loan.world.portal) == 1
    return str(loan.world.portal.db.read_now(lambda c: c.execute(select(table.c.alert_id)).scalar_one()))


async def test_an_alert_is_seen_and_closed_with_a_reason_and_not_raised_again_soon(loan: Loan) -> None:
    alert = await overdue(loan)
    staff, path = await loan.case.staff(), f"/alerts/{alert}"
    await staff.get(path)
    assert (await staff.post(path, act="see", reason="")).status_code == 422
    shown = staff.page
    assert (await staff.post(path, act="see", reason="已联系企业")).status_code == 303
    staff.page = shown
    assert (await staff.post(path, act="close", reason="x")).status_code == 409, "the form is older than the alert"
    await staff.get(path)
    assert (await staff.post(path, act="raise", reason="x")).status_code == 409
    await staff.get(path)
    assert (await staff.post(path, act="close", reason="已还款")).status_code == 303
    assert "已还款" in (await staff.get(path)).text
    assert await alerts.tick(loan.world.portal) == 0
    loan.world.later(31 * DAY_S)
    assert await alerts.tick(loan.world.portal) == 1


async def test_what_is_live_is_not_raised_twice_and_its_measure_goes_on(loan: Loan) -> None:
    await overdue(loan)
    loan.world.later(2 * DAY_S)
    assert await alerts.tick(loan.world.portal) == 0
    measured = loan.world.portal.db.read_now(lambda c: c.execute(select(table.c.measured)).scalar_one())
    assert measured == 42


async def test_another_bank_does_not_see_it_and_the_supervisor_sees_but_does_not_close_it(loan: Loan) -> None:
    alert = await overdue(loan)
    other = await loan.case.person("other", Role.STAFF, "bank-b")
    assert alert not in (await other.get(f"/alerts?institution={BANK}")).text
    assert (await other.get(f"/alerts/{alert}")).status_code == 404
    await other.get("/alerts")
    assert (await other.post(f"/alerts/{alert}", act="see", reason="x", version="1")).status_code in {403, 404}
    watcher = await loan.world.logged_in("watcher", Role.SUPERVISOR)
    assert alert in (await watcher.get(f"/alerts?institution={BANK}&state=open&kind=overdue_days")).text
    page = await watcher.get(f"/alerts/{alert}")
    assert page.status_code == 200 and "关闭预警" not in page.text
    await watcher.get("/account")
    answer = await watcher.post(f"/alerts/{alert}", act="see", reason="x", version="1")
    assert answer.status_code == 404


async def test_an_approver_sets_its_banks_threshold_within_bounds_and_the_record_has_it(loan: Loan) -> None:
    approver = await loan.case.approver()
    page = await approver.get("/alert-rules")
    assert "30 天内" not in page.text

    async def sets(threshold: str, version: str, kind: str = "overdue_days", enabled: str = "1") -> int:
        await approver.get("/alert-rules")
        answer = await approver.post(f"/alert-rules/{kind}", threshold=threshold, enabled=enabled, version=version)
        return answer.status_code

    assert await sets("0", "0") == await sets("9999", "0") == await sets("<b>", "0") == 422
    assert "<b>" not in approver.page.text  # type: ignore[union-attr]
    assert await sets("10", "0") == 303 and await sets("12", "0") == 409 and await sets("12", "1") == 303
    assert await sets("3", "0", "many_banks") == 404 and await sets("3", "0", "none") == 404
    assert 'value="12"' in (await approver.get("/alert-rules")).text
    assert await sets("12", "2", enabled="0") == 303
    await loan.drawn()
    change(loan.world, lines.update().values(state="overdue", overdue_since=loan.day(-40), industry=""))
    assert await alerts.tick(loan.world.portal) == 0, "it is switched off"
    staff = await loan.case.staff()
    await staff.get("/alert-rules")
    assert (await staff.post("/alert-rules/overdue_days", threshold="1", enabled="1", version="3")).status_code == 403


async def test_the_open_ones_are_sent_live_until_the_stream_ends(loan: Loan) -> None:
    await overdue(loan)
    answer = await (await loan.case.staff()).client.get("/alerts-live")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("长期逾期") == 1 and answer.text.endswith("event: end\ndata:\n\n")


async def test_the_api_of_alerts_does_what_the_pages_do(loan: Loan) -> None:
    alert = await overdue(loan)
    client = (await loan.case.approver()).client
    headers = {"X-CSRF-Token": (await client.get("/api/v1/session")).json()["csrf"]}
    rows = (await client.get("/api/v1/alerts?state=open")).json()["rows"]
    assert [row["alert_id"] for row in rows] == [alert]
    sent = {"version": 1, "act": "close", "reason": "已处理"}
    assert (await client.post(f"/api/v1/alerts/{alert}", json=sent, headers=headers)).json()["state"] == "closed"
    rule = "/api/v1/alert-rules/overdue_days"
    told = await client.put(rule, json={"version": 0, "threshold": 45}, headers=headers)
    assert told.json() == {"kind": "overdue_days", "version": 1, "threshold": 45, "enabled": True}
    assert (await client.put(rule, json={"version": 0, "threshold": 45}, headers=headers)).json()["title"] == "STALE"
