"""The same journeys over PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url, text

from portal.accounts import passwords
from portal.credit import clock as credit
from portal.statistics import clock as statistics
from portal.tables import metadata
from tests.portal.products.offer import offer
from tests.portal.products.test_search import CASES, PRODUCTS, found
from tests.portal.registration.test_registration import register, reviewer
from tests.portal.world import CHEAP, PASSWORD, USCC, running_portal


async def test_an_enterprise_registers_is_approved_and_logs_in(
    tmp_path: Path, postgresql_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    server = make_url(postgresql_server).set(drivername="postgresql+psycopg")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE portal"))
    engine.dispose()
    url = server.set(database="portal").render_as_string(hide_password=False)
    async with running_portal(tmp_path, database_url=url) as world:
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
        assert await credit.tick(world.portal) == 0 and await statistics.tick(world.portal) == 1
        offer(world, *PRODUCTS)
        assert [query for query, wanted in CASES if found(world, query) != wanted] == []
