"""The command's clock and new identifiers: here only, so that everything below takes them as arguments."""

from __future__ import annotations

import time
import uuid


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A random identifier (UUID 4)."""
    return str(uuid.uuid4())
