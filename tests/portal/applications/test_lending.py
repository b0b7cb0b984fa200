"""The bank's side: what it sees, what it may do, when it is too late, and how its queue is filtered."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from portal.applications import clock, lending
from portal.applications.moving import CLOCK, By, get, grant_of, move
from portal.applications.tables import findings, moves
from portal.errors import PortalError
from portal.permissions import Role
from portal.states import APPLICATION, Mover
from tests.portal.applications.firm import BANK, EXCHANGE, TERMS, Case, case
from tests.portal.world import World

DAY_S = 86400
GRANT = {"limit": "60", "annual_rate": "4.35", "penalty_rate": "6.525", "term": "12", "term_unit": "M"}
FINDING = {"kind": "score", "exchange_id": EXCHANGE.replace("1", "2", 1), "agrees": "", "note": ""}


@pytest.fixture
async def one(world: World) -> Case:
    return await case(world)


async def test_a_bank_sees_nothing_before_it_was_passed_on_and_another_bank_never(one: Case) -> None:
    await one.applied()
    staff = await one.staff()
    assert one.number not in (await staff.get("/lending")).text
    assert (await staff.get(f"/lending/{one.number}")).status_code == 404
    await one.pushed_from_submitted()
    assert one.number in (await staff.get("/lending")).text
    other = await one.person("other", Role.STAFF, "bank-b")
    assert one.number not in (await other.get("/lending")).text
    assert (await other.get(f"/lending/{one.number}")).status_code == 404
    assert await one.does(other, "answer", act="accept", reason="x", version="1") == 404
    assert (await other.client.get(f"/api/v1/lending/{one.number}")).status_code == 404


async def test_a_bank_that_does_not_answer_in_time_has_lost_it(one: Case) -> None:
    await one.pushed()
    staff = await one.staff()
    await staff.get(f"/lending/{one.number}")
    one.world.later(5 * DAY_S + 1)
    version = one.world.portal.db.read_now(lambda c: get(one.world.portal, c, one.number, CLOCK)).version
    by_staff = By(mover=Mover.BANK, login="staff", institution=BANK)
    with pytest.raises(PortalError, match="time to answer"):
        one.world.portal.db.write_now(
            lambda c: lending.answer(one.world.portal, c, by_staff, one.number, "accept", "x", version)
        )
    assert await clock.tick(one.world.portal) == 1 and one.state() == "timeout"
    assert await clock.tick(one.world.portal) == 0
    last = one.world.portal.db.read_now(lambda c: c.execute(select(moves.c.actor).order_by(moves.c.move_no)).all())[-1]
    assert last.actor == "clock"
    assert "未在期限内答复" in (await one.fresh_firm()).text


async def test_findings_need_an_investigation_a_live_consent_and_an_exchange_that_was_not_named_before(
    one: Case,
) -> None:
    await one.pushed()
    staff = await one.staff()
    assert await one.does(staff, "findings", **FINDING) == 409
    await one.investigated()
    assert await one.does(staff, "findings", **(FINDING | {"exchange_id": EXCHANGE})) == 422
    assert "登记过" in staff.page.text  # type: ignore[union-attr]
    assert await one.does(staff, "findings", **(FINDING | {"exchange_id": "none"})) == 422
    assert await one.does(staff, "findings", **FINDING) == 303
    rows = one.world.portal.db.read_now(lambda c: c.execute(select(findings.c.kind)).scalars().all())
    assert list(rows) == ["query", "score"]


async def test_the_enterprise_checks_what_the_bank_says_against_its_own_record_of_use(one: Case) -> None:
    await one.pushed()
    await one.investigated()
    path = f"/applications/{one.number}"
    await one.firm.get(path)
    assert (await one.firm.post(f"{path}/verify")).status_code == 303
    assert "尚未核对" in (await one.firm.get(path)).text, "the simulator's record has no use"
    now_ms = one.world.portal.clock()
    one.world.portal.db.write_now(lambda c: lending.verify(c, one.number, {EXCHANGE, "other"}, now_ms))
    assert "核对属实" in (await one.firm.get(path)).text


UNFIT: list[tuple[dict[str, str], str]] = [
    ({"limit": "80.000001"}, "limit"),
    ({"limit": "0"}, "limit"),
    ({"annual_rate": "5.3"}, "annual_rate"),
    ({"annual_rate": "3"}, "annual_rate"),
    ({"penalty_rate": "4"}, "penalty_rate"),
    ({"penalty_rate": "9"}, "penalty_rate"),
    ({"term": "25"}, "term"),
    ({"term": "0"}, "term"),
    ({"term_unit": "W"}, "term_unit"),
    ({"limit": "六十"}, "limit"),
    ({"annual_rate": ""}, "annual_rate"),
    ({"limit": "1" * 21}, "limit"),
    ({"limit": "<script>"}, "limit"),
    ({"term": "12'; DROP TABLE applications; --"}, "term"),
]


async def test_a_grant_that_does_not_fit_is_refused_beside_its_field_with_what_was_typed(one: Case) -> None:
    await one.pushed()
    await one.investigated()
    approver, wrong = await one.approver(), []
    for changed, field in UNFIT:
        status = await one.does(approver, "grant", **(GRANT | changed))
        page = approver.page.text  # type: ignore[union-attr]
        if status != 422 or f'id="{field}-fault"' not in page or "<script>" in page:
            wrong.append((changed, status))
    assert wrong == [] and one.state() == "due_diligence"


async def test_a_grant_without_a_finding_and_a_decision_before_the_investigation_are_refused(one: Case) -> None:
    await one.pushed()
    staff, approver = await one.staff(), await one.approver()
    assert await one.does(approver, "refusal", refusal="other", reason="x") == 409
    await one.does(staff, "answer", act="accept", reason="受理")
    await one.does(staff, "investigation")
    assert await one.does(approver, "grant", **GRANT) == 409
    assert await one.does(approver, "refusal", refusal="", reason="") == 422
    assert await one.does(approver, "refusal", refusal="other", reason="x" * 501) == 422
    assert one.state() == "due_diligence"


async def test_a_form_that_is_older_than_the_application_is_refused_with_what_was_typed(one: Case) -> None:
    await one.pushed()
    staff, colleague = await one.staff(), await one.person("colleague", Role.STAFF, BANK)
    path = f"/lending/{one.number}"
    await colleague.get(path)
    assert await one.does(staff, "answer", act="accept", reason="受理") == 303
    answer = await colleague.post(f"{path}/answer", act="decline", reason="我行不受理")
    assert answer.status_code == 409 and "已被更新" in answer.text and one.state() == "accepted"


async def test_an_act_that_is_none_and_a_role_that_may_not_change_nothing(one: Case) -> None:
    await one.pushed()
    staff, approver = await one.staff(), await one.approver()
    assert await one.does(staff, "answer", act="grant", reason="x") == 409
    assert await one.does(approver, "answer", act="accept", reason="x") == 403
    assert await one.does(staff, "grant", **GRANT) == 403
    assert one.state() == "pushed"


QUERIES = [
    ("state=pushed", True),
    ("state=accepted", False),
    ("product_code=bank-a-tax-loan", True),
    ("product_code=other", False),
    ("district=110108", True),
    ("district=310000", False),
    ("industry=C", True),
    ("industry=A", False),
    ("size=small", True),
    ("size=large", False),
    ("least=80&most=80", True),
    ("least=80.1", False),
    ("most=79", False),
    ("since=2026-09-21&until=2026-09-21", True),
    ("since=2026-09-22", False),
    ("until=2026-09-20", False),
    ("state=pushed&district=110108&industry=C&size=small&sort=-amount_fen", True),
]


async def test_each_filter_of_the_queue_keeps_and_leaves_out(one: Case) -> None:
    await one.pushed()
    staff = await one.staff()
    wrong = [query for query, seen in QUERIES if (one.number in (await staff.get(f"/lending?{query}")).text) != seen]
    assert wrong == []
    page = (await staff.get("/lending?district=11&least=many&since=soon&state=nowhere")).text
    assert page.count('class="fault"') == 4 and one.number in page


async def test_the_api_does_what_the_pages_do(one: Case) -> None:
    await one.pushed()
    staff = (await one.staff()).client
    token = (await staff.get("/api/v1/session")).json()["csrf"]
    headers = {"X-CSRF-Token": token}
    listed = (await staff.get("/api/v1/lending?state=pushed")).json()
    assert [row["application_no"] for row in listed["rows"]] == [one.number] and listed["following"] == ""
    path = f"/api/v1/lending/{one.number}"
    version = (await staff.get(path)).json()["version"]
    sent = {"version": version, "act": "accept", "reason": "受理"}
    told = (await staff.post(f"{path}/answer", json=sent, headers=headers)).json()
    assert told["state"] == "accepted" and "reviewer" not in told
    again = await staff.post(f"{path}/answer", json=sent, headers=headers)
    assert (again.status_code, again.json()["title"]) == (409, "STALE")
    told = (await staff.post(f"{path}/investigation", json={"version": told["version"]}, headers=headers)).json()
    sent = {"version": told["version"], "kind": "query", "exchange_id": EXCHANGE, "agrees": "no"}
    told = (await staff.post(f"{path}/findings", json=sent, headers=headers)).json()
    assert told["findings"][0]["agrees"] == "no"
    approver = (await one.approver()).client
    token = (await approver.get("/api/v1/session")).json()["csrf"]
    sent = {"version": told["version"], **GRANT}
    told = (await approver.post(f"{path}/decision", json=sent, headers={"X-CSRF-Token": token})).json()
    assert told["state"] == "granted" and told["grant"]["limit_fen"] == 60_000_000
    firm = (await one.firm.client.get(f"/api/v1/applications/{one.number}")).json()
    assert "investigator" not in firm and "granted_by" not in firm["grant"] and "found_by" not in firm["findings"][0]


def test_who_moves_what_is_said_of_every_act_and_every_state_can_be_left_or_is_an_end() -> None:
    acts = {act for _, act in APPLICATION.moves}
    assert acts == set(APPLICATION.movers)
    assert set(APPLICATION.ends) == {
        "cancelled", "rejected", "bank_declined", "timeout", "refused", "expired", "terminated", "settled", "written_off",
    }  # fmt: skip
    open_to_cancel = {"draft", "submitted", "platform_review", "returned", "pushed", "accepted", "due_diligence"}
    assert {state for state, act in APPLICATION.moves if act == "cancel"} == open_to_cancel


async def test_the_terms_of_a_grant_are_what_the_credit_side_goes_on_with(one: Case) -> None:
    await one.pushed()
    await one.investigated()
    portal = one.world.portal
    version = portal.db.read_now(lambda c: get(portal, c, one.number, CLOCK)).version
    approver = By(mover=Mover.BANK, login="approver", institution=BANK)
    portal.db.write_now(lambda c: lending.grant(portal, c, approver, one.number, TERMS, version))
    granted = portal.db.read_now(lambda c: grant_of(c, one.number))
    assert granted is not None and granted.penalty_rate == TERMS.penalty_rate and granted.guarantee == "credit"
    for act, mover, state in (
        ("contract", approver, "contracted"),
        ("draw", approver, "drawn"),
        ("fall_overdue", CLOCK, "overdue"),
        ("settle", approver, "settled"),
    ):
        assert portal.db.write_now(lambda c, act=act, mover=mover: move(portal, c, one.number, act, mover)) == state  # type: ignore[misc]
    with pytest.raises(PortalError, match="WRONG_STATE"):
        portal.db.write_now(lambda c: move(portal, c, one.number, "draw", approver))
