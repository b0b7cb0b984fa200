"""What an enterprise is told of its consents: each thing once."""

from __future__ import annotations

import pytest

from consent.audit_uses import verify_uses
from portal.accounts import notices
from portal.consents import service, telling
from portal.consents.telling import DAY_MS
from portal.hub_link import hub_away
from portal.permissions import Role
from tests.consent.builders import USCC as CODE
from tests.consent.builders import consent as of_enterprise
from tests.consent.builders import request as asked
from tests.consent.test_audit_uses import Shown
from tests.consent.usage_builders import HUB
from tests.portal.consents.test_my_data import given
from tests.portal.world import Browser, World


@pytest.fixture
async def firm(world: World) -> Browser:
    return await world.logged_in(CODE, Role.ENTERPRISE, CODE)


def told(world: World, kind: str) -> list[str]:
    sentence = notices.KINDS[kind].sentence

    def read(connection: object) -> list[str]:
        found = notices.inbox(connection, account(world))  # type: ignore[arg-type]
        return [str(each.text.values["detail"]) for each in found if each.text.sentence == sentence]

    return world.portal.db.read_now(read)


def account(world: World) -> str:
    row = world.portal.db.read_now(lambda c: c.exec_driver_sql("SELECT account_id FROM accounts").one())
    return str(row.account_id)


async def test_a_consent_that_ends_is_told_thirty_and_seven_days_before(world: World, firm: Browser) -> None:
    consent = of_enterprise()
    world.hub.standing = [(consent, "active")]
    await firm.get("/consents")
    end_ms = consent.limits.valid_to_ms
    for days, thirty, seven in ((31, 0, 0), (29, 1, 0), (8, 1, 0), (6, 1, 1), (1, 1, 1)):
        world.now_ms[0] = end_ms - days * DAY_MS
        await telling.tell_ends(world.portal)
        counts = [len(told(world, f"consent_expires_in_{each}_days")) for each in (30, 7)]
        assert counts == [thirty, seven], days
    assert consent.record_id in told(world, "consent_expires_in_7_days")[0]


async def test_who_learns_late_is_told_once_and_of_what_was_withdrawn_not_at_all(world: World, firm: Browser) -> None:
    consent = of_enterprise()
    world.hub.standing = [(consent, "active")]
    await firm.get("/consents")
    now_ms, world.now_ms[0] = world.now_ms[0], consent.limits.valid_to_ms - DAY_MS
    assert await telling.tell_ends(world.portal) == 1
    world.now_ms[0] = now_ms
    world.hub.standing = [(of_enterprise(record_id="00000000-0000-4000-8000-0000000000aa"), "active")]
    await firm.get("/consents")
    world.hub.standing = [(world.hub.standing[0][0], "withdrawn")]
    await firm.get("/consents")
    world.now_ms[0] = consent.limits.valid_to_ms - DAY_MS
    assert await telling.tell_ends(world.portal) == 0


async def test_the_first_use_by_an_institution_is_told_once(world: World, firm: Browser) -> None:
    world.hub.page, world.hub.hub_key = Shown().page(), HUB
    world.hub.verified = verify_uses(CODE, world.hub.page, HUB)
    users = {each.receipt.institution for each in world.hub.verified.uses if each.receipt.side == "requester"}
    await firm.get("/uses")
    await firm.get("/uses")
    assert len(told(world, "consent_used")) == len(users) > 0


async def test_a_request_is_told_once_by_the_name_of_who_asks(world: World, firm: Browser) -> None:
    world.hub.asked = [asked()]
    await firm.get("/consents")
    await firm.get("/consents/requests")
    assert len(told(world, "consent_asked")) == 1


async def test_a_withdrawal_that_all_nodes_confirmed_is_told_once_although_nobody_looks(
    world: World, firm: Browser
) -> None:
    world.hub.standing = [(of_enterprise(), "active")]
    record_id = given(world).record_id
    await firm.get(f"/consents/{record_id}")
    await firm.post(f"/consents/{record_id}/withdraw", reason="")
    assert await service.watch_withdrawals(world.portal) == 1 and told(world, "consent_withdrawn") == []
    world.hub.refuses = hub_away()
    assert await service.watch_withdrawals(world.portal) == 1
    world.hub.refuses, world.hub.confirming, world.hub.waiting = None, ("tax-1", "tax-2"), ()
    assert await service.watch_withdrawals(world.portal) == 1
    assert told(world, "consent_withdrawn") == [record_id]
    assert await service.watch_withdrawals(world.portal) == 0
    await firm.get(f"/consents/{record_id}/withdrawal")
    assert len(told(world, "consent_withdrawn")) == 1
