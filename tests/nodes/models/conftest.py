from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.consent.model_builders import OTHER_NODE, OWNER_NODE, PROVIDER_NODE
from tests.nodes.models.world import SECOND_NODE, World, make_world
from trust.sm2 import PrivateKey


@pytest.fixture(scope="session")
def node_keys() -> dict[str, PrivateKey]:
    return {node: PrivateKey.generate() for node in (OWNER_NODE, PROVIDER_NODE, SECOND_NODE, OTHER_NODE)}


@pytest.fixture
async def world(tmp_path: Path, node_keys: dict[str, PrivateKey]) -> AsyncIterator[World]:
    made = await make_world(tmp_path, node_keys)
    yield made
    for store in made.stores.values():
        await store.close()
