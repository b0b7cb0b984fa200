"""Rich text: CommonMark with tables, made safe.

Rules:
1. HTML in the text is shown as text; there are no pictures.
2. A link leads to an http or https address, or to a page of ours; anything else stays text.
3. Headings begin at the second level, whatever the author began with: the page's title is the first.
4. No attribute of style, which pages may not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

_LINK: Final = re.compile(r"https?://[^\s/]|/(?![/\\])", re.IGNORECASE)
_OURS: Final = "/"


class _Safe(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        """Rule 2."""
        return _LINK.match(url) is not None


_MARKDOWN: Final = _Safe("commonmark", {"html": False}).enable("table").disable(["image", "html_block", "html_inline"])


def render(text: str) -> str:
    """A text as HTML that may stand in a page (rules above)."""
    tokens = _MARKDOWN.parse(text)
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    shift = 2 - min(levels, default=2)
    for token in _all(tokens):
        token.attrs.pop("style", None)
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + shift)}"
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "link_open" and not str(token.attrGet("href")).startswith(_OURS):
            token.attrSet("rel", "noopener nofollow external")
    html: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")


def plain(text: str) -> str:
    """What is read of a text: its words without marks, a line for each paragraph."""
    lines = []
    for token in _MARKDOWN.parse(text):
        if token.type in {"fence", "code_block"}:
            lines.append(token.content)
        elif token.type == "inline":
            lines.append("".join(_words(token.children or ())))
    return "\n".join(line.strip() for line in lines)


def _words(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        yield " " if token.type in {"softbreak", "hardbreak"} else token.content


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())
