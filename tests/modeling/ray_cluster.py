"""A Ray cluster of this machine for tests: two workers, little memory, no dashboard, nothing reported to anybody."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_START_S = 60.0


@contextmanager
def ray_cluster(imports: Path) -> Iterator[str]:
    """Its address. `imports`: a folder whose modules its workers find."""
    home = Path(tempfile.mkdtemp(prefix="xqray"))  # short: sockets lie below it
    port = _free_port()
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # it listens on more than the loopback
    os.environ.update(secret)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(imports), *filter(None, sys.path)]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "GRPC_ENABLE_FORK_SUPPORT": "0",  # else the client's server, which forks, hangs once in a while
        "RAY_TMPDIR": str(home),
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
    command += ["--node-ip-address=127.0.0.1", "--port=0", f"--ray-client-server-port={port}"]
    command += ["--include-dashboard=false", "--object-store-memory=80000000"]
    with (home / "log").open("wb") as log:
        head = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(port, head, home / "log")
            yield f"ray://127.0.0.1:{port}"
        finally:
            head.terminate()  # it ends what it started
            with suppress(subprocess.TimeoutExpired):
                head.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(head.pid, signal.SIGKILL)
            head.wait()
            for name in secret:
                del os.environ[name]
            shutil.rmtree(home, ignore_errors=True)


def _wait_for(port: int, head: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and head.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the cluster did not start: {log.read_text(encoding='utf-8')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
