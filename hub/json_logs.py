"""Structured logs: one JSON object a line, with an event name and identifiers, never content.

Rules:
1. Only the fields of `FIELDS` are written beside time, level, logger and message: a payload or an enterprise's code that
   somebody passes by mistake goes nowhere.
2. Of an exception its type and the places that it passed through are written, not its text: drivers put statements and values
   into it.
3. The calling node and member are added where a call is being served.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from hub.auth import caller
from hub.errors import HubError

FIELDS: Final = (
    "event",
    "code",
    "exchange",
    "origin",
    "index",
    "method",
    "ms",
    "state",
    "incident",
    "address",
    "version",
)
_PLACES: Final = 12


class JsonFormatter(logging.Formatter):
    """See the module."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        line |= _who()
        if record.exc_info and record.exc_info[1] is not None:
            line |= _failure(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Write all logs of this process as JSON. Only `main` calls this."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _who() -> dict[str, str]:
    try:
        who = caller()
    except HubError:
        return {}
    return {"node": who.node_id, "member": who.member_id}


def _failure(problem: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(problem.__traceback__)[-_PLACES:]
    kinds = [f"{type(problem).__module__}.{type(problem).__qualname__}"]
    cause = problem.__cause__
    while cause is not None and len(kinds) < _PLACES:
        kinds.append(f"{type(cause).__module__}.{type(cause).__qualname__}")
        cause = cause.__cause__
    return {
        "failure": kinds,
        "places": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }
