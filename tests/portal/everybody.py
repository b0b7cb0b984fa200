"""Everybody in front of a portal that has something to show, and the pages that they find by its menu and its links.

A new subject gives its pages something to show in `everybody`: a page that no link leads to is a fault of `test_every_page`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin

from starlette.routing import compile_path

from consent.audit_uses import verify_uses
from portal.content import seed
from portal.permissions import ROUTES, Role
from portal.web.menu import MENU
from tests.consent.builders import OTHER_USCC as OUTSIDE_USCC
from tests.consent.builders import USCC as CODE
from tests.consent.builders import consent
from tests.consent.test_audit_uses import Shown
from tests.consent.usage_builders import HUB
from tests.portal.applications.firm import BANK, ITEM, OTHER_USCC, case, product, publish
from tests.portal.applications.test_financing import WANTED
from tests.portal.consents.test_granting import asked
from tests.portal.consents.test_outside import keeps_outside
from tests.portal.products.offer import person, published
from tests.portal.registration.test_registration import ANSWERS, register
from tests.portal.world import PASSWORD, Browser, World

# Files, streams, and pages that a link leads to which one person is given once; each has tests of its own.
NOT_WALKED: Final = {
    "GET /invitations/{token}",
    "GET /passwords/{token}",
    "GET /account/mail/{code}",
    "GET /consents/{record_id}/withdrawal/live",
    "GET /operations/live",
    "GET /operations/exchanges/live",
    "GET /alerts-live",
    "GET /my-data.json",
    "GET /my-data.pdf",
    "GET /outside/questions",
    "GET /outside/consents",
    "GET /outside/requests/{request_id}",
    "GET /outside/requests/{request_id}/refusal",
    "GET /outside/withdrawals/{record_id}",
    "GET /language/{language}",
    "GET /static/{name}",
    "GET /health",
    # Subjects with tests and journeys of their own, of which `everybody` has nothing to show yet.
    "GET /alerts/{alert_id}",
    "GET /content/{content_id}/edit",
    "GET /credit/{application_no}",
    "GET /my-credit/{application_no}",
    "GET /experts/{account_id}/ask",
    "GET /questions/{question_id}",
    "GET /questions/{question_id}/offer",
    "GET /roles/{role_id}",
}
INSTITUTIONS: Final = {Role.APPLICANT: OTHER_USCC, Role.INSTITUTION_ADMIN: BANK}
ASIDE: Final = ("/login", "/unlock", "/outside")  # where one is led who may not open a page yet
MOST_OF_A_ROUTE: Final = 6
BEGINNINGS: Final = ("/", "/login", "/login/code", "/register/contact", "/register-check", *(one.path for one in MENU))
BEGINNINGS_BY_FORMS: Final = (
    "/consents/new/items?user=firstbank&purpose=pre_loan",
    f"/consents/grant?user=firstbank&purpose=pre_loan&items={ITEM}:Q:taxoffice&valid_days=20",
    "/search?q=%E6%8E%88%E6%9D%83",
    "/roles/new?base=staff&institution=bank-a",
    "/outside",
    "/unlock",
    "/registered",
    "/register-send",
)


async def everybody(world: World) -> Mapping[str, Browser]:
    """Visitors by name: strangers and each role, over applications, requests, registrations, products, consents and uses."""
    one = await case(world, CODE)
    people = one.people
    people["enterprise"] = one.firm
    await one.pushed()
    await one.investigated()
    await one.approver()
    publish(world, product("bank-a-second", product_name="发票贷"))
    await one.applied("bank-a-second")
    publish(world, product("bank-a-third", product_name="信用贷"))
    await one.firm.get("/products/bank-a-third")
    await one.firm.post("/applications", product_code="bank-a-third")
    await one.firm.get("/financing")
    await one.firm.post("/financing", **WANTED)
    world.portal.db.write_now(lambda connection: seed.load(world.portal, connection, examples=True))
    world.hub.apart = True
    world.hub.asked = [asked(uscc=CODE)]
    staff, reviewer = person(world, "entering", Role.STAFF, BANK), person(world, "looking", Role.REVIEWER)
    published(world.portal, staff, reviewer)
    await _enters(people["staff"])
    world.hub.page, world.hub.hub_key = Shown().page(), HUB
    world.hub.verified = verify_uses(CODE, world.hub.page, HUB)
    world.hub.standing.append((consent(), "active"))
    await _withdraws(one.firm, consent().record_id)
    people["outside"] = await keeps_outside(world, OUTSIDE_USCC)
    people["registering"] = await register(world, uscc=OTHER_USCC)
    people["answering"] = world.browser()
    for slug, answers in ANSWERS.items():
        await people["answering"].get(f"/register/{slug}")
        await people["answering"].post(f"/register/{slug}", **answers)
    people["stranger"] = world.browser()
    world.account("half", Role.REVIEWER)
    people["half"] = world.browser()
    await people["half"].get("/login")
    await people["half"].post("/login", login="half", password=PASSWORD)
    for role in set(Role) - {Role.ENTERPRISE, Role.STAFF, Role.APPROVER, Role.REVIEWER}:
        people[role.value] = await world.logged_in(role.value, role, INSTITUTIONS.get(role, "hub"))
    return people


async def _enters(staff: Browser) -> None:
    await staff.get("/product-versions")
    assert (await staff.post("/product-versions")).status_code == 303


async def _withdraws(firm: Browser, record_id: str) -> None:
    await firm.get(f"/consents/{record_id}")
    assert (await firm.post(f"/consents/{record_id}/withdraw", reason="")).status_code == 303


@dataclass
class Form:
    """A form of a page. `fields`: what it would send as it is shown; `kinds`: each field's type."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)


