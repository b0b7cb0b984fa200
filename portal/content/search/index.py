"""The index: for each gram the texts that have it, packed in blocks of a row each.

A row holds the texts of one gram whose numbers are in one block of `BLOCK`, three bytes a text. So a query reads few rows however
common its words are, a text that is published changes one short row a gram, and both databases do the same: all that is asked of them
is a primary key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Column, ColumnElement, Connection, Integer, LargeBinary, Table, and_, delete, insert, select

from portal.schema import Identifier, metadata

BLOCK: Final = 1024
_ENTRY: Final = np.dtype([("place", "<u2"), ("weight", "u1")])
_AT_ONCE: Final = 500

grams: Final = Table(
    "content_grams",
    metadata,
    Column("gram", Identifier, primary_key=True),
    Column("block", Integer, primary_key=True, autoincrement=False),
    Column("entries", LargeBinary, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What the text of a number weighed (`grams.weights`) and weighs; empty for a text that was or is not published."""

    number: int
    before: Mapping[str, int]
    after: Mapping[str, int]


@dataclass(frozen=True)
class Postings:
    """The texts that have one gram: numbers int64[n], rising, and weights float64[n]."""

    numbers: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]


def apply(connection: Connection, changes: Iterable[Change]) -> None:
    """Bring the index up to date. Only inside `Database.write`."""
    blocks: dict[int, dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    for change in changes:
        block, place = divmod(change.number, BLOCK)
        for gram in change.before.keys() | change.after.keys():
            blocks[block][gram][place] = change.after.get(gram, 0)
    for block, by_gram in blocks.items():
        for some in _chunks(sorted(by_gram)):
            _rewrite(connection, block, {gram: by_gram[gram] for gram in some})


def read(connection: Connection, wanted: Iterable[str]) -> Mapping[str, Postings]:
    """The postings of some grams; a gram that no text has is not in it."""
    columns = (grams.c.gram, grams.c.block, grams.c.entries)
    rows = connection.execute(select(*columns).where(grams.c.gram.in_(sorted(wanted))).order_by(grams.c.block))
    found: dict[str, list[Postings]] = defaultdict(list)
    for gram, block, entries in rows:
        unpacked = np.frombuffer(entries, _ENTRY)
        numbers = unpacked["place"].astype(np.int64) + block * BLOCK
        found[gram].append(Postings(numbers, unpacked["weight"].astype(np.float64)))
    return {
        gram: Postings(np.concatenate([one.numbers for one in parts]), np.concatenate([one.weights for one in parts]))
        for gram, parts in found.items()
    }


def _rewrite(connection: Connection, block: int, by_gram: Mapping[str, Mapping[int, int]]) -> None:
    """Put weights at places of a block; a weight of 0 takes the text away."""
    rows: ColumnElement[bool] = and_(grams.c.block == block, grams.c.gram.in_(list(by_gram)))
    before = {gram: bytes(old) for gram, old in connection.execute(select(grams.c.gram, grams.c.entries).where(rows))}
    connection.execute(delete(grams).where(rows))
    after = {gram: _packed(before.get(gram, b""), places) for gram, places in by_gram.items()}
    new = [{"gram": gram, "block": block, "entries": entries} for gram, entries in after.items() if entries]
    if new:
        connection.execute(insert(grams), new)


def _packed(entries: bytes, places: Mapping[int, int]) -> bytes:
    old = np.frombuffer(entries, _ENTRY)
    kept = old[~np.isin(old["place"], list(places))]
    added = np.array([(place, weight) for place, weight in places.items() if weight], _ENTRY)
    return np.sort(np.concatenate([kept, added]), order="place").tobytes()


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[at : at + _AT_ONCE] for at in range(0, len(texts), _AT_ONCE))
