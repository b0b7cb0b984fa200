"""An application from the product to the grant, and what must not happen on the way."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from portal.applications import lending
from portal.applications.moving import CLOCK, By, get, grant_of
from portal.applications.tables import applications
from portal.errors import PortalError
from portal.permissions import Role
from portal.states import Mover
from tests.portal.applications.firm import BANK, OTHER_USCC, PRODUCT, Case, case, product, publish
from tests.portal.world import USCC, World

GRANT = {"limit": "60", "annual_rate": "4.35", "penalty_rate": "6.525", "term": "12", "term_unit": "M"}


@pytest.fixture
async def one(world: World) -> Case:
    return await case(world)


async def test_an_application_goes_from_the_product_to_the_grant_and_everybody_concerned_is_told(one: Case) -> None:
    await one.pushed()
    assert one.state() == "pushed"
    assert "已转交" in (await one.firm.get("/account")).text
    await one.investigated()
    approver = await one.approver()
    assert await one.does(approver, "grant", **GRANT) == 303
    assert one.state() == "granted"
    granted = one.world.portal.db.read_now(lambda c: grant_of(c, one.number))
    assert granted is not None and (granted.limit_fen, str(granted.annual_rate)) == (60_000_000, "4.35")
    assert (granted.institution, granted.uscc, granted.granted_by) == (BANK, USCC, "approver")
    page = (await one.firm.get(f"/applications/{one.number}")).text
    assert "4.35" in page and "first" not in page and "approver" not in page, "people of others are not named"
    assert "材料齐全" not in page, "what reviewers write for each other stays with them"
    assert one.number in (await (await one.staff()).get("/account")).text


async def test_the_facts_and_the_sealed_row_hold_what_was_told_and_no_figure_is_readable_on_the_disk(one: Case) -> None:
    await one.applied()
    row = one.world.portal.db.read_now(lambda c: c.execute(select(applications)).one())
    assert (row.district, row.industry, row.size) == ("110108", "C", "small") and b"2600" not in row.told_sealed
    found = one.world.portal.db.read_now(lambda c: get(one.world.portal, c, one.number, CLOCK))
    assert found.told.employees == 40 and found.amount_fen == 80_000_000


async def test_every_step_is_kept_and_what_the_product_settles_or_the_platform_knows_is_not_asked(one: Case) -> None:
    publish(one.world, product("only", guarantee_types=product().guarantee_types[:1], required_items=()))
    await one.firm.get(f"/products/{PRODUCT}")
    path = (await one.firm.post("/applications", product_code="only")).headers["location"]
    number = path.split("/")[2]
    onward = await one.answers(path, amount="90", term="6")
    page = (await one.firm.get(onward)).text
    assert 'name="purpose"' in page and 'name="guarantee"' not in page
    assert 'value="90"' in (await one.firm.get(path)).text, "what was answered is there when it is gone back to"
    assert (await one.firm.post("/applications", product_code="only")).headers["location"] == onward, "it goes on there"
    onward = await one.answers(onward, purpose="turnover")
    assert onward == f"/applications/{number}/facts"
    onward = (await one.firm.get(onward)).headers["location"]
    assert onward == f"/applications/{number}/authorizations", "no fact is asked for twice"
    assert (await one.firm.get(onward)).headers["location"] == f"/applications/{number}/check", "no data, no consent"


async def test_facts_that_are_missing_are_asked_for_once_on_the_way(world: World) -> None:
    publish(world, product())
    firm = await world.logged_in("firm", Role.ENTERPRISE, OTHER_USCC)
    await firm.get("/applications")
    path = (await firm.post("/applications", product_code=PRODUCT)).headers["location"]
    number = path.split("/")[2]
    answer = await firm.get(f"/applications/{number}/facts")
    assert answer.headers["location"] == f"/facts?next=/applications/{number}/authorizations"


async def test_one_application_for_a_product_is_in_flight_at_a_time(one: Case) -> None:
    number = await one.applied()
    await one.firm.get("/applications")
    answer = await one.firm.post("/applications", product_code=PRODUCT)
    assert answer.headers["location"] == f"/applications/{number}"
    count = select(func.count()).select_from(applications)
    assert one.world.portal.db.read_now(lambda c: c.execute(count).scalar_one()) == 1
    await one.firm.get(f"/applications/{number}")
    assert (await one.firm.post(f"/applications/{number}/cancel", reason="不再需要")).status_code == 303
    answer = await one.firm.post("/applications", product_code=PRODUCT)
    assert answer.headers["location"] != f"/applications/{number}"


async def test_without_the_consents_nothing_is_submitted(one: Case) -> None:
    await one.firm.get("/applications")
    path = (await one.firm.post("/applications", product_code=PRODUCT)).headers["location"]
    one.number = path.split("/")[2]
    await one.answers(path, amount="80", term="12")
    await one.answers(f"/applications/{one.number}/steps/use", purpose="turnover", guarantee="credit")
    assert (await one.firm.get(f"/applications/{one.number}/check")).status_code == 303
    await one.firm.get(path)
    answer = await one.firm.post(f"/applications/{one.number}/submit")
    assert answer.headers["location"].endswith("/authorizations") and one.state() == "draft"


async def test_a_withdrawn_consent_stops_the_push_and_the_investigation_with_a_message(one: Case) -> None:
    await one.applied()
    (consent, _), *_ = one.world.hub.standing
    reviewers = [await one.person(login, Role.REVIEWER) for login in ("first", "second")]
    path = f"/application-reviews/{one.number}"
    await reviewers[0].get(path)
    await reviewers[0].post(f"{path}/opinion", act="endorse", reason="ok")
    await one.firm.get(f"/consents/{consent.record_id}")
    assert (await one.firm.post(f"/consents/{consent.record_id}/withdraw", reason="")).status_code in {200, 303}
    await reviewers[1].get(path)
    answer = await reviewers[1].post(f"{path}/decision", act="push", reason="ok")
    assert answer.status_code == 409 and "撤回" in answer.text and one.state() == "platform_review"
    assert (await one.firm.get(f"/applications/{one.number}")).text.count("/authorizations") == 1
    await one.signed()
    assert (await one.firm.get(f"/applications/{one.number}/authorizations")).headers["location"].endswith(one.number)
    await reviewers[1].get(path)
    assert (await reviewers[1].post(f"{path}/decision", act="push", reason="ok")).status_code == 303
    staff = await one.staff()
    await one.does(staff, "answer", act="accept", reason="受理")
    again = one.world.hub.standing[0][0]
    await one.firm.get(f"/consents/{again.record_id}")
    await one.firm.post(f"/consents/{again.record_id}/withdraw", reason="")
    assert await one.does(staff, "investigation") == 409 and one.state() == "accepted"


async def test_a_consent_whose_time_is_over_covers_nothing(one: Case) -> None:
    await one.pushed()
    staff = await one.staff()
    await one.does(staff, "answer", act="accept", reason="受理")
    one.world.later(91 * 86400)
    one.people.clear()
    staff = await one.person("later", Role.STAFF, BANK)
    assert await one.does(staff, "investigation") == 409


async def test_four_eyes_hold_at_the_platform_and_at_the_bank(one: Case) -> None:
    await one.applied()
    first = await one.person("first", Role.REVIEWER)
    path = f"/application-reviews/{one.number}"
    await first.get(path)
    await first.post(f"{path}/opinion", act="object", reason="额度过高")
    page = await first.get(path)
    assert "须由另一位" in page.text
    version = one.world.portal.db.read_now(lambda c: get(one.world.portal, c, one.number, CLOCK)).version
    await first.get("/application-reviews")
    assert (await first.post(f"{path}/decision", act="push", reason="x", version=str(version))).status_code == 403
    assert (await one.firm.get(path)).status_code == 403, "an enterprise has no page of reviewers"


async def test_who_investigated_does_not_decide(one: Case) -> None:
    await one.pushed()
    await one.investigated()
    db, portal = one.world.portal.db, one.world.portal
    version = db.read_now(lambda c: get(portal, c, one.number, CLOCK)).version
    staff = By(mover=Mover.BANK, login="staff", institution=BANK)
    with pytest.raises(PortalError, match="PERMISSION_DENIED"):
        db.write_now(lambda c: lending.refuse(portal, c, staff, one.number, "other", "x", version))
    assert await one.does(await one.approver(), "refusal", refusal="repayment", reason="流水不足以覆盖") == 303
    page = (await one.firm.get(f"/applications/{one.number}")).text
    assert one.state() == "refused" and "流水不足以覆盖" in page
