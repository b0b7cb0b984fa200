"""The kinds of content, and where visitors read them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from portal.text import Text


class Kind(StrEnum):
    """What a text is."""

    KNOWLEDGE = "knowledge"
    POLICY = "policy"
    FAQ = "faq"
    ANNOUNCEMENT = "announcement"


TITLES: Final[Mapping[Kind, Text]] = {
    Kind.KNOWLEDGE: Text("Finance knowledge"),
    Kind.POLICY: Text("Financing policies"),
    Kind.FAQ: Text("Frequent questions"),
    Kind.ANNOUNCEMENT: Text("Announcements"),
}
ONE: Final[Mapping[Kind, Text]] = {
    Kind.KNOWLEDGE: Text("Article"),
    Kind.POLICY: Text("Policy"),
    Kind.FAQ: Text("Question and answer"),
    Kind.ANNOUNCEMENT: Text("Announcement"),
}
PATHS: Final[Mapping[Kind, str]] = {
    Kind.KNOWLEDGE: "/knowledge",
    Kind.POLICY: "/policies",
    Kind.FAQ: "/faq",
    Kind.ANNOUNCEMENT: "/announcements",
}
