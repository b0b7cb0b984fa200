"""growth.wan_*: what a link of 100 Mbit/s and 10 ms round trip adds to a training, against what its bytes and rounds say it may.

The same two parties on the same rows over TCP, once within the machine and once over the link (`bench/wan_link.py`); predicted are all
bytes at the link's rate and a round trip whenever the bank waits for an answer. Less is added where computing and sending overlap.
Only for root.
"""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, Final

from bench.growth import Pair, Spent, boosting, logistic
from bench.network import say
from bench.wan_link import ADDRESSES, NAMES, enter, missing, wan_link
from modeling.channel import Channel
from modeling.local import Party, SocketChannel
from modeling.messages import Message

RATE_MBIT: Final = 100
ROUND_TRIP_S: Final = 0.010
ROWS: Final = 21_000
WIDTH: Final = 10
_PORT: Final = 7391
_DEADLINE_S: Final = 600.0


def run() -> Iterator[dict[str, object]]:
    """Two figures."""
    if lacks := missing():
        say(f"growth.wan needs {lacks}; nothing was measured")
        return
    for name, pair in (("logistic", logistic(ROWS, WIDTH, steps=10)), ("boosting", boosting(ROWS, WIDTH, trees=3))):
        near = min((_trained(pair, far=False) for _ in range(2)), key=lambda spent: spent.seconds)
        with wan_link(RATE_MBIT, ROUND_TRIP_S):
            (round_trip_s, rate), far = _run(_PROBES, far=True), _trained(pair, far=True)
        added, predicted = far.seconds - near.seconds, far.sent_bytes * 8 / RATE_MBIT / 1e6 + far.rounds * ROUND_TRIP_S
        yield {
            "bench": f"growth.wan_{name}",
            "value": round(added, 2),
            "unit": "s added",
            "reference": round(predicted, 2),
            "reference_of": f"limit: bytes at {RATE_MBIT} Mbit/s, and {ROUND_TRIP_S * 1000:.0f} ms a round",
            "ratio": round(added / predicted, 3),
            "seconds_near": round(near.seconds, 2),
            "seconds_far": round(far.seconds, 2),
            "megabytes": round(far.sent_bytes / 1e6, 1),
            "rounds": far.rounds,
            "link_ms": round(round_trip_s * 1000, 1),
            "link_mbit": round(rate / 1e6, 1),
        }


def _trained(pair: Pair, *, far: bool) -> Spent:
    """What the bank's party spent."""
    spent: Spent = _run(pair, far=far)
    return spent


def _probe(channels: Mapping[str, Channel]) -> tuple[float, float]:
    """The link itself: seconds of its shortest round trip, bits a second of a long message."""
    (channel,) = channels.values()
    times = []
    for kind in ("short",) * 5 + ("long",):
        began = time.perf_counter()
        channel.send(Message(kind=kind))
        channel.receive(kind)
        times.append(time.perf_counter() - began)
    return min(times), _LONG * 8 / times[-1]


def _echo(channels: Mapping[str, Channel]) -> None:
    (channel,) = channels.values()
    for kind in ("short",) * 5 + ("long",):
        channel.receive(kind)
        channel.send(Message(kind=kind, blobs=(bytes(_LONG if kind == "long" else 1),)))


_LONG: Final = 10_000_000
_PROBES: Final[dict[str, Party[Any]]] = {"bank": _probe, "tax": _echo}


def _run(pair: Mapping[str, Party[Any]], *, far: bool) -> Any:  # noqa: ANN401 - what the bank's party returns
    """What the bank's party returns; each party is a process, over the link in a namespace of its own."""
    context = multiprocessing.get_context("fork")
    home, away = context.Pipe(duplex=False)
    listening = context.Event()
    processes = [
        context.Process(target=_party, args=(pair, place, far, listening, away if place == 0 else None))
        for place in range(2)
    ]
    for process in processes:
        process.start()
    away.close()
    try:
        return home.recv()
    except EOFError:
        raise RuntimeError("the bank's party failed") from None
    finally:
        for process in processes:
            process.join(10)
            process.kill()


def _party(pair: Mapping[str, Party[Any]], place: int, far: bool, listening: Event, away: Connection | None) -> None:
    if far:
        enter(NAMES[place])
    address = (ADDRESSES[0] if far else "127.0.0.1", _PORT)
    names = ("bank", "tax")
    connected = _accepted(address, listening) if place == 0 else _connected(address, listening)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    channel = SocketChannel(names[1 - place], connected, _DEADLINE_S)
    found = pair[names[place]]({channel.peer: channel})
    channel.close()
    if away is not None:
        away.send(found)


def _accepted(address: tuple[str, int], listening: Event) -> socket.socket:
    with socket.create_server(address) as server:
        listening.set()
        return server.accept()[0]


def _connected(address: tuple[str, int], listening: Event) -> socket.socket:
    listening.wait(30)
    return socket.create_connection(address, 30)
