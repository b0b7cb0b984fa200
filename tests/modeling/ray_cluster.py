"""A Ray cluster of this machine for tests, started as an operator would: little memory, no dashboard, nothing reported to anybody."""

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_START_S = 60.0
_AT_WORK = "ray::applied"
"""What Ray calls a worker with a task of ours."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass
class RayCluster:
    """`folder`: with one for each machine in it; short, for sockets lie there. `imports`: where its workers find modules.

    `token`: what lets into the cluster; in the environment of all that is started while it stands. `machines`: their processes.
    """

    folder: Path
    imports: Path
    token: str
    machines: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _port: int = field(default_factory=_free_port)
    _client_port: int = field(default_factory=_free_port)

    @property
    def address(self) -> str:
        """What an operator names."""
        return f"ray://127.0.0.1:{self._client_port}"

    def start(self, cpus: Sequence[int]) -> None:
        """Its machines, with so many workers each; the first is the head."""
        head = ["--head", f"--port={self._port}", f"--ray-client-server-port={self._client_port}"]
        self._start([*head, "--include-dashboard=false"], cpus[0])
        self._wait_for(lambda: _listens(self._port))
        for count in cpus[1:]:
            self._start([f"--address=127.0.0.1:{self._port}"], count)
        self._wait_for(lambda: _listens(self._client_port))
        joined = [self._log(place) for place in range(1, len(cpus))]
        self._wait_for(lambda: all(b"runtime started" in log.read_bytes() for log in joined))

    def kill(self, machine: int) -> None:
        """`kill -9` of all that a machine runs."""
        with suppress(ProcessLookupError):
            os.killpg(self.machines[machine].pid, signal.SIGKILL)
        self.machines[machine].wait()

    def at_work(self) -> int:
        """A machine that has a task of ours at this moment; waits for one."""
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            with suppress(OSError):
                groups = [os.getpgid(_parent(pid)) for pid in self.processes(_AT_WORK)]
                working = [place for place, machine in enumerate(self.machines) if machine.pid in groups]
                if working:
                    return working[0]
        raise RuntimeError("no machine has been at work")

    def processes(self, name: str = "") -> list[int]:
        """Those with the token that have this name in their command: the cluster's, and what was started meanwhile."""
        return [
            int(each.name)
            for each in Path("/proc").glob("[0-9]*")
            if name.encode() in _read(each / "cmdline").replace(b"\0", b" ")
            and self.token.encode() in _read(each / "environ")
        ]

    def stop(self) -> None:
        """All machines."""
        for place in range(len(self.machines)):
            self.kill(place)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, place: Sequence[str], cpus: int) -> None:
        own = self.folder / str(len(self.machines))
        own.mkdir()
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *place]
        command += [
            f"--num-cpus={cpus}",
            "--include-log-monitor=false",
            "--object-store-memory=80000000",
            f"--temp-dir={own}",
        ]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(self.imports), *filter(None, sys.path)]),
            "RAY_USAGE_STATS_ENABLED": "0",
            "GRPC_ENABLE_FORK_SUPPORT": "0",  # else the client's server, which forks, hangs once in a while
            "RAY_health_check_period_ms": "200",  # that a machine is gone is known in a second, not in fifteen
        }
        with self._log(len(self.machines)).open("wb") as log:
            self.machines.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            )

    def _log(self, machine: int) -> Path:
        return self.folder / str(machine) / "log"

    def _wait_for(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + _START_S
        while not true():
            if time.monotonic() > until or any(machine.poll() is not None for machine in self.machines):
                said = [self._log(place).read_text(encoding="utf-8")[-2000:] for place in range(len(self.machines))]
                raise RuntimeError(f"the cluster did not start: {said}")
            time.sleep(0.05)


@contextmanager
def ray_cluster(imports: Path) -> Iterator[RayCluster]:
    """One that is not started yet, and its token in the environment."""
    token = secrets.token_hex(32)
    cluster = RayCluster(Path(tempfile.mkdtemp(prefix="xqray")), imports, token)
    clients = {
        "RAY_AUTH_MODE": "token",  # it listens on more than the loopback
        "RAY_AUTH_TOKEN": token,
        "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "1",
    }
    os.environ.update(clients)
    try:
        yield cluster
    finally:
        cluster.stop()
        for name in clients:
            del os.environ[name]


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or is another's
        return b""


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
