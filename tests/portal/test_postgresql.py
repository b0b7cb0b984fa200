"""The same journeys over PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url, text

from portal.accounts import passwords
from portal.content import seed
from portal.credit import clock as credit
from portal.permissions import Role
from portal.statistics import alerts
from portal.statistics import clock as statistics
from portal.tables import metadata
from tests.portal.applications.firm import BANK, case
from tests.portal.credit.loan import Loan
from tests.portal.products.offer import offer
from tests.portal.products.test_search import CASES, PRODUCTS, found
from tests.portal.registration.test_registration import register, reviewer
from tests.portal.world import CHEAP, PASSWORD, USCC, running_portal


def fresh(server: str, name: str) -> str:
    """The URL of a new database."""
    url = make_url(server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


async def test_an_enterprise_registers_is_approved_and_logs_in(
    tmp_path: Path, postgresql_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    async with running_portal(tmp_path, database_url=fresh(postgresql_server, "portal")) as world:
        differences = world.portal.db.read_now(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
        assert differences == []
        await register(world)
        one, _ = await reviewer(world, "first")
        two, _ = await reviewer(world, "second")
        page = (await one.get("/registrations")).text
        path = "/registrations/" + page.partition('href="/registrations/')[2].partition('"')[0]
        await one.get(path)
        await one.post(f"{path}/opinion", act="endorse", reason="ok")
        await two.get(path)
        assert (await two.post(f"{path}/decision", act="approve", reason="ok", password=PASSWORD)).status_code == 303
        firm = world.browser()
        await firm.get("/login")
        assert (await firm.post("/login", login=USCC, password=PASSWORD)).headers["location"] == "/consents"
        assert (await firm.get("/uses")).status_code == 200
        offer(world, *PRODUCTS)
        assert [query for query, wanted in CASES if found(world, query) != wanted] == []

        world.portal.db.write_now(lambda connection: seed.load(world.portal, connection, examples=True))
        assert "怎样<mark>撤回授权</mark>？" in (await firm.get("/search?q=撤回授权")).text
        assert "示例财金〔2026〕1号" in (await firm.get("/policies?region=11&since=2026-01-01")).text
        assert (await firm.get("/questions?state=waiting")).status_code == 200
        editor = await world.logged_in("editor", Role.EDITOR)
        assert "knowledge.verify-the-log" in (await editor.get("/content?kind=knowledge&state=published")).text


async def test_a_loan_is_in_the_ledger_the_statistics_and_the_alerts(
    tmp_path: Path, postgresql_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    async with running_portal(tmp_path, database_url=fresh(postgresql_server, "credit")) as world:
        loan = Loan(await case(world))
        await loan.drawn("40", due=1)
        world.later(40 * 86400)
        loan.case.people.clear()
        assert await credit.tick(world.portal) == 1
        assert await statistics.tick(world.portal) == 41 and await alerts.tick(world.portal) == 2
        watcher = await world.logged_in("watcher", Role.SUPERVISOR)
        pages = {
            "/statistics?since=2026-08-01": "按区域",
            f"/statistics?institution={BANK}": "按产品",
            "/credit?overdue=30&sort=-balance_fen": loan.case.number,
            "/alerts?state=open": "长期逾期",
        }
        wrong = [path for path, text in pages.items() if text not in (await watcher.get(path)).text]
        assert wrong == []
        await watcher.get("/credit")
        assert loan.case.number in (await watcher.post("/credit-export", reason="x")).text
