"""ECDH-PSI of two parties over ristretto255 (Meadows 1986; Huberman, Franklin, Hogg 1999). Semi-honest.

Parties: one that leads (it sends first) and one that follows; else they do the same.
Inputs: each party's identifiers, no two equal; agreed: exchange id, mode, smallest cohort.
Outputs: mode "rows": to both, the rows of the common identifiers, in one order. Mode "size": to both, their number only.
Leak: the number of each party's identifiers; the number of the common ones, if it is refused as too small to both programs and to
neither user. Nothing else about identifiers that are not common (decisional Diffie-Hellman, SHA-512 as random oracle). Semi-honest
means: a party that makes up identifiers learns which of them the other has, as in every PSI; who may be asked for is decided
elsewhere.

    1  hello                            counts and terms, which must agree
    2  a·H(x), in a secret random order <->  b·H(y), likewise
    3  tags of b·(a·H(x)), sorted       <->  tags of a·(b·H(y)), sorted
    4  size                             <->  size          enough? else both stop, and nobody has learned which they are
    5  places                            ->                mode "rows" only
    6                                   <-  places         likewise

Each party computes the tags of the other's elements and gets those of its own back in ascending order: an order that says nothing
of the one in which it sent them. So both know the number first, and neither knows which: only steps 5 and 6 say, for each common tag
in ascending order, at which place of step 2 the other's element stood. Who follows knows which they are before it tells the other,
and can put it on record (`known`). Ascending tags are also the order of the result; tags are fresh in each run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import numpy as np

from modeling.channel import Channel
from modeling.errors import CohortTooSmall, DataUnusable, ProtocolViolation
from modeling.executor import Executor
from modeling.messages import Message
from modeling.psi.group import ELEMENT, PROTOCOL, TAG, context, fresh_scalar, masked, tagged
from modeling.psi.store import (
    MAX_ROWS,
    Places,
    Rows,
    common_places,
    picked,
    read_all,
    shuffled_order,
    sort_tags,
    spool,
    write_all,
)

Known = Callable[[Rows], None]
"""Told the rows that are common, int64[size], as soon as this party knows them. What it raises ends the intersection."""
Progress = Callable[[int, int], None]

CHUNK: Final = 4096
"""Elements in a message: 128 KiB, and about half a second of one core."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What both parties must have agreed on."""

    exchange: str
    """Id of the exchange, used once: identifiers are hashed with it."""
    mode: Literal["rows", "size"] = "rows"
    minimum: int = 100
    """The smallest number of common identifiers that a result may be about."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Intersection:
    """The result. `rows`: int64[size], positions in the party's own input; None in mode "size"."""

    size: int
    rows: Rows | None


@dataclass(frozen=True, kw_only=True)
class _Session:
    channel: Channel
    leads: bool
    own: int
    """How many identifiers this party has."""
    peers: int
    """How many the other has."""


def intersect(
    channel: Channel,
    identifiers: Iterable[str],
    terms: Terms,
    *,
    leads: bool,
    folder: Path,
    executor: Executor,
    known: Known | None = None,
    progress: Progress | None = None,
) -> Intersection:
    """One party's part. Reads `identifiers` once; temporary files (at most 80 B an element) lie in `folder` and are removed.

    `known` (mode "rows"): at the party that follows, it is told before the other party learns which they are. `progress`: elements
    that were exchanged so far, and in all, of the larger set.
    Raises DataUnusable (malformed or repeated identifiers: before anything is sent), CohortTooSmall, ProtocolViolation, PeerFailed,
    WorkersFailed.
    """
    with TemporaryDirectory(dir=folder, prefix="psi-") as name:
        home = Path(name)
        own = spool(identifiers, context(terms.exchange, "identifier"), home / "digests")
        if own == 0:
            raise DataUnusable("there are no identifiers to compare")
        session = _Session(channel=channel, leads=leads, own=own, peers=_agree(channel, own, terms, leads))
        order = shuffled_order(own)
        _exchange_elements(session, home, order, terms, executor, progress or (lambda _, __: None))
        _exchange_tags(session, home)
        places = common_places(home / "sorted", home / "places", home / "returned")
        _check_size(session, len(places), terms.minimum)
        if terms.mode == "size":
            return Intersection(size=len(places), rows=None)
        rows = _exchange_places(session, places, order, known or (lambda _: None))
        return Intersection(size=len(rows), rows=rows)


def _agree(channel: Channel, own: int, terms: Terms, leads: bool) -> int:
    """Tell count and terms, and return the peer's count.

    Raises ProtocolViolation where the terms differ, CohortTooSmall where even a whole input would be too small: nothing else is
    sent then.
    """
    told = {
        "protocol": PROTOCOL.decode(),
        "exchange": terms.exchange,
        "mode": terms.mode,
        "minimum": terms.minimum,
        "chunk": CHUNK,
        "leads": leads,
    }
    channel.send(Message(kind="psi.hello", fields={**told, "count": own}))
    answer = channel.receive("psi.hello")
    for name, value in {**told, "leads": not leads}.items():
        if answer.fields.get(name) != value:
            raise ProtocolViolation(f"{channel.peer} has another {name!r} for this intersection")
    count = answer.number("count")
    if not 0 < count <= MAX_ROWS:
        raise ProtocolViolation(f"{channel.peer} announced {count} identifiers; 1 to {MAX_ROWS} can be compared")
    if min(own, count) < terms.minimum:
        raise _too_small(channel, terms.minimum)
    return count


