"""The day in China, on which what is valid is valid."""

from __future__ import annotations

from datetime import date, datetime

from consent.identifiers import CHINA_TIME


def today(now_ms: int) -> date:
    """The day of a time in milliseconds since the epoch."""
    return datetime.fromtimestamp(now_ms / 1000, CHINA_TIME).date()
