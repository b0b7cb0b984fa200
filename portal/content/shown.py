"""A text as somebody reads it: in the reader's language if it is written in that, its rich text as safe HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from portal.content.kinds import PATHS
from portal.content.markdown import render
from portal.content.service import Version
from portal.web.i18n import html_name

_SENTENCE: Final = 16
_TEASER: Final = {"zh-CN": 90, "en": 180}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """`language`: the one it is shown in, as HTML names it; `teaser`: how it begins."""

    version: Version
    path: str
    title: str
    language: str
    teaser: str

    @property
    def body(self) -> Markup:
        """The text as HTML."""
        written = self.version.written
        text = written.body_en if self.language == html_name("en") else written.body
        return Markup(render(text))  # noqa: S704 (made safe by `portal.content.markdown`)


def shown(version: Version, language: str) -> Shown:
    """A version for a reader of one language; in Chinese where it has no English."""
    written = version.written
    english = language == "en" and bool(written.title_en)
    name = html_name("en" if english else "zh")
    return Shown(
        version=version,
        path=f"{PATHS[version.kind]}/{version.content_id}",
        title=written.title_en if english else written.title,
        language=name,
        teaser=_teaser(version.plain_en if english else version.plain, _TEASER[name]),
    )


def _teaser(plain: str, longest: int) -> str:
    """The first paragraph that is more than a heading."""
    lines = plain.splitlines()
    first = next((line for line in lines if len(line) > _SENTENCE), plain)
    return first[:longest] + ("…" if len(first) > longest else "")