def _exchange_elements(
    session: _Session, home: Path, order: Places, terms: Terms, executor: Executor, progress: Progress
) -> None:
    """Step 2, and the tags of the peer's elements into file "tags". Both parties' cores are busy all along."""
    scalar = fresh_scalar()
    mine = executor.map(partial(masked, scalar), picked(home / "digests", order, CHUNK))
    theirs = _swap(session, "psi.elements", mine, (session.own, session.peers), ELEMENT, progress)
    write_all(home / "tags", executor.map(partial(tagged, scalar, context(terms.exchange, "tag")), theirs))
    (home / "digests").unlink()


def _exchange_tags(session: _Session, home: Path) -> None:
    """Step 3: the peer's tags go back sorted; this party's come into file "returned"."""
    sort_tags(home / "tags", session.peers, home / "sorted", home / "places")
    own, peers = read_all(home / "sorted", TAG * CHUNK), (session.peers, session.own)
    _refuse_repeated(home / "sorted", session.channel.peer)
    write_all(home / "returned", _ascending(_swap(session, "psi.tags", own, peers, TAG), session.channel.peer))


def _refuse_repeated(path: Path, peer: str) -> None:
    """Equal tags mean that the peer sent an element twice. Raises ProtocolViolation."""
    for _ in _ascending(read_all(path, TAG * CHUNK), peer):
        pass


def _ascending(parts: Iterable[bytes], peer: str) -> Iterator[bytes]:
    """The parts, if the tags in them ascend strictly. Raises ProtocolViolation."""
    last = b""
    for part in parts:
        tags = [last, *(part[at : at + TAG] for at in range(0, len(part), TAG))]
        if any(one >= other for one, other in pairwise(tags)):
            raise ProtocolViolation(f"{peer} sent an element twice, or tags out of order")
        last = tags[-1]
        yield part


def _check_size(session: _Session, size: int, minimum: int) -> None:
    """Step 4. Raises CohortTooSmall, which does not tell the number, at both parties: both have counted the same tags."""
    if size < max(minimum, 1):
        raise _too_small(session.channel, minimum)
    session.channel.send(Message(kind="psi.size", fields={"size": size}))
    if session.channel.receive("psi.size").number("size") != size:
        raise ProtocolViolation(f"{session.channel.peer} counts another number of common identifiers")


def _too_small(channel: Channel, minimum: int) -> CohortTooSmall:
    return CohortTooSmall(f"fewer than {max(minimum, 1)} identifiers are common with {channel.peer}")


def _exchange_places(session: _Session, places: Places, order: Places, known: Known) -> Rows:
    """Steps 5 and 6: where the peer's common elements stood goes to it; this party's rows, int64[size]."""
    if session.leads:
        _tell_places(session.channel, places)
        rows = order[_hear_places(session, len(places))].astype(np.int64)
        known(rows)
    else:
        rows = order[_hear_places(session, len(places))].astype(np.int64)
        known(rows)
        _tell_places(session.channel, places)
    return rows


def _tell_places(channel: Channel, places: Places) -> None:
    for at in range(0, len(places), CHUNK):
        channel.send(Message(kind="psi.places", blobs=(places[at : at + CHUNK].astype("<u4").tobytes(),)))


def _hear_places(session: _Session, size: int) -> Places:
    """Where this party's common elements stood in step 2, uint32[size]. Raises ProtocolViolation."""
    parts = [_part(session.channel, "psi.places", 4 * min(CHUNK, size - at)) for at in range(0, size, CHUNK)]
    told = np.frombuffer(b"".join(parts), "<u4")
    if int(told.max()) >= session.own or np.bincount(told, minlength=session.own).max() > 1:
        raise ProtocolViolation(f"{session.channel.peer} sent places that do not exist, or one twice")
    return told.astype(np.uint32, copy=False)


def _swap(
    session: _Session,
    kind: str,
    mine: Iterator[bytes],
    rows: tuple[int, int],
    width: int,
    progress: Progress = lambda _, __: None,
) -> Iterator[bytes]:
    """Send parts of rows[0] records of `width` bytes and yield those of the peer's rows[1], CHUNK records at a time.

    Strictly by turns, so that no socket fills while both sides send. Raises ProtocolViolation for a part of another size.
    """
    for at in range(0, max(rows), CHUNK):
        mine_due, due = at < rows[0], min(CHUNK, rows[1] - at)
        if session.leads and mine_due:
            session.channel.send(Message(kind=kind, blobs=(next(mine),)))
        got = _part(session.channel, kind, due * width) if due > 0 else b""
        if not session.leads and mine_due:
            session.channel.send(Message(kind=kind, blobs=(next(mine),)))
        if got:
            yield got
        progress(min(at + CHUNK, max(rows)), max(rows))


def _part(channel: Channel, kind: str, size: int) -> bytes:
    blobs = channel.receive(kind).blobs
    if len(blobs) != 1 or len(blobs[0]) != size:
        raise ProtocolViolation(f"{channel.peer} sent {sum(map(len, blobs))} bytes of {kind} where {size} were due")
    return blobs[0]
