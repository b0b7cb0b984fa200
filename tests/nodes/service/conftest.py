from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from nodes.service.agent import AgentLink
from nodes.service.keys import RIGHTS
from nodes.service.schema import open_store
from nodes.service.server import Assembly, assemble
from nodes.store import Store
from tests.consent.builders import OTHER_USCC, USCC
from tests.nodes.service.agent import SimulatedAgent, serving

NOW_MS = 1_790_000_000_000
FEATURES = {"years": 4.0, "branch": "Xiamen"}


@dataclass
class World:
    """The service behind its gate, beside a simulated agent on a real socket."""

    home: Path
    agent: SimulatedAgent
    made: Assembly
    store: Store
    client: httpx.AsyncClient
    now_ms: list[int]
    keys: dict[str, str] = field(default_factory=dict)

    async def key(self, name: str = "portal", **options: Any) -> str:
        """A key by its name, made at its first use: with all rights unless told otherwise."""
        if name not in self.keys:
            given = {"rights": RIGHTS, "user": "li", "per_minute": 100_000} | options
            self.keys[name] = (await self.made.keys.create(name, **given)).text
        return self.keys[name]

    async def post(self, path: str, body: Any, *, key: str | None = None, **headers: str) -> httpx.Response:
        """POST with the usual key, or another one."""
        sent = {"Authorization": f"Bearer {key or await self.key()}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if isinstance(body, bytes):
            return await self.client.post(path, content=body, headers=sent | {"Content-Type": "application/json"})
        return await self.client.post(path, json=body, headers=sent)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """GET with the usual key."""
        return await self.client.get(path, headers={"Authorization": f"Bearer {await self.key()}"} | headers)

    async def score(self, *subjects: str, key: str | None = None, model: str = "", **headers: str) -> httpx.Response:
        """Ask for scores of these, or of one."""
        return await self.post("/v1/score", question(*subjects, model=model), key=key, **headers)


def question(*subjects: str, model: str = "", features: Any = None) -> dict[str, Any]:
    """A valid body."""
    chosen: Sequence[str] = subjects or (USCC,)
    told = {"model": model} if model else {}
    given = FEATURES if features is None else features
    return told | {"subjects": [{"uscc": uscc, "features": given} for uscc in chosen], "reason": "loan application"}


@pytest.fixture
def two() -> tuple[str, str]:
    return USCC, OTHER_USCC


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        agent, now_ms = SimulatedAgent(), [NOW_MS]
        await stack.enter_async_context(serving(tmp_path, agent))
        store = open_store(tmp_path)
        stack.push_async_callback(store.close)
        link = await stack.enter_async_context(AgentLink(tmp_path))
        made = assemble(store, link, lambda: now_ms[0])
        stack.push_async_callback(made.service.close)
        await made.roles.appoint("champion", "m-1", user="li", reason="begin")
        transport = httpx.ASGITransport(app=made.gate)  # type: ignore[arg-type]
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://service"))
        yield World(tmp_path, agent, made, store, client, now_ms)
