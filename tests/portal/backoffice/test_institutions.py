"""Institutions: entered by one administrator, decided by another; what is decided holds at the next request."""

from __future__ import annotations

import re

import httpx
import pytest

from portal.hub_link import hub_away
from portal.permissions import Role
from tests.portal.world import Browser, World

ABOUT = {
    "name_zh": "第一银行",
    "name_en": "First Bank",
    "kind": "bank",
    "contact": "010-5555 0000",
    "publishes": "yes",
    "lends": "yes",
    "reason": "as its licence says",
}
PAGE = "/institutions/firstbank"


async def administrators(world: World) -> tuple[Browser, Browser]:
    return await world.logged_in("system", Role.SYSTEM_ADMIN), await world.logged_in("security", Role.SECURITY_ADMIN)


async def change(one: Browser, two: Browser, act: str = "approve", **changed: str) -> None:
    about = {name: value for name, value in (ABOUT | changed).items() if value}
    await one.get(PAGE)
    assert (await one.post(f"{PAGE}/changes", **about)).status_code == 303
    assert (await decide(two, act)).status_code == 303


async def decide(two: Browser, act: str, reason: str = "checked") -> httpx.Response:
    page = (await two.get(PAGE)).text
    path = re.search(r"/institutions/firstbank/changes/[\w-]+/decision", page)
    assert path is not None
    return await two.post(path[0], act=act, reason=reason)


async def test_nothing_changes_before_the_other_administrator_approves(world: World) -> None:
    one, two = await administrators(world)
    assert "第一银行" in (await one.get("/institutions")).text and "税务局" in (await two.get("/institutions")).text
    await one.get(PAGE)
    await one.post(f"{PAGE}/changes", **ABOUT | {"name_zh": "第一商业银行"})
    assert "第一商业银行" not in (await one.get("/institutions")).text
    assert "firstbank" in (await two.get("/account")).text, "who decides is told"
    assert "/decision" not in (await one.get(PAGE)).text, "who entered it has no button"
    await decide(two, "approve")
    assert "第一商业银行" in (await one.get("/institutions")).text
    assert world.portal.policy.name_of("firstbank").en == "First Bank"


async def test_a_rejected_change_leaves_everything_as_it_was_and_stays_in_the_history(world: World) -> None:
    one, two = await administrators(world)
    await change(one, two, "reject", name_zh="假银行")
    page = (await one.get(PAGE)).text
    assert ABOUT["reason"] in page and ">checked<" in page and "假银行" not in page
    assert "假银行" not in (await one.get("/institutions")).text


async def test_the_people_of_a_suspended_institution_cannot_act_from_the_next_request_on(world: World) -> None:
    one, two = await administrators(world)
    staff = await world.logged_in("clerk", Role.STAFF, "firstbank")
    other = await world.logged_in("stranger", Role.STAFF, "otherbank")
    assert (await staff.get("/lending")).status_code == 200
    await change(one, two, suspended="yes")
    refused = await staff.get("/lending")
    assert refused.status_code == 403 and "停用" in refused.text
    assert (await other.get("/lending")).status_code == 200
    assert (await staff.get("/account")).status_code == 403
    await change(one, two)
    assert (await staff.get("/lending")).status_code == 200


async def test_an_institution_that_may_not_publish_or_lend_still_reads(world: World) -> None:
    one, two = await administrators(world)
    staff = await world.logged_in("clerk", Role.STAFF, "firstbank")
    await staff.get("/lending")
    assert (await staff.post("/demands/x/take")).status_code == 404, "let through before"
    await staff.get("/lending")
    assert (await staff.post("/product-versions")).status_code != 403
    await change(one, two, publishes="", lends="")
    for path in ("/lending", "/product-versions"):
        assert (await staff.get(path)).status_code == 200
    assert (await staff.post("/product-versions")).status_code == 403
    assert (await staff.post("/lending/x/answer", act="accept")).status_code == 403
    assert (await staff.post("/demands/x/take")).status_code == 403


async def test_a_second_change_waits_for_the_first_and_an_old_form_is_refused_with_what_was_typed(world: World) -> None:
    one, two = await administrators(world)
    await one.get(PAGE)
    old = one.page
    await change(one, two)
    one.page = old
    stale = await one.post(f"{PAGE}/changes", **ABOUT | {"contact": "typed with care", "once": "f" * 32})
    assert stale.status_code == 409 and "typed with care" in stale.text
    await one.get(PAGE)
    await one.post(f"{PAGE}/changes", **ABOUT | {"contact": "first"})
    second = await one.post(f"{PAGE}/changes", **ABOUT | {"contact": "second", "once": "e" * 32})
    assert second.status_code == 409 and "second" in second.text


async def test_a_form_that_is_sent_twice_is_one_change_and_a_decision_is_made_once(world: World) -> None:
    one, two = await administrators(world)
    await one.get(PAGE)
    assert [(await one.post(f"{PAGE}/changes", **ABOUT)).status_code for _ in range(2)] == [303, 303]
    page = (await two.get(PAGE)).text
    path = re.search(r"/institutions/firstbank/changes/[\w-]+/decision", page)
    assert path is not None
    assert (await two.post(path[0], act="approve", reason="x")).status_code == 303
    assert (await two.post(path[0], act="reject", reason="x")).status_code == 409
    assert (await two.post(path[0].replace("firstbank", "taxoffice"), act="reject", reason="x")).status_code == 404


@pytest.mark.parametrize(
    "changed",
    [
        {"name_zh": ""},
        {"name_en": "x" * 81},
        {"kind": "casino"},
        {"contact": " "},
        {"reason": ""},
        {"name_zh": "a\x00b"},
    ],
    ids=str,
)
async def test_what_is_wrong_is_told_and_nothing_typed_is_lost(world: World, changed: dict[str, str]) -> None:
    one, _ = await administrators(world)
    await one.get(PAGE)
    sent = ABOUT | {"name_en": "<b>'; DROP TABLE institutions;--"} | changed
    answer = await one.post(f"{PAGE}/changes", **sent)
    assert answer.status_code == 422 and 'class="fault"' in answer.text and "<b>" not in answer.text
    assert "010-5555 0000" in answer.text or "contact" in changed
    assert (await changes(world)) == 0


async def changes(world: World) -> int:
    """How many changes there are."""
    wanted = "SELECT count(*) FROM institution_changes"
    return int(world.portal.db.read_now(lambda connection: connection.exec_driver_sql(wanted).scalar()) or 0)


async def test_an_institution_that_nobody_knows_is_not_found_and_a_hub_that_is_away_hides_nothing_known(
    world: World,
) -> None:
    one, two = await administrators(world)
    for path in ("/institutions/nobody", "/institutions/hub", "/institutions/%3Cb%3E"):
        assert (await one.get(path)).status_code == 404
    assert (await one.post("/institutions/nobody/changes", **ABOUT)).status_code == 404
    await change(one, two)
    world.hub.refuses = hub_away()
    page = await one.get("/institutions")
    assert page.status_code == 200 and "第一银行" in page.text and "税务局" not in page.text
