"""What holds for every form that changes something, also of subjects still to come: bad input fails nothing and is not echoed raw."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import httpx
import pytest

from portal.permissions import ROUTES, Reach, Role
from portal.permissions.grants import GRANTS
from portal.permissions.kinds import Need
from tests.portal.everybody import Form, everybody, route_of, walk_all
from tests.portal.world import ORIGIN, Browser, World

MARK = "<xq-mark>\"'><script>alert(1)</script>"
OWN = {"csrf", "once"}  # what the portal itself puts in
STRANGERS = {Role.STAFF: "bank-z", Role.APPROVER: "bank-z", Role.ENTERPRISE: "91440300MA5EQXL17P"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
# Open to all banks; and a rule that everybody has, of which each changes its own threshold.
TAKEN_BY_ANY = {"POST /demands/{demand_id}/take", "POST /alert-rules/{kind}"}
Sent = Mapping[str, str | list[str]]


def attacks(form: Form) -> Iterator[tuple[str, Sent]]:
    """What is sent in place of each field's value; the mildest first, as some of it may be taken."""
    typed = [name for name, kind in form.kinds.items() if name not in OWN and kind != "file"]
    base = {name: value for name, value in form.fields.items() if name in OWN}
    yield "empty", base
    yield "markup", base | dict.fromkeys(typed, MARK)
    yield "SQL", base | dict.fromkeys(typed, "' OR 1=1; DROP TABLE accounts; --")
    yield "control characters", base | dict.fromkeys(typed, "a\x00b\x1b[31m\x7f\u202e\u2028")
    yield "numbers out of range", base | dict.fromkeys(typed, "9" * 40)
    yield "a number that is none", base | dict.fromkeys(typed, "-1e400")
    yield "repeated", base | {name: ["1", "2", MARK] for name in typed}
    yield "the token repeated", form.fields | {"csrf": [form.fields.get("csrf", ""), "x"]}
    yield "unknown fields", base | dict.fromkeys(typed, "x" * 5000) | {"unknown": "1", "role": "system_admin", "": MARK}


async def send(browser: Browser, path: str, sent: Sent) -> httpx.Response:
    return await browser.client.post(path, data=dict(sent), headers={"Origin": ORIGIN})


def complaint(answer: httpx.Response) -> str:
    """What a page complains of, bare of markup."""
    told = re.search(r'<div class="faults".*?</div>', answer.text, re.DOTALL) or re.search(
        "<main.*?</main>", answer.text, re.DOTALL
    )
    return " ".join(re.sub(r"<[^>]*>", "", told[0] if told else "").split())


def says(answer: httpx.Response, language: str) -> bool:
    """Whether what a page complains of is in the user's language."""
    text = complaint(answer)
    return bool(text) and bool(re.search("[\u4e00-\u9fff]", text)) == (language == "zh")


async def test_no_form_fails_or_echoes_raw_whatever_is_sent(world: World) -> None:
    people = await everybody(world)
    found: dict[tuple[str, str], tuple[str, Form]] = {}
    for opened in await walk_all(people):
        for form in opened.seen.forms:
            route = route_of("POST", form.action)
            if form.method == "post" and route != "POST /logout":
                found.setdefault((route, ",".join(sorted(form.kinds))), (opened.name, form))
    wrong: list[object] = []
    for (route, _), (name, form) in found.items():
        browser = people[name]
        for attack, sent in attacks(form):
            answer = await send(browser, form.action, sent)
            if answer.status_code >= 500:
                wrong.append((route, attack, answer.status_code))
            shown = answer.headers.get("content-type", "text/html").startswith("text/html")  # a file is not shown
            if shown and ("<xq-mark>" in answer.text or "<script>alert" in answer.text):
                wrong.append((route, attack, "echoed raw"))
            if answer.status_code >= 400 and not says(answer, "zh"):
                wrong.append((route, attack, answer.status_code, "not in Chinese"))
    assert len(found) > 30
    assert not wrong, wrong


async def test_ten_megabytes_are_refused_by_every_form_with_a_sentence(world: World) -> None:
    browser, large = world.browser(), b"a=" + b"x" * 10_000_000
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
    for route in (route for route in ROUTES if route.startswith("POST /")):
        answer = await browser.client.post(re.sub(r"\{\w+\}", "x", route[5:]), content=large, headers=headers)
        assert answer.status_code == 413 and "过大" in answer.text and "too large" in answer.text, route


async def test_complaints_are_in_english_for_whom_reads_english(world: World) -> None:
    people = await everybody(world)
    wrong, tried = [], set()
    for browser in people.values():
        await browser.get("/language/en?next=/")
    for opened in await walk_all(people):
        for form in opened.seen.forms:
            route = route_of("POST", form.action)
            if form.method != "post" or route in tried or route == "POST /logout":
                continue
            tried.add(route)
            sent = {name: value if name in OWN else MARK for name, value in form.fields.items()}
            answer = await send(people[opened.name], form.action, sent)
            if answer.status_code >= 400 and not says(answer, "en"):
                wrong.append((route, answer.status_code, complaint(answer)[:300]))
    assert not wrong, wrong


async def test_what_is_anothers_is_not_there_whoever_sends_its_form(world: World) -> None:
    people = await everybody(world)
    strangers = {role: await world.logged_in(f"x-{role}", role, where) for role, where in STRANGERS.items()}
    tokens = {}
    for role, browser in strangers.items():
        tokens[role] = (await browser.client.get("/api/v1/session")).json()["csrf"]
    wrong, tried = [], 0
    for opened in await walk_all(people):
        for form in opened.seen.forms:
            route = route_of("POST", form.action)
            rule = ROUTES.get(route)
            if form.method != "post" or "{" not in route or not isinstance(rule, Need):
                continue
            for role, stranger in strangers.items():
                if GRANTS[role].get(rule) is not Reach.OWN or route in TAKEN_BY_ANY:
                    continue
                tried += 1
                answer = await send(stranger, form.action, form.fields | {"csrf": tokens[role]})
                if answer.status_code not in {404, 422}:
                    wrong.append((route, role, answer.status_code))
    assert tried > 5
    assert not wrong, wrong
