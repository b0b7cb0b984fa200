from __future__ import annotations

import pytest
from sqlalchemy import select

from consent.audit_uses import VerifiedUse
from consent.documents import ConsentDocument, ExchangeMode, ItemMode, Purpose, parse_revocation
from consent.usage import Receipt
from portal.consents.service import paired
from portal.consents.tables import seen
from portal.consents.words import MODES, PURPOSES, ROLES, STATES, USES
from portal.hub_link import hub_away, unverified
from portal.keyring import IDLE_MS
from portal.permissions import TITLES, Role
from portal.registration import pages as registration
from portal.states import REGISTRATION
from tests.hub.signed import BANK, BANK_NODE, ITEM, consent, fresh_id
from tests.portal.world import PASSWORD, USCC, Browser, World


@pytest.fixture
async def firm(world: World) -> Browser:
    world.hub.standing = [(consent(), "active")]
    return await world.logged_in(USCC, Role.ENTERPRISE, USCC)


def given(world: World) -> ConsentDocument:
    return world.hub.standing[0][0]


async def test_an_enterprise_asks_with_its_own_key_and_code(world: World, firm: Browser) -> None:
    page = await firm.get("/consents")
    assert page.status_code == 200 and "有效" in page.text
    assert world.hub.signed[0].uscc == USCC
    assert "PrivateKey" not in repr(world.hub.signed[0])


async def test_a_withdrawal_shows_who_confirmed_and_who_has_not_and_is_on_record(world: World, firm: Browser) -> None:
    path = f"/consents/{given(world).record_id}"
    await firm.get(path)
    answer = await firm.post(f"{path}/withdraw", reason="不再需要")
    assert answer.headers["location"] == f"{path}/withdrawal"
    assert parse_revocation(world.hub.entries[0].payload).reason == "不再需要"
    page = await firm.get(f"{path}/withdrawal")
    assert "tax-1 在 17 毫秒内" in page.text and "tax-2 尚未确认" in page.text
    assert 'http-equiv="refresh"' in page.text and f'data-live="{path}/withdrawal/live"' in page.text
    assert "已撤回" in (await firm.get(path)).text
    assert 'name="reason"' not in firm.page.text  # type: ignore[union-attr]
    again = await firm.client.post(f"{path}/withdraw", data={"csrf": "x"})
    assert again.status_code == 403
    auditor = await world.logged_in("audit", Role.AUDIT_ADMIN)
    assert "consent_withdrawn" in (await auditor.get("/events")).text


async def test_a_node_that_confirms_later_is_sent_to_the_open_page_which_then_rests(
    world: World, firm: Browser
) -> None:
    path = f"/consents/{given(world).record_id}"
    await firm.get(path)
    await firm.post(f"{path}/withdraw", reason="")
    world.later(2)
    world.hub.confirming, world.hub.waiting = ("tax-1", "tax-2"), ()
    live = await firm.client.get(f"{path}/withdrawal/live")
    assert live.headers["content-type"].startswith("text/event-stream")
    assert "tax-2 在 2017 毫秒内" in live.text and live.text.endswith("event: end\ndata:\n\n")
    page = await firm.get(f"{path}/withdrawal")
    assert "data-live" not in page.text and "refresh" not in page.text
    assert "tax-1 在 17 毫秒内" in page.text, "the first word about a node stands"
    assert len(world.hub.entries) == 1, "asking again enters nothing"


async def test_a_page_rests_after_a_minute_although_a_node_stays_away(world: World, firm: Browser) -> None:
    path = f"/consents/{given(world).record_id}"
    await firm.get(path)
    await firm.post(f"{path}/withdraw", reason="")
    world.later(61)
    page = await firm.get(f"{path}/withdrawal")
    assert "tax-2 尚未确认" in page.text and "data-live" not in page.text


async def test_a_withdrawal_of_somebody_else_is_not_there(world: World, firm: Browser) -> None:
    path = f"/consents/{given(world).record_id}"
    await firm.get(path)
    await firm.post(f"{path}/withdraw", reason="")
    other = await world.logged_in("91110108Y00000024X", Role.ENTERPRISE, "91110108Y00000024X")
    assert (await other.get(f"{path}/withdrawal")).status_code == 404


async def test_what_is_withdrawn_cannot_be_withdrawn_again(world: World, firm: Browser) -> None:
    path = f"/consents/{given(world).record_id}"
    await firm.get(path)
    await firm.post(f"{path}/withdraw", reason="")
    await firm.get("/account")
    assert (await firm.post(f"{path}/withdraw", reason="")).status_code == 409


async def test_a_consent_that_is_not_ones_own_is_not_there(firm: Browser) -> None:
    assert (await firm.get("/consents/00000000-0000-4000-8000-000000000000")).status_code == 404


