"""Narrowed roles and hidden entries: what is taken away is away at the next request, and nothing is ever given."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.backoffice.policy import Policy, Standing, parse_needs, told
from portal.backoffice.role_pages import matrix
from portal.permissions import GRANTS, Need, Role
from portal.principal import Principal
from portal.text import Name
from tests.portal.world import Browser, World

NEEDS = sorted({need for granted in GRANTS.values() for need in granted}, key=told)
READS = "query applications,query products"


async def administrator(world: World) -> Browser:
    return await world.logged_in("security", Role.SECURITY_ADMIN)


async def made(browser: Browser, needs: str = READS, base: Role = Role.STAFF, institution: str = "bank-a") -> str:
    await browser.get(f"/roles/new?base={base}")
    sent = {"title": "Reads only", "institution": institution, "needs": needs, "reason": "trainee"}
    answer = await browser.post("/roles", **sent)
    assert answer.status_code == 303
    return answer.headers["location"]


@given(
    role=st.sampled_from(Role),
    left=st.none() | st.frozensets(st.sampled_from(NEEDS)),
    standing=st.none() | st.builds(Standing, name=st.just(Name("a", "a"))),
    need=st.sampled_from(NEEDS),
    full=st.booleans(),
)
def test_whatever_a_policy_says_nobody_may_more_than_the_built_in_role(
    role: Role, left: frozenset[Need] | None, standing: Standing | None, need: Need, full: bool
) -> None:
    policy = Policy(
        standings={} if standing is None else {"bank-a": standing}, left={} if left is None else {"me": left}
    )
    plain = Principal(account_id="me", session_id="s", login="me", role=role, institution="bank-a", second_factor=full)
    applied = policy.applied(plain)
    assert not applied.may(need) or plain.may(need)
    if applied.may(need):
        assert applied.only(need) == plain.only(need)
        assert left is None or need in left
        assert standing is None or not standing.suspended
    else:
        with pytest.raises(KeyError):
            applied.only(need)


@given(st.frozensets(st.sampled_from(NEEDS)), st.text())
def test_permissions_are_kept_and_read_back_and_nonsense_is_none(needs: frozenset[Need], nonsense: str) -> None:
    assert parse_needs(",".join(map(told, needs))) == needs
    assert parse_needs(nonsense.replace(" ", "_")) == frozenset()


async def test_an_account_has_what_is_left_from_its_next_login_on(world: World) -> None:
    chief, staff = await administrator(world), await world.logged_in("clerk", Role.STAFF, "bank-a")
    other = await world.logged_in("colleague", Role.STAFF, "bank-a")
    role = await made(chief)
    await chief.get(role)
    assert (await chief.post(f"{role}/holders", login="Clerk", why="trainee")).status_code == 303
    assert (await staff.get("/lending")).status_code == 303, "the session has ended"
    account_id = re.search(rf"{role}/holders/([\w-]+)/end", (await chief.get(role)).text)
    assert account_id is not None
    policy = await world.portal.in_force()
    policy_left = {*READS.split(","), "query own_account", "modify own_account"}
    assert set(map(told, policy.left[account_id[1]])) == policy_left
    who = Principal(
        account_id=account_id[1],
        session_id="",
        login="clerk",
        role=Role.STAFF,
        institution="bank-a",
        second_factor=True,
    )
    refused = {told(need) for need in GRANTS[Role.STAFF] if not policy.applied(who).may(need)}
    assert refused == set(map(told, GRANTS[Role.STAFF])) - policy_left and "entry products" in refused
    await other.get("/lending")
    assert (await other.post("/demands/x/take")).status_code == 404, "others keep the role whole"
    await chief.get(role)
    assert (await chief.post(account_id[0], reason="learnt it")).status_code == 303
    assert (await world.portal.in_force()).left == {}


async def test_a_route_asks_for_what_is_left(world: World) -> None:
    chief = await administrator(world)
    role = await made(chief, "query applications")
    world.account("early", Role.STAFF, "bank-a")
    await chief.get(role)
    await chief.post(f"{role}/holders", login="early", why="x")
    account = re.search(rf"{role}/holders/([\w-]+)/end", (await chief.get(role)).text)
    assert account is not None
    staff = world.browser()
    await staff.get("/login")
    await staff.post("/login", login="early", password="korrekt pferd batterie")
    await staff.get("/login/code")
    await staff.post("/login/code", code=world.code(account[1]))
    assert (await staff.get("/lending")).status_code == 200
    assert 'href="/product-versions"' not in (staff.page.text if staff.page else "")
    assert (await staff.get("/product-versions")).status_code == 403


@pytest.mark.parametrize("base", ["security_admin", "audit_admin", "system_admin", "enterprise", "nobody", ""])
async def test_administrators_and_enterprises_are_not_narrowed(world: World, base: str) -> None:
    chief = await administrator(world)
    await chief.get("/roles")
    assert (await chief.get(f"/roles/new?base={base}")).status_code == 404
    await chief.get("/roles")
    sent = {"base": base, "title": "x", "institution": "hub", "needs": "query events", "reason": "x"}
    assert (await chief.post("/roles", **sent)).status_code == 404


@pytest.mark.parametrize(
    "changed",
    [
        {"needs": "query events"},
        {"needs": "approve applications"},
        {"needs": "fly kites"},
        {"institution": "hub"},
        {"institution": "No Such"},
        {"title": ""},
        {"title": "x" * 61},
        {"reason": ""},
    ],
    ids=str,
)
async def test_a_role_that_would_widen_or_makes_no_sense_is_refused_with_what_was_typed(
    world: World, changed: dict[str, str]
) -> None:
    chief = await administrator(world)
    await chief.get("/roles/new?base=staff")
    sent = {"title": "<b>Reads</b>", "institution": "bank-a", "needs": READS, "reason": "typed with care"} | changed
    answer = await chief.post("/roles", **sent)
    assert answer.status_code == 422 and "<b>" not in answer.text
    assert "typed with care" in answer.text or "reason" in changed
    assert "Reads" not in (await chief.get("/roles")).text


@pytest.mark.parametrize(("login", "role", "institution"), [("a1", "approver", "bank-a"), ("s2", "staff", "bank-b")])
async def test_a_role_goes_only_to_accounts_of_its_built_in_role_and_institution(
    world: World, login: str, role: Role, institution: str
) -> None:
    chief = await administrator(world)
    world.account(login, Role(role), institution)
    path = await made(chief)
    await chief.get(path)
    for name in (login, "nobody"):
        assert (await chief.post(f"{path}/holders", login=name, why="x")).status_code == 422
    assert (await chief.post(f"{path}/holders/{login}/end", reason="x")).status_code == 404
    await chief.get(path)
    assert 'id="why-fault"' in (await chief.post(f"{path}/holders", login=login, why="")).text


async def test_a_stale_change_is_refused_and_a_role_in_use_is_not_removed(world: World) -> None:
    chief = await administrator(world)
    world.account("clerk", Role.STAFF, "bank-a")
    path = await made(chief)
    await chief.get(path)
    old = chief.page
    changed = {"title": "Less", "needs": "query products", "reason": "x"}
    assert (await chief.post(path, **changed)).status_code == 303
    chief.page = old
    stale = await chief.post(path, **changed | {"title": "Typed meanwhile"})
    assert stale.status_code == 409 and "Typed meanwhile" in stale.text
    await chief.get(path)
    assert (await chief.post(path, **changed | {"needs": "query events"})).status_code == 422
    await chief.get(path)
    await chief.post(f"{path}/holders", login="clerk", why="x")
    assert (await chief.post(f"{path}/remove", reason="x")).status_code == 409
    ending = re.search(rf"{path}/holders/[\w-]+/end", (await chief.get(path)).text)
    assert ending is not None
    await chief.post(ending[0], reason="x")
    assert (await chief.post(f"{path}/remove", reason="x")).status_code == 303
    assert (await chief.get(path)).status_code == 404


def test_the_matrix_is_the_grants() -> None:
    told_by_matrix = {
        (role, Need(action, subject)): reach
        for subject, action, reaches in matrix()
        for role, reach in zip(Role, reaches, strict=True)
        if reach
    }
    assert told_by_matrix == {(role, need): reach.value for role in Role for need, reach in GRANTS[role].items()}


async def test_a_hidden_entry_leaves_the_menu_and_its_page_opens_by_its_address(world: World) -> None:
    chief, staff = await administrator(world), await world.logged_in("clerk", Role.STAFF, "bank-a")
    await chief.get("/menus?role=staff")
    assert (await chief.post("/menus", hidden="/lending,/products")).status_code == 303
    page = (await staff.get("/account")).text
    assert 'href="/lending"' not in page and 'href="/product-versions"' in page
    assert (await staff.get("/lending")).status_code == 200
    await chief.get("/menus?role=staff")
    assert (await chief.post("/menus")).status_code == 303
    assert 'href="/lending"' in (await staff.get("/account")).text


@pytest.mark.parametrize("hidden", ["/account", "/events", "/nowhere", "<b>"])
async def test_what_is_not_in_a_roles_menu_cannot_be_hidden(world: World, hidden: str) -> None:
    chief = await administrator(world)
    await chief.get("/menus?role=staff")
    assert (await chief.post("/menus", hidden=hidden)).status_code == 422
    assert (await chief.get("/menus?role=nobody")).status_code == 404
