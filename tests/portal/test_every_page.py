"""What holds for every page that anybody can open, of subjects that are still to come, too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from urllib.parse import urlsplit

import pytest

from portal.permissions import ROUTES
from tests.portal.everybody import NOT_WALKED, Opened, Seen, everybody, walk_all
from tests.portal.world import World

NAMED_BY_ITSELF = {"hidden", "submit", "button"}


async def test_every_page_is_found_by_its_links_and_is_well_formed(world: World) -> None:
    opened = await walk_all(await everybody(world))
    pages = {route for route in ROUTES if route.startswith("GET ") and "/api/" not in route}
    missing = pages - {each.route for each in opened} - NOT_WALKED
    assert not missing, f"no link leads there, give tests/portal/everybody.py something to show: {sorted(missing)}"
    wrong = [(each.name, each.path, fault) for each in opened if each.text for fault in faults(each)]
    assert not wrong, wrong


def faults(opened: Opened) -> list[str]:
    """What is wrong with a page: its language, headings, names of its controls, and what it would load or run."""
    seen = opened.seen
    found = [] if 'lang="zh-CN"' in opened.text else ["no language"]
    found += headings(seen.headings)
    ids = seen.values("id")
    found += [f"two of id {each}" for each in set(ids) if ids.count(each) > 1]
    found += [f"{each} names nothing" for each in seen.values("for") if each not in ids]
    found += [
        f"{each} describes nothing"
        for text in seen.values("aria-describedby")
        for each in text.split()
        if each not in ids
    ]
    found += unnamed(seen)
    found += [
        f"{tag} in the page" for tag, has in seen.tags if tag == "style" or (tag == "script" and "src" not in has)
    ]
    found += [f"{name} in the page" for _, has in seen.tags for name in has if name == "style" or name.startswith("on")]
    loaded = seen.values("src") + [has.get("href", "") for tag, has in seen.tags if tag == "link"]
    found += [f"{each} is of another host" for each in loaded if urlsplit(each).scheme not in {"", "data"}]
    return found


def headings(levels: Sequence[int]) -> list[str]:
    """One first heading, before all others, and no level left out."""
    jumps = [f"h{two} after h{one}" for one, two in pairwise(levels) if two > one + 1]
    return jumps + ([] if levels.count(1) == 1 and levels[0] == 1 else [f"headings {list(levels)}"])


def unnamed(seen: Seen) -> list[str]:
    """Controls without a label."""
    labels = set(seen.values("for"))
    return [
        f"{tag} {has.get('name', '')} has no label"
        for tag, has in seen.tags
        if tag in {"input", "select", "textarea"} and has.get("type", "") not in NAMED_BY_ITSELF
        if has.get("id", "") not in labels and not has.get("aria-label")
    ]


@pytest.mark.parametrize(
    "body",
    [
        "<h1>x</h1><h3>y</h3>",
        "<h2>x</h2>",
        "<h1>x</h1><input name=a>",
        "<h1 onclick=x>x</h1>",
        "<h1 style=x>x</h1>",
        "<h1>x</h1><script>1</script>",
        "<h1>x</h1><img src=https://elsewhere.example/x>",
        "<h1 id=a>x</h1><p id=a>",
        "<h1>x</h1><label for=a>",
    ],
)
def test_a_page_that_is_not_well_formed_is_found_out(body: str) -> None:
    page = Opened("", "", "/", f'<html lang="zh-CN">{body}')
    assert len(faults(page)) == 1, faults(page)
    assert not re.search("<h1>x</h1>$", body)