async def test_what_was_seen_is_kept_and_shown_to_the_next_answer(world: World, firm: Browser) -> None:
    await firm.get("/uses")
    await firm.get("/uses")
    assert [each.seen for each in world.hub.signed] == [b"", b"uses;"]
    kept = world.portal.db.read_now(lambda c: c.execute(select(seen.c.document)).scalar_one())
    assert bytes(kept) == b"uses;uses;"


async def test_a_key_that_was_not_used_for_a_while_is_dropped_and_opened_by_the_password(
    world: World, firm: Browser
) -> None:
    world.later(IDLE_MS / 1000 + 1)
    answer = await firm.get("/uses")
    assert answer.headers["location"] == "/unlock?next=/uses"
    await firm.get("/unlock?next=/uses")
    wrong = await firm.post("/unlock", password="wrong password")
    assert wrong.status_code == 401 and "密码不正确" in wrong.text
    assert (await firm.post("/unlock", password=PASSWORD)).headers["location"] == "/uses"
    assert (await firm.get("/uses")).status_code == 200


async def test_who_has_its_key_here_is_not_asked_to_sign_elsewhere(firm: Browser) -> None:
    assert (await firm.get("/outside?next=/uses")).headers["location"] == "/uses"


async def test_the_key_is_gone_with_the_session(world: World, firm: Browser) -> None:
    assert len(world.portal.ring._held) == 1
    await firm.get("/account")
    await firm.post("/logout")
    assert world.portal.ring._held == {}


@pytest.mark.parametrize(
    ("failure", "status", "told"),
    [(hub_away(), 503, "枢纽没有应答"), (unverified("entry 3 is missing."), 502, "未通过核验：entry 3 is missing.")],
)
async def test_what_cannot_be_had_or_does_not_hold_is_told_and_not_shown(
    world: World, firm: Browser, failure: Exception, status: int, told: str
) -> None:
    world.hub.refuses = failure
    answer = await firm.get("/uses")
    assert answer.status_code == status and told in answer.text and "刚刚核验" not in answer.text


async def test_the_api_tells_the_same_and_withdraws(world: World, firm: Browser) -> None:
    token = (await firm.client.get("/api/v1/session")).json()["csrf"]
    (one,) = (await firm.client.get("/api/v1/consents")).json()
    assert (one["state"], one["consent"]["record_id"]) == ("active", given(world).record_id)
    path, headers = f"/api/v1/consents/{given(world).record_id}/withdraw", {"X-CSRF-Token": token}
    done = (await firm.client.post(path, json={}, headers=headers)).json()
    assert (done["log_index"], done["confirmed"], done["pending"]) == (0, {"tax-1": 17}, ["tax-2"])
    assert (await firm.client.get(path + "al")).json()["watched"] is True
    assert (await firm.client.get("/api/v1/uses")).json()["size"] == 7
    world.later(IDLE_MS / 1000 + 1)
    closed = await firm.client.get("/api/v1/uses")
    assert (closed.status_code, closed.json()["title"]) == (401, "UNAUTHENTICATED")


def test_every_purpose_mode_and_role_has_words() -> None:
    assert set(PURPOSES) == set(Purpose)
    assert set(MODES) == set(ItemMode) and set(USES) == set(ExchangeMode)
    assert set(ROLES) == {"legal_rep", "agent"} and len(STATES) == 4
    assert set(TITLES) == set(Role) and set(registration.STATES) == set(REGISTRATION.states)
    assert set(registration.ACTS) == {act for _, act in REGISTRATION.moves}


def test_the_two_records_of_a_use_are_one_use() -> None:
    told = {"receipt_id": fresh_id(), "exchange_id": fresh_id(), "request_no": 1, "user": "u", "institution": BANK}
    told |= {"node_id": BANK_NODE, "reason": "r", "items": (ITEM,), "subject": USCC, "purpose": Purpose.PRE_LOAN}
    told |= {"mode": ExchangeMode.QUERY, "record_count": 1, "digest": "", "time_ms": 5}

    def record(index: int, side: str, decision: str = "permit", **changes: object) -> VerifiedUse:
        receipt = Receipt(**(told | {"side": side, "decision": decision} | changes))
        return VerifiedUse(
            log_index=index, receipt=receipt, part=None, signed_by=BANK_NODE, twin_present=False, leaf_sm3=""
        )

    both, refused = paired(
        [record(3, "provider"), record(4, "requester"), record(5, "provider", "EXPIRED", request_no=2, time_ms=4)]
    )
    assert (both.entries, both.both_sides, both.permitted) == ((3, 4), True, True)
    assert (refused.entries, refused.both_sides, refused.permitted) == ((5,), False, False)
