"""What visitors read: the published texts in lists, one, and by full-text search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, select

from portal.content import fields
from portal.content.kinds import PATHS, Kind
from portal.content.search import grams, index
from portal.content.search.ranking import rank
from portal.content.service import Version, told
from portal.content.tables import contents
from portal.states import PUBLISHED
from portal.text import Text
from portal.web import listing
from portal.web.listing import Asked, Found, Listing, Order

HITS: Final = 20
MOST_PAGES: Final = 50
SNIPPET: Final[Mapping[str, int]] = {"zh": 120, "en": 220}
ROWS: Final[Mapping[Kind, int]] = {Kind.FAQ: 20}
_PUBLISHED: Final = Order(name="published", title=Text("Published on"), column=contents.c.published_ms)
_EFFECTIVE: Final = Order(name="effective", title=Text("In force from"), column=contents.c.effective)
_CHANGED: Final = Order(name="changed", title=Text("Changed"), column=contents.c.changed_ms)

LISTINGS: Final[Mapping[Kind, Listing]] = {
    kind: Listing(path=path, filters=(), orders=(_PUBLISHED,), key=contents.c.number, first="-published")
    for kind, path in PATHS.items()
} | {
    Kind.POLICY: Listing(
        path=PATHS[Kind.POLICY],
        filters=(fields.SCOPE, fields.SINCE, fields.UNTIL),
        orders=(_EFFECTIVE, _PUBLISHED),
        key=contents.c.number,
        first="-effective",
    )
}
WORK: Final = Listing(
    path="/content", filters=(fields.KIND, fields.STATE), orders=(_CHANGED,), key=contents.c.number, first="-changed"
)


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A text that answers a query: its title and the stretch where most of the query stands."""

    version: Version
    title: Sequence[grams.Piece]
    snippet: Sequence[grams.Piece]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One page of hits. `total`: how many texts answer."""

    hits: Sequence[Hit]
    total: int
    more: bool


def listed(connection: Connection, kind: Kind, asked: Asked) -> Found:
    """One page of what is published of a kind."""
    wanted = select(contents).where(contents.c.state == PUBLISHED, contents.c.kind == kind.value)
    if region := asked.values.get("region"):
        wanted = wanted.where(contents.c.province == region)
    if since := asked.values.get("since"):
        wanted = wanted.where(contents.c.effective >= since)
    if until := asked.values.get("until"):
        wanted = wanted.where(contents.c.effective <= until, contents.c.effective != "")
    return LISTINGS[kind].page(connection, wanted, asked, rows=ROWS.get(kind, listing.ROWS))


def work(connection: Connection, asked: Asked) -> Found:
    """One page of all versions, for editors and reviewers."""
    wanted: Select[Any] = select(contents)
    for name in ("kind", "state"):
        if value := asked.values.get(name):
            wanted = wanted.where(contents.c[name] == value)
    return WORK.page(connection, wanted, asked)


def search(connection: Connection, query: str, *, kind: str = "", page: int = 1, language: str = "zh") -> Answer:
    """One page (from 1) of what answers a query, the best first; of one kind or, if it is empty, of all."""
    terms = grams.terms(query)
    kept_to = [frozenset({grams.of_kind(kind)})] if kind else []
    ranked = rank([*terms, *kept_to] if terms else [], index.read(connection, frozenset[str]().union(*terms, *kept_to)))
    shown = [int(number) for number in ranked[(page - 1) * HITS : page * HITS]]
    rows = connection.execute(select(contents).where(contents.c.number.in_(shown)))
    by_number = {row.number: told(row) for row in rows}
    return Answer(
        hits=[_hit(by_number[number], terms, language) for number in shown],
        total=int(ranked.size),
        more=ranked.size > page * HITS and page < MOST_PAGES,
    )


def _hit(version: Version, terms: Sequence[frozenset[str]], language: str) -> Hit:
    """Title and stretch in the reader's language, if there is something to see in it, else in the other one."""
    written = version.written
    both = [(written.title, version.plain), (written.title_en, version.plain_en)]
    told = [
        (grams.highlight(title, terms, len(title)), grams.highlight(text.replace("\n", " "), terms, SNIPPET[language]))
        for title, text in (both if language != "en" else both[::-1])
        if title
    ]
    title, snippet = next((each for each in told if any(piece.hit for part in each for piece in part)), told[0])
    return Hit(version=version, title=title, snippet=snippet)
