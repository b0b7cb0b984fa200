"""The demonstration's market: made by the portal's services alone, in the order of a clock that never runs back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cli.demo.enterprises import Enterprise
from cli.demo.loans import synthetic_uscc
from cli.demo.names import MARK, name_of
from cli.demo.portal.lives import DEMANDS, WAYS
from cli.demo.portal.market import BEGIN_MS, Market, OperatorKey, make
from cli.demo.portal.past import Clock, Past
from portal.accounts import passwords
from portal.applications.tables import applications, demands, moves
from portal.events import events
from portal.products.tables import versions
from portal.registration.tables import registrations
from portal.server import open_portal
from portal.settings import Settings
from portal.state import Portal
from portal.states import APPLICATION, FINANCING, PRODUCT, REGISTRATION
from tests.portal.world import CHEAP, NOW_MS, PASSWORD, HubSimulator
from trust.keyfile import encode_private_key, secret_from_passphrase
from trust.sm2 import PrivateKey

FIRMS = 12
LATER_SUBJECTS = {"contracted", "drawn", "repaying", "overdue", "settled", "written_off", "expired", "terminated"}


@pytest.fixture
def portal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Portal:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)  # the real cost has a test of its own
    (tmp_path / "secret").write_text("0123456789abcdef" * 4)
    (tmp_path / "secret").chmod(0o600)
    return open_portal(Settings(home=tmp_path), tmp_path / "secret", HubSimulator(), Clock(0))


async def made(portal: Portal) -> Market:
    pem = encode_private_key(PrivateKey.generate(), secret_from_passphrase(PASSWORD), cost=2**14).decode()
    keys = (OperatorKey(operator="a", pem=pem, secret=PASSWORD), OperatorKey(operator="b", pem=pem, secret=PASSWORD))
    firms = [Enterprise(synthetic_uscc(at + 1), name_of(at), PrivateKey.generate()) for at in range(FIRMS)]
    assert isinstance(portal.clock, Clock)
    return await make(portal, portal.clock, firms, keys, password=PASSWORD, now_ms=NOW_MS, share=0.05)


async def test_every_state_is_filled_by_the_services_and_every_moment_lies_in_the_past(portal: Portal) -> None:
    market = await made(portal)
    with_state = {}
    for table in (applications, demands, versions, registrations):
        counted = select(table.c.state, func.count()).group_by(table.c.state)
        with_state[table.name] = dict(portal.db.read_now(lambda c, counted=counted: c.execute(counted).all()))
    assert set(with_state["applications"]) == set(APPLICATION.states) - LATER_SUBJECTS
    assert sum(with_state["applications"].values()) >= len(WAYS)
    assert set(with_state["financing_demands"]) == set(FINANCING.states)
    assert sum(with_state["financing_demands"].values()) >= len(DEMANDS)
    assert set(with_state["product_versions"]) == set(PRODUCT.states)
    assert set(with_state["registrations"]) == set(REGISTRATION.states)
    assert len(market.firms) == FIRMS

    wanted = select(events.c.time_ms, events.c.action).order_by(events.c.time_ms)
    times = portal.db.read_now(lambda c: c.execute(wanted).all())
    assert times[0].time_ms >= NOW_MS - BEGIN_MS and times[-1].time_ms <= NOW_MS
    each = select(moves.c.application_no, moves.c.time_ms).order_by(moves.c.application_no, moves.c.move_no)
    steps = portal.db.read_now(lambda c: c.execute(each).all())
    later = [b.time_ms - a.time_ms for a, b in pairwise(steps) if a[0] == b[0]]
    assert later and min(later) > 0
    done = sum(1 for row in times if row.action.startswith("application_") and row.action != "application_begun")
    assert done == len(steps), "every move was made, and recorded, by the one function that moves"
    portal.db.close()


def test_the_clock_does_not_run_back(portal: Portal) -> None:
    past = Past(portal, Clock(NOW_MS))
    past.at(NOW_MS - 1, lambda _connection: None)
    with pytest.raises(ValueError, match="run back"):
        past.play()
    portal.db.close()


def test_invented_names_differ_and_say_that_they_are_invented() -> None:
    names = {name_of(number) for number in range(300)}
    assert len(names) == 300 and all(name.endswith(MARK) for name in names)
