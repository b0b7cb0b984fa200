"""A wide area link on one machine: two network namespaces, a packet device (TUN) in each, and a process that carries the packets.

The kernel's token bucket filter (`tc … tbf`) limits the rate of each direction; the carrier holds each packet back for half the round
trip. The latter is what netem does; but many kernels are built without it, and every Linux has TUN. Only for root, with `ip` and `tc`.
"""

from __future__ import annotations

import ctypes
import fcntl
import multiprocessing
import os
import select
import shutil
import struct
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

NAMES: Final = ("xqwan0", "xqwan1")
"""Of namespaces and devices."""
ADDRESSES: Final = ("10.213.7.1", "10.213.7.2")
_TUNSETIFF: Final = 0x400454CA
_TUN: Final = 0x0001 | 0x1000
"""Packets of IP, without a header before them."""
_CLONE_NEWNET: Final = 0x40000000
_PACKET: Final = 1 << 16


def missing() -> str:
    """What such a link lacks here; nothing if it can be made."""
    lacks = [name for name in ("ip", "tc") if shutil.which(name) is None]
    if os.geteuid() != 0:
        lacks.append("root")
    if not Path("/dev/net/tun").exists():
        lacks.append("/dev/net/tun")
    return ", ".join(lacks)


@contextmanager
def wan_link(rate_mbit: int, round_trip_s: float) -> Iterator[None]:
    """Both namespaces, connected. Raises RuntimeError if a device cannot be made."""
    devices = [_device(name) for name in NAMES]
    carrier = multiprocessing.get_context("fork").Process(target=_carry, args=(devices, round_trip_s / 2), daemon=True)
    carrier.start()
    try:
        for name, own, other in zip(NAMES, ADDRESSES, reversed(ADDRESSES), strict=True):
            _run("ip", "netns", "add", name)
            _run("ip", "link", "set", name, "netns", name)
            _run("ip", "-n", name, "addr", "add", own, "peer", other, "dev", name)
            _run("ip", "-n", name, "link", "set", name, "txqueuelen", "10000", "up")
            rate = ("rate", f"{rate_mbit}mbit", "burst", "32kb", "latency", "100ms")
            _run("tc", "-n", name, "qdisc", "add", "dev", name, "root", "tbf", *rate)
        yield
    finally:
        carrier.kill()
        carrier.join()
        for device in devices:
            os.close(device)
        for name in NAMES:
            with suppress(RuntimeError):
                _run("ip", "netns", "delete", name)


def enter(name: str) -> None:
    """Move the calling process into that namespace for good."""
    with (Path("/run/netns") / name).open() as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {name}")


def _device(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _TUN))
    return device


def _carry(devices: list[int], delay_s: float) -> None:
    """Each packet goes into the other device when it has been under way for so long."""
    others = dict(zip(devices, reversed(devices), strict=True))
    under_way: deque[tuple[float, int, bytes]] = deque()
    while True:
        wait_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for device in select.select(devices, [], [], wait_s)[0]:
            with suppress(BlockingIOError):
                while True:
                    under_way.append((time.monotonic() + delay_s, others[device], os.read(device, _PACKET)))
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, device, packet = under_way.popleft()
            with suppress(OSError):  # a device that is not up yet, or not any more
                os.write(device, packet)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
