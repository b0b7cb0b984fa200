"""Every page in Chromium, in both languages, light and dark: accessible by axe-core's rules, quiet, small, and from our own host alone.

The portal is that of tests/portal/world.py, served on a real socket; its pages are those that `tests.portal.everybody` walks to.
"""

from __future__ import annotations

import asyncio
import queue
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from hub.server import _free_port
from portal.accounts import passwords
from tests.conftest import CHROMIUM
from tests.portal.everybody import Opened, everybody, walk_all
from tests.portal.world import CHEAP, running_portal

AXE = Path("tests/e2e/axe/node_modules/axe-core/axe.min.js")
FIRST_LOAD = 150_000
THEMES = ("light", "dark")
GRAVE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => [one.id, ...one.nodes.slice(0, 3).map(node => node.html + " | " + (node.failureSummary || ""))])"""
pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@dataclass
class Served:
    """A portal that answers at `url`; what everybody opened, and each one's cookies."""

    url: str
    opened: Sequence[Opened]
    cookies: dict[str, dict[str, str]]


def shape(opened: Opened) -> object:
    """Pages of one route that are made of the same elements count as one, whoever opens them."""
    tags = opened.seen.tags
    return opened.route, frozenset((tag, has.get("class", ""), has.get("type", "")) for tag, has in tags)


def serve(home: Path, port: int, ready: queue.Queue[Served | BaseException], done: threading.Event) -> None:
    """Run a portal until `done` is set."""

    async def run() -> None:
        async with running_portal(home) as world:
            people = await everybody(world)
            opened = list({shape(each): each for each in await walk_all(people) if each.text}.values())
            cookies = {name: dict(browser.client.cookies) for name, browser in people.items()}
            config = uvicorn.Config(world.app, port=port, lifespan="off", log_config=None, server_header=False)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            ready.put(Served(f"http://127.0.0.1:{port}", opened, cookies))
            await asyncio.to_thread(done.wait)
            server.should_exit = True
            await serving

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(passwords, "_HASHER", CHEAP)
            passwords._nobodys.cache_clear()
            asyncio.run(run())
    except BaseException as problem:
        ready.put(problem)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    ready: queue.Queue[Served | BaseException] = queue.Queue()
    done = threading.Event()
    with tempfile.TemporaryDirectory() as home:
        thread = threading.Thread(target=serve, args=(Path(home), _free_port("127.0.0.1"), ready, done))
        thread.start()
        try:
            found = ready.get(timeout=120)
            if isinstance(found, BaseException):
                raise found
            yield found
        finally:
            done.set()
            thread.join(30)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def rules() -> str:
    """The text of axe-core."""
    assert AXE.exists(), "axe-core is not installed: `make axe` does it, and needs npm (Debian: apt-get install npm)"
    return AXE.read_text(encoding="utf-8")


def context_of(browser: Browser, served: Served, name: str, language: str, **more: Any) -> BrowserContext:
    """A browser in which somebody is logged in."""
    context = browser.new_context(base_url=served.url, **more)
    cookies = served.cookies[name] | {"xq_language": language}
    context.add_cookies([{"name": key, "value": value, "url": served.url} for key, value in cookies.items()])
    return context


@dataclass
class Watch:
    """What a page's loading brought: bytes, requests to other hosts, and what the console said."""

    page: Page
    own: str
    strange: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda one: self.said.append(one.text) if one.type == "error" else None)
        self.page.on("pageerror", lambda one: self.said.append(str(one)))
        self.page.on("request", self._sent)

    def _sent(self, request: Request) -> None:
        self.requests.append(request)
        if not request.url.startswith((self.own, "data:")):
            self.strange.append(request.url)


def open_as(page: Page, opened: Opened) -> None:
    page.goto(opened.path)
    assert page.url.endswith(opened.path), f"{opened.name}: {opened.path} led to {page.url}"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_axe_finds_nothing_serious_in_any_page_in_either_theme(
    served: Served, chromium: Browser, rules: str, language: str
) -> None:
    wrong: dict[str, str] = {}
    for name in {each.name for each in served.opened}:
        # The policy of our pages lets no script of the test in; it is tested elsewhere that they carry it.
        context = context_of(chromium, served, name, language, bypass_csp=True)
        page = context.new_page()
        for opened in (each for each in served.opened if each.name == name):
            open_as(page, opened)
            page.add_script_tag(content=rules)
            for theme in THEMES:
                page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
                for rule, *places in page.evaluate(GRAVE):
                    wrong.setdefault(f"{rule} {places[0]}", f"{name} {opened.path} {theme}: {places}")
        context.close()
    assert not wrong, "\n".join(wrong.values())


def test_every_page_is_quiet_small_and_from_our_own_host(served: Served, chromium: Browser) -> None:
    wrong = []
    for opened in served.opened:
        context = context_of(chromium, served, opened.name, "zh")
        watch = Watch(context.new_page(), served.url)
        open_as(watch.page, opened)
        sizes = watch.page.evaluate("performance.getEntries().reduce((sum, one) => sum + (one.transferSize || 0), 0)")
        if watch.said or watch.strange or not 0 < sizes <= FIRST_LOAD:
            wrong.append((opened.name, opened.path, sizes, watch.said, watch.strange))
        context.close()
    assert not wrong, wrong


CONTROLS = """() => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")]
    .filter(one => one.checkVisibility()).map((one, index) => { one.dataset.place = index; return index; })"""
FOCUSED = """() => {
    const one = document.activeElement, style = getComputedStyle(one);
    return [one.dataset.place ?? "", style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 1, one.outerHTML.slice(0, 120)];
}"""
WORKED_IN = ("GET /login", "GET /register/{slug}", "GET /register-check", "GET /register-send", "GET /applications")


def test_the_tab_key_reaches_every_control_of_login_registration_and_application_and_shows_where_it_is(
    served: Served, chromium: Browser
) -> None:
    pages = [each for each in served.opened if each.route.startswith(WORKED_IN)]
    assert {"GET /applications/{application_no}/steps/{slug}", "GET /login"} < {each.route for each in pages}
    wrong = []
    for opened in pages:
        context = context_of(chromium, served, opened.name, "zh")
        page = context.new_page()
        open_as(page, opened)
        left = {str(place) for place in page.evaluate(CONTROLS)}
        for _ in range(len(left) + 1):
            page.keyboard.press("Tab")
            place, shown, html = page.evaluate(FOCUSED)
            left.discard(place)
            if place and not shown:
                wrong.append((opened.path, "focus is not seen", html))
        wrong += [(opened.path, "not reached", place) for place in left]
        context.close()
    assert not wrong, wrong


def test_axe_does_find_what_is_wrong(served: Served, chromium: Browser, rules: str) -> None:
    context = context_of(chromium, served, "stranger", "zh", bypass_csp=True)
    page = context.new_page()
    page.goto("/login")
    page.add_script_tag(content=rules)
    page.evaluate("document.querySelector('label').remove()")
    assert "label" in {rule for rule, *_ in page.evaluate(GRAVE)}
    context.close()
