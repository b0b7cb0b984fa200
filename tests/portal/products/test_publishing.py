from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from portal.accounts import notices
from portal.errors import PortalError
from portal.events import events
from portal.permissions import Role
from portal.principal import Principal
from portal.products import publishing, search, service
from portal.products.publishing import Version
from portal.products.tables import offers
from portal.today import today
from tests.portal.products.offer import ANSWERS, person, published
from tests.portal.world import World


class Desk:
    """A bank's staff and the hub's reviewer, and what they do."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.staff = person(world, "staff-a", Role.STAFF, "bank-a")
        self.reviewer = person(world, "reviewer", Role.REVIEWER)

    def write(self, act: Callable[[Any], Version]) -> Version:
        return self.world.portal.db.write_now(act)

    def begin(self, **changes: str) -> Version:
        return self.write(lambda c: publishing.begin(self.world.portal, c, self.staff, {**ANSWERS, **changes}))

    def enter(self, found: Version, act: str) -> Version:
        return self.write(lambda c: publishing.enter(self.world.portal, c, self.staff, found, found.edition, act))

    def decide(self, found: Version, act: str, who: Principal | None = None) -> Version:
        decider = who or self.reviewer
        return self.write(
            lambda c: publishing.decide(self.world.portal, c, decider, found, found.edition, act, "已看过")
        )

    def withdraw(self, found: Version) -> Version:
        return self.write(lambda c: publishing.withdraw(self.world.portal, c, self.staff, found, found.edition, "停办"))

    def next(self, found: Version, only: str = "bank-a") -> Version:
        return self.write(lambda c: publishing.begin_next(self.world.portal, c, self.staff, only, found.product_code))

    def offered(self) -> list[tuple[str, int]]:
        rows = self.world.portal.db.read_now(lambda c: c.execute(offers.select()).all())
        return [(row.product_name, row.version) for row in rows]

    def again(self, found: Version, only: str | None = "bank-a") -> Version:
        return self.world.portal.db.read_now(lambda c: publishing.get(c, only, found.product_code, found.version))


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def test_a_product_is_on_offer_once_the_hub_approved_it_and_not_before(desk: Desk) -> None:
    draft = desk.begin()
    waiting = desk.enter(draft, "submit")
    assert desk.offered() == []
    with pytest.raises(PortalError, match="NOT_FOUND"):
        desk.world.portal.db.read_now(lambda c: service.get(c, draft.product_code))
    done = desk.decide(waiting, "approve")
    assert done.state == "published" and desk.offered() == [("税易贷", 1)]
    product = desk.world.portal.db.read_now(lambda c: service.get(c, draft.product_code))
    assert (product.publish_state, product.version, product.institution) == ("published", 1, "bank-a")


def test_an_edit_is_reviewed_while_the_old_version_stays(desk: Desk) -> None:
    first = desk.decide(desk.enter(desk.begin(), "submit"), "approve")
    second = desk.next(first)
    assert (second.version, second.state, second.answers) == (2, "draft", first.answers)
    assert desk.next(first) == second, "there is never a second draft"
    kept = desk.write(
        lambda c: publishing.answer(desk.world.portal, c, second, second.edition, {"product_name": "新税易贷"})
    )
    waiting = desk.enter(kept, "submit")
    assert desk.offered() == [("税易贷", 1)]
    desk.decide(waiting, "approve")
    assert desk.offered() == [("新税易贷", 2)]
    assert (desk.again(first).state, desk.again(second).state) == ("offline", "published")
    read = desk.world.portal.db.read_now
    assert read(lambda c: service.version_of(c, first.product_code, 1)).product_name == "税易贷"
    assert read(lambda c: service.get(c, first.product_code)).version == 2


def test_a_rejected_version_can_be_changed_and_submitted_again(desk: Desk) -> None:
    rejected = desk.decide(desk.enter(desk.begin(), "submit"), "reject")
    assert (rejected.state, rejected.reason, desk.offered()) == ("rejected", "已看过", [])
    again = desk.enter(desk.enter(rejected, "revise"), "submit")
    assert (again.state, again.reason, again.reviewed_by) == ("pending_review", "", "")


def test_a_withdrawn_product_is_no_longer_found_but_its_terms_stay_for_applications(desk: Desk) -> None:
    done = desk.decide(desk.enter(desk.begin(), "submit"), "approve")
    gone = desk.withdraw(done)
    assert gone.state == "offline" and desk.offered() == []
    product = desk.world.portal.db.read_now(lambda c: service.get(c, gone.product_code))
    assert product.publish_state == "offline" and not product.takes_applications(product.valid_from)
    assert desk.next(gone).version == 2


def test_a_version_that_is_not_whole_cannot_be_submitted(desk: Desk) -> None:
    draft = desk.begin(amount_max="5", product_type="")
    with pytest.raises(PortalError, match="INVALID_ARGUMENT") as refused:
        desk.enter(draft, "submit")
    assert set(refused.value.faults) == {"product_type"}
    assert desk.again(draft).state == "draft"


def test_only_a_draft_is_changed_and_no_act_is_done_out_of_turn(desk: Desk) -> None:
    draft = desk.begin()
    waiting = desk.enter(desk.begin(), "submit")
    rejected = desk.decide(desk.enter(desk.begin(), "submit"), "reject")
    offered = desk.decide(desk.enter(desk.begin(), "submit"), "approve")
    gone = desk.withdraw(desk.decide(desk.enter(desk.begin(), "submit"), "approve"))
    acts: dict[str, Callable[[Version], Version]] = {
        "answer": lambda one: desk.write(
            lambda c: publishing.answer(desk.world.portal, c, one, one.edition, {"branch": "x"})
        ),
        **{act: lambda one, act=act: desk.enter(one, act) for act in ("submit", "recall", "revise", "replace", "")},  # type: ignore[misc]
        **{act: lambda one, act=act: desk.decide(one, act) for act in ("approve", "reject")},  # type: ignore[misc]
        "withdraw": desk.withdraw,
    }
    allowed = {
        "draft": {"answer", "submit"},
        "pending_review": {"recall", "approve", "reject"},
        "rejected": {"revise"},
        "published": {"withdraw"},
        "offline": set[str](),
    }
    for one in (draft, waiting, rejected, offered, gone):
        for act in set(acts) - allowed[one.state]:
            with pytest.raises(PortalError, match="WRONG_STATE"):
                acts[act](one)
            assert desk.again(one) == one


def test_an_older_edition_is_stale_and_changes_nothing(desk: Desk) -> None:
    draft = desk.begin()
    desk.write(lambda c: publishing.answer(desk.world.portal, c, draft, draft.edition, {"branch": "新"}))
    newer = desk.again(draft)
    with pytest.raises(PortalError, match="STALE"):
        desk.write(lambda c: publishing.enter(desk.world.portal, c, desk.staff, newer, draft.edition, "submit"))
    assert desk.again(draft) == newer


def test_nobody_decides_about_what_they_entered(desk: Desk) -> None:
    waiting = desk.enter(desk.begin(), "submit")
    with pytest.raises(PortalError, match="PERMISSION_DENIED"):
        desk.decide(waiting, "approve", desk.staff)


def test_another_members_product_is_not_there_and_the_hub_sees_no_draft(desk: Desk) -> None:
    draft = desk.begin()
    for only in ("bank-b", None):
        with pytest.raises(PortalError, match="NOT_FOUND"):
            desk.again(draft, only)
    with pytest.raises(PortalError, match="NOT_FOUND"):
        desk.next(draft, "bank-b")
    waiting = desk.enter(draft, "submit")
    assert desk.again(waiting, None) == waiting
    listed = desk.world.portal.db.read_now(lambda c: c.execute(publishing.rows("bank-b")).all())
    assert listed == []


def test_reviewers_hear_of_what_waits_and_staff_of_what_was_decided_and_all_is_recorded(desk: Desk) -> None:
    desk.decide(desk.enter(desk.begin(), "submit"), "approve")
    read = desk.world.portal.db.read_now
    told = [
        str(each.text)
        for who in (desk.reviewer, desk.staff)
        for each in read(lambda c, w=who: notices.inbox(c, w.account_id))
    ]  # type: ignore[misc]
    assert told == ["A product waits for review: 税易贷", "Your product was approved and is published: 税易贷"]
    rows = read(lambda c: c.execute(select(events)).all())
    acts = {(each.actor, each.action, each.reason) for each in rows}
    assert acts == {
        ("staff-a", "product_entered", ""),
        ("staff-a", "product_submit", ""),
        ("reviewer", "product_approve", "已看过"),
    }


def test_a_product_is_found_on_its_days_only(desk: Desk) -> None:
    now_ms = desk.world.now_ms[0]
    published(desk.world.portal, desk.staff, desk.reviewer, valid_from="2027-01-01", valid_to="2027-01-31")

    def names(later_days: int) -> list[str]:
        day, asked = today(now_ms + later_days * 86_400_000), search.LISTING.asked({})
        return [
            each.product_name for each in desk.world.portal.db.read_now(lambda c: search.published(c, asked, day)[0])
        ]

    assert [names(days) for days in (0, 105, 140)] == [[], ["税易贷"], []]
