"""Every route × role × institution: what is declared is what happens."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI

from portal.permissions import GRANTS, ROUTES, SECOND_FACTOR, Action, Need, Open, Role, Subject, require_all_declared
from portal.web.app import routes_of
from tests.portal.world import ORIGIN, PASSWORD, USCC, World

INSTITUTIONS = {Role.APPLICANT: USCC, Role.ENTERPRISE: USCC, Role.STAFF: "bank-a", Role.INSTITUTION_ADMIN: "bank-a"}
PROTECTED = [(route, rule) for route, rule in ROUTES.items() if isinstance(rule, Need)]


def test_a_route_without_a_declared_permission_stops_the_start() -> None:
    app = FastAPI()

    @app.get("/undeclared")
    async def undeclared() -> None: ...

    with pytest.raises(ValueError, match="GET /undeclared"):
        require_all_declared(routes_of(app) | set(ROUTES))


@pytest.mark.parametrize("role", [None, *Role], ids=str)
async def test_each_role_reaches_exactly_the_routes_that_it_is_granted(world: World, role: Role | None) -> None:
    if role is None:
        browser = world.browser()
        await browser.get("/login")
    else:
        browser = await world.logged_in("somebody", role, INSTITUTIONS.get(role, "hub"))
        await browser.get("/")
    token = (await browser.client.get("/api/v1/session")).json()["csrf"]
    wrong = []
    for route, rule in PROTECTED:
        method, path = route.split(" ")
        path = re.sub(r"\{\w+\}", "x", path)
        headers = {"X-CSRF-Token": token, "Origin": ORIGIN}
        answer = await browser.client.request(method, path, headers=headers)
        to_login = answer.status_code == 303 and answer.headers["location"].startswith("/login")
        let_through = answer.status_code not in {401, 403} and not to_login
        if let_through != (role is not None and rule in GRANTS[role]):
            wrong.append((route, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("role", sorted(SECOND_FACTOR))
async def test_before_the_second_factor_no_permission_counts(world: World, role: Role) -> None:
    world.account("somebody", role)
    browser = world.browser()
    await browser.get("/login")
    await browser.post("/login", login="somebody", password=PASSWORD)
    for route, _ in PROTECTED:
        method, path = route.split(" ")
        if method == "GET":
            answer = await browser.client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login/code"), route


async def test_an_administrator_sees_and_removes_the_staff_of_its_own_institution_only(world: World) -> None:
    stranger = world.account("stranger", Role.STAFF, "bank-b")
    world.account("colleague", Role.STAFF, "bank-a")
    browser = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "bank-a")
    page = await browser.get("/staff")
    assert "colleague" in page.text and "stranger" not in page.text
    answer = await browser.post(f"/staff/{stranger}/disable", reason="not mine")
    assert answer.status_code == 404


def test_no_administrator_changes_what_another_one_watches() -> None:
    changing = {Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN, Role.AUDIT_ADMIN}
    granted = [
        {need for need in GRANTS[role] if need.action is not Action.QUERY and need.subject is not Subject.OWN_ACCOUNT}
        for role in sorted(changing)
    ]
    assert not granted[0] & granted[1] and not granted[1] & granted[2] and not granted[0] & granted[2]
    assert all(isinstance(rule, Open | Need) for rule in ROUTES.values())
