"""Lists of enterprises, as unified social credit codes of 18 bytes each.

A list comes from a user's file, or from the subjects of a provider's item; a party's process reads it from a file of codes, one behind
the other, so that ten million of them are a map and no objects.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, overload

import numpy as np
import numpy.typing as npt

from consent.errors import UsccInvalid
from consent.identifiers import Uscc
from nodes.durable import write_bytes
from nodes.errors import NodeError
from nodes.sources.codes import CODE_LENGTH

Codes = npt.NDArray[np.bytes_]
"""S18[n]."""
_KIND: Final = f"S{CODE_LENGTH}"
_PIECE: Final = 1 << 16


class ListUnusable(NodeError):
    """The user's list cannot be compared; says which line, and never which code."""

    code = "DATA_UNUSABLE"


def read_list(file: Path, column: str) -> Codes:
    """The codes of a text file, one a line, or of a column of a CSV file with a heading. In the file's order.

    Raises ListUnusable for a file that cannot be read, a code that is none, and one that comes twice.
    """
    found = bytearray()
    lines: list[int] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            for line, value in _of_column(text, file, column) if column else _of_lines(text):
                found += _checked(value, line).encode()
                lines.append(line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ListUnusable(
            f"{file} cannot be read ({type(error).__name__}); name a text file in UTF-8 with a code a line, or a CSV file and its "
            "column."
        ) from error
    if not lines:
        raise ListUnusable(f"{file} names no enterprise.")
    codes = np.frombuffer(bytes(found), _KIND)
    _refuse_repeated(codes, lines)
    return codes


def write_codes(path: Path, codes: Codes) -> None:
    """Write a list for a party's process; durable."""
    write_bytes(path, np.ascontiguousarray(codes, _KIND).tobytes())


class CodeFile(Sequence[str]):
    """A list as a process reads it."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, ValueError if it is not whole."""
        self._codes: Codes = np.memmap(path, _KIND, mode="r") if path.stat().st_size else np.empty(0, _KIND)

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        found = self._codes[index]
        return found.astype(str).tolist() if isinstance(index, slice) else bytes(found).decode()

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self), _PIECE):
            yield from self[at : at + _PIECE]

    def all(self) -> Codes:
        """S18[n]."""
        return self._codes

    def taken(self, rows: npt.NDArray[np.int64]) -> Codes:
        """The codes of these rows, S18[len(rows)]; empty where a row is -1."""
        found: Codes = np.where(rows >= 0, self._codes[np.maximum(rows, 0)], b"").astype(_KIND)
        return found


def _of_lines(text: Iterator[str]) -> Iterator[tuple[int, str]]:
    for line, value in enumerate(text, 1):
        if value.strip():
            yield line, value.strip()


def _of_column(text: Iterator[str], file: Path, column: str) -> Iterator[tuple[int, str]]:
    rows = csv.reader(text, strict=True)
    heading = next(rows, [])
    if heading.count(column) != 1:
        raise ListUnusable(f"{file} has {heading.count(column)} columns {column!r}; it has {', '.join(heading[:20])}.")
    place = heading.index(column)
    for row in rows:
        if row and place >= len(row):
            raise ListUnusable(f"Line {rows.line_num} of {file} has no column {column!r}.")
        if row:
            yield rows.line_num, row[place].strip()


def _checked(value: str, line: int) -> str:
    try:
        return Uscc.parse(value, allow_check_mismatch=True)
    except UsccInvalid:
        raise ListUnusable(
            f"Line {line} has {len(value)} characters that are no unified social credit code. Correct the line."
        ) from None


def _refuse_repeated(codes: Codes, lines: Sequence[int]) -> None:
    order = np.argsort(codes, kind="stable")
    same = np.flatnonzero(codes[order[1:]] == codes[order[:-1]])
    if len(same):
        one, other = lines[order[same[0]]], lines[order[same[0] + 1]]
        raise ListUnusable(f"Lines {one} and {other} name the same enterprise; each may come once.")
