"""The record of acts: filtered, paged, and taken as a file that names who took it."""

from __future__ import annotations

import csv
import io

import pytest
from sqlalchemy import Connection, select

from portal import events
from portal.backoffice import acts
from portal.permissions import Role
from tests.portal.world import NOW_MS, Browser, World

DAY_MS = 86_400_000


def happened(world: World, *told: tuple[int, str, str, str, str]) -> None:
    """Acts: days ago, actor, action, subject, reason."""

    def write(connection: Connection) -> None:
        for days, actor, action, subject, reason in told:
            events.record(connection, NOW_MS - days * DAY_MS, actor, action, subject, reason)

    world.portal.db.write_now(write)


async def auditor(world: World) -> Browser:
    return await world.logged_in("auditor", Role.AUDIT_ADMIN)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("actor=anna", ["one", "two"]),
        ("actor=anna&action=invited", ["one"]),
        ("subject=bank-a", ["one", "three"]),
        ("action=invited&until=2026-09-18", ["three"]),
        ("actor=anna&since=2026-09-21", ["two"]),
        ("actor=%25", []),
    ],
)
async def test_acts_are_found_by_actor_act_subject_and_day(world: World, query: str, shown: list[str]) -> None:
    happened(
        world,
        (2, "anna", "invited", "bank-a", "because one"),
        (0, "anna", "disabled", "bank-b", "because two"),
        (5, "otto", "invited", "bank-a", "because three"),
    )
    page = (await (await auditor(world)).get(f"/events?{query}")).text
    assert [word for word in ("one", "two", "three") if f"because {word}" in page] == shown


async def test_a_long_record_comes_in_pages(world: World) -> None:
    happened(world, *[(0, "anna", "invited", "bank-a", f"<{n}>") for n in range(60)])
    browser = await auditor(world)
    page = (await browser.get("/events?actor=anna")).text
    after = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    rest = (await browser.get(after)).text
    told = [f"&lt;{n}&gt;" for n in range(60)]
    assert sorted([each in page for each in told]).count(True) == 50
    assert all((each in page) is not (each in rest) for each in told)


async def test_a_copy_has_a_watermark_is_recorded_and_runs_no_formula(world: World) -> None:
    happened(world, (1, "anna", "invited", "bank-a", '=cmd|"/c calc"!A1, "quoted"'), (1, "otto", "invited", "b", "x"))
    browser = await auditor(world)
    await browser.get("/events?actor=anna")
    answer = await browser.post("/events/export", reason="quarterly audit")
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert "by auditor at 2026-09-2" in rows[0][0] and "actor=anna" in rows[0][0]
    assert [row[1:] for row in rows[2:]] == [["anna", "invited", "bank-a", '\'=cmd|"/c calc"!A1, "quoted"']]
    wanted = select(events.events).where(events.events.c.action == "exported_events")
    (kept,) = world.portal.db.read_now(lambda connection: connection.execute(wanted).all())
    assert kept.actor == "auditor" and kept.subject in rows[0][0] and kept.reason == "quarterly audit (actor=anna)"


async def test_a_copy_that_is_too_large_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "MOST", 2)
    happened(world, *[(n, "anna", "invited", "bank-a", f"reason {n}") for n in range(4)])
    browser = await auditor(world)
    await browser.get("/events?actor=anna")
    text = (await browser.post("/events/export", reason="audit")).text
    assert "the newest 2 only" in text and "reason 1" in text and "reason 2" not in text


@pytest.mark.parametrize("reason", ["", "x" * 501, "a\x00b"])
async def test_without_a_reason_there_is_no_copy_and_no_record_of_one(world: World, reason: str) -> None:
    browser = await auditor(world)
    await browser.get("/events?actor=anna")
    answer = await browser.post("/events/export", reason=reason)
    assert answer.status_code == 422 and 'value="anna"' in answer.text
    assert "exported_events" not in (await browser.get("/events")).text


async def test_days_that_are_none_are_refused_and_never_export_everything(world: World) -> None:
    browser = await auditor(world)
    page = await browser.get("/events?since=yesterday&actor=%3Cscript%3E")
    assert page.status_code == 200 and 'class="fault"' in page.text and "<script>" not in page.text
    assert (await browser.post("/events/export", reason="audit")).status_code == 422
