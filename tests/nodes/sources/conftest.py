"""A bureau in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nodes.sources.bureau import Bureau


@pytest.fixture
def bureau(tmp_path: Path) -> Bureau:
    return Bureau(tmp_path)
