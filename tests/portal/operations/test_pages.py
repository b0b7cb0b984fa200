"""The pages of operators, their live parts and the API, over figures of a simulated hub."""

from __future__ import annotations

import re

import pytest

from portal.hub_link import hub_away
from portal.permissions import Role
from portal.web.live import changes
from tests.portal.operations.figures import DAY_MS, NOW_MS, exchange, node, operations
from tests.portal.world import Browser, World


@pytest.fixture
async def operator(world: World) -> Browser:
    """A system administrator, over a hub with a node away, one that lags and three exchanges."""
    world.hub.running = operations(
        node("tax-1", "taxoffice", size=37, age_ms=45_000),
        node("tax-2", "taxoffice", connected=False, age_ms=420_000, version=""),
        exchanges=(
            exchange("a" * 32),
            exchange("b" * 32, state="finished", mode="query", done=5, total=0, unit="records", ended_ms=NOW_MS - 500),
            exchange("c" * 32, state="failed", mode="<b>new</b>", reason="PEER_OFFLINE: <i>gone</i>", ended_ms=NOW_MS),
        ),
    )
    browser = await world.logged_in("operator", Role.SYSTEM_ADMIN)
    await browser.get("/language/en")
    return browser


def rows(text: str) -> list[str]:
    """What stands in the rows of the table, without marks."""
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in re.findall(r"<tr>.*?</tr>", body, re.DOTALL)]


async def test_nodes_are_listed_with_what_each_has_confirmed_and_the_alarms_above(operator: Browser) -> None:
    text = (await operator.get("/operations")).text
    assert rows(text) == [
        "税务局 tax-2 Away – 25 days none 7 minutes",
        "税务局 tax-1 Up 1.0 25 days 3 entries, 45 seconds under a minute",
        "第一银行 bank-1 Up 2.7 25 days none under a minute",
    ]
    assert "tax-2 has been away for 7 minutes." in text
    assert "tax-1 has not confirmed 3 entries of its consent log for 45 seconds." in text
    assert text.index("tax-2 has been away") < text.index("<tbody>")


async def test_filters_and_order_are_in_the_url_and_in_that_of_the_live_part(operator: Browser) -> None:
    text = (await operator.get("/operations?member=tax&state=up&sort=-certificate")).text
    assert [row.split()[1] for row in rows(text)] == ["tax-1"]
    live = re.search(r'data-live="([^"]+)"', text)
    assert live is not None
    path = live.group(1).replace("&amp;", "&")
    assert path.startswith("/operations/live?") and "state=up" in path and "sort=-certificate" in path
    piece = (await operator.get(path)).text
    assert "tax-1" in piece and "bank-1" not in piece


@pytest.mark.parametrize("order", ["member", "node", "state", "version", "certificate", "lag", "checkpoint"])
async def test_every_order_shows_every_node_and_turns_round(operator: Browser, order: str) -> None:
    up = rows((await operator.get(f"/operations?sort={order}")).text)
    down = rows((await operator.get(f"/operations?sort=-{order}")).text)
    assert len(up) == 3 and sorted(up) == sorted(down)


async def test_exchanges_are_shown_with_their_progress_and_what_others_wrote_is_escaped(operator: Browser) -> None:
    text = (await operator.get("/operations/exchanges")).text
    assert len(rows(text)) == 3
    assert '<progress max="120" value="30"' in text and "30 / 120 batches" in text and "5 records" in text
    assert "&lt;i&gt;gone&lt;/i&gt;" in text and "<i>gone</i>" not in text and "<b>new</b>" not in text
    going_on = (await operator.get("/operations/exchanges?state=open&mode=joint&node=bank")).text
    assert len(rows(going_on)) == 1
    assert len(rows((await operator.get("/operations/exchanges?state=finished")).text)) == 1


async def test_a_filter_that_makes_no_sense_is_told_and_does_not_count(operator: Browser) -> None:
    page = await operator.get("/operations?state=<script>&member=" + "x" * 61)
    assert page.status_code == 200 and "Choose from the list." in page.text and "at most 60 fit" in page.text
    assert len(rows(page.text)) == 3 and "<script>&" not in page.text
    answer = await operator.client.get("/api/v1/operations?state=nonsense")
    assert (answer.status_code, list(answer.json()["faults"])) == (422, ["state"])


async def test_a_hub_that_does_not_answer_is_the_alarm_and_the_page_still_stands(
    operator: Browser, world: World
) -> None:
    world.hub.refuses = hub_away()
    for path in ("/operations", "/operations/exchanges", "/operations/live", "/operations/exchanges/live"):
        page = await operator.get(path)
        assert page.status_code == 200 and "The hub does not answer." in page.text, path
    told = (await operator.client.get("/api/v1/operations")).json()
    assert (told["hub"], told["nodes"], told["alarms"][0]["kind"]) == ("away", [], "hub_away")


async def test_a_members_administrator_sees_its_own_nodes_and_exchanges_only(world: World) -> None:
    foreign = exchange("d" * 32, requester="otherbank", requester_node="other-1")
    late = node("tax-1", "taxoffice", connected=False, acknowledged=(), certificate_ends_ms=NOW_MS + DAY_MS)
    world.hub.running = operations(late, exchanges=(exchange(), foreign))
    browser = await world.logged_in("chief", Role.INSTITUTION_ADMIN, "firstbank")
    seen = (await browser.get("/operations?node=tax")).text + (await browser.get("/operations")).text
    assert "bank-1" in seen and "tax-1" not in seen and "taxoffice" not in seen
    exchanges = (await browser.get("/operations/exchanges")).text
    assert "bank-1" in exchanges and "other-1" not in exchanges
    told = (await browser.client.get("/api/v1/operations/exchanges?member=otherbank")).json()
    assert (told["exchanges"], told["alarms"]) == ([], [])
    assert set(world.hub.watched) == {"firstbank"}


async def test_the_api_tells_the_same_in_the_language_of_the_visitor(operator: Browser) -> None:
    told = (await operator.client.get("/api/v1/operations?sort=node")).json()
    assert [each["node_id"] for each in told["nodes"]] == ["bank-1", "tax-1", "tax-2"]
    assert told["nodes"][1]["behind"] == 3 and told["nodes"][1]["lag_ms"] == 45_000
    assert [alarm["kind"] for alarm in told["alarms"]] == ["node_away", "consent_lag"]
    await operator.get("/language/zh")
    again = (await operator.client.get("/api/v1/operations")).json()
    assert [alarm["about"] for alarm in again["alarms"]] == ["tax-2", "tax-1"]
    assert "tax-2" in again["alarms"][0]["text"] and "away" not in again["alarms"][0]["text"]


async def test_a_live_part_is_sent_at_once_and_then_only_when_it_has_changed() -> None:
    looks = iter(["one", "one", "two", "two", "one"])

    async def look() -> str:
        return next(looks, "end")

    seen = []
    async for piece in changes(look, every_s=0, for_s=5):
        seen.append(piece)
        if piece == "end":
            break
    assert seen == ["one", "two", "one", "end"]


async def test_a_live_part_that_was_served_long_enough_lets_the_browser_ask_anew(operator: Browser) -> None:
    answer = await operator.get("/operations/live")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("data: ") and "event: end" not in answer.text
