"""Two parties with their own databases, as in the exchanges."""

from __future__ import annotations

from tests.nodes.exchanges.conftest import parties

__all__ = ["parties"]
