"""Row alignment of one active party with several passives, by pairwise intersections and one common order (protocols.md, 4b).

Parties: one active A, passives P1 .. Pk. Inputs: each party's identifiers. Agreed: a base exchange id, the smallest cohort, what to
keep. Outputs: to each party, for each row of the job, the position of that subject in its own input, or -1 where it has none. Leak:
A learns with which passives it has each of its own subjects in common, and the numbers of the passives' identifiers. With
keep="all" (rows that every party has) a passive learns which of the subjects that it shares with A all others have too; it needs
that, since it takes part with these rows. With keep="any" (rows that A and at least one passive have) a passive learns the number
of the rows that A shares with others, and not which. Each pair has its own exchange id and scalars, so that passives who compare
notes cannot link elements. The rows are in an order that A draws at random. Each party is told (`known`) which of its rows it has in
common with the other: a passive before A learns it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from modeling.channel import Channel
from modeling.errors import CohortTooSmall, ProtocolViolation
from modeling.executor import Executor
from modeling.messages import Message
from modeling.psi.intersection import Intersection, Known, Progress, Terms, intersect
from modeling.psi.store import MAX_ROWS, Rows, shuffled_order

Keep = Literal["all", "any"]
_ABSENT = -1


def align_active(
    channels: Mapping[str, Channel],
    identifiers: Sequence[str],
    terms: Terms,
    *,
    folder: Path,
    executor: Executor,
    keep: Keep = "all",
    known: Callable[[str, Rows], None] = lambda _, __: None,
    progress: Callable[[str, int, int], None] = lambda _, __, ___: None,
) -> Rows:
    """The active party's part: int64[rows] of positions in `identifiers`. Intersections run side by side, a thread for each passive.

    `known` is told each passive's name and the rows in common with it, in the order of that intersection, `progress` its name and how
    far that intersection is; both from several threads.
    Raises what `intersect` raises, and CohortTooSmall if too few rows are left; the passives are then told so.
    """

    def meet(name: str) -> Rows:
        pair = _pair(terms, name)
        found = intersect(
            channels[name],
            identifiers,
            pair,
            leads=True,
            folder=folder,
            executor=executor,
            known=lambda rows: known(name, rows),
            progress=lambda done, total: progress(name, done, total),
        )
        return _rows(found)

    with ThreadPoolExecutor(len(channels)) as threads:
        shared = dict(zip(channels, threads.map(meet, channels), strict=True))
    holders = np.zeros(len(identifiers), np.int64)
    for rows in shared.values():
        holders[rows] += 1
    kept = np.flatnonzero(holders >= (len(channels) if keep == "all" else 1))
    enough = len(kept) >= max(terms.minimum, 1)
    chosen = kept[shuffled_order(len(kept))]
    place = np.full(len(identifiers), _ABSENT, np.int64)
    place[chosen] = np.arange(len(chosen))
    for name, channel in channels.items():
        told = {"places": place[shared[name]]} if enough else {}
        channel.send(
            Message(kind="psi.order", fields={"rows": len(chosen) if enough else 0, "keep": keep}, arrays=told)
        )
    if not enough:
        raise CohortTooSmall(f"fewer than {max(terms.minimum, 1)} rows are common to the parties")
    return chosen


def align_passive(
    channel: Channel,
    name: str,
    identifiers: Sequence[str],
    terms: Terms,
    *,
    folder: Path,
    executor: Executor,
    keep: Keep = "all",
    known: Known | None = None,
    progress: Progress | None = None,
) -> Rows:
    """A passive's part: int64[rows] of positions in `identifiers`, -1 where it has no record.

    `name` is its own, by which the active party has its channel. `known` is told the rows in common with it before it learns them.
    Raises what `intersect` raises, and CohortTooSmall if too few rows are left for the job.
    """
    pair = _pair(terms, name)
    found = intersect(
        channel, identifiers, pair, leads=False, folder=folder, executor=executor, known=known, progress=progress
    )
    rows = _rows(found)
    told = channel.receive("psi.order")
    count = told.number("rows")
    if count == 0:
        raise CohortTooSmall("fewer rows than the agreed minimum are common to the parties")
    if told.fields.get("keep") != keep or not max(terms.minimum, 1) <= count <= MAX_ROWS:
        raise ProtocolViolation(f"{channel.peer} aligns other rows than agreed")
    places = told.array("places", "int64", (len(rows),))
    taken = places[places != _ABSENT]
    if len(taken) and (int(taken.min()) < 0 or int(taken.max()) >= count or len(np.unique(taken)) != len(taken)):
        raise ProtocolViolation(f"{channel.peer} put rows at places that do not exist, or two at one")
    if (len(taken) != count) if keep == "all" else (len(taken) != len(rows)):
        raise ProtocolViolation(f"{channel.peer} left out rows that this alignment keeps")
    aligned = np.full(count, _ABSENT, np.int64)
    aligned[taken] = rows[places != _ABSENT]
    return aligned


def _pair(terms: Terms, passive: str) -> Terms:
    if terms.mode != "rows":
        raise ValueError("an alignment needs the rows: set mode to 'rows'")
    return replace(terms, exchange=f"{terms.exchange}/{passive}")


def _rows(found: Intersection) -> Rows:
    if found.rows is None:
        raise ValueError("an intersection by size has no rows to align")
    return found.rows
