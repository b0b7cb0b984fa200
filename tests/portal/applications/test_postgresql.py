"""The same over PostgreSQL, where several portal processes share one database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url, select, text

from portal.accounts import passwords
from portal.applications import financing
from portal.applications.tables import applications, demands
from portal.errors import PortalError
from portal.permissions import Role
from portal.principal import Principal
from portal.tables import metadata
from tests.portal.applications.firm import case
from tests.portal.world import CHEAP, World, running_portal

WANTED = {"amount": "150", "term": "12", "term_unit": "M", "purpose": "equipment", "guarantee": "credit"}


def takes(world: World, bank: str, demand_id: str) -> str:
    """Try to take it for a bank; the number of the application, or the code of the refusal."""
    who = Principal(account_id=bank, session_id="", login=bank, role=Role.STAFF, institution=bank, second_factor=True)
    try:
        return world.portal.db.write_now(lambda c: financing.take(world.portal, c, who, demand_id))
    except PortalError as error:
        return error.code


async def test_an_application_goes_to_the_grant_and_of_two_portals_that_take_a_request_one_gets_it(
    tmp_path: Path, postgresql_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    server = make_url(postgresql_server).set(drivername="postgresql+psycopg")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE applications"))
    engine.dispose()
    url = server.set(database="applications").render_as_string(hide_password=False)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with (
        running_portal(tmp_path / "one", database_url=url) as world,
        running_portal(tmp_path / "two", database_url=url) as other,
    ):
        differences = world.portal.db.read_now(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
        assert differences == []
        one = await case(world)
        await one.pushed()
        await one.investigated()
        terms = {"limit": "60", "annual_rate": "4.35", "penalty_rate": "6.525", "term": "12", "term_unit": "M"}
        assert await one.does(await one.approver(), "grant", **terms) == 303
        staff = await one.staff()
        assert one.number in (await staff.get("/lending?state=granted&district=110108&sort=-amount_fen")).text
        await one.firm.get("/financing")
        assert (await one.firm.post("/financing", **WANTED)).status_code == 303
        demand_id = world.portal.db.read_now(lambda c: c.execute(select(demands.c.demand_id)).scalar_one())
        with ThreadPoolExecutor(4) as pool:
            tries = [pool.submit(takes, each, f"bank-{n}", demand_id) for n, each in enumerate((world, other) * 2)]
        results = [each.result() for each in tries]
        assert sorted(result == "WRONG_STATE" for result in results) == [False, True, True, True]
        begun = applications.c.demand_id == demand_id
        rows = world.portal.db.read_now(lambda c: c.execute(select(applications.c.application_no).where(begun)).all())
        assert len(rows) == 1
