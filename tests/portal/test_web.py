from __future__ import annotations

import re
from importlib.resources import as_file, files
from pathlib import Path
from string import Formatter

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from portal.hub_link import hub_away
from portal.permissions import ROUTES
from portal.permissions.__main__ import table
from portal.settings import Settings, check
from portal.states import MACHINES
from portal.tables import metadata
from portal.text import Text
from portal.web.i18n import catalogue, translate
from portal.web.messages import extract
from portal.web.sent import own_path
from tests.portal.world import ORIGIN, World

from hub.settings import SettingsInvalid  # isort: skip


def test_the_migrations_make_exactly_the_tables_of_the_code(world: World) -> None:
    differences = world.portal.db.read_now(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    assert differences == [], "write a migration (portal/migrations/versions)"


def test_every_sentence_is_translated_with_the_same_values_and_none_is_left_over() -> None:
    with as_file(files("portal")) as folder:
        sentences = {str(each.id) for each in extract(folder) if each.id}
    chinese = catalogue("zh")
    assert len(sentences) > 150
    assert sorted(sentences ^ set(chinese)) == [], "run `python -m portal.web.messages` and translate what is new"

    def values(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    assert [each for each in sentences if values(each) != values(chinese[each])] == []


def test_the_document_draws_the_machines_of_the_code_and_has_its_permissions() -> None:
    document = Path("docs/portal.md").read_text(encoding="utf-8")
    assert [machine.name for machine in MACHINES if machine.drawing() not in document] == []
    assert table() in document


def test_a_sentence_within_a_sentence_is_translated_too() -> None:
    outer = Text("The hub refused: {reason}", reason=Text("Log in first."))
    assert translate("zh", outer) == "枢纽拒绝：请先登录。"
    assert str(outer) == translate("en", outer) == "The hub refused: Log in first."


async def test_every_answer_carries_the_headers_that_keep_a_page_to_itself(world: World) -> None:
    browser = world.browser()
    for path in ("/", "/login", "/nowhere", "/static/portal.css", "/account"):
        headers = (await browser.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("public, max-age=3600" if "static" in path else "no-store")


async def test_no_page_has_a_script_or_style_of_its_own_or_anything_from_elsewhere(world: World) -> None:
    browser = world.browser()
    for path in ("/", "/login", "/register/code", "/nowhere"):
        text = (await browser.get(path)).text
        assert not re.search(r"<script|<style| style=| on\w+=|https?://(?!www.w3.org)", text), path


async def test_cookies_are_kept_from_scripts_and_over_tls_bound_to_the_host(world: World) -> None:
    cookie = (await world.browser().get("/")).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


@pytest.mark.parametrize(
    ("origin", "token", "status"),
    [
        (ORIGIN, True, 422),
        (None, True, 422),
        ("https://evil.example", True, 403),
        (ORIGIN, False, 403),
        ("null", True, 403),
    ],
)
async def test_a_form_that_another_site_sends_does_nothing(
    world: World, origin: str | None, token: bool, status: int
) -> None:
    browser = world.browser()
    page = (await browser.get("/login")).text
    csrf = re.search(r'name="csrf" value="(\w+)"', page)
    assert csrf is not None
    headers = {"Origin": origin} if origin else {}
    sent = {"login": "", "password": ""} | ({"csrf": csrf[1]} if token else {"csrf": "0" * 64})
    assert (await browser.client.post("/login", data=sent, headers=headers)).status_code == status


async def test_a_form_token_of_another_visitor_does_not_count(world: World) -> None:
    mine, other = world.browser(), world.browser()
    await mine.get("/login")
    await other.get("/login")
    mine.page = other.page
    assert (await mine.post("/login", login="x", password="y")).status_code == 403


async def test_languages_change_and_stay_changed_and_lead_nowhere_else(world: World) -> None:
    browser = world.browser()
    assert 'lang="zh-CN"' in (await browser.get("/")).text
    answer = await browser.get("/language/en?next=//evil.example/")
    assert answer.headers["location"] == "/"
    assert "Register your enterprise" in (await browser.get("/")).text
    assert 'href="/language/zh?next=/register/code"' in (await browser.get("/register/code")).text
    assert (await browser.get("/language/xx")).status_code == 404


@pytest.mark.parametrize("text", ["//evil", "/\\evil", "https://evil", "evil", "/a\nb", "/" + "a" * 600, ""])
def test_a_page_to_go_to_is_one_of_ours(text: str) -> None:
    assert own_path(text) == "/"
    assert own_path("/registration?state=approved") == "/registration?state=approved"


async def test_too_large_a_body_is_refused_unread_stated_or_not(world: World) -> None:
    browser = world.browser()
    await browser.get("/login")
    assert (await browser.post("/login", login="x" * 2_000_000, password="y")).status_code == 413

    async def stream() -> object:  # no Content-Length
        for _ in range(30):
            yield b"login=" + b"x" * 100_000

    answer = await browser.client.post(
        "/login",
        content=stream(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},  # type: ignore[arg-type]
    )
    assert answer.status_code == 422


async def test_one_address_calls_only_so_often(world: World) -> None:
    world.portal.calls = type(world.portal.calls)(0.001, burst_s=2000)
    browser = world.browser()
    assert [(await browser.get("/")).status_code for _ in range(3)] == [200, 200, 429]
    assert (await world.browser(address="203.0.113.9").get("/")).status_code == 200
    neighbours = [world.browser(address=f"2001:db8::{n}") for n in range(3)]
    assert [(await each.get("/")).status_code for each in neighbours] == [200, 200, 429]


async def test_a_failure_that_nobody_foresaw_tells_a_number_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object) -> object:
        raise ZeroDivisionError("a value that nobody may see")

    monkeypatch.setattr(world.portal.db, "read", breaks)
    browser = world.browser()
    answer = await browser.get("/health")
    assert answer.status_code == 500 and "nobody may see" not in answer.text and "编号" in answer.text
    assert "ZeroDivisionError" in str([record.__dict__ for record in caplog.records])
    assert "nobody may see" not in caplog.text + str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize(
    "changes", [{"listen": "0.0.0.0:8080"}, {"listen": "here"}, {"private_key": "/key.pem"}], ids=str
)
def test_settings_that_would_send_passwords_in_the_clear_stop_the_start(
    changes: dict[str, str], tmp_path: object
) -> None:
    with pytest.raises(SettingsInvalid):
        check(Settings(home=tmp_path, **changes))  # type: ignore[arg-type]
    check(Settings(home=tmp_path, listen="0.0.0.0:8080", public_url="https://portal.example"))  # type: ignore[arg-type]


async def test_health_tells_of_the_hub_too(world: World) -> None:
    browser = world.browser()
    assert (await browser.get("/health")).json() == {"status": "ok", "hub": "ok"}
    world.hub.refuses = hub_away()
    assert (await browser.get("/health")).json() == {"status": "ok", "hub": "away"}


async def test_the_api_describes_itself_and_no_page(world: World) -> None:
    described = (await world.browser().get("/api/v1/openapi.json")).json()
    assert "/api/v1/uses" in described["paths"] and all(path.startswith("/api/") for path in described["paths"])
    declared = {route.split(" ")[1] for route in ROUTES if "/api/" in route} - {"/api/v1/openapi.json"}
    assert set(described["paths"]) == declared
