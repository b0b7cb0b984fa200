"""psi.*: private set intersection of two parties, each a process with its worker processes, over a socket; half of the sets is common.

psi.rate      operations a second (an element hashed to the group and multiplied, an element multiplied) of both parties together,
              against the same operations of libsodium alone in the same number of worker processes, run before and after; at least 0.85
              of it. 1,000,000 by 1,000,000, or PSI_ROWS of each. `core_ratio` is the same by seconds of the processor, the start of
              workers included: on a machine with other work it says more.
psi.seconds   100,000 by 100,000, with the start of the workers; the limit is 10 s on 2 cores.
psi.memory    the most memory of a party with its workers at 10,000,000 by 10,000,000 (PSI_MEMORY_ROWS of each), at most 500 MB. All is
              done in full, on disk and over the socket, but the group: here a product is an exclusive or, which takes no time and as
              much memory. `hours` is what the group would take, by the rate of a sample.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import rbcl

from bench import psi_cheap
from bench.network import say
from modeling.channel import Channel
from modeling.executor import Processes, cores
from modeling.local import Party, run_in_processes
from modeling.psi import intersection
from modeling.psi.group import DIGEST, fresh_scalar
from modeling.psi.intersection import CHUNK, Terms, intersect

ROWS: Final = 1_000_000
MEMORY_ROWS: Final = 10_000_000
SECONDS_ROWS: Final = 100_000
RATE_DUE: Final = 0.85
SECONDS_LIMIT: Final = 10.0
MEMORY_LIMIT_MB: Final = 500.0
_SAMPLE: Final = 40


@dataclass(frozen=True)
class _Met:
    """What a party found and spent; memory of the process and its workers, each at its own peak."""

    size: int
    seconds: float
    core_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class _Bare:
    """What the library alone does: operations a second on all cores, and seconds of the processor for one."""

    rate: float
    core_s: float


def rate() -> Iterator[dict[str, object]]:
    """One figure."""
    rows = int(os.environ.get("PSI_ROWS", ROWS))
    chunks = max(_SAMPLE, rows // CHUNK // 8)
    before = _bare(chunks)
    met = _meet(rows)
    after = _bare(chunks)
    value, bare, core_s = 4 * rows / met.seconds, (before.rate + after.rate) / 2, (before.core_s + after.core_s) / 2
    yield {
        "bench": "psi.rate",
        "value": round(value),
        "unit": "operations/s",
        "reference": round(bare),
        "reference_of": f"libsodium alone in as many workers, same run; at least {RATE_DUE} of it",
        "ratio": round(value / bare, 3),
        "core_ratio": round(4 * rows * core_s / met.core_seconds, 3),
        "rows": rows,
        "seconds": round(met.seconds, 1),
        "peak_mb": round(met.peak_mb, 1),
    }


def seconds() -> Iterator[dict[str, object]]:
    """One figure."""
    met = _meet(SECONDS_ROWS)
    yield {
        "bench": "psi.seconds",
        "value": round(met.seconds, 2),
        "unit": "s",
        "reference": SECONDS_LIMIT,
        "reference_of": "limit, on 2 cores",
        "ratio": round(met.seconds / SECONDS_LIMIT, 3),
        "rows": SECONDS_ROWS,
        "bare_s": round(4 * SECONDS_ROWS / _bare(_SAMPLE).rate, 2),
    }


def memory() -> Iterator[dict[str, object]]:
    """One figure."""
    rows = int(os.environ.get("PSI_MEMORY_ROWS", MEMORY_ROWS))
    bare = _bare(_SAMPLE).rate
    met = _meet(rows, cheap=True)
    yield {
        "bench": "psi.memory",
        "value": round(met.peak_mb, 1),
        "unit": "MB a party",
        "reference": MEMORY_LIMIT_MB,
        "reference_of": "limit; an exclusive or in the place of the group",
        "ratio": round(met.peak_mb / MEMORY_LIMIT_MB, 3),
        "rows": rows,
        "seconds_without_the_group": round(met.seconds, 1),
        "hours": round((4 * rows / bare + met.seconds) / 3600, 2),
    }


def _meet(rows: int, *, cheap: bool = False) -> _Met:
    """Both parties; the later one's seconds, the larger one's memory. Half of the identifiers are common."""
    say(f"intersecting {rows} by {rows}{', with a cheap map in the place of the group' if cheap else ''}")
    with TemporaryDirectory() as folder:
        party = functools.partial(_party, Path(folder), rows, cheap)
        met = run_in_processes({"a": party("b", 0), "b": party("a", rows // 2)}, deadline_s=3600)
    if {each.size for each in met.values()} != {rows - rows // 2}:
        raise RuntimeError(f"the parties found {met} and not {rows - rows // 2} in common")
    return _Met(
        size=met["a"].size,
        seconds=max(each.seconds for each in met.values()),
        core_seconds=sum(each.core_seconds for each in met.values()),
        peak_mb=max(each.peak_mb for each in met.values()),
    )


def _party(folder: Path, rows: int, cheap: bool, peer: str, first: int) -> Party[_Met]:
    def run(channels: Mapping[str, Channel]) -> _Met:
        if cheap:  # this process is the party's alone
            vars(intersection).update(masked=psi_cheap.masked, tagged=psi_cheap.tagged)
        names = (f"9131{place:014d}" for place in range(first, first + rows))
        with Processes() as executor:
            began = time.perf_counter()
            found = intersect(
                channels[peer], names, Terms(exchange="bench"), leads=peer == "b", folder=folder, executor=executor
            )
            took = time.perf_counter() - began
            peak = sum(map(_peak_mb, [os.getpid(), *_children(os.getpid())]))
        spent = os.times()  # the workers' too, now that they have ended
        core_seconds = spent.user + spent.system + spent.children_user + spent.children_system
        return _Met(size=found.size, seconds=took, core_seconds=core_seconds, peak_mb=peak)

    return run


def _bare(chunks: int) -> _Bare:
    """The library alone, on all cores: as many operations of each kind as in an intersection."""
    scalar = fresh_scalar()
    with Processes() as executor:
        list(executor.map(functools.partial(_work, scalar, 1), [b""] * cores()))  # started
        began = time.perf_counter()
        spent = sum(map(float, executor.map(functools.partial(_work, scalar, CHUNK), [b""] * chunks)))
        count = 2 * chunks * CHUNK
        return _Bare(rate=count / (time.perf_counter() - began), core_s=spent / count)


def _work(scalar: bytes, count: int, _chunk: bytes) -> bytes:
    derive, multiply = rbcl.crypto_core_ristretto255_from_hash, rbcl.crypto_scalarmult_ristretto255
    digest, began = os.urandom(DIGEST), time.process_time()
    for _ in range(count):
        multiply(scalar, multiply(scalar, derive(digest)))
    return b"%f" % (time.process_time() - began)


def _children(parent: int) -> list[int]:
    folder = Path(f"/proc/{parent}/task")
    return [int(child) for task in folder.iterdir() for child in (task / "children").read_text().split()]


def _peak_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return float(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000
