"""The heavy maps of a step: a party's columns, a grid of plaintexts (`layout`), times ciphertexts, on an executor.

A task is a run of row blocks: the ciphertexts that meet them, as they came, and the own columns over these rows. The worker checks the
ciphertexts as this process would; masks are added here, so that a worker sees none.

In this process is the default (`OwnPart`): columns are encoded once for the whole training there, and anew for each step in a worker,
so that a product costs about three times as much. It pays from four cores on, with 20 MB/s of network for each. What else a step
multiplies, the waves of the sigmoid, stays here: each ciphertext meets one vector only, and sending it costs as much as the product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from modeling import bfv
from modeling.executor import Executor
from modeling.leavers import Ints
from modeling.logistic.layout import Layout

BLOCKS: Final = 8
"""Row blocks in a task: a tenth of a second for ten columns."""


def predictor_sums(blobs: Sequence[bytes], matrix: Ints, layout: Layout, executor: Executor) -> list[bfv.Sum]:
    """For each row block the sum over columns. `blobs`: of the coordinates; `matrix`: int64[n, p]. Raises ModelingError."""
    height = layout.row_blocks(len(matrix))
    chunks = (_chunk(blobs, matrix, layout, at) for at in range(0, height, BLOCKS))
    return [
        _of([part]) for found in executor.map(partial(_predictors, layout.groups), chunks) for part in _saved(found)
    ]


def gradient_sums(blobs: Sequence[bytes], matrix: Ints, layout: Layout, executor: Executor) -> list[bfv.Sum]:
    """For each block of columns the sum over rows. `blobs`: of the residuals, one for each row block. Raises ModelingError."""
    chunks = (_chunk(blobs[at : at + BLOCKS], matrix, layout, at) for at in range(0, len(blobs), BLOCKS))
    parts = [_saved(found) for found in executor.map(partial(_gradients, layout.groups), chunks)]
    return [_of(column) for column in zip(*parts, strict=True)]


def _saved(found: bytes) -> tuple[bytes, ...]:
    return msgspec.msgpack.decode(found, type=tuple[bytes, ...])


def _of(parts: Sequence[bytes]) -> bfv.Sum:
    total = bfv.Sum()
    for part in parts:
        total.add_saved(part)
    return total


def _chunk(blobs: Sequence[bytes], matrix: Ints, layout: Layout, at: int) -> bytes:
    rows = matrix[at * layout.size : (at + BLOCKS) * layout.size]
    return msgspec.msgpack.encode((tuple(blobs), rows.shape[1], rows.astype("<i8").tobytes()))


def _read(groups: int, chunk: bytes) -> tuple[list[Any], Iterator[list[Any]]]:
    """The ciphertexts, and for each row block of the chunk its plaintexts."""
    blobs, width, data = msgspec.msgpack.decode(chunk, type=tuple[tuple[bytes, ...], int, bytes])
    layout, matrix = Layout(groups=groups), np.frombuffer(data, "<i8").reshape(-1, width).astype(np.int64)
    cells = (
        [bfv.encode(layout.cell(matrix, column, row)) for column in range(layout.column_blocks(width))]
        for row in range(layout.row_blocks(len(matrix)))
    )
    return [bfv.received(blob) for blob in blobs], cells


def _predictors(groups: int, chunk: bytes) -> bytes:
    ciphers, cells = _read(groups, chunk)
    return msgspec.msgpack.encode([bfv.products_of(ciphers, row).saved() for row in cells])


def _gradients(groups: int, chunk: bytes) -> bytes:
    ciphers, cells = _read(groups, chunk)
    rows = list(cells)[: len(ciphers)]  # below the last rows stands the ridge, sometimes in a block of its own
    return msgspec.msgpack.encode([bfv.products_of(ciphers, column).saved() for column in zip(*rows, strict=True)])
