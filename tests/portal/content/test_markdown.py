from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.content.markdown import plain, render

ALLOWED = {
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "p",
    "ul",
    "ol",
    "li",
    "strong",
    "em",
    "code",
    "pre",
    "blockquote",
    "hr",
    "br",
    "a",
}
TABLE = {"table", "thead", "tbody", "tr", "th", "td", "div"}


class Seen(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html;base64,xx)",
        "[x](//evil.example)",
        "[x](/\\evil.example)",
        "[x](vbscript:x)",
        '[x](https://good.example/"onclick=alert(1))',
        "![x](https://tracker.example/pixel.gif)",
        "<javascript:alert(1)>",
        "| a |\n|:-:|\n| <b onclick=x>c</b> |",
        '"><script>alert(1)</script>',
    ],
)
def test_what_an_author_may_not_do_stays_text(text: str) -> None:
    seen = Seen(render(text))
    assert seen.tags <= ALLOWED | TABLE
    assert all(name in {"href", "rel", "scope", "class", "title", "start"} for name, _ in seen.attributes)
    assert all(re.match("https?://[^/]|/(?![/\\\\])", value or "") for name, value in seen.attributes if name == "href")


@settings(deadline=None)
@given(st.text(alphabet="<>[]()!#*_`|-:/\\\"' \nahscripttpjv:&;x", max_size=60))
def test_no_text_becomes_anything_but_the_allowed(text: str) -> None:
    seen = Seen(render(text))
    assert seen.tags <= ALLOWED | TABLE
    assert {name for name, _ in seen.attributes} <= {"href", "rel", "scope", "class", "title", "start"}


def test_headings_begin_at_the_second_level_whatever_the_author_began_with() -> None:
    assert render("# a\n## b") == "<h2>a</h2>\n<h3>b</h3>\n"
    assert render("### a\n#### b") == "<h2>a</h2>\n<h3>b</h3>\n"


def test_a_link_leads_to_a_page_of_ours_or_tells_that_it_leads_away() -> None:
    assert render("[授权](/consents)") == '<p><a href="/consents">授权</a></p>\n'
    assert 'rel="noopener nofollow external"' in render("[x](https://example.org/a)")


def test_a_table_scrolls_by_itself_and_heads_its_columns() -> None:
    html = render("| a | b |\n|:-:|---|\n| 1 | 2 |")
    assert '<div class="wide"><table>' in html and '<th scope="col">a</th>' in html and "style" not in html


def test_what_is_read_of_a_text_has_its_words_and_none_of_its_marks() -> None:
    assert plain("# 标题\n\n**授权** 与[撤回](/consents)\n下一行\n\n- 一\n- 二\n\n| a | b |\n|---|---|\n| c | d |") == (
        "标题\n授权 与撤回 下一行\n一\n二\na\nb\nc\nd"
    )
