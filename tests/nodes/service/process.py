"""`xinqiao score serve` as a process, and a program that asks it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@contextmanager
def served(home: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Run it on free ports; yields what it says that it serves. It must end well when it is told to."""
    ports = ("--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0")
    command = [sys.executable, "-m", "cli.main", "score", "serve", "--home", str(home), *ports, "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said


def ask(url: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """POST /v1/score: status and document."""
    where = urlsplit(url)
    assert where.hostname is not None
    with closing(HTTPConnection(where.hostname, where.port, timeout=60)) as connection:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/score", json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