class Seen(HTMLParser):
    """What a page has: links, forms, headings, ids, labels, and what is loaded."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.headings: list[int] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._choice = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.tags.append((tag, has))
        if tag == "a" and "href" in has:
            self.links.append(urljoin(self.path, has["href"]).partition("#")[0])
        elif tag == "form":
            self.forms.append(Form(has.get("method", "get"), urljoin(self.path, has.get("action", "")) or self.path))
        elif tag in {"h1", "h2", "h3", "h4", "h5", "h6"}:
            self.headings.append(int(tag[1]))
        elif tag in {"input", "textarea", "select", "button"} and has.get("name") and self.forms:
            self.forms[-1].fields.setdefault(has["name"], has.get("value", ""))
            self.forms[-1].kinds.setdefault(has["name"], has.get("type", tag))
            self._choice = has["name"] if tag == "select" else ""
        elif tag == "option" and self._choice and ("selected" in has or not self.forms[-1].fields[self._choice]):
            self.forms[-1].fields[self._choice] = has.get("value", "")

    def values(self, attribute: str) -> list[str]:
        """Every value of an attribute."""
        return [has[attribute] for _, has in self.tags if attribute in has]


@dataclass(frozen=True)
class Opened:
    """What somebody opened: its route, its path with the query, the page's text; empty where it only leads on to another page."""

    name: str
    route: str
    path: str
    text: str

    @property
    def seen(self) -> Seen:
        return Seen(self.path, self.text)


_PATTERNS: Final = [
    (route, compile_path(route.partition(" ")[2])[0]) for route in sorted(ROUTES, key=lambda route: "{" in route)
]


def route_of(method: str, path: str) -> str:
    """The route that a path is of, empty if none is."""
    bare = path.partition("?")[0]
    matching = (route for route, pattern in _PATTERNS if route.startswith(f"{method} ") and pattern.match(bare))
    return next(matching, "")


def below(path: str, route: str) -> list[str]:
    """What a page's forms may lead to: the routes below its own that need no more than its own path tells."""
    under = [each.removeprefix(f"{route}/") for each in ROUTES if each.startswith(f"{route}/")]
    return [f"{path.partition('?')[0]}/{rest}" for rest in under if "{" not in rest]


async def walk(name: str, browser: Browser) -> list[Opened]:
    """The pages that a visitor finds, the first of each route; lists are followed a little further for what they lead to."""
    found: dict[str, Opened] = {}
    tried: Counter[str] = Counter()
    waiting = [*BEGINNINGS, *BEGINNINGS_BY_FORMS]
    known = set(waiting)
    while waiting:
        path = waiting.pop(0)
        route = route_of("GET", path)
        if not route or tried[route] >= MOST_OF_A_ROUTE or route in NOT_WALKED:
            continue
        tried[route] += 1
        answer = await browser.get(path)
        assert answer.status_code < 500, (name, path, answer.status_code)
        links = [answer.headers.get("location", "")]
        if links[0] and not links[0].startswith(ASIDE):
            found.setdefault(route, Opened(name, route, path, ""))
        if answer.status_code == 200:
            assert answer.headers["content-type"].startswith("text/html"), f"{route} is a file: see NOT_WALKED"
            opened = Opened(name, route, path, answer.text)
            if route not in found or not found[route].text:
                found[route] = opened
            links = opened.seen.links
        links += below(path, route)
        new = [link for link in dict.fromkeys(links) if link.startswith("/") and link not in known]
        known.update(new)
        waiting += new
    return list(found.values())


async def walk_all(people: Mapping[str, Browser]) -> list[Opened]:
    """What everybody opens."""
    return [opened for name, browser in people.items() for opened in await walk(name, browser)]
