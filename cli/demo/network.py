"""A hub and its nodes as real processes on loopback, set up through the command as an operator would.

Also the ground on which end-to-end tests and benchmarks stand: processes can be killed and started again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from xinqiao.v1 import admin_pb2, agent_pb2

from cli import rpc
from cli.operator import WHOM, hub
from nodes.client import AgentClient
from portal.settings import load_settings

START_S: Final = 30.0


class DemoFailed(Exception):
    """A step did not do what it should; the message says which, and where its log is."""


@dataclass
class Process:
    """One process of the network and how to start it."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    environment: Mapping[str, str]
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, its output to its log."""
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "cli.main", *self.arguments],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def kill(self) -> None:
        """`kill -9`."""
        if self.popen is not None:
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after ten seconds."""
        if self.popen is None or self.popen.poll() is not None:
            return
        self.popen.terminate()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen is not None and self.popen.poll() is None


def command(*arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run `xinqiao … --json` and return its object. Raises DemoFailed with what it said."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "cli.main", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode != 0:
        raise DemoFailed(
            f"`xinqiao {' '.join(arguments[:2])}` ended with {done.returncode}: {done.stdout}{done.stderr}"
        )
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def is_taken(address: str) -> bool:
    """Whether something listens at host:port."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except OSError:
        return False


def wait_until(what: str, true: Callable[[], bool], seconds: float = START_S) -> None:
    """Poll until something is true. Raises DemoFailed, naming it."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise DemoFailed(f"{what} did not happen within {seconds:.0f} s; look into the logs beside the homes.")
        time.sleep(0.05)


@dataclass
class Network:
    """One hub, and nodes by name. `hub_settings`: settings of the hub, by their names in `hub.settings`."""

    home: Path
    hub_settings: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def hub_home(self) -> Path:
        """The hub's folder."""
        return self.home / "hub"

    @property
    def portal_home(self) -> Path:
        """The portal's folder."""
        return self.home / "portal"

    @property
    def hub_file(self) -> Path:
        """What enterprises pin."""
        return self.home / "hub.json"

    @property
    def operator_key(self) -> Path:
        """The demonstration's operator."""
        return self.hub_home / "operators" / "operator.pem"

    def node_home(self, node_id: str) -> Path:
        """A node's folder."""
        return self.home / node_id

    def agent(self, node_id: str) -> AgentClient:
        """A client of a node's agent."""
        return AgentClient(self.node_home(node_id))

    def start_hub(self) -> None:
        """Initialise and start the hub in an empty home."""
        if self.home.exists():
            shutil.rmtree(self.home)
        self.home.mkdir(parents=True)
        public, node = free_ports(2)
        addresses = ("--public", f"127.0.0.1:{public}", "--node", f"127.0.0.1:{node}")
        environment = {f"XINQIAO_HUB_{name.upper()}": value for name, value in self.hub_settings.items()}
        init = ("hub", "init", "--home", str(self.hub_home), *addresses, "--operator", "operator")
        command(*init, environment=environment)
        self._add("hub", ("hub", "serve", "--home", str(self.hub_home)), environment)
        self.start("hub")
        command("hub", "info", "--home", str(self.hub_home), "--out", str(self.hub_file))

    def admit(self, member_id: str, kind: str, name: str) -> None:
        """Admit an organisation."""
        command("hub", "admit", member_id, "--home", str(self.hub_home), "--name", name, "--kind", kind)

    def add_node(
        self, member_id: str, node_id: str, *, sources: str = "", settings: str = "", wait: bool = True
    ) -> None:
        """Invite, enrol, configure and start a node. Without `wait` it starts while others are set up; see `wait`."""
        invited = command("hub", "invite", member_id, "--home", str(self.hub_home), "--node", node_id)
        home = self.node_home(node_id)
        command("node", "enrol", "--home", str(home), "--token", str(invited["token"]))
        if settings:
            with (home / "node.toml").open("a", encoding="utf-8") as file:
                file.write(settings)
        if sources:
            (home / "sources.toml").write_text(sources, encoding="utf-8")
        self._add(node_id, ("node", "serve", "--home", str(home)), {})
        self.processes[node_id].start()
        if wait:
            self.wait(node_id)

    def start_portal(self) -> None:
        """Start a portal that was made beside this hub, and wait until it serves."""
        self._add("portal", ("portal", "serve", "--home", str(self.portal_home)), {})
        self.start("portal")

    def start(self, name: str) -> None:
        """Start a process and wait until it serves."""
        self.processes[name].start()
        self.wait(name)

    def wait(self, *names: str) -> None:
        """Wait until these processes serve, or all of them if none is named. Raises DemoFailed."""
        for name in names or self.processes:
            wait_until(f"{name} serves", lambda name=name: self._serves(name))  # type: ignore[misc]

    def restart(self, name: str) -> None:
        """Stop in order and start again."""
        self.processes[name].stop()
        self.start(name)

    def stop(self) -> None:
        """Stop everything, nodes first."""
        for process in reversed(list(self.processes.values())):
            process.stop()

    def _add(self, name: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.processes[name] = Process(name, arguments, self.home / f"{name}.log", environment)

    def _serves(self, name: str) -> bool:
        process = self.processes[name]
        if not process.alive:
            tail = process.log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise DemoFailed(f"{name} ended at once; its log says: {tail}")
        try:
            if name == "hub":
                with hub(self.hub_home) as stub:
                    return bool(rpc.call(stub.GetStatus, admin_pb2.GetStatusRequest(), whom=WHOM).time_ms)
            if name == "portal":
                return is_taken(load_settings(self.portal_home).listen)
            with self.agent(name) as agent:
                return bool(agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).connected)
        except Exception as error:
            if isinstance(error, DemoFailed) or getattr(error, "code", None) is not None:
                return False
            raise
