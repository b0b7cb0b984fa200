"""What an intersection keeps on disk, so that memory stays bounded: digests, tags, and their order.

Files lie in a folder that only this user may open and that is removed at the end. Digests of identifiers can be guessed from a list
of all identifiers, so they are as confidential as the identifiers: keep the folder on an encrypted disk. The secret scalar never
touches it. In memory are 4 bytes for each own element (its place in the order in which they are sent) and at most 32 for a moment.
"""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.psi.group import DIGEST, TAG, digest

Places = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]

MAX_BYTES: Final = 256
"""The longest identifier, in bytes of UTF-8."""
MAX_ROWS: Final = 1 << 31
PASS_ROWS: Final = 1 << 20
"""About how many tags are sorted in memory at a time."""


def spool(identifiers: Iterable[str], before: bytes, path: Path) -> int:
    """Write the digests (64 B each, in order) and return how many.

    Raises DataUnusable, which names rows and never an identifier, for one that is not a text of 1 to 256 bytes in Unicode form NFC
    without control characters or blanks around it, and for one that came before.
    """
    count = 0
    with path.open("wb", buffering=1 << 20) as out:
        for identifier in identifiers:
            out.write(digest(before, _checked(identifier, count)))
            count += 1
            if count > MAX_ROWS:
                raise DataUnusable(f"there are more than {MAX_ROWS} identifiers")
    _refuse_duplicates(path, count)
    return count


def shuffled_order(count: int) -> Places:
    """A secret permutation, uint32[count]: the ranks of random 64-bit keys. Equal keys (2^-64 a pair) keep their order."""
    keys = np.frombuffer(secrets.token_bytes(8 * count), np.uint64)
    return np.argsort(keys, kind="stable").astype(np.uint32)


def picked(path: Path, order: Places, chunk: int) -> Iterator[bytes]:
    """The digests of a file in this order, `chunk` of them at a time. Read one by one: a mapped file would fill the memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        for at in range(0, len(order), chunk):
            yield b"".join(os.pread(handle, DIGEST, DIGEST * place) for place in order[at : at + chunk].tolist())
    finally:
        os.close(handle)


def write_all(path: Path, parts: Iterable[bytes]) -> None:
    """Write parts one after another."""
    with path.open("wb") as out:
        for part in parts:
            out.write(part)


def read_all(path: Path, size: int) -> Iterator[bytes]:
    """Read a file `size` bytes at a time."""
    with path.open("rb") as file:
        while part := file.read(size):
            yield part


def sort_tags(path: Path, count: int, tags: Path, places: Path) -> None:
    """Sort a file of tags (16 B each): write the tags in ascending order, and as uint32 where each stood.

    In as many passes as there are times PASS_ROWS tags, each over the tags of one range of the first 16 bits: tags are hashes and
    fill the ranges evenly.
    """
    passes = min(-(-count // PASS_ROWS), 1 << 16)
    bounds = np.linspace(0, 1 << 16, passes + 1).astype(np.uint32)
    with tags.open("wb") as sorted_tags, places.open("wb") as sorted_places:
        for low, high in pairwise(bounds.tolist()):
            found, where = _of_range(path, low, high)
            order = np.lexsort((found[:, 1], found[:, 0]))
            sorted_tags.write(found[order].astype(">u8").tobytes())
            sorted_places.write(where[order].astype("<u4").tobytes())


def common_places(tags: Path, places: Path, others: Path) -> Places:
    """Merge two sorted files of tags: the places (uint32) of the common ones, in the order of the tags."""
    found = bytearray()
    theirs = _split(others, TAG)
    other = next(theirs, None)
    for tag, place in zip(_split(tags, TAG), _split(places, 4), strict=True):
        while other is not None and other < tag:
            other = next(theirs, None)
        if other == tag:
            found += place
    return np.frombuffer(bytes(found), "<u4").astype(np.uint32, copy=False)


def _checked(identifier: object, row: int) -> bytes:
    if not isinstance(identifier, str):
        raise DataUnusable(f"the identifier in row {row} is no text but {type(identifier).__name__}")
    try:
        encoded = identifier.encode()
    except UnicodeEncodeError:
        raise DataUnusable(f"the identifier in row {row} is no valid Unicode") from None
    if not 0 < len(encoded) <= MAX_BYTES:
        raise DataUnusable(f"the identifier in row {row} has {len(encoded)} bytes; 1 to {MAX_BYTES} can be compared")
    if identifier != identifier.strip() or not identifier.isprintable():
        raise DataUnusable(f"the identifier in row {row} has blanks around it or control characters in it")
    if not unicodedata.is_normalized("NFC", identifier):
        raise DataUnusable(f"the identifier in row {row} is not in Unicode form NFC: it would meet no equal")
    return encoded


def _refuse_duplicates(path: Path, count: int) -> None:
    """By the first 64 bits of each digest; if two are equal (2^-64 a pair where identifiers differ) they are compared in full."""
    first = _firsts(path, count)
    ordered = np.sort(first)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return
    del ordered
    seen: dict[bytes, int] = {}
    rows = np.flatnonzero(np.isin(first, twice))
    for row, found in zip(rows.tolist(), picked(path, rows.astype(np.uint32), 1), strict=True):
        if found in seen:
            raise DataUnusable(f"rows {seen[found]} and {row} have the same identifier; each may come once")
        seen[found] = row


def _firsts(path: Path, count: int) -> npt.NDArray[np.uint64]:
    first = np.empty(count, np.uint64)
    at = 0
    for part in read_all(path, DIGEST << 14):
        words = np.frombuffer(part, np.uint64)[:: DIGEST // 8]
        first[at : at + len(words)] = words
        at += len(words)
    return first


def _of_range(path: Path, low: int, high: int) -> tuple[npt.NDArray[np.uint64], Places]:
    found, where, at = [], [], 0
    for part in read_all(path, TAG << 16):
        words = np.frombuffer(part, ">u8").reshape(-1, 2).astype(np.uint64)
        lead = words[:, 0] >> np.uint64(48)
        chosen = np.flatnonzero((lead >= low) & (lead < high))
        found.append(words[chosen])
        where.append((chosen + at).astype(np.uint32))
        at += len(words)
    return np.concatenate(found), np.concatenate(where)


def _split(path: Path, size: int) -> Iterator[bytes]:
    for part in read_all(path, size << 14):
        for at in range(0, len(part), size):
            yield part[at : at + size]
