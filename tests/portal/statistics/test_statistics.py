"""Figures of the market: what is counted, when a day is closed, who sees what, and that a page does not count."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import delete, func, insert, select

from portal.applications.tables import applications, moves
from portal.credit.tables import lines
from portal.permissions import Role
from portal.statistics import clock, cuts, reading
from portal.statistics import tables as T
from portal.statistics.cells import ALL
from portal.statistics.reading import Asked
from portal.today import today
from tests.portal.applications.firm import BANK, PRODUCT, case
from tests.portal.credit.loan import Loan
from tests.portal.world import NOW_MS, World

DAY_S = 86400
TODAY = date(2026, 9, 21)


@pytest.fixture
async def loan(world: World) -> Loan:
    return Loan(await case(world))


def whole(world: World, **asked: object) -> reading.Figures:
    period = {"since": TODAY, "until": TODAY} | asked
    return world.portal.db.read_now(lambda c: reading.whole(c, Asked(**period)))  # type: ignore[arg-type]


async def test_a_loan_from_application_to_repayment_is_in_the_figures_of_its_day_bank_and_product(loan: Loan) -> None:
    await loan.drawn("40")
    assert await loan.repays("10") == 303
    assert await loan.enters("class5", class5="substandard", reason="x") == 303
    assert await loan.enters("overdue", amount="6", day=loan.day()) == 303
    assert await clock.tick(loan.world.portal) == 1
    for asked in ({}, {"institution": BANK}, {"institution": BANK, "product_code": PRODUCT}):
        found = whole(loan.world, **asked)
        names = ("applied", "accepted", "decided", "granted", "credit_granted", "contracts", "first_loans", "drawn")
        assert [found[name] for name in names] == [1] * len(names), asked
        assert (found["demand_fen"], found["granted_fen"]) == (80_000_000, 60_000_000)
        assert (found["drawn_fen"], found["repaid_fen"], found["balance_fen"]) == (40_000_000, 10_000_000, 30_000_000)
        assert found.approval_rate == found.credit_share == found.npl_rate == 100 and found.overdue_rate == 20
        assert found.weighted_rate == pytest.approx(4.35)
        assert found["waiting"] == 0 and found["lines"] == 1
    assert whole(loan.world)["consents_given"] == 1
    assert whole(loan.world, institution="bank-b")["applied"] == 0
    assert whole(loan.world, institution=BANK)["consents_given"] == 0


async def test_a_day_is_counted_again_until_it_is_closed_and_then_never(loan: Loan) -> None:
    await loan.case.pushed()
    assert await clock.tick(loan.world.portal) == 1 and whole(loan.world)["waiting"] == 1
    assert await clock.tick(loan.world.portal) == 1 and whole(loan.world)["applied"] == 1
    loan.world.later(2 * DAY_S)
    assert await clock.tick(loan.world.portal) == 3
    closed = select(func.count()).select_from(T.days).where(T.days.c.closed == 1)
    assert loan.world.portal.db.read_now(lambda c: c.execute(closed).scalar_one()) == 2
    loan.world.portal.db.write_now(lambda c: c.execute(delete(moves)))
    assert await clock.tick(loan.world.portal) == 1 and whole(loan.world)["applied"] == 1


async def test_what_stood_yesterday_and_does_not_any_more_is_nothing_today(loan: Loan) -> None:
    await loan.drawn("40")
    await clock.tick(loan.world.portal)
    loan.world.later(DAY_S)
    loan.case.people.clear()
    loan.world.portal.db.write_now(lambda c: c.execute(lines.update().values(state="settled", balance_fen=0)))
    await clock.tick(loan.world.portal)
    period = {"since": TODAY, "until": TODAY + timedelta(days=1)}
    for own in ({}, {"institution": BANK}, {"institution": BANK, "product_code": PRODUCT}):
        asked = Asked(**period, **own)  # type: ignore[arg-type]
        assert loan.world.portal.db.read_now(lambda c, asked=asked: reading.whole(c, asked))["balance_fen"] == 0  # type: ignore[misc]
        found = loan.world.portal.db.read_now(lambda c, asked=asked: reading.series(c, asked))  # type: ignore[misc]
        assert [each["balance_fen"] for each in found.values()] == [40_000_000, 0]


async def test_average_days_are_from_arrival_to_answer_and_from_there_to_the_decision(loan: Loan) -> None:
    await loan.granted()
    portal = loan.world.portal

    def earlier(connection: object) -> None:
        for act, days in (("push", 5), ("accept", 3)):
            connection.execute(moves.update().where(moves.c.act == act).values(time_ms=NOW_MS - days * DAY_S * 1000))  # type: ignore[attr-defined]
        connection.execute(applications.update().values(pushed_ms=NOW_MS - 5 * DAY_S * 1000))  # type: ignore[attr-defined]

    portal.db.write_now(earlier)
    await clock.tick(portal)
    found = whole(loan.world, since=date(2026, 9, 10))
    assert found.days("accept_ms", "accepted") == 2 and found.days("decide_ms", "decided") == 3
    assert found.days("draw_ms", "drawn") is None


def many(world: World, number: str, counts: dict[tuple[str, str], int]) -> None:
    """More applications like one, each of another enterprise, by bank and district."""
    row = world.portal.db.read_now(
        lambda c: dict(c.execute(select(applications).where(applications.c.application_no == number)).one()._mapping)
    )
    first = world.portal.db.read_now(
        lambda c: dict(c.execute(select(moves).where(moves.c.move_no == 1)).first()._mapping)
    )  # type: ignore[union-attr]

    def write(connection: object) -> None:
        for (bank, district), count in counts.items():
            for each in range(count):
                own = {"application_no": f"{bank}-{district}-{each}", "institution": bank, "district": district}
                connection.execute(insert(applications), row | own | {"uscc": f"{bank}{district}{each}"})  # type: ignore[attr-defined]
                connection.execute(insert(moves), first | {"application_no": own["application_no"]})  # type: ignore[attr-defined]

    world.portal.db.write_now(write)


async def test_a_month_is_cut_when_it_is_over_and_a_small_cell_is_nowhere(loan: Loan) -> None:
    await loan.case.pushed()
    many(loan.world, loan.case.number, {(BANK, "110101"): 9, (BANK, "110102"): 3, ("bank-b", "110101"): 8})
    await clock.tick(loan.world.portal)
    asked = Asked(since=date(2026, 9, 1), until=date(2026, 10, 5))
    read = loan.world.portal.db.read_now
    assert read(lambda c: reading.cut_by(c, asked, "district")) == [], "September is not over"
    loan.world.later(14 * DAY_S)
    await clock.tick(loan.world.portal)
    shown = {each.value: each.sums["applied"] for each in read(lambda c: reading.cut_by(c, asked, "district"))}
    assert shown["110102"] is None and shown["110108"] is None and 3 not in shown.values()
    own = Asked(institution=BANK, since=asked.since, until=asked.until)
    shown = {each.value: each.sums["applied"] for each in read(lambda c: reading.cut_by(c, own, "district"))}
    assert shown["110102"] is None
    kept = read(lambda c: c.execute(select(T.cuts.c.applied, T.cuts.c.demand_fen)).all())
    assert not any(count in {1, 3} for count, _ in kept), "what is hidden is not kept"
    part = Asked(since=date(2026, 9, 2), until=date(2026, 10, 5))
    assert read(lambda c: reading.cut_by(c, part, "district")) == [], "only whole months"
    sizes = read(lambda c: cuts.of_month(c, date(2026, 9, 1)))
    assert {each["institution"] for each in sizes} >= {ALL, BANK, "bank-b"}


async def test_the_supervisor_sees_all_a_bank_its_own_and_staff_nothing(loan: Loan) -> None:
    await loan.drawn()
    await clock.tick(loan.world.portal)
    watcher = await loan.world.logged_in("watcher", Role.SUPERVISOR)
    page = await watcher.get("/statistics")
    assert page.status_code == 200 and BANK in page.text and page.text.count("<svg") == 3 and "授权签署" in page.text
    assert "style=" not in page.text
    other = await loan.case.person("other", Role.APPROVER, "bank-b")
    text = (await other.get(f"/statistics?institution={BANK}")).text
    assert PRODUCT not in text and "80" not in text.partition("<dl")[2].partition("</dl>")[0] and "授权签署" not in text
    told = (await other.client.get(f"/api/v1/statistics?institution={BANK}")).json()
    assert told["whole"]["applied"] == 0 and "registered" not in told["whole"]
    told = (await (await loan.case.approver()).client.get("/api/v1/statistics")).json()
    assert told["whole"]["applied"] == 1 and list(told["parts"]) == [PRODUCT]
    assert (await (await loan.case.staff()).get("/statistics")).status_code == 403
    wrong = "since=2026-09-30&until=2026-09-01", "since=soon", "since=2000-01-01", "product_code=x"
    for query in wrong:
        assert 'class="fault"' in (await watcher.get(f"/statistics?{query}")).text, query
        assert (await watcher.client.get(f"/api/v1/statistics?{query}")).status_code == 422


async def test_a_long_period_is_told_by_month_and_a_short_one_by_day(loan: Loan) -> None:
    await loan.case.pushed()
    await clock.tick(loan.world.portal)
    read = loan.world.portal.db.read_now
    long = read(lambda c: reading.series(c, Asked(since=date(2026, 1, 15), until=TODAY)))
    assert list(long) == [f"2026-{month:02}" for month in range(1, 10)] and long["2026-09"]["applied"] == 1
    short = read(lambda c: reading.series(c, Asked(since=date(2026, 9, 19), until=TODAY)))
    assert [each["applied"] for each in short.values()] == [0, 0, 1]
    assert today(loan.world.portal.clock()) == TODAY
